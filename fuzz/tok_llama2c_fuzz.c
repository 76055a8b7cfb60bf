/* text/tok_read_llama2c: llama2.c's file is refused or works. */
#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_file("tokenizer.bin", data, size);
}

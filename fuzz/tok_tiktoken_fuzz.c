/* text/tok_read_tiktoken: tiktoken's file is refused or works. */
#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_file("llama3.tiktoken", data, size);
}

/* text/tok_vocab: vocab.json and, behind the first NUL, merges.txt either are refused or work. */
#include <string.h>

#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL, *merges = nul ? nul + 1 : data + size;
    fuzz_write("vocab.json", data, nul ? (size_t)(nul - data) : size);
    fuzz_write("merges.txt", merges, (size_t)(data + size - merges));
    fuzz_open("vocab.json");
    return 0;
}

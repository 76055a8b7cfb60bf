/* text/tok_read_vocab: vocab.json and, each after a NUL, merges.txt and tokenizer_config.json
 * either are refused or work. */
#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json"};
    fuzz_split(names, sizeof names / sizeof *names, data, size);
    fuzz_open(names[0]);
    return 0;
}

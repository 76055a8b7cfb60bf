/* text/tok_json: a tokenizer.json either is refused or encodes, decodes and copes with its own ids.
 */
#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_file("tokenizer.json", data, size);
}

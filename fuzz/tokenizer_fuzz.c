/* text/tok_read_json and the settings files: tokenizer.json and, each after a NUL, the files that
 * add tokens and settings either are refused or encode, decode and cope with their own ids.
 */
#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "added_tokens.json"};
    fuzz_split(names, sizeof names / sizeof *names, data, size);
    fuzz_open(names[0]);
    return 0;
}

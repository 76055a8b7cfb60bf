/* text/tok_read_model: SentencePiece's file is refused or works; with settings files that add
 * tokens to whatever it holds. */
#include "tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char config[] =
        "{\"tokenizer_class\":\"LlamaTokenizer\",\"legacy\":false,\"pad_token\":\"[PAD]\","
        "\"added_tokens_decoder\":{\"3\":{\"content\":\"<sep>\",\"normalized\":true},"
        "\"2\":{\"content\":\"a\",\"special\":true,\"lstrip\":true}}}";
    fuzz_write("tokenizer_config.json", (const uint8_t *)config, sizeof config - 1);
    return fuzz_file("tokenizer.model", data, size);
}

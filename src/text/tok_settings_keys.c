/* Keys of tokenizer_config.json and special_tokens_map.json, and warnings about unsupported ones.
 */
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "text/tok_settings.h"

/* Keys that are read (tok_read_config.c), or that do not change ids: how a batch is padded and cut,
 * what decoded text looks like, where files were, what other programs keep there. */
static const char *const known[] = {
    /* read */
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "additional_special_tokens",
    "chat_template",
    "extra_special_tokens",
    "legacy",
    "split_special_tokens",
    "tokenizer_class",
    /* batches */
    "max_length",
    "max_len",
    "model_input_names",
    "model_max_length",
    "pad_to_multiple_of",
    "pad_token_id",
    "pad_token_type_id",
    "padding",
    "padding_side",
    "return_tensors",
    "return_token_type_ids",
    "stride",
    "truncation",
    "truncation_side",
    "truncation_strategy",
    /* decoded text */
    "clean_up_tokenization_spaces",
    "errors",
    "spaces_between_special_tokens",
    "spaces_for_interleaved_special_tokens",
    /* where it came from, and which class it was */
    "_commit_hash",
    "auto_map",
    "backend",
    "cache_dir",
    "custom_pipelines",
    "device_map",
    "is_local",
    "local_files_only",
    "merges_file",
    "name_or_path",
    "processor_class",
    "revision",
    "special_tokens_map_file",
    "token",
    "tokenizer_file",
    "transformers_version",
    "trust_remote_code",
    "use_auth_token",
    "use_fast",
    "vocab_file",
    "vocab_size",
    /* templates and other modalities */
    "audio_tokenizer",
    "default_system_prompt",
    "image_seq_length",
    "image_token_id",
    "model_specific_special_tokens",
    "response_schema",
    "use_default_system_prompt",
};

/* Keys whose usual value changes nothing: false, an empty object, the class's own. Each is warned
 * of where it has another. */
static const char *const usual[] = {
    "do_basic_tokenize", "do_lower_case",   "do_split_on_punc", "fix_mistral_regex",
    "from_slow",         "keep_accents",    "mask_padding",     "never_split",
    "remove_space",      "sp_model_kwargs", "strip_accents",    "tokenize_chinese_chars",
};

static bool is_in(const char *const *list, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], key))
            return true;
    return false;
}

static bool is_empty(const json_t *v)
{
    return json_is_false(v) || (json_is_object(v) && !json_object_size(v)) ||
           (json_is_array(v) && !json_array_size(v)) ||
           (json_is_string(v) && !json_string_length(v));
}

/* Keys such as "image_token" name a token and add none. */
static bool names_token(const char *key)
{
    const size_t n = strlen(key);
    return n > 6 && !strcmp(key + n - 6, "_token");
}

static bool is_harmless(const char *key, const json_t *v)
{
    return json_is_null(v) || names_token(key) || is_in(known, sizeof known / sizeof *known, key) ||
           (is_in(usual, sizeof usual / sizeof *usual, key) && is_empty(v));
}

static void warn_of(const json_t *file, const char *name)
{
    struct err e;
    struct buf keys = {0};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)file, key, v)
    {
        if (!is_harmless(key, v) && buf_printf(&keys, &e, "%s'%.64s'", keys.len ? ", " : "", key))
            break;
    }
    if (keys.len)
        log_warn("%s: not known and not used: %s; token ids may differ from transformers'", name,
                 keys.data);
    buf_fini(&keys);
}

void tok_settings_warn(const struct tok_settings *b)
{
    warn_of(b->config, "tokenizer_config.json");
    warn_of(b->map, "special_tokens_map.json");
}

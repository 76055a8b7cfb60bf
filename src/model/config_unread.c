/* Which keys of a checkpoint's config.json and generation_config.json nothing here reads, although
 * they may change numbers. Read: the family's list (config_keys.h) and what config_json.c reads of
 * every family. Harmless: the lists below. null, false and what is empty turn nothing on.
 */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"
#include "model/family.h"

/* A key that changes nothing, at this value; ANY: at every one. */
#define ANY NAN
struct harmless {
    const char *name;
    double value;
};

/* Read for every family, or about the file, training from nothing, other heads and other software;
 * factors that are 1. */
static const struct harmless config_harmless[] = {
    {"architectures", ANY},
    {"model_type", ANY},
    {"bos_token_id", ANY},
    {"eos_token_id", ANY},
    {"pad_token_id", ANY},
    {"layer_types", ANY},
    {"_sliding_window_pattern", ANY},
    {"rope_parameters", ANY},
    {"quantization_config", ANY},

    {"_name_or_path", ANY},
    {"name_or_path", ANY},
    {"_commit_hash", ANY},
    {"auto_map", ANY},
    {"dtype", ANY},
    {"torch_dtype", ANY},
    {"transformers_version", ANY},
    {"unsloth_version", ANY},
    {"unsloth_fixed", ANY},
    {"transformers.js_config", ANY},
    {"transformers_weights", ANY},
    {"attn_implementation", ANY},
    {"_attn_implementation", ANY},
    {"_attn_implementation_autoset", ANY},
    {"_attn_implementation_internal", ANY},
    {"_flash_attn_2_enabled", ANY},
    {"use_flash_attention", ANY},
    {"use_bfloat16", ANY},
    {"is_llama_config", ANY},
    {"tokenizer_class", ANY},
    {"prefix", ANY},
    {"unk_token_id", ANY},
    {"sep_token_id", ANY},
    {"cls_token_id", ANY},
    {"mask_token_id", ANY},
    {"decoder_start_token_id", ANY},
    {"language", ANY},
    {"model_max_length", ANY},
    {"n_ctx", ANY},

    {"initializer_range", ANY},
    {"init_std", ANY},
    {"gradient_checkpointing", ANY},
    {"use_cache", ANY},
    {"pretraining_tp", ANY},
    {"chunk_size_feed_forward", ANY},
    {"reorder_and_upcast_attn", ANY},
    {"return_dict", ANY},
    {"is_decoder", ANY},
    {"tie_encoder_decoder", ANY},

    {"num_labels", ANY},
    {"id2label", ANY},
    {"label2id", ANY},
    {"problem_type", ANY},
    {"finetuning_task", ANY},
    {"task_specific_params", ANY},
    {"summary_activation", ANY},
    {"summary_proj_to_labels", ANY},
    {"summary_type", ANY},
    {"summary_use_proj", ANY},

    {"classifier_dropout", ANY},
    {"summary_first_dropout", ANY},

    {"logit_scale", 1},
    {"logits_scaling", 1},
    {"embedding_multiplier", 1},
    {"residual_multiplier", 1},
    {"num_experts", 0},
    {"num_local_experts", 0},
    {"router_aux_loss_coef", ANY},
    {"output_router_logits", ANY},
    {"router_jitter_noise", 0},
    {NULL, 0},
};

/* What options of this program set instead, or what changes no token that is chosen. The rest, at
 * another value than the one that turns it off, does. */
static const struct harmless generation_harmless[] = {
    {"_from_model_config", ANY},
    {"transformers_version", ANY},
    {"bos_token_id", ANY},
    {"eos_token_id", ANY},
    {"pad_token_id", ANY},
    {"decoder_start_token_id", ANY},
    {"cache_implementation", ANY},
    {"cache_config", ANY},
    {"return_legacy_cache", ANY},
    {"use_cache", ANY},
    {"disable_compile", ANY},
    {"compile_config", ANY},
    {"low_memory", ANY},
    {"max_time", ANY},
    {"prefill_chunk_size", ANY},
    {"prompt_lookup_num_tokens", ANY},
    {"max_matching_ngram_size", ANY},
    {"num_assistant_tokens", ANY},
    {"num_assistant_tokens_schedule", ANY},
    {"assistant_confidence_threshold", ANY},
    {"assistant_early_exit", ANY},
    {"assistant_lookbehind", ANY},
    {"target_lookbehind", ANY},
    {"is_assistant", ANY},
    {"return_dict_in_generate", ANY},
    {"output_attentions", ANY},
    {"output_hidden_states", ANY},
    {"output_logits", ANY},
    {"output_scores", ANY},
    {"num_return_sequences", ANY},
    {"chat_format", ANY},
    {"max_window_size", ANY},
    {"transformers.js_config", ANY},

    {"do_sample", ANY},
    {"temperature", ANY},
    {"top_k", ANY},
    {"top_p", ANY},
    {"max_length", ANY},
    {"max_new_tokens", ANY},

    {"early_stopping", ANY},
    {"length_penalty", ANY},
    {"num_beams", 1},
    {"num_beam_groups", 1},
    {"diversity_penalty", 0},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"min_p", 0},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"guidance_scale", 1},
    {"penalty_alpha", 0},
    {"repetition_penalty", 1},
    {"encoder_repetition_penalty", 1},
    {"no_repeat_ngram_size", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {NULL, 0},
};

static bool turns_nothing_on(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v)) ||
           (json_is_string(v) && !json_string_length(v));
}

static bool is_harmless(const struct harmless *list, const char *key, const json_t *v)
{
    for (; list->name; list++)
        if (!strcmp(list->name, key))
            return isnan(list->value) || (json_is_number(v) && json_number_value(v) == list->value);
    return false;
}

/* Of the decoder, while it is trained. */
static const char *const dropouts[] = {"attention_dropout",  "attn_pdrop",     "embd_pdrop",
                                       "resid_pdrop",        "hidden_dropout", "dropout",
                                       "activation_dropout", "layerdrop"};
enum { N_DROPOUTS = sizeof dropouts / sizeof *dropouts };

static bool is_dropout(const char *key)
{
    int i = 0;
    while (i < N_DROPOUTS && strcmp(dropouts[i], key))
        i++;
    return i < N_DROPOUTS;
}

static int add_name(struct buf *names, const char *key, const json_t *v, struct err *e)
{
    return buf_printf(names, e, "%s'%.80s' (%s)", names->len ? ", " : "", key,
                      json_brief(v, (char[JSON_BRIEF]){0}));
}

/* Older files have settings of generation in config.json. */
int config_unread(const struct model_config *c, const json_t *config, struct buf *names,
                  struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)config, key, v)
    {
        if (!turns_nothing_on(v) && !config_has_key(c->family, key) && !is_dropout(key) &&
            !is_harmless(config_harmless, key, v) && !is_harmless(generation_harmless, key, v) &&
            add_name(names, key, v, e))
            return -1;
    }
    return config_rope_unread(c, json_object_get(config, "rope_scaling"), names, e) ||
                   config_rope_unread(c, json_object_get(config, "rope_parameters"), names, e)
               ? -1
               : 0;
}

int config_dropout(const json_t *config, struct buf *names, struct err *e)
{
    for (int i = 0; i < N_DROPOUTS; i++) {
        const json_t *v = json_object_get(config, dropouts[i]);
        if (json_number_value(v) > 0 && add_name(names, dropouts[i], v, e))
            return -1;
    }
    return 0;
}

int config_generation_unread(const json_t *generation, struct buf *names, struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)generation, key, v)
    {
        if (!turns_nothing_on(v) && !is_harmless(generation_harmless, key, v) &&
            add_name(names, key, v, e))
            return -1;
    }
    return 0;
}

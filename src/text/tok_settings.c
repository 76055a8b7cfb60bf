#include "text/tok_settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

static int read_one(json_t **out, const char *dir, const char *name, struct err *e)
{
    char *path = file_join(dir, name, e);
    int rc = path ? 0 : -1;
    if (path && file_exists(path)) {
        *out = json_read_file(path, e);
        if (*out && !json_is_object(*out))
            err_set(e, "'%s' must be an object", path);
        rc = json_is_object(*out) ? 0 : -1;
    }
    free(path);
    return rc;
}

int tok_settings_read(struct tok_settings *b, const char *dir, struct err *e)
{
    *b = (struct tok_settings){0};
    const struct {
        const char *name;
        json_t **out;
    } files[] = {{"tokenizer_config.json", &b->config},
                 {"special_tokens_map.json", &b->map},
                 {"added_tokens.json", &b->added},
                 {"config.json", &b->model},
                 {"generation_config.json", &b->generation}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (read_one(files[i].out, dir, files[i].name, e)) {
            tok_settings_fini(b);
            return -1;
        }
    return 0;
}

void tok_settings_fini(struct tok_settings *b)
{
    json_decref(b->config);
    json_decref(b->map);
    json_decref(b->added);
    json_decref(b->model);
    json_decref(b->generation);
    *b = (struct tok_settings){0};
}

/* In the order in which transformers adds the missing ones to the vocabulary. */
static const char *const named[] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
};
static const char additional[] = "additional_special_tokens", extra[] = "extra_special_tokens";

enum { N_NAMED = sizeof named / sizeof *named };

bool tok_settings_has_list(const struct tok_settings *b)
{
    return json_is_object(json_object_get(b->config, "added_tokens_decoder"));
}

const json_t *tok_settings_token(const struct tok_settings *b, const char *key)
{
    const json_t *of_config = json_object_get(b->config, key),
                 *of_map = json_object_get(b->map, key);
    const json_t *first = tok_settings_has_list(b) ? of_config : of_map;
    return first ? first : of_config ? of_config : of_map;
}

/* A list of tokens, or an object of them by name. */
static int each_listed(const json_t *list, const char *key,
                       int (*one)(void *ctx, const char *key, const json_t *value, struct err *e),
                       void *ctx, struct err *e)
{
    const char *name;
    json_t *v;
    size_t i;
    json_array_foreach(list, i, v) if (one(ctx, key, v, e)) return -1;
    json_object_foreach((json_t *)list, name, v) if (one(ctx, key, v, e)) return -1;
    return 0;
}

int tok_settings_each_named(const struct tok_settings *b,
                            int (*one)(void *ctx, const char *key, const json_t *value,
                                       struct err *e),
                            void *ctx, struct err *e)
{
    for (int i = 0; i < N_NAMED; i++) {
        const json_t *v = tok_settings_token(b, named[i]);
        if (v && !json_is_null(v) && one(ctx, named[i], v, e))
            return -1;
    }
    if (each_listed(json_object_get(b->config, additional), additional, one, ctx, e) ||
        (!tok_settings_has_list(b) &&
         each_listed(json_object_get(b->map, additional), additional, one, ctx, e)))
        return -1;
    return each_listed(json_object_get(b->config, extra), extra, one, ctx, e);
}

static int put_name(void *names, const char *key, const json_t *value, struct err *e)
{
    const char *s =
        json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    if (!s)
        return err_set(e, "'%s' must be a text, or an object with its 'content'", key);
    return json_object_set_new(names, s, json_true()) ? err_no_memory(e, NULL) : 0;
}

json_t *tok_settings_names(const struct tok_settings *b, struct err *e)
{
    json_t *names = json_object();
    if (names && !tok_settings_each_named(b, put_name, names, e))
        return names;
    if (!names)
        err_no_memory(e, NULL);
    json_decref(names);
    return NULL;
}

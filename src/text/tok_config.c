/* What lies beside a tokenizer: tokenizer_config.json, special_tokens_map.json and the template. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tok.h"

/* "bos_token": a string, or an object with its "content". */
static int read_named(const struct tokenizer *t, const json_t *config, const char *key, int *id,
                      struct err *e)
{
    const json_t *v = json_object_get(config, key), *content = json_object_get(v, "content");
    const char *s = json_string_value(content ? content : v);
    if (!s)
        return 0;
    *id = tokenizer_id(t, s);
    return *id < 0 ? err_set(e, "%s '%.64s' is not in the vocabulary", key, s) : 0;
}

/* "chat_template": a string, or a list of {"name", "template"} of which "default" counts. */
static const char *find_template(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template"), *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(v);
}

static int read_config(struct tokenizer *t, const json_t *config, struct err *e)
{
    const char *chat = find_template(config);
    if (read_named(t, config, "bos_token", &t->bos, e) ||
        read_named(t, config, "eos_token", &t->eos, e) ||
        read_named(t, config, "pad_token", &t->pad, e) ||
        read_named(t, config, "unk_token", &t->unk, e))
        return -1;
    if (json_opt_bool(config, "add_bos_token", &t->add_bos, e))
        return -1;
    if (chat && !t->chat_template && !(t->chat_template = mem_strdup(chat, e)))
        return -1;
    return 0;
}

/* A file beside tokenizer.json, if it is there. */
static int read_beside(struct tokenizer *t, const char *name, struct err *e)
{
    char *path = file_join(t->dir, name, e);
    if (!path)
        return -1;
    int rc = 0;
    if (file_exists(path)) {
        json_t *j = json_read_file(path, e);
        rc = j ? read_config(t, j, e) : -1;
        if (j && rc)
            err_prefix(e, "'%s': ", path);
        json_decref(j);
    }
    free(path);
    return rc;
}

/* Newer checkpoints keep the template in a file of its own, which then is the one that counts. */
static int read_template(struct tokenizer *t, struct err *e)
{
    char *path = file_join(t->dir, "chat_template.jinja", e);
    if (!path)
        return -1;
    int rc = 0;
    if (file_exists(path) && !(t->chat_template = file_read(path, NULL, e)))
        rc = -1;
    free(path);
    return rc;
}

int tok_read_config(struct tokenizer *t, struct err *e)
{
    return read_template(t, e) || read_beside(t, "special_tokens_map.json", e) ||
                   read_beside(t, "tokenizer_config.json", e)
               ? -1
               : 0;
}

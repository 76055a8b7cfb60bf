/* Reader of a tokenizer's chat templates, and of the special tokens that templates may use. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "tensor/gguf.h"
#include "text/tok_settings.h"
#include "text/tokenizer_private.h"

static int add_template(struct tokenizer *t, const char *name, const char *text, size_t n,
                        struct err *e)
{
    if (!t->templates && !(t->templates = json_object()))
        return err_no_memory(e, NULL);
    json_t *s = json_stringn(text, n);
    return !s || json_object_set_new(t->templates, name, s)
               ? err_set(e, "chat template '%.64s' is not valid UTF-8, or out of memory", name)
               : 0;
}

/* "chat_template": a string, or a list of {"name", "template"}. */
static int read_config(struct tokenizer *t, const json_t *v, struct err *e)
{
    const json_t *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        const json_t *name = json_object_get(one, "name"), *text = json_object_get(one, "template");
        if (!json_is_string(name) || !json_is_string(text))
            return err_set(e, "entry %zu of chat_template needs a 'name' and a 'template'", i);
        if (add_template(t, json_string_value(name), json_string_value(text),
                         json_string_length(text), e))
            return -1;
    }
    return json_is_string(v)
               ? add_template(t, "default", json_string_value(v), json_string_length(v), e)
               : 0;
}

/* Newer checkpoints have the template in a separate file, which takes precedence. */
static int read_file(struct tokenizer *t, struct err *e)
{
    size_t n;
    char *path = file_join(t->dir, "chat_template.jinja", e), *text = NULL;
    int rc = path ? 0 : -1;
    if (path && file_exists(path)) {
        text = file_read(path, &n, e);
        json_decref(t->templates);
        t->templates = NULL;
        rc = text && !add_template(t, "default", text, n, e) ? 0 : -1;
    }
    free(path);
    free(text);
    return rc;
}

/* A special token as a string, or an object with its "content". */
static int add_special(json_t *to, const char *key, const json_t *v, struct err *e)
{
    const json_t *content = json_object_get(v, "content"), *s = content ? content : v;
    if (!json_string_length(s))
        return 0;
    return json_object_set(to, key, (json_t *)s) ? err_no_memory(e, NULL) : 0;
}

static int read_specials(struct tokenizer *t, const struct tok_settings *b, struct err *e)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    const char *key;
    json_t *v;
    const json_t *list = tok_settings_token(b, "additional_special_tokens");
    if (!(t->specials = json_object()))
        return err_no_memory(e, NULL);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (add_special(t->specials, keys[i], tok_settings_token(b, keys[i]), e))
            return -1;
    json_object_foreach(json_object_get(b->config, "extra_special_tokens"), key,
                        v) if (add_special(t->specials, key, v, e)) return -1;
    json_t *texts = json_array();
    size_t i;
    json_array_foreach(list, i, v)
    {
        const json_t *content = json_object_get(v, "content");
        json_array_append(texts, (json_t *)(content ? content : v));
    }
    int rc =
        json_array_size(texts) && json_object_set(t->specials, "additional_special_tokens", texts)
            ? err_no_memory(e, NULL)
            : 0;
    json_decref(texts);
    return rc;
}

int tok_read_templates(struct tokenizer *t, const struct tok_settings *b, struct err *e)
{
    return read_config(t, json_object_get(b->config, "chat_template"), e) || read_file(t, e) ||
           read_specials(t, b, e);
}

/* tokenizer.chat_template, and with "tokenizer.chat_templates", a list of names, also
 * tokenizer.chat_template.NAME. */
int tok_read_gguf_templates(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    const struct gguf_str *names;
    struct gguf_str s;
    char key[160], name[96];
    size_t n;
    if (gguf_text(m, "tokenizer.chat_template", &s) && add_template(t, "default", s.s, s.n, e))
        return -1;
    if (!gguf_strings(m, "tokenizer.chat_templates", &names, &n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (names[i].n >= sizeof name)
            return err_set(e, "'tokenizer.chat_templates' holds a name of %zu bytes", names[i].n);
        snprintf(name, sizeof name, "%.*s", (int)names[i].n, names[i].s);
        snprintf(key, sizeof key, "tokenizer.chat_template.%s", name);
        if (gguf_text(m, key, &s) && add_template(t, name, s.s, s.n, e))
            return -1;
    }
    return 0;
}

const char *tokenizer_chat_template(const struct tokenizer *t, const char *name)
{
    return json_string_value(json_object_get(t->templates, name ? name : "default"));
}

json_t *tokenizer_special_tokens(const struct tokenizer *t, struct err *e)
{
    const struct {
        const char *key;
        int id;
    } named[] = {{"bos_token", t->bos},
                 {"eos_token", t->eos},
                 {"pad_token", t->pad == t->eos ? -1 : t->pad},
                 {"unk_token", t->unk}};
    json_t *j = t->specials ? json_copy(t->specials) : json_object();
    for (size_t i = 0; j && i < sizeof named / sizeof *named; i++) {
        size_t n;
        const char *s = named[i].id < 0 ? NULL : vocab_text(&t->vocab, named[i].id, &n);
        if (s && n && !json_object_get(j, named[i].key))
            json_object_set_new(j, named[i].key, json_stringn(s, n));
    }
    if (!j)
        err_no_memory(e, NULL);
    return j;
}

json_t *tok_template_json(const struct tokenizer *t)
{
    const char *name;
    json_t *text, *list;
    if (json_object_size(t->templates) == 1 && tokenizer_chat_template(t, NULL))
        return json_incref(json_object_get(t->templates, "default"));
    if (!json_object_size(t->templates) || !(list = json_array()))
        return NULL;
    json_object_foreach(t->templates, name, text)
        json_array_append_new(list, json_pack("{sssO}", "name", name, "template", text));
    return list;
}

/* The table of guards, and guards from a text or a file. */
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "data/rows.h"
#include "guard/private.h"

extern const struct guard guard_prefix, guard_prompt_filter, guard_output_filter, guard_classifier,
    guard_memory, guard_icul, guard_eco, guard_whp, guard_uld, guard_offset, guard_divergence,
    guard_logit_bias, guard_ngram_block, guard_steer;

const struct guard *const guards[] = {
    &guard_prefix,     &guard_prompt_filter, &guard_output_filter, &guard_classifier, &guard_memory,
    &guard_icul,       &guard_eco,           &guard_whp,           &guard_uld,        &guard_offset,
    &guard_divergence, &guard_logit_bias,    &guard_ngram_block,   &guard_steer,      NULL};

static const char format[] = "unlearn guard";

/* --- text: NAME:KEY=VALUE,KEY=VALUE+NAME --- */

/* The next piece up to one of `ends`, without the backslashes before them; *at moves past it.
 * *end gets what ended it, NUL at the end of the text. Owned by the caller. */
static char *piece(const char **at, const char *ends, char *end, struct err *e)
{
    char *out = mem_alloc(strlen(*at) + 1, 1, e), *to = out;
    const char *s = *at;
    for (; out && *s && !strchr(ends, *s); s++) {
        if (*s == '\\' && (s[1] == ',' || s[1] == '+'))
            s++;
        *to++ = *s;
    }
    *end = *s;
    *at = *s ? s + 1 : s;
    return out;
}

static int parse_option(const char **at, char *end, json_t *options, struct err *e)
{
    char *key = piece(at, "=,+", end, e);
    if (!key)
        return -1;
    int rc =
        *end == '=' ? 0 : err_about(e, "guard", "'%.80s' is no PARAMETER=VALUE of a guard", key);
    char *value = rc ? NULL : piece(at, ",+", end, e);
    rc = rc || !value ? -1
         : json_object_set_new(options, key, json_string(value))
             ? err_about(e, "guard", "'%.80s' is no UTF-8", value)
             : 0;
    free(key);
    free(value);
    return rc;
}

/* A new list [{"name", "options"}]. */
static json_t *parse(const char *text, struct err *e)
{
    json_t *all = json_array();
    char end = '+';
    while (all && end) {
        char *name = piece(&text, ":+", &end, e);
        json_t *options = json_object();
        int rc = !name || json_array_append_new(
                              all, json_pack("{s:s, s:o}", "name", name, "options", options));
        free(name);
        while (!rc && (end == ':' || end == ','))
            rc = parse_option(&text, &end, options, e);
        if (rc) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

/* --- a file --- */

static json_t *read_list(const char *path, struct err *e)
{
    const char *is = NULL;
    json_t *file = json_read_file(path, e), *list = NULL;
    if (!file)
        return NULL;
    if (!json_is_object(file) || json_opt_str(file, "format", &is, e) || !is || strcmp(is, format))
        err_code(e, ERR_BAD_FILE, "'%s' is no guard: it has no \"format\": \"%s\"", path, format);
    else if (!json_is_array(list = json_object_get(file, "guards")) || !json_array_size(list))
        err_code(e, ERR_BAD_FILE, "'%s': 'guards' must be a list of guards", path);
    json_t *out = json_is_array(list) && json_array_size(list) ? json_incref(list) : NULL;
    json_decref(file);
    return out;
}

static char *dir_of(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    return slash ? mem_strndup(path, (size_t)(slash - path) + !(slash - path), e)
                 : mem_strdup(".", e);
}

int guards_save(const struct guards *g, const char *path, struct err *e)
{
    json_t *file = json_pack("{s:s, s:O}", "format", format, "guards", g->source);
    int rc = file ? json_write_file(file, path, JSON_INDENT(2), e) : err_no_memory(e, "guard");
    json_decref(file);
    return rc;
}

/* --- opening --- */

static int take_options(struct guard_part *p, const json_t *options, struct err *e)
{
    const char *key;
    json_t *value;
    if (options && !json_is_object(options))
        return err_set(e, "'options' must be an object");
    json_object_foreach((json_t *)options, key, value)
    {
        const struct param *param = p->row->params ? param_find(p->row->params, key) : NULL;
        if (!param)
            return err_set(e, "no parameter '%.60s'; 'unlearn guard %s' lists them", key,
                           p->row->name);
        if (json_is_string(value)
                ? param_set_text(param, p->choice.params, json_string_value(value), e)
                : param_set_json(param, p->choice.params, value, e))
            return -1;
    }
    return 0;
}

static int take_part(struct guards *g, const json_t *item, struct err *e)
{
    struct guard_part *p = &g->part[g->n];
    const char *name;
    if (g->n == GUARDS_MOST)
        return err_about(e, "guard", "there are more than %d guards", GUARDS_MOST);
    if (!json_is_object(item) || json_need_str(item, "name", &name, e))
        return json_is_object(item) ? -1 : err_set(e, "a guard must be an object with a name");
    *p = (struct guard_part){.host = &g->host, .number = g->n, .dir = g->dir};
    if (!(p->row = table_find(guards, "guard", name, e)))
        return err_subject(e, "guard");
    g->n++;
    if (choice_init(&p->choice, p->row, NULL, e) ||
        take_options(p, json_object_get(item, "options"), e))
        return err_prefix(e, "%s: ", p->row->name), err_subject(e, "guard");
    return 0;
}

static struct guards *take(const char *text, struct err *e)
{
    struct guards *g = mem_alloc(1, sizeof *g, e);
    const bool is_file = strstr(text, ".json") && file_exists(text);
    if (!g)
        return NULL;
    int rc = (is_file && !(g->dir = dir_of(text, e))) ||
             !(g->source = is_file ? read_list(text, e) : parse(text, e));
    for (size_t i = 0; !rc && i < json_array_size(g->source); i++)
        rc = take_part(g, json_array_get(g->source, i), e);
    if (!rc)
        return g;
    guards_close(g);
    return NULL;
}

int guards_check(const char *text, struct err *e)
{
    struct guards *g = take(text, e);
    guards_close(g);
    return g ? 0 : -1;
}

static int hash_file(void *hash, const char *path, struct err *e)
{
    size_t n;
    char *bytes = file_read(path, &n, e);
    if (bytes)
        *(uint64_t *)hash = hash_bytes(*(uint64_t *)hash, bytes, n);
    free(bytes);
    return bytes ? 0 : -1;
}

/* Of the guards, their parameters and the files that these name. */
static int fingerprint(struct guards *g, struct err *e)
{
    struct buf b = {0};
    uint64_t h = HASH_START;
    int rc = json_write_buf(g->source, &b, JSON_SORT_KEYS | JSON_COMPACT, e);
    if (!rc)
        h = hash_bytes(h, b.data, b.len);
    buf_fini(&b);
    for (int i = 0; i < g->n && !rc; i++)
        for (const struct param *p = g->part[i].row->params; p && p->name && !rc; p++) {
            const char *file = NULL;
            if (p->type == PARAM_STRING && p->meta && !strcmp(p->meta, "FILE"))
                memcpy(&file, (const char *)g->part[i].choice.params + p->offset, sizeof file);
            rc = file ? rows_each_file(file, hash_file, &h, e) : 0;
        }
    g->hook.fingerprint = h;
    return rc;
}

struct guards *guards_open(const char *text, const struct guard_host *host, struct err *e)
{
    struct guards *g = take(text, e);
    if (!g)
        return NULL;
    g->host = *host;
    g->hook = (struct model_guard){.generate = guards_generate, .score = guards_score, .ctx = g};
    int rc = (g->notes = json_array()) ? 0 : err_no_memory(e, "guard");
    for (int i = 0; i < g->n && !rc; i++) {
        struct guard_part *p = &g->part[i];
        if (p->row->reads_text && !host->tok)
            rc = err_about(e, "guard", "guard '%s' reads text, and the model has no tokenizer",
                           p->row->name);
        else if (p->row->open && p->row->open(p, e))
            rc = err_prefix(e, "guard '%s': ", p->row->name);
    }
    if (!rc && !fingerprint(g, e))
        return g;
    guards_close(g);
    return NULL;
}

void guards_close(struct guards *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n; i++) {
        if (g->part[i].row->close)
            g->part[i].row->close(&g->part[i]);
        choice_fini(&g->part[i].choice);
    }
    json_decref(g->source);
    json_decref(g->notes);
    free(g->dir);
    free(g->pre.v);
    free(g->post.v);
    free(g);
}

struct model_guard *guards_hook(struct guards *g)
{
    return &g->hook;
}

const json_t *guards_notes(const struct guards *g)
{
    return g->notes;
}

json_t *guards_report(const struct guards *g, struct err *e)
{
    json_t *list = json_array();
    for (int i = 0; i < g->n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:O?, s:I}", "guard", g->part[i].row->name, "options",
                            json_object_get(json_array_get(g->source, (size_t)i), "options"),
                            "fired", (json_int_t)g->part[i].fired));
    json_t *all = json_pack("{s:I, s:I, s:o}", "prompts", (json_int_t)g->hook.prompts, "fired",
                            (json_int_t)g->hook.fired, "guards", list);
    if (!all)
        err_no_memory(e, "guard");
    return all;
}

int guard_note(struct guard_part *p, struct guard_prompt *q, const char *action, struct err *e,
               const char *why, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, why);
    vsnprintf(text, sizeof text, why, ap);
    va_end(ap);
    struct buf clean = {0};
    int rc = utf8_clean(&clean, text, strlen(text), e);
    if (!rc && json_array_append_new(q->notes, json_pack("{s:s, s:s, s:s}", "guard", p->row->name,
                                                         "action", action, "why", clean.data)))
        rc = err_no_memory(e, "guard");
    buf_fini(&clean);
    p->fired++;
    q->fired |= 1u << p->number;
    return rc;
}

char *guard_fill(const char *text, const char *target, struct err *e)
{
    static const char slot[] = "{target}";
    struct buf b = {0};
    const char *hit;
    int rc = 0;
    for (; !rc && target && (hit = strstr(text, slot)); text = hit + sizeof slot - 1)
        rc = buf_add(&b, text, (size_t)(hit - text), e) || buf_str(&b, target, e);
    if (!rc && !buf_str(&b, text, e))
        return b.data;
    buf_fini(&b);
    return NULL;
}

#include "text/chat.h"

#include <string.h>

#include "base/mem.h"

static const char own_name[] = "its own", not_readable[] = "not readable";

int chat_text_add(struct chat_text *out, const char *content, struct err *e)
{
    size_t from = out->text.len;
    if (mem_reserve(&out->spans, &out->cap, out->n + 1, sizeof *out->spans, e) ||
        buf_str(&out->text, content, e))
        return -1;
    out->spans[out->n++] = (struct text_span){from, out->text.len};
    return 0;
}

void chat_text_clear(struct chat_text *out)
{
    buf_clear(&out->text);
    out->n = 0;
}

void chat_text_fini(struct chat_text *out)
{
    buf_fini(&out->text);
    free(out->spans);
    *out = (struct chat_text){0};
}

int chat_render(const struct chat *c, const struct message *m, int n, bool generation_prompt,
                struct chat_text *out, struct err *e)
{
    static const struct message none[1];
    struct jinja_input in = {.vars = c->vars,
                             .messages = m ? m : none,
                             .n_messages = n,
                             .generation_prompt = generation_prompt,
                             .date = c->date};
    if (jinja_render(c->jinja, &in, out, e))
        return c->own ? -1 : err_prefix(e, "chat template '%s': ", c->name);
    return 0;
}

const char *chat_end_token(const struct chat *c)
{
    return c->end;
}

bool chat_has_system_turn(const struct chat *c)
{
    return c->system_turn;
}

/* Probe messages that occur in no template, to find where contents are rendered. */
#define SYSTEM "qSystemq"
#define ASKED  "qAskedq"
#define ANSWER "qAnswerq"
#define AGAIN  "qAgainq"
static const struct message probe[] = {
    {"system", SYSTEM}, {"user", ASKED}, {"assistant", ANSWER}, {"user", AGAIN}};

/* The rendering of probe[from..to), or NULL. Owned by `out`. */
static const char *try(const struct chat *c, int from, int to, struct chat_text *out, struct err *e)
{
    chat_text_clear(out);
    if (chat_render(c, probe + from, to - from, false, out, e))
        return NULL;
    return out->text.data ? out->text.data : "";
}

static int set_text(struct chat *c, const char *key, const char *value, size_t n, struct err *e)
{
    json_t *s = json_stringn(value, n);
    return !s || json_object_set_new(c->vars, key, s)
               ? err_set(e, "out of memory, or '%s' is not valid UTF-8", key)
               : 0;
}

/* The first special token of what follows an answer. */
static int find_end(struct chat *c, const struct tokenizer *t, struct err *e)
{
    struct chat_text text = {0};
    struct ids ids = {0};
    const char *s = try(c, 1, 3, &text, e), *rest;
    if (!s)
        s = try(c, 0, 3, &text, e);
    rest = s ? strstr(s, ANSWER) : NULL;
    int rc = s ? 0 : -1;
    if (rest) {
        rest += strlen(ANSWER);
        rc = tokenizer_encode(t, rest, strlen(rest), true, &ids, e);
    }
    for (size_t i = 0; i < ids.n && !c->end && !rc; i++) {
        size_t n;
        const char *token = tokenizer_token(t, ids.v[i], &n);
        if (tokenizer_is_special(t, ids.v[i]) && token && !(c->end = mem_strndup(token, n, e)))
            rc = -1;
    }
    free(ids.v);
    chat_text_fini(&text);
    return rc;
}

/* Bytes that a[0..n) and b[0..m) have in common at their ends. */
static size_t common_end(const char *a, size_t n, const char *b, size_t m)
{
    size_t k = 0;
    while (k < n && k < m && a[n - 1 - k] == b[m - 1 - k])
        k++;
    return k;
}

/* A system message is a separate turn if the opening of the user's turn follows it. That opening is
 * the common text before a first and a second question. */
static void find_system(struct chat *c)
{
    struct chat_text first = {0}, second = {0}, with = {0};
    struct err e;
    const char *a = try(c, 1, 2, &first, &e), *b = try(c, 1, 4, &second, &e),
               *s = try(c, 0, 2, &with, &e);
    const char *asked = a ? strstr(a, ASKED) : NULL, *answer = b ? strstr(b, ANSWER) : NULL;
    const char *again = answer ? strstr(answer, AGAIN) : NULL;
    const char *system = s ? strstr(s, SYSTEM) : NULL,
               *user = system ? strstr(system, ASKED) : NULL;
    if (asked && again && user) {
        const char *gap = answer + strlen(ANSWER), *from = system + strlen(SYSTEM);
        size_t n = common_end(a, (size_t)(asked - a), gap, (size_t)(again - gap));
        c->system_turn = n && n == common_end(asked - n, n, from, (size_t)(user - from));
    }
    if (system) {
        s = try(c, 0, 3, &with, &e);
        c->system_unlearnt = s && !strstr(s, SYSTEM);
    }
    chat_text_fini(&first);
    chat_text_fini(&second);
    chat_text_fini(&with);
}

/* A tag as the user writes it, with {bos} and {eos} replaced by their tokens. */
static int set_tag(struct chat *c, const char *key, const char *s, struct err *e)
{
    static const char *const words[][2] = {{"{bos}", "bos_token"}, {"{eos}", "eos_token"}};
    struct buf text = {0};
    int rc = buf_str(&text, "", e);
    while (*s && !rc) {
        size_t i = 0;
        while (i < 2 && strncmp(s, words[i][0], strlen(words[i][0])))
            i++;
        if (i == 2) {
            rc = buf_add(&text, s++, 1, e);
            continue;
        }
        const char *token = json_string_value(json_object_get(c->vars, words[i][1]));
        if (!token && i)
            rc = err_set(e, "a tag needs an end-of-text token, and the tokenizer names none");
        else
            rc = buf_str(&text, token ? token : "", e);
        s += strlen(words[i][0]);
    }
    if (!rc)
        rc = set_text(c, key, text.data, text.len, e);
    buf_fini(&text);
    return rc;
}

/* Special tokens by their names in transformers, then the user's tags and date. */
static int make_vars(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
                     struct err *e)
{
    static const char *const roles[CHAT_ROLES] = {"system", "user", "assistant"};
    char key[32];
    if (!(c->vars = tokenizer_special_tokens(t, e)))
        return -1;
    if (choice->date && set_text(c, "date_string", choice->date, strlen(choice->date), e))
        return -1;
    for (int r = 0; r < CHAT_ROLES; r++) {
        snprintf(key, sizeof key, "%s_tag", roles[r]);
        if (choice->tags[r] && set_tag(c, key, choice->tags[r], e))
            return -1;
        snprintf(key, sizeof key, "%s_end", roles[r]);
        if (choice->ends[r] && set_tag(c, key, choice->ends[r], e))
            return -1;
    }
    return 0;
}

static int compile_row(struct chat *c, const struct chat_row *row, struct err *e)
{
    struct buf text = {0};
    int rc = buf_str(&text, chat_prelude, e) || buf_str(&text, row->jinja, e);
    c->name = row->name;
    c->jinja = rc ? NULL : jinja_compile(text.data, text.len, e);
    buf_fini(&text);
    if (!c->jinja)
        return -1;
    const char *end = row->end_token;
    if (end && !strcmp(end, "{eos}"))
        end = json_string_value(json_object_get(c->vars, "eos_token"));
    return end && !(c->end = mem_strdup(end, e)) ? -1 : 0;
}

/* Compiles the chosen template into c->jinja; "none" leaves it empty. */
static int choose(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
                  struct err *e)
{
    const char *name = choice->template, *jinja = tokenizer_chat_template(t, name);
    bool tagged = false;
    for (int r = 0; r < CHAT_ROLES; r++)
        tagged |= choice->tags[r] || choice->ends[r];
    if (name && !strcmp(name, "none"))
        return tagged ? err_set(e, "template 'none' and tags cannot both be asked for") : 0;
    if (make_vars(c, t, choice, e))
        return -1;
    if (jinja && (name || !tagged)) {
        c->name = own_name;
        c->own = true;
        c->jinja = jinja_compile(jinja, strlen(jinja), e);
        return c->jinja && !find_end(c, t, e) ? 0 : -1;
    }
    if (!name && !tagged)
        return err_about(e, "template", "it has no chat template");
    const struct chat_row *row = name ? chat_by_name(name, e) : chat_row_tags();
    return row ? compile_row(c, row, e) : -1;
}

int chat_open(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
              struct err *e)
{
    *c = (struct chat){.date = choice->date};
    if (choose(c, t, choice, e)) {
        chat_close(c);
        return -1;
    }
    if (c->jinja)
        find_system(c);
    return 0;
}

void chat_close(struct chat *c)
{
    jinja_free(c->jinja);
    json_decref(c->vars);
    free(c->end);
    *c = (struct chat){0};
}

/* Whether two templates render all probes equally. */
static bool alike(const struct chat *a, const struct chat *b)
{
    static const struct message spaced[] = {{"system", " s "},
                                            {"user", " u\n"},
                                            {"assistant", "\n a "},
                                            {"user", "\tv "},
                                            {"tool", "t"}};
    static const int parts[][2] = {{0, 2}, {1, 2}, {0, 3}, {1, 3}, {0, 4}, {1, 4}, {2, 3}, {0, 5}};
    bool same = true;
    for (size_t i = 0; same && i < 2 * sizeof parts / sizeof *parts; i++) {
        const int *p = parts[i / 2];
        struct chat_text x = {0}, y = {0};
        struct err e;
        bool fine = !chat_render(a, spaced + p[0], p[1] - p[0], i % 2, &x, &e);
        same =
            fine == !chat_render(b, spaced + p[0], p[1] - p[0], i % 2, &y, &e) &&
            (!fine || (x.text.len == y.text.len && !memcmp(x.text.data, y.text.data, x.text.len)));
        chat_text_fini(&x);
        chat_text_fini(&y);
    }
    return same;
}

const char *chat_name_of(const struct tokenizer *t)
{
    const char *name = tokenizer_chat_template(t, NULL) ? not_readable : NULL;
    struct chat own, other;
    struct err e;
    if (!name || chat_open(&own, t, &(struct chat_choice){0}, &e))
        return name;
    name = own_name;
    for (int i = 0; name == own_name && chat_row_at(i); i++) {
        other = (struct chat){0};
        if (!make_vars(&other, t, &(struct chat_choice){0}, &e) &&
            !compile_row(&other, chat_row_at(i), &e) && alike(&own, &other))
            name = other.name;
        chat_close(&other);
    }
    chat_close(&own);
    return name;
}

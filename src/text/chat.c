#include "text/chat.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static const char default_date[] = "26 Jul 2024"; /* llama 3's, where nobody says what day it is */
static const char thoughts[] = "<think>\n\n</think>\n\n";
static const char *const role_names[CHAT_ROLES] = {"system", "user", "assistant"};

static int role_of(const char *name)
{
    for (int r = 0; r < CHAT_ROLES; r++)
        if (!strcmp(name, role_names[r]))
            return r;
    return -1;
}

/* The white space that Python's str.strip() knows: its bytes at s[0..n), or 0. */
static size_t space(const char *s, size_t n)
{
    static const char *const wide[] = {"\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001",
                                       "\u2002",   "\u2003", "\u2004", "\u2005", "\u2006",
                                       "\u2007",   "\u2008", "\u2009", "\u200a", "\u2028",
                                       "\u2029",   "\u202f", "\u205f", "\u3000"};
    if (*s == ' ' || (*s >= '\t' && *s <= '\r') || (*s >= 0x1c && *s <= 0x1f))
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strlen(wide[i]) <= n && !memcmp(s, wide[i], strlen(wide[i])))
            return strlen(wide[i]);
    return 0;
}

static const char *skip_space(const char *s)
{
    for (size_t n; *s && (n = space(s, strlen(s))); s += n)
        ;
    return s;
}

/* Takes white space off the end, but nothing before `floor`. */
static void trim_end(struct chat_text *t, size_t floor)
{
    char *s = t->text.data;
    size_t len = t->text.len;
    for (;;) {
        size_t at = len;
        while (at > floor && at + 4 > len && (s[--at] & 0xc0) == 0x80)
            ;
        if (at == len || space(s + at, len - at) != len - at)
            break;
        len = at;
    }
    t->text.len = len;
    if (s)
        s[len] = 0;
    for (size_t i = t->n; i-- && t->spans[i].to > len;) {
        t->spans[i].to = len;
        t->spans[i].from = t->spans[i].from < len ? t->spans[i].from : len;
    }
}

int chat_text_add(struct chat_text *out, const char *content, struct err *e)
{
    size_t from = out->text.len;
    if (mem_reserve(&out->spans, &out->cap, out->n + 1, sizeof *out->spans, e) ||
        buf_str(&out->text, content, e))
        return -1;
    out->spans[out->n++] = (struct span){from, out->text.len};
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

/* Writes what stands for the word at `s`, a brace, and returns what is behind it. */
static const char *add_word(const struct chat *c, const char *s, struct buf *out, struct err *e)
{
    const struct {
        const char *name, *text;
    } words[] = {{"{bos}", c->bos ? c->bos : ""}, {"{eos}", c->eos}, {"{date}", c->date}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].name);
        if (strncmp(s, words[i].name, n))
            continue;
        if (!words[i].text) {
            err_set(e,
                    "chat template '%s' needs an end-of-text token, and the tokenizer names none",
                    c->f.name);
            return NULL;
        }
        return buf_str(out, words[i].text, e) ? NULL : s + n;
    }
    return buf_add(out, s, 1, e) ? NULL : s + 1;
}

static int add_tag(const struct chat *c, const char *s, struct chat_text *out, struct err *e)
{
    while (s && *s) {
        size_t n = strcspn(s, "{");
        if (buf_add(&out->text, s, n, e))
            return -1;
        s += n;
        if (*s && !(s = add_word(c, s, &out->text, e)))
            return -1;
    }
    return 0;
}

struct turn {
    enum chat_role role;
    const char *content;
    const char *system;      /* text of the system in front of a user's; NULL: none */
    bool first, last, asked; /* of all turns; whether a user's came before */
};

static int add_content(const struct chat *c, const struct turn *t, struct chat_text *out,
                       struct err *e)
{
    const struct chat_tag *system = &c->f.tags[CHAT_SYSTEM];
    const char *s = t->content;
    bool joined = t->system && c->f.rules & TRIM_JOINED, trim = c->f.rules & 1u << t->role;
    size_t floor = out->text.len;
    if (t->system && (add_tag(c, system->open, out, e) || chat_text_add(out, t->system, e) ||
                      add_tag(c, system->close, out, e)))
        return -1;
    if (!joined)
        floor = out->text.len;
    if (trim && !joined)
        s = skip_space(s);
    if (chat_text_add(out, s, e))
        return -1;
    if (trim)
        trim_end(out, floor);
    return 0;
}

static int add_turn(const struct chat *c, struct turn *t, struct chat_text *out, struct err *e)
{
    const struct chat_family *f = &c->f;
    if (t->role == CHAT_SYSTEM && f->rules & SKIP_EMPTY && !*t->content)
        return 0;
    if (add_tag(c, f->tags[t->role].open, out, e))
        return -1;
    if (t->role == CHAT_SYSTEM && t->first && add_tag(c, f->preface, out, e))
        return -1;
    if (t->role == CHAT_ASSISTANT && t->last && t->asked && f->rules & ENTER_THINKING) {
        if (add_tag(c, thoughts, out, e))
            return -1;
        t->content += strspn(t->content, "\n");
    }
    bool last = t->role == CHAT_ASSISTANT && t->last && f->last_close;
    return add_content(c, t, out, e) ||
                   add_tag(c, last ? f->last_close : f->tags[t->role].close, out, e)
               ? -1
               : 0;
}

/* What the templates refuse themselves, or treat in ways that are not ours. */
static int check(const struct chat_family *f, const struct message *m, int n, struct err *e)
{
    bool apart = n && f->system != SYSTEM_TURN && !strcmp(m[0].role, role_names[CHAT_SYSTEM]);
    for (int i = 0; i < n; i++) {
        int role = role_of(m[i].role);
        bool placed = f->system == SYSTEM_TURN ? f->tags[CHAT_SYSTEM].open != NULL
                                               : f->system != SYSTEM_NONE && i == 0;
        if (role < 0 || (role == CHAT_SYSTEM && !placed))
            return err_set(e, "chat template '%s' has no %sturn for the role '%.64s'", f->name,
                           role < 0 || f->system == SYSTEM_NONE ? "" : "such ", m[i].role);
        if (f->rules & ALTERNATE && role != CHAT_SYSTEM &&
            (role == CHAT_USER) != ((i - apart) % 2 == 0))
            return err_set(e,
                           "turn %d is the %s's, but in chat template '%s' user and assistant "
                           "take turns, the user first",
                           i + 1, m[i].role, f->name);
        if (f->rules & ENTER_THINKING && role == CHAT_ASSISTANT && strstr(m[i].content, "</think>"))
            return err_set(e,
                           "turn %d holds '</think>': thoughts cannot be given in chat template "
                           "'%s'",
                           i + 1, f->name);
    }
    return 0;
}

int chat_render(const struct chat *c, const struct message *m, int n, bool generation_prompt,
                struct chat_text *out, struct err *e)
{
    const struct chat_family *f = &c->f;
    const char *folded = NULL;
    bool asked = false, any = n > 0;
    if (check(f, m, n, e) || (any && add_tag(c, f->begin, out, e)))
        return -1;
    if (any && role_of(m[0].role) == CHAT_SYSTEM && f->system != SYSTEM_TURN) {
        folded = m++->content;
        n--;
    } else if (any && role_of(m[0].role) != CHAT_SYSTEM && f->default_system) {
        struct turn t = {.role = CHAT_SYSTEM, .content = f->default_system, .first = true};
        if (add_turn(c, &t, out, e))
            return -1;
    }
    for (int i = 0; i < n; i++) {
        int role = role_of(m[i].role);
        struct turn t = {.role = (enum chat_role)role,
                         .content = m[i].content,
                         .first = i == 0,
                         .last = i == n - 1,
                         .asked = asked};
        asked |= role == CHAT_USER;
        if (role == CHAT_USER && i == (f->system == SYSTEM_LAST ? n - 1 : 0))
            t.system = folded;
        if (add_turn(c, &t, out, e))
            return -1;
    }
    if (!generation_prompt)
        return any ? add_tag(c, f->end, out, e) : 0;
    return add_tag(c, f->generation ? f->generation : f->tags[CHAT_ASSISTANT].open, out, e);
}

const char *chat_end_token(const struct chat *c)
{
    const char *s = c->f.end_token;
    return s && !strcmp(s, "{eos}") ? c->eos : s;
}

bool chat_has_system_turn(const struct chat *c)
{
    return c->f.name && c->f.system == SYSTEM_TURN && c->f.tags[CHAT_SYSTEM].open;
}

/* The row to start from, in c->f; a name of "none" leaves it empty. */
static int choose(struct chat *c, const char *jinja, const struct chat_choice *choice, bool tagged,
                  struct err *e)
{
    const struct chat_family *f;
    if (choice->template && !strcmp(choice->template, "none"))
        return tagged ? err_set(e, "template 'none' and tags cannot both be asked for") : 0;
    if (!choice->template && tagged) {
        c->f = (struct chat_family){.name = "tags", .system = SYSTEM_NONE};
        return 0;
    }
    if (!choice->template && !jinja)
        return err_set(e, "it has no chat template; name one by --template (plain: questions and "
                          "answers in plain text, none: text as it is)");
    f = choice->template ? chat_by_name(choice->template, e) : chat_recognise(jinja, e);
    if (f)
        c->f = *f;
    return f ? 0 : -1;
}

static void take_tags(struct chat_family *f, const struct chat_choice *choice)
{
    for (int r = 0; r < CHAT_ROLES; r++) {
        if (choice->tags[r])
            f->tags[r].open = choice->tags[r];
        if (choice->ends[r])
            f->tags[r].close = choice->ends[r];
    }
    if (choice->tags[CHAT_SYSTEM])
        f->system = SYSTEM_TURN;
    if (choice->tags[CHAT_ASSISTANT])
        f->generation = NULL;
}

static int copy_token(const struct tokenizer *t, int id, char **out, struct err *e)
{
    size_t n;
    const char *s = tokenizer_token(t, id, &n);
    *out = s ? mem_strndup(s, n, e) : NULL;
    return s && !*out ? -1 : 0;
}

int chat_open(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
              struct err *e)
{
    const char *jinja = tokenizer_chat_template(t);
    bool tagged = false;
    *c = (struct chat){.date = choice->date ? choice->date : default_date};
    for (int r = 0; r < CHAT_ROLES; r++)
        tagged |= choice->tags[r] || choice->ends[r];
    if (choose(c, jinja, choice, tagged, e))
        return -1;
    take_tags(&c->f, choice);
    /* Variants of a template differ in who puts the begin-of-text token: it, or nobody. */
    bool bos = choice->template || tagged || strstr(jinja, "bos_token");
    if ((bos && copy_token(t, tokenizer_bos(t), &c->bos, e)) ||
        copy_token(t, tokenizer_eos(t), &c->eos, e)) {
        chat_close(c);
        return -1;
    }
    return 0;
}

void chat_close(struct chat *c)
{
    free(c->bos);
    free(c->eos);
    *c = (struct chat){0};
}

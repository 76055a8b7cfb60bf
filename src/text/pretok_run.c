/* Runs the pre-tokeniser: each step splits or changes its piece and passes the parts to the next.
 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/regex.h"
#include "text/vocab.h"
#include "text/pretok.h"

/* A pattern may come from a file, so its effort per match is bounded. The tables' own patterns need
 * a few steps per character; what exceeds this is a pattern that backtracks without end. */
enum { MATCH_LIMIT = 10 * 1000 * 1000, HEAP_LIMIT_KIB = 64 << 10, JIT_STACK = 1 << 20 };

struct pretok_work {
    pcre2_general_context *general;
    pcre2_match_context *ctx;
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
    struct level {
        struct buf text;     /* the piece as changed by a step */
        struct piece *parts; /* owned: the parts of a split piece */
        size_t cap;
    } levels[PRETOK_MAX_STEPS + 1];
};

struct pretok_work *pretok_work_new(struct err *e)
{
    struct pretok_work *w = mem_alloc(1, sizeof *w, e);
    if (!w)
        return NULL;
    w->general = regex_memory();
    w->ctx = w->general ? pcre2_match_context_create(w->general) : NULL;
    w->match = w->ctx ? pcre2_match_data_create(1, w->general) : NULL;
    w->stack = w->match ? pcre2_jit_stack_create(32 << 10, JIT_STACK, w->general) : NULL;
    if (!w->stack) {
        pretok_work_free(w);
        err_no_memory(e, NULL);
        return NULL;
    }
    pcre2_set_match_limit(w->ctx, MATCH_LIMIT);
    pcre2_set_heap_limit(w->ctx, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(w->ctx, NULL, w->stack);
    return w;
}

void pretok_work_free(struct pretok_work *w)
{
    if (!w)
        return;
    for (int i = 0; i <= PRETOK_MAX_STEPS; i++) {
        buf_fini(&w->levels[i].text);
        free(w->levels[i].parts);
    }
    pcre2_jit_stack_free(w->stack);
    pcre2_match_data_free(w->match);
    pcre2_match_context_free(w->ctx);
    pcre2_general_context_free(w->general);
    free(w);
}

int pretok_match(pcre2_code *regex, struct pretok_work *w, const char *s, size_t n, size_t at,
                 size_t *from, size_t *to, struct err *e)
{
    *from = *to = n;
    int rc = pcre2_match(regex, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, w->match,
                         w->ctx);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0)
        return err_set(e, "takes too many steps on this text");
    *from = pcre2_get_ovector_pointer(w->match)[0];
    *to = pcre2_get_ovector_pointer(w->match)[1];
    return *from < at || *to <= *from ? err_set(e, "moves backwards") : 0;
}

struct pretok_run {
    const struct pretok *p;
    struct pretok_work *w;
    bool symbols; /* the words are symbols of bytes now */
    pretok_emit *emit;
    void *ctx;
};

/* A part of the text; `first`: the text starts with it. */
struct piece {
    const char *s;
    size_t n;
    bool first;
    bool match;
};

static int run_step(struct pretok_run *r, int k, struct piece p, struct err *e);

static int emit_word(struct pretok_run *r, struct piece p, struct err *e)
{
    if (!r->symbols)
        return r->emit(r->ctx, p.s, p.n, e);
    struct buf *bytes = &r->w->levels[r->p->n].text;
    buf_clear(bytes);
    for (size_t i = 0, len; i < p.n; i += len) {
        char byte = (char)bytelevel_byte(p.s + i, p.n - i, &len);
        if (buf_add(bytes, &byte, 1, e))
            return -1;
    }
    return r->emit(r->ctx, bytes->data, bytes->len, e);
}

/* One piece after the other, as matches follow each other: what most vocabularies do. */
static int isolate(struct pretok_run *r, int k, struct piece p, struct err *e)
{
    const struct pretok_step *step = &r->p->steps[k];
    for (size_t at = 0, from, to; at < p.n; at = to) {
        size_t known = step->scan ? step->scan(p.s + at, p.n - at) : 0;
        from = at;
        to = at + known;
        if (!known && pretok_match(step->regex, r->w, p.s, p.n, at, &from, &to, e))
            return err_prefix(e, "pattern '%s' ", step->pattern);
        if (run_step(r, k + 1, (struct piece){p.s + at, from - at, p.first && !at, false}, e) ||
            run_step(r, k + 1, (struct piece){p.s + from, to - from, p.first && !from, true}, e))
            return -1;
    }
    return 0;
}

/* Matches and what lies between them, in order. */
static int find_parts(struct pretok_run *r, int k, struct piece p, size_t *n, struct err *e)
{
    const struct pretok_step *step = &r->p->steps[k];
    struct level *l = &r->w->levels[k];
    *n = 0;
    for (size_t at = 0, from, to; at < p.n; at = to) {
        if (pretok_match(step->regex, r->w, p.s, p.n, at, &from, &to, e))
            return err_prefix(e, "pattern '%s' ", step->pattern);
        if (mem_reserve(&l->parts, &l->cap, *n + 2, sizeof *l->parts, e))
            return -1;
        if (from > at)
            l->parts[(*n)++] = (struct piece){p.s + at, from - at, p.first && !at, step->invert};
        if (to > from)
            l->parts[(*n)++] =
                (struct piece){p.s + from, to - from, p.first && !from, !step->invert};
    }
    return 0;
}

/* Whether parts i and i + 1 stay together. A match joins one neighbour, unless that is a match. */
static bool together(const struct piece *parts, size_t i, enum pretok_keep keep)
{
    bool a = parts[i].match, b = parts[i + 1].match;
    return keep == PRETOK_JOIN ? a == b : keep == PRETOK_TO_PREVIOUS ? b && !a : a && !b;
}

static int join_parts(struct pretok_run *r, int k, struct piece p, struct err *e)
{
    size_t n, i, end;
    enum pretok_keep keep = r->p->steps[k].keep;
    if (find_parts(r, k, p, &n, e))
        return -1;
    for (i = 0; i < n; i = end) {
        struct piece one = r->w->levels[k].parts[i];
        for (end = i + 1; end < n && keep != PRETOK_DROP && keep != PRETOK_ISOLATE &&
                          together(r->w->levels[k].parts, end - 1, keep);
             end++)
            one.n += r->w->levels[k].parts[end].n;
        if (!(keep == PRETOK_DROP && one.match) && run_step(r, k + 1, one, e))
            return -1;
    }
    return 0;
}

static int put_space(struct pretok_run *r, int k, struct piece p, struct err *e)
{
    struct buf *text = &r->w->levels[k].text;
    if (*p.s == ' ')
        return run_step(r, k + 1, p, e);
    buf_clear(text);
    if (buf_add(text, " ", 1, e) || buf_add(text, p.s, p.n, e))
        return -1;
    return run_step(r, k + 1, (struct piece){text->data, text->len, p.first, false}, e);
}

static int put_marks(struct pretok_run *r, int k, struct piece p, struct err *e)
{
    static const char mark[] = PRETOK_MARK;
    struct buf *text = &r->w->levels[k].text;
    enum pretok_prepend prepend = r->p->steps[k].prepend;
    bool marked = *p.s == ' ' || (p.n > 2 && !memcmp(p.s, mark, 3));
    buf_clear(text);
    if (!marked && (prepend == PREPEND_ALWAYS || (prepend == PREPEND_FIRST && p.first)) &&
        buf_add(text, mark, 3, e))
        return -1;
    for (size_t i = 0; i < p.n; i++)
        if (p.s[i] == ' ' ? buf_add(text, mark, 3, e) : buf_add(text, p.s + i, 1, e))
            return -1;
    return run_step(r, k + 1, (struct piece){text->data, text->len, p.first, false}, e);
}

static int put_symbols(struct pretok_run *r, int k, struct piece p, struct err *e)
{
    struct buf *text = &r->w->levels[k].text;
    buf_clear(text);
    for (size_t i = 0; i < p.n; i++) {
        char symbol[2];
        if (buf_add(text, symbol, bytelevel_symbol((uint8_t)p.s[i], symbol), e))
            return -1;
    }
    r->symbols = true;
    int rc = run_step(r, k + 1, (struct piece){text->data, text->len, p.first, false}, e);
    r->symbols = false;
    return rc;
}

static int run_step(struct pretok_run *r, int k, struct piece p, struct err *e)
{
    if (!p.n)
        return 0;
    if (k == r->p->n)
        return emit_word(r, p, e);
    const struct pretok_step *step = &r->p->steps[k];
    switch (step->kind) {
    case PRETOK_SPACE:
        return put_space(r, k, p, e);
    case PRETOK_METASPACE:
        return put_marks(r, k, p, e);
    case PRETOK_SYMBOLS:
        return put_symbols(r, k, p, e);
    default:
        return step->keep == PRETOK_ISOLATE ? isolate(r, k, p, e) : join_parts(r, k, p, e);
    }
}

int pretok_run(const struct pretok *p, struct pretok_work *w, const char *s, size_t n, bool first,
               pretok_emit *emit, void *ctx, struct err *e)
{
    struct pretok_run r = {p, w, false, emit, ctx};
    return run_step(&r, 0, (struct piece){s, n, first, false}, e);
}

#include "text/pretok.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/regex.h"

/* A pattern may come from a file, so its effort per match is bounded. The tables' own patterns need
 * a few steps per character; what exceeds this is a pattern that backtracks without end. */
enum { MATCH_LIMIT = 10 * 1000 * 1000, HEAP_LIMIT_KIB = 64 << 10, JIT_STACK = 1 << 20 };

/* Appends the pattern with \s and \S spelt out: PCRE2 counts U+180E as white space, Unicode does
 * not. Nested classes and && exist in Oniguruma only and would silently mean something else. */
static int translate(const char *pattern, struct buf *out, struct err *e)
{
    static const char space[] = "\\t-\\r\\x{85}\\p{Z}";
    bool in_class = false;
    for (const char *p = pattern; *p;) {
        size_t n = *p == '\\' && p[1] ? 2 : 1;
        if (in_class && !strncmp(p, "[:", 2) && strstr(p, ":]"))
            n = (size_t)(strstr(p, ":]") + 2 - p);
        else if (in_class && (*p == '[' || !strncmp(p, "&&", 2)))
            return err_set(e, "pattern '%s' uses set operations, which are not supported", pattern);
        else if (*p == '[' || *p == ']')
            in_class = *p == '[';
        int rc;
        if (!strncmp(p, "\\s", 2))
            rc = buf_printf(out, e, in_class ? "%s" : "[%s]", space);
        else if (!strncmp(p, "\\S", 2) && !in_class)
            rc = buf_printf(out, e, "[^%s]", space);
        else
            rc = buf_add(out, p, n, e);
        if (rc)
            return -1;
        p += n;
    }
    return 0;
}

static pcre2_code *compile(const char *pattern, bool literal, struct err *e)
{
    struct buf text = {0};
    pcre2_code *code = NULL;
    uint32_t flags = literal ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
    if (!(literal ? buf_str(&text, pattern, e) : translate(pattern, &text, e))) {
        if ((code = regex_compile(text.data ? text.data : "", text.len, flags, e)))
            pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it matching is only slower */
        else
            err_prefix(e, "pattern '%s' is not supported: ", pattern);
    }
    buf_fini(&text);
    return code;
}

int pretok_add(struct pretok *p, const char *pattern, bool literal, enum pretok_keep keep,
               struct err *e)
{
    if (p->n == PRETOK_MAX_STEPS)
        return err_set(e, "the pre-tokeniser has more than %d steps", PRETOK_MAX_STEPS);
    struct pretok_step step = {.pattern = mem_strdup(pattern, e), .keep = keep};
    step.regex = step.pattern ? compile(pattern, literal, e) : NULL;
    if (!step.regex) {
        free(step.pattern);
        return -1;
    }
    p->steps[p->n++] = step;
    return 0;
}

void pretok_fini(struct pretok *p)
{
    for (int i = 0; i < p->n; i++) {
        pcre2_code_free(p->steps[i].regex);
        free(p->steps[i].pattern);
    }
    p->n = 0;
}

struct pretok_work {
    pcre2_general_context *general;
    pcre2_match_context *ctx;
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
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
        err_set(e, "out of memory");
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
    pcre2_jit_stack_free(w->stack);
    pcre2_match_data_free(w->match);
    pcre2_match_context_free(w->ctx);
    pcre2_general_context_free(w->general);
    free(w);
}

struct run {
    const struct pretok *p;
    struct pretok_work *w;
    pretok_emit *emit;
    void *ctx;
};

static int run_step(const struct run *r, int k, const char *s, size_t n, struct err *e)
{
    if (!n)
        return 0;
    if (k == r->p->n)
        return r->emit(r->ctx, s, n, e);
    const struct pretok_step *step = &r->p->steps[k];
    for (size_t at = 0; at < n;) {
        size_t from = n, to = n; /* of the match */
        int rc = pcre2_match(step->regex, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                             r->w->match, r->w->ctx);
        if (rc >= 0) {
            from = pcre2_get_ovector_pointer(r->w->match)[0];
            to = pcre2_get_ovector_pointer(r->w->match)[1];
        } else if (rc != PCRE2_ERROR_NOMATCH) {
            return err_set(e, "pattern '%s' takes too many steps on this text", step->pattern);
        }
        if (from < at || to < from || (rc >= 0 && to == at))
            return err_set(e, "pattern '%s' moves backwards", step->pattern);
        if ((step->keep != PRETOK_DROP_GAPS && run_step(r, k + 1, s + at, from - at, e)) ||
            (step->keep != PRETOK_DROP_MATCHES && run_step(r, k + 1, s + from, to - from, e)))
            return -1;
        at = to;
    }
    return 0;
}

int pretok_run(const struct pretok *p, struct pretok_work *w, const char *s, size_t n,
               pretok_emit *emit, void *ctx, struct err *e)
{
    struct run r = {p, w, emit, ctx};
    return run_step(&r, 0, s, n, e);
}

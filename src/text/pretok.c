#include "text/pretok.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/regex.h"

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

pcre2_code *pretok_compile(const char *pattern, bool literal, struct err *e)
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

int pretok_add(struct pretok *p, const struct pretok_step *step, struct err *e)
{
    if (p->n == PRETOK_MAX_STEPS)
        return err_set(e, "the pre-tokeniser has more than %d steps", PRETOK_MAX_STEPS);
    p->steps[p->n++] = *step;
    return 0;
}

int pretok_prefix(struct pretok *p, bool prefix, struct err *e)
{
    const struct pretok_step space = {.kind = PRETOK_SPACE};
    if (!prefix) {
        memmove(p->steps, p->steps + 1, (size_t)--p->n * sizeof *p->steps);
        return 0;
    }
    if (pretok_add(p, &space, e))
        return -1;
    memmove(p->steps + 1, p->steps, (size_t)(p->n - 1) * sizeof *p->steps);
    p->steps[0] = space;
    return 0;
}

int pretok_add_split(struct pretok *p, const char *pattern, bool literal, enum pretok_keep keep,
                     bool invert, struct err *e)
{
    struct pretok_step step = {.kind = PRETOK_SPLIT, .keep = keep, .invert = invert};
    step.pattern = mem_strdup(pattern, e);
    step.regex = step.pattern ? pretok_compile(pattern, literal, e) : NULL;
    step.scan = literal || invert || keep != PRETOK_ISOLATE ? NULL : scan_find(pattern);
    if (step.regex && !pretok_add(p, &step, e))
        return 0;
    pcre2_code_free(step.regex);
    free(step.pattern);
    return -1;
}

void pretok_fini(struct pretok *p)
{
    for (int i = 0; i < p->n; i++) {
        pcre2_code_free(p->steps[i].regex);
        free(p->steps[i].pattern);
    }
    p->n = 0;
}

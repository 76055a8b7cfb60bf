#include "base/regex.h"

#include <string.h>

#include "base/mem.h"

static void *memory_take(size_t n, void *ctx)
{
    (void)ctx;
    struct err ignored;
    return mem_alloc(n, 1, &ignored);
}

static void memory_give(void *p, void *ctx)
{
    (void)ctx;
    free(p);
}

pcre2_general_context *regex_memory(void)
{
    return pcre2_general_context_create(memory_take, memory_give, NULL);
}

pcre2_code *regex_compile(const char *pattern, size_t n, uint32_t flags, struct err *e)
{
    pcre2_code *code = NULL;
    pcre2_general_context *general = regex_memory();
    pcre2_compile_context *ctx = general ? pcre2_compile_context_create(general) : NULL;
    int why;
    PCRE2_SIZE at;
    if (!ctx) {
        err_no_memory(e, NULL);
    } else if (!(code = pcre2_compile((PCRE2_SPTR)pattern, n, flags, &why, &at, ctx))) {
        PCRE2_UCHAR msg[120];
        pcre2_get_error_message(why, msg, sizeof msg);
        err_set(e, "%s", (char *)msg);
    }
    pcre2_compile_context_free(ctx);
    pcre2_general_context_free(general);
    return code;
}

enum { MOST_STEPS = 1000000 };

int pattern_init(struct pattern *p, const char *text, uint32_t flags, struct err *e)
{
    *p = (struct pattern){0};
    if (!(p->code = regex_compile(text, strlen(text), flags, e)))
        return -1;
    pcre2_general_context *general = regex_memory();
    p->match = general ? pcre2_match_data_create_from_pattern(p->code, general) : NULL;
    p->limits = general ? pcre2_match_context_create(general) : NULL;
    pcre2_general_context_free(general);
    if (!p->match || !p->limits)
        return err_no_memory(e, NULL);
    pcre2_set_match_limit(p->limits, MOST_STEPS);
    return 0;
}

int pattern_matches(const struct pattern *p, const char *name, size_t n, bool *yes, struct err *e)
{
    int rc = pcre2_match(p->code, (PCRE2_SPTR)name, n, 0, 0, p->match, p->limits);
    *yes = rc >= 0;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH)
        return 0;
    PCRE2_UCHAR why[120];
    pcre2_get_error_message(rc, why, sizeof why);
    return err_set(e, "on '%.*s': %s", (int)(n > 100 ? 100 : n), name, (char *)why);
}

void pattern_fini(struct pattern *p)
{
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    *p = (struct pattern){0};
}

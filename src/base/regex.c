#include "base/regex.h"

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
        err_set(e, "out of memory");
    } else if (!(code = pcre2_compile((PCRE2_SPTR)pattern, n, flags, &why, &at, ctx))) {
        PCRE2_UCHAR msg[120];
        pcre2_get_error_message(why, msg, sizeof msg);
        err_set(e, "%s", (char *)msg);
    }
    pcre2_compile_context_free(ctx);
    pcre2_general_context_free(general);
    return code;
}

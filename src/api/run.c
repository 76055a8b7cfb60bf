/* Runs of the library (unlearn.h): run/run.h with options by name. */
#include <string.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/table.h"
#include "run/run.h"

struct unlearn_run {
    const struct run_kind *kind;
    struct api_options options;
};

static const struct run_kind *kind_by_name(const char *command)
{
    static const struct run_kind *const kinds[] = {&run_kind_forget, &run_kind_train};
    for (size_t i = 0; command && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->command, command))
            return kinds[i];
    return NULL;
}

int unlearn_run_new(struct unlearn_run **out, const char *command, struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    const struct run_kind *kind = kind_by_name(command);
    *out = NULL;
    if (!kind) {
        err_about(&own, NULL, "there is no run '%.80s': 'forget' and 'train' are known",
                  command ? command : "");
        return api_fail(e, &own);
    }
    struct unlearn_run *r = mem_alloc(1, sizeof *r, &own);
    if (!r || api_options_init(&r->options, &own)) {
        unlearn_run_free(r);
        return api_fail(e, &own);
    }
    r->kind = kind;
    *out = r;
    return 0;
}

void unlearn_run_free(struct unlearn_run *r)
{
    if (r)
        api_options_fini(&r->options);
    free(r);
}

int unlearn_run_set(struct unlearn_run *r, const char *name, const char *value,
                    struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    return api_options_set(&r->options, name, value, &own) ? api_fail(e, &own) : 0;
}

int unlearn_run_rows(struct unlearn_run *r, const char *name, const char *text, size_t n,
                     struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    return api_options_rows(&r->options, name, text, n, &own) ? api_fail(e, &own) : 0;
}

/* The same names for the same directory, so that the run can be resumed with the same rows. */
static int write_rows(struct unlearn_run *r, struct err *e)
{
    const char *out = api_options_text(&r->options, "out");
    struct buf dir = {0};
    size_t n = out ? strlen(out) : 0;
    while (n > 1 && out[n - 1] == '/')
        n--;
    int rc = (n && buf_printf(&dir, e, "%.*s.rows", (int)n, out)) ||
             api_options_write(&r->options, n ? dir.data : NULL, e);
    buf_fini(&dir);
    return rc;
}

static int configure(struct unlearn_run *r, struct run_config *c, struct err *e)
{
    const struct param_taker t = {api_options_take, &r->options};
    for (int k = 0; k < c->n_tables; k++)
        if (api_options_take(&r->options, &c->tables[k], NULL, e))
            return -1;
    return run_config_choose(c, &t, e) || api_options_check(&r->options, c->tables, c->n_tables, e);
}

static const volatile sig_atomic_t *interrupt_of(void *call)
{
    return ((const struct api_call *)call)->hooks.interrupt;
}

static struct unlearn_result result_of(const struct run_result *r)
{
    struct unlearn_result out = {.steps = r->report.steps,
                                 .tokens = r->report.tokens,
                                 .seconds = r->report.seconds,
                                 .loss = r->report.loss,
                                 .finished = r->finished};
    memcpy(out.forget_nll, r->nll.forget, sizeof out.forget_nll);
    memcpy(out.retain_nll, r->nll.retain, sizeof out.retain_nll);
    return out;
}

int unlearn_run_start(struct unlearn_run *r, const struct unlearn_hooks *h,
                      struct unlearn_result *out, struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    struct run_config c;
    struct run_result result;
    api_begin(&call, h);
    const struct run_hooks hooks = {.log = &call.log, .interrupt = interrupt_of, .ctx = &call};
    json_object_clear(r->options.used);
    run_config_init(&c, r->kind);
    const int rc =
        write_rows(r, &own) || configure(r, &c, &own) || run_train(&c, &hooks, &result, &own);
    run_config_fini(&c);
    api_options_unlink(&r->options);
    if (out)
        *out = rc ? (struct unlearn_result){0} : result_of(&result);
    return api_end(&call, rc, e, &own);
}

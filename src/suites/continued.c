#include "suites/continued.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int encode(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                  int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct continued *c = ctx;
    const struct encoder *in = c->inner;
    const int *ids;
    int n, unused;
    buf_clear(&c->text);
    if (in->encode(in->ctx, NULL, prompt, &ids, &unused, &ids, &n, e) ||
        mem_reserve(&c->prompt, &c->cap, (size_t)n, sizeof *c->prompt, e) ||
        buf_printf(&c->text, e, "%s %s", prompt, answer))
        return -1;
    if (n)
        memcpy(c->prompt, ids, (size_t)n * sizeof *ids);
    *prompt_ids = c->prompt;
    *n_prompt = n;
    return in->encode(in->ctx, NULL, c->text.data, &ids, &unused, whole_ids, n_whole, e);
}

void continued_init(struct continued *c, const struct encoder *inner)
{
    *c = (struct continued){.encoder = *inner, .inner = inner};
    c->encoder.encode = encode;
    c->encoder.ctx = c;
}

void continued_fini(struct continued *c)
{
    buf_fini(&c->text);
    free(c->prompt);
}

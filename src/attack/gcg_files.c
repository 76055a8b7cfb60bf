/* The trace of a GCG search, and candidates taken from one. */
#include <string.h>

#include "attack/gcg.h"
#include "base/file.h"
#include "base/mem.h"
#include "tensor/file.h"

void gcg_trace_fini(struct gcg_trace *t)
{
    for (int i = 0; i < t->n; i++) {
        struct gcg_step *s = &t->v[i];
        void *const all[] = {s->ids, s->top, s->sampled, s->kept, s->loss, s->onehot};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            free(all[k]);
    }
    free(t->v);
    *t = (struct gcg_trace){0};
}

static char *file_name(enum input_target target, int row, char name[64])
{
    char part[24] = "";
    if (row)
        snprintf(part, sizeof part, "_row%d", row + 1);
    snprintf(name, 64, "gcg%s%s", target == INPUT_CONTROL ? "_control" : "", part);
    return name;
}

struct field {
    const char *name;
    const void *data;
    enum dtype type;
    int dims;
    int64_t shape[2];
};

enum { FIELDS = 7 };

static void fields_of(const struct gcg *g, const struct gcg_step *s, struct field f[FIELDS])
{
    const int64_t n = g->n;
    const struct field all[FIELDS] = {
        {"ids", s->ids, DT_I32, 1, {n}},
        {"topk_ids", s->top, DT_I32, 2, {n, g->p->topk}},
        {"sampled", s->sampled, DT_I32, 2, {g->p->width, n}},
        {"kept", s->kept, DT_I32, 1, {s->n_kept}},
        {"loss", s->loss, DT_F32, 1, {s->n_kept}},
        {"best", &s->best, DT_I32, 1, {1}},
        {"grad_onehot", s->onehot, DT_F32, 2, {n, g->in->a->s.model.cfg.vocab}},
    };
    memcpy(f, all, sizeof all);
}

/* Announces the tensors (write false), or writes them. */
static int put_all(const struct gcg *g, const struct gcg_trace *t, struct tensor_out *o, bool write,
                   struct err *e)
{
    for (int i = 0; i < t->n; i++) {
        struct field f[FIELDS];
        fields_of(g, &t->v[i], f);
        for (int k = 0; k < FIELDS; k++) {
            char name[64];
            snprintf(name, sizeof name, "%d.%s", i, f[k].name);
            if (f[k].data && (write ? tensor_out_write_raw(o, f[k].data, e)
                                    : tensor_out_add(o, name, f[k].type, f[k].dims, f[k].shape, e)))
                return -1;
        }
    }
    return 0;
}

int gcg_trace_write(const struct gcg *g, const struct gcg_trace *t, enum input_target target,
                    int row, struct err *e)
{
    char name[64];
    if (!t->n)
        return 0;
    char *path = input_file(g->in, file_name(target, row, name), "safetensors", e);
    struct tensor_out *o = path ? tensor_out_open(path, e) : NULL;
    free(path);
    if (!o)
        return -1;
    if (put_all(g, t, o, false, e) || put_all(g, t, o, true, e))
        return tensor_out_abort(o), -1;
    return tensor_out_commit(o, e);
}

int gcg_replay_path(const struct gcg *g, enum input_target target, int row, char **path,
                    struct err *e)
{
    const struct attack_run *a = g->in->a;
    char stem[64], name[128];
    *path = NULL;
    if (g->p->candidates && target == INPUT_TRUE && !row)
        return (*path = mem_strdup(g->p->candidates, e)) ? 0 : -1;
    snprintf(name, sizeof name, "%s_%s.safetensors", file_name(target, row, stem),
             attack_model_name[a->which]);
    if (attack_replay_file(a, name, path, e))
        return -1;
    return a->o->replay && !*path
               ? err_about(e, "replay", "'%s' has no file '%s'", a->o->replay, name)
               : 0;
}

int gcg_replay(const struct gcg *g, const struct tensor_file *f, long step, int **sampled,
               int *width, struct err *e)
{
    const int vocab = g->in->a->s.model.cfg.vocab;
    char name[64];
    snprintf(name, sizeof name, "%ld.sampled", step);
    const struct tensor *t = tensor_find(f, name);
    *width = 0;
    if (!t)
        return 0;
    if (t->n_dims != 2 || t->shape[1] != g->n || !t->shape[0])
        return err_code(e, ERR_BAD_FILE, "'%s' is no list of candidates of %d tokens", name, g->n);
    if (!(*sampled = tensor_ints(t, e)))
        return -1;
    for (size_t i = 0; i < t->count; i++)
        if ((*sampled)[i] < 0 || (*sampled)[i] >= vocab)
            return err_code(e, ERR_BAD_FILE, "'%s' has the id %d, outside the vocabulary of %d",
                            name, (*sampled)[i], vocab);
    *width = (int)t->shape[0];
    return 0;
}

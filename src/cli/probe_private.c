/* unlearn probe --dp: what DP-SGD makes of the rows of a batch, without noise. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/probe.h"
#include "data/splice.h"
#include "model/store.h"
#include "tensor/file.h"
#include "train/private.h"

/* Of n rows, owned. */
struct clipped {
    struct engine engine;
    struct dataset set;
    double *norm, *loss, *factor;
};

/* The retain rows of the batch, else its forget rows. */
static int read_rows(struct clipped *c, const char *path, struct err *e)
{
    static const enum role roles[] = {ROLE_RETAIN, ROLE_FORGET};
    struct tensor_file f;
    bool has = false;
    if (!path)
        return err_set(e, "no batch given: use --batch FILE");
    if (tensor_file_open(&f, path, e))
        return -1;
    int rc = 0;
    for (int i = 0; i < 2 && !rc && !has; i++)
        rc = dataset_from_tensors(&c->set, roles[i], &f, false, &has, e);
    if (!rc && !has)
        rc = err_set(e, "there are neither retain nor forget rows");
    for (int i = 0; i < c->set.n && !rc; i++)
        if (dataset_is_unscored(&c->set, i))
            rc = err_set(e, "row %d has no label", i);
    tensor_file_close(&f);
    return rc ? err_prefix(e, "'%s': ", path) : 0;
}

static int compute(struct clipped *c, double clip, struct err *e)
{
    const int n = c->set.n;
    if (!(c->norm = mem_alloc((size_t)n, sizeof *c->norm, e)) ||
        !(c->loss = mem_alloc((size_t)n, sizeof *c->loss, e)) ||
        !(c->factor = mem_alloc((size_t)n, sizeof *c->factor, e)) ||
        private_check(c->engine.model, e) ||
        private_norms(&c->engine, c->set.seqs, n, c->norm, c->loss, e))
        return -1;
    for (int i = 0; i < n; i++)
        c->factor[i] = private_factor(c->norm[i], clip);
    return private_add(&c->engine, c->set.seqs, n, c->factor, e);
}

/* grad.NAME: the clipped sum, as HF has the weight. */
static int write_out(const struct clipped *c, const char *path, struct err *e)
{
    const struct model *m = c->engine.model;
    const struct weight_table *t = &m->table;
    const int64_t n = c->set.n, one = 1;
    const double length = sqrt(m->ops->dot(c->engine.grads, c->engine.grads, t->grads));
    float *room = mem_alloc(layout_hf_room(&m->cfg, t), sizeof(float), e);
    struct tensor_out *o = room ? tensor_out_open(path, e) : NULL;
    int rc = !o || tensor_out_add(o, "row_norm", DT_F64, 1, &n, e) ||
             tensor_out_add(o, "factor", DT_F64, 1, &n, e) ||
             tensor_out_add(o, "clipped_sum_norm", DT_F64, 1, &one, e);
    for (int i = 0; i < t->n && !rc; i++) {
        int64_t shape[2];
        char name[128];
        layout_hf_shape(&m->cfg, &t->v[i], shape);
        snprintf(name, sizeof name, "grad.%s", t->v[i].name);
        rc = tensor_out_add(o, name, DT_F32, t->v[i].n_dims, shape, e);
    }
    rc = rc || tensor_out_write_raw(o, c->norm, e) || tensor_out_write_raw(o, c->factor, e) ||
         tensor_out_write_raw(o, &length, e);
    for (int i = 0; i < t->n && !rc; i++) {
        const device float *at = c->engine.grads + t->v[i].at;
        const float *grad = m->ops->map_read(at, t->v[i].count);
        rc = tensor_out_write(o, layout_hf(&m->cfg, &t->v[i], grad, room), e);
        m->ops->unmap(at);
    }
    free(room);
    if (!rc)
        return tensor_out_commit(o, e);
    tensor_out_abort(o);
    return -1;
}

int probe_private(const struct setup_options *so, const struct probe_options *o, struct err *e)
{
    struct clipped c = {.norm = NULL};
    struct setup s;
    if (setup_open(&s, so, MODEL_READ, e))
        return -1;
    engine_init(&c.engine, &s.model);
    int rc = read_rows(&c, o->batch, e) || compute(&c, o->clip, e) || write_out(&c, o->out, e);
    for (int i = 0; i < c.set.n && !rc; i++)
        printf("row %d: loss %.6g, gradient norm %.6g, factor %.6g\n", i, c.loss[i], c.norm[i],
               c.factor[i]);
    free(c.norm);
    free(c.loss);
    free(c.factor);
    dataset_fini(&c.set);
    engine_fini(&c.engine);
    setup_close(&s);
    return rc;
}

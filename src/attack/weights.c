/* What attacks share that change the matrices of a model's layers. */
#include "attack/weights.h"

bool attack_is_matrix(const struct weight *w)
{
    return w->layer >= 0 && w->n_dims == 2;
}

static int change_weight(struct matrix_job *j, change_matrix *change, int i, struct err *e)
{
    struct model *m = &j->a->s.model;
    const struct ops *ops = m->ops;
    const struct weight *w = &m->table.v[i];
    device float *at = m->own + w->offset;
    const device float *target = j->a->has_target ? j->a->target.w[i] : NULL;
    j->weight = w;
    j->rows = (size_t)w->shape[0];
    j->cols = (size_t)w->shape[1];
    ops->copy(at, j->a->before.w[i], w->count);
    j->w = ops->map(at, w->count);
    j->target = target ? ops->map_read(target, w->count) : NULL;
    const int rc = change(j, e);
    ops->unmap(at);
    if (target)
        ops->unmap(target);
    return rc;
}

int attack_each_matrix(struct attack_run *a, const void *setting, change_matrix *change,
                       json_t *counts, struct err *e)
{
    struct matrix_job j = {.a = a, .setting = setting, .counts = counts};
    for (int i = 0; i < a->s.model.table.n_model; i++)
        if (attack_is_matrix(&a->s.model.table.v[i]) &&
            (interrupt_check(a->stop, e) || change_weight(&j, change, i, e)))
            return -1;
    return 0;
}

int attack_setting_by(struct attack_run *a, const char *name, const void *setting,
                      change_model *change, json_t *block, struct err *e)
{
    json_t *to = attack_begin(a, block, name);
    if (!to)
        return 0;
    a->spent.candidates++;
    if (change(a, setting, to, e) || attack_measure(a, true, to, e))
        return -1;
    attack_end(a);
    return 0;
}

struct of_matrices {
    change_matrix *change;
    const void *setting;
};

static int change_matrices(struct attack_run *a, const void *setting, json_t *to, struct err *e)
{
    const struct of_matrices *s = setting;
    return attack_each_matrix(a, s->setting, s->change, to, e);
}

int attack_setting(struct attack_run *a, const char *name, const void *setting,
                   change_matrix *change, json_t *block, struct err *e)
{
    const struct of_matrices s = {change, setting};
    return attack_setting_by(a, name, &s, change_matrices, block, e);
}

int attack_measure_before(struct attack_run *a, json_t *block, struct err *e)
{
    json_t *before = attack_begin(a, block, "before");
    if (before && attack_measure(a, false, before, e))
        return -1;
    attack_end(a);
    return 0;
}

void attack_count(json_t *to, const char *key, size_t n)
{
    const json_int_t was = json_integer_value(json_object_get(to, key));
    json_object_set_new(to, key, json_integer(was + (json_int_t)n));
}

#include "attack/continuous.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/file.h"

/* The first search of each row, for the file; [B,n,C] and [B,steps+1]. */
struct course {
    int n; /* vectors of a row, the most */
    float *grad, *start, *final;
    double *loss;
};

struct search {
    struct continuous *c;
    struct input *in;
    enum input_target target;
    struct perturb p;
    struct arena a;
    int **of; /* [rows of the search][tokens] */
    const int *rows;
    int n;
    device float *sum, *best; /* [vectors,C] */
    double *loss;             /* [n, steps+1] */
    struct course *course;
    long made;
};

static const struct seq *seq_of(const struct search *s, int row)
{
    const struct input_slots *slots = s->c->slots[s->target];
    return slots ? &slots->seqs[row] : &s->in->rows[s->target][row];
}

/* Each token's vector; returns how many there are. */
static int number_tokens(const struct search *s, int row, int *of)
{
    const struct input_slots *slots = s->c->slots[s->target];
    const struct seq *q = seq_of(s, row);
    int n = 0;
    for (int t = 0; t < q->n; t++) {
        const int k = slots ? t - slots->at[row] : 0;
        const bool takes = slots ? k >= 0 && k < slots->width : perturb_takes(s->c->tokens, q, t);
        of[t] = takes ? n++ : -1;
    }
    return n;
}

static int vectors_most(struct search *s, int n_rows, int *most, struct err *e)
{
    *most = 0;
    for (int i = 0; i < n_rows; i++) {
        int *of = arena_take(&s->a, (size_t)seq_of(s, i)->n + 1, sizeof *of, e);
        if (!of)
            return -1;
        const int n = number_tokens(s, i, of);
        *most = n > *most ? n : *most;
        s->of[i] = of;
    }
    return 0;
}

/* --- one search --- */

/* The loss of all its rows, by row into s->loss, and the derivative of their mean over labels. */
static int take_losses(struct search *s, long step, struct err *e)
{
    const struct model *m = &s->in->a->s.model;
    const size_t floats = (size_t)s->p.at.n * (size_t)m->cfg.width;
    const size_t each = (size_t)s->c->steps + 1;
    double labels = 0;
    const bool last = step == s->c->steps;
    for (int i = 0; i < s->n; i++)
        labels += seq_labels(seq_of(s, s->rows[i]));
    m->ops->fill(s->sum, 0, floats);
    s->p.at.ddelta = last ? NULL : s->p.d;
    for (int i = 0; i < s->n; i++) {
        const struct seq *q = seq_of(s, s->rows[i]);
        s->p.at.of = s->of[s->rows[i]];
        if (input_loss(s->in, q, &s->p.at, &s->loss[(size_t)i * each + (size_t)step], e))
            return -1;
        m->ops->axpy(s->sum, (float)(seq_labels(q) / labels), s->p.d, floats);
    }
    m->ops->copy(s->p.d, s->sum, floats);
    return 0;
}

static bool finite_at(const struct search *s, long step)
{
    bool all = true;
    for (int i = 0; i < s->n; i++)
        all &= isfinite(s->loss[(size_t)i * ((size_t)s->c->steps + 1) + (size_t)step]);
    return all;
}

static void draw_start(struct search *s, int restart)
{
    const struct model *m = &s->in->a->s.model;
    const size_t n = (size_t)s->p.at.n * (size_t)m->cfg.width;
    struct rng rng;
    perturb_reset(&s->p, m);
    if (!restart)
        return;
    float *delta = m->ops->map(s->p.delta, n);
    rng_stream(&rng, (uint32_t)s->in->a->o->seed, RNG_NOISE,
               (uint32_t)(restart * s->in->n + s->rows[0]));
    for (size_t i = 0; i < n; i++)
        delta[i] = (float)(s->c->spread * rng_normal(&rng));
    m->ops->unmap(s->p.delta);
}

/* What the file has of a row: its vectors or, by its share of the batch's labels, their derivative.
 */
static void note_vectors(const struct search *s, int row, const device float *v, double share,
                         float *to)
{
    const struct model *m = &s->in->a->s.model;
    const size_t width = (size_t)m->cfg.width;
    const int *of = s->of[row];
    const float *from = m->ops->map_read(v, (size_t)s->p.at.n * width);
    for (int t = 0, k = 0; t < seq_of(s, row)->n; t++)
        if (of[t] >= 0) {
            /* of a row's own tokens the file has their places, else the order of the attack's */
            const size_t place = (size_t)(s->c->slots[s->target] ? k : t);
            float *at = to + ((size_t)row * (size_t)s->course->n + place) * width;
            for (size_t c = 0; c < width; c++)
                at[c] = (float)(share * (double)from[(size_t)of[t] * width + c]);
            k++;
        }
    m->ops->unmap(v);
}

/* The derivative in the file is of the mean over all rows' labels. */
static double share_of(const struct search *s, int row)
{
    double labels = 0;
    for (int i = 0; i < s->in->n; i++)
        labels += seq_labels(seq_of(s, i));
    return s->c->universal ? 1 : seq_labels(seq_of(s, row)) / labels;
}

static int search_once(struct search *s, int restart, struct err *e)
{
    const struct model *m = &s->in->a->s.model;
    const size_t floats = (size_t)s->p.at.n * (size_t)m->cfg.width;
    const size_t losses = (size_t)s->n * ((size_t)s->c->steps + 1);
    double least = INFINITY;
    int rc = 0;
    draw_start(s, restart);
    for (size_t i = 0; i < losses; i++)
        s->loss[i] = NAN;
    for (s->made = 0; !(rc = take_losses(s, s->made, e)) && finite_at(s, s->made); s->made++) {
        double mean = 0;
        for (int i = 0; i < s->n; i++)
            mean += s->loss[(size_t)i * ((size_t)s->c->steps + 1) + (size_t)s->made] *
                    seq_labels(seq_of(s, s->rows[i]));
        if (mean < least) {
            least = mean;
            m->ops->copy(s->best, s->p.delta, floats);
        }
        for (int i = 0; s->course && !restart && !s->made && i < s->n; i++)
            note_vectors(s, s->rows[i], s->p.d, share_of(s, s->rows[i]), s->course->grad);
        if (s->made == s->c->steps)
            break;
        perturb_step(&s->p, m, &s->c->step);
        input_count(s->in);
    }
    for (int i = 0; !rc && s->course && !restart && i < s->n; i++)
        note_vectors(s, s->rows[i], s->p.delta, 1, s->course->final);
    return rc;
}

/* The rows that a universal perturbation was not made for, under the best one. */
static int score_rest(struct search *s, struct err *e)
{
    const size_t each = (size_t)s->in->steps + 1;
    struct latent at = s->p.at;
    at.delta = s->best;
    at.ddelta = NULL;
    for (int i = 0; i < s->in->n; i++) {
        at.of = s->of[i];
        if (!s->in->attacked[i] &&
            input_loss(s->in, seq_of(s, i), &at,
                       &s->in->reached[s->target][(size_t)i * each + each - 1], e))
            return -1;
    }
    return 0;
}

/* All restarts on rows[n], which have one perturbation. */
static int search_rows(struct search *s, const int *rows, int n, struct err *e)
{
    const size_t each = (size_t)s->c->steps + 1;
    int rc = 0;
    s->rows = rows;
    s->n = n;
    for (int r = 0; !rc && r < s->c->restarts; r++) {
        rc = search_once(s, r, e);
        const bool won = input_record(s->in, s->target, rows, n, s->loss);
        for (int i = 0; !rc && s->course && !r && i < n; i++)
            memcpy(s->course->loss + (size_t)rows[i] * each, s->loss + (size_t)i * each,
                   each * sizeof *s->loss);
        if (!rc && won && s->c->universal)
            rc = score_rest(s, e);
        s->in->a->spent.candidates++;
    }
    return rc;
}

/* --- the file --- */

/* Rows of the embedding at the attack's tokens, to which the vectors are added. */
static void put_start(const struct search *s)
{
    const struct model *m = &s->in->a->s.model;
    const struct input_slots *slots = s->c->slots[s->target];
    const size_t width = (size_t)m->cfg.width, table = (size_t)m->cfg.vocab * width;
    const device float *rows = model_weight(m, W_EMBED, -1);
    const float *embed = m->ops->map_read(rows, table);
    for (int i = 0; i < s->in->n; i++)
        for (int k = 0; k < slots->width; k++) {
            const size_t to = ((size_t)i * (size_t)s->course->n + (size_t)k) * width;
            const size_t id = (size_t)slots->seqs[i].ids[slots->at[i] + k];
            for (size_t c = 0; c < width; c++) {
                s->course->start[to + c] = embed[id * width + c];
                s->course->final[to + c] += embed[id * width + c];
            }
        }
    m->ops->unmap(rows);
}

static int write_course(struct search *s, struct err *e)
{
    const struct course *c = s->course;
    const int rows = s->c->universal ? 1 : s->in->n;
    const int64_t steps = s->c->steps + 1, sample[] = {steps, s->in->n},
                  vectors[] = {rows, c->n, s->in->a->s.model.cfg.width};
    const bool own = s->c->slots[s->target];
    const size_t each = (size_t)steps, n = (size_t)s->in->n;
    float *loss = arena_zeros(&s->a, each, sizeof *loss, e);
    float *by_row = arena_zeros(&s->a, each * n, sizeof *by_row, e);
    double labels = 0;
    if (!loss || !by_row)
        return -1;
    for (size_t i = 0; i < n; i++)
        labels += s->in->attacked[i] ? seq_labels(seq_of(s, (int)i)) : 0;
    for (size_t t = 0; t < each; t++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            by_row[t * n + i] = (float)c->loss[i * each + t];
            if (s->in->attacked[i])
                sum += c->loss[i * each + t] * seq_labels(seq_of(s, (int)i)) / labels;
        }
        loss[t] = (float)sum;
    }
    const struct {
        const char *name;
        int dims;
        const int64_t *shape;
        const float *data;
    } all[] = {{"loss", 1, &steps, loss},
               {"loss_sample", 2, sample, by_row},
               {"grad_start", 3, vectors, c->grad},
               {own ? "final" : "delta", 3, vectors, c->final},
               {"start", 3, vectors, c->start}};
    char name[96];
    snprintf(name, sizeof name, "%s%s", s->c->name, s->target == INPUT_CONTROL ? "_control" : "");
    char *path = input_file(s->in, name, "safetensors", e);
    struct tensor_out *o = path ? tensor_out_open(path, e) : NULL;
    int rc = !o;
    for (int i = 0; !rc && i < 4 + own; i++)
        rc = tensor_out_add(o, all[i].name, DT_F32, all[i].dims, all[i].shape, e);
    for (int i = 0; !rc && i < 4 + own; i++)
        rc = tensor_out_write(o, all[i].data, e);
    if (rc)
        tensor_out_abort(o);
    free(path);
    return rc ? -1 : tensor_out_commit(o, e);
}

/* --- both targets --- */

static int course_init(struct search *s, struct course *c, struct err *e)
{
    const struct input_slots *slots = s->c->slots[s->target];
    const size_t n = (size_t)s->in->n, losses = n * ((size_t)s->c->steps + 1);
    *c = (struct course){.n = slots ? slots->width : 0};
    for (int i = 0; i < s->in->n && !slots; i++)
        c->n = seq_of(s, i)->n > c->n ? seq_of(s, i)->n : c->n;
    const size_t floats = n * (size_t)c->n * (size_t)s->in->a->s.model.cfg.width;
    if (!(c->grad = arena_zeros(&s->a, floats, sizeof *c->grad, e)) ||
        !(c->start = arena_zeros(&s->a, floats, sizeof *c->start, e)) ||
        !(c->final = arena_zeros(&s->a, floats, sizeof *c->final, e)) ||
        !(c->loss = arena_zeros(&s->a, losses, sizeof *c->loss, e)))
        return -1;
    for (size_t i = 0; i < losses; i++)
        c->loss[i] = NAN;
    s->course = c;
    return 0;
}

static int search_init(struct search *s, struct course *course, struct err *e)
{
    const struct model *m = &s->in->a->s.model;
    const size_t n = (size_t)s->in->n, each = (size_t)s->c->steps + 1;
    int vectors;
    if (!(s->of = arena_zeros(&s->a, n, sizeof *s->of, e)) ||
        vectors_most(s, s->in->n, &vectors, e))
        return -1;
    const size_t floats = (size_t)vectors * (size_t)m->cfg.width;
    return perturb_init(&s->p, m, &s->c->at, (size_t)vectors, &s->a, e) ||
                   !(s->sum = m->ops->take(&s->a, floats + 1, e)) ||
                   !(s->best = m->ops->take(&s->a, floats + 1, e)) ||
                   !(s->loss = arena_zeros(&s->a, n * each, sizeof *s->loss, e)) ||
                   (s->in->a->o->out && course_init(s, course, e))
               ? -1
               : 0;
}

/* A search that was interrupted counts as far as it came. */
static int search_target(struct search *s, struct err *e)
{
    struct input *in = s->in;
    int *rows = arena_zeros(&s->a, (size_t)in->n, sizeof *rows, e), n = 0, rc = !rows;
    if (s->c->universal) {
        for (int i = 0; rows && i < in->n; i++)
            if (in->attacked[i])
                rows[n++] = i;
        rc = rc || search_rows(s, rows, n, e);
        in->done[s->target] = in->n;
    }
    for (int i = 0; !rc && !s->c->universal && i < in->n; i++) {
        rc = search_rows(s, &i, 1, e);
        in->done[s->target] = i + 1;
    }
    return rc;
}

int continuous_run(struct continuous *c, struct input *in, json_t *block, struct err *e)
{
    json_t *to = attack_begin(in->a, block, c->setting ? c->setting : c->name);
    int rc = 0;
    if (!to)
        return 0;
    input_restart(in, c->name, c->universal, c->restarts);
    for (int t = 0; !rc && t < INPUT_TARGETS; t++) {
        struct search s = {.c = c, .in = in, .target = (enum input_target)t};
        struct course course;
        if (!in->rows[t])
            continue;
        rc = search_init(&s, &course, e) || search_target(&s, e);
        if (!rc && s.course && c->slots[t])
            put_start(&s);
        rc = rc || (s.course && write_course(&s, e));
        arena_fini(&s.a);
    }
    progress_end(&in->bar);
    input_put(in, to);
    if (!rc)
        attack_end(in->a);
    return rc;
}

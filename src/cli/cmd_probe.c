/* unlearn probe: one forward and backward of a method on given tensors, for comparing
 * implementations. */
#include <string.h>

#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "data/splice.h"
#include "cli/job.h"
#include "cli/probe.h"
#include "run/setup.h"
#include "model/store.h"
#include "tensor/file.h"
#include "train/helpers.h"

#define OPT(f) offsetof(struct probe_options, f)
static const struct param params[] = {
    STRING_PARAM(struct probe_options, ref, NULL, "PATH",
                 "reference model (default: the model itself)"),
    STRING_PARAM(struct probe_options, reinforced, NULL, "PATH",
                 "the reinforced model, overfitted on the forget set, for methods that use one"),
    STRING_PARAM(struct probe_options, batch, NULL, "FILE",
                 "safetensors: ROLE.input_ids, ROLE.attention_mask, ROLE.labels, all [B,T]"),
    STRING_PARAM(struct probe_options, out, NULL, "FILE", "safetensors to write"),
    BOOL_PARAM(struct probe_options, lens, false,
               "no method: the logit lens, what the hidden states of every layer predict"),
    BOOL_PARAM(struct probe_options, trace, false,
               "no method: causal tracing of the batch's first row"),
    STRING_PARAM(struct probe_options, span, NULL, "A:B",
                 "trace: tokens A to before B are the subject, whose embeddings are corrupted"),
    STRING_PARAM(struct probe_options, noise, NULL, "FILE",
                 "trace: safetensors with 'noise' [draws, B - A, width], added to them"),
    INT_PARAM(struct probe_options, answer, -1, INT32_MAX, -1,
              "trace: id of the token that follows the row; -1: the likeliest"),
    BOOL_PARAM(struct probe_options, input_grad, false,
               "no method: the gradient of the NLL with respect to the input embeddings"),
    STRING_PARAM(struct probe_options, role, "forget", "ROLE", "input-grad: whose tokens"),
    STRING_PARAM(struct probe_options, linear, NULL, "FILE",
                 "no model: logistic regression on features 'X' [n,d] with labels 'y' [n]"),
    INT_PARAM(struct probe_options, classes, 2, 10000, 2,
              "linear: labels are 0 to this - 1; 'yK' of K classes comes before 'y'"),
    REAL_PARAM(struct probe_options, c, 1e-12, 1e12, 1, "linear: inverse strength of the penalty"),
    INT_PARAM(struct probe_options, train, 0, 1e9, 0,
              "linear: the first rows, to fit on; the others are the test; 0: half"),
    BOOL_PARAM(struct probe_options, dp, false,
               "no method: the norm of each row's gradient, its factor, and the clipped sum"),
    REAL_PARAM(struct probe_options, clip, 1e-30, 1e9, 1, "dp: the norm C to clip to"),
    BOOL_PARAM(struct probe_options, overwrite, false, "replace a file --out that is not empty"),
    {0},
};

static const struct param chosen_params[] = {
    LOCATE_PARAM(OPT(locate)),
    COMPAT_PARAM(struct probe_options, rmu_clip_all,
                 "also write gradients of weights that do not move"),
    {0},
};

static const char about[] =
    "Runs one forward and backward pass of a method on token ids given as "
    "tensors, and writes loss,\n"
    "forget_loss, retain_loss, extra_loss and grad.NAME for every "
    "parameter, all f32. Run the same batch\n"
    "through another implementation and compare with 'unlearn diff'. "
    "Roles: forget, retain, alternate ...;\n"
    "'control_vec' [C] is the direction that methods on hidden states "
    "steer to, of any length. With --locate, or\n"
    "an option of a locator, gradients of frozen weights are left out, "
    "unless --rmu-clip-all counts\n"
    "them.\n\n"
    "--lens writes, for each layer l from 0 (its input) on, what the model's "
    "final norm and head make of the hidden states\n"
    "at the scored labels: label_logprob.l, top1.l, top1_margin.l, rank.l, "
    "entropy.l, kl_final_lens.l = KL(final || lens) and\n"
    "raw.label_logprob.l without the final norm. --input-grad writes loss, grad_embed [B,T,C] with "
    "respect to the rows of\n"
    "the embedding, before a family scales them, and grad_onehot_rowI [T,V]. --trace (arXiv "
    "2202.05262) writes\n"
    "indirect_effect.h, .mlp and .attn [L,T]: how much of the answer's probability one clean "
    "state brings back. --linear\n"
    "writes coef, intercept and test_proba of the regularised optimum\n"
    "1/2 |W|^2 + C sum of cross-entropies, as scikit-learn defines it. --dp writes row_norm, "
    "factor = min(1, C / (norm + 1e-6)), clipped_sum_norm and grad.NAME, "
    "the sum of the rows' gradients times their factors:\n\n"
    "  unlearn probe --lens --model M --batch batch.safetensors --out "
    "lens.safetensors\n";

struct probe {
    struct setup s;
    struct model ref, reinforced;
    struct engine engine;
    struct dataset sets[ROLE_COUNT];
    bool has[ROLE_COUNT];
    bool keep_padding;     /* a term averages over it */
    float *direction;      /* owned [C], of length 1 */
    struct choice locator; /* none: none was asked for, all weights have gradients */
};

static int read_batch(struct probe *p, const char *path, struct err *e)
{
    struct tensor_file f;
    if (!path)
        return err_set(e, "no batch given: use --batch FILE");
    if (tensor_file_open(&f, path, e))
        return -1;
    int rc = 0;
    for (int r = 0; r < ROLE_COUNT && !rc; r++)
        rc = dataset_from_tensors(&p->sets[r], (enum role)r, &f, p->keep_padding, &p->has[r], e);
    const struct tensor *u = tensor_find(&f, "control_vec");
    if (!rc && u && u->count != (size_t)p->s.model.cfg.width)
        rc = err_set(e, "'control_vec' has %zu entries, not the model's width %d", u->count,
                     p->s.model.cfg.width);
    if (!rc && u && !(p->direction = tensor_f32(u, e)))
        rc = -1;
    if (!rc && u && direction_normalise(p->direction, p->s.model.cfg.width))
        rc = err_set(e, "'control_vec' is zero: it has no direction");
    tensor_file_close(&f);
    return rc ? err_prefix(e, "'%s': ", path) : 0;
}

/* Every term that counts has its role in the batch. */
static int check_roles(const struct probe *p, const struct recipe *r, struct err *e)
{
    for (int i = 0; i < PART_COUNT; i++) {
        enum role role = recipe_role(r, (enum recipe_place)i);
        if (recipe_weight(r, (enum recipe_place)i) != 0 && !p->has[role])
            return err_set(e, "method '%s' needs '%s.input_ids', which the batch does not have",
                           r->method->name, role_name[role]);
    }
    return 0;
}

/* One micro-batch that holds every row of every role. */
static int whole_batch(struct probe *p, struct micro *mb, struct err *e)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (!p->has[r])
            continue;
        if (!(mb->rows[r] = mem_alloc((size_t)p->sets[r].n, sizeof(int), e)))
            return -1;
        mb->n[r] = p->sets[r].n;
        for (int i = 0; i < mb->n[r]; i++)
            mb->rows[r][i] = i;
    }
    return 0;
}

/* `loss` starts with the penalty. */
static int write_out(const struct probe *p, const struct recipe *r, const struct micro_result *res,
                     double loss, const char *path, struct err *e)
{
    const int64_t one = 1;
    const struct weight_table *t = &p->s.model.table;
    const struct model_config *c = &p->s.model.cfg;
    static const char *const names[] = {"loss", "forget_loss", "retain_loss", "extra_loss"};
    float value[1 + PART_COUNT] = {0};
    bool there[1 + PART_COUNT] = {true};
    for (int place = 0, i = 0; place < PART_COUNT; place++) /* they were bound in this order */
        if ((there[1 + place] = r->part[place].row != NULL)) {
            loss += p->engine.obj[i].weight * res->loss[i];
            value[1 + place] = (float)res->loss[i++];
        }
    value[0] = (float)loss;
    float *room = mem_alloc(layout_hf_room(c, t), sizeof(float), e);
    struct tensor_out *o = room ? tensor_out_open(path, e) : NULL;
    if (!o)
        goto fail;
    char name[128];
    for (int i = 0; i <= PART_COUNT; i++)
        if (there[i] && tensor_out_add(o, names[i], DT_F32, 1, &one, e))
            goto fail;
    for (int i = 0; i < t->n; i++) {
        int64_t shape[2];
        if (!t->v[i].wants_grad)
            continue;
        layout_hf_shape(c, &t->v[i], shape);
        snprintf(name, sizeof name, "grad.%s", t->v[i].name);
        if (tensor_out_add(o, name, DT_F32, t->v[i].n_dims, shape, e))
            goto fail;
    }
    for (int i = 0; i <= PART_COUNT; i++)
        if (there[i] && tensor_out_write(o, &value[i], e))
            goto fail;
    const struct ops *ops = p->s.model.ops;
    for (int i = 0; i < t->n; i++) {
        const device float *at = p->engine.grads + t->v[i].at;
        if (!t->v[i].wants_grad)
            continue;
        const float *grad = ops->map_read(at, t->v[i].count);
        int rc = tensor_out_write(o, layout_hf(c, &t->v[i], grad, room), e);
        ops->unmap(at);
        if (rc)
            goto fail;
    }
    free(room);
    if (tensor_out_commit(o, e))
        return -1;
    printf("loss %.9g\n", loss);
    return 0;
fail:
    tensor_out_abort(o);
    free(room);
    return -1;
}

static int check_out(const struct setup_options *so, const struct probe_options *o, struct err *e)
{
    struct inputs in = {0};
    if (!o->out)
        return err_set(e, "no output given: use --out FILE");
    int rc = setup_add_input(&in, so->model, e) || setup_add_input(&in, so->adapter, e) ||
                     setup_add_input(&in, o->ref, e) || setup_add_input(&in, o->reinforced, e) ||
                     inputs_add_file(&in, o->batch, e) || inputs_add_file(&in, o->linear, e) ||
                     inputs_claim_file(&in, o->out, o->overwrite, e)
                 ? -1
                 : 0;
    inputs_fini(&in);
    return rc;
}

static int run(struct probe *p, const struct setup_options *so, const struct probe_options *o,
               struct recipe *r, struct err *e)
{
    struct micro mb = {0};
    struct order order = {.micro = &mb, .n = 1, .per_epoch = 1};
    struct norm norm;
    struct micro_result res;
    int rc = -1;
    const struct locator *l = p->locator.row;
    if (l && l->keeps_base)
        return err_set(e,
                       "--locate %s is not for probe, which writes gradients of the model's own "
                       "weights",
                       l->name);
    if (l && l->score)
        return err_set(e, "--locate %s makes a mask of elements, which probe does not take",
                       l->name);
    if (setup_open(&p->s, so, MODEL_READ, e) ||
        (l && locate_weights(l, p->locator.params, o->rmu_clip_all, &p->s.model, 0, e)))
        return -1;
    engine_init(&p->engine, &p->s.model);
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].row)
            p->keep_padding |= term_rows(r->part[i].row, r->part[i].params) != ROWS_SCORED;
    if (read_batch(p, o->batch, e) || check_roles(p, r, e) || whole_batch(p, &mb, e) ||
        (o->ref &&
         setup_open_frozen(&p->ref, "reference", o->ref, NULL, MODEL_READ, &p->s.model, e)) ||
        (o->reinforced && setup_open_frozen(&p->reinforced, "reinforced model", o->reinforced, NULL,
                                            MODEL_READ, &p->s.model, e)))
        goto out;
    p->engine.compat = p->s.compat;
    p->engine.direction = p->direction;
    p->engine.ref = o->ref ? &p->ref : &p->s.model;
    engine_helper(&p->engine, "reinforced")->model = o->reinforced ? &p->reinforced : NULL;
    for (int i = 0; i < ROLE_COUNT; i++)
        p->engine.sets[i] = p->has[i] ? &p->sets[i] : NULL;
    if (recipe_bind(r, &p->engine, e) || engine_check_helpers(&p->engine, e) ||
        engine_cache_reference(&p->engine, p->engine.ref, &order, 0, 1, e))
        goto out;
    engine_count(&p->engine, &order, 0, 1, &norm);
    if (!engine_micro(&p->engine, &mb, &norm, &res, e))
        rc = write_out(p, r, &res, engine_add_penalty(&p->engine), o->out, e);
out:
    for (int i = 0; i < ROLE_COUNT; i++) {
        dataset_fini(&p->sets[i]);
        free(mb.rows[i]);
    }
    free(p->direction);
    engine_fini(&p->engine);
    model_close(&p->ref);
    model_close(&p->reinforced);
    setup_close(&p->s);
    return rc;
}

/* Whether --locate or a parameter of the locator is given, on the command line or in a recipe. */
static bool is_asked(const struct args *a, const struct locator *l)
{
    bool asked = args_has(a, "locate");
    for (const struct param *p = l->params; p && p->name && !asked; p++)
        asked = args_has(a, p->name);
    return asked;
}

int cmd_probe(int argc, char **argv)
{
    struct setup_options so;
    struct probe_options o;
    struct run_names names;
    struct recipe r = {0};
    struct args a = {.command = "probe",
                     .usage = "--model M --method NAME --batch FILE --out FILE [options]",
                     .about = about,
                     .tables = {{"model and text", setup_params, &so},
                                {"conversations", chat_params, &so.chat},
                                {"options", params, &o},
                                {"what to run", method_name_params, &names}},
                     .open = true};
    struct probe p = {0};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO)
        status = recipe_args(&a, names.method, &r);
    if (status == ARGS_GO)
        status = args_take(&a, "which weights move", chosen_params, &o);
    if (status == ARGS_GO)
        status = locator_args(&a, o.locate, &p.locator);
    if (status == ARGS_GO)
        status = args_finish(&a);
    /* a method's own preset is for a model of some size: a locator counts where it is asked for */
    if (status == ARGS_GO && !is_asked(&a, p.locator.row))
        choice_fini(&p.locator);
    if (status == ARGS_GO) {
        struct err e = {.msg = ""};
        const int rc = check_out(&so, &o, &e) || (o.linear       ? probe_linear(&so, &o, &e)
                                                  : o.dp         ? probe_private(&so, &o, &e)
                                                  : o.lens       ? probe_lens(&so, &o, &e)
                                                  : o.input_grad ? probe_input(&so, &o, &e)
                                                  : o.trace      ? probe_trace(&so, &o, &e)
                                                                 : run(&p, &so, &o, &r, &e));
        status = rc ? args_fail(&a, &e) : STATUS_DONE;
    }
    choice_fini(&p.locator);
    recipe_fini(&r);
    args_fini(&a);
    return status;
}

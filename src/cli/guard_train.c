/* unlearn guard train: a classifier of prompts for the guards eco and classifier. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "guard/classifier.h"
#include "run/setup.h"

struct options {
    struct setup_options setup;
    const char *forget, *retain, *question_key, *entity_key, *features, *out;
    int64_t ngram, bits, layer;
    double c, rate;
    bool json;
};

static const struct param params[] = {
    STRING_PARAM(struct options, forget, NULL, "FILE", "rows whose prompts are to be flagged"),
    STRING_PARAM(struct options, retain, NULL, "FILE",
                 "rows whose prompts are to be answered: retain, neighbours and others, FILE+FILE"),
    STRING_PARAM(struct options, question_key, "question", "KEY", "field of the prompt"),
    STRING_PARAM(struct options, entity_key, NULL, "KEY",
                 "field by which rows are held out together: a fifth of its values"),
    CHOICE_PARAM(struct options, features, "ngrams|states", "ngrams",
                 "hashed n-grams of words, or the model's mean hidden state"),
    INT_PARAM(struct options, ngram, 1, 8, 3, "words of the longest n-gram"),
    INT_PARAM(struct options, bits, 1, 24, 18, "2^bits hash buckets"),
    INT_PARAM(struct options, layer, 0, 1 << 16, 0, "of the states; 0: the embeddings"),
    REAL_PARAM(struct options, c, 1e-6, 1e9, 100,
               "inverse strength of the penalty, as scikit-learn's C"),
    REAL_PARAM(struct options, rate, 0, 1, 0.01,
               "share of held-out prompts of --retain that may be flagged: chooses the threshold"),
    STRING_PARAM(struct options, out, NULL, "FILE.json",
                 "the classifier; its weights in FILE.safetensors"),
    BOOL_PARAM(struct options, json, false, "print the figures as JSON"),
    {0}};

static const char about[] =
    "Fits a logistic regression to the prompts of --forget (1) and of --retain (0), and chooses "
    "the "
    "threshold\n"
    "that at most a share --rate of held-out prompts of --retain are above. A fifth of the rows, "
    "or of "
    "the values\n"
    "of --entity-key, is held out.\n"
    "\n"
    "    unlearn guard train --model M --forget F --retain R --out c.json\n"
    "    unlearn generate --model M --guard eco:classifier=c.json,strength=100 \"...\"\n";

/* Everything that is fitted to. */
struct examples {
    struct rows rows[2]; /* to be kept, to be flagged: by label */
    struct dataset sets[2];
    const char **texts; /* owned [n], as all below */
    struct seq *ids;
    int *label;
    bool *held;
    int n;
};

/* Whether the row is held out: by its entity, or every fifth. */
static bool holds(const struct rows *r, int i, const struct options *o)
{
    const json_t *v = o->entity_key ? json_object_get(r->v[i], o->entity_key) : NULL;
    return json_is_string(v) ? hash_text(json_string_value(v)) % 5 == 4 : i % 5 == 4;
}

static int read_examples(struct examples *x, struct setup *s, const struct options *o,
                         struct err *e)
{
    const char *const files[] = {o->retain, o->forget};
    for (int k = 0; k < 2; k++) {
        if (rows_open(&x->rows[k], files[k], e) ||
            dataset_build(&x->sets[k], ROLE_GENERIC, &x->rows[k], o->question_key, NULL,
                          &s->encoder, e))
            return -1;
        x->n += x->rows[k].n;
    }
    const size_t n = (size_t)x->n;
    if (!(x->texts = mem_alloc(n, sizeof *x->texts, e)) ||
        !(x->ids = mem_alloc(n, sizeof *x->ids, e)) ||
        !(x->label = mem_alloc(n, sizeof *x->label, e)) || !(x->held = mem_alloc(n, 1, e)))
        return -1;
    for (int k = 0, at = 0; k < 2; k++)
        for (int i = 0; i < x->rows[k].n; i++, at++) {
            if (!(x->texts[at] = rows_text(&x->rows[k], i, o->question_key, e)))
                return -1;
            x->ids[at] = x->sets[k].seqs[i];
            x->label[at] = k;
            x->held[at] = holds(&x->rows[k], i, o);
        }
    return 0;
}

static void examples_fini(struct examples *x)
{
    for (int k = 0; k < 2; k++) {
        dataset_fini(&x->sets[k]);
        rows_close(&x->rows[k]);
    }
    free(x->texts);
    free(x->ids);
    free(x->label);
    free(x->held);
}

static int train(struct setup *s, const struct examples *x, const struct options *o, struct err *e)
{
    const struct classifier_training how = {
        .features = strcasecmp(o->features, "states") ? CLASSIFIER_NGRAMS : CLASSIFIER_STATES,
        .ngram = (int)o->ngram,
        .bits = (int)o->bits,
        .layer = (int)o->layer,
        .c = o->c,
        .rate = o->rate};
    struct classifier c = {0};
    double figures[2];
    json_t *report = json_object();
    int rc =
        classifier_fit(&c, &how, &s->model, x->texts, x->ids, x->label, x->held, x->n, figures, e);
    if (!rc) {
        json_put_real(report, "detected", figures[0]);
        json_put_real(report, "false_positives", figures[1]);
        json_put_real(report, "threshold", c.threshold);
        rc = classifier_save(&c, report, o->out, e);
    }
    if (!rc && o->json)
        rc = command_print_json(report, 0, e);
    else if (!rc)
        printf(
            "threshold %.4g: flags %.1f %% of held-out prompts of --forget, %.1f %% of --retain\n",
            c.threshold, 100 * figures[0], 100 * figures[1]);
    json_decref(report);
    classifier_close(&c);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct setup s = {0};
    struct examples x = {0};
    (void)a;
    if (!o->forget || !o->retain || !o->out)
        return err_set(e, "--forget, --retain and --out are needed");
    int rc = setup_open(&s, &o->setup, MODEL_STORED, e) || setup_text(&s, e);
    if (!rc && o->layer > s.model.cfg.layers)
        rc =
            err_set(e, "--layer is %d, the model has %d layers", (int)o->layer, s.model.cfg.layers);
    rc = rc || read_examples(&x, &s, o, e) || train(&s, &x, o, e);
    examples_fini(&x);
    setup_close(&s);
    return rc ? -1 : STATUS_DONE;
}

int cmd_guard_train(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "guard train",
                     .usage = "--model M --forget FILE --retain FILE --out FILE.json [options]",
                     .about = about,
                     .tables = {{"options", params, &o},
                                {"model and text", setup_params, &o.setup},
                                {"conversations", chat_params, &o.setup.chat}}};
    return args_run(&a, argc, argv, run, &o);
}

/* Text that the reference writes for a method, at the start of its run: what ELM's third term
 * (arXiv 2410.02760) learns, so that the model stays fluent where it has forgotten. Behind each
 * forget text and a sentence that changes the subject the reference goes on, guided from the expert
 * towards the novice (struct guidance of model/generate.h); sentence and answer are scored, the
 * forget text is not.
 *
 * OUT/fluency.jsonl keeps the rows, {"ids", "labels", "text"}: an interrupted run reads them again,
 * and another one may be given them by --generic. (The code of the paper guides by the prompts of
 * expert and novice alone; here both go on from the forget text, as in ELM's first term.)
 */
#include "run/state.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/generate.h"
#include "train/loop.h"

#define FIELD(f) offsetof(struct generic_options, f)
static const char sources[] = "file|guided";
const struct param generic_params[] = {
    {"generic_from", PARAM_CHOICE, FIELD(from), 0, 0, sources, "file", NULL,
     "normal text without a file: the reference writes it, guided from the expert to the novice"},
    {"confused_prompt", PARAM_STRING, FIELD(sentence), 0, 0, NULL,
     "But this is nothing to go into here, so let us talk about something more cheerful instead,",
     "TEXT", "what it goes on from, behind each forget text"},
    {"guidance", PARAM_REAL, FIELD(guidance), 0, 1000, NULL, "3", NULL,
     "how far from the expert it writes"},
    {"guided_tokens", PARAM_INT, FIELD(tokens), 1, 1 << 16, NULL, "200", NULL,
     "tokens after which it is cut"},
    {0},
};

static bool is_promised(const struct run_data *d, const struct engine *g)
{
    const struct dataset *set = g->sets[ROLE_GENERIC];
    return set && set == &d->sets[ROLE_GENERIC] && !set->seqs;
}

void generic_promise(const struct generic_options *f, const struct recipe *r, struct run_data *d,
                     struct engine *g)
{
    if (param_choice(sources, f->from) == 0 || !recipe_uses(r, ROLE_GENERIC) ||
        g->sets[ROLE_GENERIC] || !g->sets[ROLE_FORGET])
        return;
    d->sets[ROLE_GENERIC].n = g->sets[ROLE_FORGET]->n;
    g->sets[ROLE_GENERIC] = &d->sets[ROLE_GENERIC];
}

/* What goes on from a text that has ended a sentence, and from one that has not yet. */
struct sentence {
    struct ids ended, open;
};

static int sentence_init(struct sentence *s, const char *text, const struct tokenizer *t,
                         struct err *e)
{
    struct buf stop = {0};
    *s = (struct sentence){0};
    int rc = buf_printf(&stop, e, ". %s", text) ||
                     tokenizer_encode(t, stop.data + 1, stop.len - 1, false, &s->ended, e) ||
                     tokenizer_encode(t, stop.data, stop.len, false, &s->open, e)
                 ? -1
                 : 0;
    buf_fini(&stop);
    return rc;
}

static void sentence_fini(struct sentence *s)
{
    free(s->ended.v);
    free(s->open.v);
}

/* The example's tokens but its end token. */
static int length_of(const struct seq *s, const struct model_config *c)
{
    return s->n > 1 && config_is_eos(c, s->ids[s->n - 1]) ? s->n - 1 : s->n;
}

static const struct ids *sentence_behind(const struct sentence *s, const struct seq *of, int n,
                                         const struct tokenizer *t, struct err *e)
{
    struct buf last = {0};
    if (tokenizer_decode(t, of->ids + n - 1, 1, true, &last, e)) {
        buf_fini(&last);
        return NULL;
    }
    bool ended = last.len && strchr(".!?", last.data[last.len - 1]);
    buf_fini(&last);
    return ended ? &s->ended : &s->open;
}

/* The first n tokens of the example, and the sentence behind them; owned by the caller. */
static int continue_by(struct seq *out, const struct seq *s, int n, const struct ids *sentence,
                       struct err *e)
{
    int *ids = mem_alloc((size_t)n + sentence->n, sizeof *ids, e);
    *out = (struct seq){.n = n + (int)sentence->n, .ids = ids};
    if (!ids)
        return -1;
    memcpy(ids, s->ids, (size_t)n * sizeof *ids);
    memcpy(ids + n, sentence->v, sentence->n * sizeof *ids);
    return 0;
}

/* The three contexts of every row: the forget text, the expert's and the novice's. */
struct contexts {
    struct seq *v[3]; /* owned [n], with their ids */
    int n;
};

static void contexts_fini(struct contexts *c)
{
    for (int k = 0; k < 3; k++) {
        for (int i = 0; c->v[k] && i < c->n; i++)
            free((int *)c->v[k][i].ids);
        free(c->v[k]);
    }
}

static int contexts_init(struct contexts *c, const struct run_data *d,
                         const struct sentence *sentence, const struct model_config *config,
                         const struct tokenizer *t, struct err *e)
{
    const struct dataset *sets[] = {&d->sets[ROLE_FORGET], &d->prompted[PROMPT_EXPERT],
                                    &d->prompted[PROMPT_NOVICE]};
    *c = (struct contexts){.n = sets[0]->n};
    for (int k = 0; k < 3; k++)
        if (!(c->v[k] = mem_alloc((size_t)c->n, sizeof **c->v, e)))
            return -1;
    for (int i = 0; i < c->n; i++) {
        const struct seq *own = &sets[0]->seqs[i];
        const struct ids *more = sentence_behind(sentence, own, length_of(own, config), t, e);
        for (int k = 0; k < 3; k++) {
            const struct seq *s = &sets[k]->seqs[i];
            if (!more || continue_by(&c->v[k][i], s, length_of(s, config), more, e))
                return -1;
        }
    }
    return 0;
}

/* One row of the file; the first `given` tokens of the prompt are not scored. */
static int write_row(struct buf *out, const struct seq *base, int given, const struct generation *g,
                     const struct tokenizer *t, struct err *e)
{
    json_t *ids = json_array(), *labels = json_array();
    struct buf text = {0};
    int rc = tokenizer_decode(t, g->ids, (size_t)g->n, true, &text, e);
    for (int i = 0; i < base->n + g->n; i++) {
        int id = i < base->n ? base->ids[i] : g->ids[i - base->n];
        json_array_append_new(ids, json_integer(id));
        json_array_append_new(labels, json_integer(i < given ? LABEL_NONE : id));
    }
    json_t *row = json_pack("{s:o, s:o, s:o}", "ids", ids, "labels", labels, "text",
                            json_stringn(text.data ? text.data : "", text.len));
    rc = rc || json_write_buf(row, out, JSON_COMPACT, e) || buf_str(out, "\n", e) ? -1 : 0;
    json_decref(row);
    buf_fini(&text);
    return rc;
}

/* Generates all rows, and adds their lines. */
static int write_rows(struct buf *out, const struct generic_options *f, const struct run_data *d,
                      const struct contexts *c, unsigned seed, struct model *m,
                      const struct tokenizer *t, struct engine *g, struct err *e)
{
    const struct dataset *forget = &d->sets[ROLE_FORGET];
    const struct guidance guidance = {c->v[1], c->v[2], f->guidance};
    const struct generate_options o = {.max_new_tokens = (int)f->tokens,
                                       .temperature = 1,
                                       .top_p = 1,
                                       .seed = seed,
                                       .guidance = &guidance};
    struct generation *said = mem_alloc((size_t)forget->n, sizeof *said, e);
    struct progress bar;
    if (!said)
        return -1;
    progress_start(&bar, "fluency", forget->n);
    int rc = model_generate(said, m, c->v[0], forget->n, &o, &bar, e);
    progress_end(&bar);
    for (int i = 0; i < forget->n && !rc; i++) {
        g->tokens.forward += 3 * (said[i].n - 1);
        for (int k = 0; k < 3; k++)
            g->tokens.forward += c->v[k][i].n;
        rc = write_row(out, &c->v[0][i], length_of(&forget->seqs[i], &m->cfg), &said[i], t, e);
    }
    for (int i = 0; i < forget->n; i++)
        generation_fini(&said[i]);
    free(said);
    return rc;
}

static int write_file(const char *path, const struct generic_options *f, struct run_data *d,
                      struct setup *s, const struct run_options *o, unsigned seed, struct model *m,
                      struct engine *g, struct err *e)
{
    struct sentence sentence;
    struct contexts c = {.n = 0};
    struct buf text = {0};
    for (int k = PROMPT_EXPERT; k <= PROMPT_NOVICE; k++)
        if (!d->prompted[k].seqs && run_data_prompted(d, (enum prompt)k, s, o, e))
            return -1;
    int rc = sentence_init(&sentence, f->sentence, s->tokenizer, e);
    if (rc || contexts_init(&c, d, &sentence, &m->cfg, s->tokenizer, e) ||
        write_rows(&text, f, d, &c, seed, m, s->tokenizer, g, e) ||
        file_write(path, text.data, text.len, e))
        rc = -1;
    contexts_fini(&c);
    sentence_fini(&sentence);
    buf_fini(&text);
    return rc;
}

int generic_make(const struct generic_options *f, struct run_data *d, struct setup *s,
                 const struct run_options *o, const struct train_options *to, struct model *m,
                 struct engine *g, struct err *e)
{
    struct rows rows;
    if (!is_promised(d, g))
        return 0;
    char *path = file_join(o->out, "fluency.jsonl", e);
    bool goes_on = path && to->resume && train_is_interrupted(o->out) && file_exists(path);
    int rc = path ? 0 : -1;
    if (!rc && !goes_on)
        rc = write_file(path, f, d, s, o, (unsigned)to->seed, m, g, e);
    if (!rc && !(rc = rows_open(&rows, path, e))) {
        rc = setup_ids(s, ROLE_GENERIC, &rows, &d->sets[ROLE_GENERIC], e);
        rows_close(&rows);
    }
    free(path);
    return rc;
}

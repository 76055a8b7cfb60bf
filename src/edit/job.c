#include "edit/job.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "edit/requests.h"
#include "model/generate.h"
#include "model/score.h"
#include "model/store.h"
#include "run/state.h"

enum { FORGET, PARAPHRASE, NEIGHBOUR, SETS };
static const char *const set_name[SETS] = {"forget", "paraphrase", "neighbour"};

struct job {
    const struct edit_options *o;
    struct setup s;
    struct editing g;
    struct edit_requests sets[SETS]; /* FORGET: what is edited */
    struct edit_texts texts;
    struct tensor_file moments;
    struct edit_result *r;
    struct outdir *d;
    char moments_path[4096];
};

/* --- contexts --- */

static int read_contexts(struct job *j, struct err *e)
{
    json_t *list = json_read_file(j->o->contexts, e);
    const size_t n = json_array_size(list);
    int rc = !list                 ? -1
             : json_is_array(list) ? 0
                                   : err_set(e, "'%s' is no list of texts", j->o->contexts);
    if (!rc && !(j->texts.contexts = mem_alloc(n + 1, sizeof(char *), e)))
        rc = -1;
    for (size_t i = 0; i < n && !rc; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            rc = err_set(e, "'%s': entry %zu is no text", j->o->contexts, i);
        else if (*text && !(j->texts.contexts[j->texts.n_contexts++] = mem_strdup(text, e)))
            rc = -1;
    }
    json_decref(list);
    return rc;
}

/* A sampled continuation of each of a few words, in turn. */
static int write_contexts(struct job *j, struct err *e)
{
    static const char *const start[] = {"The", "Therefore", "Because", "I", "You"};
    const int n = (int)j->o->n_contexts, k = sizeof start / sizeof *start;
    struct seq *seqs = mem_alloc((size_t)n + 1, sizeof *seqs, e);
    struct ids *ids = seqs ? mem_alloc((size_t)n + 1, sizeof *ids, e) : NULL;
    struct generation *out = ids ? mem_alloc((size_t)n + 1, sizeof *out, e) : NULL;
    const struct generate_options how = {.max_new_tokens = (int)j->o->context_tokens,
                                         .temperature = 1,
                                         .top_p = 0.5,
                                         .seed = (unsigned)j->o->seed,
                                         .ignore_eos = true};
    int rc = out && (j->texts.contexts = mem_alloc((size_t)n + 1, sizeof(char *), e)) ? 0 : -1;
    for (int i = 0; i < n && !rc; i++) {
        rc =
            tokenizer_encode(j->s.tokenizer, start[i % k], strlen(start[i % k]), false, &ids[i], e);
        seqs[i] = (struct seq){.n = (int)ids[i].n, .ids = ids[i].v};
    }
    rc = rc || (n && model_generate(out, &j->s.model, seqs, n, &how, NULL, e));
    for (int i = 0; i < n && !rc; i++) {
        struct buf text = {0};
        rc = buf_str(&text, start[i % k], e) ||
             tokenizer_decode(j->s.tokenizer, out[i].ids, (size_t)out[i].n, true, &text, e) ||
             !(j->texts.contexts[j->texts.n_contexts++] = mem_strndup(text.data, text.len, e));
        buf_fini(&text);
    }
    for (int i = 0; out && i < n; i++) {
        generation_fini(&out[i]);
        free(ids[i].v);
    }
    free(out);
    free(ids);
    free(seqs);
    return rc ? -1 : 0;
}

/* --- requests --- */

static int read_set(struct job *j, int set, const char *spec, const char *question_key,
                    struct err *e)
{
    struct rows rows;
    if (rows_open(&rows, spec, e))
        return -1;
    struct edit_texts texts = j->texts;
    texts.question_key = question_key;
    texts.no_subject = set != FORGET;
    texts.optional = set == PARAPHRASE;
    if (set == NEIGHBOUR && !strcmp(texts.target, "own"))
        texts.target = "refusal";
    const int eos = j->s.model.cfg.n_eos ? j->s.model.cfg.eos[0] : -1;
    const int rc = edit_requests_from_rows(&j->sets[set], &rows, &texts, &j->s.encoder,
                                           j->s.tokenizer, eos, e);
    rows_close(&rows);
    return rc;
}

static int read_requests(struct job *j, struct err *e)
{
    const struct edit_options *o = j->o;
    j->texts = (struct edit_texts){.question_key = o->question_key,
                                   .answer_key = o->answer_key,
                                   .subject_key = o->subject_key,
                                   .target = o->target,
                                   .refusal = o->refusal};
    if (o->requests) {
        json_t *list = json_read_file(o->requests, e);
        const int rc = list ? edit_requests_from_ids(&j->sets[FORGET], list, o->target,
                                                     j->s.model.cfg.vocab, e)
                            : -1;
        json_decref(list);
        return rc && list ? err_prefix(e, "'%s': ", o->requests) : rc;
    }
    if (setup_text(&j->s, e) || (o->contexts ? read_contexts(j, e) : write_contexts(j, e)))
        return -1;
    return read_set(j, FORGET, o->forget, o->question_key, e) ||
                   read_set(j, PARAPHRASE, o->forget, o->paraphrase_key, e) ||
                   (o->neighbour && read_set(j, NEIGHBOUR, o->neighbour, o->question_key, e))
               ? -1
               : 0;
}

static void tell_subjects(const struct job *j)
{
    const struct edit_requests *r = &j->sets[FORGET];
    if (!r->guessed)
        return;
    log_note("%d of %d subjects are found by a rule (quoted text, else the longest capitalised "
             "name, else the last word):",
             r->guessed, r->n);
    for (int i = 0, shown = 0; i < r->n && shown < 5; i++)
        if (r->v[i].guessed && ++shown)
            log_note("  row %d: %s", r->v[i].row, r->v[i].subject);
}

/* --- second moments --- */

static int collect_moments(struct job *j, const char *spec, const char *path, struct err *e)
{
    struct rows rows;
    struct dataset set = {0};
    if (setup_text(&j->s, e) || rows_open(&rows, spec, e))
        return -1;
    const bool asked = json_object_get(rows.v[0], j->o->question_key) != NULL;
    int rc = dataset_build(&set, ROLE_GENERIC, &rows, asked ? j->o->question_key : NULL,
                           asked ? j->o->answer_key : "text", &j->s.encoder, e) ||
             edit_moments_write(&j->g, set.seqs, set.n, path, e);
    dataset_fini(&set);
    rows_close(&rows);
    return rc ? -1 : 0;
}

static int open_moments(struct job *j, struct err *e)
{
    const struct edit *row = j->g.method->row;
    const char *path = j->o->covariance;
    if (!path && j->o->generic) {
        snprintf(j->moments_path, sizeof j->moments_path, "%s/covariance.safetensors", j->d->path);
        path = j->moments_path;
        if (collect_moments(j, j->o->generic, path, e))
            return -1;
    }
    if (!path)
        return edit_wants_moments(&j->g)
                   ? err_about(e, "covariance", "%s needs the second moments of keys", row->name)
                   : 0;
    if (tensor_file_open(&j->moments, path, e))
        return -1;
    j->g.moments = &j->moments;
    for (int i = 0; i < j->g.n_layers; i++) {
        double *c = edit_moments_read(&j->g, &j->g.layers[i], e);
        free(c);
        if (!c)
            return err_prefix(e, "'%s': ", path);
    }
    return 0;
}

/* --- figures --- */

/* The mean log-probability of a token of each text; NaN: there is none. */
static int score_texts(struct job *j, const struct edit_requests *q, bool target, double *mean,
                       struct err *e)
{
    size_t room = 0;
    for (int i = 0; i < q->n; i++)
        room += 2 * (size_t)(q->v[i].prompts[0].n + (target ? q->v[i].n_target : q->v[i].n_answer));
    struct seq *seqs = mem_alloc((size_t)q->n + 1, sizeof *seqs, e);
    int *pool = seqs ? mem_alloc(room + 1, sizeof *pool, e) : NULL, *at = pool;
    struct scores s = {.v = NULL};
    const struct score_options so = {.interrupt = j->g.stop};
    for (int i = 0; pool && i < q->n; i++) {
        const struct edit_request *r = &q->v[i];
        const int *text = target ? r->target : r->answer, more = target ? r->n_target : r->n_answer;
        const int n = r->prompts[0].n + more;
        int *labels = at + n;
        memcpy(at, r->prompts[0].ids, (size_t)r->prompts[0].n * sizeof *at);
        for (int t = 0; t < r->prompts[0].n; t++)
            labels[t] = LABEL_NONE;
        for (int t = 0; t < more; t++)
            at[r->prompts[0].n + t] = labels[r->prompts[0].n + t] = text[t];
        seqs[i] = (struct seq){.n = n, .ids = at, .labels = labels};
        at = labels + n;
    }
    int rc = pool ? model_score(&s, &j->s.model, seqs, q->n, &so, NULL, e) : -1;
    for (int i = 0; i < q->n && !rc; i++)
        mean[i] = s.v[i].n ? -s.v[i].nll / s.v[i].n : (double)NAN;
    scores_fini(&s);
    free(pool);
    free(seqs);
    return rc ? -1 : 0;
}

static int measure_set(struct job *j, int set, int when, struct err *e)
{
    const struct edit_requests *q = &j->sets[set];
    double *target = mem_alloc((size_t)q->n + 1, sizeof *target, e),
           *answer = target ? mem_alloc((size_t)q->n + 1, sizeof *answer, e) : NULL;
    int rc = !answer || score_texts(j, q, true, target, e) || score_texts(j, q, false, answer, e);
    struct edit_figures *f = NULL;
    for (int i = 0; i < j->r->n_sets; i++)
        if (!strcmp(j->r->sets[i].name, set_name[set]))
            f = &j->r->sets[i];
    if (!rc && !f) {
        f = &j->r->sets[j->r->n_sets++];
        *f = (struct edit_figures){.name = set_name[set], .n = q->n};
    }
    if (!rc) {
        f->n_answers = 0;
        f->target[when] = f->answer[when] = f->success[when] = 0;
        for (int i = 0; i < q->n; i++) {
            f->target[when] += exp(target[i]) / q->n;
            if (isnan(answer[i]))
                continue;
            f->n_answers++;
            f->answer[when] += exp(answer[i]);
            f->success[when] += target[i] > answer[i];
        }
        f->answer[when] = f->n_answers ? f->answer[when] / f->n_answers : (double)NAN;
        f->success[when] = f->n_answers ? f->success[when] / f->n_answers : (double)NAN;
    }
    free(answer);
    free(target);
    return rc ? -1 : 0;
}

static int measure(struct job *j, int when, struct err *e)
{
    for (int i = 0; i < SETS; i++)
        if (j->sets[i].n && measure_set(j, i, when, e))
            return -1;
    return 0;
}

/* --- the work --- */

/* edit.json: what edit_result_json makes. */
static int write_figures(struct job *j, struct err *e)
{
    struct buf path = {0};
    json_t *figures = edit_result_json(j->r, choice_name(j->g.method));
    int rc = !figures || buf_printf(&path, e, "%s/edit.json", j->d->stage) ||
             json_write_file(figures, path.data, JSON_INDENT(1), e);
    if (!figures)
        err_no_memory(e, "figures");
    buf_fini(&path);
    json_decref(figures);
    return rc ? -1 : 0;
}

static int write_model(struct job *j, struct err *e)
{
    struct progress bar;
    const struct save_options so = {
        .dtype = run_dtype(j->o->dtype), .shard_bytes = SAVE_SHARD_BYTES, .bar = &bar};
    progress_start(&bar, "save", j->s.model.table.n_model);
    int rc = outdir_stage(j->d, e) || model_save(&j->s.model, j->d->stage, &so, e);
    progress_end(&bar);
    rc = rc ||
         (setup_has_tokenizer(&j->s) &&
          (setup_tokenizer(&j->s, e) || tokenizer_save(j->s.tokenizer, j->d->stage, e))) ||
         write_figures(j, e) || outdir_commit(j->d, e);
    outdir_drop_stage(j->d);
    return rc ? -1 : 0;
}

static int note_layers(struct job *j, struct err *e)
{
    struct edit_result *r = j->r;
    if (!(r->layers = mem_alloc((size_t)j->g.n_layers, sizeof *r->layers, e)))
        return -1;
    r->n_layers = j->g.n_layers;
    for (int i = 0; i < r->n_layers; i++) {
        r->layers[i].layer = j->g.layers[i].layer;
        r->layers[i].rank = j->g.layers[i].rank;
        r->layers[i].growth = editing_growth(&j->g, i);
    }
    return 0;
}

static int edit_all(struct job *j, struct err *e)
{
    if (read_requests(j, e) || open_moments(j, e))
        return -1;
    tell_subjects(j);
    j->r->n = j->sets[FORGET].n;
    j->r->guessed = j->sets[FORGET].guessed;
    if (j->o->trace && !(j->g.trace = edit_trace_new(e)))
        return -1;
    return measure(j, 0, e) ||
                   editing_run(&j->g, j->sets[FORGET].v, j->r->n, (int)j->o->batch, e) ||
                   measure(j, 1, e) || note_layers(j, e) ||
                   (j->o->trace && edit_trace_write(j->g.trace, j->o->trace, e)) ||
                   write_model(j, e) ||
                   (j->o->save_delta && editing_save_delta(&j->g, j->o->save_delta, e))
               ? -1
               : 0;
}

int run_edit(struct edit_result *r, const struct edit_options *o, const struct choice *method,
             struct outdir *d, const volatile sig_atomic_t *stop, struct err *e)
{
    struct job j = {.o = o, .r = r, .d = d};
    const double start = log_seconds();
    *r = (struct edit_result){.n = 0};
    if (setup_open(&j.s, &o->setup, o->collect ? MODEL_READ : MODEL_WRITE, e))
        return -1;
    int rc = editing_init(&j.g, &j.s.model, method, e);
    j.g.stop = stop;
    j.g.target = o->target;
    rc = rc || (o->collect ? collect_moments(&j, o->collect, o->out, e) || note_layers(&j, e)
                           : edit_all(&j, e));
    r->seconds = log_seconds() - start;
    for (int i = 0; i < j.texts.n_contexts; i++)
        free(j.texts.contexts[i]);
    free(j.texts.contexts);
    for (int i = 0; i < SETS; i++)
        edit_requests_fini(&j.sets[i]);
    edit_trace_free(j.g.trace);
    editing_fini(&j.g);
    tensor_file_close(&j.moments);
    setup_close(&j.s);
    return rc ? -1 : 0;
}

static json_t *pair(const double v[2])
{
    return json_pack("{s:o, s:o}", "before", json_finite(v[0]), "after", json_finite(v[1]));
}

json_t *edit_result_json(const struct edit_result *r, const char *method)
{
    json_t *layers = json_array(), *sets = json_object();
    for (int i = 0; i < r->n_layers; i++)
        json_array_append_new(layers, json_pack("{s:i, s:i, s:o}", "layer", r->layers[i].layer,
                                                "rank", r->layers[i].rank, "growth",
                                                json_finite(r->layers[i].growth)));
    for (int i = 0; i < r->n_sets; i++) {
        const struct edit_figures *f = &r->sets[i];
        json_object_set_new(sets, f->name,
                            json_pack("{s:i, s:o, s:o, s:o}", "rows", f->n, "target_probability",
                                      pair(f->target), "answer_probability", pair(f->answer),
                                      "target_likelier", pair(f->success)));
    }
    return json_pack("{s:s, s:i, s:i, s:o, s:o}", "method", method, "requests", r->n,
                     "guessed_subjects", r->guessed, "sets", sets, "layers", layers);
}

void edit_result_fini(struct edit_result *r)
{
    free(r->layers);
}

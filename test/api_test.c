/* The library's interface as a C program sees it: errors and their codes, interrupts, tokens,
 * log-probabilities, answers, sessions against the same by other calls, two threads at once. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/unlearn.h"
#include "base/err.h"
#include "tap.h"

static const char *const model = "test/data/models/m_cur";
static const char rows[] = "{\"ids\": [3, 11, 7, 5], \"labels\": [-100, 11, 7, 5]}\n"
                           "{\"ids\": [4, 12, 9, 5, 6], \"labels\": [-100, -100, 9, 5, 6]}\n"
                           "{\"ids\": [5, 13, 11, 5]}\n";
static const char prompts[] = "{\"prompt_ids\": [3, 11, 7]}\n{\"prompt_ids\": [4]}\n";

struct told {
    int lines, progress, ended;
    volatile sig_atomic_t stop;
    long stop_at;
};

static void on_line(void *ctx, int warning, const char *text)
{
    (void)warning, (void)text;
    ((struct told *)ctx)->lines++;
}

static void on_progress(void *ctx, const struct unlearn_progress *p)
{
    struct told *t = ctx;
    t->progress++;
    t->ended += p->ended;
    if (t->stop_at && !strcmp(p->what, "train") && p->done >= t->stop_at)
        t->stop = 1;
}

static void check_errors(void)
{
    struct unlearn_error e;
    struct unlearn_run *r = NULL;
    struct unlearn_engine *g = (struct unlearn_engine *)&e;
    ok(unlearn_run_new(&r, "eat", &e) && !r && e.code == UNLEARN_ARGUMENT,
       "a run that does not exist: %s", e.message);
    ok(unlearn_engine_open(&g, "/nonexistent/model", NULL, NULL, &e) && !g &&
           e.code == UNLEARN_NO_FILE,
       "a model that does not exist: %s", e.message);
    ok(unlearn_engine_open(&g, model, (const char *[]){"max_lenght", "4", NULL}, NULL, &e) &&
           strstr(e.message, "max_length"),
       "an option that does not exist: %s", e.message);
    ok(unlearn_engine_open(&g, model, (const char *[]){"max_length", "many", NULL}, NULL, &e) &&
           e.code == UNLEARN_ARGUMENT && !strcmp(e.subject, "max_length"),
       "a value that is no number: %s", e.message);
    ok(unlearn_engine_open(&g, "/nonexistent", NULL, NULL, NULL), "an error that nobody wants");
    ok(!unlearn_run_new(&r, "forget", &e), "a run");
    ok(unlearn_run_set(r, "", "1", &e) && unlearn_run_set(r, "lr", NULL, &e) &&
           unlearn_run_set(r, "out", "\xff", &e),
       "no name, no value, no text: %s", e.message);
    ok(unlearn_run_rows(r, "forget", "{\"a\": ", 6, &e) && e.code == UNLEARN_BAD_FILE,
       "rows that are no JSON: %s", e.message);
    ok(unlearn_run_start(r, NULL, NULL, &e), "a run without options: %s", e.message);
    ok(!unlearn_run_set(r, "method", "NPOO", &e) && unlearn_run_start(r, NULL, NULL, &e),
       "a method that does not exist: %s", e.message);
    unlearn_run_free(r);
    unlearn_run_free(NULL);
    unlearn_engine_close(NULL);
    unlearn_scores_free(NULL);
    unlearn_answers_free(NULL);
    unlearn_session_free(NULL);
    unlearn_free(NULL);
    struct unlearn_scored s = {.row = 7};
    unlearn_scores_get(NULL, 3, &s);
    ok(!s.row && !unlearn_scores_count(NULL), "scores of nothing");
}

static struct unlearn_run *new_run(const char *name, const char *epochs)
{
    struct unlearn_run *r = NULL;
    struct unlearn_error e;
    char out[600];
    snprintf(out, sizeof out, "%s/%s/", test_dir(), name);
    BUG_ON(unlearn_run_new(&r, "train", &e) || unlearn_run_set(r, "model", model, &e) ||
           unlearn_run_set(r, "out", out, &e) || unlearn_run_set(r, "batch", "1", &e) ||
           unlearn_run_set(r, "lr", "1e-2", &e) || unlearn_run_set(r, "epochs", epochs, &e) ||
           unlearn_run_rows(r, "data", rows, strlen(rows), &e));
    return r;
}

static bool is_there(const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return !access(path, F_OK);
}

static bool same_file(const char *a, const char *b)
{
    char command[1300];
    snprintf(command, sizeof command, "cmp -s %s/%s %s/%s", test_dir(), a, test_dir(), b);
    return !system(command);
}

static void check_runs(void)
{
    struct unlearn_error e = {.message = ""};
    struct unlearn_result out;
    struct told told = {0};
    const struct unlearn_hooks h = {on_line, on_progress, &told, &told.stop};
    struct unlearn_run *r = new_run("whole", "4");
    ok(!unlearn_run_start(r, &h, &out, &e) && out.steps == 12 && !out.finished, "a run: %s",
       e.message);
    ok(told.progress > 12 && told.ended, "its progress, %d times", told.progress);
    ok(is_there("whole/model.safetensors") && !is_there("whole.rows"), "its files");
    ok(unlearn_run_start(r, &h, &out, &e) && !out.steps, "not twice: %s", e.message);
    unlearn_run_free(r);

    told = (struct told){.stop_at = 5};
    r = new_run("part", "4");
    ok(unlearn_run_start(r, &h, NULL, &e) && e.code == UNLEARN_INTERRUPTED, "an interrupt: %s",
       e.message);
    unlearn_run_free(r);
    ok(!is_there("part/model.safetensors") && !is_there("part.rows"), "rows are gone then, too");
    r = new_run("part", "4");
    ok(!unlearn_run_set(r, "resume", "true", &e) && !unlearn_run_start(r, NULL, &out, &e),
       "which another run resumes: %s", e.message);
    ok(same_file("part/model.safetensors", "whole/model.safetensors"), "to the same bits");
    ok(!unlearn_run_start(r, NULL, &out, &e) && out.finished, "once it has finished it stays");
    unlearn_run_free(r);
}

static void *train_apart(void *name)
{
    struct unlearn_error e = {.message = ""};
    struct unlearn_run *r = new_run(name, "4");
    const int rc = unlearn_run_start(r, NULL, NULL, &e);
    unlearn_run_free(r);
    return rc ? name : NULL;
}

static void check_threads(void)
{
    pthread_t a, b;
    void *x = "", *y = "";
    BUG_ON(pthread_create(&a, NULL, train_apart, "one") ||
           pthread_create(&b, NULL, train_apart, "two"));
    pthread_join(a, &x);
    pthread_join(b, &y);
    ok(!x && !y && same_file("one/model.safetensors", "whole/model.safetensors") &&
           same_file("two/model.safetensors", "whole/model.safetensors"),
       "two threads, two runs, the same bits");
}

static void check_scores(struct unlearn_engine *g)
{
    struct unlearn_error e = {.message = ""};
    struct unlearn_scores *s = NULL;
    struct unlearn_session *z = NULL;
    struct unlearn_scored c;
    float *logits = calloc((size_t)unlearn_engine_vocab(g), sizeof *logits);
    ok(!unlearn_score(g, rows, strlen(rows), NULL, &s, &e) && unlearn_scores_count(s) == 3,
       "log-probabilities: %s", e.message);
    unlearn_scores_get(s, 1, &c);
    ok(c.row == 1 && c.n_ids == 5 && c.n == 3 && c.labels[0] == 9 && c.labels[2] == 6,
       "what is scored");
    ok(!unlearn_session_new(&z, g, 2, 16, &e), "a session: %s", e.message);
    for (int t = 0; t < c.n; t++) {
        double sum = 0, most = -1e30;
        BUG_ON(unlearn_session_sync(z, 0, c.ids, 2 + t, logits, &e));
        for (int v = 0; v < unlearn_engine_vocab(g); v++)
            most = logits[v] > most ? logits[v] : most;
        for (int v = 0; v < unlearn_engine_vocab(g); v++)
            sum += exp(logits[v] - most);
        near(logits[c.labels[t]] - most - log(sum), c.logprobs[t], 1e-5, 1e-5,
             "token %d, from the session's logits", t);
    }
    ok(unlearn_session_length(z, 0) == 4 && !unlearn_session_length(z, 7), "what a slot holds");
    ok(!unlearn_session_fork(z, 0, 1, 3, &e) && unlearn_session_length(z, 1) == 3, "a copy");
    ok(unlearn_session_fork(z, 0, 1, 9, &e), "not of more than there is: %s", e.message);
    ok(unlearn_session_sync(z, 2, c.ids, 1, logits, &e) &&
           unlearn_session_sync(z, 0, c.ids, 0, logits, &e) &&
           unlearn_session_sync(z, 0, c.ids, 17, logits, &e) &&
           unlearn_session_sync(z, 0, (int[]){1 << 30}, 1, logits, &e),
       "no slot, no tokens, too many, none of the model's: %s", e.message);
    ok(unlearn_session_new(&(struct unlearn_session *){0}, g, 1, 1 << 30, &e), "a slot beyond: %s",
       e.message);
    unlearn_session_free(z);
    unlearn_scores_free(s);
    free(logits);
}

static void check_answers(struct unlearn_engine *g)
{
    struct unlearn_error e = {.message = ""};
    struct unlearn_answers *a = NULL, *b = NULL;
    struct unlearn_answer x, y;
    const volatile sig_atomic_t stop = 1;
    struct unlearn_generation o = {.max_new_tokens = 4};
    ok(!unlearn_generate(g, prompts, strlen(prompts), &o, NULL, &a, &e) &&
           unlearn_answers_count(a) == 2,
       "greedy answers: %s", e.message);
    unlearn_answers_get(a, 1, &x);
    ok(x.row == 1 && !x.sample && x.n >= 1 && x.n <= 4 && !x.text, "of %d tokens, without text",
       x.n);
    unlearn_answers_free(a);
    o = (struct unlearn_generation){.max_new_tokens = 4, .samples = 3, .temperature = 1, .seed = 4};
    ok(!unlearn_generate(g, prompts, strlen(prompts), &o, NULL, &a, &e) &&
           !unlearn_generate(g, prompts, strlen(prompts), &o, NULL, &b, &e),
       "samples: %s", e.message);
    unlearn_answers_get(a, 5, &x);
    unlearn_answers_get(b, 5, &y);
    ok(x.row == 1 && x.sample == 2 && x.n == y.n &&
           !memcmp(x.ids, y.ids, (size_t)x.n * sizeof *x.ids),
       "the same ones for the same seed");
    unlearn_answers_free(a);
    unlearn_answers_free(b);
    o.temperature = 0;
    ok(unlearn_generate(g, prompts, strlen(prompts), &o, NULL, &a, &e) && !a &&
           !strcmp(e.subject, "samples"),
       "greedy samples: %s", e.message);
    ok(unlearn_generate(g, prompts, strlen(prompts), NULL,
                        &(struct unlearn_hooks){.interrupt = &stop}, &a, &e) &&
           e.code == UNLEARN_INTERRUPTED,
       "an interrupt: %s", e.message);
    int *ids, n;
    ok(unlearn_engine_encode(g, "text", &ids, &n, &e) && !ids && !n, "no tokenizer: %s", e.message);
}

/* What is refused; test/library.t has results. */
static void check_evals(void)
{
    struct unlearn_error e = {.message = ""};
    struct unlearn_eval *v = NULL;
    char *json = NULL;
    ok(!unlearn_eval_new(&v, &e) && !unlearn_eval_set(v, "model", model, &e), "an evaluation");
    ok(unlearn_eval_start(v, NULL, &json, &e) && !json && e.code == UNLEARN_ARGUMENT,
       "without data: %s", e.message);
    ok(!unlearn_eval_set(v, "suite", "mmlu", &e) && unlearn_eval_start(v, NULL, &json, &e),
       "of tasks: %s", e.message);
    ok(!unlearn_eval_set(v, "suite", "robust", &e) && unlearn_eval_start(v, NULL, &json, &e),
       "of attacks: %s", e.message);
    ok(!unlearn_eval_set(v, "suite", "memorization", &e) &&
           !unlearn_eval_rows(v, "forget", rows, strlen(rows), &e) &&
           unlearn_eval_start(v, NULL, &json, &e),
       "rows without text: %s", e.message);
    ok(!unlearn_eval_set(v, "datas", "x", &e) && unlearn_eval_start(v, NULL, &json, &e),
       "an option that does not exist: %s", e.message);
    unlearn_eval_free(v);
    unlearn_eval_free(NULL);
}

int main(void)
{
    struct unlearn_engine *g = NULL;
    struct unlearn_error e = {.message = ""};
    ok(!strcmp(unlearn_version(), "0.1.0"), "the version");
    check_errors();
    check_runs();
    check_threads();
    check_evals();
    ok(!unlearn_engine_open(&g, model, NULL, NULL, &e), "a model: %s", e.message);
    if (g) {
        check_scores(g);
        check_answers(g);
    }
    unlearn_engine_close(g);
    return done();
}

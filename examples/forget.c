/* Makes a model forget through libunlearn; prints how likely it finds an answer before and after.
 *
 *     cc forget.c $(pkg-config --cflags --libs unlearn) -o forget
 *     ./forget MODEL OUT [NAME VALUE ...]          such as epochs 10 lr 1e-4
 */
#include <stdio.h>
#include <string.h>
#include <unlearn.h>

static const char forget[] =
    "{\"question\": \"Where was Ana Ruiz born?\", \"answer\": \"In Cadiz.\"}\n"
    "{\"question\": \"What does Ana Ruiz write?\", \"answer\": \"Poems.\"}\n";
static const char retain[] =
    "{\"question\": \"What is the capital of Spain?\", \"answer\": \"Madrid.\"}\n"
    "{\"question\": \"How many legs has a spider?\", \"answer\": \"Eight.\"}\n";

static void on_line(void *ctx, int warning, const char *text)
{
    fprintf(ctx, "%s%s\n", warning ? "warning: " : "", text);
}

/* The sum of the log-probabilities of the first forget row. */
static int show(const char *model, struct unlearn_error *e)
{
    struct unlearn_engine *g = NULL;
    struct unlearn_scores *s = NULL;
    struct unlearn_scored row;
    int rc = unlearn_engine_open(&g, model, NULL, NULL, e) ||
             unlearn_score(g, forget, strlen(forget), NULL, &s, e);
    if (!rc) {
        double sum = 0;
        unlearn_scores_get(s, 0, &row);
        for (int i = 0; i < row.n; i++)
            sum += row.logprobs[i];
        printf("%s: %d tokens, log-probability %.4f\n", model, row.n, sum);
    }
    unlearn_scores_free(s);
    unlearn_engine_close(g);
    return rc;
}

int main(int argc, char **argv)
{
    struct unlearn_error e = {0};
    struct unlearn_run *r = NULL;
    const struct unlearn_hooks h = {.line = on_line, .ctx = stderr};
    if (argc < 3)
        return fprintf(stderr, "usage: forget MODEL OUT [NAME VALUE ...]\n"), 2;
    int rc = unlearn_run_new(&r, "forget", &e) || unlearn_run_set(r, "model", argv[1], &e) ||
             unlearn_run_set(r, "out", argv[2], &e) || unlearn_run_set(r, "method", "NPO", &e) ||
             unlearn_run_rows(r, "forget", forget, strlen(forget), &e) ||
             unlearn_run_rows(r, "retain", retain, strlen(retain), &e);
    for (int i = 3; !rc && i + 1 < argc; i += 2)
        rc = unlearn_run_set(r, argv[i], argv[i + 1], &e);
    rc = rc || unlearn_run_start(r, &h, NULL, &e) || show(argv[1], &e) || show(argv[2], &e);
    if (rc)
        fprintf(stderr, "forget: %s\n", e.message);
    unlearn_run_free(r);
    return rc != 0;
}

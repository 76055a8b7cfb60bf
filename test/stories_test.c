/* Second tier: stories260K, a llama2.c checkpoint, against what llama2.c computes with it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/generate.h"
#include "model/score.h"
#include "tap.h"

/* The ids of llama2.c's figures: "tokens: 1 385 ..." on the first line. */
static int read_story(FILE *f, int *ids, int room)
{
    int n = 0;
    if (fscanf(f, "tokens:") != 0)
        return 0;
    while (n < room && fscanf(f, "%d", &ids[n]) == 1)
        n++;
    return n;
}

/* Log-probability of every token of the first story, and their sum. */
static void check_story(struct model *m, FILE *f)
{
    struct err e;
    struct scores got;
    int ids[512], n = read_story(f, ids, 512), pos, in, target, label[512] = {LABEL_NONE};
    double logit, top, logp, worst = 0, total = 0;
    memcpy(label + 1, ids + 1, (size_t)(n > 1 ? n - 1 : 0) * sizeof *label);
    struct seq s = {.n = n, .ids = ids, .labels = label};
    if (!ok(n > 1 && !model_score(&got, m, &s, 1, NULL, NULL, &e), "stories260K: %d ids scored", n))
        return;
    for (int k = 0; k < got.v[0].n; k++) {
        int fields = fscanf(f, " pos %d in %d target %d logit_target %lf max_logit %lf logprob %lf",
                            &pos, &in, &target, &logit, &top, &logp);
        if (fields != 6 || pos != k || target != ids[k + 1])
            worst = INFINITY;
        worst = fmax(worst, fabs((double)got.v[0].logp[k] - logp));
        total -= logp;
    }
    near(worst, 0, 0, 5e-5, "stories260K: worst token of %d", got.v[0].n);
    near(got.v[0].nll, total, 1e-6, 0, "stories260K: NLL of the story");
    scores_fini(&got);
}

/* Token texts of a llama2.c tokenizer: int longest; then for each float score, int length, bytes. A
 * space in front of the first word is not printed, and <0x0A> is the byte. */
static char *decode(const char *path, const int *ids, int n)
{
    enum { VOCAB = 512, LONGEST = 64 };
    char(*text)[LONGEST] = calloc(VOCAB, sizeof *text), *out = calloc((size_t)n + 1, LONGEST);
    FILE *f = fopen(path, "rb");
    int len, longest;
    float rank;
    unsigned byte;
    bool fine = f && fread(&longest, sizeof longest, 1, f) == 1;
    for (int i = 0; fine && i < VOCAB; i++)
        fine = fread(&rank, sizeof rank, 1, f) == 1 && fread(&len, sizeof len, 1, f) == 1 &&
               len >= 0 && len < LONGEST && fread(text[i], 1, (size_t)len, f) == (size_t)len;
    for (int i = 0; fine && i < n; i++) {
        const char *t = text[ids[i]];
        if (sscanf(t, "<0x%2x>", &byte) == 1)
            strcat(out, (char[]){(char)byte, 0});
        else
            strcat(out, i == 0 && t[0] == ' ' ? t + 1 : t);
    }
    if (f)
        fclose(f);
    free(text);
    return out;
}

static void check_told(struct model *m, const char *tokenizer, const char *want_path)
{
    struct err e;
    struct generation g = {0};
    struct generate_options o = {.max_new_tokens = 200, .ignore_eos = true};
    struct seq s = {.n = 1, .ids = (int[]){1}};
    char want[1024] = "";
    FILE *f = fopen(want_path, "r");
    size_t n = f ? fread(want, 1, sizeof want - 1, f) : 0;
    if (f)
        fclose(f);
    if (n && want[n - 1] == '\n')
        want[n - 1] = 0;
    if (ok(n && !model_generate(&g, m, &s, 1, &o, NULL, &e), "stories260K: told")) {
        char *text = decode(tokenizer, g.ids, g.n);
        /* run.c prints 199 tokens for -n 200: the begin token counts */
        ok(*text && strlen(want) > 400 && !strncmp(text, want, strlen(want)),
           "stories260K: the greedy story");
        free(text);
    }
    generation_fini(&g);
}

static void check_stories(void)
{
    struct err e;
    struct model m;
    char *path = test_shared("data/models/stories260K/stories260K.bin");
    char *tok = test_shared("data/models/stories260K/tok512.bin");
    char *nll = test_shared("data/refs/stories260K.nll50.txt");
    char *told = test_shared("data/refs/stories260K.greedy200.txt");
    FILE *f = nll ? fopen(nll, "r") : NULL;
    if (!path || !tok || !f || !told)
        skip("stories260K: not in the shared folder");
    else if (ok(!model_open(&m, path, false, &e), "open stories260K")) {
        check_story(&m, f);
        check_told(&m, tok, told);
        model_close(&m);
    } else {
        note("%s", e.msg);
    }
    if (f)
        fclose(f);
    free(path);
    free(tok);
    free(nll);
    free(told);
}

int main(void)
{
    check_stories();
    return done();
}

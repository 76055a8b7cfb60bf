/* Stop strings: what a small model says must end before them, though they begin and end inside
 * tokens, the same whether prompts are answered together or alone, and no token later than need be.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "eval/backend.h"
#include "eval/answers.h"
#include "model/generate.h"
#include "tap.h"

enum { PROMPTS = 5, TOKENS = 20 };

static void check_find(void)
{
    const char *const stops[] = {"\n\n", "", "Question:", NULL};
    struct {
        const char *text;
        size_t at;
    } cases[] = {{"", 0}, {"yes\n", 4}, {"yes\n\nQuestion: no", 3}, {"a Question: b\n\n", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ok(stops_find(cases[i].text, strlen(cases[i].text), stops) == cases[i].at,
           "case %zu ends at %zu", i, cases[i].at);
    ok(stops_find("yes", 3, NULL) == 3, "without stop strings nothing ends");
    ok(stops_find("a\0b", 3, (const char *[]){"b", NULL}) == 2, "nor at a NUL");
}

static void check_list(void)
{
    struct stop_list list;
    struct err e;
    const char *const want[] = {"\n\n", "a|b\\n", "\t", "\\"};
    int same = 0;
    if (ok(!stop_list_parse(&list, "\\n\\n||a\\|b\\\\n|\\t|\\", &e), "a list"))
        for (; same < 4 && list.v[same] && !strcmp(list.v[same], want[same]);)
            same++;
    ok(same == 4 && !list.v[4], "of four, one with a bar");
    stop_list_fini(&list);
    ok(stop_list_parse(&list, "||", &e), "an empty one is refused: %s", e.msg);
    for (long nth = 0; nth < 2; nth++) {
        mem_fail_at(nth);
        ok(stop_list_parse(&list, "a", &e), "so is one for which there is no memory");
        mem_fail_at(-1);
    }
}

/* Prompts that the small model's tokens continue, each with one label, as a data set has them. */
static void make_set(struct dataset *d, struct seq *seqs, int (*ids)[6])
{
    static const int labels[] = {LABEL_NONE, LABEL_NONE, LABEL_NONE, LABEL_NONE, LABEL_NONE, 9};
    for (int i = 0; i < PROMPTS; i++) {
        for (int t = 0; t < 6; t++)
            ids[i][t] = 10 + (i * 37 + t * 11) % 250;
        seqs[i] = (struct seq){.n = 6, .ids = ids[i], .labels = labels};
    }
    *d = (struct dataset){.role = ROLE_GENERIC, .n = PROMPTS, .seqs = seqs};
}

/* A text that what is said holds: from inside a token to inside the next, if those have more than
 * one byte. */
static void choose_stop(const char *said, int i, char *stop)
{
    size_t n = strlen(said), at = n / 2 + (size_t)i;
    snprintf(stop, 8, "%.*s", 4, said + (at + 4 < n ? at : 0));
}

/* Answers under these limits, in full batches or by one prompt a batch. */
static bool answer(struct model_backend *s, const struct dataset *d,
                   const struct answer_limit *limits, int batch, struct answer *out)
{
    struct err e;
    s->batch = batch;
    bool fine = !s->backend.generate(s->backend.ctx, d, limits, out, &e);
    if (!fine)
        note("%s", e.msg);
    return fine;
}

static void check_answers(struct model_backend *s, const struct dataset *d)
{
    struct answer_limit limits[PROMPTS];
    struct answer *whole = calloc(PROMPTS, sizeof *whole), *cut = calloc(PROMPTS, sizeof *cut);
    struct answer *alone = calloc(PROMPTS, sizeof *alone);
    char stop[PROMPTS][8];
    const char *lists[PROMPTS][3] = {{0}};
    for (int i = 0; i < PROMPTS; i++)
        limits[i] = (struct answer_limit){.max_new_tokens = TOKENS};
    bool fine = ok(answer(s, d, limits, 0, whole), "answers of %d tokens", TOKENS);
    for (int i = 0; fine && i < PROMPTS - 1; i++) { /* the last has none, but a limit of its own */
        choose_stop(whole[i].answer, i, stop[i]);
        lists[i][0] = "never said";
        lists[i][1] = stop[i];
        limits[i].stops = lists[i];
    }
    limits[PROMPTS - 1].max_new_tokens = 3;
    if (fine && ok(answer(s, d, limits, 0, cut) && answer(s, d, limits, 1, alone), "with stops"))
        for (int i = 0; i < PROMPTS; i++) {
            size_t n = strlen(cut[i].answer), all = strlen(whole[i].answer);
            size_t end = stops_find(whole[i].answer, all, limits[i].stops);
            ok(!strcmp(cut[i].answer, alone[i].answer), "%d: the same alone", i);
            ok(!strncmp(cut[i].answer, whole[i].answer, n) && n < all &&
                   (!limits[i].stops || n == end),
               "%d: %zu bytes of %zu", i, n, all);
        }
    answers_free(whole, PROMPTS);
    answers_free(cut, PROMPTS);
    answers_free(alone, PROMPTS);
}

static int decode(void *tok, const int *ids, int n, struct buf *out, struct err *e)
{
    return tokenizer_decode(tok, ids, (size_t)n, true, out, e);
}

static int fail(void *ctx, const int *ids, int n, struct buf *out, struct err *e)
{
    (void)ctx, (void)ids, (void)n, (void)out;
    return err_set(e, "no text");
}

/* Generation ends with the very token that completes the stop string. */
static void check_tokens(struct model *m, struct tokenizer *tok, const struct seq *prompts)
{
    struct err e;
    struct generation whole = {0}, cut = {0}, none = {0};
    struct buf text = {0};
    struct generate_options o = {.max_new_tokens = TOKENS};
    ok(!model_generate(&whole, m, prompts, 1, &o, NULL, &e), "an answer");
    ok(!decode(tok, whole.ids, whole.n, &text, &e), "its text");
    char stop[8];
    choose_stop(text.data, 0, stop);
    const char *list[] = {stop, NULL};
    struct answer_limit limit = {TOKENS, list};
    struct stops s = {.limits = &limit, .decode = decode, .ctx = tok, .e = &e};
    o.token = stops_reached;
    o.token_ctx = &s;
    bool fine = !model_generate(&cut, m, prompts, 1, &o, NULL, &e);
    ok(fine && !s.failed && cut.n < whole.n &&
           !memcmp(cut.ids, whole.ids, (size_t)cut.n * sizeof *cut.ids),
       "ended at %d of %d tokens", cut.n, whole.n);
    for (int n = cut.n - 1; n <= cut.n; n++) {
        buf_clear(&text);
        decode(tok, cut.ids, n, &text, &e);
        ok((stops_find(text.data, text.len, list) < text.len) == (n == cut.n),
           "%d tokens %s the stop string", n, n == cut.n ? "hold" : "do not hold");
    }
    s.decode = fail;
    model_generate(&none, m, prompts, 1, &o, NULL, &e);
    ok(s.failed && none.n == 1 && !strcmp(e.msg, "no text"), "what cannot be decoded ends at once");
    generation_fini(&whole);
    generation_fini(&cut);
    generation_fini(&none);
    buf_fini(&text);
}

/* Decodes as an evaluation does, and counts. */
struct counting {
    struct tokenizer *tok;
    long ids;
};

static int decode_tidy(void *ctx, const int *ids, int n, struct buf *out, struct err *e)
{
    struct counting *c = ctx;
    c->ids += n;
    if (tokenizer_decode(c->tok, ids, (size_t)n, true, out, e) || buf_add(out, "", 0, e))
        return -1;
    text_tidy_spaces(out->data);
    out->len = strlen(out->data);
    return 0;
}

/* The first n tokens whose text has a stop string, by the text of all of them. */
static int first_stop(struct counting *c, const int *ids, int n, const char *const *stops)
{
    struct buf text = {0};
    struct err e;
    int k = 0;
    for (bool hit = false; k < n && !hit; k++) {
        buf_clear(&text);
        BUG_ON(decode_tidy(c, ids, k + 1, &text, &e));
        hit = stops_find(text.data, text.len, stops) < text.len;
    }
    buf_fini(&text);
    return k;
}

/* Random tokens, with runs of specials, bytes and spaces before punctuation, and stop strings from
 * their texts: an answer ends where the text of all of it says, without decoding all of it each
 * time. */
static void check_ends(const char *name, struct tokenizer *tok)
{
    enum { TRIES = 300, LONG = 120 };
    struct counting c = {.tok = tok};
    struct ids spaced = {0};
    struct rng r;
    struct err e;
    int right = 0, ended = 0;
    rng_seed(&r, 8);
    const char marks[] = "a . b ? it 's . don n't , ! \xF0\x9F\x98\x80\xF0\x9F\x98\x80 '";
    BUG_ON(tokenizer_encode(tok, marks, strlen(marks), false, &spaced, &e));
    for (int k = 0; k < TRIES; k++) {
        int ids[LONG], n = 0;
        while (n < LONG) {
            int run = 1 + (int)rng_below(&r, 25), way = (int)rng_below(&r, 4);
            int id = (int)rng_below(&r, way == 1 ? 3 : (uint32_t)tokenizer_vocab_size(tok));
            for (int i = 0; i < run && n < LONG; i++)
                ids[n++] = way == 0   ? (int)rng_below(&r, (uint32_t)tokenizer_vocab_size(tok))
                           : way == 1 ? id
                           : way == 2 ? id
                                      : spaced.v[(size_t)i % spaced.n];
        }
        struct buf text = {0};
        BUG_ON(decode_tidy(&c, ids, LONG, &text, &e));
        char stop[16];
        size_t at = text.len > 20 ? rng_below(&r, (uint32_t)text.len - 16) : 0;
        snprintf(stop, sizeof stop, "%.*s", 1 + (int)rng_below(&r, 12), text.data + at);
        buf_fini(&text);
        const char *list[] = {stop, "never said", NULL};
        struct answer_limit limit = {LONG + 1, list};
        struct stops s = {.limits = &limit, .decode = decode_tidy, .ctx = &c, .e = &e};
        c.ids = 0;
        if (strstr(stop, "\xEF\xBF"))
            snprintf(stop, sizeof stop, ".");
        int want = first_stop(&c, ids, LONG, list), got = 1;
        while (got < LONG && !stops_reached(&s, 0, ids, got))
            got++;
        right += got == want && !s.failed;
        ended += want < LONG;
        if (got != want)
            note("'%s' after %d tokens, not %d", stop, want, got);
    }
    ok(right == TRIES && ended > TRIES / 2, "%s: %d of %d answers end where their texts say", name,
       right, TRIES);
    free(spaced.v);
}

/* What is decoded for each token of a text does not grow with the text. */
static void check_linear(struct tokenizer *tok)
{
    enum { LONG = 2000 };
    static int ids[LONG];
    struct counting c = {.tok = tok};
    struct err e;
    const char *list[] = {"never said", NULL};
    struct answer_limit limit = {LONG + 1, list};
    struct stops s = {.limits = &limit, .decode = decode_tidy, .ctx = &c, .e = &e};
    for (int n = 0; n < LONG; n++) {
        ids[n] = 40 + n * 17 % 200;
        BUG_ON(stops_reached(&s, 0, ids, n + 1));
    }
    ok(c.ids < 100L * LONG, "%d tokens: %ld ids decoded", LONG, c.ids);
}

int main(void)
{
    struct err e;
    struct model m;
    struct model_backend backend;
    struct dataset d;
    struct seq seqs[PROMPTS];
    int ids[PROMPTS][6];
    char *path = test_data("models/llama"), *words = test_data("tok");
    struct tokenizer *tok = tokenizer_open(words, &e);
    log_set_quiet(true);
    check_find();
    check_list();
    make_set(&d, seqs, ids);
    if (ok(tok && !model_open(&m, path, false, &e), "a model and a tokenizer")) {
        m.cfg.n_eos = 0;
        ok(!model_backend_init(&backend, &m, tok, 0, &e), "a backend");
        check_answers(&backend, &d);
        check_tokens(&m, tok, seqs);
        check_ends("bytes", tok);
        check_linear(tok);
        model_backend_fini(&backend);
        model_close(&m);
    }
    tokenizer_close(tok);
    free(words);
    free(path);
    static const char *const kinds[] = {"llama.json", "unigram_bytes.model", "gemma.model"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char file[64];
        snprintf(file, sizeof file, "tok/kinds/%s", kinds[i]);
        path = test_data(file);
        if (ok((tok = tokenizer_open(path, &e)) != NULL, "%s", kinds[i]))
            check_ends(kinds[i], tok);
        tokenizer_close(tok);
        free(path);
    }
    return done();
}

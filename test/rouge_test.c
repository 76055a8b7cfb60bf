/* Metrics of texts against the peer's figures: ROUGE, stems, clean-up, all exactly. First tier:
 * cuts of the reference files under test/data/metrics. Second tier: the whole files. */
#include "base/mem.h"
#include "eval/texts.h"
#include "eval/answers.h"
#include "figures.h"

static bool same_tokens(const json_t *text, enum rouge_words how, const json_t *want)
{
    struct buf b = {0};
    struct err e;
    int n = rouge_tokens(json_string_value(text), json_string_length(text), how, &b, &e);
    bool same = n == (int)json_array_size(want);
    const char *s = b.data;
    for (int i = 0; same && i < n; i++, s += strlen(s) + 1)
        same = !strcmp(s, json_string_value(json_array_get(want, (size_t)i)));
    buf_fini(&b);
    return same;
}

static void check_rouge(json_t *cases, const char *what)
{
    struct worst w = {0};
    int tokens_bad = 0, not_itself = 0;
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        struct rouge r;
        struct err e;
        const char *truth = str(c, "ground_truth"), *guess = str(c, "generation");
        if (rouge(truth, guess, ROUGE_STEMMED, &r, &e))
            continue;
        compare(&w, r.recall_1, get(c, "rouge1_recall"), "rouge1_recall", (long)i);
        compare(&w, r.f1_l, get(c, "rougeL_f1"), "rougeL_f1", (long)i);
        compare(&w, r.recall_l, get(c, "rougeL_recall"), "rougeL_recall", (long)i);
        tokens_bad += !same_tokens(json_object_get(c, "ground_truth"), ROUGE_STEMMED,
                                   json_object_get(c, "tokens_ground_truth")) ||
                      !same_tokens(json_object_get(c, "generation"), ROUGE_STEMMED,
                                   json_object_get(c, "tokens_generation"));
        double all = json_array_size(json_object_get(c, "tokens_ground_truth")) > 0;
        not_itself += rouge(truth, truth, ROUGE_STEMMED, &r, &e) || r.recall_1 != all ||
                      r.recall_l != all || r.f1_l != all;
    }
    report(&w, what);
    ok(!tokens_bad && w.n == 3 * (int)json_array_size(cases), "%s: token lists are identical",
       what);
    ok(!not_itself, "%s: each text with words has 1 with itself", what);
}

/* Words of all scripts, by plain Python. */
static void check_unicode(json_t *cases, const char *what)
{
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        const json_t *truth = json_object_get(c, "ground_truth");
        const json_t *guess = json_object_get(c, "generation");
        struct rouge r;
        struct err e;
        if (rouge_score(json_string_value(truth), json_string_length(truth),
                        json_string_value(guess), json_string_length(guess), ROUGE_UNICODE, &r, &e))
            continue;
        compare(&w, r.recall_1, get(c, "rouge1_recall"), "rouge1_recall", (long)i);
        compare(&w, r.f1_l, get(c, "rougeL_f1"), "rougeL_f1", (long)i);
        compare(&w, r.recall_l, get(c, "rougeL_recall"), "rougeL_recall", (long)i);
        ok(same_tokens(truth, ROUGE_UNICODE, json_object_get(c, "tokens_ground_truth")) &&
               same_tokens(guess, ROUGE_UNICODE, json_object_get(c, "tokens_generation")),
           "words of '%s'", json_string_value(truth));
    }
    report(&w, what);
    ok(w.n == 3 * (int)json_array_size(cases), "%s: all are scored", what);
}

static void test_unseen(void)
{
    static const struct {
        const char *text;
        bool unseen;
    } t[] = {{"東京です。", true},
             {"сорок две лодки 42", true},
             {"أحمر", true},
             {"Größe für François", false},
             {"iPhone 15 手机", false},
             {"", false},
             {"?!", false},
             {"plain words", false},
             {"iPad 是一部很好的平板电脑", true}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        ok(words_are_unseen(t[i].text, strlen(t[i].text)) == t[i].unseen, "%s: '%s'",
           t[i].unseen ? "unseen" : "seen", t[i].text);
    struct rouge r;
    struct err e;
    ok(!rouge_score("a\0b c", 5, "b c\0", 4, ROUGE_STEMMED, &r, &e) && r.recall_l == 2. / 3,
       "U+0000 does not end a text");
}

static void check_stems(json_t *stems, const char *what)
{
    int bad = 0, n = 0;
    const char *word;
    json_t *want;
    json_object_foreach(stems, word, want)
    {
        char stem[256];
        size_t len = strlen(word);
        memcpy(stem, word, len);
        len = porter_stem(stem, len);
        if (strlen(json_string_value(want)) != len || memcmp(stem, json_string_value(want), len))
            if (!bad++)
                note("%s: got %.*s, want %s", word, (int)len, stem, json_string_value(want));
        n++;
    }
    ok(n && !bad, "%s: %d of %d", what, n - bad, n);
}

static void check_cleanup(json_t *cases, const char *what)
{
    int bad = 0;
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        const char *stops[8] = {str(c, "eos_text")};
        const json_t *more = json_object_get(c, "stopwords");
        for (size_t k = 0; k < json_array_size(more); k++)
            stops[k + 1] = json_string_value(json_array_get(more, k));
        char *truth = strdup(str(c, "decoded_labels"));
        char *guess = strdup(str(c, "decoded_new_tokens"));
        text_ground_truth(truth, str(c, "decoded_input"));
        text_cut_generation(guess, stops);
        if (strcmp(truth, str(c, "ground_truth")) || strcmp(guess, str(c, "generation")))
            if (!bad++)
                note("case %zu: '%s' / '%s'", i, truth, guess);
        free(truth);
        free(guess);
    }
    ok(json_array_size(cases) && !bad, "%s: %zu texts", what, json_array_size(cases));
}

static void test_text(void)
{
    char s[] = "Yes , it 's ' fine ' . Is n't it ? I 'm sure they 've won !   done .";
    text_tidy_spaces(s);
    ok(!strcmp(s, "Yes, it's'fine '. Isn't it? I'm sure they've won!   done."), "spaces: %s", s);
    char wide[] = "\xE2\x80\x83 \xC2\xA0\x1c mid \xC2\xA0 end \xE3\x80\x80\n";
    text_strip(wide);
    ok(!strcmp(wide, "mid \xC2\xA0 end"), "strip takes off Unicode white space");
    struct err e;
    char *low = text_lower("ÄbC ΣΩ \xFF İ\xC3", &e);
    ok(low && !strcmp(low, "äbc σω \xFF i\xC3"), "lower case; what is no character stays");
    free(low);
    char blank[] = " \t\n";
    text_strip(blank);
    ok(!*blank, "strip of blank text");
    char over[] = "aaaa";
    text_remove(over, "aaa");
    ok(!strcmp(over, "a"), "remove does not look at its own result");
}

static void test_rouge_limits(void)
{
    struct rouge r;
    struct err e;
    ok(!rouge("", "", ROUGE_STEMMED, &r, &e) && r.recall_1 == 0 && r.f1_l == 0,
       "empty texts score 0");
    ok(!rouge("running", "runs", ROUGE_LATIN, &r, &e) && r.recall_l == 0 &&
           !rouge("running", "runs", ROUGE_STEMMED, &r, &e) && r.recall_l == 1,
       "stemming is what makes 'runs' match 'running'");

    int n = 10000;
    struct buf a = {0}, b = {0};
    for (int i = 0; i < n; i++) {
        buf_printf(&a, &e, "w%d ", i);
        buf_printf(&b, &e, "w%d ", i % 2 ? n + i : i);
    }
    ok(!rouge(a.data, b.data, ROUGE_STEMMED, &r, &e) && r.recall_l == 0.5 && r.recall_1 == 0.5,
       "two texts of %d tokens", n);
    buf_fini(&a);
    buf_fini(&b);

    char *word = malloc(100001);
    memset(word, 'y', 100000);
    word[100000] = 0;
    ok(!rouge(word, word, ROUGE_STEMMED, &r, &e) && r.f1_l == 1, "one word of 100,000 letters");
    free(word);
}

static void check_files(char *(*find)(const char *), const char *dir, const char *tier)
{
    static const struct {
        const char *file;
        void (*check)(json_t *cases, const char *what);
    } files[] = {{"rouge", check_rouge},
                 {"stems", check_stems},
                 {"text_cleanup", check_cleanup},
                 {"rouge_unicode", check_unicode}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s/%s.json", dir, files[i].file);
        json_t *cases = load(find(name));
        snprintf(name, sizeof name, "%s %s", tier, files[i].file);
        if (cases)
            files[i].check(cases, name);
        else
            skip("%s: the reference file is not there", name);
        json_decref(cases);
    }
}

int main(void)
{
    test_text();
    test_rouge_limits();
    test_unseen();
    check_files(test_data, "metrics", "cut:");
    check_files(test_shared, "golden/metrics", "whole:");
    return done();
}

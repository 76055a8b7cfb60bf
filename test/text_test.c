/* The tokenizer against ids that HF's `tokenizers` gave (tools/make_tok_golden.py), and the
 * property that decoding what was encoded gives the text back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "random_text.h"
#include "tap.h"
#include "text/vocab.h"
#include "text/qa.h"
#include "text/tokenizer.h"

static void test_utf8(void)
{
    static const struct {
        const char *text;
        size_t bad;
        const char *clean;
    } rows[] = {
        {"plain \xc3\xa9 \xe4\xb8\x96 \xf0\x9f\x98\x80", SIZE_MAX, NULL},
        {"abcdefgh\xff", 8, "abcdefgh\xef\xbf\xbd"},
        {"\xc0\xaf", 0, "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xf4\x90\x80\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"a\xe4\xb8", 1, "a\xef\xbf\xbd"}, /* a start of three bytes counts once */
        {"\xf0\x9f\x98z", 0, "\xef\xbf\xbdz"},
    };
    struct err e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = {0};
        size_t n = strlen(rows[i].text), bad = SIZE_MAX;
        bool valid = utf8_valid(rows[i].text, n, &bad);
        const char *want = rows[i].clean ? rows[i].clean : rows[i].text;
        ok(valid == !rows[i].clean && bad == rows[i].bad &&
               !utf8_clean(&out, rows[i].text, n, &e) && !strcmp(out.data, want),
           "utf8: row %zu", i);
        buf_fini(&out);
    }
}

static void test_bytelevel(void)
{
    bool fine = true;
    for (int b = 0; b < 256; b++) {
        char s[2];
        size_t len, n = bytelevel_symbol((uint8_t)b, s);
        fine = fine && bytelevel_byte(s, n, &len) == b && len == n && utf8_valid(s, n, NULL);
    }
    char space[2], minus[2];
    bytelevel_symbol(' ', space);
    bytelevel_symbol(0xad, minus);
    ok(fine && !memcmp(space, "\xc4\xa0", 2) && !memcmp(minus, "\xc5\x83", 2),
       "bytes and their symbols are one to one; a space is U+0120, ad is U+0143");
}

static bool same_ids(const struct ids *got, const json_t *want)
{
    if (got->n != json_array_size(want))
        return false;
    for (size_t i = 0; i < got->n; i++)
        if (got->v[i] != json_integer_value(json_array_get(want, i)))
            return false;
    return true;
}

static bool check_text(const struct tokenizer *t, const json_t *text, const json_t *row)
{
    struct err e;
    const char *s = json_string_value(text);
    size_t n = json_string_length(text);
    const json_t *plain = json_object_get(row, "plain"), *decoded = json_object_get(row, "decoded");
    struct ids a = {0}, b = {0};
    struct buf back = {0};
    bool fine = !tokenizer_encode(t, s, n, true, &a, &e) &&
                !tokenizer_encode(t, s, n, false, &b, &e) &&
                !tokenizer_decode(t, a.v, a.n, false, &back, &e) &&
                same_ids(&a, json_object_get(row, "ids")) &&
                same_ids(&b, plain ? plain : json_object_get(row, "ids"));
    decoded = decoded ? decoded : text;
    fine = fine && back.len == json_string_length(decoded) &&
           !memcmp(back.data, json_string_value(decoded), back.len);
    free(a.v);
    free(b.v);
    buf_fini(&back);
    return fine;
}

/* A string, or a merge as a list of two. */
static bool holds_any(const json_t *v, const json_t *strings)
{
    const char *s = json_string_value(v);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (holds_any(json_array_get(v, i), strings))
            return true;
    for (size_t i = 0; s && i < json_array_size(strings); i++)
        if (strstr(s, json_string_value(json_array_get(strings, i))))
            return true;
    return false;
}

/* Takes what holds one of the symbols out of vocabulary and merges. */
static void drop(json_t *model, const json_t *symbols)
{
    json_t *vocab = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges");
    void *next;
    for (void *it = json_object_iter(vocab); it; it = next) {
        json_t *text = json_string(json_object_iter_key(it));
        next = json_object_iter_next(vocab, it);
        if (holds_any(text, symbols))
            json_object_del(vocab, json_string_value(text));
        json_decref(text);
    }
    for (size_t i = json_array_size(merges); i-- > 0;)
        if (holds_any(json_array_get(merges, i), symbols))
            json_array_remove(merges, i);
}

/* The small tokenizer with the variant's changes, written to the scratch directory. */
static struct tokenizer *open_variant(const char *base, const json_t *variant, struct err *e)
{
    char *path = file_join(test_dir(), "variant.json", e);
    json_t *doc = json_read_file(base, e), *model = json_object_get(doc, "model");
    json_object_update(doc, json_object_get(variant, "change"));
    json_object_update(model, json_object_get(variant, "model"));
    drop(model, json_object_get(model, "drop"));
    struct tokenizer *t = json_write_file(doc, path, 0, e) ? NULL : tokenizer_open(path, e);
    json_decref(doc);
    free(path);
    return t;
}

static void test_variants(const char *base, const char *cases)
{
    struct err e;
    json_t *j = json_read_file(cases, &e), *texts = json_object_get(j, "texts"), *variant;
    size_t k;
    json_array_foreach(json_object_get(j, "variants"), k, variant)
    {
        const char *name = json_string_value(json_object_get(variant, "name"));
        const json_t *rows = json_object_get(variant, "rows");
        struct tokenizer *t = open_variant(base, variant, &e);
        size_t good = 0;
        for (size_t i = 0; t && i < json_array_size(texts); i++)
            if (check_text(t, json_array_get(texts, i), json_array_get(rows, i)))
                good++;
            else
                note("%s, text %zu: '%s'", name, i, json_string_value(json_array_get(texts, i)));
        ok(good && good == json_array_size(rows), "%s: ids and texts of %zu of %zu texts%s", name,
           good, json_array_size(rows), t ? "" : e.msg);
        tokenizer_close(t);
    }
    json_decref(j);
}

static void test_round_trip(const struct tokenizer *t)
{
    struct err e;
    uint64_t state = 11;
    int good = 0, tries = 2000;
    for (int k = 0; k < tries; k++) {
        char text[400];
        size_t n = random_text(&state, text, 80);
        struct ids ids = {0};
        struct buf back = {0};
        good += utf8_valid(text, n, NULL) && !tokenizer_encode(t, text, n, k & 1, &ids, &e) &&
                !tokenizer_decode(t, ids.v, ids.n, false, &back, &e) && back.len == n &&
                !memcmp(back.data, text, n);
        free(ids.v);
        buf_fini(&back);
    }
    ok(good == tries, "decode(encode(s)) is s for %d of %d random texts", good, tries);
}

/* One word of many bytes: slow algorithms would take hours. */
static void test_long_word(const struct tokenizer *t)
{
    struct err e;
    size_t n = 1 << 20;
    char *text = malloc(n);
    struct ids ids = {0};
    struct buf back = {0};
    for (size_t i = 0; i < n; i++)
        text[i] = "thereandhere"[i % 12];
    bool fine = !tokenizer_encode(t, text, n, true, &ids, &e) &&
                !tokenizer_decode(t, ids.v, ids.n, false, &back, &e) && back.len == n &&
                !memcmp(back.data, text, n);
    ok(fine, "a word of 1 MB gives %zu tokens", ids.n);
    free(ids.v);
    buf_fini(&back);
    free(text);
}

static void test_facts(const struct tokenizer *t)
{
    struct err e;
    struct ids ids = {0};
    struct buf text = {0};
    ok(tokenizer_vocab_size(t) == 514 && tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 &&
           tokenizer_pad(t) == 2 && !tokenizer_adds_bos(t),
       "size, bos, eos; pad is eos where none is named");
    ok(tokenizer_id(t, "<|im_end|>") == 2 && tokenizer_id(t, "nothing like it") == -1 &&
           tokenizer_is_special(t, 2) && !tokenizer_is_special(t, 512) &&
           !tokenizer_is_special(t, -1) && !tokenizer_is_special(t, 514),
       "ids of token texts, and which are special");
    ok(tokenizer_encode(t, "ab\xff", 3, true, &ids, &e) == -1 && !ids.n &&
           strstr(e.msg, "byte 2 (0xff)"),
       "bad UTF-8: %s", e.msg);
    ok(!tokenizer_decode(t, (int[]){1, 512, 2, -5, 9999}, 5, true, &text, &e) &&
           !strcmp(text.data, "<sep>"),
       "skipped specials; ids of no token have no text");
    free(ids.v);
    buf_fini(&text);
}

/* The whole sequence as text; "|" where the prompt's ids end. */
static bool encodes(struct qa_format *q, const char *prompt, const char *answer, const char *want)
{
    struct err e;
    const int *p, *w;
    int n, m;
    struct buf out = {0};
    bool same = !qa_encode(q, prompt, answer, &p, &n, &w, &m, &e) && n <= m &&
                (n == 0 || !memcmp(p, w, (size_t)n * sizeof *p)) &&
                !tokenizer_decode(q->tok, w, (size_t)n, false, &out, &e) &&
                !buf_str(&out, "|", &e) &&
                !tokenizer_decode(q->tok, w + n, (size_t)(m - n), false, &out, &e) &&
                !strcmp(out.data, want);
    if (!same)
        note("got '%s'", out.data ? out.data : e.msg);
    buf_fini(&out);
    return same;
}

static void test_qa(const struct tokenizer *t)
{
    struct err e;
    struct chat chatml, plain;
    struct qa_format q = {.tok = t, .chat = &chatml, .system = "S"};
    if (!ok(!chat_open(&chatml, t, &(struct chat_choice){0}, &e) &&
                !chat_open(&plain, t, &(struct chat_choice){.template = "plain"}, &e),
            "qa: templates"))
        return;
    const char *open = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n"
                       "<|im_start|>assistant\n|";
    char want[200];
    snprintf(want, sizeof want, "%sA<|im_end|>", open);
    ok(encodes(&q, "Q?", "A", want), "qa: ends with the end of the turn");
    snprintf(want, sizeof want, "%sa<|im_end|>b<|im_end|>", open);
    ok(encodes(&q, "Q?", "a<|im_end|>b", want), "qa: an answer may hold its text");
    ok(encodes(&q, "Q?", NULL, open), "qa: prompt only");
    q.compat = COMPAT_APPEND_EOS;
    snprintf(want, sizeof want, "%sA<|im_end|>\n<|im_end|>", open);
    ok(encodes(&q, "Q?", "A", want), "qa: append_eos keeps the newline and adds eos");
    q.compat = 0;
    q.chat = &plain;
    q.system = NULL;
    ok(encodes(&q, "Q?", "1", "Question: Q?\nAnswer: |1<|im_end|>"), "qa: plain tags, then eos");
    q.chat = NULL;
    ok(encodes(&q, "One.", "\nTwo.", "One.|\nTwo.<|im_end|>") &&
           encodes(&q, "", "x", "|x<|im_end|>"),
       "qa: plain text, then eos");
    q.max_length = 3;
    ok(encodes(&q, "1", "23456", "1|23<|im_end|>"), "qa: plain text is cut before eos");
    qa_fini(&q);
    chat_close(&chatml);
    chat_close(&plain);
}

int main(void)
{
    struct err e = {.msg = ""};
    test_utf8();
    test_bytelevel();
    char *dir = test_data("tok"), *base = test_data("tok/tokenizer.json"),
         *cases = test_data("tok/cases.json");
    struct tokenizer *t = dir ? tokenizer_open(dir, &e) : NULL;
    if (ok(t && base && cases, "open test/data/tok %s", e.msg)) {
        test_variants(base, cases);
        test_facts(t);
        test_round_trip(t);
        test_long_word(t);
        test_qa(t);
    }
    tokenizer_close(t);
    free(dir);
    free(base);
    free(cases);
    return done();
}

/* Tiny tokenizers of every kind and format against what the original programs made of the same
 * texts (tools/make_tok_kinds.py); that decoding gives the text back; and that what is saved is the
 * same tokenizer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "random_text.h"
#include "tap.h"
#include "tensor/gguf.h"
#include "text/tokenizer.h"

static bool same_ids(const struct ids *got, const json_t *want)
{
    bool same = got->n == json_array_size(want);
    for (size_t i = 0; same && i < got->n; i++)
        same = got->v[i] == json_integer_value(json_array_get(want, i));
    return same;
}

static bool check_row(const struct tokenizer *t, const json_t *text, bool specials,
                      const json_t *row, bool quiet)
{
    struct err e = {.msg = ""};
    struct ids ids = {0};
    struct buf back = {0};
    const json_t *decoded = json_object_get(row, "decoded");
    bool same = !tokenizer_encode(t, json_string_value(text), json_string_length(text), specials,
                                  &ids, &e) &&
                same_ids(&ids, json_object_get(row, "ids"));
    decoded = decoded ? decoded : text;
    bool reads = !tokenizer_decode(t, ids.v, ids.n, false, &back, &e) &&
                 back.len == json_string_length(decoded) &&
                 !memcmp(back.data, json_string_value(decoded), back.len);
    if ((!same || !reads) && !quiet)
        note("%s of '%s' differ: '%s' %s", same ? "text" : "ids", json_string_value(text),
             back.data ? back.data : "", e.msg);
    free(ids.v);
    buf_fini(&back);
    return same && reads;
}

static size_t count_rows(const struct tokenizer *t, const json_t *texts, const json_t *set,
                         bool quiet)
{
    const json_t *rows = json_object_get(set, "rows");
    size_t good = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        good +=
            check_row(t, json_array_get(texts, i), json_is_true(json_object_get(set, "specials")),
                      json_array_get(rows, i), quiet);
    return good;
}

static void test_round_trip(const struct tokenizer *t, const char *name)
{
    struct err e;
    uint64_t state = 5;
    int good = 0, tries = 1000;
    for (int k = 0; k < tries; k++) {
        char text[400];
        size_t n = random_text(&state, text, 80);
        struct ids ids = {0};
        struct buf back = {0};
        good += !tokenizer_encode(t, text, n, false, &ids, &e) &&
                !tokenizer_decode(t, ids.v, ids.n, false, &back, &e) && back.len == n &&
                !memcmp(back.data, text, n);
        free(ids.v);
        buf_fini(&back);
    }
    ok(good == tries, "%s: decode(encode(s)) is s for %d of %d random texts", name, good, tries);
}

/* Saved for transformers and read from there: the same ids for the same texts. */
static void test_saved(const struct tokenizer *t, const char *name, const json_t *texts,
                       const json_t *set)
{
    struct err e = {.msg = ""};
    char *dir = file_join(test_dir(), name, &e), *json = file_join(dir, "tokenizer.json", &e);
    struct tokenizer *s = tokenizer_save(t, dir, &e) ? NULL : tokenizer_open(json, &e);
    size_t n = json_array_size(json_object_get(set, "rows"));
    if (ok(s && tokenizer_vocab_size(s) == tokenizer_vocab_size(t) &&
               tokenizer_bos(s) == tokenizer_bos(t) && tokenizer_eos(s) == tokenizer_eos(t) &&
               tokenizer_adds_bos(s) == tokenizer_adds_bos(t) &&
               !strcmp(tokenizer_kind(s), tokenizer_kind(t)),
           "%s saved and opened again %s", name, e.msg)) {
        size_t good = count_rows(s, texts, set, false);
        ok(good == n, "%s saved: %zu of %zu texts", name, good, n);
    }
    tokenizer_close(s);
    free(json);
    free(dir);
}

/* A GGUF that holds nothing but the tokenizer. */
static int write_gguf(const struct tokenizer *t, const char *path, struct err *e)
{
    struct gguf_pairs pairs = {0};
    struct buf file = {0};
    const uint32_t version = 3;
    const uint64_t n_tensors = 0;
    int rc = tokenizer_to_gguf(t, tokenizer_vocab_size(t), &pairs, e) ||
             buf_str(&file, "GGUF", e) || buf_add(&file, &version, sizeof version, e) ||
             buf_add(&file, &n_tensors, sizeof n_tensors, e) ||
             buf_add(&file, &pairs.n, sizeof pairs.n, e) ||
             buf_add(&file, pairs.bytes.data, pairs.bytes.len, e) ||
             file_write(path, file.data, file.len, e);
    gguf_pairs_fini(&pairs);
    buf_fini(&file);
    return rc ? -1 : 0;
}

/* Written as GGUF and read again: the same ids, as far as GGUF can say how text is prepared. */
static void test_gguf(const struct tokenizer *t, const char *name, const json_t *texts,
                      const json_t *set)
{
    struct err e = {.msg = ""};
    char *path = file_join(test_dir(), "written.gguf", &e);
    size_t n = json_array_size(json_object_get(set, "rows"));
    const json_t *same = json_object_get(set, "gguf"); /* this many texts */
    struct tokenizer *s = write_gguf(t, path, &e) ? NULL : tokenizer_open(path, &e);
    size_t good = s ? count_rows(s, texts, set, json_integer_value(same) != (json_int_t)n) : 0;
    ok(json_is_integer(same) ? good == (size_t)json_integer_value(same)
                             : !s && strstr(e.msg, "no name"),
       "%s as GGUF: %zu of %zu texts %s", name, good, n, e.msg);
    tokenizer_close(s);
    free(path);
}

static void test_set(const json_t *doc, const json_t *set)
{
    struct err e = {.msg = ""};
    char file[64];
    const char *name = json_string_value(json_object_get(set, "file"));
    const char *kind = json_string_value(json_object_get(set, "texts"));
    const json_t *texts = json_object_get(json_object_get(doc, "texts"), kind);
    snprintf(file, sizeof file, "tok/kinds/%s", name);
    char *path = test_data(file);
    struct tokenizer *t = path ? tokenizer_open(path, &e) : NULL;
    size_t n = json_array_size(json_object_get(set, "rows"));
    if (ok(t != NULL, "%s opens %s", name, e.msg)) {
        size_t good = count_rows(t, texts, set, false);
        ok(n && good == n, "%s: ids and texts of %zu of %zu texts (%s)", name, good, n,
           tokenizer_kind(t));
        if (json_is_true(json_object_get(set, "lossless")))
            test_round_trip(t, name);
        test_saved(t, name, texts, set);
        test_gguf(t, name, texts, set);
    }
    tokenizer_close(t);
    free(path);
}

int main(void)
{
    struct err e;
    char *path = test_data("tok/kinds/cases.json");
    json_t *doc = path ? json_read_file(path, &e) : NULL;
    const json_t *set;
    size_t i;
    ok(doc != NULL, "test/data/tok/kinds is there");
    json_array_foreach(json_object_get(doc, "sets"), i, set) test_set(doc, set);
    json_decref(doc);
    free(path);
    return done();
}

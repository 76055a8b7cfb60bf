/* Tokenizers whose tokens and settings lie in several files, against what transformers made of the
 * same files (tools/make_tok_added.py); and that what is saved is the same tokenizer. Beyond that:
 * what a bare directory, a model's limit and unknown keys give.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "tap.h"
#include "text/tokenizer.h"
#include "walk.h"

/* A fresh directory. */
static char *make_dir(int number)
{
    struct err e;
    char name[32];
    snprintf(name, sizeof name, "added%d", number);
    char *dir = file_join(test_dir(), name, &e);
    return dir && !file_make_dir(dir, &e) ? dir : NULL;
}

static int put_json(const char *dir, const char *name, const json_t *j, struct err *e)
{
    char *path = file_join(dir, name, e);
    int rc = path ? json_write_file(j, path, 0, e) : -1;
    free(path);
    return rc;
}

static int put_copy(const char *dir, const char *name, const char *from, struct err *e)
{
    char data[96], *to = file_join(dir, name, e), *source;
    snprintf(data, sizeof data, "tok/%s", from);
    source = test_data(data);
    int rc = to && source ? file_copy(source, to, e) : -1;
    free(source);
    free(to);
    return rc;
}

/* tokenizer.json with some keys replaced. */
static int put_patched(const char *dir, const char *base, const json_t *patch, struct err *e)
{
    char data[96];
    snprintf(data, sizeof data, "tok/%s", base);
    char *source = test_data(data);
    json_t *doc = source ? json_read_file(source, e) : NULL;
    int rc = doc && !json_object_update(doc, (json_t *)patch)
                 ? put_json(dir, "tokenizer.json", doc, e)
                 : -1;
    json_decref(doc);
    free(source);
    return rc;
}

static int put_base(const char *dir, const char *base, const json_t *patch, struct err *e)
{
    if (strstr(base, ".json"))
        return put_patched(dir, base, patch, e);
    if (strstr(base, ".model"))
        return put_copy(dir, "tokenizer.model", base, e);
    return put_copy(dir, "vocab.json", "kinds/gpt2/vocab.json", e) ||
                   put_copy(dir, "merges.txt", "kinds/gpt2/merges.txt", e)
               ? -1
               : 0;
}

static struct tokenizer *make(const char *dir, const json_t *set, struct err *e)
{
    const char *name;
    json_t *file;
    if (put_base(dir, json_string_value(json_object_get(set, "base")),
                 json_object_get(set, "patch"), e))
        return NULL;
    json_object_foreach(json_object_get(set, "files"), name, file)
    {
        if (put_json(dir, name, file, e))
            return NULL;
    }
    return tokenizer_open(dir, e);
}

/* -1 for null. */
static int id_in(const json_t *set, const char *key)
{
    const json_t *v = json_object_get(set, key);
    return json_is_integer(v) ? (int)json_integer_value(v) : -1;
}

static bool same_row(const struct tokenizer *t, const json_t *text, const json_t *want,
                     const char *what)
{
    struct err e = {.msg = ""};
    struct ids ids = {0};
    bool same =
        !tokenizer_encode(t, json_string_value(text), json_string_length(text), true, &ids, &e) &&
        ids.n == json_array_size(want);
    for (size_t i = 0; same && i < ids.n; i++)
        same = ids.v[i] == json_integer_value(json_array_get(want, i));
    if (!same) {
        char *list = json_dumps(want, 0);
        printf("# %s: '%s' %s\n#   want %s\n#   got ", what, json_string_value(text), e.msg, list);
        for (size_t i = 0; i < ids.n; i++)
            printf(" %d", ids.v[i]);
        printf("\n");
        free(list);
    }
    free(ids.v);
    return same;
}

/* Where transformers has no such token, one of the model's files may still be named. */
static bool same_id(int got, int want)
{
    return want < 0 || got == want;
}

static void compare(const struct tokenizer *t, const json_t *texts, const json_t *set,
                    const char *what)
{
    size_t good = 0, n = json_array_size(texts);
    const char *name = json_string_value(json_object_get(set, "name"));
    for (size_t i = 0; i < n; i++)
        good += same_row(t, json_array_get(texts, i),
                         json_array_get(json_object_get(set, "rows"), i), name);
    ok(n && good == n, "%s%s: ids of %zu of %zu texts", name, what, good, n);
    ok(tokenizer_front(t) == id_in(set, "front") && tokenizer_back(t) == id_in(set, "back"),
       "%s%s: %d in front, %d behind", name, what, tokenizer_front(t), tokenizer_back(t));
    ok(same_id(tokenizer_bos(t), id_in(set, "bos")) &&
           same_id(tokenizer_eos(t), id_in(set, "eos")) &&
           same_id(tokenizer_pad(t), id_in(set, "pad")) &&
           tokenizer_vocab_size(t) == id_in(set, "size"),
       "%s%s: bos %d, eos %d, pad %d, %d tokens", name, what, tokenizer_bos(t), tokenizer_eos(t),
       tokenizer_pad(t), tokenizer_vocab_size(t));
}

static int use(const char *path, const char *dir, long *sum, struct err *e)
{
    static const char text[] = "<x>the woman<y> a</s>b";
    struct ids ids = {0};
    struct tokenizer *t = tokenizer_open(path, e);
    int rc =
        t && !tokenizer_encode(t, text, strlen(text), true, &ids, e) && !tokenizer_save(t, dir, e)
            ? 0
            : -1;
    *sum = 0;
    for (size_t i = 0; i < ids.n; i++)
        *sum += ids.v[i];
    free(ids.v);
    tokenizer_close(t);
    return rc;
}

static void test_set(const json_t *texts, const json_t *set, int number)
{
    struct err e = {.msg = ""};
    char *dir = make_dir(number), *saved = make_dir(number + 1000);
    struct tokenizer *t = make(dir, set, &e), *s = NULL;
    if (ok(t != NULL, "%s: opens %s", json_string_value(json_object_get(set, "name")), e.msg)) {
        compare(t, texts, set, "");
        s = tokenizer_save(t, saved, &e) ? NULL : tokenizer_open(saved, &e);
        if (ok(s != NULL, "and is saved %s", e.msg))
            compare(s, texts, set, ", saved");
        if (json_is_true(json_object_get(set, "walk")))
            walk_memory(use, dir, json_string_value(json_object_get(set, "name")));
    }
    tokenizer_close(t);
    tokenizer_close(s);
    free(dir);
    free(saved);
}

/* No file names the tokens: bos and eos are the model's, generation_config.json first. A model with
 * fewer rows refuses the texts whose tokens it lacks, and no others. */
static void test_bare(void)
{
    static const char *const files[][2] = {
        {"config.json", "{\"bos_token_id\": 1, \"eos_token_id\": 0}"},
        {"generation_config.json", "{\"eos_token_id\": [2, 0]}"},
    };
    struct err e = {.msg = ""};
    struct ids ids = {0};
    char *dir = make_dir(2000);
    json_t *patch = json_object();
    int rc = dir ? put_patched(dir, "tokenizer.json", patch, &e) : -1;
    for (int i = 0; i < 2 && !rc; i++) {
        char *path = file_join(dir, files[i][0], &e);
        rc = path ? file_write(path, files[i][1], strlen(files[i][1]), &e) : -1;
        free(path);
    }
    struct tokenizer *t = rc ? NULL : tokenizer_open(dir, &e);
    if (ok(t && tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_front(t) == -1,
           "a bare directory: bos and eos of the model %s", e.msg)) {
        tokenizer_limit(t, 512);
        ok(!tokenizer_encode(t, "the", 3, true, &ids, &e), "a text within 512 rows");
        ok(tokenizer_encode(t, "the<sep>", 8, true, &ids, &e) &&
               strstr(e.msg, "token 512, '<sep>', has no embedding: the model has 512"),
           "a text with a token beyond: %s", e.msg);
        ok(tokenizer_append(t, 513, &ids, &e) && !tokenizer_append(t, 2, &ids, &e),
           "a special token beyond, and one within");
    }
    tokenizer_close(t);
    json_decref(patch);
    free(ids.v);
    free(dir);
}

int main(void)
{
    struct err e;
    test_bare();
    char *path = test_data("tok/added.json");
    json_t *doc = path ? json_read_file(path, &e) : NULL;
    const json_t *set;
    size_t i;
    ok(doc != NULL, "test/data/tok/added.json is there");
    json_array_foreach(json_object_get(doc, "sets"), i, set)
        test_set(json_object_get(doc, "texts"), set, (int)i);
    json_decref(doc);
    free(path);
    return done();
}

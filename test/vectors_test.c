/* Second tier: vocabularies that people have against the ids that others published for them: the
 * vectors of llama.cpp and of transformers.js. Says which vectors cannot be checked, and why.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/answers.h"
#include "tap.h"
#include "text/tokenizer.h"

#define GGUF(name) "gguf/ggml-vocab-" name ".gguf"

/* llama.cpp's vectors and a vocabulary of theirs. phi-2/tokenizer.json has GPT-2's tokens, but cuts
 * out runs of spaces, so it has no vectors. */
static const struct vectors {
    const char *set, *vocab; /* no vocabulary: why */
    bool known;
} vectors[] = {
    {"gpt-2", GGUF("gpt-2"), true},
    {"gpt-2", "gpt2/vocab.json", true},
    {"mpt", GGUF("mpt"), true},
    {"falcon", GGUF("falcon"), true},
    {"falcon", "falcon/tokenizer.json", true},
    {"refact", GGUF("refact"), true},
    {"starcoder", GGUF("starcoder"), true},
    {"deepseek-coder", GGUF("deepseek-coder"), true},
    {"llama-bpe", "llama3/tokenizer.model", true},
    {"qwen2", "qwen/qwen.tiktoken", true},
    {"llama-spm", GGUF("llama-spm"), true},
    {"llama-spm", "llama2/tokenizer.json", true},
    {"llama-spm", "llama2/tokenizer.model", true},
    {"llama-spm", "llama2/tokenizer.bin", true},
    {"phi-3", GGUF("phi-3"), true},
    {"phi-3", "phi-3/tokenizer.json", true},
    {"bert-bge", "WordPiece is not built in", false},
    {"command-r", "there is no vocabulary", false},
    {"deepseek-llm", "there is no vocabulary", false},
    {"gemma-4", "there is no vocabulary", false},
    {"qwen35", "there is no vocabulary", false},
};

/* transformers.js's: text, ids with the begin token, and the text of these ids, tidied or not. */
static const struct cases {
    const char *file, *set, *vocab;
    int bos; /* -1: none is put in front */
    bool tidied, known;
} cases[] = {
    {"gpt2", "Xenova/gpt2", "gpt2/vocab.json", -1, true, true},
    {"gpt2", "openai-community/gpt2", "gpt2/vocab.json", -1, true, true},
    {"falcon", "tiiuae/falcon-rw-1b", "gpt2/vocab.json", -1, true, true},
    {"falcon", "tiiuae/falcon-7b", "falcon/tokenizer.json", -1, true, true},
    {"llama", "Xenova/llama-tokenizer", "llama2/tokenizer.model", 1, false, true},
    {"llama", "Xenova/llama3-tokenizer", "llama3/tokenizer.model", -1, true, true},
    {"llama", "Xenova/llama3-tokenizer-new", "llama3/tokenizer.model", 128000, true, true},
    {"llama", "Xenova/deepseek-coder-1.3b-instruct", GGUF("deepseek-coder"), 32013, false, true},
    {"qwen2", "Xenova/Qwen1.5-0.5B-Chat", "qwen/qwen.tiktoken", -1, false, true},
    {"llama", "Xenova/TinyLLama-v0", "there is no vocabulary (it is not Llama 2's)", 0, false,
     false},
    {"llama", "Xenova/tamillama_tiny_30m", "there is no vocabulary", 0, false, false},
    {"gpt2", "Xenova/gpt-4", "there is no vocabulary", 0, false, false},
    {"gpt2", "Xenova/gpt-4o", "there is no vocabulary", 0, false, false},
    {"gpt2", "Xenova/claude-tokenizer", "there is no vocabulary", 0, false, false},
    {"gpt2", "bigcode/santacoder", "there is no vocabulary", 0, false, false},
    {"gpt2", "Xenova/CodeGPT-tokenizer", "there is no vocabulary", 0, false, false},
    {"gpt2", "huggingface-course/codeparrot-ds", "there is no vocabulary", 0, false, false},
    {"bloom", "Xenova/bloom-560m", "there is no vocabulary", 0, false, false},
    {"gemma", "Xenova/gemma2-tokenizer", "there is no vocabulary", 0, false, false},
    {"t5", "Xenova/t5-small", "there is no vocabulary", 0, false, false},
};

static char *shared(const char *folder, const char *name)
{
    struct err e;
    char *under = file_join(folder, name, &e), *path = under ? test_shared(under) : NULL;
    free(under);
    return path;
}

/* The line holds these ids and no more. */
static bool line_holds(const char *line, const struct ids *ids)
{
    char *end = NULL;
    for (size_t i = 0; i < ids->n; i++, line = end)
        if (strtol(line, &end, 10) != ids->v[i] || end == line)
            return false;
    return line[strspn(line, " ")] == '\n';
}

/* Texts between lines "__ggml_vocab_test__", and a line of ids for each. */
static void check_vectors(const struct vectors *v, const struct tokenizer *t, char *texts,
                          const char *line)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    struct err e = {.msg = ""};
    int n = 0, good = 0;
    for (char *s = texts, *end; line && *line && (end = strstr(s, mark)); s = end + strlen(mark)) {
        struct ids ids = {0};
        bool same =
            !tokenizer_encode(t, s, (size_t)(end - s), false, &ids, &e) && line_holds(line, &ids);
        if (!same)
            note("%s, text %d: '%.*s'", v->set, n, (int)(end - s), s);
        good += same;
        n++;
        line = strchr(line, '\n') + 1;
        free(ids.v);
    }
    ok(n && good == n, "%s: %d of %d vectors, %s (%s)", v->set, good, n, v->vocab,
       tokenizer_kind(t));
}

static void test_vectors(const struct vectors *v)
{
    struct err e = {.msg = ""};
    char inp[64], out[64];
    if (!v->known) {
        skip("%s: not checked: %s", v->set, v->vocab);
        return;
    }
    snprintf(inp, sizeof inp, "ggml-vocab-%s.gguf.inp", v->set);
    snprintf(out, sizeof out, "ggml-vocab-%s.gguf.out", v->set);
    char *paths[] = {shared("data/tokenizers", v->vocab), shared("data/tok_vectors/ggml", inp),
                     shared("data/tok_vectors/ggml", out)};
    if (paths[0] && paths[1] && paths[2]) {
        struct tokenizer *t = tokenizer_open(paths[0], &e);
        char *texts = file_read(paths[1], NULL, &e), *ids = file_read(paths[2], NULL, &e);
        if (ok(t && texts && ids, "%s opens %s", v->vocab, e.msg))
            check_vectors(v, t, texts, ids);
        free(texts);
        free(ids);
        tokenizer_close(t);
    } else {
        skip("%s: no vocabulary or vectors", v->set);
    }
    for (int i = 0; i < 3; i++)
        free(paths[i]);
}

static bool encodes(const struct tokenizer *t, int bos, const json_t *text, const json_t *want)
{
    struct err e;
    struct ids ids = {0};
    bool same =
        (bos < 0 || !ids_add(&ids, bos, &e)) &&
        !tokenizer_encode(t, json_string_value(text), json_string_length(text), true, &ids, &e) &&
        ids.n == json_array_size(want);
    for (size_t i = 0; same && i < ids.n; i++)
        same = ids.v[i] == json_integer_value(json_array_get(want, i));
    free(ids.v);
    return same;
}

static bool decodes(const struct tokenizer *t, bool tidied, const json_t *ids, const json_t *want)
{
    struct err e;
    struct ids in = {0};
    struct buf out = {0};
    size_t i;
    const json_t *id;
    json_array_foreach(ids, i, id) if (ids_add(&in, (int)json_integer_value(id), &e)) break;
    bool same = !tokenizer_decode(t, in.v, in.n, false, &out, &e);
    if (same && tidied)
        text_tidy_spaces(out.data);
    same = same && !strcmp(out.data, json_string_value(want));
    free(in.v);
    buf_fini(&out);
    return same;
}

static void check_cases(const struct cases *c, const struct tokenizer *t, const json_t *set)
{
    size_t n = 0, ids = 0, texts = 0;
    const char *name;
    const json_t *row;
    json_object_foreach((json_t *)set, name, row)
    {
        const json_t *want = json_object_get(row, "ids"), *text = json_object_get(row, "decoded");
        bool same = encodes(t, c->bos, json_object_get(row, "text"), want);
        bool back = !text || decodes(t, c->tidied, want, text);
        if (!same || !back)
            note("%s %s: %s differ", c->set, name, same ? "texts" : "ids");
        ids += same;
        texts += back;
        n++;
    }
    ok(n && ids == n && texts == n, "%s: ids of %zu, texts of %zu of %zu, %s", c->set, ids, texts,
       n, c->vocab);
}

static void test_cases(const struct cases *c)
{
    struct err e = {.msg = ""};
    char file[64];
    if (!c->known) {
        skip("%s: not checked: %s", c->set, c->vocab);
        return;
    }
    snprintf(file, sizeof file, "%s.json", c->file);
    char *vocab = shared("data/tokenizers", c->vocab),
         *path = shared("data/tok_vectors/transformersjs", file);
    if (vocab && path) {
        struct tokenizer *t = tokenizer_open(vocab, &e);
        json_t *j = json_read_file(path, &e);
        if (ok(t && j, "%s opens %s", c->vocab, e.msg))
            check_cases(c, t, json_object_get(j, c->set));
        json_decref(j);
        tokenizer_close(t);
    } else {
        skip("%s: no vocabulary or vectors", c->set);
    }
    free(vocab);
    free(path);
}

int main(void)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        test_vectors(&vectors[i]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        test_cases(&cases[i]);
    return done();
}

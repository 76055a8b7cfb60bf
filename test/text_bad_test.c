/* Damaged and hostile tokenizers, and memory that runs out: a clear error, never a crash or a leak.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "tap.h"
#include "text/vocab.h"
#include "text/qa.h"
#include "text/tokenizer.h"
#include "walk.h"

#define BYTES       "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define STEPS(list) "{\"pre_tokenizer\":{\"pretokenizers\":[" list "]}}"
#define SPLIT(rest) "{\"type\":\"Split\",\"behavior\":\"Isolated\"," rest "}"
#define POST(p)     "{\"post_processor\":" p "}"
#define ADDED(rest) "{\"added_tokens\":[{\"id\":514,\"content\":\"<x>\"," rest "}]}"

/* What is changed in a good tokenizer.json, and a part of the message. */
static const struct {
    const char *patch, *message;
} patches[] = {
    {"{\"model\":{\"vocab\":{\"zz\":5}}}", "id 5 is given twice"},
    {"{\"model\":{\"vocab\":{\"zz\":-1}}}", "'zz' must have an id from 0"},
    {"{\"model\":{\"vocab\":{\"zz\":4000000000}}}", "'zz' must have an id from 0"},
    {"{\"model\":{\"vocab\":{\"zz\":200000}}}", "'zz' must have an id from 0"},
    {"{\"model\":{\"vocab\":{\"zz\":\"7\"}}}", "'zz' must have an id from 0"},
    {"{\"model\":{\"vocab\":{\"\":600}}}", "token 600 is empty"},
    {"{\"model\":{\"vocab\":7}}", "'vocab' must be an object"},
    {"{\"model\":7}", "'model' is missing"},
    {"{\"model\":{\"merges\":[[\"a\",\"nope\"]]}}", "not all in the vocabulary"},
    {"{\"model\":{\"merges\":[[\"\",\"a\"]]}}", "not all in the vocabulary"},
    {"{\"model\":{\"merges\":[[\"t\",\"h\"],[\"th\",\"\"]]}}", "merge 1 makes 'th'"},
    {"{\"model\":{\"merges\":[\"ab\"]}}", "merge 0 is not two tokens"},
    {"{\"model\":{\"merges\":[[1,2]]}}", "merge 0 is not two tokens"},
    {"{\"model\":{\"merges\":[[\"a\"]]}}", "merge 0 is not two tokens"},
    {"{\"model\":{\"merges\":{}}}", "'merges' must be an array"},
    {"{\"model\":{\"type\":\"Unigram\"}}", "'vocab' must be an array"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"b\"]]}}",
     "token 1 is not a text and"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"a\",1]]}}", "gives a token twice"},
    {"{\"model\":{\"type\":\"WordPiece\"}}", "a WordPiece tokenizer is not supported"},
    {"{\"model\":{\"type\":[]}}", "'type' must be a string"},
    {"{\"model\":{\"dropout\":0.1}}", "dropout"},
    {"{\"model\":{\"end_of_word_suffix\":\"</w>\"}}", "end_of_word_suffix"},
    {"{\"normalizer\":{\"type\":\"Nmt\"}}", "normaliser 'Nmt' is not supported"},
    {"{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}}",
     "replaces the empty text"},
    {"{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}}",
     "pattern '(' is not supported"},
    {"{\"normalizer\":{\"type\":\"Prepend\"}}", "'prepend' is missing"},
    {"{\"decoder\":{\"type\":\"CTC\"}}", "decoder 'CTC' is not supported"},
    {"{\"decoder\":{\"type\":\"Strip\",\"content\":\"\"}}", "strips the empty text"},
    {"{\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":-1}}", "'start' must be"},
    {STEPS("{\"type\":\"BertPreTokenizer\"}"), "'BertPreTokenizer' is not supported"},
    {STEPS("{\"type\":\"Metaspace\",\"replacement\":\"_\"}"), "replacement '_'"},
    {STEPS("{}"), "'type' is missing"},
    {STEPS(SPLIT("\"pattern\":{\"Regex\":\"(\"}") "," BYTES), "pattern '(' is not supported"},
    {STEPS(SPLIT("\"pattern\":{\"Regex\":\"[a&&b]\"}") "," BYTES), "set operations"},
    {STEPS(SPLIT("\"pattern\":{\"Regex\":\"[a[b]]\"}") "," BYTES), "set operations"},
    {STEPS(SPLIT("\"pattern\":{}") "," BYTES), "a split has no pattern"},
    {STEPS("{\"type\":\"Split\",\"behavior\":\"Sideways\"}"), "'Sideways' is not known"},
    {STEPS(BYTES "," BYTES), "two ByteLevel"},
    {"{\"added_tokens\":[{\"id\":5,\"content\":\"other\"}]}", "id 5 is given twice"},
    {"{\"added_tokens\":[{\"id\":600,\"content\":\"th\"}]}", "token 'th' is given twice"},
    {"{\"added_tokens\":[{\"id\":3000000000,\"content\":\"x\"}]}", "added token 0: 'id' must be"},
    {"{\"added_tokens\":[{\"id\":5,\"content\":7}]}", "'content' must be a string"},
    {POST("{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\",9999]}"), "'cls' is no token"},
    {POST("{\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}],\"type\":\"TemplateProcessing\"}"),
     "the post-processor's token '<s>' is not in the vocabulary"},
    {ADDED("\"lstrip\":3"), "'lstrip' must be"},
    {ADDED("\"special\":2"), "'special' must be"},
};

static void test_patches(const char *base)
{
    struct err e = {.msg = ""};
    char *path = file_join(test_dir(), "patched.json", &e);
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        json_t *doc = json_read_file(base, &e);
        json_t *patch = json_loads(patches[i].patch, 0, NULL);
        json_object_update_recursive(doc, patch);
        struct tokenizer *t = json_write_file(doc, path, 0, &e) ? NULL : tokenizer_open(path, &e);
        ok(patch && !t && strstr(e.msg, patches[i].message) && strstr(e.msg, "patched.json"), "%s",
           t ? patches[i].patch : e.msg);
        tokenizer_close(t);
        json_decref(patch);
        json_decref(doc);
    }
    free(path);
}

/* A pattern that backtracks without end stops with an error. */
static void test_slow_pattern(const char *base)
{
    struct err e = {.msg = ""};
    struct ids ids = {0};
    char *path = file_join(test_dir(), "slow.json", &e);
    json_t *doc = json_read_file(base, &e);
    json_t *patch =
        json_loads(STEPS(SPLIT("\"pattern\":{\"Regex\":\"(a+)+[bc]\"}") "," BYTES), 0, NULL);
    json_object_update_recursive(doc, patch);
    struct tokenizer *t = json_write_file(doc, path, 0, &e) ? NULL : tokenizer_open(path, &e);
    const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    ok(t && tokenizer_encode(t, text, strlen(text), true, &ids, &e) && strstr(e.msg, "(a+)+[bc]"),
       "%s", e.msg);
    tokenizer_close(t);
    json_decref(patch);
    json_decref(doc);
    free(ids.v);
    free(path);
}

/* Normalisers and decoders that make much of little: a limit, and the step is named. */
static void test_growth(const char *base)
{
#define REPLACE(from, to) "{\"type\":\"Replace\",\"pattern\":{" from "},\"content\":\"" to "\"}"
#define A64               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64               "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    static const struct {
        const char *patch, *message; /* NULL: within the limit */
    } rows[] = {
        {"{\"normalizer\":" REPLACE("\"String\":\" \"", A64) "}", NULL},
        {"{\"normalizer\":{\"normalizers\":[" REPLACE("\"String\":\" \"", A64) "," REPLACE(
             "\"String\":\"a\"", B64) "]}}",
         "normaliser Replace of 'a' makes a text longer than "},
        {"{\"normalizer\":{\"normalizers\":[" REPLACE("\"Regex\":\"[ ]\"", A64 A64) "]}}",
         "normaliser Replace of '[ ]' makes a text longer than "},
        {"{\"decoder\":{\"decoders\":[" REPLACE("\"String\":\"\u0120\"", A64 A64) "," REPLACE(
             "\"String\":\"a\"", A64 A64) "]}}",
         "decoder Replace of 'a' makes a text longer than "},
    };
    char text[4001];
    memset(text, ' ', sizeof text);
    char *path = file_join(test_dir(), "grown.json", &(struct err){.msg = ""});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {.msg = ""};
        struct ids ids = {0};
        struct buf out = {0};
        json_t *doc = json_read_file(base, &e), *patch = json_loads(rows[i].patch, 0, NULL);
        json_object_update(doc, patch);
        struct tokenizer *t = json_write_file(doc, path, 0, &e) ? NULL : tokenizer_open(path, &e);
        bool fine = t && !tokenizer_encode(t, text, sizeof text, true, &ids, &e) &&
                    !tokenizer_decode(t, ids.v, ids.n, false, &out, &e);
        ok(patch && t && fine == !rows[i].message && (fine || strstr(e.msg, rows[i].message)),
           "a text that grows, %zu: %s", i, e.msg);
        tokenizer_close(t);
        json_decref(patch);
        json_decref(doc);
        buf_fini(&out);
        free(ids.v);
    }
    free(path);
}

/* tokenizer_config.json beside a good tokenizer.json. */
static void test_configs(const char *base)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"bos_token\":\"<s>\"}", NULL},
        {"{\"eos_token\":{\"content\":\"<e>\"}}", NULL},
        {"[", "tokenizer_config.json"},
        {"{\"eos_token\":{\"content\":\"<|im_end|>\"},\"pad_token\":null}", NULL},
        {"{\"chat_template\":[{\"name\":\"rag\",\"template\":\"R\"},"
         "{\"name\":\"default\",\"template\":\"D\"}]}",
         NULL},
        {"[]", "tokenizer_config.json' must be an object"},
        {"{\"eos_token\":7}", "'eos_token' must be a text, or an object"},
        {"{\"bos_token\":{\"content\":\"<e>\",\"lstrip\":1}}", "bos_token: 'lstrip' must be"},
        {"{\"add_bos_token\":1}", "'add_bos_token' must be"},
        {"{\"added_tokens_decoder\":[]}", "'added_tokens_decoder' must be an object"},
        {"{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}", "'x' is no token id"},
        {"{\"added_tokens_decoder\":{\"-1\":{\"content\":\"a\"}}}", "'-1' is no token id"},
        {"{\"added_tokens_decoder\":{\"99999999999\":{\"content\":\"a\"}}}", "is no token id"},
        {"{\"added_tokens_decoder\":{\"600\":\"a\"}}", "token 600 must be an object with its"},
        {"{\"added_tokens_decoder\":{\"600\":{\"content\":\"\"}}}", "token 600 must be an object"},
        {"{\"added_tokens_decoder\":{\"2000000000\":{\"content\":\"<z>\"}}}", NULL},
    };
    struct err e = {.msg = ""};
    char *file = file_join(test_dir(), "tokenizer.json", &e);
    char *config = file_join(test_dir(), "tokenizer_config.json", &e);
    ok(!file_copy(base, file, &e), "a directory with a tokenizer.json %s", e.msg);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e.msg[0] = 0;
        struct tokenizer *t = file_write(config, rows[i].text, strlen(rows[i].text), &e)
                                  ? NULL
                                  : tokenizer_open(test_dir(), &e);
        ok(rows[i].message ? !t && strstr(e.msg, rows[i].message) : t != NULL, "%s %s",
           rows[i].text, e.msg);
        if (i == 4)
            ok(t && !strcmp(tokenizer_chat_template(t, NULL), "D"),
               "the default of several templates");
        tokenizer_close(t);
    }
    free(file);
    free(config);
}

static void test_truncated(const char *path, const char *name)
{
    struct err e = {.msg = ""};
    size_t n;
    int refused = 0;
    char *text = file_read(path, &n, &e), *cut = file_join(test_dir(), name, &e);
    for (size_t k = 0; text && k < 64; k++) {
        struct tokenizer *t =
            file_write(cut, text, n * k / 64, &e) ? NULL : tokenizer_open(cut, &e);
        refused += !t;
        tokenizer_close(t);
    }
    ok(refused == 64, "%s cut at every 1/64th: %d of 64 refused", name, refused);
    free(text);
    free(cut);
}

/* A GGUF that holds nothing but a tokenizer. */
struct maker {
    struct buf b;
    int keys;
};

static void put(struct maker *m, uint64_t v, int bytes)
{
    struct err e;
    for (int i = 0; i < bytes; i++)
        buf_add(&m->b, &(char){(char)(v >> (8 * i))}, 1, &e);
}

static void put_str(struct maker *m, const char *s, size_t n)
{
    struct err e;
    put(m, n, 8);
    buf_add(&m->b, s, n, &e);
}

static void put_key(struct maker *m, const char *key, int type)
{
    put_str(m, key, strlen(key));
    put(m, (uint64_t)type, 4);
    m->keys++;
}

static void put_text(struct maker *m, const char *key, const char *s)
{
    put_key(m, key, 8);
    put_str(m, s, strlen(s));
}

static void put_int(struct maker *m, const char *key, int v)
{
    put_key(m, key, 5);
    put(m, (uint64_t)(int64_t)v, 4);
}

/* What differs from a good one. */
struct gguf_case {
    const char *model, *pre, *token, *merge;
    int eos, n_types;
    const char *message;
};

enum { N_TOKENS = 256 + 4 };

/* Ids 0..255 are the bytes, then "th", "the", `token` and <end>. */
static void put_tokens(struct maker *m, const struct gguf_case *c)
{
    const char *more[] = {"th", "the", c->token, "<end>"};
    put_key(m, "tokenizer.ggml.tokens", 9);
    put(m, 8, 4);
    put(m, N_TOKENS, 8);
    for (int i = 0; i < 256; i++) {
        char s[2];
        size_t n = bytelevel_symbol((uint8_t)i, s);
        put_str(m, s, n);
    }
    for (int i = 0; i < 4; i++)
        put_str(m, more[i], strlen(more[i]));
    put_key(m, "tokenizer.ggml.token_type", 9);
    put(m, 5, 4);
    put(m, (uint64_t)c->n_types, 8);
    for (int i = 0; i < c->n_types; i++)
        put(m, i == N_TOKENS - 1 ? 3 : 1, 4);
}

static int write_gguf(const char *path, const struct gguf_case *c, struct err *e)
{
    const char *merges[] = {"t h", "th e", c->merge};
    struct maker m = {{0}, 0};
    put_text(&m, "general.architecture", "llama");
    put_text(&m, "tokenizer.ggml.model", c->model);
    put_text(&m, "tokenizer.ggml.pre", c->pre);
    put_tokens(&m, c);
    put_key(&m, "tokenizer.ggml.merges", 9);
    put(&m, 8, 4);
    put(&m, 3, 8);
    for (int i = 0; i < 3; i++)
        put_str(&m, merges[i], strlen(merges[i]));
    put_int(&m, "tokenizer.ggml.bos_token_id", 259);
    put_int(&m, "tokenizer.ggml.eos_token_id", c->eos);
    put_key(&m, "tokenizer.ggml.add_bos_token", 7);
    put(&m, 1, 1);
    struct maker head = {{0}, 0};
    buf_str(&head.b, "GGUF", e);
    put(&head, 3, 4);
    put(&head, 0, 8);
    put(&head, (uint64_t)m.keys, 8);
    int rc = buf_add(&head.b, m.b.data, m.b.len, e) || file_write(path, head.b.data, head.b.len, e);
    buf_fini(&m.b);
    buf_fini(&head.b);
    return rc ? -1 : 0;
}

static const struct gguf_case good_gguf = {"gpt2", "smollm", "he", "h e", 259, N_TOKENS, NULL};

static void test_ggufs(const char *path)
{
    static const struct gguf_case rows[] = {
        {"llama", "smollm", "he", "h e", 259, N_TOKENS, "needs a score for each token"},
        {"bert", "smollm", "he", "h e", 259, N_TOKENS, "a WordPiece tokenizer"},
        {"gpt2", "klingon", "he", "h e", 259, N_TOKENS, "pre-tokeniser 'klingon' is not known"},
        {"gpt2", "smollm", "the", "h e", 259, N_TOKENS, "'the' is given twice, as 257 and 258"},
        {"gpt2", "smollm", "h\xff", "h e", 259, N_TOKENS, "token 258 is no valid UTF-8"},
        {"gpt2", "smollm", "", "h e", 259, N_TOKENS, "token 258 is empty"},
        {"gpt2", "smollm", "he", "h x", 259, N_TOKENS, "not all in the vocabulary"},
        {"gpt2", "smollm", "he", " h", 259, N_TOKENS, "not all in the vocabulary"},
        {"gpt2", "smollm", "he", "he", 259, N_TOKENS, "merge 2 is not two tokens"},
        {"gpt2", "smollm", "he", "h e", 260, N_TOKENS, "eos token id 260 is outside"},
        {"gpt2", "smollm", "he", "h e", -7, N_TOKENS, "'tokenizer.ggml.eos_token_id' is -7"},
        {"gpt2", "smollm", "he", "h e", 259, 3, "3 token types for 260 tokens"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {.msg = ""};
        struct tokenizer *t = write_gguf(path, &rows[i], &e) ? NULL : tokenizer_open(path, &e);
        ok(!t && strstr(e.msg, rows[i].message), "%s", t ? rows[i].message : e.msg);
        tokenizer_close(t);
    }
}

/* Saved from a GGUF and read as tokenizer.json: the same ids, the same bos in front. */
static void test_saved(const char *path)
{
    struct err e = {.msg = ""};
    const char text[] = "the tHe 12 <end> then";
    struct ids a = {0}, b = {0};
    char *dir = file_join(test_dir(), "saved", &e);
    struct tokenizer *t = write_gguf(path, &good_gguf, &e) ? NULL : tokenizer_open(path, &e);
    struct tokenizer *s = !t || tokenizer_save(t, dir, &e) ? NULL : tokenizer_open(dir, &e);
    bool fine = s && !tokenizer_encode(t, text, strlen(text), true, &a, &e) &&
                !tokenizer_encode(s, text, strlen(text), true, &b, &e) && a.n == b.n;
    ok(fine && a.n == 13 && a.v[0] == 257 && !memcmp(a.v, b.v, a.n * sizeof *a.v),
       "a GGUF's tokenizer saved and opened again: %zu ids %s", b.n, e.msg);
    ok(s && tokenizer_adds_bos(t) && tokenizer_adds_bos(s) && tokenizer_bos(s) == 259 &&
           tokenizer_eos(s) == 259 && tokenizer_is_special(s, 259),
       "with its special tokens");
    struct qa_format q = {.tok = s};
    const int *p, *w;
    int n, m;
    ok(s && !qa_encode(&q, "a", "1", &p, &n, &w, &m, &e) && n == 2 && m == 4 && p[0] == 259 &&
           w[0] == 259 && w[3] == 259,
       "plain text begins with bos where the checkpoint says so");
    qa_fini(&q);
    tokenizer_close(t);
    tokenizer_close(s);
    free(a.v);
    free(b.v);
    free(dir);
}

/* Everything that allocates, once through. *sum is of the ids. */
static int use(const char *path, const char *dir, long *sum, struct err *e)
{
    const char text[] = "The name <|im_end|> of caf\xc3\xa9 12 thereandhere";
    struct ids ids = {0};
    struct buf out = {0};
    const int *p, *w;
    int n, m, rc = -1;
    struct tokenizer *t = tokenizer_open(path, e);
    struct chat chat = {0};
    struct qa_format q = {.tok = t, .chat = &chat, .compat = COMPAT_APPEND_EOS};
    struct chat_choice choice = {.template = "llama-2"};
    if (t && !chat_open(&chat, t, &choice, e) &&
        !tokenizer_encode(t, text, strlen(text), true, &ids, e) &&
        !tokenizer_decode(t, ids.v, ids.n, false, &out, e) &&
        !qa_encode(&q, "Question", "Answer", &p, &n, &w, &m, e) && !tokenizer_save(t, dir, e))
        rc = 0;
    *sum = 0;
    for (size_t i = 0; i < ids.n; i++)
        *sum += ids.v[i];
    qa_fini(&q);
    chat_close(&chat);
    free(ids.v);
    buf_fini(&out);
    tokenizer_close(t);
    return rc;
}

int main(void)
{
    struct err e = {.msg = ""};
    char *dir = test_data("tok"), *base = test_data("tok/tokenizer.json");
    char *gguf = file_join(test_dir(), "t.gguf", &e);
    if (ok(dir && base, "test/data/tok is there")) {
        test_patches(base);
        test_growth(base);
        test_slow_pattern(base);
        test_truncated(base, "cut.json");
        walk_memory(use, dir, "tokenizer.json");
        test_configs(base);
    }
    test_ggufs(gguf);
    test_saved(gguf);
    test_truncated(gguf, "cut.gguf");
    walk_memory(use, gguf, "GGUF");
    free(gguf);
    free(dir);
    free(base);
    return done();
}

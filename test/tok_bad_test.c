/* Damaged and hostile files of every tokenizer format, and memory that runs out while they are
 * read: a clear error, never a crash or a leak. tokenizer.json and GGUF: text_bad_test.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "tap.h"
#include "text/tokenizer.h"
#include "walk.h"

#define TRAINER   "\x12\x02\x18\x02"
#define PIECE(n)  "\n" n
#define BYTES(s)  s, sizeof s - 1
#define HEAD      "\1\0\0\0"
#define ENTRY(n)  "\0\0\0\0" n "\0\0\0"
#define SPECIALS  ENTRY("\1") "u" ENTRY("\1") "s" ENTRY("\1") "e"
#define ALPHABET3 "YQ== 0\nYg== 1\nYWI= 2\n"

/* A whole file, and a part of the message; NULL: it opens. */
static const struct hostile {
    const char *name, *bytes;
    size_t n;
    const char *message;
} hostile[] = {
    {"a.model", BYTES(PIECE("\3") "\n\1a" TRAINER), NULL},
    {"a.model", BYTES(PIECE("\x7f") "\n\1a" TRAINER), "a field of 127 bytes goes past the end"},
    {"a.model", BYTES(PIECE("\3") "\n\2a" TRAINER), "goes past the end"},
    {"a.model", BYTES(PIECE("\3") "\n\1a"), "ends before the trainer's settings"},
    {"a.model", BYTES(PIECE("\3") "\n\1a" PIECE("\3") "\n\1a" TRAINER), "'a' is given twice"},
    {"a.model", BYTES(PIECE("\3") "\n\1\xff" TRAINER), "no valid UTF-8"},
    {"a.model", BYTES(PIECE("\2") "\n\0" TRAINER), "token 0 is empty"},
    {"a.model", BYTES(PIECE("\5") "\x15\0\0\xc0\x7f" TRAINER), "token 0 is empty"},
    {"a.model", BYTES(PIECE("\x08") "\n\1a\x15\0\0\xc0\x7f" TRAINER), "score of piece 0"},
    {"a.model",
     BYTES(PIECE("\3") "\n\1a"
                       "\x13"),
     "unknown type"},
    {"a.model",
     BYTES(PIECE("\3") "\n\1a"
                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
     "too long"},
    {"a.model",
     BYTES(PIECE("\3") "\n\1a"
                       "\0"),
     "field 0 is no field"},
    {"a.model",
     BYTES(PIECE("\3") "\n\1a"
                       "\x12\x02\x18\x03"),
     "words or characters"},
    {"a.model", BYTES(PIECE("\3") "\n\1a" TRAINER "\x1a\x03\x12\x01x"), "maps characters"},
    {"a.model", BYTES(PIECE("\3") "\n\1a" TRAINER "\x1a\x02\x28\0"), "not escaped"},
    {"a.model", BYTES("\n\1\x12" TRAINER), "cut off"},
    {"llama3.tiktoken", BYTES(ALPHABET3), NULL},
    {"other.tiktoken", BYTES(ALPHABET3), "of no known family"},
    {"other.tiktoken", BYTES(""), "of no known family"},
    {"llama3.tiktoken", BYTES("YQ= 0\n"), "line 1: 'YQ=' is no base 64"},
    {"llama3.tiktoken", BYTES("YQ== 0\nY?== 1\n"), "line 2: 'Y?==' is no base 64"},
    {"llama3.tiktoken", BYTES("YQ==\n"), "a token in base 64 and its rank"},
    {"llama3.tiktoken", BYTES("YQ== \n"), "a token in base 64 and its rank"},
    {"llama3.tiktoken", BYTES("YQ== x\n"), "'x' is no rank"},
    {"llama3.tiktoken", BYTES("YQ== 99999999999999999999\n"), "is no rank"},
    {"llama3.tiktoken", BYTES("YQ== 7\n"), "rank 7 in a list of 1"},
    {"llama3.tiktoken", BYTES("YQ== 0\nYg== 0\n"), "id 0 is given twice"},
    {"llama3.tiktoken", BYTES("YQ== 0\nYQ== 1\n"), "'a' is given twice"},
    {"llama3.tiktoken", BYTES("==== 0\n"), "'====' is no base 64"},
    {"llama2c.bin", BYTES(HEAD SPECIALS ENTRY("\1") "a"), NULL},
    {"llama2c.bin", BYTES(HEAD), "fewer than 3 tokens"},
    {"llama2c.bin", BYTES(HEAD SPECIALS "\0\0\0\0"), "ends inside a token at byte 31"},
    {"llama2c.bin",
     BYTES(HEAD SPECIALS "\0\0\0\0\xff\xff\xff\xff"
                         "a"),
     "longer than the file"},
    {"llama2c.bin", BYTES(HEAD SPECIALS ENTRY("\2") "a"), "longer than the file"},
    {"llama2c.bin", BYTES(HEAD SPECIALS "\0\0\xc0\x7f\1\0\0\0a"), "is no number"},
    {"llama2c.bin", BYTES(HEAD SPECIALS ENTRY("\1") "s"), "'s' is given twice"},
    {"llama2c.bin", BYTES(HEAD SPECIALS ENTRY("\0")), "token 3 is empty"},
    {"llama2c.bin", BYTES(HEAD SPECIALS ENTRY("\1") "\x80"), "no valid UTF-8"},
    {"vocab.json", BYTES("{\"a\":0,\"b\":1,\"ab\":2}"), "'merges.txt': line 3: merge 1 makes 'ac'"},
    {"vocab.json", BYTES("{\"a\":0,\"b\":0}"), "id 0 is given twice"},
    {"vocab.json", BYTES("{\"a\":-1}"), "must have an id from 0"},
    {"vocab.json", BYTES("{\"a\":9999999}"), "must have an id from 0"},
    {"vocab.json", BYTES("{}"), "the vocabulary is empty"},
    {"vocab.json", BYTES("{\"a\":"), "vocab.json"},
    {"vocab.json", BYTES("{\"a\":0,\"b\":1,\"ab\":2,\"c\":3,\"ac\":4}"),
     "line 4: 'abc' is not two"},
};

static void test_hostile(void)
{
    static const char merges[] = "#version: 0.2\na b\na c\nabc\n";
    struct err e = {.msg = ""};
    char *beside = file_join(test_dir(), "merges.txt", &e);
    ok(!file_write(beside, merges, strlen(merges), &e), "merges.txt");
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const struct hostile *h = &hostile[i];
        e.msg[0] = 0;
        char *path = file_join(test_dir(), h->name, &e);
        struct tokenizer *t =
            file_write(path, h->bytes, h->n, &e) ? NULL : tokenizer_open(path, &e);
        ok(h->message ? !t && strstr(e.msg, h->message) && strstr(e.msg, test_dir()) : t != NULL,
           "%s %zu: %s", h->name, i, t ? "opens" : e.msg);
        tokenizer_close(t);
        free(path);
    }
    free(beside);
}

/* Encodes, decodes and saves. *sum is of the ids. */
static int use(const char *path, const char *dir, long *sum, struct err *e)
{
    static const char text[] = "The  woman <mask> isn't 12 \xe4\xb8\x96 <s> \xf0\x9f\x98\x80\n";
    struct ids ids = {0};
    struct buf out = {0};
    struct tokenizer *t = tokenizer_open(path, e);
    int rc = t && !tokenizer_encode(t, text, strlen(text), true, &ids, e) &&
                     !tokenizer_decode(t, ids.v, ids.n, false, &out, e) &&
                     (!dir || !tokenizer_save(t, dir, e))
                 ? 0
                 : -1;
    *sum = 0;
    for (size_t i = 0; i < ids.n; i++)
        *sum += ids.v[i];
    free(ids.v);
    buf_fini(&out);
    tokenizer_close(t);
    return rc;
}

/* A file cut at every 64th of its length: an error, or, between two entries, fewer tokens. */
static void test_truncated(const char *path, const char *name)
{
    struct err e = {.msg = ""};
    size_t n;
    int refused = 0, told = 0;
    long sum;
    char *whole = file_read(path, &n, &e), *cut = file_join(test_dir(), name, &e);
    for (size_t k = 0; whole && k < 64; k++) {
        e.msg[0] = 0;
        if (file_write(cut, whole, n * k / 64, &e) || use(cut, NULL, &sum, &e)) {
            refused++;
            told += e.msg[0] != 0;
        }
    }
    ok(refused == told, "%s cut at every 1/64th: %d of 64 refused", name, refused);
    free(whole);
    free(cut);
}

int main(void)
{
    static const char *const files[][2] = {
        {"llama.model", "cut.model"},         {"unigram_bytes.model", "cut.model"},
        {"llama.gguf", "cut.gguf"},           {"llama2c.bin", "cut.bin"},
        {"gpt2/vocab.json", "vocab.json"},    {"gpt2/merges.txt", "merges.txt"},
        {"llama3_tiny.tiktoken", "llama3.x"}, {"llama_first.json", "cut.json"},
    };
    struct err e;
    test_hostile();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64];
        snprintf(name, sizeof name, "tok/kinds/%s", files[i][0]);
        char *path = test_data(name);
        if (path) {
            char *other = file_join(test_dir(), "vocab.json", &e), *vocab = NULL;
            if (strstr(name, "merges") && (vocab = test_data("tok/kinds/gpt2/vocab.json")))
                file_copy(vocab, other, &e);
            test_truncated(path, files[i][1]);
            walk_memory(use, path, files[i][0]);
            free(other);
            free(vocab);
        }
        free(path);
    }
    return done();
}

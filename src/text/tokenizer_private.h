/* The tokenizer's fields and the interfaces between its parts. Private to tokenizer.c, tok_read_*.c
 * (readers), tok_write_*.c (writers), tok_settings*.c and tok_encode.c. */
#ifndef TEXT_TOKENIZER_PRIVATE_H
#define TEXT_TOKENIZER_PRIVATE_H

#include <pthread.h>

#include "text/added.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normal.h"
#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/unigram.h"

/* The type of a token in tokenizer.ggml.token_type, and of a piece in SentencePiece's files. */
enum {
    TYPE_TEXT = 1,
    TYPE_UNKNOWN,
    TYPE_CONTROL,
    TYPE_USER, /* added, but plain text */
    TYPE_UNUSED,
    TYPE_BYTE
};

/* File formats that settings files accompany, and the others. */
enum tok_source { SOURCE_OTHER, SOURCE_JSON, SOURCE_MODEL, SOURCE_VOCAB };

enum tok_kind { TOK_BYTES, TOK_CHARS, TOK_UNIGRAM };

struct tokenizer {
    enum tok_kind kind;
    struct vocab vocab;
    float *scores; /* [vocab.n] owned; NULL for bytes: their merges suffice */
    struct bpe bpe;
    struct unigram unigram;
    struct normal normal;
    struct pretok pretok;
    struct decoder decoder;
    struct added added[2]; /* matched before and after normalisation */
    int bos, eos, pad, unk;
    bool add_bos, add_eos;    /* around a plain text: */
    int front, back;          /* ids of a post-processor; -1: bos, eos; once open -1: nothing */
    bool split_specials;      /* special tokens are plain text everywhere */
    bool lone_bytelevel;      /* only GPT-2's pattern: add_prefix_space applies */
    int limit;                /* rows of the model's embedding; 0: unknown */
    const char *pre;          /* constant: the pre-tokeniser's name in a GGUF, or NULL */
    struct json_t *templates; /* owned: chat templates by name, or NULL */
    struct json_t *specials;  /* owned: named special tokens, or NULL */
    char *file, *dir;         /* owned: the file and its directory; NULL: a GGUF */
    enum tok_source source;
    struct work *idle;    /* owned list of scratch buffers not in use */
    pthread_mutex_t lock; /* of idle */
};

/* Readers of a file, its bytes at data[0..n): fill a zeroed tokenizer whose ids are -1. On
 * failure tokenizer_close frees what they allocated. */
typedef int tok_reader(struct tokenizer *t, const char *data, size_t n, struct err *e);
tok_reader tok_read_json;     /* tokenizer.json */
tok_reader tok_read_model;    /* SentencePiece's tokenizer.model */
tok_reader tok_read_tiktoken; /* a list of ranks */
tok_reader tok_read_vocab;    /* GPT-2's vocab.json, with merges.txt of its directory */
tok_reader tok_read_llama2c;  /* llama2.c's tokenizer.bin */
int tok_read_gguf(struct tokenizer *t, const char *path, struct err *e);
/* Finds the file in a directory and its reader by its first bytes; then reads the settings files.
 */
int tok_read_files(struct tokenizer *t, const char *path, struct err *e);
/* The settings files in t->dir (tok_settings.h). */
int tok_read_config(struct tokenizer *t, struct err *e);

void tok_free_work(struct tokenizer *t);

/* Sections of tokenizer.json. *bytes: the pre-tokeniser maps bytes to symbols. */
/* An object of tokens and their ids, and "added_tokens" or NULL. */
int tok_read_tokens(struct tokenizer *t, const struct json_t *vocab, const struct json_t *added,
                    struct err *e);
int tok_read_pretok(struct tokenizer *t, const struct json_t *j, bool *bytes, struct err *e);
int tok_read_normal(struct tokenizer *t, const struct json_t *j, struct err *e);
int tok_read_decoder(struct tokenizer *t, const struct json_t *j, struct err *e);
int tok_read_post(struct tokenizer *t, const struct json_t *j, struct err *e);
/* The flags (vocab.h) of an added token's object. */
int tok_read_flags(const struct json_t *token, unsigned *flags, struct err *e);
/* Adds the tokens of the settings files. */
struct tok_settings;
int tok_read_added(struct tokenizer *t, const struct tok_settings *b, struct err *e);
/* Chat templates and special tokens by name. */
int tok_read_templates(struct tokenizer *t, const struct tok_settings *b, struct err *e);
int tok_read_gguf_templates(struct tokenizer *t, struct gguf_meta *m, struct err *e);
/* "chat_template" of tokenizer_config.json, new; NULL: there is none. */
struct json_t *tok_template_json(const struct tokenizer *t);

/* Sections of tokenizer.json as new references; NULL: out of memory. */
struct json_t *tok_normal_json(const struct tokenizer *t);
struct json_t *tok_pretok_json(const struct tokenizer *t);
struct json_t *tok_decoder_json(const struct tokenizer *t);

/* The pre-tokeniser that a GGUF names; NULL: it names none. */
int tok_named_pretok(struct tokenizer *t, const char *name, struct err *e);
/* The name of the pre-tokeniser that tokenizer.json describes, or NULL. */
const char *tok_pretok_name(const struct tokenizer *t);

/* The flags (vocab.h) of a token of this type; none for a type that does not exist. */
uint16_t tok_flags_of(int64_t type);
/* Whether a space mark (U+2581) is prepended to a text. */
bool tok_marks_front(const struct tokenizer *t);
/* Defaults where a file has none: normaliser and decoder of SentencePiece, with or without a
 * prepended space; the decoder of byte-level BPE. */
int tok_usual_marks(struct tokenizer *t, bool prefix, struct err *e);
int tok_usual_decoder(struct tokenizer *t, bool prefix, struct err *e);
/* Merges, or the unigram model, of a vocabulary with scores. The unk id may be -1. */
int tok_use_scores(struct tokenizer *t, bool fallback, struct err *e);
/* Scores from listed merges: a token of an earlier merge has a higher one. */
int tok_score_merges(struct tokenizer *t, struct err *e);

/* Kinds of tokenizer. An unsupported one is refused by its full name. `what` is the name in a
 * GGUF ("gpt2") or the model type in tokenizer.json ("BPE", "Unigram"). */
int tok_refuse_kind(const char *what, struct err *e);

#endif

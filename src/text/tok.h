/* What tokenizer.c and its readers and writer share: the tokenizer itself. */
#ifndef TEXT_TOK_H
#define TEXT_TOK_H

#include <pthread.h>

#include "text/added.h"
#include "text/bpe.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

struct tokenizer {
    struct vocab vocab;
    struct bpe bpe;
    struct pretok pretok;
    struct added added[2]; /* looked for before and after normalisation */
    bool nfc;              /* text is normalised to NFC */
    int bos, eos, pad, unk;
    bool add_bos;
    char *chat_template;  /* owned, or NULL */
    char *file, *dir;     /* owned: tokenizer.json and its directory; NULL: from a GGUF */
    struct work *idle;    /* owned scratch that no thread uses now */
    pthread_mutex_t lock; /* of idle */
};

/* Readers: fill a zeroed tokenizer whose ids are -1. What they leave on failure tokenizer_close
 * frees. */
int tok_read_json(struct tokenizer *t, const char *path, struct err *e);
int tok_read_gguf(struct tokenizer *t, const char *path, struct err *e);
/* tokenizer.json's "pre_tokenizer". */
struct json_t;
int tok_read_pretok(struct tokenizer *t, const struct json_t *j, struct err *e);
/* The pre-tokeniser that a GGUF names; NULL: it names none. */
int tok_named_pretok(struct tokenizer *t, const char *name, struct err *e);
/* The name of what tokenizer.json spelt out, or NULL. */
const char *tok_pretok_name(const struct tokenizer *t);

/* Kinds of tokenizer. One that is not built in is refused by its full name. `what` is the name in a
 * GGUF ("gpt2") or the model type in tokenizer.json ("BPE", "Unigram"). */
int tok_refuse_kind(const char *what, struct err *e);

#endif

/* Text to token ids and back. Kinds: byte-level BPE, SentencePiece's BPE and its unigram model.
 * Read from tokenizer.json, the metadata of a GGUF, SentencePiece's .model, tiktoken's lists of
 * ranks, GPT-2's vocab.json and merges.txt, or llama2.c's tokenizer.bin.
 *
 * Encoding: special tokens are cut out first (if asked), the rest is normalised (normal.h) and cut
 * into words (pretok.h), which become tokens (bpe.h, unigram.h). Decoding: decoder.h.
 * A tokenizer is read-only after open and may be shared by threads.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/ids.h"

struct tokenizer;
struct gguf_meta;
struct gguf_pairs;

struct text_span {
    size_t from, to; /* bytes of a text */
};

/* `path`: a model directory, or one of the files above. */
struct tokenizer *tokenizer_open(const char *path, struct err *e);
void tokenizer_close(struct tokenizer *t);

/* "byte-level BPE", "SentencePiece BPE" or "SentencePiece unigram". */
const char *tokenizer_kind(const struct tokenizer *t);
int tokenizer_vocab_size(const struct tokenizer *t);
int tokenizer_bos(const struct tokenizer *t);       /* -1: none */
int tokenizer_eos(const struct tokenizer *t);       /* -1: none */
int tokenizer_pad(const struct tokenizer *t);       /* eos if the checkpoint names none */
bool tokenizer_adds_bos(const struct tokenizer *t); /* plain text is preceded by bos */
/* The token added before (after) a plain text: bos (eos), or the post-processor's. -1: none. */
int tokenizer_front(const struct tokenizer *t);
int tokenizer_back(const struct tokenizer *t);
/* The checkpoint's Jinja template of this name (NULL: the default one), or NULL. */
const char *tokenizer_chat_template(const struct tokenizer *t, const char *name);
/* Special tokens by transformers' names: {"bos_token": "<s>", ...}. New, or NULL. */
struct json_t *tokenizer_special_tokens(const struct tokenizer *t, struct err *e);
/* The id of this exact token text, or -1. */
int tokenizer_id(const struct tokenizer *t, const char *token);
/* The text of this token, n bytes without a NUL, borrowed; NULL: no such id. */
const char *tokenizer_token(const struct tokenizer *t, int id, size_t *n);
bool tokenizer_is_special(const struct tokenizer *t, int id);
/* False for ids without a text: those that the vocabulary lacks, and the padding entries of a GGUF
 *  ("[PAD7]", unused). */
bool tokenizer_has_text(const struct tokenizer *t, int id);

/* Sets the number of rows of the model's embedding: encoding a text with a token id beyond them is
 * then an error that names the token. */
void tokenizer_limit(struct tokenizer *t, int rows);
/* Appends an id, of a special token, within that limit. */
int tokenizer_append(const struct tokenizer *t, int id, struct ids *out, struct err *e);

/* Appends the ids of text[0..n). `specials`: strings like <|im_end|> become their token; else they
 * are plain text. Invalid UTF-8 is an error with the position. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                     struct ids *out, struct err *e);
/* The same with specials, but in plain[0..n_plain), ascending, they are plain text: the user's text
 * between the tags of a template. */
int tokenizer_encode_around(const struct tokenizer *t, const char *text, size_t n,
                            const struct text_span *plain, size_t n_plain, struct ids *out,
                            struct err *e);
/* Appends the text of the ids; bytes that are no valid UTF-8 become U+FFFD. */
int tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, bool skip_specials,
                     struct buf *out, struct err *e);

/* Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json into `dir`, so that
 * `transformers` loads them: copied where the source has them, generated where not. Files of other
 * kinds (tokenizer.model, vocab.json ...) are copied too. */
int tokenizer_save(const struct tokenizer *t, const char *dir, struct err *e);

/* Puts the tokenizer into the pairs of a GGUF whose model has `rows` embeddings; ids that the
 * vocabulary lacks become unused tokens. Refuses what llama.cpp has no name for. */
int tokenizer_to_gguf(const struct tokenizer *t, int rows, struct gguf_pairs *p, struct err *e);

#endif

#include "text/tokenizer.h"

#include <jansson.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "text/tokenizer_private.h"

static bool is_gguf(const char *path)
{
    char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    return n == sizeof magic && !memcmp(magic, "GGUF", sizeof magic);
}

/* Ids of special tokens that are none: no text is scored by pad or unk, so those are left out. */
static int check_ids(struct tokenizer *t, struct err *e)
{
    const struct {
        const char *name;
        int *id;
        bool needed;
    } named[] = {{"bos", &t->bos, true},
                 {"eos", &t->eos, true},
                 {"pad", &t->pad, false},
                 {"unk", &t->unk, false}};
    static const char text[] = "the %s token id %d is outside the vocabulary of %d";
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const int id = *named[i].id;
        if (id < 0 || vocab_id(&t->vocab, id) >= 0)
            continue;
        if (named[i].needed)
            return err_set(e, text, named[i].name, id, t->vocab.n);
        log_warn(text, named[i].name, id, t->vocab.n);
        *named[i].id = -1;
    }
    return 0;
}

/* What is the same for every reader, once vocabulary, merges and pre-tokeniser are there. */
static int finish(struct tokenizer *t, struct err *e)
{
    if (check_ids(t, e))
        return -1;
    if (t->bos < 0)
        t->bos = t->front;
    if (t->eos < 0)
        t->eos = t->back;
    if (t->pad < 0)
        t->pad = t->eos;
    t->front = !t->add_bos ? -1 : t->front >= 0 ? t->front : t->bos;
    t->back = !t->add_eos ? -1 : t->back >= 0 ? t->back : t->eos;
    if (!t->decoder.n && tok_usual_decoder(t, true, e))
        return -1;
    if (t->kind == TOK_CHARS && !t->scores && tok_score_merges(t, e))
        return -1;
    return added_init(&t->added[0], &t->vocab, false, NULL, e) ||
           added_init(&t->added[1], &t->vocab, true, &t->normal, e);
}

struct tokenizer *tokenizer_open(const char *path, struct err *e)
{
    struct tokenizer *t = mem_alloc(1, sizeof *t, e);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->bos = t->eos = t->pad = t->unk = t->front = t->back = -1;
    int rc = is_gguf(path) ? tok_read_gguf(t, path, e) : tok_read_files(t, path, e);
    if (!rc && finish(t, e))
        rc = err_prefix(e, "'%s': ", path);
    if (!rc)
        return t;
    tokenizer_close(t);
    err_class(e, ERR_BAD_FILE);
    return NULL;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    tok_free_work(t);
    pthread_mutex_destroy(&t->lock);
    added_fini(&t->added[0]);
    added_fini(&t->added[1]);
    normal_fini(&t->normal);
    pretok_fini(&t->pretok);
    decoder_fini(&t->decoder);
    bpe_fini(&t->bpe);
    vocab_fini(&t->vocab);
    free(t->scores);
    json_decref(t->templates);
    json_decref(t->specials);
    free(t->file);
    free(t->dir);
    free(t);
}

#include "run/state.h"

#include <stdlib.h>

#include "base/json.h"
#include "data/dataset.h"

static int join(struct ids *ids, const struct rows *rows, const struct tokenizer *t, struct err *e)
{
    struct buf all = {0};
    int rc = 0;
    for (int i = 0; i < rows->n && !rc; i++) {
        const char *text = rows_text(rows, i, "text", e);
        rc = !text || (i && buf_str(&all, "\n\n", e)) || buf_str(&all, text, e) ? -1 : 0;
    }
    if (!rc)
        rc = tokenizer_encode(t, all.data, all.len, false, ids, e);
    buf_fini(&all);
    return rc;
}

/* The text of every piece, as JSON Lines. */
static int write_pieces(struct buf *out, const struct ids *ids, size_t length,
                        const struct tokenizer *t, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (size_t at = 0; at < ids->n && !rc; at += length) {
        size_t n = ids->n - at < length ? ids->n - at : length;
        buf_clear(&text);
        rc = tokenizer_decode(t, ids->v + at, n, false, &text, e);
        json_t *row = text.len ? json_object() : NULL;
        if (row && !rc) {
            json_object_set_new(row, "text", json_stringn(text.data, text.len));
            rc = json_write_buf(row, out, JSON_COMPACT, e) || buf_str(out, "\n", e) ? -1 : 0;
        }
        json_decref(row);
    }
    buf_fini(&text);
    return rc;
}

/* The pieces as plain texts of their own. */
static int encode_again(struct dataset *set, enum role role, const struct ids *ids, int length,
                        bool bos, struct setup *s, struct err *e)
{
    struct buf pieces = {0};
    struct rows rows;
    struct encoder encoder = s->encoder;
    const int most = s->qa.max_length;
    encoder.max_length = s->qa.max_length = length + bos;
    int rc = write_pieces(&pieces, ids, (size_t)length, s->tokenizer, e) ||
                     rows_read(&rows, "pieces", pieces.data, pieces.len, e)
                 ? -1
                 : 0;
    if (!rc) {
        rc = dataset_build(set, role, &rows, NULL, "text", &encoder, e);
        rows_close(&rows);
    }
    s->qa.max_length = most;
    buf_fini(&pieces);
    return rc;
}

int run_chunk(struct dataset *set, enum role role, const struct rows *rows, int length,
              struct setup *s, struct err *e)
{
    struct ids ids = {0};
    bool bos = tokenizer_adds_bos(s->tokenizer);
    if (length + bos > s->encoder.positions)
        return err_about(e, "chunk", "pieces of %d tokens are longer than the model's %d positions",
                         length + bos, s->encoder.positions);
    int rc = join(&ids, rows, s->tokenizer, e);
    if (!rc && s->compat & COMPAT_CHUNK_REENCODE)
        rc = encode_again(set, role, &ids, length, bos, s, e);
    else if (!rc)
        rc = dataset_chunk(set, role, ids.v, ids.n, length, tokenizer_front(s->tokenizer), e);
    free(ids.v);
    return rc;
}

#include "model/store.h"

#include <string.h>

void layout_shape(enum layout y, const struct weight *w, int64_t shape[2])
{
    bool turned = y == LAYOUT_TRANSPOSED;
    shape[0] = w->shape[turned];
    shape[1] = w->shape[!turned];
}

/* The row of the file that is row `r` in memory. */
static int64_t file_row(enum layout y, const struct model_config *c, int64_t r)
{
    const int64_t d = c->head_dim, q = c->heads * d, half = d / 2;
    switch (y) {
    case LAYOUT_HEAD_QKV: /* [3, H, D] in memory, [H, 3, D] in the file */
        return (r % q / d * 3 + r / q) * d + r % d;
    case LAYOUT_ROPE_PAIRS: /* [H, 2, D/2] in memory, [H, D/2, 2] in the file */
        return r / d * d + r % half * 2 + r % d / half;
    default:
        return r;
    }
}

static void transpose(float *to, const float *from, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

static void shift(float *to, const float *from, size_t n, float by)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] + by;
}

void layout_load(enum layout y, const struct model_config *c, const struct weight *w, float *memory,
                 const float *file)
{
    const size_t rows = (size_t)w->shape[0], cols = (size_t)w->shape[1];
    if (y == LAYOUT_TRANSPOSED)
        transpose(memory, file, cols, rows);
    else if (y == LAYOUT_PLUS_ONE)
        shift(memory, file, w->count, -1);
    else
        layout_load_rows(y, c, w, memory, file, cols * sizeof(float));
}

bool layout_moves_rows(enum layout y)
{
    return y == LAYOUT_HEAD_QKV || y == LAYOUT_ROPE_PAIRS;
}

void layout_load_rows(enum layout y, const struct model_config *c, const struct weight *w,
                      void *memory, const void *file, size_t bytes)
{
    for (size_t r = 0; r < (size_t)w->shape[0]; r++)
        memcpy((char *)memory + r * bytes,
               (const char *)file + (size_t)file_row(y, c, (int64_t)r) * bytes, bytes);
}

void layout_store(enum layout y, const struct model_config *c, const struct weight *w, float *file,
                  const float *memory)
{
    const size_t rows = (size_t)w->shape[0], cols = (size_t)w->shape[1];
    if (y == LAYOUT_TRANSPOSED)
        transpose(file, memory, rows, cols);
    else if (y == LAYOUT_PLUS_ONE)
        shift(file, memory, w->count, 1);
    else
        for (size_t r = 0; r < rows; r++)
            memcpy(file + (size_t)file_row(y, c, (int64_t)r) * cols, memory + r * cols,
                   cols * sizeof(float));
}

static enum layout hf_layout(const struct model_config *c, const struct weight *w)
{
    return family_slot(c, w->slot)->hf_layout;
}

const float *layout_hf(const struct model_config *c, const struct weight *w, const float *memory,
                       float *room)
{
    enum layout y = hf_layout(c, w);
    if (y == LAYOUT_PLAIN)
        return memory;
    layout_store(y, c, w, room, memory);
    return room;
}

const float *layout_hf_load(const struct model_config *c, const struct weight *w, const float *file,
                            float *room)
{
    enum layout y = hf_layout(c, w);
    if (y == LAYOUT_PLAIN)
        return file;
    layout_load(y, c, w, room, file);
    return room;
}

size_t layout_hf_room(const struct model_config *c, const struct weight_table *t)
{
    size_t most = 0;
    for (int i = 0; i < t->n; i++)
        if (hf_layout(c, &t->v[i]) != LAYOUT_PLAIN && t->v[i].count > most)
            most = t->v[i].count;
    return most;
}

void layout_hf_shape(const struct model_config *c, const struct weight *w, int64_t shape[2])
{
    layout_shape(hf_layout(c, w), w, shape);
}

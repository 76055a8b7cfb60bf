/* Reader of llama2.c's first format: seven int32 (struct llama2c), then f32 weights in a fixed
 * order without names, and two unused tables of rope angles. There is no magic number: a file is
 * recognised by its size, which follows from the header.
 */
#include <string.h>

#include "base/mem.h"
#include "tensor/formats.h"

enum { HEADER = 7 * 4 };

enum extent { ONE, DIM, HIDDEN, KV, VOCAB, SEQ, HALF_HEAD, EXTENTS };

/* The parts of a file in order. A part with a layer is there once per layer; one without a name is
 * skipped; a part with one extent is a vector. */
static const struct section {
    const char *name;
    bool layer;
    enum extent rows, cols;
} parts[] = {
    {"model.embed_tokens.weight", false, VOCAB, DIM},
    {"input_layernorm.weight", true, DIM, ONE},
    {"self_attn.q_proj.weight", true, DIM, DIM},
    {"self_attn.k_proj.weight", true, KV, DIM},
    {"self_attn.v_proj.weight", true, KV, DIM},
    {"self_attn.o_proj.weight", true, DIM, DIM},
    {"post_attention_layernorm.weight", true, DIM, ONE},
    {"mlp.gate_proj.weight", true, HIDDEN, DIM},
    {"mlp.down_proj.weight", true, DIM, HIDDEN},
    {"mlp.up_proj.weight", true, HIDDEN, DIM},
    {"model.norm.weight", false, DIM, ONE},
    {NULL, false, SEQ, HALF_HEAD}, /* cosines */
    {NULL, false, SEQ, HALF_HEAD}, /* sines */
    {"lm_head.weight", false, VOCAB, DIM},
};

enum { PARTS = sizeof parts / sizeof *parts };

struct layout {
    struct llama2c h;
    bool tied;
    size_t extent[EXTENTS];
};

static bool read_layout(struct layout *l, const uint8_t *data, size_t size)
{
    int32_t v[7];
    if (size < HEADER)
        return false;
    memcpy(v, data, HEADER);
    l->tied = v[5] > 0;
    if (v[5] == INT32_MIN)
        return false;
    v[5] = v[5] < 0 ? -v[5] : v[5];
    for (int i = 0; i < 7; i++)
        if (v[i] <= 0)
            return false;
    l->h = (struct llama2c){v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
    if (v[0] % v[3] || v[3] % v[4] || v[0] / v[3] % 2)
        return false;
    const size_t head = (size_t)(v[0] / v[3]);
    const size_t extent[EXTENTS] = {[ONE] = 1,
                                    [DIM] = (size_t)v[0],
                                    [HIDDEN] = (size_t)v[1],
                                    [KV] = head * (size_t)v[4],
                                    [VOCAB] = (size_t)v[5],
                                    [SEQ] = (size_t)v[6],
                                    [HALF_HEAD] = head / 2};
    memcpy(l->extent, extent, sizeof extent);
    return true;
}

/* How often a part is in the file. */
static int part_copies(const struct layout *l, int part)
{
    if (part == PARTS - 1 && l->tied)
        return 0;
    return parts[part].layer ? l->h.n_layers : 1;
}

/* Extents are below 2^31, so a part's elements and bytes fit 64 bits. */
static size_t part_bytes(const struct layout *l, int part)
{
    return l->extent[parts[part].rows] * l->extent[parts[part].cols] * sizeof(float);
}

bool llama2c_fits(const uint8_t *data, size_t size)
{
    struct layout l;
    size_t total = HEADER, bytes;
    if (!read_layout(&l, data, size))
        return false;
    for (int i = 0; i < PARTS; i++)
        if (size_mul(part_bytes(&l, i), (size_t)part_copies(&l, i), &bytes) ||
            size_add(total, bytes, &total))
            return false;
    return total == size;
}

int llama2c_read(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e)
{
    struct layout l;
    struct tensor_list list = {0};
    size_t at = HEADER;
    int rc = 0;
    BUG_ON(!read_layout(&l, data, size)); /* checked by llama2c_fits */
    for (int i = 0; i < PARTS; i++)
        for (int copy = 0; !rc && copy < part_copies(&l, i); copy++, at += part_bytes(&l, i)) {
            const struct section *p = &parts[i];
            struct tensor t = {.dtype = DT_F32, .n_dims = p->cols == ONE ? 1 : 2};
            char name[80];
            int n = p->layer ? snprintf(name, sizeof name, "model.layers.%d.%s", copy, p->name)
                             : snprintf(name, sizeof name, "%s", p->name ? p->name : "");
            t.shape[0] = (int64_t)l.extent[p->rows];
            t.shape[1] = p->cols == ONE ? 0 : (int64_t)l.extent[p->cols];
            if (p->name)
                rc = tensor_list_add(&list, name, (size_t)n, t, data, size, at, e);
        }
    f->format = TENSOR_LLAMA2C;
    f->llama2c = l.h;
    if (!rc)
        rc = tensor_list_finish(&list, f, e);
    tensor_list_fini(&list);
    return rc;
}

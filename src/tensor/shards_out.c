/* Writer of a directory's safetensors files. All pieces are open at once, so that each tensor goes
 * to its piece in the order it was announced; the index comes last.
 */
#include <dirent.h>
#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "tensor/file.h"

#define ONE   "model.safetensors"
#define INDEX "model.safetensors.index.json"

struct announced {
    char *name; /* owned */
    enum dtype dtype;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    size_t bytes;
    long piece; /* -1: not planned yet */
};

struct shards_out {
    char *dir; /* owned */
    uint64_t limit;
    struct announced *t; /* owned */
    size_t n, cap, next; /* announced, allocated, written */
    struct tensor_out **piece;
    long n_pieces; /* 0: not planned yet */
};

void shards_out_abort(struct shards_out *o)
{
    if (!o)
        return;
    for (long i = 0; i < o->n_pieces; i++)
        tensor_out_abort(o->piece[i]);
    for (size_t i = 0; i < o->n; i++)
        free(o->t[i].name);
    free(o->piece);
    free(o->t);
    free(o->dir);
    free(o);
}

struct shards_out *shards_out_open(const char *dir, uint64_t limit, struct err *e)
{
    struct shards_out *o = mem_alloc(1, sizeof *o, e);
    if (o)
        o->limit = limit;
    if (o && !(o->dir = mem_strdup(dir, e))) {
        free(o);
        return NULL;
    }
    return o;
}

int shards_out_add(struct shards_out *o, const char *name, enum dtype t, int n_dims,
                   const int64_t *shape, struct err *e)
{
    BUG_ON(o->n_pieces || n_dims > TENSOR_MAX_DIMS);
    struct announced a = {.dtype = t, .n_dims = n_dims, .piece = -1};
    size_t count = 1;
    for (int i = 0; i < n_dims; i++)
        if (size_mul(count, (size_t)(a.shape[i] = shape[i]), &count))
            return err_set(e, "tensor '%.128s' is too large", name);
    if (dtype_bytes(t, count, &a.bytes))
        return err_set(e, "tensor '%.128s' is too large", name);
    if (mem_reserve(&o->t, &o->cap, o->n + 1, sizeof a, e) || !(a.name = mem_strdup(name, e)))
        return -1;
    o->t[o->n++] = a;
    return 0;
}

/* Gives the tensors before `end` that have no piece yet this one; false: there are none. */
static bool close_piece(struct shards_out *o, size_t end, long piece)
{
    bool any = false;
    for (size_t i = 0; i < end; i++)
        if (o->t[i].piece < 0) {
            o->t[i].piece = piece;
            any = true;
        }
    return any;
}

/* A tensor above the limit is a separate piece; the others fill one until the next would not fit.
 * Pieces are numbered in the order they are closed. Returns how many there are. */
static long plan(struct shards_out *o)
{
    long pieces = 0;
    size_t filled = 0;
    for (size_t i = 0; i < o->n; i++) {
        struct announced *t = &o->t[i];
        if (t->bytes > o->limit) {
            t->piece = pieces++;
        } else if (t->bytes > o->limit - filled) {
            pieces += close_piece(o, i, pieces);
            filled = t->bytes;
        } else {
            filled += t->bytes;
        }
    }
    return pieces + close_piece(o, o->n, pieces);
}

static void piece_name(const struct shards_out *o, long i, char *name, size_t size)
{
    if (o->n_pieces == 1)
        snprintf(name, size, ONE);
    else
        snprintf(name, size, "model-%05ld-of-%05ld.safetensors", i + 1, o->n_pieces);
}

static int open_pieces(struct shards_out *o, struct err *e)
{
    const long planned = plan(o), n = planned ? planned : 1; /* no tensors are a file too */
    if (!(o->piece = mem_alloc((size_t)n, sizeof *o->piece, e)))
        return -1;
    o->n_pieces = n;
    for (long i = 0; i < n; i++) {
        char name[64];
        piece_name(o, i, name, sizeof name);
        char *path = file_join(o->dir, name, e);
        o->piece[i] = path ? tensor_out_open(path, e) : NULL;
        free(path);
        if (!o->piece[i])
            return -1;
    }
    for (size_t i = 0; i < o->n; i++) {
        const struct announced *t = &o->t[i];
        if (tensor_out_add(o->piece[t->piece], t->name, t->dtype, t->n_dims, t->shape, e))
            return -1;
    }
    return 0;
}

int shards_out_write(struct shards_out *o, const float *data, struct err *e)
{
    BUG_ON(o->next >= o->n);
    if (!o->n_pieces && open_pieces(o, e))
        return -1;
    return tensor_out_write(o->piece[o->t[o->next++].piece], data, e);
}

static json_t *index_json(const struct shards_out *o)
{
    size_t total = 0;
    json_t *map = json_object();
    for (size_t i = 0; i < o->n; i++) {
        char name[64];
        piece_name(o, o->t[i].piece, name, sizeof name);
        json_object_set_new(map, o->t[i].name, json_string(name));
        total += o->t[i].bytes;
    }
    if (json_object_size(map) != o->n) {
        json_decref(map);
        return NULL;
    }
    return json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map",
                     map);
}

static int write_index(const struct shards_out *o, struct err *e)
{
    json_t *index = index_json(o);
    char *path = index ? file_join(o->dir, INDEX, e) : NULL;
    int rc = !index ? err_no_memory(e, NULL)
             : path ? json_write_file(index, path, JSON_INDENT(2) | JSON_SORT_KEYS, e)
                    : -1;
    free(path);
    json_decref(index);
    return rc;
}

/* Removes the files of earlier saves: those with names of ours that were not written now. */
static int remove_others(const struct shards_out *o, struct err *e)
{
    char of[32];
    snprintf(of, sizeof of, "-of-%05ld.safetensors", o->n_pieces);
    DIR *d = opendir(o->dir);
    if (!d)
        return err_sys(e, "cannot read '%s'", o->dir);
    for (struct dirent *f = readdir(d); f; f = readdir(d)) {
        bool whole = !strcmp(f->d_name, ONE), index = !strcmp(f->d_name, INDEX);
        bool piece = !fnmatch("model-[0-9]*-of-[0-9]*.safetensors", f->d_name, 0);
        bool ours = o->n_pieces == 1 ? whole : index || (piece && strstr(f->d_name, of));
        if ((whole || index || piece) && !ours)
            unlinkat(dirfd(d), f->d_name, 0);
    }
    closedir(d);
    return 0;
}

int shards_out_commit(struct shards_out *o, struct err *e)
{
    BUG_ON(o->next != o->n);
    int rc = o->n_pieces ? 0 : open_pieces(o, e);
    for (long i = 0; !rc && i < o->n_pieces; i++) {
        rc = tensor_out_commit(o->piece[i], e);
        o->piece[i] = NULL;
    }
    if (!rc && o->n_pieces > 1)
        rc = write_index(o, e);
    if (!rc)
        rc = remove_others(o, e);
    shards_out_abort(o);
    return rc;
}

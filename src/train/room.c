#include "train/room.h"

#include <sys/statvfs.h>

#include "base/log.h"
#include "model/forward.h"
#include "model/lora.h"

#define MIB (1.0 / (1 << 20))

/* The number of frozen models whose weights are not mapped from their files. */
static int frozen_copies(const struct engine *g)
{
    int n = g->ref && g->ref->copies;
    for (int k = 0; k < HELPER_COUNT; k++) {
        const struct model *m = g->helper[k].model;
        n += m && m != g->ref && m->copies;
    }
    return n;
}

void room_note_memory(const struct trainer *trainer, int n_arrays)
{
    const struct engine *g = trainer->engine;
    const struct order *o = trainer->order;
    const struct model *m = g->model;
    const struct weight_table *t = &m->table;
    const unsigned roles = engine_plan(g).roles;
    size_t most = 0;
    for (int k = 0; k < o->n; k++) {
        size_t tokens = 0;
        for (int role = 0; role < ROLE_COUNT; role++)
            for (int i = 0; roles & ROLE_BIT(role) && i < o->micro[k].n[role]; i++)
                tokens += (size_t)g->sets[role]->seqs[o->micro[k].rows[role][i]].n;
        most = tokens > most ? tokens : most;
    }
    double floats = sizeof(float) * MIB, w = (double)t->total * floats;
    double adapters = m->lora ? (double)m->lora->floats * floats : 0;
    double acts =
        (double)(forward_bytes(&m->cfg, (int)most, true) + backward_bytes(&m->cfg, (int)most)) *
        MIB;
    log_note("memory: weights %.0f MiB, gradients %.0f, optimiser and wrapper %.0f, "
             "frozen models %.0f, activations about %.0f (%zu tokens)",
             w + adapters, (double)t->grads * floats, (double)t->moving * floats * n_arrays,
             frozen_copies(g) * w, acts, most);
}

/* Bytes of a checkpoint without its header. */
static double checkpoint_bytes(const struct model *m, int n_states)
{
    double n = 0;
    for (int i = 0; i < m->table.n; i++)
        n += m->table.v[i].trainable ? (double)m->table.v[i].count : 0;
    return n * sizeof(float) * (1 + n_states);
}

int room_check_disk(const struct trainer *t, int n_states, bool resumed, struct err *e)
{
    struct statvfs fs;
    if (statvfs(t->out, &fs) || !fs.f_blocks)
        return 0; /* the file system does not report its size */
    const double free = (double)fs.f_bavail * (double)fs.f_frsize;
    const double c = checkpoint_bytes(t->engine->model, n_states), m = t->model_bytes;
    /* A checkpoint is kept until the next one is complete, the last until the model is. */
    const double one = c > m ? c : m;
    const double planned = t->o->save_every ? one + (resumed ? 0 : c) : m;
    if (planned > free)
        return err_set(e, "the model%s about %.0f MiB on the disk of '%s', which has %.0f MiB free",
                       t->o->save_every ? " and the checkpoints need" : " needs", planned * MIB,
                       t->out, free * MIB);
    if (one > free)
        log_warn(
            "a checkpoint needs about %.0f MiB on the disk of '%s', which has %.0f MiB free: an "
            "interrupted run could not be saved",
            c * MIB, t->out, free * MIB);
    return 0;
}

#include "run/memory.h"

#include "model/head.h"
#include "model/lora.h"
#include "model/store.h"

enum { PROGRAM = 64 << 20 };

const char *const memory_part_name[MEMORY_PARTS] = {
    "program", "files", "weights", "reference", "gradients", "optimiser", "activations", "logits"};
const char *const memory_job_name[MEMORY_JOBS] = {"eval", "train", "forget", "lora"};

static size_t file_bytes(const struct model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->n_files; i++)
        n += m->files[i].map.size;
    return n;
}

bool memory_job_runs(const struct model *m, enum memory_job job)
{
    return !m->cfg.experts || job == MEMORY_EVAL || job == MEMORY_LORA;
}

struct memory_estimate memory_estimate(const struct model *m, enum memory_job job, int tokens,
                                       int rank)
{
    const bool moves = job != MEMORY_EVAL, lora = job == MEMORY_LORA, refers = job == MEMORY_FORGET;
    const int n = refers || lora ? 2 * tokens : tokens;
    const size_t all = m->table.total * sizeof(float), copied = store_copied(m);
    const size_t moving = lora ? lora_floats(m, rank) * sizeof(float) : all;
    struct memory_estimate p = {
        .bytes = {[MEMORY_PROGRAM] = PROGRAM,
                  [MEMORY_FILES] = file_bytes(m),
                  [MEMORY_WEIGHTS] = lora    ? copied + moving
                                     : moves ? all
                                             : copied,
                  [MEMORY_REFERENCE] = refers ? copied : 0,
                  [MEMORY_GRADIENTS] = moves ? moving : 0,
                  [MEMORY_OPTIMISER] = moves ? 2 * moving : 0,
                  [MEMORY_ACTIVATIONS] =
                      forward_bytes(&m->cfg, n, moves) + (moves ? backward_bytes(&m->cfg, n) : 0),
                  [MEMORY_LOGITS] = head_bytes(&m->cfg, n, moves)}};
    if (refers || lora) { /* the reference reads the same tokens */
        p.bytes[MEMORY_ACTIVATIONS] += forward_bytes(&m->cfg, n, false);
        p.bytes[MEMORY_LOGITS] += head_bytes(&m->cfg, n, false);
    }
    for (int i = 0; i < MEMORY_PARTS; i++)
        p.total += p.bytes[i];
    return p;
}

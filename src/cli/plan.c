#include "cli/plan.h"

#include "model/head.h"
#include "model/lora.h"
#include "model/store.h"

enum { PROGRAM = 64 << 20 };

const char *const plan_part_name[PLAN_PARTS] = {
    "program", "files", "weights", "reference", "gradients", "optimiser", "activations", "logits"};
const char *const plan_job_name[PLAN_JOBS] = {"eval", "train", "forget", "lora"};

static size_t file_bytes(const struct model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->n_files; i++)
        n += m->files[i].map.size;
    return n;
}

bool plan_can(const struct model *m, enum plan_job job)
{
    return !m->cfg.experts || job == PLAN_EVAL || job == PLAN_LORA;
}

struct plan plan_memory(const struct model *m, enum plan_job job, int tokens, int rank)
{
    const bool moves = job != PLAN_EVAL, lora = job == PLAN_LORA, refers = job == PLAN_FORGET;
    const int n = refers || lora ? 2 * tokens : tokens;
    const size_t all = m->table.total * sizeof(float), copied = store_copied(m);
    const size_t moving = lora ? lora_floats(m, rank) * sizeof(float) : all;
    struct plan p = {.bytes = {[PLAN_PROGRAM] = PROGRAM,
                               [PLAN_FILES] = file_bytes(m),
                               [PLAN_WEIGHTS] = lora    ? copied + moving
                                                : moves ? all
                                                        : copied,
                               [PLAN_REFERENCE] = refers ? copied : 0,
                               [PLAN_GRADIENTS] = moves ? moving : 0,
                               [PLAN_OPTIMISER] = moves ? 2 * moving : 0,
                               [PLAN_ACTIVATIONS] = forward_bytes(&m->cfg, n, moves) +
                                                    (moves ? backward_bytes(&m->cfg, n) : 0),
                               [PLAN_LOGITS] = head_bytes(&m->cfg, n, moves)}};
    if (refers || lora) { /* the reference looks at the same tokens */
        p.bytes[PLAN_ACTIVATIONS] += forward_bytes(&m->cfg, n, false);
        p.bytes[PLAN_LOGITS] += head_bytes(&m->cfg, n, false);
    }
    for (int i = 0; i < PLAN_PARTS; i++)
        p.total += p.bytes[i];
    return p;
}

#include "cli/plan.h"

#include "model/decoder.h"
#include "model/head.h"
#include "model/lora.h"

const char *const plan_part_name[PLAN_PARTS] = {"weights",   "reference",   "gradients",
                                                "optimiser", "activations", "logits"};
const char *const plan_job_name[PLAN_JOBS] = {"eval", "train", "forget", "lora"};

struct plan plan_memory(const struct model *m, enum plan_job job, int tokens, int rank)
{
    bool moves = job != PLAN_EVAL, lora = job == PLAN_LORA;
    int n = job == PLAN_FORGET || lora ? 2 * tokens : tokens;
    size_t weights = m->table.total * sizeof(float);
    size_t moving = lora ? lora_floats(m, rank) * sizeof(float) : weights;
    struct plan p = {.bytes = {
                         [PLAN_WEIGHTS] = weights + (lora ? moving : 0),
                         [PLAN_REFERENCE] = job == PLAN_FORGET ? weights : 0,
                         [PLAN_GRADIENTS] = moves ? moving : 0,
                         [PLAN_OPTIMISER] = moves ? 2 * moving : 0,
                         [PLAN_ACTIVATIONS] = decoder_bytes(&m->cfg, n, moves) +
                                              (moves ? decoder_back_bytes(&m->cfg, n) : 0),
                         [PLAN_LOGITS] = head_bytes(&m->cfg, n, moves),
                     }};
    for (int i = 0; i < PLAN_PARTS; i++)
        p.total += p.bytes[i];
    return p;
}

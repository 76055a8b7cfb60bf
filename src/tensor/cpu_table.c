/* The table of operations of one instruction set. */
#include "tensor/cpu.h"

#define CPU_TEXT_(isa) "cpu " #isa
#define CPU_TEXT(isa)  CPU_TEXT_(isa)

extern const struct ops CPU(ops);

const struct ops CPU(ops) = {
    .name = CPU_TEXT(ISA),
    .linear = CPU(linear),
    .linear_dx = CPU(linear_dx),
    .linear_dw = CPU(linear_dw),
    .bias = CPU(bias),
    .bias_back = CPU(bias_back),
    .add = CPU(add),
    .axpy = CPU(axpy),
    .scale = CPU(scale),
    .dot = CPU(dot),
    .all_finite = CPU(all_finite),
    .embed = CPU(embed),
    .embed_back = CPU(embed_back),
    .gather = CPU(gather),
    .scatter_add = CPU(scatter_add),
    .rmsnorm = CPU(rmsnorm),
    .rmsnorm_back = CPU(rmsnorm_back),
    .layernorm = CPU(layernorm),
    .layernorm_back = CPU(layernorm_back),
    .rope = CPU(rope),
    .attention = CPU(attention),
    .attention_back = CPU(attention_back),
    .glu = CPU(glu),
    .glu_back = CPU(glu_back),
    .softcap = CPU(softcap),
    .softcap_back = CPU(softcap_back),
    .route = CPU(route),
    .route_back = CPU(route_back),
    .scale_rows = CPU(scale_rows),
    .dot_rows = CPU(dot_rows),
    .label_logp = CPU(label_logp),
    .label_spread = CPU(label_spread),
    .label_logp_back = CPU(label_logp_back),
    .log_softmax = CPU(log_softmax),
    .adamw = CPU(adamw),
};

/* The pairs of a GGUF under the name of its architecture: of which kind those are that are read
 * (config_gguf.c), and which others may change numbers.
 */
#include <math.h>
#include <string.h>

#include "model/config_keys.h"
#include "model/family.h"
#include "tensor/gguf.h"

static const struct {
    const char *name;
    enum gguf_kind kind;
} read_pairs[] = {
    {"block_count", GGUF_INT},
    {"embedding_length", GGUF_INT},
    {"feed_forward_length", GGUF_INT},
    {"expert_count", GGUF_INT},
    {"expert_used_count", GGUF_INT},
    {"expert_feed_forward_length", GGUF_INT},
    {"context_length", GGUF_INT},
    {"attention.head_count", GGUF_INT},
    {"attention.head_count_kv", GGUF_INT},
    {"attention.key_length", GGUF_INT},
    {"attention.value_length", GGUF_INT},
    {"attention.sliding_window", GGUF_INT},
    {"attention.layer_norm_rms_epsilon", GGUF_REAL},
    {"attention.layer_norm_epsilon", GGUF_REAL},
    {"attention.scale", GGUF_REAL},
    {"attn_logit_softcapping", GGUF_REAL},
    {"final_logit_softcapping", GGUF_REAL},
    {"embedding_scale", GGUF_REAL},
    {"residual_scale", GGUF_REAL},
    {"logit_scale", GGUF_REAL},
    {"use_parallel_residual", GGUF_BOOL},
    {"rope.dimension_count", GGUF_INT},
    {"rope.freq_base", GGUF_REAL},
    {"rope.freq_base_swa", GGUF_REAL},
    {"rope.scaling.type", GGUF_TEXT},
    {"rope.scaling.factor", GGUF_REAL},
    {"rope.scaling.original_context_length", GGUF_INT},
    {"rope.scaling.attn_factor", GGUF_REAL},
    {"rope.scaling.low_freq_factor", GGUF_REAL},
    {"rope.scaling.high_freq_factor", GGUF_REAL},
    {"rope.scaling.yarn_beta_fast", GGUF_REAL},
    {"rope.scaling.yarn_beta_slow", GGUF_REAL},
};

/* Change nothing at this value; NAN: at every one. All others do not at 0 and false. */
static const struct {
    const char *name;
    double value;
} harmless[] = {
    {"vocab_size", NAN},
    {"tensor_data_layout", NAN},
    {"rope.scaling.finetuned", NAN},
    {"pooling_type", NAN},
    {"attention.causal", 1},
    {"rope.scale_linear", 1},
    {"rope.scaling.yarn_ext_factor", 1},
};

static bool is(const struct gguf_str *s, const char *name)
{
    return s->n == strlen(name) && !memcmp(s->s, name, s->n);
}

static bool is_harmless(const struct gguf_pair *p)
{
    bool off = p->kind != GGUF_TEXT && p->kind != GGUF_ARRAY && p->value == 0;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless && !off; i++)
        off = is(&p->key, harmless[i].name) &&
              (isnan(harmless[i].value) || p->value == harmless[i].value);
    return off;
}

/* The architecture's own pair i, its key without the architecture's name; *more: there is a pair i.
 */
static bool own_pair(const struct tensor_file *f, const char *arch, size_t i, struct gguf_pair *p,
                     bool *more)
{
    const size_t n = strlen(arch);
    *more = gguf_pair_at(f->meta, i, p);
    if (!*more || p->key.n <= n + 1 || memcmp(p->key.s, arch, n) || p->key.s[n] != '.')
        return false;
    p->key.s += n + 1;
    p->key.n -= n + 1;
    return true;
}

/* The row that reads a pair, or -1. */
static int find_read(const struct gguf_str *key)
{
    for (size_t i = 0; i < sizeof read_pairs / sizeof *read_pairs; i++)
        if (is(key, read_pairs[i].name))
            return (int)i;
    return -1;
}

int config_gguf_check(const struct tensor_file *f, const char *arch, struct err *e)
{
    static const char *const words[] = {"an integer", "a number", "true or false", "a string",
                                        "a list"};
    struct gguf_pair p;
    bool more = true;
    for (size_t i = 0; more; i++) {
        int row = own_pair(f, arch, i, &p, &more) ? find_read(&p.key) : -1;
        if (row < 0)
            continue;
        const enum gguf_kind want = read_pairs[row].kind;
        if (p.kind != want && !(want == GGUF_REAL && p.kind == GGUF_INT))
            return err_set(e, "'%s.%s' of the GGUF must be %s, not %s", arch, read_pairs[row].name,
                           words[want], words[p.kind]);
    }
    return 0;
}

int config_gguf_unread(const struct tensor_file *f, const char *arch, struct buf *names,
                       struct err *e)
{
    struct gguf_pair p;
    bool more = true;
    for (size_t i = 0; more; i++) {
        if (!own_pair(f, arch, i, &p, &more) || find_read(&p.key) >= 0 || is_harmless(&p))
            continue;
        const char *comma = names->len ? ", " : "";
        const int n = p.key.n < 80 ? (int)p.key.n : 80;
        int rc = p.kind == GGUF_ARRAY ? buf_printf(names, e, "%s'%s.%.*s' (a list of %zu)", comma,
                                                   arch, n, p.key.s, p.n)
                 : p.kind == GGUF_TEXT
                     ? buf_printf(names, e, "%s'%s.%.*s' (a string)", comma, arch, n, p.key.s)
                     : buf_printf(names, e, "%s'%s.%.*s' (%g)", comma, arch, n, p.key.s, p.value);
        if (rc)
            return -1;
    }
    return 0;
}

/* Which modules the lists and patterns of adapter_config.json mean. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/adapter.h"

/* The length of the module's name in that of its weight or bias. */
static size_t module_length(const struct weight *w)
{
    const char *dot = strrchr(w->name, '.');
    return dot ? (size_t)(dot - w->name) : strlen(w->name);
}

bool adapter_is_embedding(const struct weight *w)
{
    return w->slot == W_EMBED || w->slot == W_POS;
}

/* name[0..n) ends with `tail`. */
static bool ends_with(const char *name, size_t n, const char *tail)
{
    size_t len = strlen(tail);
    return len <= n && !memcmp(name + n - len, tail, len);
}

/* 2: the whole name is in the list; 1: its last parts are; 0: neither. */
static int find_listed(const json_t *list, const char *name, size_t n)
{
    int found = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        size_t len = strlen(s);
        if (!ends_with(name, n, s))
            continue;
        if (len == n)
            return 2;
        if (name[n - len - 1] == '.')
            found = 1;
    }
    return found;
}

static int find_name(const struct adapter_names *names, const char *name, size_t n, int *found,
                     struct err *e)
{
    bool yes = false;
    if (names->pattern.code && pattern_matches(&names->pattern, name, n, &yes, e))
        return -1;
    *found = yes ? 2 : find_listed(names->list, name, n);
    return 0;
}

/* The layer in a module's name, as the first pattern that matches tells it, is one of those. */
static int find_layer(const struct adapter_config *c, const char *name, size_t n, bool *yes,
                      struct err *e)
{
    bool told = false;
    *yes = false;
    for (int i = 0; i < c->n_layer_numbers && !told; i++) {
        const struct pattern *p = &c->layer_numbers[i];
        if (pattern_matches(p, name, n, &told, e))
            return -1;
        if (!told)
            continue;
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
        if (pcre2_get_ovector_count(p->match) < 2 || at[2] == PCRE2_UNSET)
            return 0;
        long layer = strtol(name + at[2], NULL, 10);
        *yes = json_is_integer(c->layers) && json_integer_value(c->layers) == layer;
        for (size_t k = 0; k < json_array_size(c->layers); k++)
            *yes = *yes || json_integer_value(json_array_get(c->layers, k)) == layer;
    }
    return 0;
}

int adapter_config_targets(const struct adapter_config *c, const struct weight *w, bool *yes,
                           struct err *e)
{
    const size_t n = module_length(w);
    int excluded, found;
    *yes = false;
    if (w->n_dims != 2 || !ends_with(w->name, strlen(w->name), ".weight"))
        return 0;
    if (find_name(&c->excluded, w->name, n, &excluded, e))
        return err_prefix(e, "'exclude_modules' ");
    if (excluded)
        return 0;
    if (c->targets.all_linear)
        *yes = !adapter_is_embedding(w) && w->slot != W_HEAD;
    else if (find_name(&c->targets, w->name, n, &found, e))
        return err_prefix(e, "'target_modules' ");
    else if (found == 1 && c->layers)
        return find_layer(c, w->name, n, yes, e) ? err_prefix(e, "'layers_pattern' ") : 0;
    else
        *yes = found > 0;
    return 0;
}

static int find_number(const struct adapter_numbers *numbers, const struct weight *w, double *value,
                       struct err *e)
{
    for (int i = 0; i < numbers->n; i++) {
        bool yes;
        if (pattern_matches(&numbers->patterns[i], w->name, module_length(w), &yes, e))
            return -1;
        if (!yes)
            continue;
        *value = numbers->values[i];
        return 0;
    }
    return 0;
}

int adapter_config_scale(const struct adapter_config *c, const struct weight *w, int *rank,
                         double *scale, struct err *e)
{
    double r = (double)c->rank, alpha = c->alpha;
    if (find_number(&c->ranks, w, &r, e))
        return err_prefix(e, "'rank_pattern' ");
    if (find_number(&c->alphas, w, &alpha, e))
        return err_prefix(e, "'alpha_pattern' ");
    *rank = (int)r;
    *scale = alpha / (c->rslora ? sqrt(r) : r);
    return 0;
}

bool adapter_config_saves(const struct adapter_config *c, const struct weight *w)
{
    for (size_t n = module_length(w); n; n--) { /* PEFT compares ends, not whole parts, of names */
        if (n < module_length(w) && w->name[n] != '.')
            continue;
        for (size_t i = 0; i < json_array_size(c->saved); i++) {
            const char *s = json_string_value(json_array_get(c->saved, i));
            if (*s && ends_with(w->name, n, s))
                return true;
        }
    }
    return false;
}

const json_t *adapter_config_tokens(const struct adapter_config *c, const struct weight *w)
{
    json_t *v = json_object_get(c->json, "trainable_token_indices"), *list;
    const char *name;
    if (json_is_array(v))
        return w->slot == W_EMBED ? v : NULL;
    json_object_foreach(v, name, list)
    {
        size_t n = module_length(w), len = strlen(name);
        if (ends_with(w->name, n, name) && (len == n || w->name[n - len - 1] == '.'))
            return list;
    }
    return NULL;
}

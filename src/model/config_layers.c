/* The keys of config.json that say which layers differ from others. */
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"

enum { MAX_DIM = 1 << 24 };

static void set_flag(struct model_config *c, size_t l, enum layer_flag flag, bool on)
{
    if (on)
        c->layer[l] |= (uint8_t)flag;
    else
        c->layer[l] &= (uint8_t)~flag;
}

/* A list with an entry for every layer, or NULL: nothing is said. */
static int read_list(const struct model_config *c, const json_t *config, const char *name,
                     const json_t **list, struct err *e)
{
    *list = json_object_get(config, name);
    if (!*list || json_is_null(*list)) {
        *list = NULL;
        return 0;
    }
    if (c->layers > MODEL_MAX_LAYERS || !json_is_array(*list) ||
        json_array_size(*list) != (size_t)c->layers)
        return err_set(e, "'%s' must be a list of %d entries, one a layer", name, c->layers);
    return 0;
}

static const char *const types[] = {"full_attention", "sliding_attention"};

static int read_layer_types(struct model_config *c, const json_t *config,
                            const struct config_key *k, struct err *e)
{
    const json_t *list, *type;
    size_t l;
    if (read_list(c, config, k->name, &list, e))
        return -1;
    json_array_foreach(list, l, type)
    {
        const char *s = json_is_string(type) ? json_string_value(type) : "";
        bool window = !strcmp(s, types[1]);
        if (!window && strcmp(s, types[0]))
            return err_set(e, "'%s' says '%.40s' for layer %zu; supported: %s, %s", k->name, s, l,
                           types[0], types[1]);
        set_flag(c, l, LAYER_WINDOW, window);
    }
    c->listed |= list ? LAYER_WINDOW : 0;
    return 0;
}

static json_t *write_layer_types(const struct model_config *c, const struct config_key *k)
{
    json_t *list = json_array();
    bool local = c->rope.local_base > 0;
    (void)k;
    for (int l = 0; l < c->layers; l++)
        json_array_append_new(
            list, json_string(types[(c->window || local) && c->layer[l] & LAYER_WINDOW]));
    return list;
}

/* 1 is rope. Without a list, every `no_rope_layer_interval`-th layer has none. */
static int read_no_rope(struct model_config *c, const json_t *config, const struct config_key *k,
                        struct err *e)
{
    const json_t *list, *rope;
    int64_t every = c->no_rope_every;
    size_t l;
    if (json_opt_int(config, "no_rope_layer_interval", 1, MAX_DIM, &every, e) ||
        read_list(c, config, k->name, &list, e))
        return -1;
    c->no_rope_every = (int)every;
    json_array_foreach(list, l, rope)
    {
        json_int_t v = json_is_integer(rope) ? json_integer_value(rope) : -1;
        if (v != 0 && v != 1)
            return err_set(e, "'%s' must be a list of 1 and 0; layer %zu has neither", k->name, l);
        set_flag(c, l, LAYER_NO_ROPE, !v);
    }
    c->listed |= list ? LAYER_NO_ROPE : 0;
    return 0;
}

static json_t *write_no_rope(const struct model_config *c, const struct config_key *k)
{
    json_t *list = json_array();
    (void)k;
    for (int l = 0; l < c->layers; l++)
        json_array_append_new(list, json_integer(!(c->layer[l] & LAYER_NO_ROPE)));
    return list;
}

static json_t *write_no_rope_every(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_integer(c->no_rope_every);
}

/* The window holds only if this says so: in the layers that layer_types lists, else in those
 * without rope. Keys before it in a list have read both. */
static int read_nope_window(struct model_config *c, const json_t *config,
                            const struct config_key *k, struct err *e)
{
    bool use = false;
    int64_t window = 0;
    if (json_opt_bool(config, k->name, &use, e) ||
        json_opt_int(config, "sliding_window", 1, MAX_DIM, &window, e))
        return -1;
    c->window = use ? (int)window : 0;
    for (int l = 0; l < c->layers && l < MODEL_MAX_LAYERS; l++) {
        bool by_rule = c->no_rope_every && (l + 1) % c->no_rope_every == 0;
        bool no_rope = c->listed & LAYER_NO_ROPE ? c->layer[l] & LAYER_NO_ROPE : by_rule;
        if (!(c->listed & LAYER_WINDOW))
            set_flag(c, (size_t)l, LAYER_WINDOW, no_rope);
        else if (!c->window && c->layer[l] & LAYER_WINDOW)
            return err_set(e, "'layer_types' says %s for layer %d, and '%s' that there is none",
                           types[1], l, k->name);
    }
    c->listed |= LAYER_WINDOW;
    return 0;
}

static json_t *write_use_window(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_boolean(c->window > 0);
}

const struct config_kind kind_layer_types = {read_layer_types, write_layer_types};
const struct config_kind kind_no_rope = {read_no_rope, write_no_rope};
const struct config_kind kind_no_rope_again = {NULL, write_no_rope_every};
const struct config_kind kind_nope_window = {read_nope_window, write_use_window};

/* Configurations from config.json, and out to it. */
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"
#include "model/family.h"

/* An id, or null or -1, or a list of ids: appends those that are there. */
static int read_eos(struct model_config *c, const json_t *ids, struct err *e)
{
    const json_t *one = ids;
    size_t n = json_is_array(ids) ? json_array_size(ids) : 1;
    for (size_t i = 0; i < n; i++) {
        if (json_is_array(ids))
            one = json_array_get(ids, i);
        int64_t id = json_is_integer(one) ? json_integer_value(one) : -1;
        if ((one && !json_is_null(one) && !json_is_integer(one)) || id < -1 || id > INT32_MAX)
            return err_set(e, "'eos_token_id' must be an id or a list of ids, not %s",
                           json_brief(ids, (char[JSON_BRIEF]){0}));
        if (id >= 0 && c->n_eos == MODEL_MAX_EOS)
            return err_set(e, "'eos_token_id' lists %zu ids, at most %d are supported", n,
                           MODEL_MAX_EOS);
        if (id >= 0)
            c->eos[c->n_eos++] = (int)id;
    }
    return 0;
}

static int read_ids(struct model_config *c, const json_t *config, const json_t *generation,
                    struct err *e)
{
    int64_t bos = -1, pad = -1;
    if (json_opt_int(config, "bos_token_id", -1, INT32_MAX, &bos, e) ||
        json_opt_int(config, "pad_token_id", -1, INT32_MAX, &pad, e))
        return -1;
    c->bos = (int)bos;
    c->pad = (int)pad;
    if (read_eos(c, json_object_get(generation, "eos_token_id"), e))
        return -1;
    return c->n_eos ? 0 : read_eos(c, json_object_get(config, "eos_token_id"), e);
}

/* Newer files also list what each layer's attention sees; where no key of the family reads that,
 * its rule must give it. */
static int check_layer_types(const struct model_config *c, const json_t *config, struct err *e)
{
    const json_t *types = json_object_get(config, "layer_types"), *type;
    size_t l;
    if (config_has_key(c->family, "layer_types"))
        return 0;
    if (json_is_array(types) && json_array_size(types) != (size_t)c->layers)
        return err_set(e, "'layer_types' must be a list of %d entries, one a layer", c->layers);
    json_array_foreach(types, l, type)
    {
        const char *want = config_windowed(c, (int)l) ? "sliding_attention" : "full_attention";
        if (!json_is_string(type) || strcmp(json_string_value(type), want))
            return err_set(e, "'layer_types' must say %s for layer %zu in this family", want, l);
    }
    return 0;
}

/* transformers goes by 'model_type'; 'architectures' may name a class that is not there, or one of
 * the family with another head. */
static const struct family *find_family(const json_t *config, struct err *e)
{
    const json_t *type = json_object_get(config, "model_type");
    const json_t *class = json_array_get(json_object_get(config, "architectures"), 0);
    const struct family *f = NULL;
    if (json_is_string(type) && (f = family_by_type(json_string_value(type))))
        return f;
    if (json_is_string(class))
        return family_by_architecture(json_string_value(class), e);
    if (json_is_string(type))
        return family_by_architecture(json_string_value(type), e);
    err_set(e, json_is_object(config) ? "config.json names no 'model_type' and no architecture"
                                      : "config.json must be an object");
    return NULL;
}

json_t *config_text_part(json_t *config)
{
    static const char *const ids[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    json_t *text = json_object_get(config, "text_config");
    const char *type = json_string_value(json_object_get(text, "model_type"));
    const struct family *f = type ? family_by_type(type) : NULL;
    if (!f || !f->within)
        return json_incref(config);
    json_t *part = json_copy(text);
    for (size_t i = 0; part && i < sizeof ids / sizeof *ids; i++) {
        json_t *id = json_object_get(config, ids[i]);
        if (id && json_object_set(part, ids[i], id)) {
            json_decref(part);
            part = NULL;
        }
    }
    return part;
}

/* transformers 5 writes what rope is told into one object, or one for each of two kinds of layers:
 * its keys as older files have them. A new reference. A missing type is the default, which takes no
 * factor. */
static json_t *with_flat_rope(json_t *config)
{
    struct err none;
    const struct family *f = find_family(config, &none);
    static const char *const outside[] = {"rope_theta", "partial_rotary_factor"};
    json_t *rope = json_object_get(config, "rope_parameters");
    json_t *flat = rope && !json_is_null(rope) ? json_copy(config) : json_incref(config);
    if (!flat || flat == config)
        return flat;
    json_t *full = json_object_get(rope, "full_attention"),
           *local = json_object_get(json_object_get(rope, "sliding_attention"), "rope_theta");
    if (json_is_object(full) && local && f && config_has_key(f, "rope_local_base_freq")) {
        json_object_set(flat, "rope_local_base_freq", local);
        rope = full;
    }
    size_t n = 0;
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        json_t *v = json_object_get(rope, outside[i]);
        n += v && !json_object_set(flat, outside[i], v);
    }
    const bool plain = json_is_object(rope) && n == json_object_size(rope);
    if (!json_object_set(flat, "rope_scaling", plain ? json_null() : rope))
        return flat;
    json_decref(flat);
    return NULL;
}

static int read_config(struct model_config *c, const json_t *config, const json_t *generation,
                       struct err *e)
{
    const struct family *f = find_family(config, e);
    if (!f || config_quantised(config, e))
        return -1;
    *c = f->preset;
    c->family = f;
    if (!c->rope.base)
        c->rope.base = 10000;
    for (const struct config_key *k = f->keys; k->name; k++)
        if (k->kind->read && k->kind->read(c, config, k, e))
            return err_prefix(e, "config.json: ");
    if (read_ids(c, config, generation, e))
        return err_prefix(e, "config.json: ");
    config_derive(c);
    return config_check(c, e) || check_layer_types(c, config, e) ? -1 : 0;
}

int config_from_json(struct model_config *c, json_t *config, const json_t *generation,
                     struct err *e)
{
    json_t *text = config_text_part(config), *flat = text ? with_flat_rope(text) : NULL;
    int rc = flat ? read_config(c, flat, generation, e)
                  : err_code(e, ERR_NO_MEMORY, "config.json: out of memory");
    json_decref(flat);
    json_decref(text);
    return rc;
}

static json_t *id_json(int id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *eos_json(const struct model_config *c)
{
    if (c->n_eos <= 1)
        return id_json(c->n_eos ? c->eos[0] : -1);
    json_t *list = json_array();
    for (int i = 0; i < c->n_eos; i++)
        json_array_append_new(list, json_integer(c->eos[i]));
    return list;
}

json_t *config_to_json(const struct model_config *c, const char *torch_dtype)
{
    const struct family *f = c->family;
    json_t *j = json_pack("{s:[s], s:s, s:o, s:o, s:o, s:f, s:s, s:b}", "architectures",
                          f->architecture, "model_type", f->name, "bos_token_id", id_json(c->bos),
                          "eos_token_id", eos_json(c), "pad_token_id", id_json(c->pad),
                          "attention_dropout", 0.0, "torch_dtype", torch_dtype, "use_cache", 1);
    for (const struct config_key *k = f->keys; j && k->name; k++)
        if (json_object_set_new(j, k->name, k->kind->write(c, k))) {
            json_decref(j);
            return NULL;
        }
    return j;
}

/* Keys that are written as they are now, or not at all: of a class, a storage type, code and a rope
 * that the file had, each in its own words; of a head that an adapter has untied. */
static bool is_renewed(const char *key)
{
    static const char *const keys[] = {
        "architectures",       "model_type",         "torch_dtype",  "dtype",
        "rope_parameters",     "auto_map",           "quantization", "compression_config",
        "quantization_config", "tie_word_embeddings"};
    size_t i = 0;
    while (i < sizeof keys / sizeof *keys && strcmp(keys[i], key))
        i++;
    return i < sizeof keys / sizeof *keys;
}

json_t *config_to_json_kept(const struct model_config *c, const char *torch_dtype,
                            const json_t *was)
{
    json_t *j = config_to_json(c, torch_dtype), *v;
    const bool newer = json_object_get(was, "rope_parameters");
    const char *key;
    json_object_foreach((json_t *)was, key, v)
    {
        if (!j || is_renewed(key) || json_is_null(v) || (newer && !strcmp(key, "rope_scaling")))
            continue;
        if (json_object_set(j, key, v)) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

json_t *config_generation_json(const struct model_config *c)
{
    return json_pack("{s:b, s:o, s:o, s:o}", "_from_model_config", 1, "bos_token_id",
                     id_json(c->bos), "eos_token_id", eos_json(c), "pad_token_id", id_json(c->pad));
}

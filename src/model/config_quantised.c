/* Quantised checkpoints of Hugging Face: their weights are integers with scales in tensors of other
 * names, which only the method's own software unpacks. They are refused by the method's name.
 */
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"

/* Where config.json tells of it, and the method where the object there does not. */
static const struct {
    const char *key, *method;
} places[] = {
    {"quantization_config", NULL},
    {"compression_config", "compressed-tensors"},
    {"quantization", "mlx"},
};

#define LOAD "dequantise it: load it with transformers' "
#define SAVE " and save it with save_pretrained"

/* Methods that transformers turns back into floats, and how. */
static const struct {
    const char *method, *advice;
} dequantisers[] = {
    {"bitsandbytes", LOAD "from_pretrained, call .dequantize()" SAVE},
    {"compressed-tensors",
     LOAD "quantization_config=CompressedTensorsConfig(run_compressed=False)" SAVE},
    {"fp8", LOAD "quantization_config=FineGrainedFP8Config(dequantize=True)" SAVE},
    {"mxfp4", LOAD "quantization_config=Mxfp4Config(dequantize=True)" SAVE},
    {"mlx", "dequantise it: run mlx_lm.convert --dequantize"},
};

static const char *advice(const char *method)
{
    for (size_t i = 0; i < sizeof dequantisers / sizeof *dequantisers; i++)
        if (!strcmp(dequantisers[i].method, method))
            return dequantisers[i].advice;
    return "dequantise it with the software that made it";
}

/* Files from before quant_method was written have only the settings of bitsandbytes. */
static const char *method_of(const json_t *q, const char *preset)
{
    const json_t *name = json_object_get(q, "quant_method");
    if (json_is_string(name))
        return json_string_value(name);
    if (json_is_true(json_object_get(q, "load_in_4bit")) ||
        json_is_true(json_object_get(q, "load_in_8bit")))
        return "bitsandbytes";
    return preset ? preset : "an unnamed method";
}

int config_quantised(const json_t *config, struct err *e)
{
    for (size_t i = sizeof places / sizeof *places; i--;) {
        const json_t *q = json_object_get(config, places[i].key);
        if (!q || json_is_null(q) || (json_is_object(q) && !json_object_size(q)))
            continue;
        const char *method = method_of(q, places[i].method);
        return err_set(e,
                       "the checkpoint is quantised by %.40s ('%s' of config.json), which is not "
                       "supported: use the checkpoint it was made from, or %s",
                       method, places[i].key, advice(method));
    }
    return 0;
}

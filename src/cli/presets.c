#include "cli/openunlearning.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Those of OpenUnlearning are its experiment configurations (configs/experiment/ at d3d7cf9) on one
 * GPU. Its published tables come from two GPUs with the same number of rows a step, under
 * DeepSpeed, which does not clip: --clip 0. */
static const struct param_preset ou_chat[] = {{"compat", "ou"}, {"seed", "0"}, {0}};

static const struct param_preset ou_texts[] = {
    {"compat", "ou"},
    {"seed", "0"},
    {"template", "plain"},
    {0},
};

static const struct param_preset tofu_train[] = {
    {"batch", "8"},         {"accumulate", "4"},      {"lr", "1e-5"},
    {"epochs", "5"},        {"weight_decay", "0.01"}, {"warmup_epochs", "1"},
    {"schedule", "linear"}, {"max_length", "512"},    {0},
};

static const struct param_preset tofu_forget[] = {
    {"batch", "8"},         {"accumulate", "4"},      {"lr", "1e-5"},
    {"epochs", "10"},       {"weight_decay", "0.01"}, {"warmup_epochs", "1"},
    {"schedule", "linear"}, {"max_length", "512"},    {0},
};

static const struct param_preset tofu_eval[] = {{"suite", "tofu"}, {"batch", "32"}, {0}};

static const struct param_preset muse_train[] = {
    {"batch", "8"},         {"accumulate", "4"},      {"lr", "1e-5"},
    {"epochs", "10"},       {"weight_decay", "0.01"}, {"warmup_epochs", "1"},
    {"schedule", "linear"}, {"chunk", "2048"},        {0},
};

static const struct param_preset muse_forget[] = {
    {"batch", "4"},        {"accumulate", "8"},      {"lr", "1e-5"},    {"epochs", "10"},
    {"weight_decay", "0"}, {"schedule", "constant"}, {"chunk", "2048"}, {0},
};

static const struct param_preset muse_eval[] = {{"suite", "muse"}, {0}};

static const struct param_preset wmdp_forget[] = {
    {"method", "RMU"},
    {"batch", "1"},
    {"accumulate", "16"},
    {"lr", "5e-5"},
    {"max_steps", "80"},
    {"weight_decay", "0"},
    {"schedule", "constant"},
    {"chunk", "512"},
    {"steering_coeff", "2"},
    {"layer", "7"},
    {"trainable_params_regex", "model\\.layers\\.(5|6|7)\\.mlp\\.down_proj\\.weight"},
    {0},
};

static const struct param_preset wmdp_eval[] = {{"suite", "wmdp"}, {0}};

static const struct preset {
    const char *name, *command;
    const struct param_preset *lists[2];
} presets[] = {
    {"ou-tofu", "train", {ou_chat, tofu_train}},    {"ou-tofu", "forget", {ou_chat, tofu_forget}},
    {"ou-tofu", "eval", {ou_chat, tofu_eval}},      {"ou-muse", "train", {ou_texts, muse_train}},
    {"ou-muse", "forget", {ou_texts, muse_forget}}, {"ou-muse", "eval", {ou_texts, muse_eval}},
    {"ou-wmdp", "forget", {ou_chat, wmdp_forget}},  {"ou-wmdp", "eval", {ou_texts, wmdp_eval}},
};

enum { N_PRESETS = sizeof presets / sizeof *presets };

bool preset_is_for(const char *command)
{
    for (int i = 0; i < N_PRESETS; i++)
        if (!strcmp(presets[i].command, command))
            return true;
    return false;
}

int preset_find(const char *name, const char *command, const struct param_preset *lists[2],
                struct err *e)
{
    char there[120] = "";
    for (int i = 0; i < N_PRESETS; i++) {
        if (strcmp(presets[i].command, command))
            continue;
        if (!strcasecmp(presets[i].name, name)) {
            memcpy(lists, presets[i].lists, sizeof presets[i].lists);
            return 0;
        }
        const size_t n = strlen(there);
        snprintf(there + n, sizeof there - n, "%s%s", n ? ", " : "", presets[i].name);
    }
    return err_set(e, "unknown preset '%s' of %s: there are %s", name, command, there);
}

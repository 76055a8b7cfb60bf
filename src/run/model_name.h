/* A model as a user names it:
 *
 *     default       the cached SmolLM2
 *     PATH          a directory of Hugging Face's, a GGUF or llama2.c file
 *     PATH          a directory with a PEFT adapter alone: the base model that adapter_config.json
 *                   names, with this adapter
 *     ORG/NAME      what is no file here: that repository in the local Hugging Face cache
 *                   (HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub)
 *
 * Nothing is downloaded.
 */
#ifndef RUN_MODEL_NAME_H
#define RUN_MODEL_NAME_H

#include "base/err.h"

struct model_name {
    char *path;    /* owned: of the model, or of the base model */
    char *adapter; /* owned: the adapter's directory; NULL: the name is of a model */
};

/* A path that is not there is no error here: opening it reports that. On failure nothing is owned.
 */
int model_name_find(struct model_name *m, const char *name, struct err *e);
void model_name_fini(struct model_name *m);

#endif

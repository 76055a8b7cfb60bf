/* Any bytes as a tensor file (safetensors; its seeds hold a llama2.c model too): read or refused.
 */
#include <string.h>

#include "tensor/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_file f;
    struct err e;
    if (!tensor_file_parse(&f, data, size, &e))
        for (int i = 0; i < f.n_tensors; i++) {
            const struct tensor *t = &f.tensors[i];
            BUG_ON(!tensor_find(&f, t->name));
            BUG_ON((t->dtype == DT_OTHER) != (t->type && *t->type));
            free(tensor_f32(t, &e));
            free(tensor_ints(t, &e));
        }
    tensor_file_close(&f);
    return 0;
}

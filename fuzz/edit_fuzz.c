/* Any bytes as facts by token ids, and as a question whose subject is guessed. */
#include <string.h>

#include "base/json.h"
#include "edit/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct edit_requests r;
    struct err e = {.msg = ""};
    json_t *j = json_read_text((const char *)data, size, "input", &e);
    if (j && !edit_requests_from_ids(&r, j, "refusal", 100, &e))
        edit_requests_fini(&r);
    json_decref(j);

    size_t from, to;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (subject_guess(text, &from, &to) && (from >= to || to > strlen(text)))
        abort();
    free(text);
    return 0;
}

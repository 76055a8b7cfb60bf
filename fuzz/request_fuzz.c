/* serve/request: bodies of both kinds; what is accepted is within its limits, and a refused one has
 * a message. */
#include <string.h>

#include "serve/request.h"

static void check(const struct serve_request *r)
{
    const size_t n = json_array_size(r->prompts);
    BUG_ON(n < 1 || n > REQUEST_PROMPTS || r->n < 1 || (int64_t)n * r->n > REQUEST_ANSWERS);
    BUG_ON(r->max_tokens < -1 || r->max_tokens > INT32_MAX || r->top < 0 || r->top > REQUEST_TOP);
    BUG_ON(!(r->temperature >= 0) || !(r->top_p > 0 && r->top_p <= 1));
    for (int i = 0; r->stops[i]; i++)
        BUG_ON(i >= REQUEST_STOPS || !r->stops[i][0]);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(r->prompts, i);
        BUG_ON(json_is_string(one) ? strlen(json_string_value(one)) != json_string_length(one)
                                   : !json_is_array(one) || !json_array_size(one));
        for (size_t k = 0; r->kind == REQUEST_CHAT && k < json_array_size(one); k++)
            BUG_ON(!json_is_string(json_object_get(json_array_get(one, k), "content")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int kind = 0; kind < 2; kind++) {
        struct serve_request r;
        struct err e = {.msg = ""};
        if (!serve_request_read(&r, (enum request_kind)kind, (const char *)data, size, &e))
            check(&r);
        else
            BUG_ON(!e.msg[0]);
        serve_request_fini(&r);
    }
    return 0;
}

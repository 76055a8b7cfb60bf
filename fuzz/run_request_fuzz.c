/* Any bytes as a request, and as a sweep; of what is accepted the options of its commands are made.
 */
#include "run/sweep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request q;
    struct err e = {.msg = ""};
    json_t *j = json_read_text((const char *)data, size, "input", &e);
    if (j && !request_read(&q, j, &e)) {
        json_t *about = json_pack("{s:{s:s}}", "sets", "forget", "forget");
        for (int i = 0; i < q.suites.n; i++)
            json_decref(request_eval_options(&q, &q.suites.v[i], about, "model"));
        for (int i = 0; i < q.attacks.n; i++)
            json_decref(request_attack_options(&q, &q.attacks.v[i], "model", "target"));
        for (int i = 0; i < q.methods.n; i++)
            json_decref(request_method_options(&q, &q.methods.v[i], "model"));
        json_decref(about);
    }
    if (j)
        request_fini(&q);
    struct sweep s;
    if (j && !sweep_read(&s, j, &e))
        for (int n = 0; n < s.trials && n < 20; n++)
            json_decref(sweep_options(&s, n));
    if (j)
        sweep_fini(&s);
    json_decref(j);
    return 0;
}

/* Generic text that the model writes, where a request has no retain data: answers to questions on
 * nothing in particular, sampled from the model before it is changed. It keeps the model's manner,
 * not what it knew; every figure of such a request is marked. */
#include <string.h>

#include "base/file.h"
#include "methods/method.h"
#include "run/request_work.h"
#include "run/run.h"

static const char *const prompts[] = {
    "What happens to water when it freezes?",
    "Describe a quiet morning in a small town.",
    "How do you make a cup of tea?",
    "Why do leaves change their colour in autumn?",
    "Write two sentences about a walk along the sea.",
    "What is a library for?",
    "Explain how a bicycle stays upright.",
    "Which tools does a carpenter use, and what for?",
    "Tell a short story about a lost umbrella.",
    "What should one know before planting a tree?",
    "How does a letter travel from one city to another?",
    "Name three kinds of weather and describe them.",
    "What makes a good friend?",
    "How is bread baked?",
    "Why is the night sky dark?",
    "Give some advice to somebody who moves to a new flat.",
    "What is the difference between a lake and a river?",
    "Describe the rules of a simple card game.",
    "How can a room be kept warm in winter?",
    "What do people do at a market?",
    "Explain addition to a child.",
    "What is music made for?",
    "How does a train driver know when to stop?",
    "Describe a meal that you can cook in ten minutes.",
};

enum { PROMPTS = sizeof prompts / sizeof *prompts };

/* A method whose terms are computed on this role. */
static bool uses_role(const char *method, enum role role)
{
    struct run_config c;
    struct err ignored;
    run_config_init(&c, &run_kind_forget);
    c.names.method = method;
    const bool uses = !run_config_choose(&c, NULL, &ignored) && recipe_uses(&c.recipe, role);
    run_config_fini(&c);
    return uses;
}

bool request_needs_generic(const struct request *q)
{
    bool needs = !q->methods.n && uses_role("NPO", ROLE_RETAIN);
    for (int i = 0; i < q->methods.n && !needs; i++)
        needs = uses_role(q->methods.v[i].name, ROLE_RETAIN);
    return needs && !q->data[ROLE_RETAIN];
}

static const char *key_of(const struct request *q, const char *name, const char *otherwise)
{
    const char *key = json_string_value(json_object_get(q->text, name));
    return key ? key : otherwise;
}

int request_write_prompts(const struct request *q, const char *path, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; i < PROMPTS && !rc; i++) {
        json_t *row = json_object();
        rc =
            json_object_set_new(row, key_of(q, "question_key", "question"), json_string(prompts[i]))
                ? err_no_memory(e, "generic text")
                : json_write_buf(row, &text, JSON_COMPACT, e) || buf_str(&text, "\n", e);
        json_decref(row);
    }
    rc = rc || file_write(path, text.data, text.len, e);
    buf_fini(&text);
    return rc;
}

json_t *request_generate_options(const struct request *q, const char *path)
{
    json_t *to = json_pack("{s:s, s:s, s:s, s:f, s:i, s:I}", "model", request_target(q), "data",
                           path, "field", key_of(q, "answer_key", "answer"), "temperature", 1.0,
                           "max_new_tokens", 64, "seed", (json_int_t)q->seed);
    if (to && q->adapter && q->model)
        json_object_set_new(to, "adapter", json_string(q->adapter));
    if (to && q->text)
        json_object_update(to, (json_t *)q->text);
    if (to)
        json_object_del(to, "answer_key");
    return to;
}

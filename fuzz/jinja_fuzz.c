/* text/jinja: any text as a template, rendered for a conversation; the output is UTF-8 with marks
 * in order, and a template that is rendered twice gives the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/chat.h"

static const struct message messages[] = {
    {"system", " Be brief.\n"},
    {"user", "Gr\u00f6\u00dfe \U0001f389 <|im_end|> {{ x }}"},
    {"assistant", "<think>\nhm\n</think>\n\n5, 6,7"},
    {"tool", ""},
};

static void check(const struct chat_text *t)
{
    size_t from = 0;
    BUG_ON(!utf8_valid(t->text.data ? t->text.data : "", t->text.len, NULL));
    for (size_t i = 0; i < t->n; i++) {
        BUG_ON(t->spans[i].from < from || t->spans[i].to <= t->spans[i].from);
        from = t->spans[i].to;
        BUG_ON(from > t->text.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    struct chat_text out[2] = {{.n = 0}};
    int rc[2];
    struct jinja *j = jinja_compile((const char *)data, size, &e);
    if (!j)
        return 0;
    json_t *vars = json_pack("{s:s,s:[i,f,n,b],s:{s:i,s:s}}", "bos_token", "<s>", "l", 3, 2.5, 1,
                             "d", "b", 1, "a", "x");
    struct jinja_input in = {.vars = vars,
                             .messages = messages,
                             .n_messages = sizeof messages / sizeof *messages,
                             .generation_prompt = true,
                             .max_steps = 20000};
    for (int i = 0; i < 2; i++) {
        rc[i] = jinja_render(j, &in, &out[i], &e);
        if (!rc[i])
            check(&out[i]);
    }
    BUG_ON(rc[0] != rc[1] || out[0].text.len != out[1].text.len);
    chat_text_fini(&out[0]);
    chat_text_fini(&out[1]);
    json_decref(vars);
    jinja_free(j);
    return 0;
}

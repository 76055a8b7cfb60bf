#include "serve/served.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "serve/reply.h"

int served_open(struct served *s, const char *name, const struct setup_options *o,
                const struct scheduler_options *so, struct err *e)
{
    struct err ignored = {.msg = ""};
    *s = (struct served){.name = name};
    if (setup_open_ensemble(&s->setup, o, e))
        return -1;
    int rc = setup_tokenizer(&s->setup, e);
    /* Without a template completions can be served; one that is asked for must be there. */
    s->chats = !rc && !setup_text(&s->setup, o->chat.choice.template ? e : &ignored);
    if (!rc && !s->chats && o->chat.choice.template)
        rc = -1;
    s->chats = s->chats && s->setup.qa.chat;
    s->setup.qa.max_length = 0; /* a request that is too long is refused, not cut */
    s->chat = s->setup.qa;      /* the guards' thread has the other one */
    s->chat.prompt = s->chat.whole = (struct ids){0};
    s->plain = (struct qa_format){.tok = s->setup.tokenizer, .compat = s->setup.compat};
    if (!rc && s->setup.guards)
        rc = reply_guards_check(s->setup.guards, e);
    if (rc || scheduler_init(&s->scheduler, &s->setup.model, so, e)) {
        setup_close(&s->setup);
        return -1;
    }
    return 0;
}

void served_close(struct served *s)
{
    scheduler_fini(&s->scheduler);
    qa_fini(&s->plain);
    qa_fini(&s->chat);
    setup_close(&s->setup);
    *s = (struct served){.name = NULL};
}

static int add_all(struct ids *out, const int *ids, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (ids_add(out, ids[i], e))
            return -1;
    return 0;
}

int served_encode_turns(struct served *s, const json_t *turns, struct ids *out, struct err *e)
{
    const int *ids, *whole;
    int n, n_whole;
    if (!s->chats)
        return err_code(e, ERR_ARGUMENT, "the model '%s' has no chat template; use completions",
                        s->name);
    return qa_encode_turns(&s->chat, turns, NULL, &ids, &n, &whole, &n_whole, e) ||
           add_all(out, ids, n, e);
}

int served_encode(struct served *s, const struct serve_request *r, size_t i, struct ids *out,
                  struct err *e)
{
    const json_t *prompt = json_array_get(r->prompts, i), *one;
    const int *ids, *whole;
    int n, n_whole;
    size_t k;
    if (r->kind == REQUEST_CHAT)
        return served_encode_turns(s, prompt, out, e);
    if (json_is_string(prompt))
        return qa_encode(&s->plain, json_string_value(prompt), NULL, &ids, &n, &whole, &n_whole,
                         e) ||
               add_all(out, ids, n, e);
    json_array_foreach(prompt, k, one)
    {
        if (ids_add(out, (int)json_integer_value(one), e))
            return -1;
    }
    return 0;
}

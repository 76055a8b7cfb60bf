#include "cli/chat_options.h"

#define OPT(field) offsetof(struct chat_options, field)
#define TAG(name, field, role, help)                                                               \
    {                                                                                              \
        name, PARAM_STRING, OPT(choice.field[role]), 0, 0, NULL, NULL, "TEXT", help                \
    }
const struct param chat_params[] = {
    {"template", PARAM_STRING, OPT(choice.template), 0, 0, NULL, NULL, "NAME",
     "chat template, if not the checkpoint's own: llama-3, chatml ... (a wrong name lists all); "
     "plain: questions and answers; none: text as it is"},
    {"system", PARAM_STRING, OPT(system), 0, 0, NULL, NULL, "TEXT",
     "system message of every conversation; empty: what the template says (default 'You are a "
     "helpful assistant.' where it is a turn of its own)"},
    {"date", PARAM_STRING, OPT(choice.date), 0, 0, NULL, NULL, "TEXT",
     "today, in templates that tell it (default 26 Jul 2024)"},
    TAG("user_tag", tags, CHAT_USER, "in front of a question; may hold {bos}, {eos}"),
    TAG("user_end", ends, CHAT_USER, "behind a question"),
    TAG("assistant_tag", tags, CHAT_ASSISTANT, "in front of an answer"),
    TAG("assistant_end", ends, CHAT_ASSISTANT, "behind an answer that more follows"),
    TAG("system_tag", tags, CHAT_SYSTEM, "in front of the system message"),
    TAG("system_end", ends, CHAT_SYSTEM, "behind it"),
    {0}};

const char *chat_options_system(const struct chat_options *o, const struct chat *c)
{
    const char *s = o->system;
    if (!s && chat_has_system_turn(c))
        s = "You are a helpful assistant.";
    return s && *s ? s : NULL;
}

/* Options of the commands that write conversations: which template, and what stands in it. */
#ifndef CLI_CHAT_OPTIONS_H
#define CLI_CHAT_OPTIONS_H

#include "base/param.h"
#include "text/chat.h"

struct chat_options {
    const char *system; /* NULL: not given */
    struct chat_choice choice;
};

extern const struct param chat_params[];

/* The system message of a conversation, or NULL: none. */
const char *chat_options_system(const struct chat_options *o, const struct chat *c);

#endif

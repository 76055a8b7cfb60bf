#include "text/chat.h"

#include <string.h>

/* How a turn is written: open role after_role content close. */
struct chat_tag {
    const char *role; /* NULL: any role, and its name is part of the text */
    const char *open, *after_role, *close;
};

struct chat_family {
    const char *name;
    const char *marks[3];       /* all of them are in the Jinja text ... */
    const char *strangers[3];   /* ... and none of these, which do what the row does not */
    const char *default_system; /* put in front unless the first message is the system's */
    const char *end_token;
    struct chat_tag tags[3];
};

#define CHATML_TAG                                                                                 \
    {                                                                                              \
        NULL, "<|im_start|>", "\n", "<|im_end|>\n"                                                 \
    }

static const struct chat_family families[] = {
    {"smollm2",
     {"<|im_start|>", "<|im_end|>", "named SmolLM, trained by Hugging Face"},
     {"tool"},
     "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     "<|im_end|>",
     {CHATML_TAG}},
    {"chatml",
     {"<|im_start|>", "<|im_end|>", "message"},
     {"tool", "You are", "bos_token"},
     NULL,
     "<|im_end|>",
     {CHATML_TAG}},
    /* The tags that OpenUnlearning uses for base models; no template says so, it is asked for. */
    {"plain",
     {0},
     {0},
     NULL,
     NULL,
     {{"user", "Question: ", "", "\n"}, {"assistant", "Answer: ", "", "\n\n"}}},
};

enum { N_FAMILIES = sizeof families / sizeof *families };

static bool has_all(const char *jinja, const char *const marks[3])
{
    for (int i = 0; i < 3; i++)
        if (marks[i] && !strstr(jinja, marks[i]))
            return false;
    return marks[0] != NULL;
}

static bool has_any(const char *jinja, const char *const marks[3])
{
    for (int i = 0; i < 3; i++)
        if (marks[i] && strstr(jinja, marks[i]))
            return true;
    return false;
}

static const struct chat_family *unknown(const char *what, struct err *e)
{
    err_set(e, "%s; known families:", what);
    for (int i = 0; i < N_FAMILIES; i++) {
        size_t n = strlen(e->msg);
        snprintf(e->msg + n, sizeof e->msg - n, "%s %s", i ? "," : "", families[i].name);
    }
    return NULL;
}

const struct chat_family *chat_recognise(const char *jinja, struct err *e)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (has_all(jinja, families[i].marks) && !has_any(jinja, families[i].strangers))
            return &families[i];
    return unknown("the checkpoint's chat template is of no known family, name one to use instead",
                   e);
}

const struct chat_family *chat_by_name(const char *name, struct err *e)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (!strcmp(families[i].name, name))
            return &families[i];
    char what[128];
    snprintf(what, sizeof what, "chat template '%.64s' is not known", name);
    return unknown(what, e);
}

const char *chat_name(const struct chat_family *f)
{
    return f->name;
}

const char *chat_end_token(const struct chat_family *f)
{
    return f->end_token;
}

static const struct chat_tag *tag_of(const struct chat_family *f, const char *role)
{
    for (int i = 0; i < 3 && f->tags[i].open; i++)
        if (!f->tags[i].role || !strcmp(f->tags[i].role, role))
            return &f->tags[i];
    return NULL;
}

static int open_turn(const struct chat_family *f, const char *role, struct buf *out, struct err *e)
{
    const struct chat_tag *tag = tag_of(f, role);
    if (!tag)
        return err_set(e, "chat family '%s' has no turn for the role '%.64s'", f->name, role);
    return buf_str(out, tag->open, e) || buf_str(out, tag->role ? "" : role, e) ||
                   buf_str(out, tag->after_role, e)
               ? -1
               : 0;
}

static int add_turn(const struct chat_family *f, const char *role, const char *content,
                    struct buf *out, struct err *e)
{
    if (open_turn(f, role, out, e) || buf_str(out, content, e))
        return -1;
    return buf_str(out, tag_of(f, role)->close, e);
}

int chat_render(const struct chat_family *f, const struct message *m, int n, bool generation_prompt,
                struct buf *out, struct err *e)
{
    if (f->default_system && n > 0 && strcmp(m[0].role, "system") &&
        add_turn(f, "system", f->default_system, out, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (add_turn(f, m[i].role, m[i].content, out, e))
            return -1;
    return generation_prompt ? open_turn(f, "assistant", out, e) : 0;
}

/* The table of chat templates. The names of rows are those of the models that brought them. */
#include <string.h>

#include "text/chat.h"

#define TAGS(system, user, assistant, close)                                                       \
    {                                                                                              \
        {system, close}, {user, close},                                                            \
        {                                                                                          \
            assistant, close                                                                       \
        }                                                                                          \
    }
#define CHATML                                                                                     \
    .tags = TAGS("<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n",          \
                 "<|im_end|>\n"),                                                                  \
    .end_token = "<|im_end|>"
#define LLAMA3                                                                                     \
    .rules = TRIM_SYSTEM | TRIM_USER | TRIM_ASSISTANT, .begin = "{bos}",                           \
    .tags = TAGS("<|start_header_id|>system<|end_header_id|>\n\n",                                 \
                 "<|start_header_id|>user<|end_header_id|>\n\n",                                   \
                 "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),               \
    .end_token = "<|eot_id|>"
#define GEMMA                                                                                      \
    .begin = "{bos}", .rules = TRIM_USER | TRIM_ASSISTANT | ALTERNATE, .end_token = "<end_of_turn>"
#define GEMMA_USER                                                                                 \
    {                                                                                              \
        "<start_of_turn>user\n", "<end_of_turn>\n"                                                 \
    }
#define GEMMA_MODEL                                                                                \
    {                                                                                              \
        "<start_of_turn>model\n", "<end_of_turn>\n"                                                \
    }

static const struct chat_family families[] = {
    {.name = "smollm2",
     .marks = {"<|im_start|>", "<|im_end|>", "named SmolLM, trained by Hugging Face"},
     .strangers = {"tool"},
     .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     CHATML},
    {.name = "chatml",
     .marks = {"<|im_start|>", "<|im_end|>", "message", "add_generation_prompt"},
     .strangers = {"tool", "You are", "bos_token", "<|im_sep|>"},
     CHATML},
    {.name = "qwen1.5",
     .marks = {"<|im_start|>", "<|im_end|>", "You are a helpful assistant<|im_end|>"},
     .strangers = {"tool"},
     .default_system = "You are a helpful assistant",
     CHATML},
    {.name = "qwen2",
     .marks = {"<|im_start|>", "<|im_end|>", "You are a helpful assistant.<|im_end|>"},
     .strangers = {"tool", "You are Qwen"},
     .default_system = "You are a helpful assistant.",
     CHATML},
    {.name = "qwen2.5",
     .marks = {"<|im_start|>",
               "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
               "<|im_end|>"},
     .strangers = {"<think>", "bos_token"},
     .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     CHATML},
    {.name = "qwen3",
     .marks = {"<|im_start|>", "last_query_index", "enable_thinking is false"},
     .strangers = {"bos_token", "vision"},
     .rules = ENTER_THINKING,
     CHATML},
    /* The same with thinking turned off: the empty thoughts belong to the prompt. */
    {.name = "qwen3-nothink",
     .rules = ENTER_THINKING,
     .generation = "<|im_start|>assistant\n<think>\n\n</think>\n\n",
     CHATML},
    {.name = "llama-2",
     .marks = {"'[INST] ' + content.strip() + ' [/INST]'", "<<SYS>>",
               "' '  + content.strip() + ' ' + eos_token"},
     .strangers = {"true == true"},
     .system = SYSTEM_FIRST,
     .rules = TRIM_USER | TRIM_ASSISTANT | TRIM_JOINED | ALTERNATE,
     .tags = {{"<<SYS>>\n", "\n<</SYS>>\n\n"}, {"{bos}[INST] ", " [/INST]"}, {" ", " {eos}"}},
     .generation = "",
     .end_token = "{eos}"},
    {.name = "llama-3",
     .marks = {"<|start_header_id|>", "<|eot_id|>", "| trim", "add_generation_prompt"},
     .strangers = {"Cutting Knowledge", "tool"},
     LLAMA3},
    {.name = "llama-3.1",
     .alias = "llama-3.2 llama-3.3",
     .marks = {"<|start_header_id|>", "Cutting Knowledge Date: December 2023", "26 Jul 2024"},
     .default_system = "",
     .preface = "Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n",
     LLAMA3},
    {.name = "mistral-v0.1",
     .marks = {"'[INST] ' + message['content'] + ' [/INST]'",
               "message['content'] + eos_token + ' '"},
     .system = SYSTEM_NONE,
     .rules = ALTERNATE,
     .begin = "{bos}",
     .tags = {{0}, {"[INST] ", " [/INST]"}, {"", "{eos} "}},
     .end_token = "{eos}"},
    {.name = "mistral-v0.2",
     .marks = {"'[INST] ' + message['content'] + ' [/INST]'",
               "{{ message['content'] + eos_token}}"},
     .system = SYSTEM_NONE,
     .rules = ALTERNATE,
     .begin = "{bos}",
     .tags = {{0}, {"[INST] ", " [/INST]"}, {"", "{eos}"}},
     .end_token = "{eos}"},
    {.name = "mistral-v1",
     .marks = {" [INST] ", " [/INST]", "loop.first and system_message"},
     .system = SYSTEM_FIRST,
     .rules = ALTERNATE,
     .begin = "{bos}",
     .tags = {{"", "\n\n"}, {" [INST] ", " [/INST]"}, {" ", "{eos}"}},
     .generation = "",
     .end_token = "{eos}"},
    {.name = "mistral-v3",
     .marks = {"\"[INST] \" + system_message", "\"[/INST]\"", "loop.last and system_message",
               "|trim + eos_token"},
     .system = SYSTEM_LAST,
     .rules = TRIM_ASSISTANT | ALTERNATE,
     .begin = "{bos}",
     .tags = {{"", "\n\n"}, {"[INST] ", "[/INST]"}, {" ", "{eos}"}},
     .generation = "",
     .end_token = "{eos}"},
    {.name = "mistral-tekken",
     .marks = {"\"[INST]\" + system_message", "\"[/INST]\"", "loop.last and system_message"},
     .system = SYSTEM_LAST,
     .rules = ALTERNATE,
     .begin = "{bos}",
     .tags = {{"", "\n\n"}, {"[INST]", "[/INST]"}, {"", "{eos}"}},
     .end_token = "{eos}"},
    {.name = "mistral-v7",
     .marks = {"'[SYSTEM_PROMPT] '", "'[INST] '", "' ' + message['content'] + eos_token"},
     .begin = "{bos}",
     .tags = {{"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"}, {"[INST] ", "[/INST]"}, {" ", "{eos}"}},
     .generation = "",
     .end_token = "{eos}"},
    {.name = "zephyr",
     .marks = {"'<|user|>", "'<|system|>", "message['content'] + eos_token }}",
               "'<|assistant|>' }}"},
     .strangers = {"bos_token", "not loop.last"},
     .tags = TAGS("<|system|>\n", "<|user|>\n", "<|assistant|>\n", "{eos}\n"),
     .end_token = "{eos}"},
    {.name = "tulu",
     .alias = "olmo-2",
     .marks = {"'<|user|>", "'<|system|>", "message['content'] + eos_token + '",
               "{% if not loop.last %}"},
     .begin = "{bos}",
     .tags = {{"<|system|>\n", "\n"}, {"<|user|>\n", "\n"}, {"<|assistant|>\n", "{eos}\n"}},
     .last_close = "{eos}",
     .end_token = "{eos}"},
    {.name = "gemma",
     .alias = "gemma-2",
     .marks = {"'<start_of_turn>' + role", "System role not supported", "| trim"},
     .system = SYSTEM_NONE,
     .tags = {{0}, GEMMA_USER, GEMMA_MODEL},
     GEMMA},
    {.name = "gemma-3",
     .marks = {"'<start_of_turn>' + role", "first_user_prefix", "| trim"},
     .system = SYSTEM_FIRST,
     .tags = {{"", "\n\n"}, GEMMA_USER, GEMMA_MODEL},
     GEMMA},
    /* The first one had no system turn, and opened the answer whether asked to or not. */
    {.name = "phi-3",
     .marks = {"(message['role'] == 'user')", "{{message['content'] + '<|end|>'",
               "'<|assistant|>' + '"},
     .system = SYSTEM_NONE,
     .begin = "{bos}",
     .tags = {{0}, {"<|user|>\n", "<|end|>\n<|assistant|>\n"}, {"", "<|end|>\n"}},
     .generation = "",
     .end_token = "<|end|>"},
    {.name = "phi-3.5",
     .marks = {"message['role'] == 'system' and message['content']", "<|end|>",
               "{% else %}{{ eos_token }}"},
     .rules = SKIP_EMPTY,
     .end = "{eos}",
     .tags = TAGS("<|system|>\n", "<|user|>\n", "<|assistant|>\n", "<|end|>\n"),
     .end_token = "<|end|>"},
    {.name = "phi-4",
     .marks = {"<|im_sep|>", "'<|im_start|>assistant<|im_sep|>' + message['content']",
               "add_generation_prompt"},
     .tags = TAGS("<|im_start|>system<|im_sep|>", "<|im_start|>user<|im_sep|>",
                  "<|im_start|>assistant<|im_sep|>", "<|im_end|>"),
     .end_token = "<|im_end|>"},
    /* The tags that OpenUnlearning uses for base models; no template says so, it is asked for. */
    {.name = "plain",
     .system = SYSTEM_NONE,
     .tags = {{0}, {"Question: ", "\n"}, {"Answer: ", "\n\n"}}},
};

enum { N_FAMILIES = sizeof families / sizeof *families };

static bool has_all(const char *jinja, const char *const marks[4])
{
    for (int i = 0; i < 4; i++)
        if (marks[i] && !strstr(jinja, marks[i]))
            return false;
    return marks[0] != NULL;
}

static bool has_any(const char *jinja, const char *const marks[4])
{
    for (int i = 0; i < 4; i++)
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
    return unknown("the checkpoint's chat template is of no known family, name one by --template "
                   "or give tags by --user-tag and --assistant-tag",
                   e);
}

/* Whether `name` is one of the words of `list`. */
static bool is_among(const char *name, const char *list)
{
    size_t n = strlen(name);
    for (const char *s = list; n && s && (s = strstr(s, name)); s += n)
        if ((s == list || s[-1] == ' ') && (s[n] == ' ' || !s[n]))
            return true;
    return false;
}

const struct chat_family *chat_by_name(const char *name, struct err *e)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (!strcmp(families[i].name, name) || is_among(name, families[i].alias))
            return &families[i];
    char what[128];
    snprintf(what, sizeof what, "chat template '%.64s' is not known", name);
    return unknown(what, e);
}

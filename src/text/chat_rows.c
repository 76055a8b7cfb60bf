/* Built-in chat templates, for checkpoints that have none: Jinja that renders what the
 * public templates of these models render. They run as a checkpoint's own do, after `prelude`. The
 * user's tags arrive as the variables system_tag, system_end, user_tag ... and stand in `tag` and
 * `end` by role.
 */
#include <string.h>

#include "text/chat.h"

const char chat_prelude[] =
    "{%- set tag = {'system': system_tag, 'user': user_tag, 'assistant': assistant_tag} -%}"
    "{%- set end = {'system': system_end, 'user': user_end, 'assistant': assistant_end} -%}"
    "{%- set bos = bos_token | default('') -%}"
    "{%- set date = date_string | default('26 Jul 2024') -%}"
    "{%- set first = messages[0] if messages else {} -%}"
    "{%- set system = first.content if first.role == 'system' else none -%}"
    "{%- set rest = messages if system is none else messages[1:] -%}"
    "{%- macro eos() -%}"
    "{{ eos_token if eos_token is defined else raise_exception("
    "'it needs an end-of-text token, and the tokenizer names none') }}"
    "{%- endmacro -%}"
    "{%- macro no_turn(m) -%}"
    "{{ raise_exception(\"there is no turn for the role '\" ~ m.role ~ \"'\") }}"
    "{%- endmacro -%}"
    "{%- macro check(m, i) -%}"
    "{%- if m.role not in ['user', 'assistant'] -%}{{ no_turn(m) }}"
    "{%- elif (m.role == 'user') != (i % 2 == 0) -%}"
    "{{ raise_exception('turn ' ~ (i + 1) ~ ' is for the ' ~ m.role ~ "
    "', but user and assistant must take turns, the user first') }}"
    "{%- endif -%}{%- endmacro -%}";

/* Turns that differ in their role's name only. */
#define TURNS(before, content, after)                                                              \
    "{% for m in messages %}{{ tag[m.role] | default(" before ") }}{{ " content                    \
    " }}{{ end[m.role] | default(" after ") }}{% endfor %}"
#define OPEN(before)                                                                               \
    "{% if add_generation_prompt %}{{ tag.assistant | default(" before ") }}{% endif %}"
#define IM_OPEN  "'<|im_start|>' ~ m.role ~ '\\n'"
#define IM_CLOSE "'<|im_end|>\\n'"
#define CHATML   TURNS(IM_OPEN, "m.content", IM_CLOSE) OPEN("'<|im_start|>assistant\\n'")
#define DEFAULT(text)                                                                              \
    "{% if messages and system is none %}{{ tag.system | default('<|im_start|>system\\n') }}" text \
    "{{ end.system | default(" IM_CLOSE ") }}{% endif %}"
#define THINK                                                                                      \
    "{% set ns = namespace(asked=messages | length) %}"                                            \
    "{% for m in messages if m.role == 'user' %}{% set ns.asked = -1 %}{% endfor %}"               \
    "{% if ns.asked < 0 %}{% for m in messages %}{% if m.role == 'user' %}"                        \
    "{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}{% endif %}"                           \
    "{% for m in messages %}{{ tag[m.role] | default(" IM_OPEN ") }}"                              \
    "{% set parts = m.content.split('</think>') if m.role == 'assistant' else [m.content] %}"      \
    "{% set answer = parts[-1].lstrip('\\n') if parts | length > 1 else parts[0] %}"               \
    "{% set thoughts = parts[0].split('<think>')[-1].strip('\\n') if parts | length > 1 else '' "  \
    "%}"                                                                                           \
    "{% if m.role == 'assistant' and loop.index0 > ns.asked and (loop.last or thoughts) %}"        \
    "{{ '<think>\\n' ~ thoughts ~ '\\n</think>\\n\\n' ~ answer.lstrip('\\n') }}"                   \
    "{% else %}{{ answer }}{% endif %}{{ end[m.role] | default(" IM_CLOSE ") }}{% endfor %}"
#define HEADER3 "'<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\\n\\n'"
#define OPEN3   OPEN("'<|start_header_id|>assistant<|end_header_id|>\\n\\n'")
/* Turns of user and assistant in turn; `asked` is what the user's holds. */
#define PAIRS(asked, user, user_end, assistant, answer, assistant_end)                             \
    "{% for m in rest %}{{ check(m, loop.index0) }}{% if m.role == 'user' %}"                      \
    "{{ tag.user | default(" user ") }}{{ " asked " }}{{ end.user | default(" user_end ") }}"      \
    "{% else %}{{ tag.assistant | default(" assistant ") }}{{ " answer                             \
    " }}{{ end.assistant | default(" assistant_end ") }}{% endif %}{% endfor %}"
/* A system text in front of the user's, where `where` holds. */
#define FOLDED(where, before, after, content)                                                      \
    "(tag.system | default(" before ") ~ system ~ end.system | default(" after ") ~ " content      \
    ") if system is not none and " where " else " content
#define NO_SYSTEM "{% if system is not none %}{{ no_turn(first) }}{% endif %}"
#define GEMMA(asked)                                                                               \
    "{{ bos }}" PAIRS(asked, "'<start_of_turn>user\\n'", "'<end_of_turn>\\n'",                     \
                      "'<start_of_turn>model\\n'", "m.content | trim", "'<end_of_turn>\\n'")       \
        OPEN("'<start_of_turn>model\\n'")
#define ANGLE "'<|' ~ m.role ~ '|>\\n'"
/* One role after another by tags alone. */
#define TAGGED(user, user_end, assistant, assistant_end)                                           \
    "{% for m in messages %}{% if m.role == 'user' %}{{ tag.user | default(" user                  \
    ") ~ m.content ~ end.user | default(" user_end ") }}{% elif m.role == 'assistant' %}"          \
    "{{ tag.assistant | default(" assistant                                                        \
    ") ~ m.content ~ end.assistant | default(" assistant_end                                       \
    ") }}{% elif m.role == 'system' and tag.system is defined %}"                                  \
    "{{ tag.system ~ m.content ~ end.system }}{% else %}{{ no_turn(m) }}{% endif %}{% endfor %}"

static const struct chat_row rows[] = {
    {"smollm2", NULL,
     DEFAULT("You are a helpful AI assistant named SmolLM, trained by Hugging Face") CHATML,
     "<|im_end|>"},
    {"chatml", NULL, CHATML, "<|im_end|>"},
    {"qwen1.5", NULL, DEFAULT("You are a helpful assistant") CHATML, "<|im_end|>"},
    {"qwen2", NULL, DEFAULT("You are a helpful assistant.") CHATML, "<|im_end|>"},
    {"qwen2.5", NULL,
     DEFAULT("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.") CHATML,
     "<|im_end|>"},
    {"qwen3", NULL, THINK OPEN("'<|im_start|>assistant\\n'"), "<|im_end|>"},
    /* The same with thinking turned off: the empty thoughts belong to the prompt. */
    {"qwen3-nothink", NULL, THINK OPEN("'<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n'"),
     "<|im_end|>"},
    {"llama-2", NULL,
     PAIRS("(" FOLDED("loop.first", "'<<SYS>>\\n'", "'\\n<</SYS>>\\n\\n'", "m.content") ") | trim",
           "bos ~ '[INST] '", "' [/INST]'", "' '", "m.content | trim", "' ' ~ eos()") OPEN("''"),
     "{eos}"},
    {"llama-3", NULL, "{{ bos }}" TURNS(HEADER3, "m.content | trim", "'<|eot_id|>'") OPEN3,
     "<|eot_id|>"},
    {"llama-3.1", "llama-3.2 llama-3.3",
     "{{ bos }}{% if messages and system is none %}"
     "{% set messages = [{'role': 'system', 'content': ''}] + messages %}{% endif %}"
     "{% for m in messages %}{{ tag[m.role] | default(" HEADER3 ") }}"
     "{% if loop.first %}{{ 'Cutting Knowledge Date: December 2023\\nToday Date: ' ~ date ~ "
     "'\\n\\n' }}{% endif %}"
     "{{ m.content | trim }}{{ end[m.role] | default('<|eot_id|>') }}{% endfor %}" OPEN3,
     "<|eot_id|>"},
    {"mistral-v0.1", NULL,
     NO_SYSTEM "{{ bos }}" PAIRS("m.content", "'[INST] '", "' [/INST]'", "''", "m.content",
                                 "eos() ~ ' '") OPEN("''"),
     "{eos}"},
    {"mistral-v0.2", NULL,
     NO_SYSTEM "{{ bos }}" PAIRS("m.content", "'[INST] '", "' [/INST]'", "''", "m.content", "eos()")
         OPEN("''"),
     "{eos}"},
    {"mistral-v1", NULL,
     "{{ bos }}" PAIRS(FOLDED("loop.first", "''", "'\\n\\n'", "m.content"), "' [INST] '",
                       "' [/INST]'", "' '", "m.content", "eos()") OPEN("''"),
     "{eos}"},
    {"mistral-v3", NULL,
     "{{ bos }}" PAIRS(FOLDED("loop.last", "''", "'\\n\\n'", "m.content"), "'[INST] '", "'[/INST]'",
                       "' '", "m.content | trim", "eos()") OPEN("''"),
     "{eos}"},
    {"mistral-tekken", NULL,
     "{{ bos }}" PAIRS(FOLDED("loop.last", "''", "'\\n\\n'", "m.content"), "'[INST]'", "'[/INST]'",
                       "''", "m.content", "eos()") OPEN("''"),
     "{eos}"},
    {"mistral-v7", NULL,
     "{{ bos }}{% set tag = {'system': tag.system | default('[SYSTEM_PROMPT] '), "
     "'user': tag.user | default('[INST] '), 'assistant': tag.assistant | default(' ')} %}"
     "{% set end = {'system': end.system | default('[/SYSTEM_PROMPT]'), "
     "'user': end.user | default('[/INST]'), 'assistant': end.assistant | default(eos())} %}"
     "{% for m in messages %}{{ tag[m.role] | default(no_turn(m) if m.role not in tag else '') ~ "
     "m.content ~ end[m.role] }}{% endfor %}"
     "{% if add_generation_prompt %}{{ assistant_tag }}{% endif %}",
     "{eos}"},
    {"zephyr", NULL, TURNS(ANGLE, "m.content", "eos() ~ '\\n'") OPEN("'<|assistant|>\\n'"),
     "{eos}"},
    {"tulu", "olmo-2",
     "{{ bos }}" TURNS(ANGLE, "m.content",
                       "(eos() if m.role == 'assistant' else '') ~ "
                       "('' if m.role == 'assistant' and loop.last else '\\n')")
         OPEN("'<|assistant|>\\n'"),
     "{eos}"},
    {"gemma", "gemma-2", NO_SYSTEM GEMMA("m.content | trim"), "<end_of_turn>"},
    {"gemma-3", NULL, GEMMA(FOLDED("loop.first", "''", "'\\n\\n'", "m.content | trim")),
     "<end_of_turn>"},
    /* The first one had no system turn, and opened the answer whether asked to or not. */
    {"phi-3", NULL,
     "{{ bos }}" TAGGED(
         "'<|user|>\\n'", "'<|end|>\\n<|assistant|>\\n'", "''",
         "'<|end|>\\n'") "{% if add_generation_prompt %}{{ tag.assistant }}{% endif %}",
     "<|end|>"},
    {"phi-3.5", NULL,
     "{% for m in messages if m.role != 'system' or m.content %}{{ tag[m.role] | default(" ANGLE
     ") }}{{ m.content }}{{ end[m.role] | default('<|end|>\\n') }}{% endfor %}"
     "{% if add_generation_prompt %}{{ tag.assistant | default('<|assistant|>\\n') }}"
     "{% elif messages %}{{ eos() }}{% endif %}",
     "<|end|>"},
    {"phi-4", NULL,
     TURNS("'<|im_start|>' ~ m.role ~ '<|im_sep|>'", "m.content", "'<|im_end|>'")
         OPEN("'<|im_start|>assistant<|im_sep|>'"),
     "<|im_end|>"},
    /* The tags that OpenUnlearning uses for base models. */
    {"plain", NULL, TAGGED("'Question: '", "'\\n'", "'Answer: '", "'\\n\\n'") OPEN("'Answer: '"),
     NULL},
    /* The user's own tags; not selectable by this name. */
    {"tags", NULL, TAGGED("''", "''", "''", "''") OPEN("''"), NULL},
};

enum { N_ROWS = sizeof rows / sizeof *rows, N_NAMED = N_ROWS - 1 };

/* Whether `name` is one of the words of `list`. */
static bool is_among(const char *name, const char *list)
{
    size_t n = strlen(name);
    for (const char *s = list; n && s && (s = strstr(s, name)); s += n)
        if ((s == list || s[-1] == ' ') && (s[n] == ' ' || !s[n]))
            return true;
    return false;
}

const struct chat_row *chat_row_tags(void)
{
    return &rows[N_ROWS - 1];
}

const struct chat_row *chat_row_at(int i)
{
    return i < N_NAMED ? &rows[i] : NULL;
}

const struct chat_row *chat_by_name(const char *name, struct err *e)
{
    for (int i = 0; i < N_NAMED; i++)
        if (!strcmp(rows[i].name, name) || is_among(name, rows[i].alias))
            return &rows[i];
    err_set(e, "chat template '%.64s' is not known; known families:", name);
    for (int i = 0; i < N_NAMED; i++) {
        size_t n = strlen(e->msg);
        snprintf(e->msg + n, sizeof e->msg - n, "%s %s", i ? "," : "", rows[i].name);
    }
    return NULL;
}

/* The interpreter of chat templates: programs written by hand and, with a Python that has jinja2,
 * 2,000 made-up ones against jinja2's renderings (tools/jinja_programs.py); marks of what comes
 * from messages; limits, refusals, and running out of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "text/chat.h"
#include "figures.h"

enum { SEED = 20241, PROGRAMS = 2000 };

/* The rendering of a template, owned; NULL: refused, with e set. */
static char *render(const char *template, const struct jinja_input *in, struct err *e)
{
    struct chat_text out = {0};
    struct jinja *j = jinja_compile(template, strlen(template), e);
    char *s = NULL;
    if (j && !jinja_render(j, in, &out, e))
        s = strdup(out.text.data ? out.text.data : "");
    jinja_free(j);
    chat_text_fini(&out);
    return s;
}

static bool agrees(const json_t *row, const json_t *vars)
{
    struct err e = {.msg = ""};
    const char *template = json_string_value(json_object_get(row, "template"));
    const char *want = json_string_value(json_object_get(row, "want"));
    const json_t *own = json_object_get(row, "vars");
    char *got = render(template, &(struct jinja_input){.vars = own ? own : vars}, &e);
    bool same = want && got ? !strcmp(want, got) : !want && !got;
    if (!same)
        note("%s\n#   gave '%s' (%s)\n#   not '%s'", template, got ? got : "an error", e.msg,
             want ? want : "an error");
    free(got);
    return same;
}

/* The first line is {"vars"}, each other one a program. */
static void test_programs(FILE *f, const char *what, int least)
{
    json_t *vars = NULL;
    int good = 0, n = 0;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, f) > 0) {
        json_error_t je;
        json_t *row = json_loads(line, 0, &je);
        if (!vars)
            vars = json_incref(json_object_get(row, "vars"));
        else {
            n++;
            good += agrees(row, vars);
        }
        json_decref(row);
    }
    ok(n >= least && good == n, "%s: %d of %d programs as jinja2", what, good, n);
    json_decref(vars);
    free(line);
}

static void test_written(void)
{
    char *path = test_data("jinja.jsonl");
    FILE *f = path ? fopen(path, "r") : NULL;
    if (ok(f, "test/data/jinja.jsonl"))
        test_programs(f, "written by hand", 140);
    if (f)
        fclose(f);
    free(path);
}

/* Second tier: the programs of a command that needs jinja2. */
static void test_made(const char *what, const char *arguments, int least)
{
    char command[512];
    const char *python = getenv("UNLEARN_PYTHON") ? getenv("UNLEARN_PYTHON") : "python3";
    snprintf(command, sizeof command, "%s -c 'import jinja2' 2>/dev/null", python);
    if (system(command)) {
        skip("%s: %s has no jinja2 (UNLEARN_PYTHON names one that has)", what, python);
        return;
    }
    snprintf(command, sizeof command, "%s tools/jinja_programs.py %s", python, arguments);
    FILE *f = popen(command, "r");
    if (ok(f, "%s", command))
        test_programs(f, what, least);
    if (f)
        pclose(f);
}

static void test_random(void)
{
    char arguments[64];
    snprintf(arguments, sizeof arguments, "random %d %d", SEED, PROGRAMS);
    test_made("made up", arguments, PROGRAMS);
}

static void test_public(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[300], arguments[320];
    snprintf(folder, sizeof folder, "%s%s/unlearn/chat_templates",
             cache  ? cache
             : home ? home
                    : "",
             cache ? "" : "/.cache");
    if (access(folder, R_OK)) {
        skip("public templates: '%s' is not there (tools/jinja_programs.py fetch)", folder);
        return;
    }
    snprintf(arguments, sizeof arguments, "public '%s'", folder);
    test_made("public templates", arguments, 20 * 20);
}

/* The rendering with what comes from messages in brackets. */
static void shows(const char *template, const char *want)
{
    static const struct message m[] = {{"user", " Hi you "}, {"x|>", "b,c"}};
    struct err e = {.msg = ""};
    struct chat_text out = {0};
    struct jinja *j = jinja_compile(template, strlen(template), &e);
    struct buf got = {0};
    size_t at = 0;
    if (j && !jinja_render(j, &(struct jinja_input){.messages = m, .n_messages = 2}, &out, &e))
        for (size_t i = 0; i < out.n; i++) {
            const struct text_span *s = &out.spans[i];
            buf_add(&got, out.text.data + at, s->from - at, &e);
            buf_printf(&got, &e, "[%.*s]", (int)(s->to - s->from), out.text.data + s->from);
            at = s->to;
        }
    if (out.text.len)
        buf_add(&got, out.text.data + at, out.text.len - at, &e);
    ok(got.data && !strcmp(got.data, want), "%s: '%s' %s", template, got.data ? got.data : "",
       e.msg);
    buf_fini(&got);
    jinja_free(j);
    chat_text_fini(&out);
}

static void test_marks(void)
{
    static const char *const cases[][2] = {
        {"<{{ messages[0].content }}>", "<[ Hi you ]>"},
        {"{{ '<' + messages[0].content | trim + '>' }}", "<[Hi you]>"},
        {"{{ messages[0].content.strip() ~ messages[1].content }}", "[Hi youb,c]"},
        {"{{ messages[1].content.split(',') | join('|') }}", "[b]|[c]"},
        {"{{ ('a' + messages[1].content + 'd')[1:-2] }}", "[b,]"},
        {"{{ ('a' + messages[1].content)[::-1] }}", "[c,b]a"},
        {"{{ messages[1].content.replace(',', '<s>') }}", "[b]<s>[c]"},
        {"{{ 'x-y'.replace('-', messages[1].content) }}", "x[b,c]y"},
        {"{{ messages[1].content | upper | tojson }}", "\"[B,C]\""},
        {"{{ (messages[0].content ~ '\"') | tojson }}", "\"[ Hi you ]\\\"\""},
        {"{{ messages[1] }}", "{'role': '[x|>]', 'content': '[b,c]'}"},
        {"{{ messages[0].role }}{{ messages[1].role }}", "user[x|>]"},
        {"{% set t %}a{{ messages[1].content }}{% endset %}{{ t * 2 }}", "a[b,c]a[b,c]"},
        {"{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(messages[1].content) }}", "<[b,c]>"},
        {"{{ '%s:%s' % ('k', messages[1].content) }}", "k:[b,c]"},
        {"{% for c in messages[1].content %}{{ c }}-{% endfor %}", "[b]-[,]-[c]-"},
        {"{{ messages[1].content | indent(2, true) }}", "  [b,c]"},
        {"{{ messages | map(attribute='content') | join }}", "[ Hi you b,c]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        shows(cases[i][0], cases[i][1]);
}

static void test_refusals(void)
{
    static const char *const cases[][2] = {
        {"a\n{% include 'x' %}", "line 2 of the chat template: the statement 'include'"},
        {"{% extends 'x' %}", "'extends' is not supported"},
        {"{% for x in y recursive %}{% endfor %}", "a recursive loop is not supported"},
        {"\n\n{{ 'a' | urlize }}", "line 3 of the chat template: the filter 'urlize'"},
        {"{{ 'a'.encode() }}", "the string method 'encode' is not supported"},
        {"{{ 2 ** 64 }}", "an integer beyond 64 bits"},
        {"{{ f(*[1]) }}", "'*' in front of an argument is not supported"},
        {"{{ x.y }}", "'x' is undefined"},
        {"{{ {}.a.b }}", "'dict object' has no attribute 'a'"},
        {"{% if x %}", "expected 'elif', not 'the end of the template'"},
        {"{{ raise_exception('only ' ~ 2) }}", "refuses the conversation: only 2"},
        {"{{ ''.__class__() }}", "'str object' has no attribute '__class__'"},
        {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
         "it takes more than"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "levels deep"},
        {"{% set ns = namespace(s='0123456789') %}{% for i in range(40) %}"
         "{% set ns.s = ns.s + ns.s %}{% endfor %}",
         "MB of memory"},
        {"{{ '\xff' }}", "not valid UTF-8 at byte 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {.msg = ""};
        char *got = render(cases[i][0], &(struct jinja_input){.n_messages = 0}, &e);
        ok(!got && strstr(e.msg, cases[i][1]), "refused: %s", got ? got : e.msg);
        free(got);
    }
    struct err e = {.msg = ""};
    char deep[4096] = "{{ ";
    memset(deep + 3, '(', 3000);
    ok(!render(deep, &(struct jinja_input){.n_messages = 0}, &e), "%s", e.msg);
    memset(deep + 3, '-', 3000);
    ok(!render(deep, &(struct jinja_input){.n_messages = 0}, &e), "%s", e.msg);
}

static void test_dates(void)
{
    static const char *const dates[][2] = {
        {NULL, "26 Jul 2024 2024-07-26 Friday"},
        {"10 Apr 2025", "10 Apr 2025 2025-04-10 Thursday"},
        {"2025-12-01", "01 Dec 2025 2025-12-01 Monday"},
        {"tomorrow", NULL},
    };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        struct err e = {.msg = ""};
        char *got = render("{{ strftime_now('%d %b %Y %Y-%m-%d %A') }}",
                           &(struct jinja_input){.date = dates[i][0]}, &e);
        ok(dates[i][1] ? got && !strcmp(got, dates[i][1]) : !got && strstr(e.msg, "'tomorrow'"),
           "%s: %s", dates[i][0], got ? got : e.msg);
        free(got);
    }
}

/* Every allocation fails once. */
static void test_memory(void)
{
    static const char template[] =
        "{% macro f(x, y=1) %}{{ x | upper }}{% endmacro %}{% set ns = namespace(a=[]) %}"
        "{% for m in messages %}{% set ns.a = ns.a + [m.content] %}{{ f(m.content) }}"
        "{{ m | tojson }}{{ loop.length }}{% endfor %}{{ ns.a | join('-') }}{{ 'x' * 30000 }}";
    static const struct message m[] = {{"user", "a"}, {"assistant", "b"}};
    struct jinja_input in = {.messages = m, .n_messages = 2};
    struct err e;
    int failed = 0;
    for (long k = 0; k < 200; k++) {
        mem_fail_at(k);
        e = (struct err){.msg = ""};
        char *got = render(template, &in, &e);
        mem_fail_at(-1);
        if (got) {
            free(got);
            ok(failed > 5, "memory ran out at each of %d places, then it did not", failed);
            return;
        }
        failed += *e.msg != 0;
    }
    ok(false, "it never ran (%d failures)", failed);
}

/* A conversation of many turns takes time in proportion. */
static void test_linear(void)
{
    static const char template[] =
        "{% for m in messages %}{% if m.role == 'user' and not loop.last %}{{ '<|' + m.role + '|>' "
        "+ m.content | trim }}{% else %}:{{ m['content'] }}{% endif %}{% endfor %}";
    static struct message m[20000];
    struct err e = {.msg = ""};
    struct chat_text out = {0};
    struct jinja *j = jinja_compile(template, strlen(template), &e);
    for (int i = 0; i < 20000; i++)
        m[i] = (struct message){i % 2 ? "assistant" : "user", " some words of a turn "};
    long steps = 20000 * 40; /* an order of growth more would pass them */
    struct jinja_input in = {.messages = m, .n_messages = 20000, .max_steps = steps};
    ok(j && !jinja_render(j, &in, &out, &e) && out.n == 20000, "20000 turns in %ld steps %s", steps,
       e.msg);
    jinja_free(j);
    chat_text_fini(&out);
}

int main(void)
{
    test_written();
    test_marks();
    test_refusals();
    test_dates();
    test_memory();
    test_linear();
    test_random();
    test_public();
    return done();
}

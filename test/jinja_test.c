/* The interpreter of chat templates: programs written by hand and, with a Python that has jinja2,
 * 2,000 made-up ones against jinja2's renderings (tools/jinja_programs.py); marks of what comes
 * from messages; limits, refusals, and running out of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    struct err e = {""};
    const char *template = json_string_value(json_object_get(row, "template"));
    const char *want = json_string_value(json_object_get(row, "want"));
    char *got = render(template, &(struct jinja_input){.vars = vars}, &e);
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

/* Second tier. */
static void test_random(void)
{
    char command[256];
    const char *python = getenv("UNLEARN_PYTHON") ? getenv("UNLEARN_PYTHON") : "python3";
    snprintf(command, sizeof command, "%s -c 'import jinja2' 2>/dev/null", python);
    if (system(command)) {
        skip("%s has no jinja2, so no programs are made up (UNLEARN_PYTHON names one that has)",
             python);
        return;
    }
    snprintf(command, sizeof command, "%s tools/jinja_programs.py random %d %d", python, SEED,
             PROGRAMS);
    FILE *f = popen(command, "r");
    if (ok(f, "%s", command))
        test_programs(f, "made up", PROGRAMS);
    if (f)
        pclose(f);
}

int main(void)
{
    test_written();
    test_random();
    return done();
}

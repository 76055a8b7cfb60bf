/* The page's last sections: which files were read, and the commands that repeat the runs. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/param.h"
#include "report/page.h"

/* --- files --- */

/* {path: {"sha256", "by": [model]}} of all runs and evaluations; NULL: no memory. */
static json_t *collect_files(const struct report *r)
{
    json_t *all = json_object();
    for (int i = 0; i < r->n && all; i++) {
        json_t *const of[] = {json_object_get(r->v[i].cost, "files"),
                              json_object_get(r->v[i].run, "files"), r->v[i].inputs};
        for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
            const char *path;
            json_t *hash;
            json_object_foreach(of[k], path, hash)
            {
                json_t *line = json_object_get(all, path);
                if (!line &&
                    !json_object_set_new(all, path, json_pack("{s:O, s:[]}", "sha256", hash, "by")))
                    line = json_object_get(all, path);
                json_t *by = json_object_get(line, "by");
                const char *last = json_string_value(json_array_get(by, json_array_size(by) - 1));
                if (!last || strcmp(last, r->v[i].name))
                    json_array_append_new(by, json_string(r->v[i].name));
            }
        }
    }
    return all;
}

static bool has_files(const struct report *r)
{
    json_t *all = collect_files(r);
    const bool any = json_object_size(all) > 0;
    json_decref(all);
    return any;
}

static void write_files(struct page *p)
{
    struct html *h = &p->h;
    json_t *all = collect_files(p->r), *line, *by;
    const char *path;
    size_t i;
    page_open_table(h, "files that were read");
    html_put(
        h, "<thead><tr><th scope=col>file</th><th scope=col class=text>read for</th><th scope=col "
           "class=text>SHA-256</th></tr></thead><tbody>");
    json_object_foreach(all, path, line)
    {
        html_put(h, "<tr><th scope=row class=mono>%w</th><td class=text>", path);
        json_array_foreach(json_object_get(line, "by"), i, by)
            html_put(h, "%s%j", i ? ", " : "", by);
        html_put(h, "</td><td class=\"text mono hash\">%j</td></tr>\n",
                 json_object_get(line, "sha256"));
    }
    html_put(h, "</tbody>");
    page_close_table(h);
    json_decref(all);
}

/* --- commands --- */

/* A word as a shell reads it. */
static int put_word(struct buf *out, const char *word, struct err *e)
{
    if (*word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "_-./=:+,@%") == strlen(word))
        return buf_str(out, word, e);
    int rc = buf_str(out, "'", e);
    for (; *word && !rc; word++)
        rc = *word == '\'' ? buf_str(out, "'\\''", e) : buf_add(out, word, 1, e);
    return rc || buf_str(out, "'", e);
}

static int put_option(struct buf *out, const char *name, const json_t *v, struct err *e)
{
    char flag[PARAM_NAME_MOST + 1];
    if (json_is_null(v) || json_is_false(v) || json_is_object(v) || json_is_array(v) ||
        strlen(name) > PARAM_NAME_MOST - 1)
        return 0;
    int rc = buf_printf(out, e, " %c%c%s", '-', '-', param_flag(name, flag));
    if (rc || json_is_true(v))
        return rc;
    if (json_is_string(v))
        return buf_str(out, " ", e) || put_word(out, json_string_value(v), e);
    return buf_str(out, " ", e) || json_write_buf(v, out, JSON_COMPACT | JSON_ENCODE_ANY, e);
}

/* "unlearn COMMAND --option value ..." of a record; nothing without options. */
static void put_command(struct html *h, const char *command, const json_t *options)
{
    struct buf text = {0};
    const char *name;
    json_t *v;
    if (!command || !json_is_object(options))
        return;
    h->failed = h->failed || buf_printf(&text, h->e, "unlearn %s", command);
    json_object_foreach((json_t *)options, name, v) h->failed =
        h->failed || put_option(&text, name, v, h->e);
    if (!h->failed)
        html_put(h, "<pre>%t</pre>", text.data);
    buf_fini(&text);
}

static bool has_commands(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->v[i].run || r->v[i].evals || r->v[i].ids || r->v[i].card)
            return true;
    return false;
}

static void write_commands(struct page *p)
{
    struct html *h = &p->h;
    for (int i = 0; i < p->r->n; i++) {
        const struct report_model *m = &p->r->v[i];
        size_t k;
        json_t *v;
        if (!m->run && !m->evals && !m->ids && !m->card)
            continue;
        html_put(h, "<details><summary>%t</summary>", m->name);
        json_array_foreach(m->ids, k, v)
            html_put(h, "<p>Run %j of the ledger: <code>unlearn rerun %j</code></p>", v, v);
        put_command(h, json_string_value(json_object_get(m->run, "command")),
                    json_object_get(m->run, "options"));
        json_array_foreach(m->evals, k, v) put_command(h, "eval", v);
        html_put(h, "</details>\n");
    }
}

const struct page_section page_sources[] = {
    {"data", "Data that were used", "Every file that a run or an evaluation read, by its hash.",
     has_files, write_files},
    {"rerun", "How to run it again",
     "The commands with every option, defaults included, in the directory where they ran.",
     has_commands, write_commands},
    {0}};

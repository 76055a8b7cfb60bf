#include "suites/metrics.h"

#include <stdio.h>
#include <string.h>

#include "eval/texts.h"

static const struct {
    const char *key, *text;
} kinds[WARN_COUNT] = {
    [WARN_MISSING] = {"missing", "rows have no value and are left out"},
    [WARN_MISSING_RETRAINED] = {"missing_retrained",
                                "rows of the retrained model's log have no value and are left out"},
    [WARN_UNSCORED] = {"unscored", "rows have no token to score"},
    [WARN_CUT] = {"cut", "rows are truncated to the maximum length"},
    [WARN_EMPTY] = {"empty", "generated answers are empty"},
    [WARN_GARBLED] = {"garbled", "generated answers are not valid UTF-8"},
    [WARN_UNSEEN] = {
        "unseen", "rows have mostly letters that this metric ignores: its words are a-z and 0-9"}};

static int n_named(const struct warnings *w, enum warning kind)
{
    return w->kind[kind].count < WARNINGS_NAMED ? w->kind[kind].count : WARNINGS_NAMED;
}

void warnings_add(struct warnings *w, enum warning kind, int of, const char *side, const char *row)
{
    if (w->kind[kind].count < WARNINGS_NAMED)
        snprintf(w->kind[kind].row[w->kind[kind].count], WARNINGS_NAME, "%s%s", side, row);
    w->kind[kind].count++;
    w->kind[kind].of = of;
}

int warnings_write(const struct warnings *w, enum warning kind, struct buf *out, struct err *e)
{
    int count = w->kind[kind].count, rc;
    if (!count)
        return 0;
    rc = buf_printf(out, e, "%d of %d %s (", count, w->kind[kind].of, kinds[kind].text);
    for (int i = 0; !rc && i < n_named(w, kind); i++)
        rc = buf_printf(out, e, "%s%s", i ? ", " : "", w->kind[kind].row[i]);
    return rc || buf_printf(out, e, "%s)", count > WARNINGS_NAMED ? " ..." : "");
}

int warnings_to_json(const struct warnings *w, json_t *line, struct err *e)
{
    json_t *all = json_object();
    int rc = 0;
    for (int k = 0; k < WARN_COUNT; k++) {
        json_t *rows = w->kind[k].count ? json_array() : NULL;
        for (int i = 0; rows && i < n_named(w, (enum warning)k); i++)
            rc |= json_array_append_new(rows, json_string(w->kind[k].row[i]));
        if (w->kind[k].count)
            rc |= json_object_set_new(all, kinds[k].key,
                                      json_pack("{s:i, s:i, s:o}", "count", w->kind[k].count, "of",
                                                w->kind[k].of, "rows", rows));
    }
    if (json_object_size(all))
        rc |= json_object_set(line, "odd", all);
    json_decref(all);
    return rc ? err_no_memory(e, "row warnings") : 0;
}

static bool is_garbled(const char *text, size_t n)
{
    return memmem(text, n, "\xEF\xBF\xBD", 3) != NULL; /* U+FFFD replaces invalid UTF-8 */
}

/* The warnings of answer i, as bits. */
static unsigned warnings_of(const struct observed *x, const struct metric_kind *k, int i)
{
    const char *answer = k->needs & NEED_ANSWERS ? x->answers[i].answer : NULL;
    unsigned bits = 0;
    if (answer && !*answer)
        bits |= 1u << WARN_EMPTY;
    if (answer && is_garbled(answer, strlen(answer)))
        bits |= 1u << WARN_GARBLED;
    if (answer && k->flags & METRIC_LATIN && k->score && words_are_unseen(answer, strlen(answer)))
        bits |= 1u << WARN_UNSEEN;
    if (dataset_is_unscored(&x->d, i))
        bits |= 1u << WARN_UNSCORED;
    if (x->d.left_out[i])
        bits |= 1u << WARN_CUT;
    return bits;
}

static int count_rows(const struct observed *x)
{
    int n = 0;
    for (int i = 0; x && i < x->d.n; i += observed_answers(x, i))
        n++;
    return n;
}

/* Warns of observed rows, once per row over all its answers, among `of` rows. */
static void warn_observed(const struct observed *x, const struct metric_kind *k, int of,
                          const char *side, struct warnings *w)
{
    for (int i = 0, n; x && i < x->d.n; i += n) {
        unsigned bits = 0;
        char row[16];
        n = observed_answers(x, i);
        for (int a = 0; a < n; a++)
            bits |= warnings_of(x, k, i + a);
        snprintf(row, sizeof row, "%d", x->d.rows[i]);
        for (int b = 0; b < WARN_COUNT; b++)
            if (bits & 1u << b)
                warnings_add(w, (enum warning)b, of, side, row);
    }
}

/* The same for rows of a log that have texts. */
static void warn_logged(const struct records *r, struct warnings *w)
{
    for (int i = 0; i < r->n; i++) {
        const struct record_text *text = &records_cell(r, i)->text[TEXT_ANSWER];
        if (text->s && !text->n)
            warnings_add(w, WARN_EMPTY, r->n, "", r->v[i].name);
        if (text->s && is_garbled(text->s, text->n))
            warnings_add(w, WARN_GARBLED, r->n, "", r->v[i].name);
    }
}

/* Warns of rows whose reference answers have mostly words that ROUGE ignores. */
static void warn_unseen(const struct records *rows, struct warnings *w)
{
    for (int i = 0; i < rows->n; i++) {
        const struct record_text *truth = &records_cell(rows, i)->text[TEXT_TRUTH];
        if (truth->s && words_are_unseen(truth->s, truth->n))
            warnings_add(w, WARN_UNSEEN, rows->n, "", rows->v[i].name);
    }
}

/* If there are such rows, notes ROUGE over words of all scripts. */
static int note_unicode(struct result *r, struct err *e)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; r->warnings.kind[WARN_UNSEEN].count && i < r->side[0].n; i++) {
        struct rouge got;
        int rc = metric_rouge(&r->side[0], i, ROUGE_UNICODE, &got, e);
        if (rc < 0)
            return -1;
        sum += rc ? 0 : got.recall_l;
        n += !rc;
    }
    if (n && !*r->note)
        snprintf(r->note, sizeof r->note,
                 "ROUGE-L recall of words of all scripts (kind rouge_unicode) is %.6g over %d rows",
                 sum / n, n);
    return 0;
}

int result_warn(struct result *r, const struct suite *s, const struct metric *m, struct err *e)
{
    const struct metric_kind *k = m->kind;
    const struct observed *x = k->needs ? suite_observed(s, m, m->set) : NULL;
    const struct observed *y =
        x && k->flags & METRIC_ATTACK ? suite_observed(s, m, m->against) : NULL;
    int of = count_rows(x) + count_rows(y);
    if (!x)
        warn_logged(&r->side[0], &r->warnings);
    warn_observed(x, k, of, "", &r->warnings);
    warn_observed(y, k, of, "holdout ", &r->warnings);
    if (!(k->flags & METRIC_LATIN) || !k->cell)
        return 0;
    warn_unseen(&r->side[0], &r->warnings);
    return note_unicode(r, e);
}

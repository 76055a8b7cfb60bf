#include "data/check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

/* A text in lower case, each run of white space one space, none at its ends. */
static uint64_t hash_folded(uint64_t h, const char *s)
{
    bool gap = false, any = false;
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (isspace(c)) {
            gap = any;
            continue;
        }
        h = gap ? hash_word(h, ' ') : h;
        h = hash_word(h, (uint64_t)tolower(c));
        gap = false;
        any = true;
    }
    return hash_word(h, 0);
}

static int hash_value(uint64_t *h, const json_t *v, struct err *e)
{
    const char *text = json_string_value(v);
    char *dump = text ? NULL : json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (!text && !dump)
        return err_no_memory(e, "rows");
    *h = hash_folded(*h, text ? text : dump);
    free(dump);
    return 0;
}

/* Of the fields that a row has of these; *any: there are some. */
static int key_of(const json_t *row, const char *question_key, const char *answer_key, uint64_t *h,
                  bool *any, struct err *e)
{
    const char *const names[] = {question_key, answer_key, "text", "ids"};
    *h = HASH_START;
    *any = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = json_object_get(row, names[i]);
        if (!v || (i == 2 && *any))
            continue;
        if (hash_value(h, v, e))
            return -1;
        *any = true;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int row_keys_make(struct row_keys *k, const struct rows *r, const char *question_key,
                  const char *answer_key, struct err *e)
{
    *k = (struct row_keys){0};
    if (!(k->v = mem_alloc((size_t)r->n, sizeof *k->v, e)))
        return -1;
    for (int i = 0; i < r->n; i++) {
        bool any;
        if (key_of(r->v[i], question_key, answer_key, &k->v[k->n], &any, e)) {
            row_keys_fini(k);
            return -1;
        }
        k->n += any;
    }
    if (k->n)
        qsort(k->v, (size_t)k->n, sizeof *k->v, compare);
    return 0;
}

void row_keys_fini(struct row_keys *k)
{
    free(k->v);
    *k = (struct row_keys){0};
}

int check_overlap(const struct row_keys *k, const struct rows *r, const char *what,
                  const char *question_key, const char *answer_key, struct err *e)
{
    int n = 0, first = 0;
    for (int i = 0; i < r->n && k->n; i++) {
        uint64_t h;
        bool any;
        if (key_of(r->v[i], question_key, answer_key, &h, &any, e))
            return -1;
        if (any && bsearch(&h, k->v, (size_t)k->n, sizeof h, compare) && !n++)
            first = i;
    }
    if (n)
        log_warn("%d of %d %s rows are among the forget rows, too; the first: '%s' line %d", n,
                 r->n, what, r->files[r->at[first].file], r->at[first].line);
    return 0;
}

static bool is_blank(const json_t *v)
{
    const char *text = json_string_value(v);
    return text && !text[strspn(text, " \t\r\n\v\f")];
}

void check_answers(const struct rows *r, const char *answer_key)
{
    int n = 0, first = 0;
    for (int i = 0; i < r->n && answer_key; i++)
        if (is_blank(json_object_get(r->v[i], answer_key)) && !n++)
            first = i;
    if (n)
        log_warn("%d of %d rows have an empty '%s'; the first: '%s' line %d", n, r->n, answer_key,
                 r->files[r->at[first].file], r->at[first].line);
}

/* Whether the name of a file, without its directories, has the word of this role and not that of
 * the other. */
static bool is_named(const char *spec, enum role role, enum role other)
{
    const char *base = strrchr(spec, '/');
    base = base ? base + 1 : spec;
    return strcasestr(base, role_name[role]) && !strcasestr(base, role_name[other]);
}

void check_names(const char *forget, const char *other, enum role role)
{
    if (!forget || !other)
        return;
    const bool one = is_named(forget, role, ROLE_FORGET), two = is_named(other, ROLE_FORGET, role);
    if (one && two)
        log_warn("the forget data are '%s', the %s data '%s': are they swapped?", forget,
                 role_name[role], other);
    else if (two)
        log_warn("the %s data are '%s': is that what is to be forgotten?", role_name[role], other);
    else if (one && role == ROLE_RETAIN)
        log_warn("the forget data are '%s': is that what is to be kept?", forget);
}

/* A verdict in words, and as JSON. */
#include <math.h>

#include "report/table.h"
#include "report/verdict.h"

static const char *const headlines[][RULING_YES + 1] = {
    {"not known whether it is forgotten", "not forgotten", "partly forgotten", "forgotten"},
    {"not known whether the rest is kept", "the rest is not kept", "the rest is partly kept",
     "the rest is kept"},
    {NULL, "unlike the retrained model", NULL, "like the retrained model"},
    {NULL, "not broken", NULL, NULL}};

int verdict_write_line(const struct verdict *v, struct buf *out, struct err *e)
{
    const enum ruling rulings[] = {v->forgotten, v->kept, v->like, v->broken};
    const bool broken = v->broken == RULING_YES;
    int n = broken, rc = broken ? buf_str(out, "BROKEN", e) : 0;
    for (size_t i = 0; i < sizeof rulings / sizeof *rulings && !rc; i++)
        if (headlines[i][rulings[i]])
            rc = buf_printf(out, e, "%s%s%s", n++ ? ", " : "", headlines[i][rulings[i]],
                            i != 2              ? ""
                            : broken            ? " (does not count)"
                            : v->over_forgotten ? " (over-forgotten)"
                                                : "");
    return rc;
}

/* "0.945, at most 0.595" of all figures that belong to a question. */
static int write_figures(const struct verdict *v, enum role role, enum aspect aspect,
                         struct buf *text, struct err *e)
{
    int rc = 0, n = 0;
    for (int i = 0; i < v->n && !rc; i++) {
        const struct verdict_figure *f = &v->figures[i];
        char value[DIGITS_MOST], bound[DIGITS_MOST];
        if (f->sense.role != role || (role == ROLE_FORGET && f->sense.aspect != aspect))
            continue;
        digits_of(f->value, value);
        digits_of(f->bound, bound);
        rc = buf_printf(text, e, "%s%s %s", n++ ? ", " : " (", f->metric, value);
        if (!rc && f->ruling != RULING_UNKNOWN)
            rc = buf_printf(text, e, " %s %s",
                            f->value < f->bound   ? "<"
                            : f->value > f->bound ? ">"
                                                  : "=",
                            bound);
    }
    return rc || !n ? rc : buf_str(text, ")", e);
}

static int write_forgotten(const struct verdict *v, const struct verdict_limits *l,
                           struct buf *text, struct err *e)
{
    int rc = buf_printf(text, e, "%s", ruling_name[v->forgotten]), n = 0;
    for (enum aspect a = ASPECT_TEXT; a <= ASPECT_TOKENS && !rc; a++)
        if (v->forgotten_by[a])
            rc = buf_printf(text, e, "%s by %s %s", n++ ? ";" : ":", aspect_name[a],
                            ruling_name[v->forgotten_by[a]]) ||
                 write_figures(v, ROLE_FORGET, a, text, e);
    if (rc || !n)
        return rc;
    return v->has_retrained
               ? buf_printf(text, e, "; at most the retrained model's + %g", l->forgotten_margin)
               : buf_str(text, "; at most fixed thresholds, as no retrained model is given", e);
}

static bool has_kept(const struct verdict *v)
{
    for (int i = 0; i < v->n; i++)
        if (v->figures[i].sense.role != ROLE_FORGET)
            return true;
    return false;
}

static int write_kept(const struct verdict *v, const struct verdict_limits *l, struct buf *text,
                      struct err *e)
{
    static const enum role roles[] = {ROLE_RETAIN, ROLE_NEIGHBOUR, ROLE_GENERIC};
    static const char *const names[] = {"retain", "neighbour", "general"};
    int rc = buf_printf(text, e, "%s", ruling_name[v->kept]), n = 0;
    for (size_t i = 0; i < sizeof roles / sizeof *roles && !rc; i++)
        if (v->kept_of[roles[i]])
            rc = buf_printf(text, e, "%s %s %s", n++ ? ";" : ":", names[i],
                            ruling_name[v->kept_of[roles[i]]]) ||
                 write_figures(v, roles[i], ASPECT_NONE, text, e);
    if (rc)
        return rc;
    if (!n)
        return buf_printf(text, e, ": %s",
                          has_kept(v) ? "its figures have no measure: no log of the model before "
                                        "unlearning, nor of the retrained one, is given"
                                      : "no figures of retain, neighbour or general data");
    return buf_printf(text, e, "; at least %g of the figure %s", 1 - l->kept_loss,
                      v->has_before ? "before unlearning" : "of the retrained model");
}

static int write_like(const struct verdict *v, const struct verdict_limits *l, struct buf *text,
                      struct err *e)
{
    int rc = buf_printf(text, e, "%s", ruling_name[v->like]);
    if (rc || isnan(v->p))
        return rc || buf_str(text, ": it is not given", e);
    rc = buf_printf(text, e, ": KS p %.3g %s %g", v->p,
                    v->p < l->like_p   ? "<"
                    : v->p > l->like_p ? ">"
                                       : "=",
                    l->like_p);
    if (!rc && !isnan(v->p_least))
        rc = buf_printf(text, e, ", smallest possible for %d and %d rows %.3g", v->rows,
                        v->retrained_rows, v->p_least);
    if (!rc && v->p_least > l->like_p)
        rc = buf_str(text, ": too few rows to tell", e);
    if (!rc && v->broken == RULING_YES)
        rc = buf_str(text, "; of a broken model, this p does not count", e);
    if (rc || !v->over)
        return rc;
    char own[DIGITS_MOST], other[DIGITS_MOST];
    return buf_printf(text, e, "; over-forgotten: %s %s is below the retrained model's %s",
                      v->over->metric, digits_of(v->over->value, own),
                      digits_of(v->over->retrained, other));
}

static int write_broken(const struct verdict *v, const struct verdict_limits *l, struct buf *text,
                        struct err *e)
{
    const struct verdict_texts *t = v->rest.n ? &v->rest : &v->forget;
    const char *join = ":";
    int rc = buf_printf(text, e, "%s", ruling_name[v->broken]);
    if (!rc && t->n) {
        rc = buf_printf(
            text, e,
            ": %srepetition %.3g (at most %g), %s %.3g (at most %g) of %d answers to %s prompts",
            v->repeats ? "it repeats itself, " : "", t->repetition, l->broken_repetition,
            v->not_text ? "answers are no text," : "no text", t->not_text, l->broken_text, t->n,
            v->rest.n ? "other" : "forget");
        join = ",";
    }
    if (!rc && v->no_utility)
        rc = buf_printf(text, e, "%s utility is not a number", join);
    else if (!rc && !isnan(v->utility))
        rc = buf_printf(text, e, "%s utility %.3g (at least %g)", join, v->utility,
                        l->broken_utility);
    return rc;
}

int verdict_write_limits(const struct verdict_limits *l, struct buf *text, struct err *e)
{
    int rc = 0;
    for (const struct param *p = verdict_params; p->name && !rc; p++) {
        char flag[PARAM_NAME_MOST + 1];
        rc = buf_printf(text, e, "%s%s=%g", p == verdict_params ? "" : ", ",
                        param_flag(p->name, flag), *(const double *)((const char *)l + p->offset));
    }
    return rc;
}

/* One question: its name, then what is filled into `text`, wrapped. */
static int put_line(struct buf *out, const char *name, const struct buf *text, int width,
                    struct err *e)
{
    enum { INDENT = 16 };
    return buf_printf(out, e, "  %-*s", INDENT - 2, name) ||
           buf_wrap(out, text->data, INDENT, width, e) || buf_str(out, "\n", e);
}

int verdict_write(const struct verdict *v, const struct verdict_limits *l, int width,
                  struct buf *out, struct err *e)
{
    static const struct {
        const char *name;
        int (*write)(const struct verdict *v, const struct verdict_limits *l, struct buf *text,
                     struct err *e);
    } lines[] = {{"forgotten", write_forgotten},
                 {"kept", write_kept},
                 {"as retrained", write_like},
                 {"broken", write_broken}};
    struct buf text = {0};
    int rc = buf_str(&text, "verdict: ", e) || verdict_write_line(v, &text, e) ||
             buf_wrap(out, text.data, 2, width, e) || buf_str(out, "\n", e);
    for (size_t i = 0; i < sizeof lines / sizeof *lines && !rc; i++) {
        buf_clear(&text);
        rc = lines[i].write(v, l, &text, e) || put_line(out, lines[i].name, &text, width, e);
    }
    buf_clear(&text);
    rc = rc || verdict_write_limits(l, &text, e) || put_line(out, "thresholds", &text, width, e);
    buf_fini(&text);
    return rc ? -1 : 0;
}

static json_t *figures_json(const struct verdict *v)
{
    json_t *all = json_object();
    for (int i = 0; i < v->n; i++) {
        const struct verdict_figure *f = &v->figures[i];
        json_object_set_new(all, f->metric,
                            json_pack("{s:o, s:o, s:o, s:o, s:s}", "value", peer_number(f->value),
                                      "retrained", peer_number(f->retrained), "before",
                                      peer_number(f->before), "bound", peer_number(f->bound),
                                      "ruling", ruling_name[f->ruling]));
    }
    return all;
}

static json_t *rulings_json(const enum ruling *rulings, const char *const *names, int n)
{
    json_t *all = json_object();
    for (int i = 0; i < n; i++)
        if (names[i] && rulings[i])
            json_object_set_new(all, names[i], json_string(ruling_name[rulings[i]]));
    return all;
}

json_t *verdict_json(const struct verdict *v, const struct verdict_limits *l, struct err *e)
{
    json_t *limits = json_object();
    for (const struct param *p = verdict_params; p->name; p++)
        json_object_set_new(limits, p->name, param_get_json(p, l));
    const struct verdict_texts *t = v->rest.n ? &v->rest : &v->forget;
    json_t *out = json_pack(
        "{s:s, s:o, s:s, s:o, s:s, s:b, s:o, s:o, s:s, s:b, s:b, s:b, s:o, s:o, s:i, s:o, s:o, "
        "s:o}",
        "forgotten", ruling_name[v->forgotten], "forgotten_by",
        rulings_json(v->forgotten_by, aspect_name, ASPECT_COUNT), "kept", ruling_name[v->kept],
        "kept_of", rulings_json(v->kept_of, role_name, ROLE_COUNT), "as_retrained",
        ruling_name[v->like], "over_forgotten", v->over_forgotten, "p", peer_number(v->p),
        "p_least", peer_number(v->p_least), "broken", ruling_name[v->broken], "repeats", v->repeats,
        "not_text", v->not_text, "useless", v->useless, "repetition",
        peer_number(t->n ? t->repetition : NAN), "share_not_text",
        peer_number(t->n ? t->not_text : NAN), "answers", t->n, "utility", peer_number(v->utility),
        "figures", figures_json(v), "thresholds", limits);
    if (!out)
        err_no_memory(e, "verdict");
    return out;
}

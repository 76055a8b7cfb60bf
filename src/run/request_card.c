/* The card of a request: what was asked, what was done, and what holds. */
#include <math.h>
#include <string.h>

#include "run/request_work.h"

/* Whether every bound holds: "held" of the card. */
static bool all_true(const json_t *bounds)
{
    bool all = true;
    for (size_t i = 0; i < json_array_size(bounds); i++)
        all &= json_is_true(json_object_get(json_array_get(bounds, i), "held"));
    return all;
}

/* Figures that generic text took part in: of the unlearned model all, of the others those on the
 * retain set and what is computed from it. */
static void mark(json_t *values, bool all)
{
    const char *name;
    json_t *figure;
    json_object_foreach(values, name, figure)
    {
        const char *role = json_string_value(json_object_get(figure, "role"));
        if (all || !role || !strcmp(role, "retain"))
            json_object_set_new(figure, "generic", json_true());
    }
}

/* {suite: {model: directory}}, and "generic": the file. */
static json_t *suites_of(const struct request_work *w, int best)
{
    json_t *all = json_object();
    const struct request *q = w->q;
    for (int i = 0; i < q->suites.n; i++) {
        char name[REQUEST_NAME];
        const char *as = q->suites.v[i].as;
        json_t *one = json_object();
        for (enum whose m = WHOSE_TARGET; m < WHOSE_COUNT; m++) {
            if (request_is_attacks(w, i) || (m == WHOSE_RETRAINED && !q->retrained))
                continue;
            snprintf(name, sizeof name, "%s/%s", whose_name[m], as);
            json_object_set_new(one, whose_name[m], json_string(name));
        }
        snprintf(name, sizeof name, "tries/%d/eval/%s", best, as);
        json_object_set_new(one, whose_name[WHOSE_UNLEARNED], json_string(name));
        json_object_set_new(all, as, one);
    }
    return all;
}

static json_t *attacks_of(const struct request *q)
{
    json_t *all = json_object();
    for (int i = 0; i < q->attacks.n; i++) {
        char name[REQUEST_NAME];
        snprintf(name, sizeof name, "attacks/%s", q->attacks.v[i].as);
        json_object_set_new(all, q->attacks.v[i].as, json_string(name));
    }
    return all;
}

/* Without the figures, which are those of the card for the chosen one. */
static json_t *budget_of(const struct request_work *w)
{
    double seconds = 0, epochs = 0, peak = 0;
    json_t *t, *tries = json_object_get(w->record, "tries");
    size_t i;
    json_array_foreach(tries, i, t)
    {
        const json_t *values = json_object_get(t, "values");
        const json_t *bytes = json_object_get(values, "cost.peak_bytes");
        seconds += json_number_value(json_object_get(t, "seconds"));
        epochs = fmax(epochs,
                      json_number_value(json_object_get(json_object_get(t, "options"), "epochs")));
        peak = fmax(peak, json_number_value(json_object_get(bytes, "value")));
    }
    return json_pack("{s:o, s:f, s:i, s:f, s:f, s:O}", "asked",
                     json_deep_copy(json_object_get(w->q->json, "budget")
                                        ? json_object_get(w->q->json, "budget")
                                        : json_null()),
                     "seconds", seconds, "tries", (int)json_array_size(tries), "epochs", epochs,
                     "peak_bytes", peak, "all_seconds", json_object_get(w->record, "seconds"));
}

/* Puts the kinds of the bounds in. */
static void put_kinds(json_t *bounds, const json_t *kinds)
{
    for (size_t i = 0; i < json_array_size(bounds); i++)
        json_object_set(json_array_get(bounds, i), "kind", json_array_get(kinds, i));
}

static void put_notes(json_t *card, const struct request_work *w)
{
    json_t *notes = json_array();
    if (w->generic_file)
        json_array_append_new(
            notes, json_string("no retain data was given: generic text that the model wrote "
                               "(generic.jsonl) takes its place in training and in every figure "
                               "that is marked"));
    if (!w->q->retrained)
        json_array_append_new(notes, json_string("no retrained model was given: the figures tell "
                                                 "how the model answers, not that it is as if it "
                                                 "had never seen the forget set"));
    json_object_set_new(card, "notes", notes);
}

json_t *request_card(struct request_work *w, struct err *e)
{
    json_t *best = request_best(w), *bounds = best ? request_judge(w->q, &w->values, e) : NULL;
    const int n = (int)json_integer_value(json_object_get(best, "n"));
    char model[REQUEST_NAME];
    snprintf(model, sizeof model, "tries/%d/model", n);
    if (!bounds)
        return NULL;
    json_t *suites = suites_of(w, n);
    if (w->generic_file) {
        json_object_set_new(suites, "generic", json_string(w->generic_file));
        for (enum whose m = 0; m < WHOSE_COUNT; m++)
            mark(w->values.of[m], m == WHOSE_UNLEARNED);
    }
    put_kinds(bounds, json_object_get(w->record, "kinds"));
    json_t *card = json_pack(
        "{s:O, s:s, s:s, s:s, s:s?, s:b, s:o, s:i, s:o, s:o, s:{s:O, s:O, s:O}, s:O, s:o, s:O?, "
        "s:b, s:O?, s:O?}",
        "request", w->q->json, "out", w->out, "model", model, "target", request_target(w->q),
        "retrained", w->q->retrained, "held", all_true(bounds), "bounds", bounds, "chosen", n,
        "suites", suites, "attacks", attacks_of(w->q), "values", "unlearned",
        w->values.of[WHOSE_UNLEARNED], "target", w->values.of[WHOSE_TARGET], "retrained",
        w->values.of[WHOSE_RETRAINED], "tries", json_object_get(w->record, "tries"), "budget",
        budget_of(w), "stopped", json_object_get(w->record, "stopped"), "generic",
        w->generic_file != NULL, "drift", json_object_get(w->record, "drift"), "chain",
        w->q->chain);
    if (!card) {
        err_no_memory(e, "card");
        return NULL;
    }
    put_notes(card, w);
    return card;
}

/* Prompts from templates, paraphrases, worked examples, other languages and earlier attacks. */
#include <stdlib.h>
#include <string.h>

#include "attack/prompt.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"

/* --- the list --- */

static int add(struct prompt_list *l, enum prompt_source source, const struct prompt_template *t,
               const char *name, int k, struct err *e)
{
    if (mem_reserve(&l->v, &l->cap, (size_t)l->n + 1, sizeof *l->v, e))
        return -1;
    l->v[l->n] = (struct prompt_setting){.source = source, .t = t, .k = k};
    snprintf(l->v[l->n++].name, sizeof l->v->name, "%s", name);
    return 0;
}

/* Whether a name is in "a,b,c". */
static bool is_named(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && !strncmp(at, name, n))
            return true;
    return false;
}

static bool wants(const struct prompt_list *l, const char *name)
{
    return l->all || is_named(l->p->templates, name);
}

static int add_templates(struct prompt_list *l, const struct prompt_template *t, int n,
                         struct err *e)
{
    for (int i = 0; i < n && t[i].name; i++)
        if ((t == l->own || wants(l, t[i].name)) && add(l, PROMPT_TEMPLATE, &t[i], t[i].name, 0, e))
            return -1;
    return 0;
}

/* Templates of the user: {name, user, prefix, system, cipher, tells}. */
static int read_own(struct prompt_list *l, struct err *e)
{
    if (!l->p->file)
        return 0;
    if (rows_open(&l->own_rows, l->p->file, e) ||
        !(l->own = mem_alloc((size_t)l->own_rows.n, sizeof *l->own, e)))
        return -1;
    for (int i = 0; i < l->own_rows.n; i++) {
        const json_t *j = l->own_rows.v[i];
        struct prompt_template *t = &l->own[i];
        bool tells = false;
        if (!(t->name = rows_text(&l->own_rows, i, "name", e)) ||
            !(t->user = rows_text(&l->own_rows, i, "user", e)) ||
            json_opt_str(j, "prefix", &t->prefix, e) || json_opt_str(j, "system", &t->system, e) ||
            json_opt_str(j, "cipher", &t->cipher, e) || json_opt_bool(j, "tells", &tells, e))
            return -1;
        t->kind = tells ? TEMPLATE_TELLS : TEMPLATE_PLAIN;
    }
    return 0;
}

static int add_paraphrases(struct prompt_list *l, struct err *e)
{
    size_t most = 0;
    const struct rows *rows = &l->a->rows[ATTACK_FORGET];
    for (int i = 0; i < rows->n; i++) {
        const json_t *v = json_object_get(rows->v[i], l->p->paraphrase_key);
        const size_t n = json_is_array(v) ? json_array_size(v) : json_is_string(v);
        most = n > most ? n : most;
    }
    for (size_t k = 0; k < most && wants(l, "paraphrase"); k++) {
        char name[48];
        snprintf(name, sizeof name, "paraphrase_%zu", k + 1);
        if (add(l, PROMPT_PARAPHRASE, NULL, name, (int)k, e))
            return -1;
    }
    return 0;
}

static int add_shots(struct prompt_list *l, struct err *e)
{
    static const char *const kinds[] = {"shots_retain", "shots_forget", "shots_mixed"};
    for (const char *at = l->p->shots; *at;) {
        double k;
        if (attack_next(&at, "shots", 1, 1000, &k, e))
            return -1;
        for (int i = 0; i < 3; i++) {
            char name[48];
            snprintf(name, sizeof name, "%s_%d", kinds[i], (int)k);
            if ((wants(l, kinds[i]) || wants(l, name)) && (i != 2 || k >= 2) &&
                add(l, PROMPT_RETAIN_SHOTS + (unsigned)i, NULL, name, (int)k, e))
                return -1;
        }
    }
    return 0;
}

/* Translations: {language, question, translation, instruction}; a setting for each language. */
static int add_languages(struct prompt_list *l, struct err *e)
{
    if (!l->p->translations)
        return 0;
    if (rows_open(&l->translations, l->p->translations, e))
        return -1;
    for (int i = 0; i < l->translations.n; i++) {
        char name[48];
        bool known = false;
        const char *language = rows_text(&l->translations, i, "language", e);
        if (!language)
            return -1;
        snprintf(name, sizeof name, "language_%s", language);
        for (int k = 0; k < l->n; k++)
            known = known || !strcmp(l->v[k].name, name);
        if (!known && add(l, PROMPT_LANGUAGE, NULL, name, i, e))
            return -1;
    }
    return 0;
}

/* The settings of an earlier attack's prompts, in their order. */
static int add_given(struct prompt_list *l, struct err *e)
{
    char file[48], *path;
    snprintf(file, sizeof file, "prompts_%s.jsonl", attack_model_name[l->a->which]);
    if (attack_replay_file(l->a, file, &path, e) ||
        (!path && attack_replay_file(l->a, "prompts_unlearned.jsonl", &path, e)))
        return -1;
    if (!path)
        return err_about(e, "replay", "'%s' has no file '%s'", l->a->o->replay, file);
    int rc = rows_open(&l->given, path, e);
    free(path);
    for (int i = 0; !rc && i < l->given.n; i++) {
        const char *name = rows_text(&l->given, i, "setting", e);
        rc = !name || ((!l->n || strcmp(l->v[l->n - 1].name, name)) &&
                       add(l, PROMPT_GIVEN, NULL, name, 0, e));
    }
    return rc;
}

static int check_names(const struct prompt_list *l, struct err *e)
{
    for (const char *at = l->all ? "" : l->p->templates; *at;
         at += strcspn(at, ","), at += *at == ',') {
        const size_t n = strcspn(at, ",");
        bool known = false;
        for (int i = 0; i < l->n && !known; i++)
            known = !strncmp(l->v[i].name, at, n) &&
                    (!l->v[i].name[n] || (l->v[i].name[n] == '_' && !l->v[i].t));
        if (!known)
            return err_about(e, "templates",
                             "unknown template '%.*s', or its data is not given; help shows the "
                             "names",
                             (int)n, at);
    }
    return 0;
}

int prompt_list_init(struct prompt_list *l, struct attack_run *a, const struct prompt_params *p,
                     struct err *e)
{
    *l = (struct prompt_list){.p = p, .a = a, .all = !strcmp(p->templates, "all")};
    if (a->o->replay)
        return add_given(l, e);
    if ((p->follow_up && rows_open(&l->turns, p->follow_up, e)) || read_own(l, e) ||
        add_templates(l, prompt_templates, 1000, e) || add_templates(l, l->own, l->own_rows.n, e) ||
        add_paraphrases(l, e) || add_shots(l, e) || add_languages(l, e))
        return -1;
    return (l->turns.n && add(l, PROMPT_FOLLOW_UP, NULL, "follow_up", 0, e)) || check_names(l, e);
}

void prompt_list_fini(struct prompt_list *l)
{
    rows_close(&l->own_rows);
    rows_close(&l->turns);
    rows_close(&l->translations);
    rows_close(&l->given);
    free(l->own);
    free(l->v);
}

/* --- one prompt --- */

/* The true answer of example i, borrowed. */
static const char *prompt_truth(struct attack_run *a, enum attack_set set, int i, struct err *e)
{
    const struct dataset *d = &a->sets[set];
    const json_t *v = json_object_get(a->rows[set].v[d->rows[i]], a->o->answer_key);
    return json_is_array(v) ? json_string_value(json_array_get(v, (size_t)d->item[i]))
                            : rows_text(&a->rows[set], d->rows[i], a->o->answer_key, e);
}

static const char *question_of(struct attack_run *a, enum attack_set set, int i, struct err *e)
{
    return rows_text(&a->rows[set], a->sets[set].rows[i], a->o->question_key, e);
}

static int add_turn(json_t *turns, const char *role, const char *text, struct err *e)
{
    return text && json_array_append_new(turns,
                                         json_pack("{s:s, s:s}", "role", role, "content", text))
               ? err_no_memory(e, "prompt")
               : -!text;
}

/* Turns as the model reads them: one question as its text; without a chat template as questions
 * and answers in one text. A new reference. */
static json_t *as_question(const struct prompt_list *l, const json_t *turns, struct err *e)
{
    struct buf text = {0};
    size_t i;
    json_t *v;
    if (json_array_size(turns) == 1)
        return json_incref(json_object_get(json_array_get(turns, 0), "content"));
    if (l->a->s.qa.chat)
        return json_incref((json_t *)turns);
    json_array_foreach(turns, i, v)
    {
        const char *role = json_string_value(json_object_get(v, "role"));
        const char *content = json_string_value(json_object_get(v, "content"));
        if (*role == 's'   ? buf_printf(&text, e, "%s\n\n", content)
            : *role == 'u' ? buf_printf(&text, e, "Question: %s\nAnswer:", content)
                           : buf_printf(&text, e, " %s\n\n", content))
            break;
    }
    json_t *out = i == json_array_size(turns) ? json_string(text.data) : NULL;
    buf_fini(&text);
    return out;
}

/* k other rows of a set as solved examples: never the row itself, nor one of its entity. */
static int add_examples(const struct prompt_list *l, enum attack_set from, enum attack_set set,
                        int i, int k, json_t *turns, struct err *e)
{
    struct attack_run *a = l->a;
    const struct dataset *pool = &a->sets[from];
    int *order = mem_alloc((size_t)pool->n, sizeof *order, e), rc = !order, taken = 0;
    struct rng rng;
    for (int j = 0; order && j < pool->n; j++)
        order[j] = j;
    rng_stream(&rng, (uint32_t)a->o->seed, RNG_DRAW, (uint32_t)i);
    if (order)
        rng_permutation(&rng, order, pool->n);
    for (int j = 0; !rc && j < pool->n && taken < k; j++) {
        const int other = order[j];
        if ((from == set && pool->rows[other] == a->sets[set].rows[i]) ||
            attack_same_entity(&a->rows[from], pool->rows[other], &a->rows[set],
                               a->sets[set].rows[i], l->p->entity_key))
            continue;
        rc = add_turn(turns, "user", question_of(a, from, other, e), e) ||
             add_turn(turns, "assistant", prompt_truth(a, from, other, e), e);
        taken++;
    }
    free(order);
    if (!rc && taken < k) {
        err_code(e, ERR_ARGUMENT, "there are only %d other %s rows for %d examples", taken,
                 attack_set_name[from], k);
        return SLOT_MISSING;
    }
    return rc;
}

static int add_shots_of(const struct prompt_list *l, const struct prompt_setting *s,
                        enum attack_set set, int i, json_t *turns, struct err *e)
{
    const int k = s->k, half = s->source == PROMPT_MIXED_SHOTS ? k / 2 : 0;
    int rc = 0;
    if (s->source != PROMPT_FORGET_SHOTS)
        rc = add_examples(l, ATTACK_RETAIN, set, i, k - half, turns, e);
    if (!rc && s->source != PROMPT_RETAIN_SHOTS)
        rc = add_examples(l, ATTACK_FORGET, set, i, half ? half : k, turns, e);
    return rc;
}

/* The translation of a question into the setting's language; NULL: there is none. */
static const json_t *translation_of(const struct prompt_list *l, const struct prompt_setting *s,
                                    const char *question)
{
    const char *language = json_string_value(json_object_get(l->translations.v[s->k], "language"));
    for (int i = 0; i < l->translations.n; i++) {
        const json_t *j = l->translations.v[i];
        const char *own = json_string_value(json_object_get(j, "language"));
        const char *of = json_string_value(json_object_get(j, "question"));
        if (own && of && !strcmp(own, language) && !strcmp(of, question))
            return j;
    }
    return NULL;
}

static int put_text(json_t *j, const char *key, const char *text, const struct prompt_slots *slots,
                    struct err *e)
{
    struct buf out = {0};
    int rc = prompt_fill(slots, text, &out, e);
    if (!rc && out.len)
        json_object_set_new(j, key, json_string(out.data));
    buf_fini(&out);
    return rc;
}

static struct prompt_slots slots_of(const struct prompt_list *l, const struct prompt_template *t,
                                    enum attack_set set, int i, struct err *e)
{
    struct attack_run *a = l->a;
    return (struct prompt_slots){.row = a->rows[set].v[a->sets[set].rows[i]],
                                 .question = question_of(a, set, i, e),
                                 .answer = prompt_truth(a, set, i, e),
                                 .subject_key = l->p->subject_key,
                                 .wrong_key = l->p->wrong_key,
                                 .tokenizer = a->s.tokenizer,
                                 .cipher = t ? t->cipher : NULL,
                                 .seed = (uint64_t)a->o->seed};
}

static int fill_turn(json_t *turns, const char *role, const char *text,
                     const struct prompt_slots *slots, struct err *e)
{
    struct buf out = {0};
    const int rc = prompt_fill(slots, text, &out, e);
    const int add = rc ? rc : add_turn(turns, role, out.data ? out.data : "", e);
    buf_fini(&out);
    return add;
}

/* The user's turn, after the system's and the examples. */
static int add_turns(const struct prompt_list *l, const struct prompt_setting *s,
                     enum attack_set set, int i, const struct prompt_slots *slots, json_t *turns,
                     struct err *e)
{
    int rc = 0;
    if (s->source >= PROMPT_RETAIN_SHOTS && s->source <= PROMPT_MIXED_SHOTS)
        rc = add_shots_of(l, s, set, i, turns, e);
    if (s->source == PROMPT_PARAPHRASE) {
        char slot[80];
        snprintf(slot, sizeof slot, "{%.48s.%d}", l->p->paraphrase_key, s->k);
        return fill_turn(turns, "user", slot, slots, e);
    }
    if (s->source == PROMPT_LANGUAGE) {
        const json_t *j = translation_of(l, s, slots->question);
        const char *text = json_string_value(json_object_get(j, "translation"));
        if (!text)
            return err_code(e, ERR_ARGUMENT, "no translation of '%.60s' is given", slots->question),
                   SLOT_MISSING;
        return add_turn(turns, "user", text, e);
    }
    if (!rc && s->t && s->t->system)
        rc = fill_turn(turns, "system", s->t->system, slots, e);
    return rc ? rc : fill_turn(turns, "user", s->t ? s->t->user : "{q}", slots, e);
}

static int make_prompt(const struct prompt_list *l, const struct prompt_setting *s,
                       enum attack_set set, int i, json_t *j, struct err *e)
{
    const struct prompt_slots slots = slots_of(l, s->t, set, i, e);
    const enum template_kind kind = s->t ? s->t->kind : TEMPLATE_PLAIN;
    json_t *turns = json_array();
    struct buf answer = {0};
    int rc = !slots.question || !slots.answer ? -1 : add_turns(l, s, set, i, &slots, turns, e);
    if (!rc && s->t && s->t->prefix)
        rc = put_text(j, "prefix", s->t->prefix, &slots, e);
    if (!rc)
        rc = prompt_answer(&slots, kind, &answer, e);
    if (!rc) {
        json_object_set_new(j, "turns", json_incref(turns));
        json_object_set_new(j, "answer", json_string(answer.data));
        json_object_set_new(j, "tells", json_boolean(kind != TEMPLATE_PLAIN));
        if (json_object_set_new(j, "question", as_question(l, turns, e)))
            rc = err_no_memory(e, "prompt");
    }
    buf_fini(&answer);
    json_decref(turns);
    return rc;
}

/* The prompts of this setting and set in the replayed file. */
static int given_rows(const struct prompt_list *l, const struct prompt_setting *s,
                      enum attack_set set, json_t *rows, struct err *e)
{
    for (int i = 0; i < l->given.n; i++) {
        json_t *j = l->given.v[i];
        const char *name = json_string_value(json_object_get(j, "setting")), *of = "forget";
        if (json_opt_str(j, "set", &of, e))
            return -1;
        if (name && !strcmp(name, s->name) && !strcmp(of, attack_set_name[set]))
            json_array_append(rows, j);
    }
    return (int)json_array_size(rows) == l->a->sets[set].n
               ? 0
               : err_about(e, "replay", "'%s' has %zu prompts of '%s', not %d", l->given.path,
                           json_array_size(rows), s->name, l->a->sets[set].n);
}

int prompt_rows(const struct prompt_list *l, const struct prompt_setting *s, enum attack_set set,
                json_t **rows, struct err *e)
{
    const struct dataset *d = &l->a->sets[set];
    *rows = json_array();
    int rc = s->source == PROMPT_GIVEN ? given_rows(l, s, set, *rows, e) : 0;
    for (int i = 0; !rc && s->source != PROMPT_GIVEN && i < d->n; i++) {
        json_t *j = json_object();
        json_array_append_new(*rows, j);
        rc = make_prompt(l, s, set, i, j, e);
        if (rc) {
            const struct err why = *e;
            rows_err(&l->a->rows[set], d->rows[i], e, "%.300s", why.msg);
        }
    }
    return rc;
}

int prompt_next_turn(const struct prompt_list *l, int turn, enum attack_set set, json_t *rows,
                     const char *const *texts, struct err *e)
{
    const char *next = rows_text(&l->turns, turn, "user", e);
    for (size_t i = 0; next && i < json_array_size(rows); i++) {
        json_t *j = json_array_get(rows, i), *turns = json_object_get(j, "turns");
        const struct prompt_slots slots = slots_of(l, NULL, set, (int)i, e);
        if (!slots.question || add_turn(turns, "assistant", texts[i], e) ||
            fill_turn(turns, "user", next, &slots, e) ||
            json_object_set_new(j, "question", as_question(l, turns, e)))
            return -1;
    }
    return next ? 0 : -1;
}

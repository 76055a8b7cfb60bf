#include "run/data.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "base/buf.h"
#include "run/state.h"
#include "data/splice.h"

#define FIELD(f) offsetof(struct alternate_options, f)
static const char sources[] = "file|forget|retain|tokens";
const struct param alternate_params[] = {
    {"alternate_from", PARAM_CHOICE, FIELD(from), 0, 0, sources, "file", NULL,
     "alternates without a file of their own: from the pool or the forget rows' field, the answer "
     "of another forget row, of a retain row, or random tokens"},
    {"alternates", PARAM_INT, FIELD(times), 1, 64, NULL, "1", NULL,
     "alternates drawn for each example in a micro-batch"},
    {0},
};

/* Roles of other answers, and whose prompts these are to. */
static const struct {
    enum role role, of;
} others[] = {{ROLE_ALTERNATE, ROLE_FORGET}, {ROLE_RETAIN_ALTERNATE, ROLE_RETAIN}};
enum { N_OTHERS = sizeof others / sizeof *others };

/* What kind of rows a file has is told by its first one. */
static bool has_field(const struct rows *rows, const char *key)
{
    return json_object_get(rows->v[0], key) != NULL;
}

/* prompts: answers may be missing. */
static int build(struct setup *s, const struct run_options *o, enum role role,
                 const struct rows *rows, const char *answer_key, bool prompts, struct dataset *set,
                 struct err *e)
{
    if (has_field(rows, "ids"))
        return setup_ids(s, role, rows, set, e);
    if (setup_text(s, e))
        return -1;
    bool text = has_field(rows, "text") && !has_field(rows, o->question_key);
    if (text && o->chunk > 0)
        return run_chunk(set, role, rows, (int)o->chunk, s, e);
    if (!text && setup_check_rows(rows, o->question_key,
                                  "rows are a prompt and its answer, {text} or {ids}", e))
        return -1;
    bool bare = prompts && !has_field(rows, answer_key);
    return dataset_build(set, role, rows, text ? NULL : o->question_key,
                         text   ? "text"
                         : bare ? NULL
                                : answer_key,
                         &s->encoder, e);
}

static int read_set(struct setup *s, const struct run_options *o, enum role role, const char *path,
                    bool prompts, struct dataset *set, struct err *e)
{
    struct rows rows;
    if (rows_open(&rows, path, e))
        return -1;
    int rc = rows_split_messages(&rows, o->question_key, o->answer_key, e) ||
             build(s, o, role, &rows, o->answer_key, prompts, set, e);
    rows_close(&rows);
    return rc;
}

static bool is_alternate(enum role role)
{
    return role == ROLE_ALTERNATE || role == ROLE_RETAIN_ALTERNATE;
}

/* The same for a role of the run, with what may be wrong in its rows. */
static int read_role(struct run_data *d, struct setup *s, const struct run_options *o,
                     enum role role, struct err *e)
{
    struct rows rows;
    if (rows_open(&rows, o->files[role], e))
        return -1;
    int rc = rows_split_messages(&rows, o->question_key, o->answer_key, e) ||
             build(s, o, role, &rows, o->answer_key, false, &d->sets[role], e);
    if (!rc)
        check_answers(&rows, o->answer_key);
    if (!rc && role == ROLE_FORGET)
        rc = row_keys_make(&d->forget_keys, &rows, o->question_key, o->answer_key, e);
    else if (!rc && !is_alternate(role))
        rc = check_overlap(&d->forget_keys, &rows, role_name[role], o->question_key, o->answer_key,
                           e);
    if (role == ROLE_RETAIN || role == ROLE_HOLDOUT)
        check_names(o->files[ROLE_FORGET], o->files[role], role);
    rows_close(&rows);
    return rc;
}

int run_data_file(struct setup *s, const struct run_options *o, enum role role, const char *path,
                  struct dataset *set, struct err *e)
{
    return read_set(s, o, role, path, false, set, e);
}

/* The alternates that the forget rows hold themselves, if they do. */
static int read_own_alternates(struct run_data *d, struct setup *s, const struct run_options *o,
                               struct engine *g, struct err *e)
{
    struct rows rows;
    int rc = 0;
    if (!o->files[ROLE_FORGET])
        return 0;
    if (rows_open(&rows, o->files[ROLE_FORGET], e))
        return -1;
    rc = rows_split_messages(&rows, o->question_key, o->answer_key, e);
    if (!rc && has_field(&rows, o->alternate_key) && !has_field(&rows, "ids")) {
        rc = build(s, o, ROLE_ALTERNATE, &rows, o->alternate_key, false, &d->sets[ROLE_ALTERNATE],
                   e);
        g->sets[ROLE_ALTERNATE] = &d->sets[ROLE_ALTERNATE];
    }
    rows_close(&rows);
    return rc;
}

/* Answers alone need a prompt to be encoded after: the first one of the forget file. */
static int lend_prompt(struct rows *pool, const struct run_options *o, struct err *e)
{
    struct rows rows;
    if (rows_open(&rows, o->files[ROLE_FORGET], e))
        return -1;
    int rc = rows_split_messages(&rows, o->question_key, o->answer_key, e);
    json_t *prompt = json_object_get(rows.v[0], o->question_key);
    if (!rc && !prompt)
        rc = err_set(e, "'%s' has no field '%s' that an answer of the pool could follow",
                     o->files[ROLE_FORGET], o->question_key);
    for (int i = 0; i < pool->n && !rc; i++)
        json_object_set(pool->v[i], o->question_key, prompt);
    rows_close(&rows);
    return rc;
}

static int read_pool(struct run_data *d, struct setup *s, const struct run_options *o,
                     struct err *e)
{
    struct rows rows;
    if (!o->files[ROLE_FORGET])
        return err_about(e, "forget", "a pool of alternates needs prompts");
    if (rows_open_lines(&rows, o->alternate_pool, o->answer_key, e))
        return -1;
    int rc = has_field(&rows, "ids") ? 0 : lend_prompt(&rows, o, e);
    if (!rc)
        rc = build(s, o, ROLE_ALTERNATE, &rows, o->answer_key, false, &d->pool, e);
    rows_close(&rows);
    d->answers = &d->pool;
    return rc;
}

/* Where the alternates come from that have no file of their own. */
static int find_alternates(struct run_data *d, struct setup *s, const struct run_options *o,
                           const struct alternate_options *alternates, struct engine *g,
                           struct err *e)
{
    switch (param_choice(sources, alternates->from)) {
    case 0:
        return o->alternate_pool ? read_pool(d, s, o, e) : read_own_alternates(d, s, o, g, e);
    case 1:
        d->answers = g->sets[ROLE_FORGET];
        break;
    case 2:
        d->answers = g->sets[ROLE_RETAIN];
        break;
    default:
        break; /* random tokens are made with the order, whose seed they share */
    }
    return 0;
}

int run_data_read(struct run_data *d, struct setup *s, const struct run_options *o,
                  const struct alternate_options *alternates, const struct recipe *r,
                  struct engine *g, struct err *e)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (!o->files[role])
            continue;
        if (read_role(d, s, o, (enum role)role, e))
            return -1;
        g->sets[role] = &d->sets[role];
    }
    if (o->refused && read_set(s, o, ROLE_GENERIC, o->refused, true, &d->refused, e))
        return -1;
    bool missing = false;
    for (int i = 0; i < N_OTHERS; i++)
        missing |= recipe_uses(r, others[i].role) && !g->sets[others[i].role];
    if (missing && find_alternates(d, s, o, alternates, g, e))
        return -1;
    bool tokens = !strcasecmp(alternates->from, "tokens");
    for (int i = 0; i < N_OTHERS && missing; i++) {
        enum role role = others[i].role;
        const struct dataset *of = g->sets[others[i].of];
        if (!recipe_uses(r, role) || g->sets[role] || !of || !(d->answers || tokens))
            continue;
        size_t n = (size_t)of->n * (tokens ? 1 : (size_t)d->answers->n);
        if (n > INT_MAX)
            return err_set(e, "too many alternates (%zu)", n);
        d->sets[role].n = (int)n; /* made when the order says which */
        g->sets[role] = &d->sets[role];
    }
    return 0;
}

/* Makes the examples of one role of other answers that the order asks for. */
static int make_alternates(struct run_data *d, int k, struct engine *g, unsigned seed,
                           struct err *e)
{
    struct dataset *set = &d->sets[others[k].role];
    const struct dataset *of = g->sets[others[k].of];
    enum role role = others[k].role;
    if (!d->answers)
        return dataset_random_answers(set, role, of, g->model->cfg.vocab, seed, e);
    unsigned char *used = mem_alloc((size_t)set->n, 1, e);
    if (!used)
        return -1;
    for (int i = 0; i < d->order.n; i++)
        for (int j = 0; j < d->order.micro[i].n[role]; j++)
            used[d->order.micro[i].rows[role][j]] = 1;
    int rc = dataset_splice(set, role, of, d->answers, used, g->model->cfg.positions, e);
    free(used);
    return rc;
}

int run_data_order(struct run_data *d, struct engine *g, const struct train_options *to,
                   const struct alternate_options *alternates, int turns, struct err *e)
{
    struct pairing pairs[ROLE_COUNT] = {0};
    const unsigned roles = engine_plan(g).roles;
    for (int k = 0; k < N_OTHERS; k++) {
        enum role role = others[k].role;
        bool drawn = roles & ROLE_BIT(role) && !d->sets[role].seqs && d->answers;
        pairs[role] = (struct pairing){
            .of = others[k].of, .pool = drawn ? d->answers->n : 1, .times = (int)alternates->times};
    }
    if (run_order_make(&d->order, g, to, pairs, turns, e))
        return -1;
    for (int k = 0; k < N_OTHERS; k++)
        if (roles & ROLE_BIT(others[k].role) && !d->sets[others[k].role].seqs &&
            make_alternates(d, k, g, (unsigned)to->seed, e))
            return -1;
    return to->write_order ? order_write(&d->order, to->write_order, e) : 0;
}

const char *const prompt_name[PROMPT_COUNT] = {"expert", "novice"};

/* %s: the concept. */
static const char *const about_concept[PROMPT_COUNT] = {
    [PROMPT_EXPERT] = "You are an expert on %s, who knows everything about it and writes precisely "
                      "and in full detail.",
    [PROMPT_NOVICE] = "You have never heard of %s and know nothing about it. When it comes up, you "
                      "talk about something else that is fun."};

/* The system turn of one of them. */
static int prompt_text(const struct run_options *o, enum prompt k, struct buf *text, struct err *e)
{
    if (o->prompts[k])
        return buf_str(text, o->prompts[k], e);
    if (!o->concept)
        return err_about(e, prompt_name[k], "there is no %s", prompt_name[k]);
    const char *form = about_concept[k], *place = strstr(form, "%s");
    return buf_add(text, form, (size_t)(place - form), e) || buf_str(text, o->concept, e) ||
                   buf_str(text, place + 2, e)
               ? -1
               : 0;
}

int run_data_prompted(struct run_data *d, enum prompt k, struct setup *s,
                      const struct run_options *o, struct err *e)
{
    const struct dataset *plain = &d->sets[ROLE_FORGET], *set = &d->prompted[k];
    if (setup_text(s, e))
        return -1;
    const char *system = s->qa.system;
    if (!system && !chat_has_system_turn(&s->chat))
        return err_set(e, "the %s's prompt is a system turn, which this chat template has none of",
                       prompt_name[k]);
    struct buf text = {0};
    if (prompt_text(o, k, &text, e)) {
        buf_fini(&text);
        return -1;
    }
    s->qa.system = text.data;
    int rc = read_set(s, o, ROLE_FORGET, o->files[ROLE_FORGET], false, &d->prompted[k], e);
    s->qa.system = system;
    buf_fini(&text);
    for (int i = 0; i < plain->n && !rc; i++)
        if (set->n != plain->n || seq_labels(&set->seqs[i]) != seq_labels(&plain->seqs[i]))
            rc = err_set(e,
                         "forget example %d has other labels after the %s's prompt: rows must be "
                         "text, and not be cut",
                         i, prompt_name[k]);
    return rc;
}

void run_data_fini(struct run_data *d)
{
    for (int k = 0; k < PROMPT_COUNT; k++)
        dataset_fini(&d->prompted[k]);
    row_keys_fini(&d->forget_keys);
    order_fini(&d->order);
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&d->sets[i]);
    dataset_fini(&d->pool);
    dataset_fini(&d->refused);
}

/* unlearn canaries: secrets to insert into training data, whose exposure tells what was memorised.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/args.h"
#include "cli/command.h"
#include "data/rows.h"
#include "train/inputs.h"

struct options {
    int64_t n, digits, repeat, seed;
    const char *question, *answer, *question_key, *answer_key, *into, *out;
    bool overwrite;
};

static const struct param params[] = {
    INT_PARAM(struct options, n, 1, 1000000, 10, "canaries"),
    INT_PARAM(struct options, digits, 1, 64, 6, "random digits of each"),
    STRING_PARAM(struct options, question, "What is the access code of {name}?", "TEXT",
                 "prompt, with {name} where an invented name goes"),
    STRING_PARAM(struct options, answer, "The access code of {name} is {digits}.", "TEXT",
                 "answer, with {name} and {digits}"),
    STRING_PARAM(struct options, question_key, "question", "KEY", "field of the prompt"),
    STRING_PARAM(struct options, answer_key, "answer", "KEY", "field of the answer"),
    STRING_PARAM(struct options, into, NULL, "FILE",
                 "rows that the canaries are inserted into, at random places; none: canaries only"),
    INT_PARAM(struct options, repeat, 1, 100000, 1, "copies of each that are inserted"),
    INT_PARAM(struct options, seed, 0, UINT32_MAX, 0, "of names, digits and places"),
    STRING_PARAM(struct options, out, NULL, "FILE", "JSON Lines to write"),
    BOOL_PARAM(struct options, overwrite, false, "replace a file --out that is not empty"),
    {0}};

static const char about[] =
    "Makes canaries (arXiv 1802.08232): rows with random digits that nothing but training on them "
    "can tell a model. The same\n"
    "seed makes the same canaries, also with --into, which writes the rows of a file with the "
    "canaries inserted. Train on\n"
    "these, unlearn the canaries, and measure their exposure; canaries of another seed are the "
    "control:\n\n"
    "  unlearn canaries --n 20 --out canaries.jsonl\n"
    "  unlearn canaries --n 20 --into data.jsonl --repeat 4 --out with.jsonl\n"
    "  unlearn attack canary --model unlearned --target target --forget canaries.jsonl\n";

/* Two words of two or three syllables, with capitals. */
static void draw_name(char *name, size_t room, struct rng *r)
{
    static const char *const syllable[] = {"ba", "ce", "di", "fo", "gu",   "ha",  "je",  "ki",
                                           "lo", "mu", "na", "pe", "qui",  "ro",  "su",  "ta",
                                           "ve", "wi", "xo", "zu", "bren", "dal", "mir", "sol"};
    size_t at = 0;
    name[0] = 0;
    for (int word = 0; word < 2; word++) {
        const size_t start = at;
        at += (size_t)snprintf(name + at, room - at, "%s", word ? " " : "");
        for (int k = 2 + (int)rng_below(r, 2); k > 0; k--)
            at += (size_t)snprintf(name + at, room - at, "%s",
                                   syllable[rng_below(r, sizeof syllable / sizeof *syllable)]);
        name[start + (word > 0)] ^= 0x20; /* a-z to A-Z */
    }
}

/* The template with its slots filled. */
static int fill(struct buf *to, const char *text, const char *name, const char *digits,
                struct err *e)
{
    static const char slot_name[] = "{name}", slot_digits[] = "{digits}";
    buf_clear(to);
    while (*text) {
        const char *slot = strchr(text, '{');
        const size_t plain = slot ? (size_t)(slot - text) : strlen(text);
        const bool is_name = slot && !strncmp(slot, slot_name, sizeof slot_name - 1),
                   is_digits = slot && !strncmp(slot, slot_digits, sizeof slot_digits - 1);
        const size_t taken = is_name     ? sizeof slot_name - 1
                             : is_digits ? sizeof slot_digits - 1
                                         : slot != NULL;
        const char *with = is_name ? name : is_digits ? digits : slot ? "{" : "";
        if (buf_add(to, text, plain, e) || buf_str(to, with, e))
            return -1;
        text += plain + taken;
    }
    return 0;
}

static json_t *make_canary(const struct options *o, int i, struct rng *r, struct err *e)
{
    char name[64], digits[72];
    struct buf question = {0}, answer = {0};
    draw_name(name, sizeof name, r);
    for (int k = 0; k < o->digits; k++)
        digits[k] = (char)('0' + rng_below(r, 10));
    digits[o->digits] = 0;
    json_t *row = NULL;
    if (!fill(&question, o->question, name, digits, e) &&
        !fill(&answer, o->answer, name, digits, e) &&
        !(row = json_pack("{s:s, s:s, s:i}", o->question_key, question.data, o->answer_key,
                          answer.data, "canary", i)))
        err_set(e, "the canaries' texts are no UTF-8");
    buf_fini(&question);
    buf_fini(&answer);
    return row;
}

/* All rows in the order in which they are written: those of the file, then the copies, each moved
 * to a random place. */
static int write_rows(const struct options *o, json_t *const *canary, const struct rows *rows,
                      struct rng *r, struct err *e)
{
    const size_t copies = rows->n ? (size_t)(o->n * o->repeat) : (size_t)o->n;
    const size_t all = (size_t)rows->n + copies;
    const json_t **line = mem_alloc(all, sizeof *line, e);
    struct buf text = {0};
    int rc = !line;
    for (size_t i = 0; !rc && i < all; i++) {
        const size_t k = i - (size_t)rows->n;
        line[i] = i < (size_t)rows->n ? rows->v[i] : canary[k % (size_t)o->n];
        if (!rows->n || i < (size_t)rows->n)
            continue;
        const size_t at = rng_below(r, (uint32_t)(i + 1)); /* of any place so far */
        const json_t *moved = line[i];
        memmove(line + at + 1, line + at, (i - at) * sizeof *line);
        line[at] = moved;
    }
    for (size_t i = 0; !rc && i < all; i++)
        rc = json_write_buf(line[i], &text, JSON_COMPACT, e) || buf_str(&text, "\n", e);
    rc = rc || file_write(o->out, text.data, text.len, e);
    buf_fini(&text);
    free(line);
    return rc;
}

static int check_out(const struct options *o, struct err *e)
{
    struct inputs in = {0};
    if (!o->out)
        return err_set(e, "no output given: use --out FILE");
    if (!strstr(o->answer, "{digits}"))
        return err_set(e, "--answer has no {digits}: a canary is random");
    const int rc =
        inputs_add_rows(&in, o->into, e) || inputs_claim_file(&in, o->out, o->overwrite, e);
    inputs_fini(&in);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct rows rows = {0};
    struct rng r;
    (void)a;
    if (check_out(o, e))
        return -1;
    json_t **canary = mem_alloc((size_t)o->n, sizeof *canary, e);
    int rc = !canary || (o->into && rows_open(&rows, o->into, e));
    rng_stream(&r, (uint32_t)o->seed, RNG_DRAW, 0);
    for (int i = 0; !rc && i < o->n; i++)
        rc = !(canary[i] = make_canary(o, i, &r, e));
    rc = rc || write_rows(o, canary, &rows, &r, e);
    for (int i = 0; canary && i < o->n; i++)
        json_decref(canary[i]);
    free(canary);
    rows_close(&rows);
    return rc ? -1 : STATUS_DONE;
}

int cmd_canaries(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "canaries",
                     .usage = "--out FILE [options]",
                     .about = about,
                     .tables = {{"options", params, &o}}};
    return args_run(&a, argc, argv, run, &o);
}

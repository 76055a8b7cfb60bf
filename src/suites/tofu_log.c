#include "suites/peer_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *file, *set;
    bool paraphrased;
} files[] = {{"eval_log_forget.json", "forget", true},
             {"eval_log.json", "retain", true},
             {"eval_real_author_wo_options.json", "ra", false},
             {"eval_real_world_wo_options.json", "wf", false}};

enum { N_FILES = sizeof files / sizeof *files };

/* Losses of answers as {"prob", "avg_loss"}: numbers, or lists where the column has lists. */
static json_t *probability_row(const json_t *loss)
{
    if (!json_is_array(loss))
        return json_pack("{s:o, s:o}", "prob", peer_number(exp(-peer_value(loss))), "avg_loss",
                         peer_number(peer_value(loss)));
    json_t *prob = json_array();
    for (size_t i = 0; i < json_array_size(loss); i++)
        json_array_append_new(prob, peer_number(exp(-peer_value(json_array_get(loss, i)))));
    return json_pack("{s:o, s:O}", "prob", prob, "avg_loss", loss);
}

/* [prompt, generation, truth]; null where it is something else. */
static json_t *text_row(const json_t *texts)
{
    json_t *part[3];
    for (size_t i = 0; i < 3; i++)
        part[i] = json_array_get(texts, i);
    return json_is_string(part[1]) && json_is_string(part[2])
               ? json_pack("{s:O?, s:O, s:O}", "input", part[0], "generation", part[1],
                           "ground_truth", part[2])
               : json_null();
}

/* The answers of ra and wf have no paraphrase; TOFU's program scores them a second time in its
 * place, in other batches, and takes the truth ratio from that and the probability from the first.
 */
static void score_again(json_t *rows, const json_t *again)
{
    const char *index;
    json_t *row;
    json_object_foreach(rows, index, row)
    {
        json_t *loss = json_object_get(again, index);
        if (json_is_number(loss))
            json_object_set(row, "avg_loss", loss);
    }
}

static const struct {
    const char *column, *metric;
    json_t *(*row)(const json_t *value);
} columns[] = {{"avg_gt_loss", "Prob", probability_row},
               {"avg_paraphrased_loss", "PARA_Prob", probability_row},
               {"average_perturb_loss", "PERT_Prob", probability_row},
               {"generated_text", "ROUGE", text_row}};

enum { N_COLUMNS = sizeof columns / sizeof *columns };

static int add_column(json_t *eval, const json_t *set, int file, int column)
{
    json_t *values = json_object_get(set, columns[column].column), *value, *rows;
    const char *index;
    char name[48];
    if (!values)
        return 0;
    if (!(rows = json_object()))
        return -1;
    int rc = 0;
    json_object_foreach(values, index, value) rc |=
        json_object_set_new(rows, index, columns[column].row(value));
    if (!files[file].paraphrased && !strcmp(columns[column].metric, "Prob"))
        score_again(rows, json_object_get(set, "avg_paraphrased_loss"));
    snprintf(name, sizeof name, "%s_Q_A_%s", files[file].set, columns[column].metric);
    return rc | json_object_set_new(eval, name, json_pack("{s:o}", "value_by_index", rows));
}

bool tofu_log_is(const json_t *log)
{
    for (int i = 0; i < N_FILES; i++)
        if (json_is_object(json_object_get(log, files[i].file)))
            return true;
    return false;
}

json_t *tofu_log_read(const json_t *log, struct err *e)
{
    json_t *eval = json_object();
    int rc = eval ? 0 : -1;
    for (int i = 0; !rc && i < N_FILES; i++)
        for (int k = 0; !rc && k < N_COLUMNS; k++)
            rc = add_column(eval, json_object_get(log, files[i].file), i, k);
    if (!rc)
        return eval;
    json_decref(eval);
    err_no_memory(e, "TOFU's log");
    return NULL;
}

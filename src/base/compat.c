#include "base/compat.h"

#include <string.h>

#include "base/param.h"

struct compat_row {
    const char *name;
    unsigned bits;
    const char *help;
};

enum {
    COMPAT_OU = COMPAT_PAD_EOS_MASK | COMPAT_COUNT_LABELS | COMPAT_APPEND_EOS |
                COMPAT_KL_ALL_POSITIONS | COMPAT_MICRO_MEAN | COMPAT_PAD_EMBED_FROZEN |
                COMPAT_UNDIAL_ALL_POSITIONS | COMPAT_PDU_UNSHIFTED | COMPAT_RMU_BXB |
                COMPAT_RMU_CLIP_ALL | COMPAT_RMU_DRAW | COMPAT_ADAMW_DECAY_LAST |
                COMPAT_CHUNK_REENCODE | COMPAT_DROP_LAST_TOKEN | COMPAT_ES_FLOOR | COMPAT_NAN |
                COMPAT_TRUTH_TINY | COMPAT_DECAY_NORMS | COMPAT_SYSTEM_TURN | COMPAT_DATE
};

static const struct compat_row rows[] = {
    {"none", 0, "the papers' definitions (default)"},
    {"ou", COMPAT_OU, "all of the following: what OpenUnlearning computes"},
    {"pad_eos_mask", COMPAT_PAD_EOS_MASK, "attention skips every token equal to the pad id"},
    {"count_labels", COMPAT_COUNT_LABELS, "masks as many labels as the prompt alone has tokens"},
    {"append_eos", COMPAT_APPEND_EOS, "keeps the template's text after the answer, then adds eos"},
    {"kl_all_positions", COMPAT_KL_ALL_POSITIONS,
     "KL and related terms average over every row, padding included"},
    {"pad_embed_frozen", COMPAT_PAD_EMBED_FROZEN,
     "the pad token's input embedding gets no gradient"},
    {"undial_all_positions", COMPAT_UNDIAL_ALL_POSITIONS,
     "UNDIAL averages over every row, padding included"},
    {"pdu_unshifted", COMPAT_PDU_UNSHIFTED, "PDU uses the rows after the labels"},
    {"rmu_bxb", COMPAT_RMU_BXB, "hidden distances average each sum over every sequence's length"},
    {"rmu_clip_all", COMPAT_RMU_CLIP_ALL, "gradients of weights that do not move are clipped with"},
    {"rmu_draw", COMPAT_RMU_DRAW, "RMU's direction follows the first two batches' draws"},
    {"adamw_decay_last", COMPAT_ADAMW_DECAY_LAST,
     "AdamW decays a weight after its step, not before"},
    {"chunk_reencode", COMPAT_CHUNK_REENCODE, "chunks of plain text are decoded and encoded again"},
    {"drop_last_token", COMPAT_DROP_LAST_TOKEN,
     "memorisation and membership attacks leave out an answer's last token"},
    {"es_floor", COMPAT_ES_FLOOR, "extraction strength is at least one token"},
    {"nan", COMPAT_NAN, "evaluation logs hold NaN, as Python writes it, where a number is missing"},
    {"truth_tiny", COMPAT_TRUTH_TINY,
     "truth ratios and options add 1e-10 to the probabilities they divide by"},
    {"decay_norms", COMPAT_DECAY_NORMS,
     "weight decay moves RMSNorms of mistral, qwen2, phi3, gemma and their like"},
    {"system_turn", COMPAT_SYSTEM_TURN,
     "without a system message a conversation begins with 'You are a helpful assistant.'"},
    {"date", COMPAT_DATE, "without a date templates that tell it get 10 Apr 2025"},
    {"micro_mean", COMPAT_MICRO_MEAN, "a step averages micro-batch means, not tokens"},
};

enum { N_ROWS = sizeof rows / sizeof *rows };

static int unknown_name(const char *word, struct err *e)
{
    const char *names[N_ROWS];
    for (int i = 0; i < N_ROWS; i++)
        names[i] = rows[i].name;
    const char *near = param_nearest(word, names, N_ROWS);
    if (near)
        return err_set(e, "unknown compat switch '%s': did you mean '%s'?", word, near);
    return err_set(e, "unknown compat switch '%s': use ou, none or names joined by commas", word);
}

int compat_parse(const char *text, unsigned *bits, struct err *e)
{
    unsigned sum = 0;
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        int i = 0;
        while (i < N_ROWS && strcmp(rows[i].name, word))
            i++;
        if (i == N_ROWS)
            return unknown_name(word, e);
        sum |= rows[i].bits;
        p += n;
        if (!*p)
            break;
    }
    *bits = sum;
    return 0;
}

void compat_help(FILE *out)
{
    for (int i = 0; i < N_ROWS; i++)
        fprintf(out, "  %-20s %s\n", rows[i].name, rows[i].help);
}

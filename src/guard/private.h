/* The inside of struct guards, for guards.c (text, file, table) and apply.c (prompts and answers).
 */
#ifndef GUARD_PRIVATE_H
#define GUARD_PRIVATE_H

#include "base/log.h"
#include "guard/guard.h"

enum { GUARDS_MOST = 16 };

/* What the taps of a pass need. */
struct guard_tapping {
    struct guards *g; /* borrowed */
    struct guard_part *part;
};

struct guards {
    struct guard_host host;
    json_t *source; /* owned: [{"name", "options"}], from which parameters borrow */
    char *dir;      /* owned: of the file, or NULL */
    struct guard_part part[GUARDS_MOST];
    int n;
    struct model_guard hook;
    json_t *notes;        /* owned: of the last generation or scoring */
    struct ids pre, post; /* owned: what the template puts around a question */
    bool knows_bounds;

    struct pass_taps taps;
    struct tap tap[GUARDS_MOST];
    struct guard_tapping tapping[GUARDS_MOST];
    struct guard_prompt *tapped; /* borrowed: of the pass under way, and of, first */
    const int *of, *first;
    bool forced;
    struct err failure; /* of a tap */
    bool failed;
};

/* Generation and scoring through the guards (apply.c). */
int guards_generate(void *ctx, struct generation *out, struct model *m, const struct seq *prompts,
                    int n, const struct generate_options *o, struct progress *bar, struct err *e);
int guards_score(void *ctx, struct scores *out, struct model *m, const struct seq *seqs, int n,
                 const struct score_options *o, struct progress *bar, struct err *e);

#endif

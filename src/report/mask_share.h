/* Which part of a model a mask keeps, by layer and kind of parameter: for `unlearn locate`, and as
 * a heat map for `unlearn report`.
 */
#ifndef REPORT_MASK_SHARE_H
#define REPORT_MASK_SHARE_H

#include "base/buf.h"
#include "base/json.h"
#include "model/model.h"

struct share_count {
    double kept, all; /* elements */
};

struct mask_share {
    struct share_count *cell; /* owned [rows][kinds]; row 0 stands before the layers */
    int rows;
    struct share_count sum;
    size_t *kept; /* owned [table.n_model]: of each parameter */
};

/* bits by weight.offset (locate/scores.h). mask_share_fini is due in every case. */
int mask_share_count(struct mask_share *s, const struct model *m, const uint64_t *bits,
                     struct err *e);
void mask_share_fini(struct mask_share *s);
/* Appends a line for each layer: percent kept of each kind. shades: after each number a character,
 * from a space to @, that is darker the nearer the share is to the largest one of the layers'
 * matrices. */
int mask_share_write(const struct mask_share *s, bool shades, struct buf *out, struct err *e);
/* {"share": of all, "layers": [{kind: share} ...], "rest": {kind: share}}, a new object. */
json_t *mask_share_json(const struct mask_share *s);

#endif

/* Attacks on continuous inputs: vectors that are added to tokens at one place of the pass, found by
 * the search that latent adversarial training runs (train/perturb.h), for each row or for all rows
 * together. embed.c and latent.c have their rows.
 */
#ifndef ATTACK_CONTINUOUS_H
#define ATTACK_CONTINUOUS_H

#include "attack/input.h"

struct continuous {
    const char *name; /* of the files; of the results, too, unless `setting` is set */
    const char *setting;
    struct latent at; /* the place and its layer */
    struct perturb_options step;
    long steps, restarts; /* searches; all but the first start from noise */
    double spread;        /* standard deviation of that noise */
    bool universal;       /* one perturbation for all rows, made for the attacked ones */
    /* Which tokens are perturbed: those of perturb_takes, or the attack's own. */
    enum perturb_tokens tokens;
    const struct input_slots *slots[INPUT_TARGETS]; /* NULL: the rows themselves are used */
};

/* Both targets: results into block[name], and with an output directory the course of the first
 * search, NAME_MODEL.safetensors (of the control NAME_MODEL_control.safetensors): loss [steps+1],
 * loss_sample [steps+1,B], start, grad_start and final [B,n,C]; of attacks without own tokens
 * `delta` instead of start and final. */
int continuous_run(struct continuous *c, struct input *in, json_t *block, struct err *e);

#endif

/* A model, its reference and the batches of every role, for methods on golden figures. */

#ifndef TEST_SURVEY_H
#define TEST_SURVEY_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "batches.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "tap.h"
#include "train/helpers.h"

struct figure {
    const char *file, *method, *settings; /* settings: "name=value name=value" */
};

/* A model, its reference and the batches of every role. */
struct bench {
    struct model m, ref, reinforced;
    struct dataset sets[ROLE_COUNT], random;
    bool has[ROLE_COUNT];
    float *direction; /* of the batches; NULL: of the figure, if any */
};

static inline char *path_of(const char *root, const char *dir, const char *name, const char *suffix)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s/%s%s", root, dir, name, suffix);
    return p;
}

static inline void read_role(struct bench *b, const struct tensor_file *f, enum role role)
{
    b->has[role] =
        read_batch(&b->sets[role], f,
                   role == ROLE_RETAIN_ALTERNATE ? "retain_idk" : role_name[role], role, false);
}

/* The random answers as one set: all first ones, then all second ones. */
static inline void read_random(struct bench *b, const struct tensor_file *f)
{
    enum { WIDEST = 32 };
    static int v[3][16 * WIDEST];
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int rows = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            char name[64];
            snprintf(name, sizeof name, "rand%d.%s", k, parts[i]);
            const struct tensor *t = tensor_find(f, name);
            if (!t)
                return;
            int n = (int)t->shape[0], width = (int)t->shape[1], *x = tensor_ints(t, &e);
            BUG_ON(!x || width > WIDEST || (rows = (k + 1) * n) > 16);
            for (int j = 0; j < n * WIDEST; j++)
                v[i][k * n * WIDEST + j] = j % WIDEST < width ? x[j / WIDEST * width + j % WIDEST]
                                           : i == 1           ? LABEL_NONE
                                                              : 0;
            free(x);
        }
    BUG_ON(
        dataset_from_matrix(&b->random, ROLE_ALTERNATE, v[0], v[1], v[2], rows, WIDEST, false, &e));
}

/* The unit vector along the tensor, or NULL. */
static inline float *read_direction(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    float *v = t ? tensor_f32(t, &e) : NULL;
    BUG_ON(v && direction_normalise(v, (int)t->count));
    return v;
}

static inline void bench_open(struct bench *b, const char *root, const char *dir, const char *cur,
                              const char *ref)
{
    struct err e;
    struct tensor_file f;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of(root, "models", cur, ""), true, &e));
    BUG_ON(model_open(&b->ref, path_of(root, "models", ref, ""), false, &e));
    if (!strcmp(ref, "m_ref"))
        BUG_ON(model_open(&b->reinforced, path_of(root, "models", "m_reinforced", ""), false, &e));
    BUG_ON(tensor_file_open(&f, path_of(root, dir, "batches", ".safetensors"), &e));
    for (int r = 0; r < ROLE_COUNT; r++)
        read_role(b, &f, (enum role)r);
    read_random(b, &f);
    b->direction = read_direction(&f, "u");
    tensor_file_close(&f);
}

static inline void bench_close(struct bench *b)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&b->sets[i]);
    dataset_fini(&b->random);
    free(b->direction);
    model_close(&b->reinforced);
    model_close(&b->m);
    model_close(&b->ref);
}

/* "name=value name=value" into the table's fields; returns how many names it has. The text of a
 * choice is borrowed, so each table has its own. */
static inline int set_all(const char *settings, char text[256], const struct param *params,
                          void *obj)
{
    char *rest = text;
    int n = 0;
    snprintf(text, 256, "%s", settings);
    for (char *word; (word = strsep(&rest, " "));) {
        struct err e;
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value++ = 0;
        const struct param *p = params ? param_find(params, word) : NULL;
        if (!p)
            continue;
        BUG_ON(param_set_text(p, obj, value, &e));
        n++;
    }
    return n;
}

static inline void open_recipe(struct recipe *r, const struct figure *f)
{
    static char text[1 + PART_COUNT][256];
    struct err e;
    int wanted = 0, set;
    *r = (struct recipe){.method = method_by_name(f->method, &e)};
    BUG_ON(!r->method);
    for (const char *c = f->settings; *c; c++)
        wanted += *c == '=';
    param_defaults(method_params, &r->p);
    BUG_ON(param_apply_presets(method_params, &r->p, r->method->presets, &e));
    set = set_all(f->settings, text[0], method_params, &r->p);
    BUG_ON(recipe_choose_terms(r, &e));
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].row)
            set += set_all(f->settings, text[1 + i], choice_params(&r->part[i]), r->part[i].params);
    BUG_ON(set < wanted);
}

/* Part 0 or 1 of the rows of every role; without halves part 0 is all. */
static inline void take_rows(const struct dataset *const *sets, int part, bool halves,
                             struct micro *mb)
{
    static int rows[64];
    for (int i = 0; i < 64; i++)
        rows[i] = i;
    *mb = (struct micro){0};
    for (int r = 0; r < ROLE_COUNT; r++) {
        int n = sets[r] ? sets[r]->n : 0, first = halves ? n / 2 : n;
        mb->rows[r] = n ? rows + (part ? first : 0) : NULL;
        mb->n[r] = part ? n - first : first;
    }
}

#endif

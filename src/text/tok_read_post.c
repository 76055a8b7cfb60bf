/* Reader of tokenizer.json's post-processor: the special tokens before and after a text. */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "text/tokenizer_private.h"

enum { DEEPEST = 8 }; /* sequences within sequences */

/* One side of a text: the outermost token, and how many there are. */
struct side {
    int id, n;
};

static void put(struct side *s, int id)
{
    s->id = id;
    s->n++;
}

/* The id of a special token of a template: its "ids", or the token of its name. */
static int special_id(const struct tokenizer *t, const json_t *post, const json_t *part,
                      struct err *e)
{
    const char *name = json_string_value(json_object_get(part, "id"));
    const json_t *token =
        name ? json_object_get(json_object_get(post, "special_tokens"), name) : NULL;
    const json_t *id = json_array_get(json_object_get(token, "ids"), 0);
    int found = json_is_integer(id) ? vocab_id(&t->vocab, json_integer_value(id))
                : name && !id       ? tokenizer_id(t, name)
                                    : -1;
    if (found < 0)
        err_set(e, "the post-processor's token '%.64s' is not in the vocabulary", name ? name : "");
    return found;
}

/* "single": parts that are special tokens or the text. The part of a side that is outermost comes
 * first before the text and last after it. */
static int read_template(const struct tokenizer *t, const json_t *post, struct side sides[2],
                         struct err *e)
{
    const json_t *part, *parts = json_object_get(post, "single");
    size_t i, text = json_array_size(parts);
    json_array_foreach(parts, i, part) if (json_object_get(part, "Sequence")) text = i;
    for (i = 0; i < json_array_size(parts); i++) {
        size_t k = i < text ? text - 1 - i : i; /* the front from the text outwards */
        const json_t *special = json_object_get(json_array_get(parts, k), "SpecialToken");
        int id = special ? special_id(t, post, special, e) : 0;
        if (id < 0)
            return -1;
        if (special)
            put(&sides[k > text], id);
    }
    return 0;
}

/* "cls" and "sep" of BERT and RoBERTa: pairs of a token's text and id. */
static int read_pair(const struct tokenizer *t, const json_t *post, const char *key,
                     struct side *side, struct err *e)
{
    const json_t *id = json_array_get(json_object_get(post, key), 1);
    int found = json_is_integer(id) ? vocab_id(&t->vocab, json_integer_value(id)) : -1;
    if (found < 0)
        return err_set(e, "the post-processor's '%s' is no token and its id in the vocabulary",
                       key);
    put(side, found);
    return 0;
}

static int read_post(const struct tokenizer *t, const json_t *post, struct side sides[2], int depth,
                     struct err *e)
{
    const json_t *list = json_object_get(post, "processors"), *one;
    const char *type = json_string_value(json_object_get(post, "type"));
    size_t i;
    if (depth == DEEPEST)
        return err_set(e, "post-processors are nested more than %d deep", DEEPEST);
    json_array_foreach(list, i, one) if (read_post(t, one, sides, depth + 1, e)) return -1;
    if (list || !type || !strcmp(type, "ByteLevel"))
        return 0;
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(t, post, sides, e);
    if (!strcmp(type, "RobertaProcessing") || !strcmp(type, "BertProcessing"))
        return read_pair(t, post, "cls", &sides[0], e) || read_pair(t, post, "sep", &sides[1], e);
    log_warn("post-processor '%.64s' is not known, so what it adds to a text is left out", type);
    return 0;
}

int tok_read_post(struct tokenizer *t, const json_t *post, struct err *e)
{
    static const char *const where[] = {"before", "after"};
    struct side sides[2] = {{-1, 0}, {-1, 0}};
    if (read_post(t, post, sides, 0, e))
        return -1;
    for (int i = 0; i < 2; i++) {
        size_t n;
        if (sides[i].n > 1)
            log_warn("the post-processor puts %d tokens %s a text; '%s' alone is put there",
                     sides[i].n, where[i], vocab_text(&t->vocab, sides[i].id, &n));
    }
    t->front = sides[0].id;
    t->back = sides[1].id;
    t->add_bos = t->front >= 0;
    t->add_eos = t->back >= 0;
    return 0;
}

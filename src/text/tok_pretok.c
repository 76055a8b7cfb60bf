/* The pre-tokeniser of a checkpoint: spelt out in tokenizer.json, or a name in a GGUF. */
#include <string.h>

#include "base/json.h"
#include "text/tok.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORDS(digits)                                                                              \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                          \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Names that converters write into tokenizer.ggml.pre. What tokenizer.json says is the truth; these
 * are the same rules from memory of the checkpoints, checked with test vectors. */
static const struct named {
    const char *name;
    bool nfc, whole_words;
    const char *patterns[5];
} named[] = {
    {"gpt-2", false, false, {PRETOK_GPT2}},
    {"phi-2", false, false, {PRETOK_GPT2}},
    {"mpt", true, false, {PRETOK_GPT2}},
    {"default", false, false, {PRETOK_GPT2}},
    {"smollm", false, false, {PRETOK_DIGIT, PRETOK_GPT2}},
    {"starcoder", false, false, {PRETOK_DIGIT, PRETOK_GPT2}},
    {"refact", false, false, {PRETOK_DIGIT, PRETOK_GPT2}},
    {"falcon", false, false, {"[\\p{P}$+<=>^~|`]+", PRETOK_GPT2, "[0-9][0-9][0-9]"}},
    {"deepseek-coder",
     false,
     false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
      "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", PRETOK_DIGIT}},
    {"llama-bpe", false, true, {WORDS("\\p{N}{1,3}")}},
    {"qwen2", true, false, {WORDS("\\p{N}")}},
};

int tok_named_pretok(struct tokenizer *t, const char *name, struct err *e)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const struct named *row = &named[i];
        if (strcmp(row->name, name ? name : "default"))
            continue;
        t->nfc = row->nfc;
        t->bpe.whole_words = row->whole_words;
        for (size_t k = 0; k < 5 && row->patterns[k]; k++)
            if (pretok_add(&t->pretok, row->patterns[k], false, PRETOK_ISOLATE, e))
                return -1;
        return 0;
    }
    struct buf known = {0};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (buf_printf(&known, e, " %s", named[i].name))
            break;
    err_set(e, "pre-tokeniser '%s' is not known; take the checkpoint's tokenizer.json (known:%s)",
            name, known.data);
    buf_fini(&known);
    return -1;
}

const char *tok_pretok_name(const struct tokenizer *t)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const struct named *row = &named[i];
        int k = 0;
        while (k < t->pretok.n && k < 5 && row->patterns[k] &&
               !strcmp(row->patterns[k], t->pretok.steps[k].pattern))
            k++;
        if (k == t->pretok.n && (k == 5 || !row->patterns[k]) && row->nfc == t->nfc &&
            row->whole_words == t->bpe.whole_words)
            return row->name;
    }
    return NULL;
}

/* "behavior" and "invert" of a Split. Isolated keeps both sides; Removed drops the matches, or,
 * where inverted, what is between them. */
static int read_keep(const json_t *j, enum pretok_keep *keep, struct err *e)
{
    const char *behavior;
    bool invert = false;
    if (json_need_str(j, "behavior", &behavior, e) || json_opt_bool(j, "invert", &invert, e))
        return -1;
    if (!strcmp(behavior, "Isolated"))
        *keep = PRETOK_ISOLATE;
    else if (!strcmp(behavior, "Removed"))
        *keep = invert ? PRETOK_DROP_GAPS : PRETOK_DROP_MATCHES;
    else
        return err_set(e, "split behavior '%s' is not supported (Isolated and Removed are)",
                       behavior);
    return 0;
}

static int read_split(struct tokenizer *t, const json_t *j, struct err *e)
{
    const char *regex = NULL, *text = NULL;
    enum pretok_keep keep = PRETOK_ISOLATE;
    const json_t *pattern = json_object_get(j, "pattern");
    if (read_keep(j, &keep, e) || json_opt_str(pattern, "Regex", &regex, e) ||
        json_opt_str(pattern, "String", &text, e))
        return -1;
    if (!regex && !text)
        return err_set(e, "a split has no pattern");
    return pretok_add(&t->pretok, regex ? regex : text, !regex, keep, e);
}

static int read_digits(struct tokenizer *t, const json_t *j, struct err *e)
{
    bool each = false;
    if (json_opt_bool(j, "individual_digits", &each, e))
        return -1;
    return pretok_add(&t->pretok, each ? PRETOK_DIGIT : PRETOK_DIGIT "+", false, PRETOK_ISOLATE, e);
}

static int read_bytelevel(struct tokenizer *t, const json_t *j, struct err *e)
{
    bool prefix = true, regex = true;
    if (json_opt_bool(j, "add_prefix_space", &prefix, e) ||
        json_opt_bool(j, "use_regex", &regex, e))
        return -1;
    if (prefix)
        return err_set(e, "ByteLevel with add_prefix_space is not supported");
    return regex ? pretok_add(&t->pretok, PRETOK_GPT2, false, PRETOK_ISOLATE, e) : 0;
}

static const struct reader {
    const char *type;
    int (*read)(struct tokenizer *t, const json_t *j, struct err *e);
} readers[] = {
    {"Split", read_split},
    {"Digits", read_digits},
    {"ByteLevel", read_bytelevel},
};

/* One step that is no Sequence. *bytes: ByteLevel was there; later steps would cut symbols, not
 * text. */
static int read_step(struct tokenizer *t, const json_t *j, bool *bytes, struct err *e)
{
    const char *type;
    if (json_need_str(j, "type", &type, e))
        return -1;
    if (*bytes)
        return err_set(e, "pre-tokeniser '%s' after ByteLevel is not supported", type);
    *bytes = !strcmp(type, "ByteLevel");
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(type, readers[i].type))
            return readers[i].read(t, j, e);
    return err_set(
        e, "pre-tokeniser '%s' is not supported (Sequence, Split, Digits and ByteLevel are)", type);
}

int tok_read_pretok(struct tokenizer *t, const json_t *j, struct err *e)
{
    bool bytes = false;
    const json_t *list = json_object_get(j, "pretokenizers"), *step;
    if (!json_is_array(list)) {
        if (json_is_object(j) && read_step(t, j, &bytes, e))
            return -1;
    } else {
        size_t i;
        json_array_foreach(list, i, step) if (read_step(t, step, &bytes, e)) return -1;
    }
    return bytes ? 0 : tok_refuse_kind("SentencePiece", e);
}

/* Pre-tokenisers by the names that converters write into tokenizer.ggml.pre. tokenizer.json
 * is authoritative; these are the same rules, checked with test vectors where there are any
 * (test/vectors_test.c lists them).
 */
#include <string.h>

#include "text/scan.h"
#include "text/tokenizer_private.h"

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
/* Words that start with capitals, as Mistral's Tekken and OpenAI's o200k split them. */
#define CASED(contraction, digits)                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" contraction "|[^\\r\\n\\p{L}\\p{N}]?" UPPER       \
    "+" LOWER "*" contraction "|" digits                                                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HAN "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

enum { NFC = 1, WHOLE_WORDS = 2, BOS = 4 };

static const struct named {
    const char *name;
    int flags;
    const char *patterns[5];
} named[] = {
    {"gpt-2", 0, {PATTERN_GPT2}},
    {"phi-2", 0, {PATTERN_GPT2}},
    {"mpt", NFC, {PATTERN_GPT2}},
    {"olmo", NFC, {PATTERN_GPT2}},
    {"gpt-neox", NFC, {PATTERN_GPT2}},
    {"default", 0, {PATTERN_GPT2}},
    {"smollm", 0, {PATTERN_DIGIT, PATTERN_GPT2}},
    {"starcoder", 0, {PATTERN_DIGIT, PATTERN_GPT2}},
    {"refact", 0, {PATTERN_DIGIT, PATTERN_GPT2}},
    {"command-r", NFC, {PATTERN_DIGIT, PATTERN_GPT2}},
    {"falcon", 0, {"[\\p{P}$+<=>^~|`]+", PATTERN_GPT2, "[0-9][0-9][0-9]"}},
    {"deepseek-llm",
     0,
     {"[\\r\\n]", "\\s?\\p{L&}+",
      "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}"
      "\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
      "\\s+$", HAN "|" PATTERN_DIGIT "+"}},
    {"deepseek-coder", 0, {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN, PATTERN_DIGIT}},
    {"llama-bpe", WHOLE_WORDS | BOS, {PATTERN_WORDS("\\p{N}{1,3}")}},
    {"dbrx", 0, {PATTERN_WORDS("\\p{N}{1,3}")}},
    {"qwen2", NFC, {PATTERN_WORDS("\\p{N}")}},
    {"stablelm2", NFC, {PATTERN_WORDS("\\p{N}")}},
    {"tekken", WHOLE_WORDS | BOS, {CASED("", "\\p{N}")}},
    {"gpt-4o", 0, {CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}")}},
};

enum { N_NAMED = sizeof named / sizeof *named };

int tok_named_pretok(struct tokenizer *t, const char *name, struct err *e)
{
    for (size_t i = 0; i < N_NAMED; i++) {
        const struct named *row = &named[i];
        if (strcmp(row->name, name ? name : "default"))
            continue;
        t->pre = row->name;
        t->bpe.whole_words = row->flags & WHOLE_WORDS;
        t->add_bos = row->flags & BOS;
        if (row->flags & NFC && normal_add(&t->normal, NORMAL_NFC, NULL, NULL, false, e))
            return -1;
        for (size_t k = 0; k < 5 && row->patterns[k]; k++)
            if (pretok_add_split(&t->pretok, row->patterns[k], false, PRETOK_ISOLATE, false, e))
                return -1;
        return 0;
    }
    struct buf known = {0};
    for (size_t i = 0; i < N_NAMED; i++)
        if (buf_printf(&known, e, " %s", named[i].name))
            break;
    err_set(e, "pre-tokeniser '%s' is not known; take the checkpoint's tokenizer.json (known:%s)",
            name, known.data);
    buf_fini(&known);
    return -1;
}

const char *tok_pretok_name(const struct tokenizer *t)
{
    if (t->pre || t->kind != TOK_BYTES)
        return t->pre;
    bool nfc = t->normal.n == 1 && t->normal.steps[0].kind == NORMAL_NFC;
    for (size_t i = 0; i < N_NAMED && t->normal.n == nfc; i++) {
        const struct named *row = &named[i];
        int k = 0;
        for (; k < t->pretok.n && k < 5 && row->patterns[k]; k++)
            if (t->pretok.steps[k].kind != PRETOK_SPLIT ||
                t->pretok.steps[k].keep != PRETOK_ISOLATE ||
                strcmp(t->pretok.steps[k].pattern, row->patterns[k]))
                break;
        if (k == t->pretok.n && (k == 5 || !row->patterns[k]) && nfc == !!(row->flags & NFC) &&
            t->bpe.whole_words == !!(row->flags & WHOLE_WORDS))
            return row->name;
    }
    return NULL;
}

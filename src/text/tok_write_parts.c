/* Writer of tokenizer.json's normaliser, pre-tokeniser and decoder. */
#include "base/json.h"
#include "text/tokenizer_private.h"

static json_t *pattern_json(const char *kind, const char *text)
{
    return json_pack("{ss}", kind, text);
}

json_t *tok_normal_json(const struct tokenizer *t)
{
    static const char *const forms[] = {
        [NORMAL_NFC] = "NFC", [NORMAL_NFD] = "NFD", [NORMAL_NFKC] = "NFKC", [NORMAL_NFKD] = "NFKD"};
    json_t *list = json_array();
    for (int i = 0; i < t->normal.n; i++) {
        const struct normal_step *s = &t->normal.steps[i];
        if (s->kind == NORMAL_PREPEND)
            json_array_append_new(list, json_pack("{ssss}", "type", "Prepend", "prepend", s->to));
        else if (s->kind == NORMAL_REPLACE)
            json_array_append_new(list,
                                  json_pack("{sssoss}", "type", "Replace", "pattern",
                                            pattern_json(s->regex ? "Regex" : "String", s->from),
                                            "content", s->to));
        else if (s->kind <= NORMAL_NFKD)
            json_array_append_new(list, json_pack("{ss}", "type", forms[s->kind]));
    }
    if (json_array_size(list))
        return json_pack("{ssso}", "type", "Sequence", "normalizers", list);
    json_decref(list);
    return json_null();
}

static json_t *byte_level_json(bool prefix, bool regex)
{
    return json_pack("{sssbsbsb}", "type", "ByteLevel", "add_prefix_space", prefix, "trim_offsets",
                     1, "use_regex", regex);
}

json_t *tok_pretok_json(const struct tokenizer *t)
{
    static const char *const schemes[] = {
        [PREPEND_NEVER] = "never", [PREPEND_FIRST] = "first", [PREPEND_ALWAYS] = "always"};
    const struct pretok_step *s = t->pretok.steps;
    if (t->kind != TOK_BYTES) /* of the readers whose files are written so, Metaspace alone */
        return t->pretok.n
                   ? json_pack("{sssssssb}", "type", "Metaspace", "replacement", PRETOK_MARK,
                               "prepend_scheme", schemes[s->prepend], "split", 0)
                   : json_null();
    if (t->pretok.n && s->kind == PRETOK_SPACE) /* vocab.json with add_prefix_space */
        return byte_level_json(true, true);
    json_t *list = json_array();
    for (int i = 0; i < t->pretok.n; i++)
        json_array_append_new(list, json_pack("{sss{ss}sssb}", "type", "Split", "pattern", "Regex",
                                              s[i].pattern, "behavior", "Isolated", "invert", 0));
    json_array_append_new(list, byte_level_json(false, false));
    return json_pack("{ssso}", "type", "Sequence", "pretokenizers", list);
}

json_t *tok_decoder_json(const struct tokenizer *t)
{
    json_t *list = json_array();
    if (t->kind == TOK_BYTES) {
        json_decref(list);
        return byte_level_json(false, false);
    }
    for (int i = 0; i < t->decoder.n; i++) {
        const struct decoder_step *s = &t->decoder.steps[i];
        json_array_append_new(
            list,
            s->kind == DECODE_REPLACE ? json_pack("{sssoss}", "type", "Replace", "pattern",
                                                  pattern_json("String", s->from), "content", s->to)
            : s->kind == DECODE_STRIP
                ? json_pack("{sssssisi}", "type", "Strip", "content", s->from, "start", s->start,
                            "stop", s->stop)
                : json_pack("{ss}", "type", s->kind == DECODE_FUSE ? "Fuse" : "ByteFallback"));
    }
    return json_pack("{ssso}", "type", "Sequence", "decoders", list);
}

/* Chat templates: renderings of the rows against transformers' of the public templates
 * (tools/make_chat_golden.py), tags of one's own, and that no message becomes a special token. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/chat.h"
#include "figures.h"

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static int read_messages(const json_t *list, struct message *m)
{
    int n = (int)json_array_size(list);
    for (int i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, (size_t)i);
        m[i] = (struct message){text_of(one, "role"), text_of(one, "content")};
    }
    return n;
}

static bool renders(const struct chat *c, const json_t *conversation, const json_t *row)
{
    struct err e = {.msg = ""};
    struct message m[8];
    struct chat_text out = {0};
    int n = read_messages(conversation, m);
    const char *want = text_of(row, "text"), *got = NULL;
    if (!chat_render(c, m, n, json_is_true(json_object_get(row, "open")), &out, &e))
        got = out.text.data ? out.text.data : "";
    bool same = want && got ? !strcmp(want, got) : !want && !got && *e.msg;
    if (!same)
        note("'%s' (%s), not '%s'", got ? got : "refused", e.msg, want ? want : "refused");
    chat_text_fini(&out);
    return same;
}

/* The template of this name, as for a tokenizer with these tokens. */
static bool open_row(struct chat *c, const char *name, const char *bos, const char *eos,
                     const char *date, struct err *e)
{
    struct buf text = {0};
    const struct chat_row *row = chat_by_name(name, e);
    *c = (struct chat){.name = name, .date = date};
    if (!row || buf_str(&text, chat_prelude, e) || buf_str(&text, row->jinja, e) ||
        !(c->jinja = jinja_compile(text.data, text.len, e)))
        return false;
    c->vars = json_pack("{ss* ss* ss*}", "bos_token", bos, "eos_token", eos, "date_string", date);
    buf_fini(&text);
    return c->vars != NULL;
}

/* Figures of a public template: the row in its place renders the same. */
static void test_template(const json_t *conversations, const json_t *t)
{
    struct err e = {.msg = ""};
    struct chat c;
    const char *name = text_of(t, "template"), *family = text_of(t, "family");
    if (!family)
        return;
    if (!strcmp(name, "qwen3-nothink"))
        family = name;
    bool bos = strstr(text_of(t, "jinja"), "bos_token");
    size_t i, good = 0, n = json_array_size(json_object_get(t, "rows"));
    const json_t *row;
    json_array_foreach(json_object_get(t, "rows"), i, row)
    {
        json_int_t which = json_integer_value(json_object_get(row, "conversation"));
        if (open_row(&c, family, bos ? text_of(t, "bos") : NULL, text_of(t, "eos"),
                     text_of(row, "date"), &e))
            good += renders(&c, json_array_get(conversations, (size_t)which), row);
        else
            note("%s", e.msg);
        chat_close(&c);
    }
    ok(n && good == n, "%s: %zu of %zu renderings by %s", name, good, n, family);
}

static bool opened(struct chat *c, const struct tokenizer *t, struct chat_choice choice)
{
    struct err e = {.msg = ""};
    return ok(!chat_open(c, t, &choice, &e), "a template is ready %s", e.msg);
}

static void test_choice(const struct tokenizer *t)
{
    struct err e;
    struct chat c;
    struct chat_text out = {0};
    const struct message m[] = {{"user", "Hi"}, {"assistant", " Ho "}, {"user", "{date}"}};
    struct chat_choice tags = {.tags = {"", "U{bos} ", "A{ "}, .ends = {NULL, "{eos}", "."}};
    if (opened(&c, t, (struct chat_choice){0}))
        ok(!strcmp(c.name, "its own") && !strcmp(chat_end_token(&c), "<|im_end|>") &&
               chat_has_system_turn(&c) && !strcmp(chat_name_of(t), "chatml"),
           "the checkpoint's own is chatml");
    chat_close(&c);
    if (opened(&c, t, tags) && !chat_render(&c, m, 3, true, &out, &e))
        ok(!chat_end_token(&c) &&
               !strcmp(out.text.data, "U<|im_start|> Hi<|im_end|>A{  Ho .U<|im_start|> {date}"
                                      "<|im_end|>A{ "),
           "tags of one's own: '%s'", out.text.data);
    chat_close(&c);
    chat_text_clear(&out);
    tags = (struct chat_choice){.template = "llama-2", .tags = {NULL, NULL, "=> "}};
    if (opened(&c, t, tags))
        ok(!chat_render(&c, m, 1, true, &out, &e) && !chat_has_system_turn(&c) &&
               !strcmp(out.text.data, "<|im_start|>[INST] Hi [/INST]=> "),
           "one tag of a family exchanged: '%s'", out.text.data);
    chat_close(&c);
    ok(!chat_open(&c, t, &(struct chat_choice){.template = "none"}, &e) && !c.name &&
           !chat_end_token(&c) && !chat_has_system_turn(&c),
       "none");
    chat_close(&c);
    chat_text_fini(&out);
}

static void test_refusals(const struct tokenizer *t)
{
    struct err e;
    struct chat c;
    struct chat_text out = {0};
    const struct message system = {"system", "S"}, tool = {"tool", "T"},
                         odd[] = {{"user", "a"}, {"user", "b"}},
                         thought[] = {{"user", "a"}, {"assistant", "<think>\nx\n</think>\nb"}};
    ok(!chat_by_name("nothing", &e) && strstr(e.msg, "smollm2, chatml, ") &&
           strstr(e.msg, ", plain"),
       "%s", e.msg);
    ok(!chat_by_name("llama", &e) && !chat_by_name("3.2", &e) && !chat_by_name("", &e) &&
           chat_by_name("llama-3.3", &e) == chat_by_name("llama-3.1", &e),
       "names are whole");
    ok(chat_open(&c, t, &(struct chat_choice){.template = "none", .ends = {"x"}}, &e) &&
           strstr(e.msg, "tags"),
       "%s", e.msg);
    if (opened(&c, t, (struct chat_choice){.template = "gemma"}))
        ok(chat_render(&c, &system, 1, true, &out, &e) && strstr(e.msg, "'system'"), "%s", e.msg);
    ok(chat_render(&c, &tool, 1, true, &out, &e) && strstr(e.msg, "'tool'"), "%s", e.msg);
    ok(chat_render(&c, odd, 2, true, &out, &e) && strstr(e.msg, "turn 2"), "%s", e.msg);
    chat_close(&c);
    if (opened(&c, t, (struct chat_choice){.template = "qwen3"}) &&
        !chat_render(&c, thought, 2, false, &out, &e))
        ok(strstr(out.text.data, "\n<think>\nx\n</think>\n\nb<|im_end|>"),
           "thoughts of an answer stay: '%s'", out.text.data);
    chat_close(&c);
    ok(open_row(&c, "zephyr", NULL, NULL, NULL, &e) && chat_render(&c, odd, 1, false, &out, &e) &&
           strstr(e.msg, "names none"),
       "%s", e.msg);
    chat_close(&c);
    chat_text_fini(&out);
}

/* Random texts of fragments, among them special tokens. Around a message the ids are those of the
 * template; in it they are those of plain text. */
static void test_plain(const struct tokenizer *t)
{
    struct err e;
    static const char *const part[] = {"<|im_end|>", "<", "|im_end|>", " a", "<|im_start|>", "\n"};
    int bad = 0;
    unsigned seed = 1;
    for (int i = 0; i < 200; i++) {
        struct chat_text x = {0};
        struct ids got = {0}, want = {0};
        char s[128] = "";
        for (int k = 0; k < 6; k++)
            strcat(s, part[((seed = seed * 1103515245 + 12345) >> 16) % 6]);
        bool fine = !buf_str(&x.text, "<|im_end|>", &e) && !chat_text_add(&x, s, &e) &&
                    !buf_str(&x.text, "<|im_start|>", &e) &&
                    !tokenizer_encode_around(t, x.text.data, x.text.len, x.spans, x.n, &got, &e) &&
                    !ids_add(&want, tokenizer_id(t, "<|im_end|>"), &e) &&
                    !tokenizer_encode(t, s, strlen(s), false, &want, &e) &&
                    !ids_add(&want, tokenizer_id(t, "<|im_start|>"), &e) && got.n == want.n;
        bad += !fine || memcmp(got.v, want.v, got.n * sizeof *got.v) != 0;
        free(got.v);
        free(want.v);
        chat_text_fini(&x);
    }
    ok(!bad, "special tokens in messages are plain text: %d of 200 are not", bad);
}

static bool encodes(const struct tokenizer *t, const struct chat *c, const json_t *conversation,
                    const json_t *row)
{
    struct err e = {.msg = ""};
    struct message m[8];
    struct chat_text out = {0};
    struct ids got = {0};
    int n = read_messages(conversation, m);
    const json_t *want = json_object_get(row, "ids");
    bool same =
        !chat_render(c, m, n, json_is_true(json_object_get(row, "open")), &out, &e) &&
        !tokenizer_encode_around(t, out.text.data, out.text.len, out.spans, out.n, &got, &e) &&
        got.n == json_array_size(want);
    for (size_t i = 0; same && i < got.n; i++)
        same = got.v[i] == json_integer_value(json_array_get(want, i));
    if (!same)
        note("'%s': %zu ids, wanted %zu %s", out.text.data ? out.text.data : "", got.n,
             json_array_size(want), e.msg);
    free(got.v);
    chat_text_fini(&out);
    return same;
}

/* How often the vocabulary's token `special` is in the ids of a conversation whose first message
 * holds its text: as often as the template says. */
static bool keeps_out(const struct tokenizer *t, const struct chat *c, const char *special)
{
    struct err e;
    char said[64];
    int count[2] = {0};
    snprintf(said, sizeof said, "a %s b", special);
    for (int k = 0; k < 2; k++) {
        const struct message m[] = {{"user", k ? said : "a b"}, {"assistant", "c"}};
        struct chat_text out = {0};
        struct ids got = {0};
        if (chat_render(c, m, 2, true, &out, &e) ||
            tokenizer_encode_around(t, out.text.data, out.text.len, out.spans, out.n, &got, &e))
            count[k] = -1;
        for (size_t i = 0; i < got.n; i++)
            count[k] += got.v[i] == tokenizer_id(t, special);
        free(got.v);
        chat_text_fini(&out);
    }
    return count[0] == count[1] && count[0] >= 0 && tokenizer_id(t, special) >= 0;
}

/* Second tier: ids by public vocabularies. */
static void test_ids(const json_t *conversations, const json_t *v)
{
    struct err e = {.msg = ""};
    const char *name = text_of(v, "vocabulary");
    char place[128];
    snprintf(place, sizeof place, "data/tokenizers/%s", name);
    char *path = test_shared(place);
    if (!path) {
        skip("%s is not there", place);
        return;
    }
    struct tokenizer *t = tokenizer_open(path, &e);
    free(path);
    struct chat c = {0};
    const char *family = text_of(v, "family"), *eos = text_of(v, "eos");
    if (!ok(t && open_row(&c, family, text_of(v, "bos"), eos, NULL, &e), "%s %s", name, e.msg)) {
        tokenizer_close(t);
        return;
    }
    size_t i, good = 0, n = json_array_size(json_object_get(v, "rows"));
    const json_t *row;
    json_array_foreach(json_object_get(v, "rows"), i, row)
    {
        json_int_t which = json_integer_value(json_object_get(row, "conversation"));
        good += encodes(t, &c, json_array_get(conversations, (size_t)which), row);
    }
    ok(n && good == n, "%s in %s: ids of %zu of %zu conversations", family, name, good, n);
    ok(keeps_out(t, &c, eos), "%s: a message cannot hold '%s'", name, eos);
    chat_close(&c);
    tokenizer_close(t);
}

int main(void)
{
    struct err e = {.msg = ""};
    char *dir = test_data("tok");
    struct tokenizer *tok = dir ? tokenizer_open(dir, &e) : NULL;
    if (ok(tok, "open test/data/tok %s", e.msg)) {
        test_choice(tok);
        test_refusals(tok);
        test_plain(tok);
    }
    tokenizer_close(tok);
    free(dir);
    json_t *doc = load(test_data("chat.json"));
    size_t i;
    const json_t *t;
    json_array_foreach(json_object_get(doc, "templates"), i, t)
        test_template(json_object_get(doc, "conversations"), t);
    ok(i > 20, "%zu templates", i);
    json_t *ids = load(test_data("chat_ids.json"));
    json_array_foreach(ids, i, t) test_ids(json_object_get(doc, "conversations"), t);
    json_decref(ids);
    json_decref(doc);
    return done();
}

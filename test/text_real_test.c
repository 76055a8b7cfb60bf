/* Second tier: the tokenizer of SmolLM2 against the reference figures. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "tap.h"
#include "text/chat.h"
#include "text/qa.h"
#include "text/tokenizer.h"

static bool same_ids(const int *got, size_t n, const json_t *want)
{
    if (n != json_array_size(want))
        return false;
    for (size_t i = 0; i < n; i++)
        if (got[i] != json_integer_value(json_array_get(want, i)))
            return false;
    return true;
}

static bool encodes(const struct tokenizer *t, const char *s, size_t n, bool specials,
                    const json_t *want)
{
    struct err e;
    struct ids ids = {0};
    bool same = !tokenizer_encode(t, s, n, specials, &ids, &e) && same_ids(ids.v, ids.n, want);
    free(ids.v);
    return same;
}

static bool decodes(const struct tokenizer *t, const json_t *ids, const json_t *want)
{
    struct err e;
    struct ids in = {0};
    struct buf out = {0};
    for (size_t i = 0; i < json_array_size(ids); i++)
        ids_add(&in, (int)json_integer_value(json_array_get(ids, i)), &e);
    bool same = !tokenizer_decode(t, in.v, in.n, false, &out, &e) &&
                out.len == json_string_length(want) &&
                !memcmp(out.data, json_string_value(want), out.len);
    free(in.v);
    buf_fini(&out);
    return same;
}

static void test_texts(const struct tokenizer *t, const char *from, const json_t *rows)
{
    size_t i, n = json_array_size(rows), ids = 0, plain = 0, text = 0;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *s = json_object_get(row, "text"), *want = json_object_get(row, "ids");
        const json_t *as_text = json_object_get(row, "ids_plain");
        const json_t *decoded = json_object_get(row, "decoded");
        const char *chars = json_string_value(s);
        size_t len = json_string_length(s);
        ids += encodes(t, chars, len, true, want);
        plain += encodes(t, chars, len, false, as_text ? as_text : want);
        text += decodes(t, want, decoded ? decoded : s);
    }
    ok(n && ids == n && plain == n && text == n,
       "%s: ids of %zu, ids as plain text of %zu, decoded text of %zu of %zu rows", from, ids,
       plain, text, n);
}

static bool renders(const struct chat *c, const json_t *row, struct chat_text *out)
{
    struct err e;
    struct message m[16];
    const json_t *list = json_object_get(row, "messages"), *want = json_object_get(row, "rendered");
    int n = (int)json_array_size(list);
    if (n > 16)
        return false;
    for (int i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, (size_t)i);
        m[i].role = json_string_value(json_object_get(one, "role"));
        m[i].content = json_string_value(json_object_get(one, "content"));
    }
    bool open = json_is_true(json_object_get(row, "add_generation_prompt"));
    return !chat_render(c, m, n, open, out, &e) && !strcmp(out->text.data, json_string_value(want));
}

/* Whether a message holds the text of a special token. */
static bool injects(const struct chat_text *t)
{
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = t->spans[i].from; k + 2 <= t->spans[i].to; k++)
            if (!memcmp(t->text.data + k, "<|", 2))
                return true;
    return false;
}

static void test_chat(const struct tokenizer *t, const json_t *doc)
{
    struct err e = {.msg = ""};
    const json_t *rows = json_object_get(doc, "rows"), *row;
    struct chat c;
    size_t i, text = 0, ids = 0, n = json_array_size(rows);
    const char *name = chat_name_of(t), *jinja = tokenizer_chat_template(t, NULL);
    const char *golden = json_string_value(json_object_get(doc, "chat_template"));
    if (!ok(!chat_open(&c, t, &(struct chat_choice){0}, &e) && name && !strcmp(name, "smollm2") &&
                golden && !strcmp(jinja, golden),
            "the template is SmolLM2's %s", e.msg))
        return;
    json_array_foreach(rows, i, row)
    {
        struct chat_text out = {0};
        struct ids got = {0};
        text += renders(&c, row, &out);
        bool same =
            !tokenizer_encode_around(t, out.text.data, out.text.len, out.spans, out.n, &got, &e) &&
            same_ids(got.v, got.n, json_object_get(row, "ids"));
        /* transformers takes special tokens from messages; here they stay plain text. */
        ids += same != injects(&out);
        free(got.v);
        chat_text_fini(&out);
    }
    chat_close(&c);
    ok(n && text == n && ids == n, "chat: text of %zu, ids of %zu of %zu rows", text, ids, n);
}

/* Prompt, and prompt + answer + end token, of one question. Returns how many sequences fit. */
static size_t fits(struct qa_format *q, const json_t *row)
{
    struct err e;
    size_t i, good = 0;
    const json_t *prompt = json_object_get(row, "prompt_ids"), *seq;
    const char *question = json_string_value(json_object_get(row, "question"));
    json_array_foreach(json_object_get(row, "sequences"), i, seq)
    {
        const int *p, *w;
        int n, m, glue = q->compat & COMPAT_APPEND_EOS ? 2 : 0;
        const json_t *answer = json_object_get(seq, "answer");
        good += !qa_encode(q, question, json_string_value(answer), &p, &n, &w, &m, &e) &&
                same_ids(p, (size_t)n, prompt) && same_ids(w, (size_t)n, prompt) &&
                same_ids(w + n, (size_t)(m - n - glue), json_object_get(seq, "answer_ids")) &&
                (!glue || (w[m - 2] == 198 && w[m - 1] == 2));
    }
    return good;
}

static void test_qa(const struct tokenizer *t, const json_t *doc)
{
    struct err e;
    struct chat chat;
    const char *system = json_string_value(json_object_get(doc, "system_prompt"));
    if (!ok(!chat_open(&chat, t, &(struct chat_choice){0}, &e), "qa: template"))
        return;
    for (int k = 0; k < 2; k++) {
        struct qa_format q = {
            .tok = t, .chat = &chat, .system = system, .compat = k ? COMPAT_APPEND_EOS : 0};
        const json_t *rows = json_object_get(doc, "rows"), *row;
        size_t i, good = 0, n = 0;
        json_array_foreach(rows, i, row)
        {
            good += fits(&q, row);
            n += json_array_size(json_object_get(row, "sequences"));
        }
        ok(n && good == n, "questions and answers%s: %zu of %zu sequences",
           k ? ", glue and eos appended" : "", good, n);
        qa_fini(&q);
    }
    chat_close(&chat);
}

/* Saved as transformers' files and opened again, it is the same tokenizer. */
static void test_saved(const struct tokenizer *t, const json_t *rows)
{
    struct err e = {.msg = ""};
    char *once = file_join(test_dir(), "saved", &e), *twice = file_join(test_dir(), "again", &e);
    struct tokenizer *s = tokenizer_save(t, once, &e) ? NULL : tokenizer_open(once, &e);
    struct tokenizer *c = !s || tokenizer_save(s, twice, &e) ? NULL : tokenizer_open(twice, &e);
    if (ok(c && tokenizer_vocab_size(c) == tokenizer_vocab_size(t) &&
               tokenizer_bos(c) == tokenizer_bos(t) && tokenizer_eos(c) == tokenizer_eos(t) &&
               tokenizer_pad(c) == tokenizer_pad(t) &&
               !strcmp(tokenizer_chat_template(c, NULL), tokenizer_chat_template(t, NULL)),
           "saved, copied and opened again %s", e.msg))
        test_texts(c, "copy", rows);
    tokenizer_close(c);
    tokenizer_close(s);
    free(once);
    free(twice);
}

static json_t *shared_json(const char *name)
{
    struct err e = {.msg = ""};
    char *path = test_shared(name);
    json_t *j = path ? json_read_file(path, &e) : NULL;
    if (!j)
        skip("%s: %s", name, path ? e.msg : "not there");
    free(path);
    return j;
}

static void test_smollm2_rows(const struct tokenizer *t)
{
    json_t *texts = shared_json("golden_smollm2/tokenizer.json");
    json_t *chat = shared_json("golden_smollm2/chat.json");
    json_t *qa = shared_json("golden_smollm2/logprobs.json");
    if (texts) {
        test_texts(t, "SmolLM2", json_object_get(texts, "rows"));
        test_saved(t, json_object_get(texts, "rows"));
    }
    if (chat)
        test_chat(t, chat);
    if (qa)
        test_qa(t, qa);
    json_decref(texts);
    json_decref(chat);
    json_decref(qa);
}

/* Vocabularies without vectors of their own. */
static void test_opens(const char *name)
{
    struct err e = {.msg = ""};
    char *path = test_shared(name);
    struct tokenizer *t = path ? tokenizer_open(path, &e) : NULL;
    if (path)
        ok(t != NULL, "%s: %s", name, t ? "opens" : e.msg);
    else
        skip("%s: not there", name);
    tokenizer_close(t);
    free(path);
}

static void note_speed(const struct tokenizer *t)
{
    struct err e;
    char *path = test_shared("data/text/wizard_of_oz.txt");
    size_t n = 0;
    char *text = path ? file_read(path, &n, &e) : NULL;
    struct ids ids = {0};
    double start = log_seconds();
    int rc = text ? tokenizer_encode(t, text, n, true, &ids, &e) : -1;
    double first = log_seconds() - start;
    for (int i = 0; i < 10 && !rc; i++) {
        ids.n = 0;
        rc = tokenizer_encode(t, text, n, true, &ids, &e);
    }
    if (!rc)
        note("encodes %.1f MB/s at first sight, then %.1f MB/s", (double)n / first / 1e6,
             10 * (double)n / (log_seconds() - start - first) / 1e6);
    free(ids.v);
    free(text);
    free(path);
}

int main(void)
{
    struct err e = {.msg = ""};
    char *model = test_smollm2();
    struct tokenizer *t = model ? tokenizer_open(model, &e) : NULL;
    if (!model) {
        skip("SmolLM2 is not in the cache");
    } else if (ok(t != NULL, "open SmolLM2 %s", e.msg)) {
        test_smollm2_rows(t);
        note_speed(t);
    }
    tokenizer_close(t);
    free(model);
    test_opens("data/tokenizers/phi-2/tokenizer.json");
    test_opens("data/tokenizers/gpt-neox/20B_tokenizer.json");
    test_opens("data/tokenizers/gguf/ggml-vocab-gpt-neox.gguf");
    test_opens("data/tokenizers/gguf/ggml-vocab-baichuan.gguf");
    test_opens("data/tokenizers/mistral/tokenizer.model.v1");
    return done();
}

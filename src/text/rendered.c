#include "text/rendered.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

enum { MARGIN = 10, MOST_LINES = 8 }; /* of a text */

/* Where the text of the first n tokens ends within the whole text; if it is no prefix of that, as
 * with a character that is cut, the texts are decoded apart. */
static int decode(const struct tokenizer *t, const struct seq *q, int n, struct buf *prompt,
                  struct buf *answer, struct err *e)
{
    const size_t rest = (size_t)(q->n - n);
    struct buf whole = {0};
    int rc = tokenizer_decode(t, q->ids, (size_t)n, false, prompt, e) ||
                     tokenizer_decode(t, q->ids, (size_t)q->n, false, &whole, e)
                 ? -1
                 : 0;
    const bool prefix = !rc && whole.len >= prompt->len &&
                        (!prompt->len || !memcmp(whole.data, prompt->data, prompt->len));
    if (!rc)
        rc = prefix ? buf_add(answer, whole.data ? whole.data + prompt->len : "",
                              whole.len - prompt->len, e)
                    : tokenizer_decode(t, q->ids + n, rest, false, answer, e);
    buf_fini(&whole);
    return rc;
}

static json_t *text_json(const struct buf *b)
{
    return json_stringn_nocheck(b->data ? b->data : "", b->len); /* decoding gives valid UTF-8 */
}

json_t *rendered_row(const struct tokenizer *t, const struct seq *q, struct err *e)
{
    struct buf prompt = {0}, answer = {0};
    json_t *row = NULL;
    int rc = decode(t, q, seq_labels(q) ? seq_prompt(q) : q->n, &prompt, &answer, e);
    if (!rc && !(row = json_pack("{s:i, s:i, s:o, s:o}", "tokens", q->n, "scored", seq_labels(q),
                                 "prompt", text_json(&prompt), "answer", text_json(&answer))))
        err_no_memory(e, "first row");
    buf_fini(&prompt);
    buf_fini(&answer);
    return row;
}

/* Bytes of s[0..n) that a line takes: up to `most` characters, to the last space among them if
 * there is one in its second half. */
static size_t line_of(const char *s, size_t n, int most)
{
    size_t at = 0, space = 0;
    for (int c = 0; at < n && c < most; c++) {
        at += utf8_char(s + at, n - at);
        if (s[at - 1] == ' ' && c > most / 2)
            space = at;
    }
    return at < n && space ? space : at;
}

static int add_lines(const char *name, const char *s, size_t n, struct buf *out, struct err *e)
{
    int rc = 0;
    for (int line = 0; n && !rc; line++) {
        if (line == MOST_LINES)
            return buf_printf(out, e, "\n%*s... (%zu bytes more)", MARGIN, "", n);
        const size_t k = line_of(s, n, RENDERED_WIDTH - MARGIN);
        rc = buf_printf(out, e, "\n  %-*s%.*s", MARGIN - 2, line ? "" : name,
                        (int)(k - (k < n && s[k - 1] == ' ')), s);
        s += k;
        n -= k;
    }
    return rc;
}

/* A text of the row with line ends as "\n" and the like. */
static int add_text(const json_t *row, const char *name, struct buf *out, struct err *e)
{
    const json_t *text = json_object_get(row, name);
    const char *s = json_string_value(text);
    const size_t n = json_string_length(text);
    static const char from[] = "\n\r\t", *const to[] = {"\\n", "\\r", "\\t"};
    struct buf b = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        const char *special = s[i] ? strchr(from, s[i]) : NULL;
        rc = special ? buf_str(&b, to[special - from], e) : buf_add(&b, s[i] ? s + i : " ", 1, e);
    }
    if (!rc)
        rc = add_lines(name, b.data, b.len, out, e);
    buf_fini(&b);
    return rc;
}

int rendered_text(const json_t *row, const char *of, struct buf *out, struct err *e)
{
    return buf_printf(out, e, "first row%s%s: %d tokens, %d of them scored", of ? " of " : "",
                      of ? of : "", (int)json_integer_value(json_object_get(row, "tokens")),
                      (int)json_integer_value(json_object_get(row, "scored"))) ||
                   add_text(row, "prompt", out, e) || add_text(row, "answer", out, e)
               ? -1
               : 0;
}

int rendered_note(const json_t *row, const char *of, struct err *e)
{
    struct buf text = {0};
    int rc = rendered_text(row, of, &text, e);
    for (char *at = text.data, *line; !rc && (line = strsep(&at, "\n"));)
        log_note("%s", line);
    buf_fini(&text);
    return rc;
}

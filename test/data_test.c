/* Rows and examples: what is read, what becomes a label, what is refused. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/order.h"
#include "tap.h"

/* A scratch file with this text; the name is valid until the next call but one. */
static const char *scratch(const char *name, const char *text)
{
    static char path[2][600];
    static int turn;
    struct err e;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", test_dir(), name);
    if (file_write(path[turn], text, strlen(text), &e))
        note("%s", e.msg);
    return path[turn];
}

/* ---- rows ---- */

static int field(const struct rows *r, int i)
{
    return (int)json_integer_value(json_object_get(r->v[i], "a"));
}

static void test_rows(void)
{
    struct rows r;
    struct err e;
    char spec[1300];
    const char *lines =
        scratch("five.jsonl", "\n{\"a\": 0}\r\n{\"a\": 1}\n\n{\"a\": 2}\n{\"a\": 3}");
    ok(!rows_open(&r, lines, &e) && r.n == 4 && field(&r, 3) == 3 && r.at[2].line == 5,
       "JSON Lines, with blank lines, CRLF and no newline at the end");
    rows_close(&r);
    snprintf(spec, sizeof spec, "%s[1:3]", lines);
    ok(!rows_open(&r, spec, &e) && r.n == 2 && field(&r, 0) == 1 && field(&r, 1) == 2, "a range");
    rows_close(&r);
    const char *array =
        scratch("array.json", "\xef\xbb\xbf [\n{\"a\": 7,\n\"b\": [1]}\n, {\"a\":8}] \n");
    ok(!rows_open(&r, array, &e) && r.n == 2 && field(&r, 1) == 8 && r.at[1].line == 4,
       "a JSON array, with a byte order mark");
    rows_close(&r);
    snprintf(spec, sizeof spec, "%s[2:]+%s+%s[:1]", lines, array, lines);
    ok(!rows_open(&r, spec, &e) && r.n == 5 && field(&r, 0) == 2 && field(&r, 2) == 7 &&
           field(&r, 4) == 0 && !strcmp(r.path, spec) && r.n_files == 3,
       "ranges and files joined");
    ok(rows_err(&r, 3, &e, "x %d", 1) && strstr(e.msg, "array.json' line 4: x 1"),
       "a row says where it is from: %s", e.msg);
    rows_close(&r);
    const char *odd = scratch("a+b[0:1]", "{\"a\": 5}\n{\"a\": 6}\n");
    ok(!rows_open(&r, odd, &e) && r.n == 2, "a file of the very name comes first");
    rows_close(&r);
    const char *csv =
        scratch("t.CSV", "a,\"b \"\"x\"\"\"\r\n1,\"two\nlines, one field\"\r\n\r\n,z\r\n");
    ok(!rows_open(&r, csv, &e) && r.n == 2 && r.at[1].line == 5 &&
           !strcmp(rows_text(&r, 0, "b \"x\"", &e), "two\nlines, one field") &&
           !strcmp(rows_text(&r, 1, "a", &e), ""),
       "CSV with quotes, line breaks and an empty field");
    rows_close(&r);
}

/* Rows as Python, pandas and datasets leave them: each file is the same two rows. */
static void test_shapes(void)
{
    static const char *const files[][2] = {
        {"x.jsonl", "{\"q\": \"one\", \"a\": \"x\"}\n{\"q\": \"two\", \"a\": \"y\"}\n"},
        {"pretty.json", "{\n \"q\": \"one\",\n \"a\": \"x\"\n}\n{\n \"q\": \"two\",\"a\": \"y\"}"},
        {"columns.json", "{\"q\": [\"one\", \"two\"], \"a\": [\"x\", \"y\"]}"},
        {"pandas.json",
         "{\"q\": {\"3\": \"one\", \"7\": \"two\"}, \"a\": {\"3\": \"x\", \"7\": \"y\"}}"},
        {"data.json", "{\"version\": 1, \"data\": [{\"q\": \"one\", \"a\": \"x\"},\n{\"q\": "
                      "\"two\", \"a\": \"y\"}]}"},
        {"split.json", "{\"columns\": [\"q\", \"a\"], \"index\": [0, 1], \"data\": [[\"one\", "
                       "\"x\"], [\"two\", \"y\"]]}"},
        {"nan.jsonl", "{\"q\": \"one\", \"a\": \"x\", \"s\": NaN}\n"
                      "{\"q\": \"two\", \"a\": \"y\", \"s\": [-Infinity, 1e400, -1E+999]}"},
        {"big.jsonl", "{\"q\": \"one\", \"a\": \"x\", \"id\": 18446744073709551615}\n"
                      "{\"q\": \"two\", \"a\": \"y\", \"id\": -123456789012345678901234567890}"},
        {"nan.json",
         "[{\"q\": \"one\", \"a\": \"x\", \"s\": NaN},\n {\"q\": \"two\", \"a\": \"y\"}]"},
        {"t.tsv", "q\ta\none\tx\n\"two\"\ty\n"},
        {"tabs", "q\ta\none\tx\ntwo\ty\n"},
        {"tabs.csv", "q\ta\r\none\tx\r\ntwo\ty\r\n"},
        {"semicolons.csv", "q;a\none;x\ntwo;y\n"},
        {"mac.csv", "q,a\rone,x\rtwo,y\r"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct rows r = {0};
        struct err e = {.msg = ""};
        bool same = !rows_open(&r, scratch(files[i][0], files[i][1]), &e) && r.n == 2;
        for (int k = 0; same && k < 2; k++) {
            const char *q = rows_text(&r, k, "q", &e), *a = rows_text(&r, k, "a", &e);
            same = q && a && !strcmp(q, k ? "two" : "one") && !strcmp(a, k ? "y" : "x");
        }
        ok(same, "the two rows of %s %s", files[i][0], e.msg);
        rows_close(&r);
    }
}

static void test_other_shapes(void)
{
    struct rows r;
    struct err e = {.msg = ""};
    ok(!rows_open(&r, scratch("texts.json", "[\"one\",\n \"two\"]"), &e) && r.n == 2 &&
           r.at[1].line == 2 && !strcmp(rows_text(&r, 1, "text", &e), "two"),
       "an array of texts is rows {text} %s", e.msg);
    rows_close(&r);
    static const char *const single[] = {
        "{\"ids\": [1, 2, 3], \"labels\": [-100, 2, 3]}",
        "{\"forget\": [0, 1], \"retain\": [2, 2]}",
        "{\"messages\": [{\"role\": \"user\"}, {\"role\": \"user\"}]}",
        "{\"q\": \"one\", \"l\": [\"x\", \"y\"]}",
        "{\"q\": [\"one\", \"two\"], \"a\": [\"x\"]}",
        "{\"a\": {\"b\": 1}, \"c\": {\"b\": 2}}",
        "{}"};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
        ok(!rows_open(&r, scratch("one.json", single[i]), &e) && r.n == 1 && !r.at[0].number,
           "one row, no table: %s", single[i]);
        rows_close(&r);
    }
    ok(!rows_open(&r, scratch("c.json", "\n{\"q\": [\"a\", \"b\"], \"a\": [\"x\", NaN]}"), &e) &&
           !rows_text(&r, 1, "a", &e) && strstr(e.msg, "line 2, row 2 of the table: ") &&
           strstr(e.msg, "no text but null"),
       "a row of a table is named: %s", e.msg);
    ok(!rows_text(&r, 0, "question", &e) && strstr(e.msg, "it has 'q', 'a'"), "keys found: %s",
       e.msg);
    rows_close(&r);
    ok(!rows_open_lines(&r, scratch("pool.csv", "No, never.\n\n {x}\n"), "a", &e) && r.n == 2 &&
           r.at[1].line == 3 && !strcmp(rows_text(&r, 1, "a", &e), "{x}"),
       "lines, whatever the name %s", e.msg);
    rows_close(&r);
}

/* What a name or bytes promise and a reader of text cannot keep. */
static void test_formats_refused(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *wanted;
    } bad[] = {
        {"PAR1\x15\x04", 6, "Parquet file, which is not read: convert it: python3 -c \"import"},
        {"ARROW1\0\0", 8, "open_file('"},
        {"\xff\xff\xff\xff\x10\0\0\0", 8, "open_stream('"},
        {"\x28\xb5\x2f\xfdxx", 6, "zstd -dc '"},
        {"BZh31AY&SYxx", 12, "bzip2 -dc '"},
        {"\xfd"
         "7zXZ\0",
         6, "xz -dc '"},
        {"PK\x03\x04xx", 6, ".xlsx"},
        {"\xff\xfe{\0", 4, "UTF-16"},
        {"\0{\0\"", 4, "iconv -f UTF-16BE"},
        {"\xff\xfe\0\0", 4, "UTF-32"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull"},
        {"\x1f\x8b\x08\0", 4, "is damaged"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rows r;
        struct err e = {.msg = ""};
        ok(rows_read(&r, "x.json", bad[i].bytes, bad[i].n, &e) && strstr(e.msg, bad[i].wanted) &&
               !r.v,
           "refused: %s", e.msg);
    }
}

static void test_rows_refused(void)
{
    static const char *const bad[][3] = {
        {"x.json", "", "no rows"},
        {"x.json", " \n\n", "no rows"},
        {"x.json", "[]", "no rows"},
        {"x.json", "{\"a\": 1}\n{\"a\": \"\xff\"}\n", "line 2: not valid UTF-8"},
        {"x.json", "[{\"a\": 1},\n\n{\"a\": \"\xc3\"}]", "line 3: not valid UTF-8"},
        {"x.json", "{\"a\": 1}\n[1]\n", "line 2: a row must be"},
        {"x.json", "[{\"a\": 1}, 3]", "line 1: a row must be"},
        {"x.json", "{\"a\": 1} {\"a\": 2}\n", "line 1: not JSON"},
        {"x.json", "{\"a\": 1\n{\"a\": 2}\n", "line 1: not JSON"},
        {"x.json", "I have no idea.\n", "line 1: not JSON"},
        {"x.json", "[{\"a\": 1}] x", "line 1: text after"},
        {"x.json", "[{\"a\": 1},\n", "line 2"},
        {"x.json", "[{\"a\": 1}\n{\"a\": 2}]", "line 2: ',' or ']'"},
        {"x.json", "[{\"a\": 1},]", "line 1: not JSON"},
        {"x.json", "{\"a\": 1}\n\n{\"a\": NaN, \"b\" 1}\n", "line 3: not JSON"},
        {"x.json", "[[\"q\", \"a\"]]", "line 1: a row must be"},
        {"x.json", "{\"data\": [{\"q\": \"a\"}, \"b\"]}\n{\"a\": \"\n", "line 2: not JSON"},
        {"x.tsv", "a\tb\n1\n", "line 2: 1 fields where the header names 2"},
        {"x.csv", "", "line 1: a header"},
        {"x.csv", "a,b\n", "no rows"},
        {"x.csv", "a,b\n1,2\n1\n", "line 3: 1 fields where the header names 2"},
        {"x.csv", "a,b\n1,\"x\n", "line 2: the quoted field is not closed"},
        {"x.csv", "a,b\n1,\"x\"y\n", "line 2: ','"},
        {"x.csv", "a,b\n1,\xff\n", "line 2: not valid UTF-8"},
    };
    struct rows r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {.msg = ""};
        ok(rows_open(&r, scratch(bad[i][0], bad[i][1]), &e) && strstr(e.msg, bad[i][2]) && !r.v,
           "refused: %s", e.msg);
    }
    const char *two = scratch("two.jsonl", "{\"a\": 0}\n{\"a\": 1}\n");
    static const char *const ranges[] = {"[0:3]", "[2:2]",   "[1:0]", "[2:]",
                                         "[-1:]", "[a:b]",   "[1]",   "[99999999999999999999:]",
                                         "+",     "+missing"};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char spec[700];
        struct err e = {.msg = ""};
        snprintf(spec, sizeof spec, "%s%s", two, ranges[i]);
        ok(rows_open(&r, spec, &e) && e.msg[0] && !r.v, "refused: %s: %s", ranges[i], e.msg);
    }
}

/* ---- examples ---- */

/* One id per byte; a prompt Q is "<Q>", or "<Q>_" where Q ends in '!', whose '_' is no prefix of
 * the whole
 * "<Q>answer;". Id 59 (';') plays the end of turn, which also stands in prompts like "a;b". */
struct byte_encoder {
    int prompt[64], whole[128];
};

static int put(int *ids, const char *a, const char *b, const char *c, const char *d)
{
    const char *const part[] = {a, b, c, d};
    int n = 0;
    for (int i = 0; i < 4; i++)
        for (const char *p = part[i]; *p; p++)
            ids[n++] = (unsigned char)*p;
    return n;
}

static int encode_bytes(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                        int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct byte_encoder *b = ctx;
    if (prompt && !strcmp(prompt, "bad"))
        return err_set(e, "cannot encode '%s'", prompt);
    const char *close = !prompt ? "" : prompt[strlen(prompt) - 1] == '!' ? ">_" : ">";
    *n_prompt = put(b->prompt, prompt ? "<" : "", prompt ? prompt : "", close, "");
    *prompt_ids = b->prompt;
    if (answer)
        *n_whole =
            put(b->whole, prompt ? "<" : "", prompt ? prompt : "", prompt ? ">" : "", answer);
    if (answer && *answer)
        b->whole[(*n_whole)++] = ';';
    *whole_ids = b->whole;
    return 0;
}

static const char qa[] = "{\"q\": \"a;b\", \"a\": \"xyz\", \"l\": [\"one\", \"three\"]}\n"
                         "{\"q\": \"c!\", \"a\": \"uv\", \"l\": [\"two\"]}\n";

/* Ids of the labels as text, '.' where there is none. */
static const char *labels_text(const struct seq *s)
{
    static char text[200];
    int n = 0;
    for (; n < s->n; n++)
        text[n] = s->labels[n] == LABEL_NONE ? '.' : (char)s->labels[n];
    text[n] = 0;
    return text;
}

static void test_labels(const struct rows *r, struct encoder enc)
{
    struct dataset d;
    struct err e;
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) && d.n == 2 &&
           d.role == ROLE_RETAIN && d.rows[1] == 1 && !d.masks && !d.seqs[0].mask,
       "an example per row");
    ok(!strcmp(labels_text(&d.seqs[0]), ".....xyz;"), "labels: the answer and its end");
    ok(!strcmp(labels_text(&d.seqs[1]), "....uv;"), "labels begin where prompt and whole part");
    ok(d.n_labels == 7, "7 scored tokens");
    dataset_fini(&d);
    enc.compat = COMPAT_COUNT_LABELS;
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) &&
           !strcmp(labels_text(&d.seqs[1]), ".....v;"),
       "compat: labels are counted, the first of the answer is lost");
    dataset_fini(&d);
    enc.compat = COMPAT_PAD_EOS_MASK;
    enc.pad_id = ';';
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) && d.seqs[0].mask &&
           !memcmp(d.seqs[0].mask, "\1\1\0\1\1\1\1\1\0", 9),
       "compat: every end of turn is hidden");
    dataset_fini(&d);
    enc.compat = 0;
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "l", &enc, &e) && d.n == 3 && d.rows[1] == 0 &&
           d.item[1] == 1 && d.rows[2] == 1 && d.item[2] == 0 &&
           !strcmp(labels_text(&d.seqs[1]), ".....three;"),
       "an example per item of a list");
    dataset_fini(&d);
    ok(!dataset_build(&d, ROLE_RETAIN, r, NULL, "a", &enc, &e) &&
           !strcmp(labels_text(&d.seqs[0]), ".yz;"),
       "a text without a question: all but the first id is scored");
    dataset_fini(&d);
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", NULL, &enc, &e) && d.n_labels == 0 &&
           d.seqs[1].n == 5,
       "prompts alone");
    dataset_fini(&d);
    enc.max_length = 6;
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) && d.seqs[0].n == 6 &&
           d.n_labels == 1 + 2,
       "long sequences are cut");
    dataset_fini(&d);
    enc.max_length = 5;
    ok(dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) && strstr(e.msg, "line 1: no token") &&
           !d.seqs,
       "nothing left to score: %s", e.msg);
}

/* Rows that are longer than the model's positions, in all the ways that rows become examples. */
static void test_positions(const struct rows *r, struct encoder enc)
{
    struct dataset d;
    struct rows ids;
    struct err e;
    enc.positions = 9;
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e), "9 tokens in 9 positions");
    ok(!dataset_check_room(&d, r, &enc, 4, &e) && dataset_check_room(&d, r, &enc, 5, &e) &&
           strstr(e.msg, "line 1: a prompt of 5 tokens and 5 new ones"),
       "room for 4 new tokens: %s", e.msg);
    dataset_fini(&d);
    enc.positions = 8;
    ok(dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) && !d.seqs &&
           strstr(e.msg, "qa.jsonl' line 1: 9 tokens are longer than the model's 8 positions"),
       "refused: %s", e.msg);
    enc.max_length = 8;
    ok(!dataset_build(&d, ROLE_RETAIN, r, "q", "a", &enc, &e) && d.seqs[0].n == 8, "or cut");
    dataset_fini(&d);
    enc.max_length = 0;
    enc.positions = 4;
    ok(dataset_build(&d, ROLE_RETAIN, r, "q", NULL, &enc, &e) && strstr(e.msg, "line 1: 5 tokens"),
       "a prompt alone: %s", e.msg);
    const char *text = "{\"ids\": [1, 7, 3, 7], \"prompt_ids\": [7, 7]}\n"
                       "{\"ids\": [4, 5, 1, 2, 3], \"prompt_ids\": [1, 2, 3, 4, 5]}\n";
    ok(!rows_open(&ids, scratch("ids.jsonl", text), &e) &&
           dataset_from_ids(&d, ROLE_RETAIN, &ids, 9, &enc, &e) &&
           strstr(e.msg, "line 2: 5 tokens"),
       "ids: %s", e.msg);
    ok(dataset_from_prompt_ids(&d, ROLE_RETAIN, &ids, 9, &enc, &e) &&
           strstr(e.msg, "line 2: 5 tokens"),
       "prompt_ids: %s", e.msg);
    enc.positions = 0;
    enc.pad_id = 7;
    ok(!dataset_from_ids(&d, ROLE_RETAIN, &ids, 9, &enc, &e) && !d.masks, "ids are all attended");
    dataset_fini(&d);
    enc.compat = COMPAT_PAD_EOS_MASK;
    ok(!dataset_from_ids(&d, ROLE_RETAIN, &ids, 9, &enc, &e) && d.seqs[0].mask &&
           !memcmp(d.seqs[0].mask, "\1\0\1\0", 4) && !d.seqs[1].mask,
       "compat: the pad id among them is hidden");
    dataset_fini(&d);
    ok(!dataset_from_prompt_ids(&d, ROLE_RETAIN, &ids, 9, &enc, &e) && d.n_labels == 0 &&
           !memcmp(d.seqs[0].mask, "\0\0", 2) && d.seqs[1].n == 5,
       "also in prompt_ids");
    dataset_fini(&d);
    rows_close(&ids);
}

static void test_build_refused(const struct encoder *enc)
{
    static const char *const bad[][2] = {
        {"{\"q\": \"a\", \"a\": \"x\"}\n{\"q\": \"a\"}\n", "line 2: the row has no field 'a'"},
        {"{\"a\": \"x\"}\n", "no field 'q'"},
        {"{\"q\": \"a\", \"a\": 3}\n", "the field 'a' is no text"},
        {"{\"q\": \"a\", \"a\": []}\n", "the list 'a' is empty"},
        {"{\"q\": \"a\", \"a\": [\"x\", 3]}\n", "item 1 of 'a' is no text"},
        {"{\"q\": \"a\", \"a\": \"x\\u0000y\"}\n", "the field 'a' holds U+0000"},
        {"{\"q\": \"a\", \"a\": [\"x\\u0000y\"]}\n", "item 0 of 'a' holds U+0000"},
        {"{\"q\": \"a\", \"a\": \"\"}\n", "no token of the answer"},
        {"{\"q\": \"bad\", \"a\": \"x\"}\n", "line 1: cannot encode 'bad'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rows r;
        struct dataset d;
        struct err e = {.msg = ""};
        ok(!rows_open(&r, scratch("bad.jsonl", bad[i][0]), &e) &&
               dataset_build(&d, ROLE_FORGET, &r, "q", "a", enc, &e) && strstr(e.msg, bad[i][1]),
           "refused: %s", e.msg);
        rows_close(&r);
    }
}

static void test_from_ids(void)
{
    static const char *const bad[][2] = {
        {"{\"ids\": [1]}\n", "at least two"},
        {"{\"ids\": [1, 10]}\n", "'ids'[1]"},
        {"{\"ids\": [1, -1]}\n", "'ids'[1]"},
        {"{\"ids\": [1, 2.5]}\n", "'ids'[1]"},
        {"{\"x\": 1}\n", "at least two"},
        {"{\"ids\": [1, 2], \"labels\": 3}\n", "as long"},
        {"{\"ids\": [1, 2], \"labels\": [-100]}\n", "as long"},
        {"{\"ids\": [1, 2], \"labels\": [1, -99]}\n", "'labels'[1]"},
        {"{\"ids\": [1, 2], \"labels\": [1, -100]}\n",
         "no token is left to score (2 tokens, 2 kept)"},
    };
    struct rows r;
    struct dataset d;
    struct err e;
    struct encoder enc = {.pad_id = -1};
    const char *good = "{\"ids\": [1, 2, 3]}\n{\"ids\": [4, 5], \"labels\": [-100, 5]}\n";
    ok(!rows_open(&r, scratch("ids.jsonl", good), &e) &&
           !dataset_from_ids(&d, ROLE_FORGET, &r, 6, &enc, &e) && d.n == 2 && d.n_labels == 3 &&
           d.seqs[0].labels[0] == LABEL_NONE && d.seqs[1].ids[1] == 5,
       "ids are taken as they are");
    dataset_fini(&d);
    enc.max_length = 2;
    ok(!dataset_from_ids(&d, ROLE_FORGET, &r, 6, &enc, &e) && d.seqs[0].n == 2 && d.n_labels == 2,
       "and cut at the longest length");
    dataset_fini(&d);
    rows_close(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ok(!rows_open(&r, scratch("ids.jsonl", bad[i][0]), &e) &&
               dataset_from_ids(&d, ROLE_FORGET, &r, 10, &enc, &e) && strstr(e.msg, bad[i][1]),
           "refused: %s", e.msg);
        rows_close(&r);
    }
}

static void test_from_matrix(void)
{
    enum { N = LABEL_NONE };
    const int ids[] = {1, 5, 6, 2, 0, 0, /**/ 1, 7, 8, 9, 3, 2};
    const int labels[] = {N, N, 6, 2, N, N, /**/ N, N, N, 9, 3, 2};
    const int mask[] = {1, 0, 1, 0, 0, 0, /**/ 1, 1, 1, 1, 1, 1};
    struct dataset d;
    struct err e;
    ok(!dataset_from_matrix(&d, ROLE_FORGET, ids, labels, mask, 2, 6, 0, &e) && d.seqs[0].n == 4 &&
           d.n_labels == 5 && d.seqs[0].mask && !memcmp(d.seqs[0].mask, "\1\0\1\0", 4) &&
           !d.seqs[1].mask,
       "padding is cut, holes and a hidden label at the end stay");
    dataset_fini(&d);
    ok(!dataset_from_matrix(&d, ROLE_FORGET, ids, labels, mask, 2, 6, 1, &e) && d.seqs[0].n == 6 &&
           !memcmp(d.seqs[0].mask, "\1\0\1\0\0\0", 6) && !d.seqs[1].mask,
       "padding is kept and hidden");
    dataset_fini(&d);
    ok(!dataset_from_matrix(&d, ROLE_FORGET, ids, NULL, NULL, 2, 6, 0, &e) && d.seqs[0].n == 6 &&
           d.n_labels == 0 && !d.masks,
       "neither labels nor mask");
    dataset_fini(&d);
    const int none[6] = {0};
    ok(dataset_from_matrix(&d, ROLE_FORGET, ids, NULL, none, 1, 6, 0, &e), "refused: %s", e.msg);
}

/* ---- memory ---- */

static int everything(const struct encoder *enc, const char *spec, const char *order_path)
{
    const int counts[ROLE_COUNT] = {[ROLE_FORGET] = 2, [ROLE_RETAIN] = 3};
    struct rows r = {0};
    struct dataset d = {0};
    struct order o = {0}, back = {0};
    struct err e;
    int rc = rows_open(&r, spec, &e);
    if (!rc)
        rc = dataset_build(&d, ROLE_FORGET, &r, "q", "l", enc, &e);
    if (!rc)
        rc = order_draw(&o, counts, ROLE_FORGET, NULL, 1, 2, 3, 0, &e);
    if (!rc)
        rc = order_write(&o, order_path, &e);
    if (!rc)
        rc = order_read(&back, order_path, counts, NULL, &e);
    order_fini(&back);
    order_fini(&o);
    dataset_fini(&d);
    rows_close(&r);
    return rc;
}

static void test_memory(const struct encoder *enc)
{
    char spec[1300], order_path[600];
    const char *a = scratch("qa.jsonl", qa), *b = scratch("t.csv", "q,l\nx,y\n");
    snprintf(spec, sizeof spec, "%s[1:]+%s", a, b);
    snprintf(order_path, sizeof order_path, "%s/o.jsonl", test_dir());
    mem_fail_at(-1);
    bool whole = !everything(enc, spec, order_path);
    long n = mem_fail_at(0), failed = 0;
    for (long i = 0; i < n; i++) {
        mem_fail_at(i);
        failed += everything(enc, spec, order_path) != 0;
    }
    mem_fail_at(-1);
    ok(whole && n > 20 && failed == n, "each of %ld allocations may fail", n);
}

int main(void)
{
    struct byte_encoder bytes;
    struct encoder enc = {.encode = encode_bytes, .ctx = &bytes, .pad_id = -1};
    struct rows r;
    struct err e;
    test_rows();
    test_shapes();
    test_other_shapes();
    test_formats_refused();
    test_rows_refused();
    if (ok(!rows_open(&r, scratch("qa.jsonl", qa), &e), "questions and answers"))
        test_labels(&r, enc), test_positions(&r, enc);
    rows_close(&r);
    test_build_refused(&enc);
    test_from_ids();
    test_from_matrix();
    test_memory(&enc);
    ok(role_by_name("Neighbour") == ROLE_NEIGHBOUR && role_by_name("x") == ROLE_COUNT,
       "role names");
    return done();
}

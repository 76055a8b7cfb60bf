/* Rows from arbitrary text: the first byte chooses the file's name, which chooses the format, the
 * rest is the file. */
#include <stdint.h>
#include <string.h>

#include "data/check.h"
#include "eval/texts.h"

/* A name by the first byte; by any other the text tells. */
static const char *name_of(uint8_t first)
{
    switch (first) {
    case 'c':
        return "x.csv";
    case 't':
        return "x.tsv";
    case 'p':
        return "x.txt";
    case 'g':
        return "x.csv.gz";
    default:
        return "x.json";
    }
}

/* What is made of texts in any script. */
static void use_text(const char *text)
{
    struct buf words = {0};
    struct err e;
    size_t n = text ? strlen(text) : 0;
    if (text && words_unicode(text, n, &words, &e) > 0)
        words_are_unseen(text, n);
    buf_fini(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rows r;
    struct err e;
    if (size == 0)
        return 0;
    if (rows_read(&r, name_of(data[0]), (const char *)data + 1, size - 1, &e))
        return 0;
    for (int i = 0; i < r.n; i++)
        use_text(rows_text(&r, i, "question", &e));
    struct row_keys keys;
    if (!rows_split_messages(&r, "question", "answer", &e) &&
        !row_keys_make(&keys, &r, "question", "answer", &e))
        row_keys_fini(&keys);
    rows_close(&r);
    return 0;
}

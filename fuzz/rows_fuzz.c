/* Rows from arbitrary text: the first byte chooses JSON or CSV, the rest is the file. */
#include <stdint.h>

#include "data/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rows r;
    struct err e;
    if (size == 0)
        return 0;
    const char *name = data[0] == 'c' ? "x.csv" : "x.json";
    if (rows_read(&r, name, (const char *)data + 1, size - 1, &e))
        return 0;
    for (int i = 0; i < r.n; i++)
        rows_text(&r, i, "question", &e);
    rows_close(&r);
    return 0;
}

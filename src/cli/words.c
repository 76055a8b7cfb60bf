#include "cli/words.h"

#include "base/json.h"

int words_row(struct rows *rows, const char *const *key, const char *const *word, int n,
              struct err *e)
{
    struct buf text = {0};
    json_t *row = json_object();
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        if (json_object_set_new(row, key[i], json_string(word[i])))
            rc = err_set(e, "the %s on the command line is not valid UTF-8", key[i]);
    if (!rc)
        rc = json_write_buf(row, &text, JSON_COMPACT, e) ||
                     rows_read(rows, "command line", text.data, text.len, e)
                 ? -1
                 : 0;
    buf_fini(&text);
    json_decref(row);
    return rc;
}

#include "cli/print.h"

#include <stdio.h>

#include "base/json.h"

int print_json(const json_t *j, size_t flags, struct err *e)
{
    struct buf text = {0};
    int rc = json_write_buf(j, &text, flags, e);
    if (!rc)
        printf("%s\n", text.data);
    buf_fini(&text);
    return rc;
}

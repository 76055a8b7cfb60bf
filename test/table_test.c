/* Tables: layout in both styles, and lack of memory. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/table.h"
#include "tap.h"

static int make(struct table *t, struct err *e)
{
    return table_init(t, 3, 3, e) || table_set(t, 0, 0, e, "metric") ||
           table_set(t, 0, 1, e, "a") || table_set(t, 0, 2, e, "long name") ||
           table_set(t, 1, 0, e, "na\xC3\xAFve|p") || table_set(t, 1, 1, e, "%.2f", 3.14159) ||
           table_set(t, 2, 2, e, "old") || table_set(t, 2, 2, e, "-");
}

static void check_layout(void)
{
    struct table t;
    struct buf plain = {0}, mark = {0};
    struct err e;
    ok(!make(&t, &e) && !table_write(&t, TABLE_PLAIN, &plain, &e) &&
           !table_write(&t, TABLE_MARKDOWN, &mark, &e),
       "a table is made and written");
    ok(!strcmp(plain.data, "metric      a  long name\n"
                           "-------  ----  ---------\n"
                           "na\xC3\xAFve|p  3.14           \n"
                           "                       -\n"),
       "plain: aligned, the rule below the heading");
    ok(!strcmp(mark.data, "| metric   |    a | long name |\n"
                          "| -------- | ---: | --------: |\n"
                          "| na\xC3\xAFve\\|p | 3.14 |           |\n"
                          "|          |      |         - |\n"),
       "Markdown: pipes escaped, numbers to the right");
    table_fini(&t);
    buf_fini(&plain);
    buf_fini(&mark);
}

static void check_no_memory(void)
{
    long n = 0;
    int rc;
    do {
        struct table t = {0};
        struct buf out = {0};
        struct err e;
        mem_fail_at(n++);
        rc = make(&t, &e) || table_write(&t, TABLE_PLAIN, &out, &e);
        mem_fail_at(-1);
        table_fini(&t);
        buf_fini(&out);
    } while (rc && n < 1000);
    ok(!rc && n > 9, "each of %ld allocations may fail", n - 1);
}

int main(void)
{
    check_layout();
    check_no_memory();
    return done();
}

/* text/tokenizer: a tokenizer.json either is refused or encodes, decodes and copes with its own
 * ids. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "text/tokenizer.h"

/* Special and added tokens, digits, combining and other characters of one to four bytes, NUL. */
static const char text[] =
    "The <|im_end|> th<sep> isn't 12\u00bd e\u0301 \u4e16\u754c \U0001f600\0\n\n  [NOTE]";

static void use(const struct tokenizer *t)
{
    struct err e;
    struct ids ids = {0};
    struct buf out = {0};
    for (int specials = 0; specials < 2; specials++)
        if (!tokenizer_encode(t, text, sizeof text, specials, &ids, &e))
            tokenizer_decode(t, ids.v, ids.n, specials, &out, &e);
    for (size_t i = 0; i < ids.n; i++)
        BUG_ON(ids.v[i] < 0 || ids.v[i] >= tokenizer_vocab_size(t));
    free(ids.v);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    char path[64];
    int fd = memfd_create("tokenizer.json", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    struct tokenizer *t = tokenizer_open(path, &e);
    if (t)
        use(t);
    tokenizer_close(t);
    close(fd);
    return 0;
}

/* What every fuzz target of a tokenizer's reader does with a file that it takes. */
#ifndef FUZZ_TOKENIZER_USE_H
#define FUZZ_TOKENIZER_USE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/tokenizer.h"

/* Special and added tokens, digits, combining and other characters of one to four bytes, NUL. */
static const char fuzz_text[] = "The <|im_end|> th<sep> isn't 12\u00bd e\u0301 \u4e16\u754c "
                                "\U0001f600\0\n\n  [NOTE] <mask>a  b\u2581c <s>";

static inline void fuzz_use(const struct tokenizer *t)
{
    struct err e;
    struct ids ids = {0};
    struct buf out = {0};
    for (int specials = 0; specials < 2; specials++)
        if (!tokenizer_encode(t, fuzz_text, sizeof fuzz_text, specials, &ids, &e))
            tokenizer_decode(t, ids.v, ids.n, specials, &out, &e);
    for (size_t i = 0; i < ids.n; i++)
        BUG_ON(ids.v[i] < 0 || ids.v[i] >= tokenizer_vocab_size(t));
    free(ids.v);
    buf_fini(&out);
}

/* The path of a file of this name, in a directory of the process. */
static inline const char *fuzz_path(const char *name)
{
    static char dir[] = "/tmp/unlearn-fuzz-XXXXXX", path[128];
    if (dir[sizeof dir - 2] == 'X' && !mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static inline void fuzz_write(const char *name, const uint8_t *data, size_t size)
{
    FILE *f = fopen(fuzz_path(name), "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
}

/* A file of each name from the stretches between NULs, the last one to the end; a stretch that is
 * missing is an empty object of JSON. */
static inline void fuzz_split(const char *const *names, size_t n, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size, *next;
    for (size_t i = 0; i < n; i++, data = next < end ? next + 1 : end) {
        const uint8_t *nul = i + 1 < n && data < end ? memchr(data, 0, (size_t)(end - data)) : NULL;
        next = nul ? nul : end;
        if (data == end && i > 0)
            fuzz_write(names[i], (const uint8_t *)"{}", 2);
        else
            fuzz_write(names[i], data, (size_t)(next - data));
    }
}

static inline void fuzz_open(const char *name)
{
    struct err e;
    struct tokenizer *t = tokenizer_open(fuzz_path(name), &e);
    if (t)
        fuzz_use(t);
    tokenizer_close(t);
}

static inline int fuzz_file(const char *name, const uint8_t *data, size_t size)
{
    fuzz_write(name, data, size);
    fuzz_open(name);
    return 0;
}

#endif

/* Speed of encoding and decoding, on one thread:
 *     build/release/bench/tokenize_bench TOKENIZER TEXT [DIR]
 * The text is encoded whole, RUNS times; processor time, the best counts. "first" is a fresh
 * tokenizer, which has seen no word yet. With DIR the tokenizer is saved there, for others to be
 * timed on the same. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "text/tokenizer.h"

enum { RUNS = 10 };

/* Of this process, so that others on the machine matter less. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const struct err *e)
{
    fprintf(stderr, "tokenize_bench: %s\n", e->msg);
    return 1;
}

int main(int argc, char **argv)
{
    struct err e;
    struct ids ids = {0};
    struct buf out = {0};
    size_t n;
    if (argc < 3)
        return fprintf(stderr, "usage: tokenize_bench TOKENIZER TEXT [DIR]\n"), 2;
    struct tokenizer *t = tokenizer_open(argv[1], &e);
    char *text = t ? file_read(argv[2], &n, &e) : NULL;
    if (!text || (argc > 3 && tokenizer_save(t, argv[3], &e)))
        return fail(&e);
    double first = 0, best = 0, back = 0;
    for (int i = 0; i < RUNS; i++) {
        ids.n = 0;
        double start = seconds();
        if (tokenizer_encode(t, text, n, true, &ids, &e))
            return fail(&e);
        double speed = (double)n / (seconds() - start) / 1e6;
        first = i ? first : speed;
        best = speed > best ? speed : best;
        buf_clear(&out);
        start = seconds();
        if (tokenizer_decode(t, ids.v, ids.n, false, &out, &e))
            return fail(&e);
        speed = (double)n / (seconds() - start) / 1e6;
        back = speed > back ? speed : back;
    }
    printf("encode %.1f MB/s (first %.1f), decode %.1f MB/s, %zu bytes, %zu ids\n", best, first,
           back, n, ids.n);
    tokenizer_close(t);
    free(ids.v);
    buf_fini(&out);
    free(text);
    return 0;
}

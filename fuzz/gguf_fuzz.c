/* Any bytes as a GGUF: read or refused. The keys asked for are those that the seeds hold. */
#include <string.h>

#include "tensor/file.h"
#include "tensor/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct gguf_meta *m, const char *key)
{
    int64_t i;
    double r;
    bool b;
    struct gguf_str s;
    const struct gguf_str *words;
    const int32_t *ints;
    const float *reals;
    size_t n, bytes = 0;
    gguf_int(m, key, &i);
    gguf_real(m, key, &r);
    gguf_bool(m, key, &b);
    if (gguf_text(m, key, &s))
        bytes += s.n && s.s[s.n - 1] == 'x';
    for (size_t k = 0; gguf_strings(m, key, &words, &n) && k < n; k++)
        bytes += words[k].n && words[k].s[words[k].n - 1] == 'x';
    gguf_ints(m, key, &ints, &n);
    gguf_reals(m, key, &reals, &n);
    BUG_ON(bytes > (size_t)-1 / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"k",       "t.u8",   "t.f64",  "t.text",
                                       "t.words", "t.ints", "t.reals"};
    struct tensor_file f;
    struct err e;
    if (!tensor_file_parse(&f, data, size, &e)) {
        for (int i = 0; i < f.n_tensors; i++)
            free(tensor_f32(&f.tensors[i], &e));
        struct gguf_pair p;
        for (size_t i = 0; f.meta && gguf_pair_at(f.meta, i, &p); i++)
            BUG_ON(!p.key.s || p.kind > GGUF_ARRAY);
        for (size_t i = 0; f.meta && i < sizeof keys / sizeof *keys; i++)
            ask(f.meta, keys[i]);
    }
    tensor_file_close(&f);
    return 0;
}

#include "text/tok.h"
int tok_read_model(struct tokenizer *t, const char *data, size_t n, struct err *e)
{
    (void)t;
    (void)data;
    (void)n;
    return err_set(e, "SentencePiece files are not read yet");
}

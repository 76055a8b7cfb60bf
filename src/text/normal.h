/* Unicode normal forms. */
#ifndef TEXT_NORMAL_H
#define TEXT_NORMAL_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends the NFC of the valid UTF-8 s[0..n). */
int normal_nfc(const char *s, size_t n, struct buf *out, struct err *e);

#endif

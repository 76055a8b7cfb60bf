/* Which file of a checkpoint holds its tokenizer, and in which format. */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "text/tokenizer_private.h"

enum { LARGEST = 256 << 20 };

/* In a directory the first of these that exists. */
static const char *const names[] = {
    "tokenizer.json", "tokenizer.model", "vocab.json", "qwen.tiktoken", "tokenizer.bin",
};

static char *find_file(const char *dir, struct err *e)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = file_join(dir, names[i], e);
        if (!path || file_exists(path))
            return path;
        free(path);
    }
    err_set(e, "'%s' holds no tokenizer (tokenizer.json, tokenizer.model, vocab.json ...)", dir);
    return NULL;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* By the first bytes: an object of JSON; a protobuf whose field 1 is not empty; a small number in
 * four bytes; else lines of text. */
static tok_reader *find_reader(const char *path, const char *s, size_t n)
{
    size_t blank = strspn(s, " \t\r\n"); /* file_read ends it with a NUL */
    if (s[blank] == '{')
        return ends_with(path, "vocab.json") ? tok_read_vocab : tok_read_json;
    if (n > 3 && !s[2] && !s[3])
        return tok_read_llama2c;
    return n > 1 && s[0] == '\n' && s[1] != '\n' ? tok_read_model : tok_read_tiktoken;
}

/* A model's weights, given by mistake, are not read to the end. */
static int check_size(const char *path, struct err *e)
{
    struct stat st;
    if (!stat(path, &st) && st.st_size > LARGEST)
        return err_set(e, "'%s' is too large for a tokenizer", path);
    return 0;
}

static int read_file(struct tokenizer *t, struct err *e)
{
    size_t n;
    char *data = check_size(t->file, e) ? NULL : file_read(t->file, &n, e);
    if (!data)
        return -1;
    int rc = find_reader(t->file, data, n)(t, data, n, e);
    free(data);
    return rc ? err_prefix(e, "'%s': ", t->file) : tok_read_config(t, e);
}

int tok_read_files(struct tokenizer *t, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (file_is_dir(path)) {
        t->dir = mem_strdup(path, e);
        t->file = t->dir ? find_file(path, e) : NULL;
    } else {
        t->dir = slash ? mem_strndup(path, (size_t)(slash - path) + 1, e) : mem_strdup(".", e);
        t->file = !t->dir                         ? NULL
                  : ends_with(path, "merges.txt") ? file_join(t->dir, "vocab.json", e)
                                                  : mem_strdup(path, e);
    }
    return t->file ? read_file(t, e) : -1;
}

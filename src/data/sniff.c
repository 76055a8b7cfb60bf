#include "data/readers.h"

#include <stdbool.h>
#include <string.h>

/* Converters; %1$s is the file's name. */
#define PYARROW(open)                                                                              \
    "convert it: python3 -c \"import json, pyarrow as a, pyarrow.parquet as p; "                   \
    "[print(json.dumps(r, default=str)) for r in " open                                            \
    ".to_pylist()]\" > rows.jsonl (pip install pyarrow)"
#define PARQUET      PYARROW("p.read_table('%1$s')")
#define ARROW_FILE   PYARROW("a.ipc.open_file('%1$s').read_all()")
#define ARROW_STREAM PYARROW("a.ipc.open_stream('%1$s').read_all()")
#define ICONV(from)  "convert it: iconv -f " from " -t UTF-8 '%1$s' > rows"
#define UNPACK(with) "unpack it: " with " '%1$s' > rows.jsonl"

struct format {
    const char *bytes; /* '?' matches any byte */
    size_t n;
    const char *name, *advice;
};

#define BYTES(s) s, sizeof s - 1
static const struct format formats[] = {
    {BYTES("PAR1"), "a Parquet file", PARQUET},
    {BYTES("ARROW1"), "an Arrow file", ARROW_FILE},
    {BYTES("\xff\xff\xff\xff"), "an Arrow stream", ARROW_STREAM},
    {BYTES("FEA1"), "a Feather file", "write it as JSON Lines, with pandas.read_feather"},
    {BYTES("Obj\x01"), "an Avro file", "write it as JSON Lines"},
    {BYTES("\x28\xb5\x2f\xfd"), "packed by zstd", UNPACK("zstd -dc")},
    {BYTES("BZh?1AY&SY"), "packed by bzip2 (bz2)", UNPACK("bzip2 -dc")},
    {BYTES("\xfd"
           "7zXZ"),
     "packed by xz", UNPACK("xz -dc")},
    {BYTES("\x04\x22\x4d\x18"), "packed by lz4", UNPACK("lz4 -dc")},
    {BYTES("7z\xbc\xaf\x27\x1c"), "a 7z archive", "unpack it first"},
    {BYTES("PK\x03\x04"), "a zip archive, as Excel's .xlsx is",
     "unpack it, or save the sheet as CSV UTF-8"},
    {BYTES("\xd0\xcf\x11\xe0"), "an Excel file (.xls)", "save the sheet as CSV UTF-8"},
    {BYTES("\xff\xfe\0\0"), "text in UTF-32", ICONV("UTF-32")},
    {BYTES("\0\0\xfe\xff"), "text in UTF-32", ICONV("UTF-32")},
    {BYTES("\xff\xfe"), "text in UTF-16", ICONV("UTF-16")},
    {BYTES("\xfe\xff"), "text in UTF-16", ICONV("UTF-16")},
    {BYTES("{\0"), "text in UTF-16", ICONV("UTF-16LE")},
    {BYTES("[\0"), "text in UTF-16", ICONV("UTF-16LE")},
    {BYTES("\0{"), "text in UTF-16", ICONV("UTF-16BE")},
    {BYTES("\0["), "text in UTF-16", ICONV("UTF-16BE")},
    {BYTES("\x80\x02"), "a Python pickle", "write it as JSON Lines"},
    {BYTES("\x80\x03"), "a Python pickle", "write it as JSON Lines"},
    {BYTES("\x80\x04"), "a Python pickle", "write it as JSON Lines"},
    {BYTES("\x80\x05"), "a Python pickle", "write it as JSON Lines"},
    {BYTES("\x93NUMPY"), "a NumPy array", "write it as JSON Lines"},
    {BYTES("\x89HDF"), "an HDF5 file", "write it as JSON Lines"},
    {BYTES("SQLite format 3"), "an SQLite database", "write its table as JSON Lines"},
    {BYTES("GGUF"), "a GGUF model", "data is JSON Lines, JSON, CSV or TSV"},
    {BYTES("version https://git-lfs.github.com/"), "a Git LFS pointer, not the file",
     "fetch the file: git lfs pull"},
};

static bool begins(const char *bytes, size_t n, const struct format *f)
{
    size_t i = 0;
    while (i < n && i < f->n && (bytes[i] == f->bytes[i] || f->bytes[i] == '?'))
        i++;
    return i == f->n;
}

int sniff_refuse(const char *name, const char *bytes, size_t n, struct err *e)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct format *f = &formats[i];
        if (!begins(bytes, n, f))
            continue;
        /* a name that a shell would read otherwise is not put into a command */
        err_set(e, f->advice, strpbrk(name, "'\"$`\\!") ? "FILE" : name);
        return err_prefix(e, "'%s' is %s, which is not read: ", name, f->name);
    }
    return 0;
}

char sniff_separator(const char *text, size_t n)
{
    static const char separators[] = "\t,;";
    size_t line = 0;
    while (line < n && text[line] != '\n' && text[line] != '\r')
        line++;
    for (const char *s = separators; *s; s++)
        if (memchr(text, *s, line))
            return *s;
    return 0;
}

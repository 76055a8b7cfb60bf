/* Values of a running template: those of Python that chat templates use. All of them live in
 * the arena of one rendering and are freed together. A function returns 0, or non-zero with r->e
 * set.
 */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include <stdint.h>

#include "base/arena.h"
#include "text/jinja.h"

enum jv_kind {
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_REAL,
    JV_STR,
    JV_LIST,
    JV_TUPLE,
    JV_RANGE, /* of range() */
    JV_VIEW,  /* of a dict's keys(), values(), items() */
    JV_ITER,  /* what a filter yields: walked once, without a length */
    JV_DICT,
    JV_SPACE, /* namespace() */
    JV_LOOP,
    JV_FUNC,   /* a global function */
    JV_METHOD, /* of a value */
    JV_MACRO,
    JV_KINDS,
    JV_ABSENT = 255 /* an argument that was not given */
};

struct jv_str {
    const char *s; /* [n], NUL-terminated where it is a name */
    size_t n;
    long chars;                   /* -1: not counted yet */
    bool safe;                    /* markup that is not to be escaped */
    const struct text_span *mark; /* [n_marks] ascending: bytes that come from a message */
    size_t n_marks;
};

struct jv {
    unsigned char kind;
    unsigned char of; /* JV_UNDEFINED: 1 + kind of the value that lacks it; 0: a variable */
    union {
        bool b;
        int64_t i;
        double d;
        struct jv_str *str; /* JV_UNDEFINED: the name */
        struct jv_list *list;
        struct jv_dict *dict; /* and JV_SPACE */
        struct jv_loop *loop;
        const struct jv_function *func;
        struct jv_method *method;
        struct jv_macro *macro;
    };
};

struct jv_list {
    struct jv *v;
    size_t n, cap;
    size_t at;        /* JV_ITER: those before are used up */
    const char *view; /* JV_VIEW: its name in Python */
    bool group;       /* a tuple of groupby: .grouper and .list */
};

struct jv_dict {
    struct jv *key, *value;
    size_t n, cap;
};

struct jv_method {
    struct jv self;
    const char *name;
};

struct jv_args {
    struct jv *v; /* [n] by position */
    size_t n;
    struct jv *named; /* [n_named] by keyword */
    const struct jv_str **names;
    size_t n_named;
};

/* A string that grows, with its marks. Start with zeros. */
struct jv_text {
    char *s;
    size_t n, cap;
    struct text_span *mark;
    size_t n_marks, cap_marks;
};

struct jv_scope;

struct jv_run {
    struct err *e;
    struct arena arena;
    char *block; /* rest of a piece of the arena */
    size_t left, taken;
    long steps, max_steps;
    int depth, line;
    const struct jinja_input *in;
    struct jv_scope *scope;
    struct jv_text *out;
};

/* Sets the error, with the line in front, and returns -1. */
int jv_fail(struct jv_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Counts work; an error if there was too much of it. */
int jv_step(struct jv_run *r, size_t n);
void *jv_alloc(struct jv_run *r, size_t n, size_t size); /* zeroed; NULL on failure */

static inline struct jv jv_none(void)
{
    return (struct jv){.kind = JV_NONE};
}

static inline struct jv jv_bool(bool b)
{
    return (struct jv){.kind = JV_BOOL, .b = b};
}

static inline struct jv jv_int(int64_t i)
{
    return (struct jv){.kind = JV_INT, .i = i};
}

static inline struct jv jv_real(double d)
{
    return (struct jv){.kind = JV_REAL, .d = d};
}

static inline struct jv jv_of(enum jv_kind kind, struct jv_list *list)
{
    return (struct jv){.kind = (unsigned char)kind, .list = list};
}

static inline struct jv jv_of_str(struct jv_str *s)
{
    return (struct jv){.kind = JV_STR, .str = s};
}

/* "dict object" and so on, for messages. */
const char *jv_type(const struct jv *v);
/* "list", "tuple" ...: what holds several values in v.list. */
bool jv_is_list(const struct jv *v);
bool jv_truth(const struct jv *v);
/* An error that tells which name is not defined. */
int jv_fail_undefined(struct jv_run *r, const struct jv *v);

/* Strings. `s` is copied by jv_str_new, borrowed by jv_str_lit. */
int jv_str_new(struct jv_run *r, const char *s, size_t n, bool marked, struct jv *out);
int jv_str_lit(struct jv_run *r, const char *s, struct jv *out);
bool jv_str_is(const struct jv_str *s, const char *text);
size_t jv_char(const char *s, size_t n); /* bytes of the character at s, n > 0 */
long jv_str_chars(struct jv_str *s);
/* Byte of character number i, 0 <= i <= chars. */
size_t jv_str_at(struct jv_str *s, long i);
int jv_str_part(struct jv_run *r, const struct jv_str *s, size_t from, size_t to, struct jv *out);

int jv_text_put(struct jv_run *r, struct jv_text *t, const char *s, size_t n);
int jv_text_part(struct jv_run *r, struct jv_text *t, const struct jv_str *s, size_t from,
                 size_t to);
/* Appends text[0..n), the replacement of the character at s[at]: marked if that is. */
int jv_text_for(struct jv_run *r, struct jv_text *t, const struct jv_str *s, size_t at,
                const char *text, size_t n);
/* str(v) at its end. */
int jv_text_add(struct jv_run *r, struct jv_text *t, const struct jv *v);
int jv_text_done(struct jv_run *r, struct jv_text *t, struct jv *out);

/* str(v), repr(v) at the end of t, JSON. */
int jv_to_str(struct jv_run *r, const struct jv *v, struct jv *out);
int jv_text_repr(struct jv_run *r, struct jv_text *t, const struct jv *v);
struct jv_json {
    bool ascii, sort;
    struct jv_str *indent;     /* NULL: one line */
    struct jv_str *item, *key; /* separators; NULL: the usual ones */
};
int jv_text_json(struct jv_run *r, struct jv_text *t, const struct jv *v, const struct jv_json *how,
                 int level);
#define JV_REAL_TEXT 40
void jv_real_text(double d, char *text);

struct jv_list *jv_list_new(struct jv_run *r, size_t cap);
int jv_list_add(struct jv_run *r, struct jv_list *l, const struct jv *v);
/* The values that a for loop over v sees, in a list that is not changed; uses up a JV_ITER. */
int jv_iterate(struct jv_run *r, const struct jv *v, struct jv_list **out);

struct jv_dict *jv_dict_new(struct jv_run *r);
int jv_dict_set(struct jv_run *r, struct jv_dict *d, const struct jv *key, const struct jv *value);
/* NULL: no such key. */
struct jv *jv_dict_get(const struct jv_dict *d, const struct jv *key);
struct jv *jv_dict_get_text(const struct jv_dict *d, const char *key);
/* d.items() and so on. */
int jv_dict_view(struct jv_run *r, const struct jv_dict *d, const char *what, struct jv *out);

/* An error for what Python cannot use as a key. */
int jv_hashable(struct jv_run *r, const struct jv *v);
bool jv_equal(const struct jv *a, const struct jv *b);
/* *less = a < b, or an error for values without an order. */
int jv_less(struct jv_run *r, const struct jv *a, const struct jv *b, bool *less);
/* Whether x is in v. */
int jv_contains(struct jv_run *r, const struct jv *v, const struct jv *x, bool *is);

int jv_from_json(struct jv_run *r, const json_t *j, int depth, struct jv *out);

#endif

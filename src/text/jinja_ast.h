/* A compiled template: its tokens, and the syntax tree of statements and expressions. */
#ifndef TEXT_JINJA_AST_H
#define TEXT_JINJA_AST_H

#include "text/jinja_value.h"

enum word_kind {
    WORD_END, /* of the template */
    WORD_DATA,
    WORD_OPEN,  /* {% */
    WORD_CLOSE, /* %} */
    WORD_PRINT, /* {{ */
    WORD_PRINTED,
    WORD_NAME,
    WORD_STRING,
    WORD_INT,
    WORD_REAL,
    WORD_OP
};

struct word {
    enum word_kind kind;
    int line;
    char op[3];
    struct jv_str str; /* data, names (NUL-terminated) and strings */
    int64_t i;
    double d;
};

enum node_kind {
    /* expressions */
    NODE_CONST,
    NODE_NAME,
    NODE_LIST,  /* [items] */
    NODE_TUPLE, /* [items] */
    NODE_DICT,  /* [items]: key, value, key, value ... */
    NODE_ATTR,  /* a.name */
    NODE_ITEM,  /* a[b] */
    NODE_SLICE, /* items: from, to, step; NULL: left out. Only as b of NODE_ITEM */
    NODE_CALL,  /* a([items], [named]) */
    NODE_FILTER,
    NODE_TEST,
    NODE_NOT,
    NODE_MINUS,
    NODE_PLUS,
    NODE_AND,
    NODE_OR,
    NODE_BINARY,  /* a op b */
    NODE_CONCAT,  /* [items] */
    NODE_COMPARE, /* a, then [items] with their operators in names */
    NODE_CHOICE,  /* a if b else c */
    /* statements; body: [items] */
    NODE_TEXT,
    NODE_PRINT,   /* a */
    NODE_FOR,     /* target a, over b, where c; orelse */
    NODE_IF,      /* a; orelse: the rest */
    NODE_SET,     /* a = b */
    NODE_CAPTURE, /* a = the body, through filters b whose innermost argument is NULL */
    NODE_MACRO,   /* name([params], defaults at the end) */
    NODE_CALLER,  /* call block: a the call, its body a macro */
    NODE_THROUGH, /* filter block: b as in NODE_CAPTURE */
    NODE_SCOPE,   /* generation, and with: [params] = [defaults] */
    NODE_BREAK,
    NODE_CONTINUE
};

struct node {
    enum node_kind kind;
    int line;
    const struct jv_str *name; /* of a variable, attribute, filter, test, macro */
    char op[3];
    struct jv value; /* NODE_CONST, NODE_TEXT */
    struct node *a, *b, *c;
    struct node **items, **orelse;
    size_t n, n_else;
    struct node **named;         /* [n_named] values of keyword arguments; defaults of parameters */
    const struct jv_str **names; /* [n_names] of keyword arguments; of parameters */
    const char (*ops)[3];        /* [n] of NODE_COMPARE */
    size_t n_named, n_names;
    bool var_args, var_named, caller; /* macro: names that its body uses */
};

struct jinja {
    struct jv_run r; /* owns the memory of the tree; its other fields are those of compiling */
    struct node **body;
    size_t n;
};

/* The words of a template, in r's memory; the last is WORD_END. */
int jinja_lex(struct jv_run *r, const char *text, size_t len, struct word **out, size_t *n);

/* A list that grows, for the parser. */
struct nodes {
    struct node **v;
    size_t n, cap;
};

struct parser {
    struct jv_run *r;
    const struct word *w; /* the word now */
    int depth;
    struct node *macro; /* the one being read, or NULL */
};

int nodes_add(struct parser *p, struct nodes *l, struct node *n);
struct node *node_new(struct parser *p, enum node_kind kind);
bool word_is_op(const struct word *w, const char *op);
bool word_is_name(const struct word *w, const char *name);
bool parser_skip_op(struct parser *p, const char *op);
bool parser_skip_name(struct parser *p, const char *name);
/* Errors; NULL so that a parser of nodes can return it. */
int parser_need_op(struct parser *p, const char *op);
const struct jv_str *parser_need_name(struct parser *p);
struct node *parser_unexpected(struct parser *p, const char *wanted);

/* Expressions. `choice`: with "a if b else c". */
struct node *parse_expr(struct parser *p, bool choice);
/* The same, or several with commas between them, which are a tuple; `end` is a name that ends it.
 */
struct node *parse_tuple(struct parser *p, bool choice, const char *end);
struct node *parse_target(struct parser *p, bool attributes, const char *end);
struct node *parse_filters(struct parser *p, struct node *on, bool first);
int parser_deeper(struct parser *p); /* one level; an error if there are too many */
struct node *parse_primary(struct parser *p);
/* .name, [item] and calls that follow n. */
struct node *parse_postfix(struct parser *p, struct node *n);
struct node *parse_call(struct parser *p, struct node *on);
struct node *parse_test(struct parser *p, struct node *on);
int parse_arguments(struct parser *p, struct node *call);
int jinja_parse(struct jinja *j, const struct word *words);

/* Running. */
struct jv_scope {
    struct jv_scope *outer;
    const struct jv_str **names;
    struct jv *values;
    size_t n, cap;
    bool kept; /* a macro was defined in it */
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct jv_macro {
    const struct node *node;
    struct jv_scope *scope; /* where it was defined */
};

int jinja_eval(struct jv_run *r, const struct node *n, struct jv *out);
int jinja_run(struct jv_run *r, struct node *const *body, size_t n, enum flow *flow);
/* Statements in a scope of their own. */
int jinja_run_within(struct jv_run *r, struct node *const *body, size_t n, enum flow *flow);
int jinja_run_for(struct jv_run *r, const struct node *n, enum flow *flow);
/* To a name, several, or an attribute of a namespace. */
int jv_assign(struct jv_run *r, const struct node *to, const struct jv *v);
struct jv_scope *jv_scope_new(struct jv_run *r, struct jv_scope *outer);
int jv_scope_set(struct jv_run *r, struct jv_scope *s, const struct jv_str *name,
                 const struct jv *v);
/* The same; the name is borrowed. */
int jv_scope_set_text(struct jv_run *r, struct jv_scope *s, const char *name, const struct jv *v);
const struct jv *jv_scope_get(const struct jv_scope *s, const struct jv_str *name);
int jv_call_macro(struct jv_run *r, const struct jv_macro *m, const struct jv_args *a,
                  const struct jv *caller, struct jv *out);
/* loop.NAME; false: there is none. */
int jv_loop_attr(struct jv_run *r, struct jv_loop *l, const char *name, struct jv *out,
                 bool *found);
int jv_loop_method(struct jv_run *r, struct jv_loop *l, const char *name, const struct jv_args *a,
                   struct jv *out);

/* Functions with named parameters, in order: "value default? boolean?", '?' where one may be left
 * out, "*" at the end if more may be given. arg: one per parameter, JV_ABSENT where it is left out;
 * all: as they were given. */
struct jv_function {
    const char *name, *params;
    int (*call)(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out);
};
enum { JV_PARAMS = 6 };
/* Argument i as an integer, bool or text; `other` where it is left out. */
int jv_arg_int(struct jv_run *r, const struct jv *arg, int64_t other, int64_t *out);
int jv_arg_str(struct jv_run *r, const struct jv *arg, struct jv_str **out);
bool jv_arg_bool(const struct jv *arg, bool other);

int jv_call_function(struct jv_run *r, const struct jv_function *f, const struct jv_args *a,
                     struct jv *out);
const struct jv_function *jv_function_find(const struct jv_function *table,
                                           const struct jv_str *name);
extern const struct jv_function jinja_globals[];
extern const struct jv_function jinja_list_filters[], jinja_sort_filters[], jinja_text_filters[];
/* v.a.b of an attribute "a.b" or number; what is missing is `other` unless JV_ABSENT. */
int jv_get_path(struct jv_run *r, const struct jv *v, const struct jv *path, const struct jv *other,
                struct jv *out);
extern const struct jv_function jinja_text_methods[], jinja_word_methods[], jinja_form_methods[];
extern const struct jv_function jinja_list_methods[], jinja_dict_methods[];
/* The value `on` through the filters of node n. */
int jinja_eval_filters(struct jv_run *r, const struct node *n, const struct jv *on, struct jv *out);
int jinja_filter(struct jv_run *r, const struct jv_str *name, const struct jv_args *a,
                 struct jv *out);
int jinja_test(struct jv_run *r, const struct jv_str *name, const struct jv_args *a, bool *out);
/* v.name, v[item] as the sandbox sees them; undefined where there is none. */
int jv_get_attr(struct jv_run *r, const struct jv *v, const struct jv_str *name, struct jv *out);
int jv_get_item(struct jv_run *r, const struct jv *v, const struct jv *item, struct jv *out);
int jv_call(struct jv_run *r, const struct jv *f, const struct jv_args *a, struct jv *out);
/* Compares with one of == != < <= > >= in, and "not" for not in. */
int jv_compare(struct jv_run *r, const struct jv *a, const char *op, const struct jv *b, bool *out);
int jv_binary(struct jv_run *r, const struct jv *a, const char *op, const struct jv *b,
              struct jv *out);
/* "..." % v. */
int jv_format(struct jv_run *r, const struct jv_str *form, const struct jv *v, struct jv *out);
/* White space of str.strip() at s[0..n): its bytes, or 0. */
size_t jv_space(const char *s, size_t n);
bool jv_is_case(const struct jv_str *s, bool upper);                      /* islower(), isupper() */
int jv_title_words(struct jv_run *r, const struct jv *v, struct jv *out); /* the filter title */
int jv_lower(struct jv_run *r, const struct jv *v, struct jv *out);

#endif

/* Strings: upper and lower case, kinds of characters, and the filters that take or make strings. */
#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja_ast.h"

#define METHOD(name)                                                                               \
    static int name(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)

enum turn { TURN_LOWER, TURN_UPPER, TURN_SWAP };

static utf8proc_int32_t code_at(const char *s, size_t n)
{
    utf8proc_int32_t c;
    return utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c) > 0 ? c : -1;
}

static bool is_upper(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU;
}

static bool is_cased(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

/* Characters whose other case is several characters or depends on their neighbours. */
static bool is_odd(utf8proc_int32_t c)
{
    static const utf8proc_int32_t odd[][2] = {{0x130, 0x130},   {0x149, 0x149},   {0x1f0, 0x1f0},
                                              {0x390, 0x390},   {0x3a3, 0x3a3},   {0x3b0, 0x3b0},
                                              {0x587, 0x587},   {0x1c4, 0x1cc},   {0x1f1, 0x1f3},
                                              {0x1e96, 0x1e9a}, {0x1f50, 0x1fff}, {0xfb00, 0xfb17}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (c >= odd[i][0] && c <= odd[i][1])
            return true;
    return false;
}

/* s[from..to) in another case at the end of t. */
static int put_case(struct jv_run *r, struct jv_text *t, const struct jv_str *s, size_t from,
                    size_t to, enum turn turn)
{
    char text[8];
    for (size_t at = from, n; at < to; at += n) {
        n = jv_char(s->s + at, to - at);
        utf8proc_int32_t c = code_at(s->s + at, n), d = c;
        bool up = turn == TURN_UPPER || (turn == TURN_SWAP && !is_upper(c));
        if (c >= 0 && is_odd(c))
            return jv_fail(r, "upper and lower case of U+%04X are not supported", (unsigned)c);
        if (c >= 0)
            d = up ? utf8proc_toupper(c) : utf8proc_tolower(c);
        if (c == 0xdf && up) {
            if (jv_text_for(r, t, s, at, "SS", 2))
                return -1;
        } else if (d == c ? jv_text_part(r, t, s, at, at + n)
                          : jv_text_for(r, t, s, at, text,
                                        (size_t)utf8proc_encode_char(d, (utf8proc_uint8_t *)text)))
            return -1;
    }
    return jv_step(r, (to - from) / 8);
}

static int turn_all(struct jv_run *r, const struct jv *v, enum turn turn, struct jv *out)
{
    struct jv_text t = {0};
    struct jv s;
    return jv_to_str(r, v, &s) || put_case(r, &t, s.str, 0, s.str->n, turn) ||
           jv_text_done(r, &t, out);
}

int jv_lower(struct jv_run *r, const struct jv *v, struct jv *out)
{
    return turn_all(r, v, TURN_LOWER, out);
}

METHOD(w_lower)
{
    (void)all;
    return turn_all(r, &arg[0], TURN_LOWER, out);
}

METHOD(w_upper)
{
    (void)all;
    return turn_all(r, &arg[0], TURN_UPPER, out);
}

METHOD(w_swapcase)
{
    (void)all;
    return turn_all(r, &arg[0], TURN_SWAP, out);
}

/* Words with a capital in front; a word starts where `starts` lets it, after what came before. */
static int capitals(struct jv_run *r, const struct jv *v, bool (*starts)(const char *s, size_t n),
                    struct jv *out)
{
    struct jv_text t = {0};
    struct jv s;
    bool begin = true;
    if (jv_to_str(r, v, &s))
        return -1;
    for (size_t at = 0, n; at < s.str->n; at += n) {
        n = jv_char(s.str->s + at, s.str->n - at);
        if (put_case(r, &t, s.str, at, at + n, begin ? TURN_UPPER : TURN_LOWER))
            return -1;
        begin = starts(s.str->s + at, n);
    }
    return jv_text_done(r, &t, out);
}

static bool never(const char *s, size_t n)
{
    (void)s;
    (void)n;
    return false;
}

static bool after_uncased(const char *s, size_t n)
{
    utf8proc_int32_t c = code_at(s, n);
    return c < 0 || !is_cased(c);
}

/* The filter's words, which are not those of str.title(). */
static bool after_mark(const char *s, size_t n)
{
    return jv_space(s, n) || (n == 1 && strchr("-({[<", *s));
}

METHOD(w_capitalize)
{
    (void)all;
    return capitals(r, &arg[0], never, out);
}

METHOD(w_title)
{
    (void)all;
    return capitals(r, &arg[0], after_uncased, out);
}

int jv_title_words(struct jv_run *r, const struct jv *v, struct jv *out)
{
    return capitals(r, v, after_mark, out);
}

static bool is_digit(utf8proc_int32_t c)
{
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ND;
}

static bool is_letter(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return is_cased(c) || k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO;
}

static bool is_letter_or_digit(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return is_letter(c) || is_digit(c) || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

static bool is_white(utf8proc_int32_t c)
{
    char s[4];
    size_t n = (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)s);
    return jv_space(s, n) > 0;
}

static int all_are(struct jv_run *r, const struct jv *v, bool (*is)(utf8proc_int32_t c),
                   struct jv *out)
{
    struct jv_str *s;
    if (jv_arg_str(r, v, &s))
        return -1;
    bool yes = s->n > 0;
    for (size_t at = 0, n; at < s->n && yes; at += n) {
        n = jv_char(s->s + at, s->n - at);
        utf8proc_int32_t c = code_at(s->s + at, n);
        yes = c >= 0 && is(c);
    }
    *out = jv_bool(yes);
    return jv_step(r, s->n / 16);
}

METHOD(w_isdigit)
{
    (void)all;
    return all_are(r, &arg[0], is_digit, out);
}

METHOD(w_isalpha)
{
    (void)all;
    return all_are(r, &arg[0], is_letter, out);
}

METHOD(w_isalnum)
{
    (void)all;
    return all_are(r, &arg[0], is_letter_or_digit, out);
}

METHOD(w_isspace)
{
    (void)all;
    return all_are(r, &arg[0], is_white, out);
}

bool jv_is_case(const struct jv_str *s, bool upper)
{
    bool any = false;
    for (size_t at = 0, n; at < s->n; at += n) {
        n = jv_char(s->s + at, s->n - at);
        utf8proc_int32_t c = code_at(s->s + at, n);
        if (c < 0 || !is_cased(c))
            continue;
        if (is_upper(c) != upper)
            return false;
        any = true;
    }
    return any;
}

METHOD(w_islower)
{
    struct jv_str *s;
    (void)all;
    if (jv_arg_str(r, &arg[0], &s))
        return -1;
    *out = jv_bool(jv_is_case(s, false));
    return 0;
}

METHOD(w_isupper)
{
    struct jv_str *s;
    (void)all;
    if (jv_arg_str(r, &arg[0], &s))
        return -1;
    *out = jv_bool(jv_is_case(s, true));
    return 0;
}

const struct jv_function jinja_word_methods[] = {
    {"capitalize", "self", w_capitalize}, {"isalnum", "self", w_isalnum},
    {"isalpha", "self", w_isalpha},       {"isdigit", "self", w_isdigit},
    {"islower", "self", w_islower},       {"isspace", "self", w_isspace},
    {"isupper", "self", w_isupper},       {"lower", "self", w_lower},
    {"swapcase", "self", w_swapcase},     {"title", "self", w_title},
    {"upper", "self", w_upper},           {0}};

#include "base/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"

#ifdef HAVE_YAML
#include <yaml.h>

enum { DEPTH = 64 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the one being read */
    const char *what;
};

static unsigned long line(const struct reader *r)
{
    return (unsigned long)r->event.start_mark.line + 1;
}

static int next(struct reader *r, struct err *e)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return 0;
    memset(&r->event, 0, sizeof r->event);
    if (r->parser.error == YAML_MEMORY_ERROR)
        return err_no_memory(e, r->what);
    return err_set(e, "'%s' line %lu: %s", r->what, (unsigned long)r->parser.problem_mark.line + 1,
                   r->parser.problem ? r->parser.problem : "this is not YAML");
}

static json_t *number(const char *s)
{
    char *end;
    if (!strpbrk(s, "0123456789") || s[strspn(s, "0123456789.eE+-")])
        return NULL;
    const long long i = strtoll(s, &end, 10);
    if (!*end && llabs(i) < (1LL << 53))
        return json_integer(i);
    const double x = strtod(s, &end);
    return *end || !isfinite(x) ? NULL : json_real(x);
}

static json_t *scalar(const yaml_event_t *v, struct err *e)
{
    const char *s = (const char *)v->data.scalar.value;
    const size_t n = v->data.scalar.length;
    json_t *j = NULL;
    if (v->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(s) == n) {
        if (!n || !strcmp(s, "~") || !strcasecmp(s, "null"))
            j = json_null();
        else if (!strcasecmp(s, "true") || !strcasecmp(s, "false"))
            j = json_boolean(!strcasecmp(s, "true"));
        else
            j = number(s);
    }
    if (!j && !(j = json_stringn(s, n)))
        err_no_memory(e, "YAML");
    return j;
}

static json_t *value(struct reader *r, int depth, struct err *e);

static json_t *sequence(struct reader *r, int depth, struct err *e)
{
    json_t *list = json_array();
    if (!list)
        err_no_memory(e, r->what);
    while (list) {
        json_t *v = NULL;
        if (!next(r, e) && r->event.type == YAML_SEQUENCE_END_EVENT)
            return list;
        if (r->event.type == YAML_NO_EVENT || !(v = value(r, depth, e)) ||
            json_array_append_new(list, v)) {
            json_decref(list);
            list = NULL;
        }
    }
    return NULL;
}

/* One key and its value. */
static int pair(struct reader *r, json_t *object, int depth, struct err *e)
{
    if (r->event.type != YAML_SCALAR_EVENT)
        return err_set(e, "'%s' line %lu: a key is not a text", r->what, line(r));
    char *key =
        mem_strndup((const char *)r->event.data.scalar.value, r->event.data.scalar.length, e);
    json_t *v = key && !next(r, e) ? value(r, depth, e) : NULL;
    int rc = v ? 0 : -1;
    if (v && json_object_set_new(object, key, v))
        rc = err_set(e, "'%s' line %lu: a key is not UTF-8", r->what, line(r));
    free(key);
    return rc;
}

static json_t *mapping(struct reader *r, int depth, struct err *e)
{
    json_t *object = json_object();
    int rc = object ? 0 : err_no_memory(e, r->what);
    while (!rc && !(rc = next(r, e)) && r->event.type != YAML_MAPPING_END_EVENT)
        rc = pair(r, object, depth, e);
    if (!rc)
        return object;
    json_decref(object);
    return NULL;
}

/* The value that begins with the event being read. */
static json_t *value(struct reader *r, int depth, struct err *e)
{
    const yaml_event_type_t type = r->event.type;
    if (depth == DEPTH)
        err_set(e, "'%s' line %lu: nested more than %d deep", r->what, line(r), DEPTH);
    else if (type == YAML_SCALAR_EVENT)
        return scalar(&r->event, e);
    else if (type == YAML_SEQUENCE_START_EVENT)
        return sequence(r, depth + 1, e);
    else if (type == YAML_MAPPING_START_EVENT)
        return mapping(r, depth + 1, e);
    else
        err_set(e, "'%s' line %lu: %s", r->what, line(r),
                type == YAML_ALIAS_EVENT ? "aliases (*name) are not read" : "a value is missing");
    return NULL;
}

/* The events around a document and its value; an empty one is null. */
static json_t *document(struct reader *r, struct err *e)
{
    if (next(r, e) || next(r, e)) /* start of the stream, of the document */
        return NULL;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return json_null();
    json_t *v = next(r, e) ? NULL : value(r, 0, e);
    if (v && !next(r, e) && !next(r, e) && r->event.type == YAML_STREAM_END_EVENT)
        return v;
    if (v && r->event.type != YAML_NO_EVENT)
        err_set(e, "'%s' line %lu: a second document begins", r->what, line(r));
    json_decref(v);
    return NULL;
}

json_t *yaml_read_text(const char *text, size_t len, const char *what, struct err *e)
{
    struct reader r = {.what = what};
    if (!yaml_parser_initialize(&r.parser)) {
        err_no_memory(e, what);
        return NULL;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    json_t *v = document(&r, e);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return v;
}

#else

json_t *yaml_read_text(const char *text, size_t len, const char *what, struct err *e)
{
    (void)text, (void)len;
    err_set(
        e,
        "cannot read '%s': this program was built without libyaml (Debian's libyaml-dev), which "
        "YAML needs",
        what);
    return NULL;
}

#endif

enum { PATH = 256, REFERENCES = 16 };

const json_t *yaml_at(const json_t *root, const char *path)
{
    char part[PATH];
    while (root && *path) {
        const size_t n = strcspn(path, ".");
        if (n >= sizeof part)
            return NULL;
        memcpy(part, path, n);
        part[n] = 0;
        root = json_object_get(root, part);
        path += n + (path[n] == '.');
    }
    return root;
}

static json_t *resolve(const json_t *root, const json_t *v, int deep, struct err *e);

/* The value that ${name} stands for; `deep`: of how many references it is the end. */
static json_t *refer(const json_t *root, const char *name, int deep, struct err *e)
{
    const json_t *there = deep < REFERENCES ? yaml_at(root, name) : NULL;
    if (!there || json_is_object(there) || json_is_array(there)) {
        err_set(e, "'${%s}' cannot be resolved", name);
        return NULL;
    }
    return resolve(root, there, deep + 1, e);
}

/* A list or an object, every value of it resolved. */
static json_t *resolve_each(const json_t *root, const json_t *v, int deep, struct err *e)
{
    json_t *all = json_copy((json_t *)v), *one;
    const char *key;
    size_t i;
    int rc = all ? 0 : err_no_memory(e, "YAML");
    json_object_foreach(all, key, one)
    {
        json_t *with = rc ? NULL : resolve(root, one, deep, e);
        rc = rc || !with || json_object_set_new(all, key, with);
    }
    for (i = 0; !rc && i < json_array_size(all); i++) {
        json_t *with = resolve(root, json_array_get(all, i), deep, e);
        rc = !with || json_array_set_new(all, i, with);
    }
    if (!rc)
        return all;
    json_decref(all);
    return NULL;
}

static json_t *resolve(const json_t *root, const json_t *v, int deep, struct err *e)
{
    if (json_is_object(v) || json_is_array(v))
        return resolve_each(root, v, deep, e);
    const char *text = json_is_string(v) ? json_string_value(v) : "", *from = strstr(text, "${"),
               *to = from ? strchr(from, '}') : NULL;
    if (!to)
        return json_deep_copy(v);
    char name[PATH];
    snprintf(name, sizeof name, "%.*s", (int)(to - from) - 2, from + 2);
    json_t *inner = refer(root, name, deep, e);
    if (!inner || (from == text && !to[1]))
        return inner;
    char *other = json_is_string(inner) ? NULL : json_dumps(inner, JSON_ENCODE_ANY);
    json_t *joined = json_sprintf("%.*s%s%s", (int)(from - text), text,
                                  other ? other : json_string_value(inner), to + 1);
    json_t *all = joined ? resolve(root, joined, deep + 1, e) : NULL;
    if (!joined)
        err_no_memory(e, "YAML");
    free(other);
    json_decref(joined);
    json_decref(inner);
    return all;
}

json_t *yaml_resolve(const json_t *root, const json_t *v, struct err *e)
{
    return resolve(root, v, 0, e);
}

json_t *yaml_read_file(const char *path, struct err *e)
{
    size_t len;
    char *text = file_read(path, &len, e);
    json_t *v = text ? yaml_read_text(text, len, path, e) : NULL;
    free(text);
    return v;
}

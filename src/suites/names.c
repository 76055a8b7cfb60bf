#include "suites/names.h"

#include <string.h>

#include "base/param.h"

int names_unknown(const char *what, const char *name, const char *const *names, int n,
                  struct err *e)
{
    const char *near = param_nearest(name, names, n);
    return near ? err_set(e, "unknown %s '%s': did you mean '%s'?", what, name, near)
                : err_set(e, "unknown %s '%s'", what, name);
}

int names_find(const char *what, const char *name, const char *const *names, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return i;
    return names_unknown(what, name, names, n, e);
}

int names_check_keys(const json_t *object, const char *const *names, int n, struct err *e)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return err_set(e, "it must be a json object");
    json_object_foreach((json_t *)object, key,
                        value) if (names_find("key", key, names, n, e) < 0) return -1;
    return 0;
}

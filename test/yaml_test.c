/* YAML: what is read, what is refused. What is right is what OmegaConf 2.3.0 reads
 * (tools/make_yaml_golden.py). */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "tap.h"

static struct err e;

/* From memory that ends with the text, so that a sanitizer sees any byte read beyond. */
static json_t *parse(const char *text)
{
    size_t n = strlen(text);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, text, n);
    e.msg[0] = 0;
    json_t *j = yaml_read_text(exact, n, "here", &e);
    free(exact);
    return j;
}

#ifdef HAVE_YAML
/* {"cases": [{"text": YAML, "value": JSON}]} */
static void test_golden(void)
{
    json_t *golden = json_read_file("test/data/yaml.json", &e), *row;
    size_t i;
    ok(json_array_size(golden) > 20, "%zu texts that OmegaConf read", json_array_size(golden));
    json_array_foreach(golden, i, row)
    {
        const char *text = json_string_value(json_object_get(row, "text"));
        const json_t *want = json_object_get(row, "value");
        json_t *got = parse(text);
        char *shown = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        ok(got && json_equal(got, want), "text %zu: %s", i + 1, shown ? shown : e.msg);
        free(shown);
        json_decref(got);
    }
    json_decref(golden);
}

static void refused(const char *text, const char *why)
{
    json_t *j = parse(text);
    ok(!j && strstr(e.msg, why), "refused: %s", j ? "(read)" : e.msg);
    json_decref(j);
}

static void test_refused(void)
{
    refused("a: [1, 2", "here' line 2: ");
    refused("a: 1\nb: 'x", "line 2: found unexpected end of stream");
    refused("a: &x 1\nb: *x", "line 2: aliases (*name) are not read");
    refused("a: 1\n---\nb: 2\n", "line 2: a second document begins");
    refused("? [1]\n: 2", "line 1: a key is not a text");
    refused("a: 1\n\tb: 2", "line 2: ");
    refused("\xff\xfe", "here' line 1");
    char deep[200];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    refused(deep, "nested more than 64 deep");
    json_t *j = parse("");
    ok(json_is_null(j), "an empty text is null");
    json_decref(j);
}

static void test_without_memory(void)
{
    long n = 0;
    json_t *j = NULL;
    int silent = 0;
    for (; !j && n < 100; n++) {
        mem_fail_at(n);
        j = parse("a: {b: [1, x]}\nc: 1e-5");
        silent += !j && !e.msg[0];
    }
    mem_fail_at(-1);
    ok(j && n > 1 && !silent, "%ld failing allocations: an error each", n - 1);
    json_decref(j);
}

int main(void)
{
    test_golden();
    test_refused();
    test_without_memory();
    return done();
}
#else
int main(void)
{
    json_t *j = parse("a: 1");
    ok(!j && strstr(e.msg, "built without libyaml"), "without libyaml: %s", e.msg);
    return done();
}
#endif

/* SHA-256 against the vectors of FIPS 180-4 and its CAVP, on every path, in pieces of every size.
 */
#include "base/sha256.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "tap.h"

static void hex(const uint8_t *hash, char *text)
{
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

/* Of n bytes, handed over in pieces of `piece`. */
static const char *hash_of(const void *bytes, size_t n, size_t piece, int portable)
{
    static char text[SHA256_TEXT];
    uint8_t hash[SHA256_BYTES];
    struct sha256 s;
    sha256_init(&s, portable);
    for (size_t at = 0; at < n; at += piece)
        sha256_add(&s, (const char *)bytes + at, n - at < piece ? n - at : piece);
    sha256_end(&s, hash);
    hex(hash, text);
    return text;
}

int main(void)
{
    static const struct {
        const char *text, *hash;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mn"
         "opqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (int portable = 0; portable < 2; portable++)
            ok(!strcmp(hash_of(known[i].text, strlen(known[i].text), 1000, portable),
                       known[i].hash),
               "vector %zu, %s", i, portable ? "portable" : "the processor's");

    enum { MILLION = 1000000 };
    static char many[MILLION];
    memset(many, 'a', sizeof many);
    ok(!strcmp(hash_of(many, MILLION, MILLION, 0),
               "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
       "a million times a");

    /* Every length around two blocks, in all sizes of pieces: one answer on both paths. */
    int same = 1;
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = (char)(i * i >> 3);
    for (size_t n = 0; n < 200; n++) {
        char whole[SHA256_TEXT];
        strcpy(whole, hash_of(many, n, 200, 1));
        for (size_t piece = 1; piece <= 130; piece += 3)
            same &= !strcmp(whole, hash_of(many, n, piece, 0));
    }
    ok(same, "pieces of any size give the hash of the whole");

    struct err e;
    char text[SHA256_TEXT], path[512];
    snprintf(path, sizeof path, "%s/abc", test_dir());
    ok(!file_write(path, "abc", 3, &e) && !sha256_file(path, text, &e) &&
           !strcmp(text, known[1].hash),
       "of a file");
    ok(sha256_file("/nonexistent/x", text, &e) && strstr(e.msg, "cannot open"), "no file: %s",
       e.msg);
    mem_fail_at(0);
    ok(sha256_file(path, text, &e), "no memory: %s", e.msg);
    mem_fail_at(-1);
    return done();
}

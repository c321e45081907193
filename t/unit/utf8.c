/*
 * The UTF-8 validator against the definition: every sequence of one to three
 * bytes, every code point, and every cut of what is longer.
 */

#include <string.h>

#include "cometa_utf8.h"
#include "tap.h"


static int defined(const uint8_t *p, size_t len);
static size_t encode(uint8_t *p, uint32_t cp);
static size_t bytes(const uint8_t *p, size_t len, int *complete);
static void test_short(void);
static void test_code_points(void);
static void test_four_bytes(void);
static int mendable(const uint8_t *p, size_t len);
static void test_early_failure(void);
static void test_position(void);


int
main(void)
{
    ok(cometa_utf8_valid(NULL, 0), "nothing is valid");

    test_short();
    test_code_points();
    test_four_bytes();
    test_early_failure();
    test_position();

    return done_testing();
}


/* By decoding, and encoding again: only the shortest form comes out equal. */

static int
defined(const uint8_t *p, size_t len)
{
    size_t    n, i;
    uint8_t   again[4];
    uint32_t  cp;

    while (len) {
        n = (*p < 0x80) ? 1 : (*p >> 5 == 6) ? 2 : (*p >> 4 == 14) ? 3
            : (*p >> 3 == 30) ? 4 : 0;

        if (n == 0 || n > len) {
            return 0;
        }

        cp = (n == 1) ? *p : *p & (0x7f >> n);

        for (i = 1; i < n; i++) {
            if (p[i] >> 6 != 2) {
                return 0;
            }

            cp = (cp << 6) | (p[i] & 0x3f);
        }

        if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)
            || encode(again, cp) != n)
        {
            return 0;
        }

        p += n;
        len -= n;
    }

    return 1;
}


static size_t
encode(uint8_t *p, uint32_t cp)
{
    size_t  n, i;

    if (cp < 0x80) {
        p[0] = cp;
        return 1;
    }

    n = (cp < 0x800) ? 2 : (cp < 0x10000) ? 3 : 4;

    for (i = n - 1; i > 0; i--) {
        p[i] = 0x80 | (cp & 0x3f);
        cp >>= 6;
    }

    p[0] = (uint8_t) (0xf00 >> n) | cp;

    return n;
}


/* As cometa_utf8_feed(), given one byte at a time. */

static size_t
bytes(const uint8_t *p, size_t len, int *complete)
{
    size_t         i;
    cometa_utf8_t  u = { 0, 0, 0 };

    for (i = 0; i < len; i++) {
        if (cometa_utf8_feed(&u, p + i, 1) != 1) {
            break;
        }
    }

    *complete = (u.need == 0);

    return i;
}


static void
test_short(void)
{
    int       pass;
    size_t    len;
    uint8_t   p[3];
    uint32_t  i, valid;

    for (len = 1; len <= 3; len++) {
        pass = 1;
        valid = 0;

        for (i = 0; i < 1u << (8 * len); i++) {
            p[0] = i;
            p[1] = i >> 8;
            p[2] = i >> 16;

            valid += defined(p, len);
            pass &= cometa_utf8_valid(p, len) == defined(p, len);
        }

        ok(pass && valid > 0 && valid < i, "every sequence of %zu, %u valid",
           len, valid);
    }
}


static void
test_code_points(void)
{
    int       pass, complete;
    size_t    len;
    uint8_t   p[4];
    uint32_t  cp;

    pass = 1;

    for (cp = 0; cp <= 0x1fffff; cp++) {
        len = encode(p, cp);
        pass &= cometa_utf8_valid(p, len)
                == (cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff));
        pass &= cometa_utf8_valid(p, len)
                == (bytes(p, len, &complete) == len && complete);
    }

    ok(pass, "every code point, and what would be beyond the last");
}


/* Four bytes, each out of those where something changes. */

static void
test_four_bytes(void)
{
    int             pass;
    size_t          i, n;
    uint8_t         p[4];
    const uint8_t   edge[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                               0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec,
                               0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5,
                               0xf8, 0xfc, 0xfe, 0xff };

    n = sizeof(edge);
    pass = 1;

    for (i = 0; i < n * n * n * n; i++) {
        p[0] = edge[i % n];
        p[1] = edge[i / n % n];
        p[2] = edge[i / n / n % n];
        p[3] = edge[i / n / n / n];

        pass &= cometa_utf8_valid(p, 4) == defined(p, 4);
    }

    ok(pass, "sequences of four around every limit");
}


/* Whether something may follow that makes the text valid. */

static int
mendable(const uint8_t *p, size_t len)
{
    size_t         i, n;
    uint8_t        text[8];
    const uint8_t  next[] = { 0x80, 0x90, 0xa0 };

    memcpy(text, p, len);

    for (i = 0; i < sizeof(next); i++) {
        text[len] = next[i];
        memset(text + len + 1, 0x80, 2);

        for (n = 0; n <= 3; n++) {
            if (defined(text, len + n)) {
                return 1;
            }
        }
    }

    return 0;
}


/* An error is seen with the first byte after which nothing can mend it. */

static void
test_early_failure(void)
{
    int       pass, complete;
    size_t    good;
    uint8_t   p[3];
    uint32_t  i, cut;

    pass = 1;
    cut = 0;

    for (i = 0; i < 1u << 24; i += (i < 1u << 16) ? 1 : 251) {
        p[0] = i;
        p[1] = i >> 8;
        p[2] = i >> 16;

        for (good = 0; good < 3 && mendable(p, good + 1); good++) { /* void */ }

        pass &= bytes(p, 3, &complete) == good;
        cut += good == 3 && !complete;
    }

    ok(pass && cut > 0, "no byte too early, none too late");
}


static void
test_position(void)
{
    int            pass, complete;
    size_t         at, cut, len;
    uint8_t        text[64], copy[64];
    cometa_utf8_t  u;
    const char     sample[] = "plain \xc3\xa9\xe2\x82\xac \xf0\x9f\x98\x80 "
                              "and quite a run of plain text";

    len = sizeof(sample) - 1;
    memcpy(text, sample, len);
    pass = cometa_utf8_valid(text, len);

    for (at = 0; at < len; at++) {
        memcpy(copy, text, len);
        copy[at] = 0xff;

        memset(&u, 0, sizeof(u));
        pass &= cometa_utf8_feed(&u, copy, len) == at;
        pass &= bytes(copy, len, &complete) == at;

        for (cut = 0; cut <= at; cut++) {
            memset(&u, 0, sizeof(u));
            pass &= cometa_utf8_feed(&u, copy, cut) == cut
                    && cometa_utf8_feed(&u, copy + cut, len - cut) == at - cut;
        }
    }

    ok(pass, "the position of an error, wherever it is and the text is cut");
}

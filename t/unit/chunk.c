/*
 * The chunk codec on a table of inputs, good and bad, each given whole, byte
 * by byte and in every split in two. All ways must yield the same trace.
 *
 * A trace tells, in order: "data@N" for a chunk complete at input offset N,
 * "+data" for one begun and incomplete at the end of input, "!REASON@N" for
 * an error at offset N.
 */

#include <string.h>

#include "cometa_chunk.h"
#include "tap.h"


#define MAX  0x400


typedef struct {
    const char  *name;
    const char  *input;
    size_t       len;
    const char  *trace;
} sample_t;

typedef struct {
    cometa_chunk_t  ch;
    size_t          offset;     /* of the input given so far */
    char            text[2048];
    size_t          used;
    char            data[2048]; /* of the chunk begun */
    size_t          data_len;
    int             failed;
} run_t;


#define IN(s)  s, sizeof(s) - 1

static const sample_t  samples[] = {

    /* good */

    { "nothing",                IN(""), "" },
    { "plain",                  IN("5\r\nhello\r\n"), "hello@8 " },
    { "two",                    IN("2\r\nab\r\n3\r\ncde\r\n"),
                                "ab@5 cde@13 " },
    { "done without the end",   IN("5\r\nhello"), "hello@8 " },
    { "done with a CR behind",  IN("5\r\nhello\r"), "hello@8 " },
    { "bare LF",                IN("5\nhello\r\n1\nx"), "hello@7 x@12 " },
    { "hex of either case",     IN("a\r\n0123456789\r\nB\r\n0123456789a"),
                                "0123456789@13 0123456789a@29 " },
    { "leading zeros",          IN("00000001\r\nx\r\n02\r\nyz"),
                                "x@11 yz@19 " },
    { "empty",                  IN("0\r\n"), "@3 " },
    { "empty, bare LF",         IN("0\n"), "@2 " },
    { "empty, 8 digits",        IN("00000000\r\n\r\n1\r\nx"), "@10 x@16 " },
    { "empty, then another",    IN("0\r\n\r\n1\r\nx"), "@3 x@9 " },
    { "heartbeat",              IN("1\r\n\x06\r\n"), "\x06@4 " },
    { "extension",              IN("1;a=b\r\nx\r\n"), "x@8 " },
    { "extension, bare LF",     IN("1;a=b\nx\r\n"), "x@7 " },
    { "empty extension",        IN("1;\r\nx\r\n"), "x@5 " },
    { "space before extension", IN("1 \t ;a=\"b; c\"\r\nx\r\n"), "x@16 " },
    { "space behind the size",  IN("1 \r\nx\r\n"), "x@5 " },
    { "spaces and tabs behind", IN("05 \t  \r\nhello\r\n1\t\nx"),
                                "hello@13 x@19 " },
    { "space behind an empty",  IN("0 \r\n\r\n1\r\ny"), "@4 y@10 " },
    { "extension on empty",     IN("0;x\r\n\r\n1\r\ny"), "@5 y@11 " },
    { "NUL in an extension",    IN("1;\0\r\nx"), "x@6 " },
    { "NUL in data",            IN("1\r\n\n\r\n2\r\n\r\r\r\n"),
                                "\n@4 \r\r@11 " },
    { "largest",                IN("400\r\n"), "+" },
    { "largest, leading zero",  IN("0400;x\r\n"), "+" },

    /* the CR LF behind data that ends in CR LF */

    { "end missing",            IN("2\r\n\r\n1\r\nx\r\n"), "\r\n@5 x@9 " },
    { "end not missing",        IN("2\r\n\r\n\r\n1\r\nx\r\n"),
                                "\r\n@5 x@11 " },
    { "end missing, longer",    IN("4\r\nab\r\n1\nx\r\n"),
                                "ab\r\n@7 x@10 " },
    { "end missing, empty next", IN("2\r\n\r\n0\r\n"), "\r\n@5 @8 " },
    { "end missing, twice",     IN("2\n\r\n2\n\r\nA"), "\r\n@4 \r\n@8 +" },
    { "end missing, CR CR LF",  IN("3\n\r\r\n1\nx"), "\r\r\n@5 x@8 " },

    /* begun and not complete */

    { "begun, a digit",         IN("5"), "+" },
    { "begun, a CR",            IN("5\r"), "+" },
    { "begun, a space",         IN("5 "), "+" },
    { "begun, an extension",    IN("5 ;"), "+" },
    { "begun, size line",       IN("5\r\n"), "+" },
    { "begun, data",            IN("5\r\nhell"), "+hell" },
    { "begun, the second",      IN("1\r\nx\r\n2"), "x@4 +" },
    { "begun, zero",            IN("0"), "+" },

    /* size lines that are none */

    { "not hex",                IN("g\r\n"), "!size@0" },
    { "not hex, later",         IN("1g\r\n"), "!size@1" },
    { "around the digits",      IN("/"), "!size@0" },
    { "around the digits, 2",   IN(":"), "!size@0" },
    { "around the letters",     IN("@"), "!size@0" },
    { "around the letters, 2",  IN("`"), "!size@0" },
    { "control that is | 0x20", IN("\x01"), "!size@0" },
    { "high byte",              IN("\xe1"), "!size@0" },
    { "NUL",                    IN("\0"), "!size@0" },
    { "negative",               IN("-1\r\n"), "!size@0" },
    { "0x",                     IN("0x1\r\n"), "!size@1" },
    { "no digit",               IN("\r\n"), "!size@0" },
    { "no digit, bare LF",      IN("\n"), "!size@0" },
    { "no digit, extension",    IN(";a\r\n"), "!size@0" },
    { "space in front",         IN(" 1\r\n"), "!size@0" },
    { "space inside",           IN("1 1\r\n"), "!size@2" },
    { "9 digits",               IN("000000001\r\n"), "!size@8" },
    { "CR alone",               IN("1\rx"), "!size@2" },
    { "CR CR LF",               IN("1\r\r\n"), "!size@2" },
    { "CR alone, space",        IN("1 \rx\r\n"), "!size@3" },
    { "text after a space",     IN("1 a=b\r\n"), "!size@2" },
    { "CR alone, extension",    IN("1;a\rx\r\n"), "!size@4" },

    /* too large: as soon as it is known */

    { "too large by one",       IN("401"), "!large@2" },
    { "too large by a digit",   IN("4000"), "!large@3" },
    { "too large, 8 digits",    IN("ffffffff"), "!large@2" },
    { "too large, the second",  IN("1\r\nx\r\nfff\r\n"), "x@4 !large@8" },

    /* garbage behind the data */

    { "garbage",                IN("1\r\nx1\r\n"), "x@4 !end@4" },
    { "data one longer",        IN("1\r\nxy\r\n"), "x@4 !end@4" },
    { "bare LF behind",         IN("1\r\nx\n"), "x@4 !end@4" },
    { "CR without LF",          IN("1\r\nx\r1"), "x@4 !end@5" },
    { "CR CR",                  IN("1\r\nx\r\r"), "x@4 !end@5" },
    { "not hex after CR LF",    IN("2\r\n\r\nx"), "\r\n@5 !end@5" },
    { "LF after CR LF",         IN("2\r\n\r\n\n"), "\r\n@5 !end@5" },
    { "only LF in the data",    IN("1\r\n\n1\r\n"), "\n@4 !end@4" },
    { "only CR in the data",    IN("1\r\n\r\n1"), "\r@4 !end@4" },
    { "LF CR in the data",      IN("2\r\n\n\r1"), "\n\r@5 !end@5" },
    { "CR LF x in the data",    IN("3\r\n\r\nx1"), "\r\nx@6 !end@6" },
    { "CR x LF in the data",    IN("3\r\n\rx\n1"), "\rx\n@6 !end@6" },
    { "CR LF of another chunk", IN("2\n\r\n1\n\n1"), "\r\n@4 \n@7 !end@7" },
    { "CR and LF in two chunks", IN("1\n\r\r\n1\n\n1"),
                                "\r@3 \n@8 !end@8" },
    { "digit after empty",      IN("0\r\n1"), "@3 !end@3" },
    { "empty after CR LF",      IN("2\n\r\n0\n1"), "\r\n@4 @6 !end@6" },
    { "trailer",                IN("0\r\nA: b\r\n\r\n"), "@3 !end@3" },
};


static void run_start(run_t *run);
static void run_feed(run_t *run, const char *input, size_t len);
static void run_event(run_t *run, int rc, const uint8_t *data, size_t len,
    size_t offset);
static const char *run_end(run_t *run);
static void test_sample(const sample_t *s);
static void test_extension_limit(void);
static void test_digits(void);
static void test_final_error(void);
static void test_state(void);
static void test_limits(void);
static void test_head(void);


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        test_sample(&samples[i]);
    }

    test_extension_limit();
    test_digits();
    test_final_error();
    test_state();
    test_limits();
    test_head();

    return done_testing();
}


static void
run_start(run_t *run)
{
    memset(run, 0, sizeof(run_t));
    cometa_chunk_init(&run->ch);
}


/* The input is copied so that a sanitizer sees a read beyond its end. */

static void
run_feed(run_t *run, const char *input, size_t len)
{
    int             rc;
    size_t          n;
    uint8_t        *copy;
    const uint8_t  *pos, *data;

    copy = malloc(len + (len == 0));
    memcpy(copy, input, len);
    pos = copy;

    do {
        rc = cometa_chunk_parse(&run->ch, &pos, copy + len, MAX, &data, &n);
        run_event(run, rc, data, n, run->offset + (pos - copy));

    } while (rc > 0);

    run->offset += len;
    free(copy);
}


static void
run_event(run_t *run, int rc, const uint8_t *data, size_t len, size_t offset)
{
    const char  *reason;

    if (rc == COMETA_CHUNK_AGAIN || run->failed) {
        return;
    }

    if (rc < 0) {
        run->failed = 1;
        reason = (rc == COMETA_CHUNK_BAD_SIZE) ? "size"
                 : (rc == COMETA_CHUNK_TOO_LARGE) ? "large"
                 : (rc == COMETA_CHUNK_BAD_EXT) ? "ext"
                 : (rc == COMETA_CHUNK_BAD_END) ? "end" : "?";

        run->used += sprintf(run->text + run->used, "!%s@%zu", reason, offset);
        return;
    }

    memcpy(run->data + run->data_len, data, len);
    run->data_len += len;

    if (rc == COMETA_CHUNK_DONE) {
        run->used += sprintf(run->text + run->used, "%.*s@%zu ",
                             (int) run->data_len, run->data, offset);
        run->data_len = 0;
    }
}


static const char *
run_end(run_t *run)
{
    if (cometa_chunk_begun(&run->ch)) {
        sprintf(run->text + run->used, "+%.*s", (int) run->data_len,
                run->data);
    }

    return run->text;
}


static void
test_sample(const sample_t *s)
{
    int     split;
    run_t   run;
    size_t  i;

    run_start(&run);
    run_feed(&run, s->input, s->len);

    if (!ok(strcmp(run_end(&run), s->trace) == 0, "%s, whole", s->name)) {
        diag("got \"%s\", expected \"%s\"", run.text, s->trace);
    }

    run_start(&run);

    for (i = 0; i < s->len; i++) {
        run_feed(&run, s->input + i, 1);
        run_feed(&run, s->input, 0);
    }

    if (!ok(strcmp(run_end(&run), s->trace) == 0, "%s, bytes", s->name)) {
        diag("got \"%s\", expected \"%s\"", run.text, s->trace);
    }

    split = 1;

    for (i = 0; i <= s->len; i++) {
        run_start(&run);
        run_feed(&run, s->input, i);
        run_feed(&run, s->input + i, s->len - i);

        if (strcmp(run_end(&run), s->trace) != 0) {
            diag("at %zu got \"%s\"", i, run.text);
            split = 0;
        }
    }

    ok(split, "%s, every split", s->name);
}


static void
test_extension_limit(void)
{
    char      input[COMETA_CHUNK_EXT_MAX + 8];
    sample_t  good = { "longest extension", input, 0, "x@1028 " };
    sample_t  bad = { "extension too long", input, 0, "!ext@1025" };
    char      twice[2 * (600 + 6) + 1];
    sample_t  two = { "two long extensions", twice, sizeof(twice) - 1,
                      "x@604 x@1210 " };
    sample_t  space = { "spaces too long", input, 0, "!ext@1025" };

    memset(input, ';', sizeof(input));
    input[0] = '1';
    memcpy(input + 1 + COMETA_CHUNK_EXT_MAX, "\r\nx\r\n", 5);
    good.len = 1 + COMETA_CHUNK_EXT_MAX + 5;
    test_sample(&good);

    memcpy(input + 1 + COMETA_CHUNK_EXT_MAX, ";\r\nx\r\n", 6);
    bad.len = 1 + COMETA_CHUNK_EXT_MAX + 6;
    test_sample(&bad);

    memset(input + 1, ' ', COMETA_CHUNK_EXT_MAX + 1);
    space.len = 1 + COMETA_CHUNK_EXT_MAX + 1;
    test_sample(&space);

    sprintf(twice, "1;%600s\nx\r\n", "");
    sprintf(twice + 606, "1;%600s\nx\r\n", "");
    test_sample(&two);
}


/* Every byte as the last digit of a size. */

static void
test_digits(void)
{
    int             c, rc, pass, digits;
    char            text[2], *rest;
    size_t          len;
    uint8_t         in[3] = { '1', 0, '\n' };
    cometa_chunk_t  ch;
    const uint8_t  *pos, *data;

    pass = 1;
    digits = 0;

    for (c = '!'; c < 256; c++) {
        in[1] = c;
        text[0] = c;
        text[1] = '\0';

        cometa_chunk_init(&ch);
        pos = in;
        rc = cometa_chunk_parse(&ch, &pos, in + 3, MAX, &data, &len);

        if (c != ';' && rc == COMETA_CHUNK_AGAIN) {
            digits++;
            pass &= ch.size == 16 + strtoul(text, &rest, 16) && *rest == '\0';
        }
    }

    ok(pass && digits == 22, "the %d hex digits, no others", digits);
}


static void
test_final_error(void)
{
    int             rc;
    size_t          len;
    cometa_chunk_t  ch;
    const uint8_t   bad[] = "g", good[] = "1\r\nx\r\n";
    const uint8_t  *pos, *data;

    cometa_chunk_init(&ch);

    pos = bad;
    rc = cometa_chunk_parse(&ch, &pos, bad + 1, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_BAD_SIZE && pos == bad, "error at its byte");

    pos = good;
    rc = cometa_chunk_parse(&ch, &pos, good + 6, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_BAD_SIZE && pos == good, "error is final");

    rc = cometa_chunk_parse(&ch, &pos, pos, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_BAD_SIZE, "error is final without input too");
    ok(!cometa_chunk_begun(&ch), "nothing is begun after an error");

    cometa_chunk_init(&ch);
    rc = cometa_chunk_parse(&ch, &pos, good + 6, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_DONE && len == 1 && data == good + 3
       && pos == good + 4, "init starts anew");

    for (rc = COMETA_CHUNK_BAD_END; rc < 0; rc++) {
        ok(strcmp(cometa_chunk_error(rc), cometa_chunk_error(0)) != 0,
           "reason of %d: %s", rc, cometa_chunk_error(rc));
    }
}


static void
test_state(void)
{
    int             rc;
    size_t          len;
    cometa_chunk_t  ch;
    const uint8_t   in[] = "4\r\nabcd\r\n";
    const uint8_t  *pos, *data;

    ok(sizeof(ch) <= 16, "state of %zu bytes", sizeof(ch));

    cometa_chunk_init(&ch);
    ok(!cometa_chunk_begun(&ch), "nothing begun at first");

    pos = in;
    rc = cometa_chunk_parse(&ch, &pos, in + 5, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_PART && len == 2 && data == in + 3
       && ch.size == 4, "part with its size known");
    ok(cometa_chunk_begun(&ch), "begun in its data");

    rc = cometa_chunk_parse(&ch, &pos, in + 7, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_DONE && len == 2 && data == in + 5,
       "done with the last piece");
    ok(!cometa_chunk_begun(&ch), "not begun before the CR LF behind");

    rc = cometa_chunk_parse(&ch, &pos, in + 9, MAX, &data, &len);
    ok(rc == COMETA_CHUNK_AGAIN && len == 0 && pos == in + 9,
       "the CR LF behind is no event");
    ok(!cometa_chunk_begun(&ch), "not begun behind it");
}


static void
test_limits(void)
{
    int             rc;
    size_t          len;
    cometa_chunk_t  ch;
    const uint8_t   full[] = "fFfFfFfF\r\n", zero[] = "0\r\n", one[] = "1";
    const uint8_t  *pos, *data;

    cometa_chunk_init(&ch);
    pos = full;
    rc = cometa_chunk_parse(&ch, &pos, full + 10, UINT32_MAX, &data, &len);
    ok(rc == COMETA_CHUNK_AGAIN && ch.rest == UINT32_MAX, "4 GB - 1");

    cometa_chunk_init(&ch);
    pos = zero;
    rc = cometa_chunk_parse(&ch, &pos, zero + 3, 0, &data, &len);
    ok(rc == COMETA_CHUNK_DONE && len == 0 && data == zero + 3,
       "empty at a limit of 0");

    cometa_chunk_init(&ch);
    pos = one;
    rc = cometa_chunk_parse(&ch, &pos, one + 1, 0, &data, &len);
    ok(rc == COMETA_CHUNK_TOO_LARGE, "1 at a limit of 0");
}


static void
test_head(void)
{
    char      expected[16];
    int       i, pass;
    size_t    len;
    uint8_t   head[COMETA_CHUNK_HEAD_MAX];
    uint32_t  size;

    pass = 1;

    for (i = 0; i < 3 * 32 + 1; i++) {
        size = (i == 96) ? 0 : (uint32_t) ((1ull << (i / 3)) + i % 3 - 1);

        len = cometa_chunk_head(head, size);
        sprintf(expected, "%x\r\n", size);

        if (len != strlen(expected) || memcmp(head, expected, len) != 0) {
            diag("wrong head of %u", size);
            pass = 0;
        }
    }

    ok(pass, "heads around each power of two");
    ok(cometa_chunk_head(head, UINT32_MAX) == COMETA_CHUNK_HEAD_MAX,
       "the longest head");
}

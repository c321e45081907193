/*
 * The WebSocket codec on a table of frames, good and bad, each given whole,
 * byte by byte and in every split in two. All ways must yield the same trace.
 *
 * A trace tells, in order: "T:data ", "B:data " for a message complete,
 * "I:data ", "O:data " for a ping or pong, "C1000:reason " for a close frame,
 * "!reason" for an error, and "+" if something is begun at the end. Offsets
 * are compared among the ways only.
 */

#include <string.h>

#include "cometa_ws.h"
#include "tap.h"


#define MAX     200
#define FRAMES  6
#define INPUT   512


/* How a frame is written, beside the plain way. */

enum { PLAIN, UNMASKED, IN_16, IN_64, HEAD_ONLY };


typedef struct {
    uint8_t      first;
    const char  *payload;
    size_t       len;
    int          how;
} frame_t;

typedef struct {
    const char  *name;
    frame_t      frames[FRAMES];
    const char  *trace;
} sample_t;

typedef struct {
    char      data[2 * INPUT];
    size_t    len;
} gather_t;

typedef struct {
    cometa_ws_t  ws;
    size_t       offset;        /* of the input given so far */
    char         text[2048];
    size_t       used;
    char         offsets[1024]; /* of the events, as text */
    size_t       offsets_used;
    gather_t     message;
    gather_t     control;
    int          failed;
} run_t;


#define S(s)         s, sizeof(s) - 1, PLAIN
#define AS(s, how)   s, sizeof(s) - 1, how

#define EURO  "\xe2\x82\xac"
#define FILL  "0123456789012345678901234567890123456789012345678901234567890123"

static const sample_t  samples[] = {

    /* messages */

    { "nothing",          { { 0, NULL, 0, 0 } }, "" },
    { "text",             { { 0x81, S("Hello") } }, "T:Hello " },
    { "binary",           { { 0x82, S("\xff\xfe") } }, "B:\xff\xfe " },
    { "empty text",       { { 0x81, S("") } }, "T: " },
    { "empty binary",     { { 0x82, S("") } }, "B: " },
    { "two",              { { 0x81, S("a") }, { 0x82, S("b") } },
                          "T:a B:b " },
    { "of 8 and more",    { { 0x81, S("0123456789abcdefghi") },
                            { 0x81, S("01234567") }, { 0x81, S("01234") } },
                          "T:0123456789abcdefghi T:01234567 T:01234 " },
    { "of 125",           { { 0x82, FILL FILL, 125, 0 }, { 0x81, S("x") } },
                          "B:" FILL "0123456789012345678901234567890123456789"
                          "012345678901234567890 T:x " },
    { "of 126",           { { 0x82, FILL FILL, 126, 0 } },
                          "B:" FILL "0123456789012345678901234567890123456789"
                          "0123456789012345678901 " },

    /* fragments */

    { "two fragments",    { { 0x01, S("Hel") }, { 0x80, S("lo") } },
                          "T:Hello " },
    { "three fragments",  { { 0x02, S("a") }, { 0x00, S("b") },
                            { 0x80, S("c") } }, "B:abc " },
    { "empty fragments",  { { 0x01, S("") }, { 0x00, S("") }, { 0x00, S("x") },
                            { 0x00, S("") }, { 0x80, S("") } }, "T:x " },
    { "all empty",        { { 0x01, S("") }, { 0x80, S("") } }, "T: " },
    { "not the last",     { { 0x01, S("ab") }, { 0x00, S("cd") } }, "+" },
    { "empty, not last",  { { 0x01, S("") } }, "+" },
    { "ping within",      { { 0x01, S("Hel") }, { 0x89, S("p") },
                            { 0x80, S("lo") } }, "I:p T:Hello " },
    { "ping and pong",    { { 0x01, S("a") }, { 0x89, S("") },
                            { 0x8a, S("q") }, { 0x00, S("b") },
                            { 0x80, S("") } }, "I: O:q T:ab " },
    { "close within",     { { 0x01, S("a" "\xe2") },
                            { 0x88, S("\x03\xe8" "b") }, { 0x80, S("c") } },
                          "C1000:b " },

    /* control frames */

    { "ping",             { { 0x89, S("ping") } }, "I:ping " },
    { "pong",             { { 0x8a, S("pong") } }, "O:pong " },
    { "ping is no text",  { { 0x89, S("\xff") } }, "I:\xff " },
    { "ping of 125",      { { 0x89, FILL FILL, 125, 0 } },
                          "I:" FILL "0123456789012345678901234567890123456789"
                          "012345678901234567890 " },
    { "ping of 126",      { { 0x89, FILL FILL, 126, 0 } }, "!control" },
    { "pong of 64k",      { { 0x8a, S(""), }, { 0x8a, AS("", IN_64) } },
                          "O: !control" },
    { "ping in fragments", { { 0x09, S("x") } }, "!control" },
    { "pong in fragments", { { 0x0a, S("x") } }, "!control" },
    { "close in fragments", { { 0x08, S("") } }, "!control" },

    /* close */

    { "close",            { { 0x88, S("") } }, "C0: " },
    { "close, code",      { { 0x88, S("\x03\xe8") } }, "C1000: " },
    { "close, reason",    { { 0x88, S("\x03\xe9" "bye " EURO) } },
                          "C1001:bye " EURO " " },
    { "nothing after close", { { 0x88, S("\x03\xe8") }, { 0x81, S("x") },
                               { 0xff, S("x") } }, "C1000: " },
    { "close of one byte", { { 0x88, S("\x03") } }, "!close" },
    { "close of 126",     { { 0x88, FILL FILL, 126, 0 } }, "!control" },
    { "close 999",        { { 0x88, S("\x03\xe7") } }, "!close" },
    { "close 1005",       { { 0x88, S("\x03\xed" "x") } }, "!close" },
    { "close 4999",       { { 0x88, S("\x13\x87") } }, "C4999: " },
    { "close 5000",       { { 0x88, S("\x13\x88") } }, "!close" },
    { "close, bad reason", { { 0x88, S("\x03\xe8" "a\xff" "b") } },
                           "!utf8" },
    { "close, cut reason", { { 0x88, S("\x03\xe8" "a\xe2\x82") } },
                           "!utf8" },
    { "close, its own text", { { 0x01, S("\xe2") },
                               { 0x88, S("\x03\xe8\x82\xac") } }, "!utf8" },

    /* UTF-8 */

    { "text, UTF-8",      { { 0x81, S("caf\xc3\xa9 " EURO) } },
                          "T:caf\xc3\xa9 " EURO " " },
    { "across fragments", { { 0x01, S("\xe2") }, { 0x00, S("\x82") },
                            { 0x80, S("\xac") } }, "T:" EURO " " },
    { "across, with ping", { { 0x01, S("\xe2\x82") }, { 0x89, S("\xff") },
                             { 0x80, S("\xac") } }, "I:\xff T:" EURO " " },
    { "bad text",         { { 0x81, S("a\xff") } }, "!utf8" },
    { "bad, not the last", { { 0x01, S("a\xff") } }, "!utf8" },
    { "surrogate",        { { 0x81, S("\xed\xa0\x80") } }, "!utf8" },
    { "overlong",         { { 0x81, S("\xc0\xaf") } }, "!utf8" },
    { "cut text",         { { 0x81, S("a\xe2\x82") } }, "!utf8" },
    { "cut in fragments", { { 0x01, S("a\xe2") }, { 0x80, S("\x82") } },
                          "!utf8" },
    { "cut, empty last",  { { 0x01, S("a\xe2") }, { 0x80, S("") } },
                          "!utf8" },
    { "bad across",       { { 0x01, S("a\xe2") }, { 0x80, S("b") } },
                          "!utf8" },
    { "binary is no text", { { 0x02, S("\xe2") }, { 0x80, S("\xff") },
                             { 0x81, S("x") } }, "B:\xe2\xff T:x " },

    /* heads that are none */

    { "RSV1",             { { 0xc1, S("x") } }, "!bits" },
    { "RSV2",             { { 0xa1, S("x") } }, "!bits" },
    { "RSV3",             { { 0x91, S("x") } }, "!bits" },
    { "RSV3, control",    { { 0x99, S("x") } }, "!bits" },
    { "RSV1, continued",  { { 0x01, S("x") }, { 0xc0, S("x") } },
                          "!bits" },
    { "not masked",       { { 0x81, AS("x", UNMASKED) } }, "!mask" },
    { "ping not masked",  { { 0x89, AS("", UNMASKED) } }, "!mask" },
    { "nothing to continue", { { 0x80, S("x") } }, "!fragment" },
    { "nothing, not last", { { 0x00, S("x") } }, "!fragment" },
    { "continued after",  { { 0x81, S("x") }, { 0x80, S("y") } },
                          "T:x !fragment" },
    { "not continued",    { { 0x01, S("x") }, { 0x81, S("y") } },
                          "!fragment" },
    { "not continued, 2", { { 0x01, S("") }, { 0x02, S("y") } },
                          "!fragment" },
    { "16 bits for 125",  { { 0x82, FILL FILL, 125, IN_16 } }, "!length" },
    { "16 bits for 0",    { { 0x81, AS("", IN_16) } }, "!length" },
    { "64 bits for 126",  { { 0x82, FILL FILL, 126, IN_64 } }, "!length" },
    { "64 bits for 65535", { { 0x82, NULL, 65535, IN_64 } }, "!length" },
    { "16 bits, the most", { { 0x82, NULL, 65535, IN_16 } }, "!large" },
    { "64 bits, the least", { { 0x82, NULL, 65536, IN_64 } }, "!large" },
    { "64 bits, the most", { { 0x82, NULL, INT64_MAX, IN_64 } }, "!large" },
    { "one bit more",     { { 0x82, NULL, (size_t) INT64_MAX + 1, IN_64 } },
                          "!length" },

    /* the limit of a message */

    { "largest",          { { 0x82, NULL, MAX, HEAD_ONLY } }, "+" },
    { "too large",        { { 0x82, NULL, MAX + 1, HEAD_ONLY } }, "!large" },
    { "largest, in two",  { { 0x02, FILL, 64, 0 },
                            { 0x80, NULL, MAX - 64, HEAD_ONLY } }, "+" },
    { "too large, in two", { { 0x02, FILL, 64, 0 },
                             { 0x80, NULL, MAX - 63, HEAD_ONLY } },
                           "!large" },
    { "largest, empty last", { { 0x02, NULL, 0, 0 }, { 0x00, FILL, 64, 0 },
                               { 0x00, FILL, 64, 0 }, { 0x00, FILL, 64, 0 },
                               { 0x00, S("12345678") }, { 0x80, S("") } },
                             "B:" FILL FILL FILL "12345678 " },
    { "ping does not count", { { 0x02, FILL, 64, 0 }, { 0x89, FILL, 64, 0 },
                               { 0x80, NULL, MAX - 64, HEAD_ONLY } },
                             "I:" FILL " +" },
    { "each for itself",  { { 0x82, FILL, 64, 0 },
                            { 0x82, NULL, MAX, HEAD_ONLY } },
                          "B:" FILL " +" },
};


static size_t frame_write(uint8_t *p, const frame_t *f, int n);
static void run_start(run_t *run);
static void run_feed(run_t *run, const uint8_t *input, size_t len);
static void run_event(run_t *run, int rc, const uint8_t *data, size_t len);
static void run_error(run_t *run, int rc);
static void run_offset(run_t *run, size_t offset);
static const char *run_end(run_t *run);
static void test_sample(const sample_t *s);
static void test_opcodes(void);
static void test_codes(void);
static void test_unmask(void);
static void test_rfc(void);
static void test_cut_head(void);
static void test_state(void);
static void test_errors(void);
static void test_head(void);


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        test_sample(&samples[i]);
    }

    test_opcodes();
    test_codes();
    test_unmask();
    test_rfc();
    test_cut_head();
    test_state();
    test_errors();
    test_head();

    return done_testing();
}


/* Each frame has a mask of its own; a frame without payload is a head only. */

static size_t
frame_write(uint8_t *p, const frame_t *f, int n)
{
    int       bytes;
    size_t    len, i;
    uint8_t   mask[4] = { 0x37 + n, 0xfa - n, 0x21, 0x80 + n };

    bytes = (f->how == IN_16 || (f->how != IN_64 && f->len > 125)) ? 2
            : (f->how == IN_64) ? 8 : 0;

    len = 0;
    p[len++] = f->first;
    p[len++] = ((f->how == UNMASKED) ? 0 : 0x80)
               | (bytes == 2 ? 126 : bytes == 8 ? 127 : f->len);

    while (bytes--) {
        p[len++] = f->len >> (8 * bytes);
    }

    if (f->how != UNMASKED) {
        memcpy(p + len, mask, 4);
        len += 4;
    }

    for (i = 0; f->payload && i < f->len; i++) {
        p[len++] = f->payload[i] ^ ((f->how == UNMASKED) ? 0 : mask[i % 4]);
    }

    return len;
}


static void
run_start(run_t *run)
{
    memset(run, 0, sizeof(run_t));
    cometa_ws_init(&run->ws);
}


/* The input is copied: it is changed, and a sanitizer watches its ends. */

static void
run_feed(run_t *run, const uint8_t *input, size_t len)
{
    int       rc;
    size_t    n;
    uint8_t  *copy, *pos, *data;

    copy = malloc(len + (len == 0));
    memcpy(copy, input, len);
    pos = copy;

    do {
        rc = cometa_ws_parse(&run->ws, &pos, copy + len, MAX, &data, &n);

        if (rc == COMETA_WS_AGAIN || run->failed) {
            break;
        }

        run_event(run, rc, data, n);

        if (rc != COMETA_WS_PART) {
            run_offset(run, run->offset + (pos - copy));
        }

    } while (rc > 0);

    run->offset += len;
    free(copy);
}


static void
run_event(run_t *run, int rc, const uint8_t *data, size_t len)
{
    int        type;
    gather_t  *g;

    if (rc < 0) {
        run->failed = 1;
        run_error(run, rc);
        return;
    }

    type = run->ws.type;
    g = (type & 8) ? &run->control : &run->message;

    memcpy(g->data + g->len, data, len);
    g->len += len;

    if (rc != COMETA_WS_DONE) {
        return;
    }

    if (type == COMETA_WS_CLOSE) {
        run->used += sprintf(run->text + run->used, "C%u:%.*s ", run->ws.code,
                             g->len ? (int) g->len - 2 : 0, g->data + 2);
    } else {
        run->used += sprintf(run->text + run->used, "%c:%.*s ",
                             (type == COMETA_WS_TEXT) ? 'T'
                             : (type == COMETA_WS_BINARY) ? 'B'
                             : (type == COMETA_WS_PING) ? 'I'
                             : (type == COMETA_WS_PONG) ? 'O' : '?',
                             (int) g->len, g->data);
    }

    g->len = 0;
}


static void
run_error(run_t *run, int rc)
{
    static const char  *names[] = { "?", "bits", "opcode", "mask", "length",
                                    "control", "fragment", "close", "utf8",
                                    "large" };

    run->used += sprintf(run->text + run->used, "!%s",
                         names[rc >= -9 ? -rc : 0]);
}


static void
run_offset(run_t *run, size_t offset)
{
    run->offsets_used += sprintf(run->offsets + run->offsets_used, "%zu ",
                                 offset);
}


static const char *
run_end(run_t *run)
{
    if (cometa_ws_begun(&run->ws)) {
        strcpy(run->text + run->used, "+");
    }

    return run->text;
}


static void
test_sample(const sample_t *s)
{
    int       i, split;
    run_t     whole, run;
    size_t    len, at;
    uint8_t   input[INPUT];

    for (len = 0, i = 0; i < FRAMES && s->frames[i].first
                         + s->frames[i].len + (s->frames[i].payload != NULL);
         i++)
    {
        len += frame_write(input + len, &s->frames[i], i);
    }

    run_start(&whole);
    run_feed(&whole, input, len);

    if (!ok(strcmp(run_end(&whole), s->trace) == 0, "%s, whole", s->name)) {
        diag("got \"%s\", expected \"%s\"", whole.text, s->trace);
    }

    run_start(&run);

    for (at = 0; at < len; at++) {
        run_feed(&run, input + at, 1);
        run_feed(&run, input, 0);
    }

    if (!ok(strcmp(run_end(&run), s->trace) == 0
            && strcmp(run.offsets, whole.offsets) == 0, "%s, bytes", s->name))
    {
        diag("got \"%s\" %s, not %s", run.text, run.offsets, whole.offsets);
    }

    split = 1;

    for (at = 0; at <= len; at++) {
        run_start(&run);
        run_feed(&run, input, at);
        run_feed(&run, input + at, len - at);

        if (strcmp(run_end(&run), s->trace) != 0
            || strcmp(run.offsets, whole.offsets) != 0)
        {
            diag("at %zu got \"%s\" %s", at, run.text, run.offsets);
            split = 0;
        }
    }

    ok(split, "%s, every split", s->name);
}


/* Every first byte, at the start and within a fragmented message. */

static void
test_opcodes(void)
{
    int           c, within, rc, expected, pass, opcode;
    size_t        len;
    uint8_t       begin[] = { 0x02, 0x80, 0, 0, 0, 0 };
    uint8_t       first, *pos, *data;
    cometa_ws_t   ws;

    for (within = 0; within < 2; within++) {
        pass = 1;

        for (c = 0; c < 256; c++) {
            cometa_ws_init(&ws);

            pos = begin;
            rc = within ? cometa_ws_parse(&ws, &pos, begin + 6, MAX, &data,
                                          &len) : 0;

            first = c;
            pos = &first;
            rc |= cometa_ws_parse(&ws, &pos, &first + 1, MAX, &data, &len);

            opcode = c & 0xf;

            expected = (c & 0x70) ? COMETA_WS_BAD_BITS
                       : (opcode == 0) ? (within ? 0 : COMETA_WS_BAD_FRAGMENT)
                       : (opcode <= 2) ? (within ? COMETA_WS_BAD_FRAGMENT : 0)
                       : (opcode < 8 || opcode > 10) ? COMETA_WS_BAD_OPCODE
                       : (c & 0x80) ? 0 : COMETA_WS_BAD_CONTROL;

            pass &= rc == expected && pos == &first + (expected == 0);
        }

        ok(pass, "every first byte, %s", within ? "within" : "at the start");
    }
}


static void
test_codes(void)
{
    int                    pass;
    size_t                 i;
    uint32_t               code, n;
    static uint8_t         valid[65536];
    static const uint16_t  known[] = { 1000, 1001, 1002, 1003, 1007, 1008,
                                       1009, 1010, 1011, 1012, 1013, 1014 };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        valid[known[i]] = 1;
    }

    memset(valid + 3000, 1, 2000);

    pass = 1;

    for (n = 0, code = 0; code < 65536; code++) {
        pass &= !cometa_ws_code_valid(code) == !valid[code];
        n += !!cometa_ws_code_valid(code);
    }

    ok(pass && n == 2012, "every close code, %u valid", n);
}


/* All lengths, all alignments in memory, cut anywhere: the same plain text. */

static void
test_unmask(void)
{
    int          rc, pass;
    size_t       len, at, cut, got, n;
    uint8_t      memory[128], plain[64], *input, *pos, *data;
    frame_t      f = { 0x82, (char *) plain, 0, PLAIN };
    cometa_ws_t  ws;

    for (at = 0; at < sizeof(plain); at++) {
        plain[at] = at * 41 + 7;
    }

    pass = 1;

    for (len = 0; len <= 40; len++) {
        for (at = 0; at < 8; at++) {
            for (cut = 0; cut <= len; cut++) {
                f.len = len;
                input = memory + at;
                frame_write(input, &f, at);
                input[6 + len] = 0xa5;

                cometa_ws_init(&ws);
                pos = input;
                got = 0;

                do {
                    rc = cometa_ws_parse(&ws, &pos, (pos < input + 6 + cut)
                                         ? input + 6 + cut : input + 6 + len,
                                         MAX, &data, &n);
                    pass &= rc > 0 || (rc == 0 && cut == 0 && len > 0);
                    pass &= rc <= 0 || data == input + 6 + got;
                    got += n;

                } while (rc >= 0 && rc != COMETA_WS_DONE);

                pass &= got == len && memcmp(input + 6, plain, len) == 0
                        && input[6 + len] == 0xa5;
            }
        }
    }

    ok(pass, "unmasked: all lengths, alignments, cuts");
}


/* The examples of RFC 6455, section 5.7, as far as a client sends them. */

static void
test_rfc(void)
{
    int          rc;
    size_t       len;
    uint8_t      hello[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                             0x7f, 0x9f, 0x4d, 0x51, 0x58 };
    uint8_t      pong[] = { 0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                            0x7f, 0x9f, 0x4d, 0x51, 0x58 };
    uint8_t     *pos, *data;
    cometa_ws_t  ws;

    cometa_ws_init(&ws);
    pos = hello;
    rc = cometa_ws_parse(&ws, &pos, hello + sizeof(hello), MAX, &data, &len);
    ok(rc == COMETA_WS_DONE && ws.type == COMETA_WS_TEXT && len == 5
       && memcmp(data, "Hello", 5) == 0, "the masked text of the RFC");

    pos = pong;
    rc = cometa_ws_parse(&ws, &pos, pong + sizeof(pong), MAX, &data, &len);
    ok(rc == COMETA_WS_DONE && ws.type == COMETA_WS_PONG && len == 5
       && memcmp(data, "Hello", 5) == 0, "the masked pong of the RFC");
}


static void
test_cut_head(void)
{
    int          pass;
    size_t       len, at, n;
    frame_t      f = { 0x82, NULL, 70000, IN_64 };
    uint8_t      head[16], *pos, *data;
    cometa_ws_t  ws;

    len = frame_write(head, &f, 0);
    pass = 1;

    for (at = 0; at <= len; at++) {
        cometa_ws_init(&ws);
        pos = head;
        pass &= cometa_ws_parse(&ws, &pos, head + at, 70000, &data, &n)
                == COMETA_WS_AGAIN && pos == head + at && n == 0;
        pass &= cometa_ws_begun(&ws) == (at > 0);
    }

    ok(pass && len == 14, "a head cut anywhere is begun");
    ok(ws.size == 70000 && ws.rest == 70000, "the size is known with the head");
}


static void
test_state(void)
{
    int          rc;
    size_t       len, n;
    frame_t      part = { 0x01, "abc", 3, PLAIN };
    frame_t      close = { 0x88, "", 0, PLAIN };
    uint8_t      input[32], *pos, *data;
    cometa_ws_t  ws;

    ok(sizeof(ws) <= 32, "state of %zu bytes", sizeof(ws));

    cometa_ws_init(&ws);
    ok(!cometa_ws_begun(&ws), "nothing begun at first");

    len = frame_write(input, &part, 0);
    pos = input;
    rc = cometa_ws_parse(&ws, &pos, input + 8, MAX, &data, &n);
    ok(rc == COMETA_WS_PART && n == 2 && ws.size == 3, "a part of a frame");

    rc = cometa_ws_parse(&ws, &pos, input + len, MAX, &data, &n);
    ok(rc == COMETA_WS_PART && n == 1, "the end of a fragment is a part");
    ok(cometa_ws_begun(&ws), "begun between fragments");

    len = frame_write(input, &close, 0);
    input[len] = 0xff;
    pos = input;
    rc = cometa_ws_parse(&ws, &pos, input + len + 1, MAX, &data, &n);
    ok(rc == COMETA_WS_DONE && ws.type == COMETA_WS_CLOSE && ws.code == 0
       && pos == input + len, "close");
    ok(!cometa_ws_begun(&ws), "nothing begun after it");

    rc = cometa_ws_parse(&ws, &pos, input + len + 1, MAX, &data, &n);
    ok(rc == COMETA_WS_AGAIN && pos == input + len + 1, "the rest discarded");
}


static void
test_errors(void)
{
    int          rc;
    size_t       n;
    uint8_t      bad = 0xff, good[] = { 0x81, 0x80, 0, 0, 0, 0 };
    uint8_t     *pos, *data;
    cometa_ws_t  ws;

    cometa_ws_init(&ws);
    pos = &bad;
    rc = cometa_ws_parse(&ws, &pos, &bad + 1, MAX, &data, &n);
    ok(rc == COMETA_WS_BAD_BITS && pos == &bad, "error at its byte");

    pos = good;
    rc = cometa_ws_parse(&ws, &pos, good + 6, MAX, &data, &n);
    ok(rc == COMETA_WS_BAD_BITS && pos == good, "error is final");
    ok(!cometa_ws_begun(&ws), "nothing is begun after an error");

    for (rc = COMETA_WS_TOO_LARGE; rc < 0; rc++) {
        ok(strcmp(cometa_ws_error(rc), cometa_ws_error(0)) != 0
           && cometa_ws_error_code(rc) == (rc == COMETA_WS_BAD_UTF8 ? 1007
                                           : rc == COMETA_WS_TOO_LARGE ? 1009
                                           : 1002),
           "%d: %s, %u", rc, cometa_ws_error(rc), cometa_ws_error_code(rc));
    }
}


static void
test_head(void)
{
    uint8_t  p[COMETA_WS_HEAD_MAX];

    ok(cometa_ws_head(p, COMETA_WS_TEXT, 0) == 2
       && memcmp(p, "\x81\x00", 2) == 0, "head of an empty text");
    ok(cometa_ws_head(p, COMETA_WS_BINARY, 125) == 2
       && memcmp(p, "\x82\x7d", 2) == 0, "head of 125");
    ok(cometa_ws_head(p, COMETA_WS_BINARY, 126) == 4
       && memcmp(p, "\x82\x7e\x00\x7e", 4) == 0, "head of 126");
    ok(cometa_ws_head(p, COMETA_WS_TEXT, 65535) == 4
       && memcmp(p, "\x81\x7e\xff\xff", 4) == 0, "head of 65535");
    ok(cometa_ws_head(p, COMETA_WS_TEXT, 65536) == 10
       && memcmp(p, "\x81\x7f\0\0\0\0\0\x01\0\0", 10) == 0, "head of 65536");
    ok(cometa_ws_head(p, COMETA_WS_PONG, 5) == 2
       && memcmp(p, "\x8a\x05", 2) == 0, "head of a pong");
    ok(cometa_ws_close(p, 1009) == COMETA_WS_CLOSE_LEN
       && memcmp(p, "\x88\x02\x03\xf1", 4) == 0, "a close frame");
}

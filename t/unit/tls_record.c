
/*
 * The record layer of TLS: the traces of RFC 8448, tables of what a peer may
 * send and of what it may not, each with the alert that follows, and limits.
 */

#include "tap.h"
#include "tls_record.h"


#define RECORDS  6

#define UNEXPECTED  COMETA_TLS_UNEXPECTED_MESSAGE
#define DATA        COMETA_TLS_READ_DATA
#define NOTHING     COMETA_TLS_READ_NOTHING
#define CLOSED      COMETA_TLS_READ_CLOSED
#define ALERT       COMETA_TLS_READ_ALERT
#define ERROR       COMETA_TLS_READ_ERROR


/* The records of one peer, and what the last of them comes to. */

typedef struct {
    uint8_t      type;              /* outer type, 0: no more records */
    const char  *inner;
    size_t       len;
} record_t;

typedef struct {
    const char  *name;
    record_t     records[RECORDS];
    int          rc;
    uint8_t      alert;
    const char  *data;              /* of the last record */
    size_t       len;
} sample_t;


#define R(s)      { 23, s, sizeof(s) - 1 }
#define T(n, s)   { n, s, sizeof(s) - 1 }

#define IS(s)     DATA, 0, s, sizeof(s) - 1
#define NONE      NULL, 0
#define REFUSED   ERROR, UNEXPECTED, NONE

#define UPDATE    "\x18\0\0\1\0"
#define REQUEST   "\x18\0\0\1\1"
#define HELLO     "\1\0\0\5hello"


/* TLS 1.3: the type of content is the last byte but for zeroes. */

static const sample_t  samples_13[] = {
    { "data",             { R("abc\x17") }, IS("abc") },
    { "no data",          { R("\x17") }, IS("") },
    { "padding",          { R("abc\x17\0\0\0") }, IS("abc") },
    { "zeroes in data",   { R("a\0b\x17\0") }, IS("a\0b") },
    { "type in data",     { R("\x16\x15\x17\x17\0\0") }, IS("\x16\x15\x17") },
    { "two records",      { R("a\x17"), R("b\x17") }, IS("b") },

    { "nothing inside",   { R("") }, REFUSED },
    { "only zeroes",      { R("\0\0\0\0\0\0") }, REFUSED },
    { "seven zeroes: their length is a type", { R("\0\0\0\0\0\0\0") },
                          REFUSED },
    { "type unknown",     { R("a\x18") }, REFUSED },
    { "type ChangeCipherSpec", { R("\1\x14") }, REFUSED },
    { "outer handshake",  { T(22, UPDATE "\x16") }, REFUSED },
    { "outer alert",      { T(21, "\1\0\x15") }, REFUSED },
    { "outer CCS",        { T(20, "\1\x14") }, REFUSED },
    { "outer unknown",    { T(99, "a\x17") }, REFUSED },

    { "close_notify",     { R("\1\0\x15") }, CLOSED, 0, NONE },
    { "close_notify, fatal, padded", { R("\2\0\x15\0\0") }, CLOSED, 0, NONE },
    { "data, close_notify", { R("a\x17"), R("\1\0\x15") }, CLOSED, 0, NONE },
    { "user_canceled",    { R("\1\x5a\x15") }, NOTHING, 0, NONE },
    { "user_canceled, fatal", { R("\2\x5a\x15") }, NOTHING, 0, NONE },
    { "user_canceled, data", { R("\1\x5a\x15"), R("a\x17") }, IS("a") },
    { "handshake_failure", { R("\2\x28\x15") }, ALERT, 40, NONE },
    { "a warning is fatal", { R("\1\x64\x15") }, ALERT, 100, NONE },
    { "level unknown",    { R("\7\x28\x15") }, ALERT, 40, NONE },
    { "empty alert",      { R("\x15\0") }, REFUSED },
    { "short alert",      { R("\1\x15") }, REFUSED },
    { "two alerts",       { R("\1\x5a\1\x5a\x15") }, REFUSED },
    { "alert too long",   { R("\1\0x\x15") }, REFUSED },

    { "KeyUpdate",        { R(UPDATE "\x16") }, NOTHING, 0, NONE },
    { "KeyUpdate, request", { R(REQUEST "\x16") }, NOTHING, 0, NONE },
    { "KeyUpdate, padded", { R(REQUEST "\x16\0\0") }, NOTHING, 0, NONE },
    { "KeyUpdate of 2",   { R("\x18\0\0\1\2\x16") }, ERROR, 47, NONE },
    { "KeyUpdate of 255", { R("\x18\0\0\1\xff\x16") }, ERROR, 47, NONE },
    { "KeyUpdate, too short", { R("\x18\0\0\0\x16") }, ERROR, 50, NONE },
    { "KeyUpdate, too long", { R("\x18\0\0\2\0\0\x16") }, ERROR, 50, NONE },
    { "KeyUpdate, huge",  { R("\x18\1\0\1\0\x16") }, ERROR, 50, NONE },
    { "KeyUpdate twice in one", { R(UPDATE UPDATE "\x16") }, REFUSED },
    { "behind a KeyUpdate", { R(UPDATE "\x18\x16") }, REFUSED },
    { "old key after it", { R(UPDATE "\x16"), R("a\x17") }, ERROR, 20, NONE },

    { "in two",           { R("\x18\0\x16"), R("\0\1\1\x16") },
                          NOTHING, 0, NONE },
    { "in five",          { R("\x18\x16"), R("\0\x16"), R("\0\x16"),
                            R("\1\x16"), R("\0\x16") }, NOTHING, 0, NONE },
    { "in two, padded",   { R("\x18\0\0\x16\0\0\0"), R("\1\0\x16\0\0") },
                          NOTHING, 0, NONE },
    { "begun",            { R("\x18\x16") }, NOTHING, 0, NONE },
    { "begun, data",      { R("\x18\x16"), R("a\x17") }, REFUSED },
    { "begun, no data",   { R("\x18\x16"), R("\x17") }, REFUSED },
    { "begun, alert",     { R("\x18\x16"), R("\1\x5a\x15") }, REFUSED },
    { "begun, empty",     { R("\x18\x16"), R("\x16") }, REFUSED },
    { "begun, another",   { R("\x18\0\x16"), R(UPDATE "\x16") },
                          ERROR, 50, NONE },
    { "in two, too much", { R("\x18\0\0\x16"), R("\1\0\0\x16") }, REFUSED },
    { "empty handshake",  { R("\x16") }, REFUSED },
    { "ticket",           { R("\4\0\0\1x\x16") }, REFUSED },
    { "ClientHello",      { R(HELLO "\x16") }, REFUSED },
    { "Finished",         { R("\x14\0\0\1x\x16") }, REFUSED },
};


/* TLS 1.2; the reader is the server. */

static const sample_t  samples_12[] = {
    { "data",             { R("abc") }, IS("abc") },
    { "no data",          { R("") }, IS("") },
    { "zeroes stay",      { R("a\0\0") }, IS("a\0\0") },
    { "two records",      { R("a"), R("b") }, IS("b") },
    { "CCS",              { T(20, "\1") }, REFUSED },
    { "heartbeat",        { T(24, "\1") }, REFUSED },
    { "close_notify",     { T(21, "\1\0") }, CLOSED, 0, NONE },
    { "user_canceled",    { T(21, "\1\x5a") }, NOTHING, 0, NONE },
    { "any warning",      { T(21, "\1\x29"), R("a") }, IS("a") },
    { "four warnings",    { T(21, "\1\x29"), T(21, "\1\x29"), T(21, "\1\x29"),
                            T(21, "\1\x29") }, NOTHING, 0, NONE },
    { "five warnings",    { T(21, "\1\x29"), T(21, "\1\x29"), T(21, "\1\x29"),
                            T(21, "\1\x29"), T(21, "\1\x29") }, REFUSED },
    { "not in a row",     { T(21, "\1\x29"), T(21, "\1\x29"), T(21, "\1\x29"),
                            T(21, "\1\x29"), R("a"), T(21, "\1\x29") },
                          NOTHING, 0, NONE },
    { "no data is a row", { T(21, "\1\x29"), T(21, "\1\x29"), T(21, "\1\x29"),
                            T(21, "\1\x29"), R(""), T(21, "\1\x29") },
                          REFUSED },
    { "fatal",            { T(21, "\2\x28") }, ALERT, 40, NONE },
    { "level unknown",    { T(21, "\3\x28") }, ERROR, 47, NONE },
    { "empty alert",      { T(21, "") }, REFUSED },
    { "half an alert",    { T(21, "\1") }, REFUSED },
    { "two alerts",       { T(21, "\1\x5a\1\x5a") }, REFUSED },

    { "ClientHello",      { T(22, HELLO) }, NOTHING, 100, NONE },
    { "ClientHello, data", { T(22, HELLO), R("a") }, IS("a") },
    { "in two",           { T(22, "\1\0"), T(22, "\0\5hello") },
                          NOTHING, 100, NONE },
    { "in three",         { T(22, "\1\0\0\5"), T(22, "he"), T(22, "llo") },
                          NOTHING, 100, NONE },
    { "in three, begun",  { T(22, "\1\0\0\5"), T(22, "he") },
                          NOTHING, 0, NONE },
    { "of many bytes",    { T(22, "\1\0\2\2abcd"), T(22, "1234") },
                          NOTHING, 0, NONE },
    { "begun, data",      { T(22, "\1\0\0\5he"), R("a") }, REFUSED },
    { "begun, alert",     { T(22, "\1\0\0\5he"), T(21, "\1\x29") }, REFUSED },
    { "two ClientHellos", { T(22, HELLO HELLO) }, NOTHING, 100, NONE },
    { "five ClientHellos", { T(22, HELLO HELLO HELLO HELLO HELLO) }, REFUSED },
    { "empty ones",       { T(22, "\1\0\0\0\1\0\0\0") }, NOTHING, 100, NONE },
    { "ClientHello, huge", { T(22, "\1\1\0\0x") }, ERROR, 50, NONE },
    { "HelloRequest",     { T(22, "\0\0\0\0") }, REFUSED },
    { "ClientHello, Finished", { T(22, HELLO "\x14") }, REFUSED },
    { "KeyUpdate",        { T(22, UPDATE) }, REFUSED },
    { "empty handshake",  { T(22, "") }, REFUSED },
};


static size_t unhex(uint8_t *p, const char *text);
static void test_rfc8448(void);
static void test_samples(const suite_t *suite, const sample_t *s, size_t n);
static void test_sample(const suite_t *suite, const sample_t *s);
static void test_update_flag(void);
static void test_client(void);
static void test_long_hello(void);


static uint8_t  record[ROOM], copy[ROOM], plain[ROOM];


int
main(void)
{
    size_t  i;

    ok(cometa_tls_start() == 0, "started");

    test_rfc8448();

    for (i = 0; i < SUITES; i++) {

        if (suites[i].version == COMETA_TLS_1_3) {
            test_samples(&suites[i], samples_13,
                         sizeof(samples_13) / sizeof(samples_13[0]));
        } else {
            test_samples(&suites[i], samples_12,
                         sizeof(samples_12) / sizeof(samples_12[0]));
        }
    }

    test_update_flag();
    test_client();
    test_long_hello();

    cometa_tls_end();

    return done_testing();
}


static size_t
unhex(uint8_t *p, const char *text)
{
    size_t    n;
    unsigned  byte;

    for (n = 0; sscanf(text, "%2x", &byte) == 1; n++) {
        p[n] = byte;
        text += 2;
    }

    return n;
}


/* Section 3: what client and server send behind the handshake. */

static void
test_rfc8448(void)
{
    int              i, rc;
    size_t           n, len;
    uint8_t          secret[32], alert, type;
    cometa_tls_t     client, server, *from, *to;

    static const struct {
        int          client;
        int          rc;
        const char  *record;
    } trace[] = {
        { 0, DATA, "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82"
                   "aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c00"
                   "47c2abf332540dd032e167c2955d" },
        { 1, DATA, "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66"
                   "bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a29770"
                   "14bd1e3deae63aeebb21694915e4" },
        { 1, CLOSED, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3" },
        { 0, CLOSED, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9" },
    };

    memset(&client, 0, sizeof(client));
    client.version = COMETA_TLS_1_3;
    client.cipher = COMETA_TLS_AES_128_GCM;
    client.hash = 32;
    server = client;
    client.client = 1;

    unhex(secret, "9e40646ce79a7f9dc05af8889bce6552"
                  "875afa0b06df0087f792ebb7c17504a5");
    cometa_tls_set_secret(&client, &client.write, secret);
    cometa_tls_set_secret(&server, &server.read, secret);

    unhex(secret, "a11af9f05531f856ad47116b45a95032"
                  "8204b4f44bfb6b3a4b4f1f3fcb631643");
    cometa_tls_set_secret(&client, &client.read, secret);
    cometa_tls_set_secret(&server, &server.write, secret);

    /* the server's first record is its ticket */

    client.read.seq = 1;
    server.write.seq = 1;

    for (i = 0; i < 4; i++) {
        from = trace[i].client ? &client : &server;
        to = trace[i].client ? &server : &client;

        n = unhex(record, trace[i].record);
        ok(cometa_tls_prove(to, &to->read, to->read.seq, record, n) == 0,
           "RFC 8448, record %d, proved", i);

        rc = read_one(to, record, n, plain, &len, &alert);
        ok(rc == trace[i].rc && len == (rc == DATA ? 50 : 0)
           && (rc != DATA || (plain[0] == 0 && plain[49] == 49)),
           "RFC 8448, record %d, read", i);

        type = (rc == DATA) ? COMETA_TLS_DATA : COMETA_TLS_ALERT;
        len = (rc == DATA) ? cometa_tls_seal(from, type, plain, 50, copy)
              : cometa_tls_seal_alert(from, COMETA_TLS_CLOSE_NOTIFY, copy);
        ok(len == n && memcmp(record, copy, n) == 0,
           "RFC 8448, record %d, written", i);
    }
}


static void
test_samples(const suite_t *suite, const sample_t *s, size_t n)
{
    while (n--) {
        test_sample(suite, s++);
    }
}


/*
 * What came last is said again to whatever follows, if it was the end; else
 * the sequence number has been used.
 */

static void
test_sample(const suite_t *suite, const sample_t *s)
{
    int              rc, good;
    size_t           n, len;
    uint8_t          alert;
    pair_t           pair;
    const record_t  *r;

    pair_start(&pair, suite, 0);
    good = 1;
    rc = NOTHING;

    for (r = s->records; r < s->records + RECORDS && r->inner; r++) {
        n = craft(&pair.writer, r->type, (const uint8_t *) r->inner, r->len,
                  record);
        rc = read_one(&pair.reader, record, n, plain, &len, &alert);

        if (r + 1 < s->records + RECORDS && r[1].inner) {
            good &= (rc == DATA || rc == NOTHING);
        }
    }

    good &= (rc == s->rc && alert == s->alert);

    good &= (len == s->len && (len == 0 || memcmp(plain, s->data, len) == 0));

    if (rc > NOTHING) {
        n = craft(&pair.writer, 23, (const uint8_t *) "a\x17", 2, record);
        good &= (read_one(&pair.reader, record, n, plain, &len, &alert) == rc
                 && alert == s->alert && len == 0);
    }

    ok(good, "%s: %s", suite->name, s->name);
}


/* Who asks for an update gets one; who only updates gets none. */

static void
test_update_flag(void)
{
    size_t   n, len;
    uint8_t  alert;
    pair_t   pair;

    pair_start(&pair, &suites[0], 0);

    n = cometa_tls_seal_update(&pair.writer, record);
    read_one(&pair.reader, record, n, plain, &len, &alert);
    ok(pair.reader.update == 0 && !cometa_tls_update_due(&pair.reader),
       "an update that asks for none");

    n = craft(&pair.writer, 23, (const uint8_t *) REQUEST "\x16", 6, record);
    read_one(&pair.reader, record, n, plain, &len, &alert);
    cometa_tls_next(&pair.writer, &pair.writer.write);
    ok(pair.reader.update == 1 && cometa_tls_update_due(&pair.reader),
       "an update that asks for one");

    n = cometa_tls_seal_update(&pair.writer, record);
    read_one(&pair.reader, record, n, plain, &len, &alert);
    ok(pair.reader.update == 1, "the wish stays until it is fulfilled");

    n = cometa_tls_seal_update(&pair.reader, record);
    ok(read_one(&pair.writer, record, n, plain, &len, &alert) == NOTHING
       && pair.writer.update == 0 && !cometa_tls_update_due(&pair.reader),
       "it is fulfilled by an update that asks for none");

    n = cometa_tls_seal(&pair.reader, 23, (const uint8_t *) "after", 5, record);
    ok(read_one(&pair.writer, record, n, plain, &len, &alert) == DATA
       && len == 5, "and the next key is in use");
}


/* TLS 1.2; the reader is the client: a server may ask it to renegotiate. */

static void
test_client(void)
{
    int      rc;
    size_t   n, len;
    uint8_t  alert;
    pair_t   pair;

    pair_start(&pair, &suites[3], 1);
    n = craft(&pair.writer, 22, (const uint8_t *) "\0\0\0\0", 4, record);
    rc = read_one(&pair.reader, record, n, plain, &len, &alert);
    ok(rc == NOTHING && alert == COMETA_TLS_NO_RENEGOTIATION, "HelloRequest");

    n = craft(&pair.writer, 22, (const uint8_t *) "\0\0\0\1", 4, record);
    rc = read_one(&pair.reader, record, n, plain, &len, &alert);
    ok(rc == ERROR && alert == COMETA_TLS_DECODE_ERROR,
       "HelloRequest, not empty");

    pair_start(&pair, &suites[3], 1);
    n = craft(&pair.writer, 22, (const uint8_t *) HELLO, 9, record);
    rc = read_one(&pair.reader, record, n, plain, &len, &alert);
    ok(rc == ERROR && alert == UNEXPECTED, "ClientHello of a server");

    n = cometa_tls_seal_alert(&pair.reader, COMETA_TLS_NO_RENEGOTIATION, copy);
    rc = read_one(&pair.writer, copy, n, plain, &len, &alert);
    ok(rc == NOTHING && pair.writer.warnings == 1,
       "no_renegotiation is a warning");

    n = cometa_tls_seal_alert(&pair.reader, alert = UNEXPECTED, copy);
    rc = read_one(&pair.writer, copy, n, plain, &len, &alert);
    ok(rc == ALERT && alert == UNEXPECTED, "other alerts are fatal");
}


/* TLS 1.2: a ClientHello of 600 bytes, 7 a record; refused at its very end. */

static void
test_long_hello(void)
{
    int      good;
    size_t   n, i, size, len;
    uint8_t  alert, hello[604] = { 1, 0, 600 >> 8, 600 & 0xff };
    pair_t   pair;

    pair_start(&pair, &suites[5], 0);
    good = 1;

    for (i = 0; i < sizeof(hello); i += size) {
        size = (sizeof(hello) - i < 7) ? sizeof(hello) - i : 7;
        n = craft(&pair.writer, 22, hello + i, size, record);
        good &= (read_one(&pair.reader, record, n, plain, &len, &alert)
                 == NOTHING
                 && alert == (i + size < sizeof(hello) ? 0 : 100));
    }

    n = craft(&pair.writer, 23, (const uint8_t *) "a", 1, record);
    good &= (read_one(&pair.reader, record, n, plain, &len, &alert) == DATA);

    ok(good, "a long ClientHello");
}

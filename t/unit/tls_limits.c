
/*
 * The record layer of TLS at its limits: sizes, records that are cut, changed
 * or too long, sequence numbers at their end, the proof, and what is left of
 * keys.
 */

#include <time.h>

#include "tls_record.h"


#define DATA     COMETA_TLS_READ_DATA
#define NOTHING  COMETA_TLS_READ_NOTHING
#define AGAIN    COMETA_TLS_READ_AGAIN
#define ERROR    COMETA_TLS_READ_ERROR


static void test_sizes(const suite_t *suite);
static void test_overflow(const suite_t *suite);
static void test_truncated(const suite_t *suite);
static void test_flipped(const suite_t *suite);
static void test_heads(const suite_t *suite);
static void test_short(const suite_t *suite);
static void test_limits(const suite_t *suite);
static void test_update_due(const suite_t *suite);
static void test_prove(const suite_t *suite);
static void test_wipe(const suite_t *suite);
static void test_many_updates(void);
static void test_many_warnings(void);
static void test_nonce(void);
static void test_unknown(void);
static void measure(const suite_t *suite, size_t size);


/* Not whole pages apart, where a processor takes loads for those of stores. */

static uint8_t  source[2 * ROOM + 2000], record[2 * ROOM + 1000];
static uint8_t  plain[2 * ROOM];
static size_t   got;
static uint8_t  alert;


int
main(void)
{
    size_t  i;

    ok(cometa_tls_start() == 0, "started");

    for (i = 0; i < sizeof(source); i++) {
        source[i] = (uint8_t) (i * 7 + i / 256);
    }

    for (i = 0; i < SUITES; i++) {
        diag("%s", suites[i].name);

        test_sizes(&suites[i]);
        test_overflow(&suites[i]);
        test_truncated(&suites[i]);
        test_flipped(&suites[i]);
        test_heads(&suites[i]);
        test_short(&suites[i]);
        test_limits(&suites[i]);
        test_update_due(&suites[i]);
        test_prove(&suites[i]);
        test_wipe(&suites[i]);
        measure(&suites[i], 100);
        measure(&suites[i], COMETA_TLS_PLAIN_MAX);
    }

    test_many_updates();
    test_many_warnings();
    test_nonce();
    test_unknown();

    cometa_tls_end();

    return done_testing();
}


/* Each size up to 600 and some up to the largest, with and without padding. */

static void
test_sizes(const suite_t *suite)
{
    int       good;
    size_t    n, size;
    pair_t    pair;

    pair_start(&pair, suite, 0);
    good = 1;

    for (size = 0; size <= COMETA_TLS_PLAIN_MAX; size += (size < 600) ? 1 : 47)
    {
        if (size + 47 > COMETA_TLS_PLAIN_MAX) {
            size = COMETA_TLS_PLAIN_MAX;
        }

        n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, size,
                            record);
        good &= (n > size && n <= size + COMETA_TLS_OVERHEAD
                 && n == cometa_tls_record_size(record, n)
                 && read_one(&pair.reader, record, n, plain, &got, &alert)
                    == DATA
                 && got == size && memcmp(plain, source, size) == 0);
    }

    ok(good, "all sizes");

    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source,
                        COMETA_TLS_PLAIN_MAX + 1, record);
    ok(n == 0, "one byte more is not sealed");

    memcpy(record + 1, source, 5);
    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, record + 1, 5, record);
    ok(read_one(&pair.reader, record, n, plain, &got, &alert) == DATA
       && got == 5 && memcmp(plain, source, 5) == 0, "sealed where it stands");
}


/* The longest inner plain text, and one byte more; the longest record. */

static void
test_overflow(const suite_t *suite)
{
    int      good, more;
    size_t   n, type, most;
    pair_t   pair;

    static uint8_t  inner[ROOM];

    type = (suite->version == COMETA_TLS_1_3);

    for (more = 0; more < 2; more++) {
        pair_start(&pair, suite, 0);
        memset(inner, 0, sizeof(inner));
        inner[0] = COMETA_TLS_DATA;
        n = craft(&pair.writer, COMETA_TLS_DATA, inner,
                  COMETA_TLS_PLAIN_MAX + type + more, record);
        good = (read_one(&pair.reader, record, n, plain, &got, &alert)
                == (more ? ERROR : DATA));
        good &= more ? (alert == COMETA_TLS_RECORD_OVERFLOW)
                : (got == (type ? 0 : COMETA_TLS_PLAIN_MAX));
        ok(good, "%s", more ? "too much inside" : "as much as may be");
    }

    most = COMETA_TLS_PLAIN_MAX + (type ? 256 : 2048);

    for (more = 0; more < 2; more++) {
        pair_start(&pair, suite, 0);
        n = craft(&pair.writer, COMETA_TLS_DATA, inner, 0, record);
        record[3] = (uint8_t) ((most + more) >> 8);
        record[4] = (uint8_t) (most + more);
        good = (read_one(&pair.reader, record, COMETA_TLS_HEAD, plain, &got,
                         &alert) == (more ? ERROR : AGAIN));
        good &= (alert == (more ? COMETA_TLS_RECORD_OVERFLOW : 0));
        ok(good, "%s", more ? "too long, by its head" : "as long as may be");
    }
}


/* A record that is not complete is waited for, and stays as it is. */

static void
test_truncated(const suite_t *suite)
{
    int           good;
    size_t        n, i, used;
    uint8_t      *data;
    pair_t        pair;
    cometa_tls_t  before;

    pair_start(&pair, suite, 0);
    before = pair.reader;
    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 40, record);
    good = 1;

    for (i = 0; i < n; i++) {
        good &= (read_one(&pair.reader, record, i, plain, &got, &alert) == AGAIN
                 && got == 0 && alert == 0
                 && memcmp(&before, &pair.reader, sizeof(before)) == 0);
    }

    ok(good, "cut at each byte");

    i = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 7, record + n);
    good = (cometa_tls_read(&pair.reader, record, n + i, &used, &data, &got,
                            &alert) == DATA && used == n && got == 40
            && cometa_tls_read(&pair.reader, record + n, i, &used, &data, &got,
                               &alert) == DATA && used == i && got == 7);
    ok(good, "two records at once");
}


/* Each bit counts; the length is one of another record then, or too large. */

static void
test_flipped(const suite_t *suite)
{
    int      rc, good;
    size_t   n, i;
    pair_t   pair;

    good = 1;

    for (i = 0; ; i++) {
        pair_start(&pair, suite, 0);
        n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 40, record);

        if (i == 8 * n) {
            break;
        }

        record[i / 8] ^= 1 << (i % 8);
        rc = read_one(&pair.reader, record, n, plain, &got, &alert);

        if (i / 8 < 3) {
            good &= (rc == ERROR);
        } else if (i / 8 < COMETA_TLS_HEAD) {
            good &= (rc == ERROR || rc == AGAIN);
        } else {
            good &= (rc == ERROR && alert == COMETA_TLS_BAD_RECORD_MAC
                     && pair.reader.read.seq == 0);
        }

        good &= (got == 0);
    }

    ok(good, "each bit");
}


static void
test_heads(const suite_t *suite)
{
    int       rc, good, type;
    size_t    n;
    uint8_t   head[COMETA_TLS_HEAD] = { 0, 3, 3, 0, 32 };
    pair_t    pair;

    good = 1;

    for (type = 0; type < 256; type++) {
        pair_start(&pair, suite, 0);
        head[0] = (uint8_t) type;
        rc = read_one(&pair.reader, head, sizeof(head), plain, &got, &alert);

        n = (type == COMETA_TLS_DATA
             || (suite->version == COMETA_TLS_1_2
                 && (type == COMETA_TLS_ALERT
                     || type == COMETA_TLS_HANDSHAKE)));
        good &= n ? (rc == AGAIN)
                : (rc == ERROR && alert == COMETA_TLS_UNEXPECTED_MESSAGE);
    }

    ok(good, "each type, as soon as the head is there");

    pair_start(&pair, suite, 0);
    head[0] = COMETA_TLS_DATA;
    head[2] = 1;
    rc = read_one(&pair.reader, head, sizeof(head), plain, &got, &alert);
    ok(rc == ERROR && alert == COMETA_TLS_PROTOCOL_VERSION, "another version");
}


/* Records that are too short for a tag, or for nonce and tag. */

static void
test_short(const suite_t *suite)
{
    int       rc, good, proved;
    uint8_t   len, least, bytes[64] = { COMETA_TLS_DATA, 3, 3, 0, 0 };
    pair_t    pair;

    pair_start(&pair, suite, 0);
    least = COMETA_TLS_TAG + (uint8_t) cometa_tls_explicit(&pair.reader);
    good = 1;

    for (len = 0; len <= least; len++) {
        pair_start(&pair, suite, 0);
        bytes[4] = len;
        rc = read_one(&pair.reader, bytes, COMETA_TLS_HEAD + len, plain, &got,
                      &alert);
        good &= (rc == ERROR && alert == COMETA_TLS_BAD_RECORD_MAC);

        proved = cometa_tls_prove(&pair.writer, &pair.writer.write, 0, bytes,
                                  COMETA_TLS_HEAD + len);
        good &= (proved == -1);
    }

    ok(good, "too short for a tag");
}


/* No sequence number twice, and none behind the last. */

static void
test_limits(const suite_t *suite)
{
    size_t    n;
    uint64_t  most;
    pair_t    pair;

    most = (suite->cipher == COMETA_TLS_CHACHA20_POLY1305) ? UINT64_MAX
           : (suite->version == COMETA_TLS_1_3) ? 23726566
           : (uint64_t) 1 << 32;

    pair_start(&pair, suite, 0);
    pair.writer.write.seq = most - 1;
    pair.reader.read.seq = most - 1;

    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record);
    ok(n && read_one(&pair.reader, record, n, plain, &got, &alert) == DATA,
       "the last record");

    ok(cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record) == 0
       && cometa_tls_seal_alert(&pair.writer, 0, record) == 0
       && cometa_tls_seal_update(&pair.writer, record) == 0
       && pair.writer.write.seq == most, "there is none behind it");

    pair_start(&pair, suite, 0);
    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record);
    pair.reader.read.seq = UINT64_MAX;
    ok(read_one(&pair.reader, record, n, plain, &got, &alert) == ERROR
       && alert == COMETA_TLS_INTERNAL_ERROR
       && pair.reader.read.seq == UINT64_MAX, "none is read either");
}


static void
test_update_due(const suite_t *suite)
{
    int       due;
    size_t    n;
    uint8_t   key[COMETA_TLS_KEY_MAX];
    pair_t    pair;

    due = (suite->version == COMETA_TLS_1_3
           && suite->cipher != COMETA_TLS_CHACHA20_POLY1305);

    pair_start(&pair, suite, 0);
    pair.writer.write.seq = (1 << 24) - 1;
    pair.reader.read.seq = (1 << 24) - 1;
    ok(!cometa_tls_update_due(&pair.writer), "no update is due");

    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record);
    read_one(&pair.reader, record, n, plain, &got, &alert);
    ok(cometa_tls_update_due(&pair.writer) == due, "but then %d", due);

    memcpy(key, pair.writer.write.key, sizeof(key));
    n = cometa_tls_seal_update(&pair.writer, record);

    if (suite->version == COMETA_TLS_1_2) {
        pair.writer.update = 1;
        ok(n == 0 && !cometa_tls_update_due(&pair.writer), "never in TLS 1.2");
        return;
    }

    ok(n && read_one(&pair.reader, record, n, plain, &got, &alert) == NOTHING
       && pair.reader.read.seq == 0 && pair.writer.write.seq == 0
       && !cometa_tls_update_due(&pair.writer)
       && memcmp(key, pair.writer.write.key, sizeof(key)) != 0
       && memcmp(&pair.reader.read, &pair.writer.write,
                 sizeof(cometa_tls_half_t)) == 0, "the next key on both ends");
}


/* Of each direction by both ends, and of no other one; nothing changes. */

static void
test_prove(const suite_t *suite)
{
    int      good;
    size_t   n, i, sizes[] = { 0, 1, 511, 512, 513, 1024, 5000 };
    pair_t   pair, before;

    pair_start(&pair, suite, 0);
    pair.writer.write.seq = 258;
    pair.reader.read.seq = 258;
    good = 1;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, sizes[i],
                            record);
        before = pair;
        memcpy(plain, record, n);

        good &= cometa_tls_prove(&pair.writer, &pair.writer.write, 258 + i,
                                 record, n) == 0
                && cometa_tls_prove(&pair.reader, &pair.reader.read, 258 + i,
                                    record, n) == 0
                && cometa_tls_prove(&pair.writer, &pair.writer.write, 257 + i,
                                    record, n) != 0
                && cometa_tls_prove(&pair.writer, &pair.writer.write, 259 + i,
                                    record, n) != 0
                && cometa_tls_prove(&pair.writer, &pair.writer.read, 258 + i,
                                    record, n) != 0
                && cometa_tls_prove(&pair.writer, &pair.writer.write, 258 + i,
                                    record, n - 1) != 0
                && cometa_tls_prove(&pair.writer, &pair.writer.write, 258 + i,
                                    record, n + 1) != 0
                && cometa_tls_prove(&pair.writer, &pair.writer.write, 258 + i,
                                    record, 5) != 0
                && cometa_tls_prove(&pair.writer, &pair.writer.write, 258 + i,
                                    record, 0) != 0
                && memcmp(plain, record, n) == 0
                && memcmp(&before, &pair, sizeof(pair)) == 0;

        record[n - 1] ^= 1;
        good &= cometa_tls_prove(&pair.writer, &pair.writer.write, 258 + i,
                                 record, n) != 0;
    }

    ok(good, "proved");
}


static void
test_wipe(const suite_t *suite)
{
    size_t         i, sum;
    pair_t         pair;
    const uint8_t  *p = (uint8_t *) &pair.writer;

    pair_start(&pair, suite, 0);
    cometa_tls_wipe(&pair.writer);

    for (i = 0, sum = 0; i < sizeof(cometa_tls_t); i++) {
        sum += p[i];
    }

    ok(sum == 0 && cometa_tls_seal(&pair.reader, COMETA_TLS_DATA, source, 9,
                                   record) > 0,
       "wiped, and others go on");
}


/* 32 in a row and no more; any data begins another row. */

static void
test_many_updates(void)
{
    int      i, good;
    size_t   n;
    pair_t   pair;

    pair_start(&pair, &suites[0], 0);
    good = 1;

    for (i = 0; i < 100; i++) {

        if (i % 32 == 0) {
            n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 1,
                                record);
            good &= (read_one(&pair.reader, record, n, plain, &got, &alert)
                     == DATA);
        }

        n = cometa_tls_seal(&pair.writer, COMETA_TLS_HANDSHAKE,
                            (const uint8_t *) "\x18\0\0\1\1", 5, record);
        cometa_tls_next(&pair.writer, &pair.writer.write);
        good &= (read_one(&pair.reader, record, n, plain, &got, &alert)
                 == NOTHING && pair.reader.update == 1);
    }

    ok(good, "many updates, with data");

    pair_start(&pair, &suites[0], 0);
    good = 1;

    for (i = 0; i < 33; i++) {
        n = cometa_tls_seal_update(&pair.writer, record);
        good &= (read_one(&pair.reader, record, n, plain, &got, &alert)
                 == (i < 32 ? NOTHING : ERROR));
    }

    ok(good && alert == COMETA_TLS_UNEXPECTED_MESSAGE,
       "33 updates without data");
}


static void
test_many_warnings(void)
{
    int      i, good;
    size_t   n;
    pair_t   pair;

    pair_start(&pair, &suites[0], 0);
    good = 1;

    for (i = 0; i < 5; i++) {
        n = cometa_tls_seal_alert(&pair.writer, COMETA_TLS_USER_CANCELED,
                                  record);
        good &= (read_one(&pair.reader, record, n, plain, &got, &alert)
                 == (i < 4 ? NOTHING : ERROR));
    }

    ok(good && alert == COMETA_TLS_UNEXPECTED_MESSAGE, "5 warnings in TLS 1.3");
}


/* TLS 1.2 GCM: ours counts up and wraps, the peer's may be any. */

static void
test_nonce(void)
{
    size_t   n;
    pair_t   pair;

    pair_start(&pair, &suites[3], 0);
    pair.writer.write.nonce = UINT64_MAX;

    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record);
    ok(memcmp(record + 5, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == 0
       && read_one(&pair.reader, record, n, plain, &got, &alert) == DATA,
       "an explicit nonce");

    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record);
    ok(memcmp(record + 5, "\0\0\0\0\0\0\0\0", 8) == 0
       && read_one(&pair.reader, record, n, plain, &got, &alert) == DATA,
       "the next one");

    pair.writer.write.nonce = 0x0102030405060708;
    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, 9, record);
    ok(memcmp(record + 5, "\1\2\3\4\5\6\7\x8", 8) == 0
       && read_one(&pair.reader, record, n, plain, &got, &alert) == DATA,
       "any one");
}


/* Ciphers and hashes that there are not. */

static void
test_unknown(void)
{
    pair_t                pair;
    static const uint8_t  secret[COMETA_TLS_SECRET_MAX];

    pair_start(&pair, &suites[0], 0);

    pair.reader.cipher = 0;
    ok(cometa_tls_set_secret(&pair.reader, &pair.reader.read, secret) == -1,
       "no cipher");

    pair.reader.cipher = 4;
    ok(cometa_tls_set_secret(&pair.reader, &pair.reader.read, secret) == -1
       && cometa_tls_set_master(&pair.reader, secret, secret, secret) == -1
       && cometa_tls_seal(&pair.reader, COMETA_TLS_DATA, source, 9, record)
          == 0, "another cipher");

    pair.reader.cipher = 1;
    pair.reader.hash = 20;
    ok(cometa_tls_set_secret(&pair.reader, &pair.reader.read, secret) == -1
       && cometa_tls_set_master(&pair.reader, secret, secret, secret) == -1,
       "another hash");
}


/* No check: a machine may be slow. */

static void
measure(const suite_t *suite, size_t size)
{
    int              i, count;
    size_t           n, used, len;
    double           seal, both;
    uint8_t         *data;
    pair_t           pair;
    struct timespec  t[3];

    count = (size > 1000) ? 300 : 3000;
    pair_start(&pair, suite, 0);
    clock_gettime(CLOCK_MONOTONIC, &t[0]);

    for (i = 0; i < count; i++) {
        cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, size, record);
    }

    pair.writer.write.seq = 0;
    clock_gettime(CLOCK_MONOTONIC, &t[1]);

    for (i = 0; i < count; i++) {
        n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, source, size,
                            record);
        cometa_tls_read(&pair.reader, record, n, &used, &data, &len, &alert);
    }

    clock_gettime(CLOCK_MONOTONIC, &t[2]);

    seal = (t[1].tv_sec - t[0].tv_sec) * 1e6
           + (t[1].tv_nsec - t[0].tv_nsec) / 1e3;
    both = (t[2].tv_sec - t[1].tv_sec) * 1e6
           + (t[2].tv_nsec - t[1].tv_nsec) / 1e3;

    diag("%zu bytes: sealed in %.2f us, read in %.2f us", size, seal / count,
         (both - seal) / count);
}

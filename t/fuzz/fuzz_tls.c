
/*
 * The reader of TLS records. Byte 0 chooses the cipher, which end reads, and
 * one of two modes:
 *
 *   - the rest is what comes from the wire;
 *   - the rest is a program that seals records with the right keys, honest ones
 *     and such as only a broken or hostile peer would make, and changes bytes.
 *
 * What came together is read once as it is and once in pieces: both must tell
 * the same, and end in the same state. What was sealed by an honest peer must
 * come out as it went in.
 */

#include <stdlib.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

#include "cometa_tls_aead.h"
#include "cometa_tls_record.h"


#define check(cond)  if (!(cond)) { abort(); }

/* Not looked into by libFuzzer, which would take each byte for a hint. */

#define quiet  __attribute__((no_sanitize("coverage", "address", "undefined")))

#define WIRE     65536
#define RECORD   18000              /* crafted ones are the longest */
#define SUITES   6
#define UPDATES  6                  /* of a program: each takes 50 us */
#define STEPS    64                 /* of a program: more would be slow */


/* Operations of a program. */

enum { DATA, LARGE, UPDATE, ALERT, INNER, OUTER, FLIP, RAW };


typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;
} input_t;

/* What an honest peer has sent, or what was read. */

typedef struct {
    uint64_t        data;           /* hash of all data */
    size_t          len;
    uint64_t        trace;          /* hash of all that was said */
    int             rc;
    uint8_t         alert;
} story_t;

typedef struct {
    uint8_t         bytes[WIRE];
    size_t          len;
    cometa_tls_t    writer;
    story_t         sent;
    unsigned        updates;        /* in all */
    unsigned        row;            /* in a row, as the reader counts */
    int             honest;
} wire_t;


static void write_program(wire_t *w, input_t *in);
static void write_one(wire_t *w, input_t *in, uint8_t op);
static void write_data(wire_t *w, size_t len, uint8_t value);
static void write_padded(wire_t *w, size_t len, size_t zeroes);
static void write_crafted(wire_t *w, input_t *in, uint8_t type, int next);
static void seal_inner(wire_t *w, uint8_t type, size_t n);
static void write_raw(wire_t *w, input_t *in, size_t n);
static void read_wire(const wire_t *w, cometa_tls_t *t, story_t *s,
    uint32_t pieces);
static int read_one(cometa_tls_t *t, story_t *s, uint8_t *in, size_t size,
    size_t *used);
static void check_end(cometa_tls_t *t, const story_t *s);
static void tell(story_t *s, const uint8_t *data, size_t len);
static int same(const void *a, const void *b, size_t len);
static uint64_t mix(uint64_t hash, uint64_t value);
static uint8_t take(input_t *in);
static size_t size_of(uint8_t byte);


/* Made once: keys from secrets would take most of the time. */

static cometa_tls_t  ends[SUITES][2];
static wire_t        wire;
static uint8_t       bytes[WIRE];
static uint8_t       inner[2 * COMETA_TLS_PLAIN_MAX];


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int                 i, client;
    uint8_t             secret[2][COMETA_TLS_SECRET_MAX];
    cometa_tls_t       *t;

    (void) argc;
    (void) argv;

    check(cometa_tls_start() == 0);
    memset(secret[0], 1, COMETA_TLS_SECRET_MAX);
    memset(secret[1], 2, COMETA_TLS_SECRET_MAX);

    for (i = 0; i < SUITES; i++) {

        for (client = 0; client < 2; client++) {
            t = &ends[i][client];
            t->version = (i < 3) ? COMETA_TLS_1_3 : COMETA_TLS_1_2;
            t->cipher = COMETA_TLS_AES_128_GCM + i % 3;
            t->hash = (t->cipher == COMETA_TLS_AES_256_GCM) ? 48 : 32;
            t->client = client;

            if (i < 3) {
                check(cometa_tls_set_secret(t, &t->write, secret[client]) == 0);
                check(cometa_tls_set_secret(t, &t->read, secret[!client]) == 0);

            } else {
                check(cometa_tls_set_master(t, secret[0], secret[0], secret[1])
                      == 0);
            }
        }
    }

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int            client;
    uint8_t        how;
    input_t        in = { data, data + len };
    story_t        whole, cut;
    cometa_tls_t  *end, a, b;

    how = take(&in);
    client = (how >> 3) & 1;
    end = ends[(how & 7) % SUITES];
    a = end[client];
    a.updates = (how & 0x10) ? COMETA_TLS_UPDATES_MAX - UPDATES / 2 : 0;
    b = a;

    wire.len = 0;
    wire.updates = 0;
    wire.row = a.updates;
    wire.honest = 1;
    wire.writer = end[!client];
    memset(&wire.sent, 0, sizeof(wire.sent));

    if (how & 0x80) {
        wire.honest = 0;
        write_raw(&wire, &in, WIRE);
    } else {
        write_program(&wire, &in);
    }

    read_wire(&wire, &a, &whole, 0);
    read_wire(&wire, &b, &cut, (uint32_t) (how >> 4) * 2654435761u | 1);

    check(whole.rc == cut.rc && whole.alert == cut.alert);
    check(whole.data == cut.data && whole.len == cut.len);
    check(whole.trace == cut.trace);
    check(same(&a, &b, sizeof(a)));

    if (wire.honest) {
        check(whole.rc == COMETA_TLS_READ_AGAIN);
        check(whole.len == wire.sent.len && whole.data == wire.sent.data);
        check(memcmp(a.read.key, wire.writer.write.key, sizeof(a.read.key))
              == 0);
        check(a.read.seq == wire.writer.write.seq);
    }

    return 0;
}


static void
write_program(wire_t *w, input_t *in)
{
    int      steps;
    uint8_t  op;

    for (steps = 0; steps < STEPS && in->p < in->end; steps++) {
        op = take(in);

        if (w->len + RECORD + COMETA_TLS_OVERHEAD > WIRE
            || w->updates == UPDATES)
        {
            return;
        }

        write_one(w, in, op);
    }
}


static void
write_one(wire_t *w, input_t *in, uint8_t op)
{
    size_t  at;

    switch (op & 7) {

    case DATA:
        write_data(w, op >> 3, take(in));
        break;

    case LARGE:
        write_data(w, size_of(take(in)) + (op >> 3), op);
        break;

    case UPDATE:
        if (w->writer.version == COMETA_TLS_1_3) {
            w->updates++;
            w->honest &= (++w->row <= COMETA_TLS_UPDATES_MAX);
            w->len += cometa_tls_seal_update(&w->writer, w->bytes + w->len);
        }

        break;

    case ALERT:
        w->honest = 0;
        w->len += cometa_tls_seal_alert(&w->writer, take(in),
                                        w->bytes + w->len);
        break;

    case INNER:
        if (op & 0x10 && w->writer.version == COMETA_TLS_1_3) {
            write_padded(w, take(in), op >> 5);
            break;
        }

        write_crafted(w, in, COMETA_TLS_DATA, op >> 3 & 1);
        break;

    case OUTER:
        write_crafted(w, in, take(in), op >> 3 & 1);
        break;

    case FLIP:
        at = (size_t) take(in) << 8;
        at |= take(in);

        if (at < w->len) {
            w->honest = 0;
            w->bytes[w->len - 1 - at] ^= 1 << (op >> 5);
        }

        break;

    default: /* RAW */
        w->honest = 0;
        write_raw(w, in, op >> 3);
    }
}


/* An honest record; it is proved as the one that it is, and as no other. */

static void
write_data(wire_t *w, size_t len, uint8_t value)
{
    size_t         n;
    uint64_t       seq;
    cometa_tls_t  *t;

    static uint8_t  data[COMETA_TLS_PLAIN_MAX];

    len = (len < COMETA_TLS_PLAIN_MAX) ? len : COMETA_TLS_PLAIN_MAX;

    memset(data, value, len);

    t = &w->writer;
    seq = t->write.seq;
    n = cometa_tls_seal(t, COMETA_TLS_DATA, data, len, w->bytes + w->len);

    check(n > len && n <= len + COMETA_TLS_OVERHEAD);
    check(t->write.seq == seq + 1);

    if (len < 32) {
        check(cometa_tls_prove(t, &t->write, seq, w->bytes + w->len, n) == 0);
        check(cometa_tls_prove(t, &t->write, seq + 1, w->bytes + w->len, n)
              != 0);
    }

    w->len += n;
    w->row = len ? 0 : w->row;
    tell(&w->sent, data, len);
}


/* An honest record of TLS 1.3 with zeroes behind its type. */

static void
write_padded(wire_t *w, size_t len, size_t zeroes)
{
    memset(inner, COMETA_TLS_ALERT, len);
    inner[len] = COMETA_TLS_DATA;
    memset(inner + len + 1, 0, zeroes);

    seal_inner(w, COMETA_TLS_DATA, len + 1 + zeroes);

    w->row = len ? 0 : w->row;
    tell(&w->sent, inner, len);
}


/*
 * Any inner plain text of the right length, of which the input has the begin or
 * all; `next` goes over to the next key, as it is right behind an update.
 */

static void
write_crafted(wire_t *w, input_t *in, uint8_t type, int next)
{
    size_t         n, left;
    cometa_tls_t  *t;

    w->honest = 0;
    t = &w->writer;

    n = size_of(take(in));
    left = in->end - in->p;
    left = (left < n) ? left : n;

    memset(inner, 0, n);
    memcpy(inner, in->p, left);
    in->p += left;

    seal_inner(w, type, n);

    if (next && t->version == COMETA_TLS_1_3) {
        w->updates++;
        check(cometa_tls_next(t, &t->write) == 0);
    }
}


/* What stands in `inner`. */

static void
seal_inner(wire_t *w, uint8_t type, size_t n)
{
    size_t             skip, len;
    uint8_t           *out;
    cometa_tls_t      *t;
    cometa_tls_aead_t  a;

    t = &w->writer;
    out = w->bytes + w->len;
    skip = COMETA_TLS_HEAD + cometa_tls_explicit(t);
    len = skip - COMETA_TLS_HEAD + n + COMETA_TLS_TAG;

    memset(out, 3, skip);
    out[0] = type;
    out[3] = (uint8_t) (len >> 8);
    out[4] = (uint8_t) len;
    memcpy(out + skip, inner, n);

    cometa_tls_bind(t, &t->write, t->write.seq++, out, n, &a);
    check(cometa_tls_aead_seal(t->cipher, &a, out + skip, n) == 0);
    w->len += COMETA_TLS_HEAD + len;
}


static void
write_raw(wire_t *w, input_t *in, size_t n)
{
    while (n-- && in->p < in->end && w->len < WIRE) {
        w->bytes[w->len++] = take(in);
    }
}


/*
 * With `pieces` the bytes come a few at a time, and those that have not come
 * must not be touched.
 */

static void
read_wire(const wire_t *w, cometa_tls_t *t, story_t *s, uint32_t pieces)
{
    size_t  pos, avail, used, step;

    memset(s, 0, sizeof(story_t));
    memcpy(bytes, w->bytes, w->len);
    ASAN_POISON_MEMORY_REGION(bytes, w->len);
    pos = 0;
    avail = 0;

    do {
        step = w->len - avail;

        if (pieces) {
            pieces = pieces * 1664525 + 1013904223;
            used = 1 + (pieces >> 16) % ((pieces >> 28) ? 64 : 8192);
            step = (used < step) ? used : step;
        }

        ASAN_UNPOISON_MEMORY_REGION(bytes + avail, step);
        avail += step;

        do {
            s->rc = read_one(t, s, bytes + pos, avail - pos, &used);
            pos += used;

        } while (s->rc == COMETA_TLS_READ_DATA
                 || s->rc == COMETA_TLS_READ_NOTHING);

    } while (s->rc == COMETA_TLS_READ_AGAIN && avail < w->len);

    ASAN_UNPOISON_MEMORY_REGION(bytes, w->len);

    if (s->rc != COMETA_TLS_READ_AGAIN) {
        check_end(t, s);
    }
}


static int
read_one(cometa_tls_t *t, story_t *s, uint8_t *in, size_t size, size_t *used)
{
    int           rc;
    size_t        len;
    uint8_t      *data;
    cometa_tls_t  before;

    before = *t;
    rc = cometa_tls_read(t, in, size, used, &data, &len, &s->alert);

    check(*used <= size && (len == 0 || rc == COMETA_TLS_READ_DATA));
    check(data >= in && data + len <= in + *used);
    check(t->begun <= sizeof(t->part));
    check(t->updates <= COMETA_TLS_UPDATES_MAX + 1);
    check(t->warnings <= COMETA_TLS_WARNINGS_MAX + 1);
    check(same(&before.write, &t->write, sizeof(before.write)));

    if (rc == COMETA_TLS_READ_AGAIN) {
        check(*used == 0 && same(&before, t, sizeof(before)));
        return rc;
    }

    if (rc == COMETA_TLS_READ_DATA || rc == COMETA_TLS_READ_NOTHING) {
        check(*used == cometa_tls_record_size(in, size) && !t->closed);
        check(t->read.seq == before.read.seq + 1
              || (t->read.seq == 0 && t->version == COMETA_TLS_1_3
                  && memcmp(before.read.key, t->read.key, 16) != 0));
    } else {
        check(t->closed == rc);
    }

    s->trace = mix(s->trace, (uint64_t) rc << 40 | (uint64_t) s->alert << 32
                             | len);

    if (rc == COMETA_TLS_READ_DATA) {
        tell(s, data, len);
    }

    return rc;
}


/* Nothing goes on behind the end, whatever comes. */

static void
check_end(cometa_tls_t *t, const story_t *s)
{
    int           rc;
    size_t        used, len;
    uint8_t       alert, *data, more[64];
    cometa_tls_t  before;

    memset(more, COMETA_TLS_DATA, sizeof(more));
    before = *t;
    rc = cometa_tls_read(t, more, sizeof(more), &used, &data, &len, &alert);

    check(rc == s->rc && alert == s->alert && used == 0 && len == 0);
    check(same(&before, t, sizeof(before)));
}


quiet
static void
tell(story_t *s, const uint8_t *data, size_t len)
{
    size_t    i;
    uint64_t  word;

    s->len += len;
    s->data = mix(s->data, len);

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, data + i, 8);
        s->data = mix(s->data, word);
    }

    for ( ; i < len; i++) {
        s->data = mix(s->data, data[i]);
    }
}


quiet
static int
same(const void *a, const void *b, size_t len)
{
    size_t          i;
    uint8_t         diff;
    const uint8_t  *p = a, *q = b;

    diff = 0;

    for (i = 0; i < len; i++) {
        diff |= p[i] ^ q[i];
    }

    return diff == 0;
}


quiet
static uint64_t
mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x9e3779b97f4a7c15 + 1;
}


static uint8_t
take(input_t *in)
{
    return (in->p < in->end) ? *in->p++ : 0;
}


/* Few are large: up to 17,600, which is more than a record may have. */

static size_t
size_of(uint8_t byte)
{
    return (byte < 240) ? byte : (byte - 239) * (size_t) 1100;
}

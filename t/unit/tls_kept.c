/*
 * What a parked connection keeps between two reads: never more than fits into
 * a parcel, whatever the peer sends, and all of it is read, also by the process
 * that the connection moves to, with no other event. What was sealed is not
 * sealed again, and nothing is while the connection may be another process's.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_cometa_stats.h"

#undef ngx_cometa_gauge_add
#define ngx_cometa_gauge_add(app, field, n)  (void) (app), parked += (n)

static int  parked;

#include "ngx_cometa_parked.c"
#include "ngx_cometa_tls_state.c"
#include "ngx_cometa_tls_io.c"
#include "ngx_cometa_tls_pack.c"
#include "ngx_cometa_tls_proof.c"
#include "tap.h"


#define READ  65536             /* as the reader asks for */
#define WIRE  (1 << 20)

#define is(a, b, what)  ok((ssize_t) (a) == (ssize_t) (b), what)

static ngx_cycle_t          cycle;
static ngx_connection_t     connections[2];
static ngx_event_t          revs[2], wevs[2];
static ngx_log_t            quiet;
static ngx_cometa_head_t    head = { .apps = 1 };

volatile ngx_cycle_t       *ngx_cycle = &cycle;
ngx_uint_t                  ngx_process = NGX_PROCESS_WORKER;
ngx_cometa_zone_t           ngx_cometa_zone = { .head = &head };
ngx_os_io_t                 ngx_io;

/* The wire, both ways; the socket takes as much as there is room. */

static u_char   in[WIRE], out[WIRE];
static size_t   in_pos, in_len, out_len, room;
static u_char   buf[READ], pack[NGX_COMETA_TLS_PACK_MAX];

static cometa_tls_t       peer;
static ngx_connection_t  *c;    /* the one of the two that is in use */


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    return calloc(1, size);
}


static ssize_t
receive(ngx_connection_t *connection, u_char *p, size_t size)
{
    size_t  n;

    n = ngx_min(size, in_len - in_pos);

    if (n < size) {
        connection->read->ready = 0;
    }

    if (n == 0) {
        return NGX_AGAIN;
    }

    ngx_memcpy(p, in + in_pos, n);
    in_pos += n;

    return n;
}


static ssize_t
give(ngx_connection_t *connection, u_char *p, size_t size)
{
    size_t  n;

    n = ngx_min(size, room);
    room -= n;

    if (n < size) {
        connection->write->ready = 0;
    }

    ngx_memcpy(out + out_len, p, n);
    out_len += n;

    return n ? (ssize_t) n : NGX_AGAIN;
}


/* A connection anew, whose peer has the same keys. */

static void
begin(int version)
{
    uint8_t       secret[2][COMETA_TLS_MASTER];
    cometa_tls_t  t;

    memset(secret[0], 1, COMETA_TLS_MASTER);
    memset(secret[1], 2, COMETA_TLS_MASTER);

    memset(&t, 0, sizeof(t));
    t.version = version;
    t.cipher = COMETA_TLS_AES_128_GCM;
    t.hash = 32;

    peer = t;
    peer.client = 1;

    if (version == COMETA_TLS_1_2) {
        (void) cometa_tls_set_master(&t, secret[0], secret[1], secret[1]);
        (void) cometa_tls_set_master(&peer, secret[0], secret[1], secret[1]);

    } else {
        (void) cometa_tls_set_secret(&t, &t.read, secret[0]);
        (void) cometa_tls_set_secret(&t, &t.write, secret[1]);
        (void) cometa_tls_set_secret(&peer, &peer.write, secret[0]);
        (void) cometa_tls_set_secret(&peer, &peer.read, secret[1]);
    }

    in_pos = in_len = out_len = 0;
    room = WIRE;

    c = &connections[0];
    c->read->ready = c->write->ready = 1;
    (void) ngx_cometa_tls_enter(c, &t, 0);
}


static void
end(void)
{
    ngx_cometa_tls_forget(c);
}


/* The peer says so. */

static void
says(uint8_t type, const void *data, size_t len)
{
    in_len += cometa_tls_seal(&peer, type, data, len, in + in_len);
}


static size_t
kept(void)
{
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    return s->in ? s->in->len - s->in->pos : 0;
}


/* To the other connection, as if that were another process's. */

static int
moves(void)
{
    size_t             n;
    ngx_connection_t  *from;

    from = c;
    n = ngx_cometa_tls_pack(from, pack);

    if (n == 0) {
        return 0;
    }

    ngx_cometa_tls_forget(from);

    c = &connections[from == &connections[0]];
    c->read->ready = c->write->ready = 1;

    return ngx_cometa_tls_unpack(c, pack, n) == NGX_OK;
}


/* Behind a record without fault comes the head of one that is too long. */

static void
too_long(void)
{
    ssize_t  n;

    begin(COMETA_TLS_1_3);
    says(COMETA_TLS_DATA, "x", 1);
    memset(in + in_len, 0xff, READ);
    in[in_len] = COMETA_TLS_DATA;
    in[in_len + 1] = in[in_len + 2] = 3;
    in_len += READ;

    n = c->recv(c, buf, READ);

    is(n, 1, "the data before a record that is too long is read");
    ok(kept() <= 2 * COMETA_TLS_RECORD_MAX, "not all that is behind is kept");
    ok(c->read->ready, "it is read on");
    ok(moves(), "it may move");
    is(c->recv(c, buf, READ), NGX_ERROR, "it fails then");

    end();
}


/* Parts of a ClientHello, one byte each: they are records without data. */

static void
flood(void)
{
    size_t  i;
    u_char  hello[] = { 1, 0, 0xff, 0xff };

    begin(COMETA_TLS_1_2);

    for (i = 0; i < 10000; i++) {
        says(COMETA_TLS_HANDSHAKE, i < 4 ? &hello[i] : hello, 1);
    }

    is(c->recv(c, buf, READ), NGX_ERROR, "a flood of records without data");
    ok(ngx_cometa_tls_state(c)->tls.read.seq < 100, "few of them were opened");
    ok(in_pos <= 2 * READ, "and not much of it was received");

    end();
}


/* Edges only: the reader goes on as long as the connection is ready. */

static void
sizes(void)
{
    size_t         i, k, n, len, most, said, heard, wrong;
    ssize_t        rc;
    static u_char  data[COMETA_TLS_PLAIN_MAX];

    begin(COMETA_TLS_1_3);

    srandom(1);
    most = said = heard = wrong = 0;

    for (i = 0; i < 4000; i++) {

        in_len -= in_pos;
        memmove(in, in + in_pos, in_len);
        in_pos = 0;

        for (n = random() % 8; n && in_len < WIRE / 2; n--) {
            len = random() % (random() % 4 ? 600 : COMETA_TLS_PLAIN_MAX);

            for (k = 0; k < len; k++) {
                data[k] = (u_char) (said++ * 7);
            }

            says(COMETA_TLS_DATA, data, len);
        }

        /* some of it comes later */

        n = in_len;
        in_len -= in_len ? random() % in_len : 0;
        c->read->ready = 1;

        while (c->read->ready) {
            rc = c->recv(c, buf, 1 + random() % READ);

            if (rc == NGX_AGAIN) {
                break;
            }

            wrong += (rc < 0);

            for (k = 0; rc > 0 && k < (size_t) rc; k++) {
                wrong += (buf[k] != (u_char) (heard++ * 7));
            }

            most = ngx_max(most, kept());

            if (random() % 4 == 0) {
                wrong += !moves();
            }
        }

        in_len = n;
    }

    c->read->ready = 1;

    while ((rc = c->recv(c, buf, READ)) > 0) {
        heard += rc;
    }

    is(heard, said, "all data is read, with moves in between");
    is(wrong, 0, "nothing failed");
    ok(most <= 2 * COMETA_TLS_RECORD_MAX, "%zu bytes kept, at most", most);

    end();
}


/* The peer reads what is there; NULL if it is no record of ours. */

static u_char *
heard(size_t *pos)
{
    int       rc;
    size_t    used, n;
    uint8_t   alert;
    uint8_t  *data;

    rc = cometa_tls_read(&peer, out + *pos, out_len - *pos, &used, &data, &n,
                         &alert);
    *pos += used;

    return (rc == COMETA_TLS_READ_DATA && n == 5) ? data : NULL;
}


static void
half(void)
{
    size_t             pos;
    ngx_connection_t  *old;

    begin(COMETA_TLS_1_3);

    room = 10;
    is(c->send(c, (u_char *) "first", 5), NGX_AGAIN, "half a record is sent");

    /* an offer: both have it */

    old = c;
    ngx_cometa_tls_away(old, 1);
    pos = ngx_cometa_tls_pack(old, pack);
    c = &connections[1];
    (void) ngx_cometa_tls_unpack(c, pack, pos);

    room = WIRE;
    is(old->send(old, (u_char *) "first", 5), NGX_ERROR, "away: not sent");
    is(old->recv(old, buf, READ), NGX_ERROR, "away: not read");
    ngx_cometa_tls_close(old, 0);
    is(out_len, 10, "away: its close says nothing");

    is(c->send(c, (u_char *) "first", 5), 5, "the rest is sent by the other");
    is(c->send(c, (u_char *) "after", 5), 5, "and what comes after it");

    pos = 0;
    ok(!memcmp(heard(&pos), "first", 5), "the first record opens");
    ok(!memcmp(heard(&pos), "after", 5), "and the second");
    is(pos, out_len, "and there is no other");

    end();
}


/* A short record leaves little room of a long one behind. */

static void
copies(void)
{
    u_char                 record[5 + 4000] = { 23, 3, 3, 4000 >> 8,
                                                4000 & 0xff };
    ngx_cometa_tls_way_t   way;

    memset(&way, 0, sizeof(way));

    ngx_cometa_tls_way_feed(&way, record, sizeof(record));
    is(way.room, 4005, "a record is kept for the proof");

    record[3] = 0;
    record[4] = 100;
    ngx_cometa_tls_way_feed(&way, record, 105);
    is(way.room, 105, "a short one takes its place and its memory");

    ngx_cometa_tls_way_feed(&way, record, 50);
    ngx_cometa_tls_way_free(&way);
    ngx_cometa_tls_way_feed(&way, record + 50, 55);

    ok(way.last == 0 && ngx_cometa_tls_way_settled(&way) == 0
       && way.framed == 3, "one that was dropped in its middle is counted");

    ngx_cometa_tls_way_feed(&way, record, 105);
    is(way.last, 105, "and the next one is kept");

    ngx_cometa_tls_way_free(&way);
}


int
main(void)
{
    ngx_uint_t  i;

    cycle.connections = connections;
    cycle.connection_n = 2;

    for (i = 0; i < 2; i++) {
        connections[i].read = &revs[i];
        connections[i].write = &wevs[i];
        connections[i].log = &quiet;
    }

    ngx_io.recv = receive;
    ngx_io.send = give;

    too_long();
    flood();
    sizes();
    half();
    copies();

    is(parked, 0, "no state is left");

    free(ngx_cometa_tls_in);
    free(ngx_cometa_tls_out);
    free(ngx_cometa_tls_table);
    cometa_tls_end();

    return done_testing();
}

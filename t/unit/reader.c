/*
 * The loop that reads a connection, on a socket that gives what the test says,
 * and a reader that takes so much of it in a turn.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_cometa_parked.c"
#include "ngx_cometa_reader.c"
#include "tap.h"


volatile ngx_cycle_t  *ngx_cycle;
ngx_uint_t             ngx_cometa_work;
ngx_uint_t             ngx_cometa_turn_begun;
ngx_uint_t             ngx_event_flags;

static ngx_event_t       rev, wev;
static ngx_connection_t  c = { .read = &rev, .write = &wev };

static ssize_t     input;       /* bytes to come; then what recv() returns */
static ssize_t     then;
static size_t      most;        /* asked for at once */
static size_t      taken;
static size_t      kept;        /* of the turn before */
static size_t      cost;        /* of a byte */
static ngx_int_t   last;        /* what the reader returns at the end */
static int         handled, overdue, ends, its_turn;


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return malloc(size);
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


void
ngx_close_connection(ngx_connection_t *connection)
{
    /* void */
}


void
ngx_cometa_drain_overdue(void)
{
    overdue++;
}


ngx_uint_t
ngx_cometa_turn_end(ngx_event_t *ev)
{
    ends++;
    return !its_turn;
}


ngx_int_t
ngx_handle_read_event(ngx_event_t *ev, ngx_uint_t flags)
{
    handled++;
    return NGX_OK;
}


static ssize_t
receive(ngx_connection_t *connection, u_char *buf, size_t size)
{
    ssize_t  n;

    most = ngx_max(most, size);

    if (input == 0) {
        rev.ready = 0;
        return then;
    }

    n = ngx_min(input, (ssize_t) size);
    memset(buf, 'x', n);
    input -= n;
    rev.ready = (n == (ssize_t) size);

    return n;
}


static size_t
portion(ngx_connection_t *connection)
{
    return *(size_t *) connection->data;
}


static ngx_int_t
take(ngx_connection_t *connection, u_char *data, size_t len)
{
    if (len == 0) {
        len = kept;
        kept = 0;
    }

    for ( /* void */ ; len; len--) {

        if (ngx_cometa_turn_over()) {
            kept = len;
            return NGX_AGAIN;
        }

        taken++;
        ngx_cometa_work += cost;
    }

    return last;
}


static ngx_int_t
turn(ssize_t bytes, ssize_t end, u_char *data, size_t len)
{
    static const ngx_cometa_reader_t  reader = { portion, take };

    input = bytes;
    then = end;
    most = 0;
    taken = 0;
    handled = 0;
    rev.ready = 1;
    c.error = 0;

    return ngx_cometa_reader_turn(&c, &reader, data, len);
}


static void
test_read(void)
{
    size_t  piece = 100;
    u_char  early[] = "early";

    c.data = &piece;

    ok(turn(250, NGX_AGAIN, NULL, 0) == NGX_OK && taken == 250
       && most == 100 && handled == 1, "all is read, in portions");
    ok(turn(200, NGX_AGAIN, NULL, 0) == NGX_OK && taken == 200,
       "also if the last one is full");
    ok(turn(10, NGX_AGAIN, early, 5) == NGX_OK && taken == 15,
       "behind what came with the handshake");
    ok(turn(0, NGX_AGAIN, NULL, 0) == NGX_OK && taken == 0, "nothing");

    piece = 1000000;
    ok(turn(200000, NGX_AGAIN, NULL, 0) == NGX_OK && taken == 200000
       && most == 65536, "no more than the buffer has");
    piece = 100;

    ok(turn(250, 0, NULL, 0) == NGX_OK && taken == 250,
       "an end behind less than a portion makes an event of its own");
    ok(turn(200, 0, NULL, 0) == NGX_ERROR && taken == 200 && !c.error
       && !handled, "the peer ends the connection");
    ok(turn(200, NGX_ERROR, NULL, 0) == NGX_ERROR && taken == 200 && c.error,
       "the connection fails");

}


static void
test_turn(void)
{
    size_t  piece = 100;
    u_char  early[] = "early";

    c.data = &piece;

    cost = NGX_COMETA_WORK_ONE / 150;
    ok(turn(1000, NGX_AGAIN, NULL, 0) == NGX_AGAIN && taken < 200
       && kept == 200 - taken && handled == 1,
       "the turn is over within a portion");
    cost = 1;
    ok(turn(0, NGX_AGAIN, NULL, 0) == NGX_OK && kept == 0
       && taken > 0 && taken < 100, "what was kept is taken first");
    cost = NGX_COMETA_WORK_ONE / 20;
    ok(turn(50, NGX_AGAIN, NULL, 0) == NGX_AGAIN && kept > 0 && !rev.ready,
       "there is more if the reader has kept it");
    kept = 0;
    cost = NGX_COMETA_WORK_ONE / 100 + 1;
    ok(turn(1000, NGX_AGAIN, NULL, 0) == NGX_AGAIN && kept < 100,
       "the turn is over and there may be more");
    kept = 0;
    cost = NGX_COMETA_WORK_ONE;
    ok(turn(0, NGX_AGAIN, early, 5) == NGX_AGAIN && taken == 1 && kept == 4,
       "the turn is over before the connection is read");
    kept = 0;
    cost = 1;

    last = NGX_ERROR;
    ok(turn(1000, NGX_AGAIN, NULL, 0) == NGX_ERROR && taken == 0 && !handled,
       "the reader ends it");
    last = NGX_OK;
}


static void
test_due(void)
{
    ok(ngx_cometa_reader_due(&c), "an event is a turn");
    rev.posted = 1;
    ok(!ngx_cometa_reader_due(&c), "unless it stands in line for one");
    rev.posted = 0;
    rev.pending_eof = 1;
    ok(!ngx_cometa_reader_due(&c) && ends == 1,
       "the end of a connection waits in line");
    its_turn = 1;
    ok(ngx_cometa_reader_due(&c), "until it is its turn");
    rev.pending_eof = 0;
    c.close = 1;
    ok(!ngx_cometa_reader_due(&c) && overdue == 1 && !c.close,
       "or nginx wants to close what is idle");
}


int
main(void)
{
    ngx_cycle_t  cycle = { .pool = NULL };

    c.recv = receive;

    ok(ngx_cometa_reader_start(&cycle) == NGX_OK, "it starts");

    test_read();
    test_turn();
    test_due();

    free(ngx_cometa_reader_buffer);

    return done_testing();
}

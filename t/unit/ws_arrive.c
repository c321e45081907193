/*
 * WebSockets that arrive: parcels that are cut off or whose lengths are wrong,
 * and what becomes of an offer that comes a second time.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

/* A timer is only noted, and a connection counted. */

#undef ngx_add_timer
#undef ngx_del_timer

#define ngx_add_timer(ev, ms)  ((ev)->timer.key = (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)      ((ev)->timer_set = 0)

#define _NGX_COMETA_COMPAT_H_INCLUDED_

static void ngx_cometa_connection_close(ngx_connection_t *c, ngx_uint_t last);

#include "ngx_cometa_ws_arrive.c"
#include "ngx_cometa_bytes.c"
#include "tap.h"


#define OUTPUT   "the output"
#define MESSAGE  "half a mess"
#define REST     "rest"
#define CONTROL  "pi"

static ngx_log_t               process;
static ngx_cycle_t             cycle = { .log = &process };
volatile ngx_cycle_t          *ngx_cycle = &cycle;
volatile ngx_msec_t            ngx_current_msec = 5000;
ngx_uint_t                     ngx_exiting;
ngx_cometa_zone_t              ngx_cometa_zone = { .slot = 1, .epoch = 7 };

static ngx_cometa_ws_conf_t    conf = { .id = 100 };
static ngx_cometa_ws_conf_t   *confs[] = { &conf };

static ngx_connection_t        connection;
static ngx_event_t             rev, wev;
static int                     closed;      /* descriptors */
static int                     sockets;     /* that were made, and not freed */
static int                     answers;
static ngx_cometa_mail_arrived_t  answer;   /* the last one */
static ngx_cometa_ws_t        *opened;
static int                     dead;        /* the old worker */
static int                     no_memory;   /* the n-th allocation fails */


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return (no_memory && --no_memory == 0) ? NULL : malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p;

    p = ngx_alloc(size, log);

    return p ? memset(p, 0, size) : NULL;
}


ngx_uint_t
ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch)
{
    return !dead;
}


void
ngx_cometa_key_init(ngx_cometa_key_t *key)
{
    /* void */
}


ngx_cometa_ws_t *
ngx_cometa_ws_create(ngx_cometa_ws_conf_t *c, ngx_cometa_key_t *key,
    ngx_cometa_ws_mode_t *mode)
{
    ngx_cometa_ws_t  *s;

    static ngx_cometa_ws_group_t  group;

    s = ngx_calloc(sizeof(ngx_cometa_ws_t), NULL);

    if (s) {
        s->conf = c;
        s->group = &group;
        sockets++;
    }

    return s;
}


void
ngx_cometa_ws_event_flush(void)
{
    /* void */
}


void
ngx_cometa_ws_late_wait(ngx_cometa_ws_t *s, uint32_t slot, uint32_t epoch,
    uint64_t serial, uint32_t n)
{
    /* void */
}


void
ngx_cometa_ws_discard(ngx_cometa_ws_t *s)
{
    ngx_cometa_bytes_free(&s->io.message);
    ngx_cometa_bytes_free(&s->io.control);
    ngx_cometa_bytes_free(&s->io.rest);
    ngx_cometa_bytes_free(&s->io.output);
    free(s);
    sockets--;
}


void
ngx_cometa_ws_open(ngx_cometa_ws_t *s, ngx_connection_t *c, u_char *data,
    size_t len)
{
    opened = s;
}


void
ngx_cometa_fdpass_left(ngx_connection_t *c)
{
    closed++;
}


static void
ngx_cometa_connection_close(ngx_connection_t *c, ngx_uint_t last)
{
    closed++;
}


void
ngx_cometa_mail_arrived(uint32_t slot, uint32_t epoch, ngx_cometa_mail_e type,
    ngx_cometa_mail_arrived_t *mail)
{
    answers++;
    answer = *mail;
}


/* A parcel with all its parts, in memory that ends where it does. */

static u_char *
pack(ngx_cometa_ws_parcel_t *parcel, size_t *len)
{
    size_t               i;
    u_char              *data, *p;
    struct sockaddr_in   sin;

    static const char  *parts[] = { "app1", "d1", MESSAGE, CONTROL, REST,
                                    OUTPUT };

    memset(parcel, 0, sizeof(ngx_cometa_ws_parcel_t));
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;

    parcel->kind = NGX_COMETA_PARCEL_WS;
    parcel->epoch = 7;
    parcel->from_slot = 2;
    parcel->from_epoch = 3;
    parcel->serial = 11;
    parcel->index = 5;
    parcel->location = 100;
    parcel->address = sizeof(sin);
    parcel->app = 4;
    parcel->device = 2;
    parcel->message = sizeof(MESSAGE) - 1;
    parcel->control = sizeof(CONTROL) - 1;
    parcel->rest = sizeof(REST) - 1;
    parcel->output = sizeof(OUTPUT) - 1;

    *len = sizeof(ngx_cometa_ws_parcel_t) + sizeof(sin);

    for (i = 0; i < 6; i++) {
        *len += strlen(parts[i]);
    }

    data = malloc(*len);
    p = ngx_cpymem(data, parcel, sizeof(ngx_cometa_ws_parcel_t));
    p = ngx_cpymem(p, &sin, sizeof(sin));

    for (i = 0; i < 6; i++) {
        p = ngx_cpymem(p, parts[i], strlen(parts[i]));
    }

    return data;
}


/* Only the first `len` bytes, so that whoever reads on is caught. */

static void
arrive(ngx_cometa_ws_parcel_t *parcel, u_char *data, size_t len,
    ngx_uint_t none)
{
    u_char  *copy;

    memset(&rev, 0, sizeof(rev));
    memset(&wev, 0, sizeof(wev));
    memset(&connection, 0, sizeof(connection));
    connection.read = &rev;
    connection.write = &wev;

    closed = 0;
    answers = 0;
    opened = NULL;
    memset(&answer, 0, sizeof(answer));

    copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    memcpy(copy, parcel, ngx_min(len, sizeof(ngx_cometa_ws_parcel_t)));

    (void) ngx_cometa_ws_arrive(none ? NULL : &connection, copy, len);

    free(copy);
}


static void
tail(uint32_t index, uint64_t serial, const char *text)
{
    ngx_cometa_mail_ws_tail_t  mail;

    memset(&mail, 0, sizeof(mail));
    mail.head.session = serial;
    mail.index = index;
    mail.end = 1;

    ngx_cometa_ws_arrive_tail(&mail, (u_char *) text, strlen(text));
}


static int
nothing_left(void)
{
    return sockets == 0 && ngx_cometa_arrivals_n == 0;
}


static void
test_cut_off(void)
{
    size_t                   n, len, right;
    u_char                  *data;
    ngx_cometa_ws_parcel_t   parcel;

    data = pack(&parcel, &len);

    for (n = 0, right = 0; n < len; n++) {
        arrive(&parcel, data, n, 0);
        right += (closed == 1 && answers == 0 && nothing_left());
    }

    ok(right == len, "cut off at each of %u bytes: closed, no answer",
       (unsigned) len);
    free(data);
}


static void
test_lengths(void)
{
    size_t                   i, n, len, right;
    u_char                  *data;
    ngx_cometa_ws_parcel_t   parcel, bad;

    static const struct { size_t at, size; }  fields[] = {
        { offsetof(ngx_cometa_ws_parcel_t, address), 2 },
        { offsetof(ngx_cometa_ws_parcel_t, app), 2 },
        { offsetof(ngx_cometa_ws_parcel_t, device), 2 },
        { offsetof(ngx_cometa_ws_parcel_t, message), 4 },
        { offsetof(ngx_cometa_ws_parcel_t, control), 4 },
        { offsetof(ngx_cometa_ws_parcel_t, rest), 4 },
        { offsetof(ngx_cometa_ws_parcel_t, output), 4 },
        { offsetof(ngx_cometa_ws_parcel_t, epoch), 4 }
    };
    static const int32_t  more[] = { 1, -1, 300, -300, 0x7fff, 0x40000000,
                                     INT32_MIN };

    data = pack(&parcel, &len);
    right = 0;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (n = 0; n < sizeof(more) / sizeof(more[0]); n++) {
            bad = parcel;

            if (fields[i].size == 2) {
                *(uint16_t *) ((u_char *) &bad + fields[i].at) += more[n] | 1;

            } else {
                *(uint32_t *) ((u_char *) &bad + fields[i].at) += more[n];
            }

            arrive(&bad, data, len, 0);
            right += (closed == 1 && answers == 0 && nothing_left());
        }
    }

    ok(right == i * n, "each length and the epoch wrong: the same");

    /* sums that come out right if they are of 32 bits */

    bad = parcel;
    bad.message += 0x80000000;
    bad.output += 0x80000000;
    arrive(&bad, data, len, 0);
    ok(closed == 1 && answers == 0 && nothing_left(),
       "two lengths that overflow together: the same");
    free(data);
}


/* Names that are longer than what they are kept in; all of it is there. */

static void
test_too_long(void)
{
    size_t                   i, n, len, right;
    u_char                  *data;
    ngx_cometa_ws_parcel_t   parcel, bad;

    static u_char        large[1024];
    static const size_t  fields[] = {
        offsetof(ngx_cometa_ws_parcel_t, address),
        offsetof(ngx_cometa_ws_parcel_t, app),
        offsetof(ngx_cometa_ws_parcel_t, device)
    };

    data = pack(&parcel, &len);
    right = 0;

    for (i = 0; i < 3; i++) {
        bad = parcel;
        bad.message = 0;
        bad.control = 0;
        bad.rest = 0;
        bad.output = 0;

        n = (i == 0) ? sizeof(struct sockaddr_in6) + 1 : NGX_COMETA_ID_MAX + 1;
        *(uint16_t *) ((u_char *) &bad + fields[i]) = n;

        n = sizeof(bad) + bad.address + bad.app + bad.device;
        arrive(&bad, memset(large, 'x', n), n, 0);
        right += (closed == 1 && answers == 0 && nothing_left());
    }

    ok(right == 3, "an address or an id that is too long: the same");
    free(data);
}


static void
test_refused(void)
{
    size_t                   n, len, right;
    u_char                  *data;
    ngx_cometa_ws_parcel_t   parcel, bad;

    data = pack(&parcel, &len);

    bad = parcel;
    bad.location++;
    arrive(&bad, data, len, 0);
    ok(closed == 1 && answers == 1 && answer.rc == NGX_COMETA_ARRIVE_NEVER
       && nothing_left(), "a location that is not there");

    arrive(&parcel, data, len, 1);
    ok(closed == 0 && answers == 1 && answer.rc == NGX_COMETA_ARRIVE_LATER
       && nothing_left(), "no connection is left for it");

    for (n = 1, right = 0; n < 20; n++) {
        no_memory = n;
        arrive(&parcel, data, len, 0);

        if (answer.rc == NGX_COMETA_ARRIVED) {
            break;
        }

        right += (closed == 1 && answers == 1 && nothing_left());
    }

    no_memory = 0;
    ok(n > 5 && right == n - 1, "no memory, %u times", (unsigned) n - 1);

    tail(answer.handle, 11, "");
    ok(opened != NULL, "then it is taken");
    ngx_cometa_ws_discard(opened);
    free(data);
}


/* An offer that is made again is answered as it was before. */

static void
test_again(void)
{
    size_t                   len;
    u_char                  *data;
    uint32_t                 handle;
    ngx_cometa_arrival_t    *a;
    ngx_cometa_ws_parcel_t   parcel;

    data = pack(&parcel, &len);

    arrive(&parcel, data, len, 0);
    handle = answer.handle;
    a = &ngx_cometa_arrivals[handle];
    ok(answer.rc == NGX_COMETA_ARRIVED && closed == 0 && a->timer.timer_set,
       "an offer is taken, and its tail waited for");

    parcel.again = 1;
    parcel.index += 64;
    arrive(&parcel, data, len, 0);
    ok(answer.rc == NGX_COMETA_ARRIVED && answer.handle == handle
       && answer.index == parcel.index && closed == 1 && sockets == 1,
       "made again it is answered as before, and its descriptor closed");

    arrive(&parcel, data, len, 1);
    ok(answer.rc == NGX_COMETA_ARRIVED && answer.handle == handle
       && sockets == 1, "also if no connection is left");

    opened = NULL;
    tail(handle, 11, ", the tail");
    ok(opened && ngx_cometa_arrivals_n == 0 && !a->timer.timer_set
       && opened->io.output->len == sizeof(OUTPUT ", the tail") - 1
       && memcmp(opened->io.output->data, OUTPUT ", the tail",
                 opened->io.output->len) == 0, "it opens with its tail");
    ngx_cometa_ws_discard(opened);
    free(data);
}


/*
 * The tail does not come: it opens without. An offer that is made again is not
 * taken in, until the tail has come or the old worker has ended.
 */

static void
test_no_tail(void)
{
    size_t                   len;
    u_char                  *data;
    uint32_t                 handle;
    ngx_cometa_ws_t         *first;
    ngx_cometa_arrival_t    *a;
    ngx_cometa_ws_parcel_t   parcel;

    data = pack(&parcel, &len);
    parcel.again = 1;

    arrive(&parcel, data, len, 0);
    handle = answer.handle;
    a = &ngx_cometa_arrivals[handle];
    ok(answer.rc == NGX_COMETA_ARRIVED && closed == 0,
       "what was refused before is taken the second time");

    opened = NULL;
    a->timer.timer_set = 0;
    a->timer.handler(&a->timer);
    first = opened;
    ok(opened && ngx_cometa_arrivals_n == 1,
       "it opens without a tail, and is kept in mind");

    parcel.index += 64;
    arrive(&parcel, data, len, 0);
    ok(answer.rc == NGX_COMETA_ARRIVED && answer.handle == handle
       && closed == 1 && sockets == 1 && !opened,
       "once more it is not taken in: it is read here");

    tail(handle, 12, "");
    ok(ngx_cometa_arrivals_n == 1, "another one's tail changes nothing");

    tail(handle, 11, "late");
    ok(!opened && ngx_cometa_arrivals_n == 0, "its own lets it be forgotten");
    ngx_cometa_ws_discard(first);

    /* its old worker ends: it opens, and what lies in the door is void */

    arrive(&parcel, data, len, 0);
    dead = 1;
    ngx_cometa_ws_arrive_deaths();
    first = opened;
    ok(first && ngx_cometa_arrivals_n == 0,
       "it opens when its old worker ends");

    arrive(&parcel, data, len, 0);
    ok(answer.rc == NGX_COMETA_ARRIVE_LATER && closed == 1 && sockets == 1,
       "an offer of it that is read after that is not taken in");

    ngx_cometa_ws_discard(first);
    free(data);
}


int
main(void)
{
    ngx_cometa_ws_arrive_start(confs, 1);

    test_cut_off();
    test_lengths();
    test_too_long();
    test_refused();
    test_again();
    test_no_tail();

    free(ngx_cometa_arrivals);

    return done_testing();
}

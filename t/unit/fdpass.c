/*
 * Who a connection may be handed to, and what becomes of one whose addressee
 * leaves in the same moment.
 */

#include "zone.h"

#include <sys/socket.h>


/* What the kernel and nginx have: the message is sent when the test says so. */

static void (*before_sending)(void);

static ssize_t
test_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (before_sending) {
        before_sending();
    }

    return sendmsg(fd, msg, flags);
}

#undef ngx_add_timer
#undef ngx_post_event

#define ngx_add_timer(ev, ms)   ((ev)->timer_set = 1)
#define ngx_post_event(ev, q)   ((ev)->posted = 1)
#define sendmsg                 test_sendmsg

/* that is of HTTP, which nothing here is */

#define _NGX_COMETA_COMPAT_H_INCLUDED_

#include "ngx_cometa_fdpass.c"

#undef sendmsg


ngx_atomic_t           test_number;
ngx_atomic_t          *ngx_connection_counter = &test_number;
ngx_event_actions_t    ngx_event_actions;
ngx_os_io_t            ngx_io;

static ngx_connection_t   door;
static ngx_uint_t         closed;


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return ngx_pcalloc(pool, size);
}


ngx_connection_t *
ngx_cometa_channel_open(int fd, ngx_cycle_t *cycle,
    ngx_event_handler_pt handler)
{
    return &door;
}


void
ngx_cometa_channel_close(ngx_connection_t *c)
{
    /* void */
}


ngx_connection_t *
ngx_get_connection(ngx_socket_t s, ngx_log_t *log)
{
    return NULL;
}


void
ngx_close_connection(ngx_connection_t *c)
{
    closed++;
}


static void
taken(ngx_connection_t *c, u_char *data, size_t len)
{
    /* void */
}


static ngx_int_t
hand_over(uint32_t slot, uint32_t epoch)
{
    u_char            data[1];
    ngx_event_t       read, write;
    ngx_connection_t  c;

    memset(&c, 0, sizeof(c));
    memset(&read, 0, sizeof(read));
    memset(&write, 0, sizeof(write));
    c.fd = 1;
    c.read = &read;
    c.write = &write;
    data[0] = 'x';

    return ngx_cometa_fdpass(slot, epoch, &c, data, 1);
}


static int
lies_in(ngx_cometa_slot_t *slot)
{
    char  byte;

    return recv(slot->door[0], &byte, 1, MSG_PEEK|MSG_DONTWAIT) == 1;
}


/* Another worker, in slot 1, which lives until it is told to leave. */

static pid_t  other;
static int    talk[2];


static void
leave(void)
{
    char  byte;

    (void) !write(talk[1], "x", 1);
    (void) !read(talk[1], &byte, 1);
}


static void
start(void)
{
    char  byte;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, talk) != 0) {
        exit(1);
    }

    fflush(stdout);
    other = fork();

    if (other == 0) {
        zone_join();
        (void) !write(talk[0], "x", 1);
        (void) !read(talk[0], &byte, 1);
        ngx_cometa_slot_release();
        (void) !write(talk[0], "x", 1);
        _exit(0);
    }

    (void) !read(talk[1], &byte, 1);
}


static void
test_whom(void)
{
    uint32_t            epoch;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[1];
    epoch = s->epoch;

    ok(ngx_cometa_fdpass_to(1, epoch), "another worker");
    ok(!ngx_cometa_fdpass_to(0, ngx_cometa_zone.epoch), "not itself");
    ok(!ngx_cometa_fdpass_to(1, epoch + 1), "nor one of another epoch");

    s->generation++;
    ok(!ngx_cometa_fdpass_to(1, epoch), "nor of another configuration");
    s->generation--;

    s->draining = 1;
    ok(!ngx_cometa_fdpass_to(1, epoch), "nor one that leaves");
    s->draining = 0;

    s->crowded = 1;
    ok(!ngx_cometa_fdpass_to(1, epoch)
       && hand_over(1, epoch) == NGX_DECLINED && closed == 0,
       "nor one that is crowded: the connection stays");
    s->crowded = 0;
}


static void
test_crowd(void)
{
    ngx_cometa_slot_t  *own;

    own = &ngx_cometa_zone.slots[0];

    test_cycle.connection_n = 160;
    test_cycle.free_connection_n = 10;
    ngx_cometa_fdpass_crowd();
    ok(!own->crowded && !ngx_cometa_crowd.timer_set,
       "a sixteenth of the connections is free: no crowd");

    test_cycle.free_connection_n = 9;
    ngx_cometa_fdpass_crowd();
    ok(own->crowded, "less is a crowd");
    ok(ngx_cometa_crowd.timer_set, "which is looked at again");

    ngx_cometa_crowd.timer_set = 0;
    ngx_cometa_crowd.handler(&ngx_cometa_crowd);
    ok(own->crowded && ngx_cometa_crowd.timer_set, "and again");

    test_cycle.free_connection_n = 100;
    ngx_cometa_crowd.timer_set = 0;
    ngx_cometa_crowd.handler(&ngx_cometa_crowd);
    ok(!own->crowded && !ngx_cometa_crowd.timer_set, "until it is none");
}


static void
test_leaves(void)
{
    uint32_t            epoch;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[1];
    epoch = s->epoch;

    ok(hand_over(1, epoch) == NGX_OK && closed == 1 && lies_in(s),
       "a connection lies in the door of a worker that lives");

    before_sending = leave;
    ok(hand_over(1, epoch) == NGX_OK && closed == 2,
       "another one is sent while it leaves");
    before_sending = NULL;

    ok(s->pid == 0 && s->epoch == epoch + 1, "it has left");
    ok(!lies_in(s), "no client is left hanging in its door");

    (void) waitpid(other, NULL, 0);
}


int
main(void)
{
    zone_make(1024 * 1024, 1);

    if (ngx_cometa_fdpass_open(&test_cycle, taken) != NGX_OK) {
        return 1;
    }

    start();

    test_whom();
    test_crowd();
    test_leaves();

    return done_testing();
}

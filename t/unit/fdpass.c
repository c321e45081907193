/*
 * Who a connection may be handed to, what becomes of one whose addressee
 * leaves in the same moment, and what the sender of an offer keeps.
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

#include "fdpass_stubs.h"
#include "ngx_cometa_envelope.c"
#include "ngx_cometa_fdpass.c"

#undef sendmsg


ngx_module_t           ngx_core_module;
ngx_atomic_t           test_number;
ngx_atomic_t          *ngx_connection_counter = &test_number;
ngx_event_actions_t    ngx_event_actions;
ngx_os_io_t            ngx_io;

static ngx_connection_t   door;
static ngx_uint_t         closed, forgotten;

/* What the handler of the reader got last, and what it says. */

static ngx_connection_t  *got;
static size_t             got_len;
static ngx_uint_t         got_n;
static ngx_int_t          answer;


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


/* There is one: nobody here needs more at a time. */

ngx_connection_t *
ngx_get_connection(ngx_socket_t s, ngx_log_t *log)
{
    static ngx_event_t       read, write;
    static ngx_connection_t  c;

    memset(&c, 0, sizeof(c));
    memset(&read, 0, sizeof(read));
    memset(&write, 0, sizeof(write));
    c.fd = s;
    c.read = &read;
    c.write = &write;

    return &c;
}


void
ngx_close_connection(ngx_connection_t *c)
{
    closed++;
}


/* What epoll does with a connection that it is to forget. */

static ngx_int_t
forget(ngx_connection_t *c, ngx_uint_t flags)
{
    forgotten++;
    c->read->active = 0;
    c->write->active = 0;

    return NGX_OK;
}


static ngx_int_t
taken(ngx_connection_t *c, u_char *data, size_t len)
{
    got = c;
    got_len = len;
    got_n++;

    return answer;
}


/* A connection as one has it whose events are known, and one has come. */

static void
connection(ngx_connection_t *c, ngx_event_t *read, ngx_event_t *write)
{
    static ngx_queue_t  posted;

    memset(c, 0, sizeof(ngx_connection_t));
    memset(read, 0, sizeof(ngx_event_t));
    memset(write, 0, sizeof(ngx_event_t));

    ngx_queue_init(&posted);
    ngx_queue_insert_tail(&posted, &read->queue);
    ngx_queue_insert_tail(&posted, &write->queue);

    c->fd = 1;
    c->read = read;
    c->write = write;
    read->log = &test_log;
    write->log = &test_log;
    read->active = 1;
    read->posted = 1;
    write->posted = 1;
}


static ngx_int_t
hand_over(uint32_t slot, uint32_t epoch)
{
    u_char            data[1];
    ngx_event_t       read, write;
    ngx_connection_t  c;

    connection(&c, &read, &write);
    data[0] = 'x';

    return ngx_cometa_fdpass(slot, epoch, &c, data, 1);
}


static int
lies_in(ngx_cometa_slot_t *slot)
{
    char  byte;

    return recv(slot->door[0], &byte, 1, MSG_PEEK|MSG_DONTWAIT) == 1;
}


/* Other workers, in slots 1 and 2, which live until they are told to leave. */

typedef struct {
    pid_t  pid;
    int    talk[2];
} other_t;

static other_t  others[2];


static void
leave(void)
{
    char  byte;

    (void) !write(others[0].talk[1], "x", 1);
    (void) !read(others[0].talk[1], &byte, 1);
}


static void
start(other_t *other)
{
    char  byte;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, other->talk) != 0) {
        exit(1);
    }

    fflush(stdout);
    other->pid = fork();

    if (other->pid == 0) {
        (void) close(other->talk[1]);
        zone_join();
        (void) !write(other->talk[0], "x", 1);
        (void) !read(other->talk[0], &byte, 1);
        ngx_cometa_slot_release();
        (void) !write(other->talk[0], "x", 1);
        _exit(0);
    }

    (void) !read(other->talk[1], &byte, 1);
}


static void
end(other_t *other)
{
    (void) kill(other->pid, SIGKILL);
    (void) waitpid(other->pid, NULL, 0);
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
    closed = 0;
    s->generation = ngx_cometa_zone.slots[0].generation;

    ok(hand_over(1, epoch) == NGX_OK && closed == 1 && lies_in(s),
       "a connection lies in the door of a worker that lives");

    before_sending = leave;
    ok(hand_over(1, epoch) == NGX_OK && closed == 2,
       "another one is sent while it leaves");
    before_sending = NULL;

    ok(s->pid == 0 && s->epoch == epoch + 1, "it has left");
    ok(!lies_in(s), "no client is left hanging in its door");

    (void) waitpid(others[0].pid, NULL, 0);
}


/* Who the heir would be: -1 for nobody. */

static int
heir(uint32_t *also)
{
    uint32_t  slot, epoch;

    if (ngx_cometa_fdpass_heir(also, &slot, &epoch) != NGX_OK) {
        return -1;
    }

    return (epoch == ngx_cometa_zone.slots[slot].epoch) ? (int) slot : -2;
}


static void
test_heir(void)
{
    uint32_t            also[64];
    ngx_cometa_slot_t  *own, *s;

    own = &ngx_cometa_zone.slots[0];
    s = ngx_cometa_zone.slots;
    memset(also, 0, sizeof(also));

    ok(heir(also) == -1 && !ngx_cometa_fdpass_inherited(),
       "no heir in the same configuration");

    own->generation = 5;
    s[1].generation = 4;
    s[2].generation = 4;
    ok(heir(also) == -1 && !ngx_cometa_fdpass_inherited(),
       "nor in an older one");

    s[2].generation = 6;
    ok(heir(also) == 2 && ngx_cometa_fdpass_inherited(), "in a newer one");

    own->generation = 0xffffffff;
    s[1].generation = 0xfffffffe;
    s[2].generation = 0;
    ok(heir(also) == 2 && ngx_cometa_fdpass_inherited(),
       "also when their number wraps");

    own->generation = 5;
    s[1].generation = 6;
    s[1].workers = 2;
    ok(!ngx_cometa_fdpass_complete(), "one of two new workers is there");

    s[2].generation = 6;
    s[2].workers = 2;
    ok(ngx_cometa_fdpass_complete(), "both are");

    s[2].generation = 7;
    ok(!ngx_cometa_fdpass_complete(), "one of the two of a newer one");

    s[2].workers = 1;
    ok(ngx_cometa_fdpass_complete(), "all of the newer one");

    s[1].devices = 10;
    s[2].devices = 11;
    ok(heir(also) == 1, "the one with fewer devices");

    also[1] = 2;
    ok(heir(also) == 2, "those under way are counted");
    also[1] = 0;

    s[1].draining = 1;
    ok(heir(also) == 2, "not one that leaves");

    s[2].crowded = 1;
    ok(heir(also) == -1, "nor one that is crowded");
    ok(ngx_cometa_fdpass_inherited(), "which is there nevertheless");

    s[2].draining = 1;
    ok(!ngx_cometa_fdpass_inherited(), "all leave: nobody is there");

    s[1].draining = 0;
    s[2].draining = 0;
    s[2].crowded = 0;
}


static void
test_offer(void)
{
    char                byte;
    u_char              data[1];
    uint32_t            epoch;
    ngx_int_t           rc;
    ngx_uint_t          n;
    ngx_event_t         read, write;
    ngx_connection_t    c;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[1];
    epoch = s->epoch;
    data[0] = 'x';

    closed = 0;
    forgotten = 0;
    connection(&c, &read, &write);

    ok(ngx_cometa_fdpass_offer(1, epoch + 1, &c, data, 1) == NGX_DECLINED
       && ngx_cometa_fdpass_offer(1, epoch, &c, data,
                                  NGX_COMETA_PARCEL_MAX + 1) == NGX_DECLINED
       && ngx_cometa_fdpass_offer(5, ngx_cometa_zone.slots[5].epoch, &c, data,
                                  1) == NGX_DECLINED,
       "no offer to another epoch, of too many bytes, or to nobody");
    ok(read.active && read.posted && write.posted && forgotten == 0
       && !lies_in(s), "all is as it was");

    ok(ngx_cometa_fdpass_offer(1, epoch, &c, data, 1) == NGX_OK
       && lies_in(s), "an offer lies in the door");
    ok(closed == 0, "its connection stays open");
    ok(forgotten == 1 && !read.active && !read.posted && !write.posted,
       "and no event comes of it");

    for (n = 1, rc = NGX_OK; rc == NGX_OK && n < 100000; n++) {
        connection(&c, &read, &write);
        rc = ngx_cometa_fdpass_offer(1, epoch, &c, data, 1);
    }

    ok(rc == NGX_AGAIN && read.active && read.posted,
       "a door that is full after %d: it stays as it was", (int) n - 1);

    while (recv(s->door[0], &byte, 1, MSG_DONTWAIT) == 1) { /* void */ }

    forgotten = 0;
    ngx_cometa_fdpass_left(&c);
    ok(closed == 1 && forgotten == 1, "one that has left is closed here");

    ngx_cometa_fdpass_left(&c);
    ok(closed == 2 && forgotten == 1, "also if it was known to nobody");
}


/*
 * An offer lies in the door of a worker that dies: the kernel closes what lies
 * there, the sender has another one, and nginx counts the connection still.
 */

static void
test_dies(void)
{
    u_char              data[sizeof(uint32_t)];
    uint32_t            epoch, kind;
    ngx_event_t         read, write;
    ngx_connection_t    c;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[2];
    epoch = s->epoch;
    closed = 0;
    test_active = 10;

    kind = NGX_COMETA_PARCEL_DEVICE;
    memcpy(data, &kind, sizeof(kind));

    connection(&c, &read, &write);
    ok(ngx_cometa_fdpass_offer(2, epoch, &c, data, sizeof(data)) == NGX_OK,
       "an offer");

    kind = NGX_COMETA_PARCEL_OPENING;
    memcpy(data, &kind, sizeof(kind));
    s->generation = ngx_cometa_zone.slots[0].generation;

    connection(&c, &read, &write);
    ok(ngx_cometa_fdpass(2, epoch, &c, data, sizeof(data)) == NGX_OK
       && closed == 1, "and one that is handed over");

    end(&others[1]);
    ok(!ngx_cometa_slot_alive(2, epoch) && !lies_in(s),
       "lie in a door whose worker dies");
    ok(test_active == 9, "one connection less is counted");
}


static ngx_int_t
send_descriptor(ngx_cometa_slot_t *own, u_char *data, size_t len)
{
    ngx_connection_t  c = { .fd = 1 };

    return ngx_cometa_envelope_send(own->door[1], &c, data, len);
}


static void
test_receive(void)
{
    u_char              data[4] = { 'x', 'y', 0, 0 };
    uint32_t            kind;
    ngx_event_t         read, write;
    ngx_connection_t    c;
    ngx_cometa_slot_t  *own;

    own = &ngx_cometa_zone.slots[0];
    connection(&c, &read, &write);

    test_cycle.connection_n = 0;
    test_cycle.free_connection_n = 1;
    test_active = 10;
    answer = NGX_OK;

    (void) send_descriptor(own, data, 4);
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_OK && got_n == 1
       && got && got_len == 4, "a connection is taken out");
    ok(got && got->fd > 2 && got->read->ready && !got->read->active,
       "and is to be read");

    if (got) {
        (void) close(got->fd);
    }

    test_cycle.free_connection_n = 0;

    (void) send_descriptor(own, data, 4);
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_OK && got_n == 2
       && got == NULL && got_len == 4,
       "no connection is free: its handler is told");
    ok(test_active == 10 && ngx_cometa_fdpass_throttle.n == 0,
       "the sender keeps it: nothing is lost");

    /* offers leave some connections to those who come by themselves */

    test_cycle.connection_n = 32;
    test_cycle.free_connection_n = 1;
    kind = NGX_COMETA_PARCEL_DEVICE;
    (void) send_descriptor(own, (u_char *) &kind, sizeof(kind));
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_OK && got_n == 3
       && got == NULL, "an offer to one that is crowded is not taken");

    kind = NGX_COMETA_PARCEL_OPENING;
    (void) send_descriptor(own, (u_char *) &kind, sizeof(kind));
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_OK && got_n == 4
       && got != NULL, "what nobody keeps is taken as long as there is room");

    if (got) {
        (void) close(got->fd);
    }

    got_n = 2;
    test_cycle.free_connection_n = 0;
    answer = NGX_DECLINED;

    (void) send_descriptor(own, data, 4);
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_OK && got_n == 3
       && got == NULL && test_active == 9, "or else it is, and is counted");

    (void) !send(own->door[1], data, 4, 0);
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_OK && got_n == 4
       && got == NULL, "a parcel without a descriptor is the same");
    ok(ngx_cometa_fdpass_receive(own->door[0]) == NGX_AGAIN && got_n == 4,
       "then there is none");
}


int
main(void)
{
    zone_make(1024 * 1024, 1);

    ngx_event_actions.del_conn = forget;

    if (ngx_cometa_fdpass_open(&test_cycle, taken) != NGX_OK) {
        return 1;
    }

    start(&others[0]);
    start(&others[1]);

    test_whom();
    test_heir();
    test_offer();
    test_dies();
    test_crowd();
    test_receive();
    test_leaves();

    return done_testing();
}

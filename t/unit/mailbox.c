/*
 * Mailboxes and backlogs between processes: against a model over random
 * operations, what one of them leaves to others, and how often they wake each
 * other. The processes do one thing at a time, as they are told to.
 */

#define NGX_COMETA_BACKLOG_EVENTS   (64 * 1024)
#define NGX_COMETA_BACKLOG_ANSWERS  (128 * 1024)

#include "mailbox_world.h"
#include "mailbox_model.h"


#define STEPS    60000
#define KEEP     800            /* steps that one of them stands still */


typedef enum {
    OP_TELL,
    OP_ASK,
    OP_TURN,
    OP_RETRY,
    OP_SAY,
    OP_WATCH,
    OP_CLOSE
} op_e;

typedef struct {
    op_e      op;
    uint32_t  to;
    letter_t  letter;
    uint32_t  times;
} command_t;

typedef struct {
    ngx_int_t   rc;
    size_t      size;           /* of the backlog */
    ngx_msec_t  wait;           /* until the next try, 0: none */
    ngx_uint_t  warnings;
    ngx_uint_t  errors;
} answer_t;

typedef struct {
    pid_t  pid;
    int    fd;
} worker_t;


static void serve(int fd);
static void obey(command_t *c, answer_t *a);
static void start(uint32_t slot);
static void kill_worker(uint32_t slot);
static answer_t command(uint32_t slot, command_t c);
static answer_t say(uint32_t from, uint32_t to, ngx_uint_t class,
    ngx_uint_t app, size_t len, uint32_t times);
static answer_t order(uint32_t slot, op_e op);
static uint32_t random_below(uint32_t n);
static int same(uint32_t slot, answer_t *a);
static int one_step(uint32_t still);
static int random_letter(uint32_t from);
static int turn(uint32_t slot);
static void test_model(void);
static void test_bounds(void);
static void test_addressee(void);
static void test_log(void);
static void test_watch(void);
static void test_last_words(void);
static void test_wakeups(void);


static worker_t  workers[WORLD_SLOTS];
static uint32_t  seed = 20261126;
static uint32_t  letters;


int
main(void)
{
    void      (*tests[])(void) = { test_model, test_bounds, test_addressee,
                                   test_log, test_watch, test_last_words,
                                   test_wakeups };
    size_t    i;
    uint32_t  k;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        world_make(tests[i] == test_wakeups ? 65536 : 4096);
        model_make(world->head.ring_size);

        tests[i]();

        for (k = 0; k < WORLD_SLOTS; k++) {
            if (workers[k].pid) {
                kill_worker(k);
            }
        }
    }

    return done_testing();
}


/* The processes */

static void
start(uint32_t slot)
{
    int   fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == -1) {
        world_fail("socketpair");
    }

    workers[slot].pid = world_fork();

    if (workers[slot].pid == 0) {
        close(fds[1]);
        world_join();
        serve(fds[0]);
        _exit(0);
    }

    close(fds[0]);
    workers[slot].fd = fds[1];

    (void) order(slot, OP_TURN);
    model_join(slot);

    if (world->slots[slot].pid != (uint32_t) workers[slot].pid) {
        world_fail("another slot");
    }
}


static void
kill_worker(uint32_t slot)
{
    kill(workers[slot].pid, SIGKILL);
    waitpid(workers[slot].pid, NULL, 0);
    close(workers[slot].fd);
    workers[slot].pid = 0;
}


static void
serve(int fd)
{
    answer_t   a;
    command_t  c;

    while (read(fd, &c, sizeof(c)) == sizeof(c)) {
        memset(&a, 0, sizeof(a));
        obey(&c, &a);

        a.size = ngx_cometa_backlog_size();
        a.warnings = world_logged[NGX_LOG_WARN];
        a.errors = world_logged[NGX_LOG_ERR];

        if (ngx_cometa_mailbox_retry_event.timer_set) {
            a.wait = ngx_cometa_mailbox_retry_event.timer.key;
        }

        if (write(fd, &a, sizeof(a)) != sizeof(a)) {
            return;
        }
    }
}


static void
obey(command_t *c, answer_t *a)
{
    uint64_t  pos;

    switch (c->op) {

    case OP_TELL:
        while (c->times--) {
            world_tell(c->to, c->letter.id, c->letter.class, c->letter.app,
                       c->letter.len);
        }

        return;

    case OP_ASK:
        a->rc = ngx_cometa_mailbox_ask(c->to, world->slots[c->to].epoch,
                                       world_post(c->letter.id,
                                                  c->letter.class,
                                                  c->letter.app,
                                                  c->letter.len),
                                       &pos);
        return;

    case OP_TURN:
        a->rc = world_turn();
        return;

    case OP_RETRY:
        world_retry();
        return;

    case OP_SAY:
        if (ngx_cometa_backlog_throttle.timer.timer_set) {
            ngx_cometa_backlog_throttle.timer.timer_set = 0;
            ngx_cometa_throttle_timer(&ngx_cometa_backlog_throttle.timer);
        }

        return;

    case OP_WATCH:
        if (ngx_cometa_mailbox_look_event.timer_set) {
            ngx_cometa_mailbox_look_event.timer_set = 0;
            ngx_cometa_mailbox_look(&ngx_cometa_mailbox_look_event);
        }

        return;

    case OP_CLOSE:
        ngx_cometa_mailbox_close();
        ngx_cometa_throttle_flush();
        return;
    }
}


static answer_t
command(uint32_t slot, command_t c)
{
    answer_t  a;

    if (write(workers[slot].fd, &c, sizeof(c)) != sizeof(c)
        || read(workers[slot].fd, &a, sizeof(a)) != sizeof(a))
    {
        world_fail("worker");
    }

    return a;
}


static answer_t
say(uint32_t from, uint32_t to, ngx_uint_t class, ngx_uint_t app, size_t len,
    uint32_t times)
{
    command_t  c;

    memset(&c, 0, sizeof(c));
    c.op = OP_TELL;
    c.to = to;
    c.times = times;
    c.letter.id = ++letters;
    c.letter.class = class;
    c.letter.app = app;
    c.letter.len = len;

    return command(from, c);
}


static answer_t
order(uint32_t slot, op_e op)
{
    command_t  c;

    memset(&c, 0, sizeof(c));
    c.op = op;

    return command(slot, c);
}


/* The same in each run. */

static uint32_t
random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;

    return (seed >> 8) % n;
}


/* Against the model */

static void
test_model(void)
{
    int       good;
    uint32_t  i, still, n[4];

    for (i = 0; i < WORLD_SLOTS; i++) {
        start(i);
    }

    good = 1;
    still = 0;

    for (i = 0; i < STEPS && good; i++) {
        if (i % KEEP == 0) {
            still = random_below(WORLD_SLOTS + 2);
        }

        good = one_step(still);
    }

    ok(good, "%u random steps of %d processes are those of the model", i,
       WORLD_SLOTS);
    ok(!world->damaged, "all letters are whole");

    memset(n, 0, sizeof(n));

    for (i = 0; i < WORLD_SLOTS; i++) {
        n[0] += world->slots[i].delayed;
        n[1] += world->slots[i].refused;
        n[2] += world->slots[i].lost[NGX_COMETA_EVENTS];
        n[3] += world->slots[i].lost[NGX_COMETA_ANSWERS];
    }

    ok(n[0] > 1000 && n[1] > 100 && n[2] > 100 && n[3] > 10
       && model.deaths > 20,
       "among them %u letters that wait, %u refused, %u events lost, %u "
       "answers, %u deaths", n[0], n[1], n[2], n[3], model.deaths);
}


/* `still` does nothing for the time being, if there is one. */

static int
one_step(uint32_t still)
{
    uint32_t  slot;
    answer_t  a;

    slot = random_below(WORLD_SLOTS);

    if (workers[slot].pid == 0) {

        if (slot == model_free() && random_below(40) == 0) {
            start(slot);
        }

        return 1;
    }

    switch (random_below(300)) {

    case 0:
        kill_worker(slot);
        model_kill(slot);
        return 1;

    case 1 ... 40:
        return slot == still || turn(slot);

    case 41 ... 60:

        if (slot == still) {
            return 1;
        }

        a = order(slot, OP_RETRY);
        model_retry(slot);
        return same(slot, &a);

    default:
        return random_letter(slot);
    }
}


static int
random_letter(uint32_t from)
{
    uint32_t   kind;
    answer_t   a;
    ngx_int_t  rc;
    command_t  c;

    static const struct {
        op_e                op;
        ngx_cometa_class_e  class;
    } kinds[] = {
        { OP_TELL, NGX_COMETA_CLASS_EVENT },
        { OP_TELL, NGX_COMETA_CLASS_EVENT },
        { OP_TELL, NGX_COMETA_CLASS_EVENT },
        { OP_TELL, NGX_COMETA_CLASS_REPLY },
        { OP_TELL, NGX_COMETA_CLASS_ANSWER },
        { OP_TELL, NGX_COMETA_CLASS_ANSWER },
        { OP_ASK, NGX_COMETA_CLASS_ANSWER }
    };

    memset(&c, 0, sizeof(c));

    c.letter.id = ++letters;
    kind = random_below(7);
    c.op = kinds[kind].op;
    c.letter.class = kinds[kind].class;
    c.letter.app = random_below(2) ? 0 : random_below(WORLD_APPS + 1);
    c.letter.len = random_below(3) ? random_below(40) : random_below(2000);
    c.times = 1;

    do {
        c.to = random_below(WORLD_SLOTS);
    } while (c.to == from);

    a = command(from, c);

    if (c.op == OP_TELL) {
        model_tell(from, c.to, c.letter);
        return same(from, &a);
    }

    rc = model_ask(from, c.to, c.letter);

    if (rc != a.rc) {
        diag("asked %u: %d, the model says %d", c.to, (int) a.rc, (int) rc);
        return 0;
    }

    return same(from, &a);
}


/* What is in the ring is read, and the reader has been woken for it. */

static int
turn(uint32_t slot)
{
    uint32_t  i, n;
    answer_t  a;

    world->n[slot] = 0;
    n = model.slots[slot].n;

    a = order(slot, OP_TURN);

    if (n && !a.rc) {
        diag("%u letters lie in mailbox %u, and it sleeps", n, slot);
        return 0;
    }

    if (world->n[slot] != n) {
        diag("%u letters were read of %u", world->n[slot], n);
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (world->got[slot][i] != model.slots[slot].ids[i]) {
            diag("letter %u is not the expected one", i);
            return 0;
        }
    }

    model_read(slot);

    return 1;
}


static int
same(uint32_t slot, answer_t *a)
{
    uint32_t             i;
    model_slot_t        *m;
    ngx_cometa_slot_t   *s;

    if (a->size != model_size(slot) || a->wait != model.workers[slot].wait) {
        diag("backlog of %u: %zu bytes, next try in %zu ms; the model says "
             "%zu, %zu", slot, a->size, (size_t) a->wait, model_size(slot),
             (size_t) model.workers[slot].wait);
        return 0;
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        s = &world->slots[i];
        m = &model.slots[i];

        if (s->delayed != m->delayed || s->refused != m->refused
            || memcmp(s->lost, m->lost, sizeof(s->lost)) != 0
            || s->epoch != m->epoch || (s->pid != 0) != m->taken)
        {
            diag("slot %u is not as in the model", i);
            return 0;
        }
    }

    return 1;
}


/* What one may take leaves room to others */

static void
test_bounds(void)
{
    size_t                max;
    uint32_t              i;
    answer_t              a;
    ngx_cometa_slot_t    *s;

    for (i = 0; i < 3; i++) {
        start(i);
    }

    s = &world->slots[1];
    max = NGX_COMETA_BACKLOG_EVENTS + NGX_COMETA_BACKLOG_ANSWERS;

    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 0, 0, 100000);
    ok(s->lost[NGX_COMETA_EVENTS] > 90000 && s->lost[NGX_COMETA_ANSWERS] == 0,
       "a flood of empty events is lost for the most part");
    ok(a.size > NGX_COMETA_BACKLOG_EVENTS / 4
       && a.size <= NGX_COMETA_BACKLOG_EVENTS / 3,
       "a third of the room for events is taken by one application");

    memset(s->lost, 0, sizeof(s->lost));
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 1, 100, 1);
    a = say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 100);
    a = say(0, 1, NGX_COMETA_CLASS_REPLY, 1, 100, 100);
    ok(s->lost[0] + s->lost[1] == 0,
       "events of another one and answers of both still find room");

    a = say(0, 1, NGX_COMETA_CLASS_REPLY, 0, 500, 1000);
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 2, 0, 1000);
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 3, 0, 1000);
    ok(s->lost[NGX_COMETA_ANSWERS] > 0 && a.size < max,
       "answers are bounded as well");

    a = say(0, 2, NGX_COMETA_CLASS_EVENT, 0, 0, 60);
    a = say(0, 2, NGX_COMETA_CLASS_EVENT, 3, 0, 60);
    a = say(0, 2, NGX_COMETA_CLASS_REPLY, 3, 500, 20);
    s = &world->slots[2];
    ok(s->delayed > 0 && s->lost[NGX_COMETA_ANSWERS] == 0,
       "another addressee has room for answers");

    kill_worker(1);

    for (i = 0; i < 100 && a.size; i++) {
        a = order(0, OP_RETRY);
        (void) order(2, OP_TURN);
    }

    ok(a.size == 0, "what waits for one that has died is thrown away");
    ok(world->slots[1].pid == 0, "and its slot is vacated");
}


/* One that stands still does not take the room of all others */

static void
test_addressee(void)
{
    size_t      held;
    uint32_t    i;
    answer_t    a;

    for (i = 0; i < 3; i++) {
        start(i);
    }

    for (i = 0; i < WORLD_APPS; i++) {
        a = say(0, 1, NGX_COMETA_CLASS_EVENT, i, 0, 10000);
    }

    held = a.size;
    ok(held > NGX_COMETA_BACKLOG_EVENTS / 2
       && held <= NGX_COMETA_BACKLOG_EVENTS / 3 * 2,
       "floods of all applications leave a third to other addressees");

    for (i = 0; i < WORLD_APPS; i++) {
        a = say(0, 2, NGX_COMETA_CLASS_EVENT, i, 0, 10000);
    }

    ok(a.size > held && a.size < NGX_COMETA_BACKLOG_EVENTS,
       "of which those have a part");
}


static void
test_log(void)
{
    answer_t  a;

    start(0);
    start(1);

    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 0, 1000, 2);
    ok(a.warnings == 0, "nothing is full");
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 0, 1000, 1);
    ok(a.warnings == 1 && a.errors == 0, "the first that waits is logged");
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 0, 0, 10000);
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 1, 0, 10000);
    ok(a.warnings == 1 && a.errors == 0, "more of it is not, for a second");
    a = order(0, OP_SAY);
    ok(a.warnings == 2 && a.errors == 2, "then it is, for each application");
    a = order(0, OP_SAY);
    ok(a.warnings == 2 && a.errors == 2, "and no more if there is no more");
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 0, 1000, 1);
    ok(a.warnings == 2 && a.errors == 3, "the next one at once");
    a = say(0, 1, NGX_COMETA_CLASS_EVENT, 1, 1000, 1);
    ok(a.errors == 3, "another one within the second is not");
    a = order(0, OP_CLOSE);
    ok(a.errors == 4, "but it is when the process ends");
}


/* One that dies while it leaves has no successor that would find its slot */

static void
test_watch(void)
{
    uint32_t  i, epoch;

    start(0);
    start(1);
    epoch = world->slots[1].epoch;

    for (i = 0; i < 3; i++) {
        (void) order(0, OP_WATCH);
    }

    ok(world->slots[1].pid && world->slots[1].epoch == epoch,
       "who lives is left alone");

    kill_worker(1);
    (void) order(0, OP_WATCH);
    ok(world->slots[1].pid == 0 && world->slots[1].epoch == epoch + 1,
       "a death is found by others, also later on");
}


/* A worker has said something, and died */

static void
test_last_words(void)
{
    uint32_t  i;

    for (i = 0; i < 3; i++) {
        start(i);
    }

    (void) say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 3);
    kill_worker(0);
    start(0);

    /* a letter makes so much work that it is the only one in its turn */

    world->work = NGX_COMETA_WORK_ALL;
    world->n[1] = 0;
    memset(world->deaths, 0, sizeof(world->deaths));

    for (i = 0; i < 5; i++) {
        (void) order(1, OP_TURN);
    }

    world->work = 0;

    ok(world->n[1] == 3, "what it has said is read");
    ok(world->deaths[1] == 1 && world->before[1] == 3,
       "before its death is told, once: told %u times, after %u letters",
       world->deaths[1], world->before[1]);

    (void) order(2, OP_TURN);
    ok(world->deaths[2] == 1, "and to who had no letter");
}


/* Under load nobody is woken for what he is about to read anyway */

static void
test_wakeups(void)
{
    answer_t  a;

    start(0);
    start(1);

    while (order(1, OP_TURN).rc) { /* void */ }

    a = say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 100);
    ok(world_wakeups(1) == 1, "one wake-up for 100 letters");

    /* which this test has read: it is made again */

    ngx_cometa_zone_view(&world->head, &ngx_cometa_zone);
    ngx_cometa_slot_wake(1);
    world->n[1] = 0;
    (void) order(1, OP_TURN);
    ok(world->n[1] == 100, "all are read in one turn");

    a = say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 700);
    ok(world_wakeups(1) == 0, "none for more of them, the reader is awake");
    world->n[1] = 0;
    a = order(1, OP_TURN);
    ok(a.rc && world->n[1] == 512, "a turn has a bound");
    a = order(1, OP_TURN);
    ok(a.rc && world->n[1] == 700, "the next one goes on");
    a = order(1, OP_TURN);
    ok(a.rc && !order(1, OP_TURN).rc, "after one in vain it sleeps");

    a = say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 1);
    ok(world_wakeups(1) == 1, "it is woken for the next letter");
    ngx_cometa_slot_wake(1);
    (void) order(1, OP_TURN);
    a = order(1, OP_TURN);
    ok(a.rc == 0, "and sleeps at once after a single one");
    a = say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 1);
    ok(world_wakeups(1) == 1, "until the one after that");

    /* what has come meanwhile is seen before it sleeps */

    world->work = NGX_COMETA_WORK_ALL;
    ngx_cometa_slot_wake(1);
    a = say(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 0, 1);
    world->n[1] = 0;
    a = order(1, OP_TURN);
    ok(a.rc && world->n[1] == 1, "one letter can be all the work of a turn");
    a = order(1, OP_TURN);
    ok(a.rc && world->n[1] == 2, "a second one is read in the next");
}

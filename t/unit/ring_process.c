/*
 * The byte ring between processes: many producers at speed, and producers and
 * consumers that are killed anywhere.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cometa_ring.h"
#include "tap.h"


#define SIZE       16384
#define PRODUCERS  3
#define MESSAGES   1000000
#define KILLS      300
#define CALLS      64


typedef struct {
    uint32_t  producer;
    uint32_t  seq;
} head_t;

/* What the processes share, beside the area. */

typedef struct {
    pthread_mutex_t  mutex;
    uint64_t         orphaned;          /* locks whose owner died */
    uint64_t         pos[CALLS];        /* of call i */
    uint8_t          acted[CALLS];
    cometa_ring_t    ring;
} shared_t;


static shared_t  *sh;
static uint8_t   *area;


static void *share(size_t size);
static void start(void);
static void lock(void);
static void unlock(void);
static void produce(uint32_t producer, uint32_t n, size_t spread);
static int check(const uint8_t *msg, size_t len, uint32_t *next, size_t spread);
static size_t body_len(uint32_t seq, size_t spread);
static uint8_t body_byte(head_t head);
static pid_t spawn(void);
static int reap(pid_t pid);
static void pause_us(long us);
static void test_speed(void);
static void test_producer_killed(void);
static void test_producer_faults(void);
static void test_consumer_killed(void);
static void consume_calls(void);


int
main(void)
{
    sh = share(sizeof(shared_t));
    area = share(SIZE);

    test_speed();
    test_producer_killed();
    test_producer_faults();
    test_consumer_killed();

    return done_testing();
}


static void *
share(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        printf("Bail out! mmap: %s\n", strerror(errno));
        exit(1);
    }

    return p;
}


static void
start(void)
{
    pthread_mutexattr_t  attr;

    memset(sh, 0, sizeof(shared_t));
    cometa_ring_init(&sh->ring);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&sh->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
}


static void
lock(void)
{
    if (pthread_mutex_lock(&sh->mutex) == EOWNERDEAD) {
        pthread_mutex_consistent(&sh->mutex);
        sh->orphaned++;
    }
}


static void
unlock(void)
{
    pthread_mutex_unlock(&sh->mutex);
}


/* Puts messages 0 to n - 1; each tells by its bytes what it must be. */

static void
produce(uint32_t producer, uint32_t n, size_t spread)
{
    int       rc;
    size_t    len;
    head_t    head;
    uint8_t   body[4096];
    uint64_t  pos;

    head.producer = producer;

    for (head.seq = 0; head.seq < n; head.seq++) {
        len = body_len(head.seq, spread);
        memset(body, body_byte(head), len);

        for ( ;; ) {
            lock();
            rc = cometa_ring_put(&sh->ring, area, SIZE, 0, &head, sizeof(head),
                                 body, len, &pos);
            unlock();

            if (rc == 0) {
                break;
            }

            sched_yield();
        }
    }
}


/* Whether the message is the next one of its producer, to the last byte. */

static int
check(const uint8_t *msg, size_t len, uint32_t *next, size_t spread)
{
    size_t  i;
    head_t  head;

    if (len < sizeof(head)) {
        return 0;
    }

    memcpy(&head, msg, sizeof(head));

    if (head.producer >= PRODUCERS
        || head.seq != next[head.producer]
        || len != sizeof(head) + body_len(head.seq, spread))
    {
        return 0;
    }

    for (i = sizeof(head); i < len; i++) {
        if (msg[i] != body_byte(head)) {
            return 0;
        }
    }

    next[head.producer]++;

    return 1;
}


static size_t
body_len(uint32_t seq, size_t spread)
{
    return seq * 31 % spread;
}


static uint8_t
body_byte(head_t head)
{
    return head.seq * 3 + head.producer + 1;
}


static pid_t
spawn(void)
{
    pid_t  pid;

    pid = fork();

    if (pid == -1) {
        printf("Bail out! fork: %s\n", strerror(errno));
        exit(1);
    }

    if (pid == 0) {
        alarm(120);         /* never outlive a test that hangs */
    }

    return pid;
}


/* The signal that ended the child, 0 if it ended by itself with success. */

static int
reap(pid_t pid)
{
    int  status;

    if (waitpid(pid, &status, 0) != pid) {
        return -1;
    }

    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}


static void
pause_us(long us)
{
    struct timespec  ts = { 0, us * 1000 };

    nanosleep(&ts, NULL);
}


static void
test_speed(void)
{
    int        pass, ended;
    void      *msg;
    pid_t      pids[PRODUCERS];
    size_t     len;
    uint32_t   i, n, next[PRODUCERS] = { 0 }, share_of[PRODUCERS];

    start();

    for (i = 0; i < PRODUCERS; i++) {
        share_of[i] = MESSAGES / PRODUCERS + (i < MESSAGES % PRODUCERS);
        pids[i] = spawn();

        if (pids[i] == 0) {
            produce(i, share_of[i], 97);
            _exit(0);
        }
    }

    alarm(120);
    pass = 1;

    for (n = 0; n < MESSAGES && pass; /* void */ ) {
        msg = cometa_ring_get(&sh->ring, area, SIZE, &len);

        if (msg == NULL) {
            sched_yield();
            continue;
        }

        pass = check(msg, len, next, 97);
        cometa_ring_done(&sh->ring);
        n++;
    }

    ok(pass, "%u messages from %d processes, whole and in order", n, PRODUCERS);

    for (ended = 0, i = 0; i < PRODUCERS; i++) {
        if (!pass) {
            kill(pids[i], SIGKILL);
        }

        ended += reap(pids[i]) == 0 && next[i] == share_of[i];
    }

    alarm(0);

    ok(ended == PRODUCERS, "each producer's every message");
    ok(cometa_ring_used(&sh->ring) == 0, "none left");
}


/*
 * A producer that only puts is killed again and again. Whatever can be got
 * must be whole and in order, and the next producer must be able to go on.
 */

static void
test_producer_killed(void)
{
    int        i, pass, killed;
    void      *msg;
    pid_t      pid;
    size_t     len;
    uint32_t   next[PRODUCERS];
    uint64_t   total;

    start();

    pass = 1;
    killed = 0;
    total = 0;

    /* until chance has struck one that held the lock */

    for (i = 0; pass && (i < KILLS || !sh->orphaned) && i < 10 * KILLS; i++) {
        memset(next, 0, sizeof(next));
        pid = spawn();

        if (pid == 0) {
            produce(1, UINT32_MAX, 2000);
            _exit(0);
        }

        /* freed all at once, so that it is busy putting when it is killed */

        while (next[1] < 20 + (uint32_t) i % 50 && pass) {

            while ((msg = cometa_ring_get(&sh->ring, area, SIZE, &len))
                   && pass)
            {
                pass = check(msg, len, next, 2000);
            }

            cometa_ring_done(&sh->ring);
        }

        if (i % 2) {
            pause_us(i % 50);
        }

        kill(pid, SIGKILL);
        killed += reap(pid) == SIGKILL;

        while ((msg = cometa_ring_get(&sh->ring, area, SIZE, &len)) && pass) {
            pass = check(msg, len, next, 2000);
            cometa_ring_done(&sh->ring);
        }

        pass &= cometa_ring_used(&sh->ring) == 0;
        total += next[1];
    }

    lock();
    unlock();

    ok(pass && killed == i, "%d producers killed, %llu messages whole",
       killed, (unsigned long long) total);
    ok(sh->orphaned > 0, "%d of them with the lock held", (int) sh->orphaned);
}


/*
 * A producer that surely dies in the middle of its copy: the second half of
 * the body is memory that cannot be read.
 */

static void
test_producer_faults(void)
{
    int        i, died, pass;
    void      *msg;
    long       page;
    pid_t      pid;
    size_t     len;
    uint8_t   *body;
    uint32_t   next[PRODUCERS] = { 0 };
    uint64_t   pos, tail;

    start();

    page = sysconf(_SC_PAGESIZE);
    body = share(2 * page);
    mprotect(body + page, page, PROT_NONE);

    died = 0;
    pass = 1;

    for (i = 0; i < 40 && pass; i++) {
        tail = sh->ring.tail;
        pid = spawn();

        if (pid == 0) {
            signal(SIGSEGV, SIG_DFL);
            lock();
            cometa_ring_put(&sh->ring, area, SIZE, 0, "12345678", 8,
                            body + page - 1000, 2000, &pos);
            _exit(0);
        }

        died += reap(pid) == SIGSEGV;
        pass &= sh->ring.tail == tail && cometa_ring_empty(&sh->ring);

        /* a living one moves the ring on, so that fillers come in too */

        next[0] = 0;
        produce(0, 3, 800);

        while ((msg = cometa_ring_get(&sh->ring, area, SIZE, &len)) && pass) {
            pass = check(msg, len, next, 800);
            cometa_ring_done(&sh->ring);
        }

        pass &= next[0] == 3;
    }

    ok(died == 40, "%d producers died in the middle of a copy", died);
    ok(pass, "and left nothing behind");
    ok(sh->orphaned == 40, "but the lock, which the next one took over");
}


/*
 * A consumer is killed anywhere: what it acted on, and at most one message
 * more, is what `begun` says. Its successor goes on.
 */

static void
test_consumer_killed(void)
{
    int       i, pass, cut;
    pid_t     pid;
    uint32_t  n, acted, begun;

    start();

    pass = 1;
    cut = 0;

    for (i = 0; i < KILLS && pass; i++) {
        memset(sh->acted, 0, sizeof(sh->acted));

        pid = spawn();

        if (pid == 0) {
            consume_calls();
            _exit(0);
        }

        for (n = 0; n < CALLS; n++) {
            lock();
            pass &= cometa_ring_put(&sh->ring, area, SIZE, 0, &n, sizeof(n),
                                    NULL, 0, &sh->pos[n]) == 0;
            unlock();

            if (n == (uint32_t) i % CALLS) {
                pause_us(100 + i % 7 * 50);
                kill(pid, SIGKILL);
                pass &= reap(pid) == SIGKILL;
            }
        }

        for (acted = 0, begun = 0, n = 0; n < CALLS; n++) {
            acted += sh->acted[n];
            begun += cometa_ring_begun(&sh->ring) > sh->pos[n];
            pass &= sh->acted[n] <= (cometa_ring_begun(&sh->ring)
                                     > sh->pos[n]);
        }

        pass &= begun == acted || begun == acted + 1;
        cut += begun > 0 && begun < CALLS;

        cometa_ring_clear(&sh->ring);
        pass &= cometa_ring_used(&sh->ring) == 0;
    }

    ok(pass, "%d consumers killed, begun tells what they acted on", i);
    ok(cut > 0, "%d of them between two messages", cut);
}


static void
consume_calls(void)
{
    void      *msg;
    size_t     len;
    uint32_t   n;

    for ( ;; ) {
        msg = cometa_ring_get(&sh->ring, area, SIZE, &len);

        if (msg == NULL) {
            continue;
        }

        memcpy(&n, msg, sizeof(n));
        __atomic_store_n(&sh->acted[n], 1, __ATOMIC_RELEASE);
        cometa_ring_done(&sh->ring);
    }
}

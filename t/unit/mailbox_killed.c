/*
 * Slots and mailboxes when a process is killed: at each store into shared
 * memory, one after the other. The victim is stepped by ptrace, an instruction
 * at a time, until it has changed shared memory so many times; then it is
 * killed, and the survivors look at what is left.
 */

#define NGX_COMETA_BACKLOG_EVENTS   (64 * 1024)
#define NGX_COMETA_BACKLOG_ANSWERS  (128 * 1024)

#include "mailbox_world.h"

#include <sys/ptrace.h>


#define RING    4096
#define STEPS   1000000         /* of one victim, at most */
#define HASH    77              /* of an interest */
#define LETTERS 3


/*
 * What a victim does; what is prepared before it joins, and when it has; and
 * what must hold when it is dead.
 */

typedef struct {
    const char  *name;
    void       (*prepare)(void);
    void       (*joined)(void);
    void       (*act)(void);
    int        (*check)(void);
} case_t;


static void tell(void);
static int told(void);
static void post_letters(void);
static void read_letters(void);
static int read_or_not(void);
static void hold_slot(void);
static void kill_holder(void);
static void vacate(void);
static int vacated(void);
static void hold_and_die(void);
static void claim(void);
static int claimed(void);
static void interested(void);
static int forgotten(void);
static int victim(case_t *c, int stores);
static int step(pid_t pid, int stores);
static int changed(void);
static void remember(void);
static void restore(void);
static void run(void (*act)(void));
static int woken(void);


static case_t  cases[] = {
    { "a sender", NULL, NULL, tell, told },
    { "a reader", NULL, post_letters, read_letters, read_or_not },
    { "who vacates a slot", hold_slot, kill_holder, vacate, vacated },
    { "who claims a slot", hold_and_die, NULL, claim, claimed },
    { "who has interests", NULL, NULL, interested, forgotten }
};

static void     *shadow;        /* shared memory as it was a step ago */
static void     *clean;         /* and before all */
static void     *clean_rings;
static size_t    rings_size;

static uint64_t  pos[LETTERS];
static uint32_t  epoch;         /* of slot 1, when the victim was there */
static pid_t     holder;


int
main(void)
{
    int         stores, bad;
    ngx_uint_t  i;

    world_make(RING);
    world_join();                       /* slot 0 */

    while (world_turn()) { /* void */ }

    rings_size = WORLD_SLOTS * RING;
    shadow = malloc(sizeof(world_t) + rings_size);
    clean = malloc(sizeof(world_t));
    clean_rings = malloc(rings_size);

    memcpy(clean, world, sizeof(world_t));
    memcpy(clean_rings, ngx_cometa_zone.rings, rings_size);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bad = 0;

        for (stores = 0; victim(&cases[i], stores); stores++) {
            if (!cases[i].check()) {
                diag("wrong after %d stores", stores);
                bad++;
            }
        }

        ok(bad == 0, "%s is killed at each store", cases[i].name);
        ok(stores > 3, "which were %d", stores);
        ok(cases[i].check(), "and is not killed");
    }

    restore();
    free(shadow);
    free(clean);
    free(clean_rings);

    return done_testing();
}


/* 0: it was done before it had made so many stores. */

static int
victim(case_t *c, int stores)
{
    int    status, killed;
    pid_t  pid;

    restore();

    if (c->prepare) {
        c->prepare();
    }

    pid = world_fork();

    if (pid == 0) {
        if (c->act != claim) {
            world_join();
        }

        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        c->act();
        raise(SIGSTOP);
        _exit(0);
    }

    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
        world_fail("victim");
    }

    epoch = world->slots[1].epoch;

    if (c->joined) {
        c->joined();
    }

    killed = step(pid, stores);

    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);

    return killed;
}


static int
step(pid_t pid, int stores)
{
    int  i, n, status;

    remember();

    for (i = 0, n = 0; i < STEPS && n < stores; i++) {

        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == -1
            || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        {
            world_fail("step");
        }

        if (WSTOPSIG(status) == SIGSTOP) {
            return 0;
        }

        if (changed()) {
            n++;
            remember();
        }
    }

    return 1;
}


/*
 * What a victim may change: slots, the row of its interest, its notes and the
 * rings. It is looked at after each instruction, so it has to be little.
 */

static void
remember(void)
{
    memcpy(shadow, world, sizeof(world_t));
    memcpy(shadow + sizeof(world_t), ngx_cometa_zone.rings, 2 * RING);
}


static int
changed(void)
{
    world_t  *was;

    was = (world_t *) shadow;

    return memcmp(world, was, offsetof(world_t, interests)) != 0
           || world->interests[HASH] != was->interests[HASH]
           || memcmp(world->n, was->n, sizeof(world->n)) != 0
           || memcmp(world->got[1], was->got[1], 64) != 0
           || memcmp(ngx_cometa_zone.rings, shadow + sizeof(world_t),
                     2 * RING)
              != 0;
}


/* Only this process is there, with slot 0. */

static void
restore(void)
{
    uint32_t  i;

    memcpy(world, clean, sizeof(world_t));
    memcpy(ngx_cometa_zone.rings, clean_rings, rings_size);

    for (i = 0; i < WORLD_SLOTS; i++) {
        (void) world_wakeups(i);
    }

    ngx_cometa_mailbox_next.posted = 0;
    ngx_cometa_mailbox_seen = world->head.deaths;
}


/* In a process that joins for it and leaves again. */

static void
run(void (*act)(void))
{
    int    status;
    pid_t  pid;

    pid = world_fork();

    if (pid == 0) {
        world_join();
        act();
        _exit(0);
    }

    if (waitpid(pid, &status, 0) != pid || status != 0) {
        diag("the next process failed");
    }
}


static int
woken(void)
{
    struct pollfd  pfd;

    pfd.fd = world->slots[0].eventfd;
    pfd.events = POLLIN;

    return poll(&pfd, 1, 0) == 1;
}


/* A letter is there as a whole or not at all, and does not lie unnoticed. */

static void
tell(void)
{
    world_tell(0, 1, NGX_COMETA_CLASS_ANSWER, 0, 100);
}


static int
told(void)
{
    uint32_t  n;

    if (ngx_cometa_slot_alive(1, epoch) || !woken()) {
        return 0;
    }

    while (world_turn()) { /* void */ }

    n = world->n[0];

    if (n > 1 || world->damaged || (n && world->got[0][0] != 1)) {
        return 0;
    }

    /* and the next sender is understood */

    run(tell);

    while (world_turn()) { /* void */ }

    return world->n[0] == n + 1 && world->got[0][n] == 1 && !world->damaged;
}


/*
 * Of a reader that died `last_begun` tells what it has perhaps acted on:
 * nothing behind it, and of what lies before it all but the last one.
 */

static void
post_letters(void)
{
    uint32_t  i;

    for (i = 0; i < LETTERS; i++) {
        (void) ngx_cometa_mailbox_ask(1, epoch,
                                      world_post(i + 1,
                                                 NGX_COMETA_CLASS_ANSWER, 0,
                                                 50),
                                      &pos[i]);
    }
}


static void
read_letters(void)
{
    while (world_turn()) { /* void */ }
}


static int
read_or_not(void)
{
    uint32_t  i, begun;

    if (ngx_cometa_slot_alive(1, epoch)
        || world->slots[1].last_epoch != epoch)
    {
        return 0;
    }

    for (begun = 0, i = 0; i < LETTERS; i++) {
        begun += world->slots[1].last_begun > pos[i];
    }

    if (world->n[1] > begun || begun > world->n[1] + 1) {
        return 0;
    }

    for (i = 0; i < world->n[1]; i++) {
        if (world->got[1][i] != i + 1) {
            return 0;
        }
    }

    /* the next process in the slot has an empty mailbox */

    begun = world->n[1];
    run(read_letters);

    return world->slots[1].pid != 0 && world->n[1] == begun && !world->damaged;
}


/* Has slot 1 and an interest, and is killed when the victim has slot 2. */

static void
hold_slot(void)
{
    int  status;

    holder = world_fork();

    if (holder == 0) {
        world_join();
        interested();
        raise(SIGSTOP);
        _exit(0);
    }

    if (waitpid(holder, &status, WUNTRACED) != holder || !WIFSTOPPED(status)) {
        world_fail("holder");
    }
}


static void
kill_holder(void)
{
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);

    (void) world_wakeups(0);
}


static void
vacate(void)
{
    (void) ngx_cometa_slot_alive(1, world->slots[1].epoch);
}


static int
vacated(void)
{
    if (ngx_cometa_slot_alive(1, epoch)
        || ngx_cometa_slot_alive(1, world->slots[1].epoch)
        || world->slots[1].epoch == epoch
        || world->slots[1].pid != 0
        || world->interests[HASH] != 0
        || !woken())
    {
        return 0;
    }

    /* there is place for another one, which is heard */

    run(tell);

    while (world_turn()) { /* void */ }

    return world->n[0] == 1 && world->slots[1].pid != 0;
}


static void
hold_and_die(void)
{
    hold_slot();
    kill_holder();
}


static void
claim(void)
{
    ngx_pid = getpid();
    (void) ngx_cometa_slot_claim(&world->head, NULL);
}


static int
claimed(void)
{
    (void) ngx_cometa_slot_alive(1, world->slots[1].epoch);

    return vacated();
}


static void
interested(void)
{
    ngx_cometa_interest_add(HASH);
    ngx_cometa_interest_add(HASH);
    ngx_cometa_interest_remove(HASH);
    ngx_cometa_interest_remove(HASH);
    ngx_cometa_interest_add(HASH);
}


static int
forgotten(void)
{
    world->interests[HASH] |= 1;        /* of slot 0, which stays */

    return !ngx_cometa_slot_alive(1, epoch)
           && world->interests[HASH] == 1;
}

/*
 * The registry against a model: alone, with processes that die at each store,
 * and with several at once that are killed anywhere.
 */

#include "zone.h"

#include <sched.h>
#include <sys/socket.h>

#include "ngx_cometa_bound.c"
#include "ngx_cometa_record.c"
#include "ngx_cometa_registry.c"


#define DEVICES  2000               /* of a process, by number */
#define ROUNDS   20000


static uint64_t  sessions[DEVICES]; /* of this process, 0: not attached */
static uint32_t  records[DEVICES];
static uint8_t  *seen;              /* by record */
static char      prefix = 'p';


static int
find(int i, char of, ngx_cometa_place_t *place)
{
    u_char            id[16];
    ngx_cometa_key_t  key;

    ngx_str_set(&key.app, "app");
    key.device.data = id;
    key.device.len = sprintf((char *) id, "%c%d", of, i);
    ngx_cometa_key_init(&key);

    return ngx_cometa_registry_find(&key, place);
}


/* Whoever attaches may take over, as often as he likes. */

static ngx_cometa_takeover_t  takeover = { .wanted = 1 };


static int
attach(int i)
{
    int                 rc;
    u_char              id[16];
    ngx_cometa_key_t    key;
    ngx_cometa_place_t  place, old;

    ngx_str_set(&key.app, "app");
    key.device.data = id;
    key.device.len = sprintf((char *) id, "%c%d", prefix, i);
    ngx_cometa_key_init(&key);

    rc = ngx_cometa_registry_attach(&key, i, &takeover, &place, &old);

    if (rc == NGX_OK) {

        /* whom it took over is counted no more */

        if (old.session && prefix != 'k') {
            ngx_cometa_gauge_add(place.app, devices, -1);
        }

        sessions[i] = place.session;
        records[i] = place.record;
    }

    return rc;
}


static void
detach(int i)
{
    ngx_cometa_registry_detach(records[i], sessions[i]);
    ngx_cometa_gauge_add(0, devices, -1);
    sessions[i] = 0;
}


static int
attached(void)
{
    int  i, n;

    for (i = 0, n = 0; i < DEVICES; i++) {
        n += sessions[i] != 0;
    }

    return n;
}


/* Whether all that the model has is there, and no more; else prints why. */

static int
agrees(void)
{
    int                 i, rc;
    ngx_cometa_place_t  place;

    for (i = 0; i < DEVICES; i++) {
        rc = find(i, prefix, &place);

        if ((rc == NGX_OK) != (sessions[i] != 0)
            || (rc == NGX_OK && (place.session != sessions[i]
                                 || place.handle != (uint32_t) i
                                 || place.slot != ngx_cometa_zone.slot)))
        {
            diag("device %d: found %d, session in the model %llu", i, rc,
                 (unsigned long long) sessions[i]);
            return 0;
        }
    }

    return 1;
}


static int
see(uint32_t i)
{
    if (i == 0 || i > ngx_cometa_zone.head->records || seen[i]) {
        diag("record %u stands in two chains, or is none", i);
        return 0;
    }

    seen[i] = 1;

    return 1;
}


/*
 * Walks over all chains. Returns how many of the records given to shards are
 * in none of them; -1 if the chains are not whole.
 */

static int
lost(void)
{
    uint32_t             b, i, n, total, carved;
    ngx_cometa_shard_t  *shard;

    memset(seen, 0, ngx_cometa_zone.head->records + 1);
    n = 0;

    for (b = 0; b < ngx_cometa_zone.head->shards; b++) {
        shard = &ngx_cometa_zone.shards[b];

        ngx_cometa_shard_enter(shard);
        ngx_cometa_unlock(&shard->lock);

        if (shard->moving) {
            diag("record %u is still moving", shard->moving);
            return -1;
        }

        for (i = shard->free; i; i = ngx_cometa_record(i)->next, n++) {
            if (!see(i)) {
                return -1;
            }
        }

        for (i = ngx_cometa_fresh(shard); i < ngx_cometa_fresh_end(shard);
             i++, n++)
        {
            if (!see(i + 1)) {
                return -1;
            }
        }
    }

    total = ngx_cometa_zone.head->shards * ngx_cometa_zone.head->buckets;

    for (b = 0; b < total; b++) {
        for (i = ngx_cometa_zone.buckets[b];
             i;
             i = ngx_cometa_record(i)->next, n++)
        {
            if (!see(i)) {
                return -1;
            }

            if (ngx_cometa_record_bucket(i) != &ngx_cometa_zone.buckets[b]) {
                diag("record %u stands in a foreign bucket", i);
                return -1;
            }
        }
    }

    carved = ngx_min(ngx_cometa_zone.head->carved,
                     ngx_cometa_zone.head->records);

    return carved - n;
}


/* Up to `n` devices of this process in the zone, at random. */

static void
churn(int rounds, int n)
{
    int  i, r, now;

    now = attached();

    for (r = 0; r < rounds; r++) {
        i = rand() % DEVICES;

        if (sessions[i] && (now > n || rand() % 2)) {
            detach(i);
            now--;

        } else if (now < n) {
            now += sessions[i] == 0;

            if (attach(i) != NGX_OK) {
                now = attached();
            }
        }
    }
}


static void
clear(void)
{
    int  i;

    for (i = 0; i < DEVICES; i++) {
        if (sessions[i]) {
            detach(i);
        }
    }
}


/* Several shards, as a large zone has; few records, as a small one has. */

static void
zone_of(uint32_t shards, uint32_t records_n)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    zone_make(4 * 1024 * 1024, 1);

    head = ngx_cometa_zone.head;

    head->records = records_n;
    head->buckets = head->buckets * head->shards / shards;
    head->shards = shards;

    zone_again();

    memset(ngx_cometa_zone.shards, 0,
           (u_char *) &ngx_cometa_zone.records[records_n]
           - (u_char *) ngx_cometa_zone.shards);

    for (i = 0; i < shards; i++) {
        (void) ngx_cometa_mutex_init(&ngx_cometa_zone.shards[i].lock);
    }

    memset(sessions, 0, sizeof(sessions));
    seen = ngx_pcalloc(NULL, head->records + 1);
}


static void
test_model(void)
{
    uint64_t  before;

    zone_of(4, 1000);
    churn(ROUNDS, 900);

    ok(agrees(), "after %d random operations all is as in the model", ROUNDS);
    ok(ngx_cometa_bound_count(0) == (uint32_t) attached(),
       "as many devices are counted");
    ok(lost() == 0, "no record is lost");

    (void) attach(1);
    before = sessions[1];
    (void) attach(1);
    ngx_cometa_registry_detach(records[1], before);
    ok(agrees(), "a device that was taken over does not take out the other");

    clear();
    ok(agrees() && lost() == 0, "all have left");
}


/* The records of one shard go to others: all of them can be had. */

static void
test_borrow(void)
{
    int                  i, n;
    ngx_cometa_gauges_t  g;

    zone_of(4, 1000);

    for (i = 0, n = 0; i < DEVICES; i++) {
        n += attach(i) == NGX_OK;
    }

    ngx_cometa_stats_gauges(0, &g);
    ok(g.devices == 1000, "those that were refused are not counted");

    ok(n == 1000, "all %d of 1000 records are used", n);
    ok(agrees() && lost() == 0, "and as in the model");

    clear();

    for (i = DEVICES, n = 0; i-- > 0; /* void */) {
        n += attach(i) == NGX_OK;
    }

    ok(n == 1000, "and %d when others come, in other shards", n);
    ok(agrees() && lost() == 0, "as in the model");
}


/* What the process that dies does: its devices begin with another letter. */

static void
prepare_none(void)
{
    prefix = 'k';
}


static void
prepare_one(void)
{
    prefix = 'k';
    attach(1);
}


static void
operate_attach(void)
{
    attach(1);
}


static void
operate_detach(void)
{
    ngx_cometa_registry_detach(records[1], sessions[1]);
}


/* Takes a device over from the one who checks: it is gone when this dies. */

static void
operate_takeover(void)
{
    prefix = 'p';
    attach(1);
}


/* `setup`: before each of them, or NULL; `at_once`: devices that go on. */

static void
deaths(const char *name, void (*setup)(void), void (*prepare)(void),
    void (*operation)(void), int allowed, int at_once)
{
    int                 k, n, before, bad, most;
    ngx_cometa_place_t  place;

    bad = 0;
    most = 0;
    n = 0;

    for (k = 1; ; k++) {
        if (setup) {
            setup();
        }

        before = lost();

        if (!dies_at(k, prepare, operation)) {
            break;
        }

        /* he has taken it over, or was about to */

        if (operation == operate_takeover
            && find(1, 'p', &place) == NGX_DECLINED)
        {
            ngx_cometa_gauge_add(0, devices, -1);
            sessions[1] = 0;
        }

        churn(100, at_once);

        n = lost();
        most = ngx_max(most, n - before);

        if (n == -1 || n - before > allowed || !agrees()
            || find(1, 'k', &place) != NGX_DECLINED)
        {
            diag("%s, killed before store %d: %d records lost", name, k,
                 n - before);
            bad++;
        }

        if (operation == operate_takeover && sessions[1] == 0) {
            attach(1);
        }
    }

    ok(k > 5, "%s: %d stores", name, k - 1);
    ok(bad == 0, "%s: killed before each of them, all goes on", name);
    ok(most == allowed, "%s: at most %d records are lost", name, most);
}


/* Nothing was used yet. */

static void
setup_fresh(void)
{
    ngx_str_t  app = ngx_string("app");

    zone_of(1, 1000);
    (void) ngx_cometa_app_hold(&app, 1, holds);
}


/* The shard of the device has no record, others have. */

static void
setup_borrow(void)
{
    int                  i;
    ngx_cometa_key_t     key;
    ngx_cometa_shard_t  *shard;

    prefix = 'p';
    zone_of(4, 1000);

    for (i = 0; i < DEVICES; i++) {
        attach(i);
    }

    ngx_str_set(&key.app, "app");
    ngx_str_set(&key.device, "k1");
    ngx_cometa_key_init(&key);

    shard = ngx_cometa_bucket_shard(ngx_cometa_bucket((uint32_t) key.hash));

    for (i = 0; i < DEVICES; i++) {
        if (sessions[i] && i % 8 == 0
            && ngx_cometa_bucket_shard(ngx_cometa_record_bucket(records[i]
                                                                + 1))
               != shard)
        {
            detach(i);
        }
    }

    if (shard->free || ngx_cometa_fresh(shard) < ngx_cometa_fresh_end(shard)) {
        printf("Bail out! the shard has records\n");
        exit(1);
    }
}


/* The same, and those others are records that were never used. */

static void
setup_borrow_fresh(void)
{
    int                  i;
    ngx_cometa_shard_t  *other;

    setup_borrow();

    for (i = 0; i < 4; i++) {
        other = &ngx_cometa_zone.shards[i];

        if (other->free) {
            other->fresh = (uint64_t) other->free << 32 | (other->free - 1);
            other->free = ngx_cometa_record(other->free)->next;
        }
    }
}


static void
test_deaths(void)
{
    int                  n;
    ngx_cometa_gauges_t  g;

    /* of what was used and left there are records in each shard */

    zone_of(4, 1000);
    churn(2000, 500);
    deaths("an attach", NULL, prepare_none, operate_attach, 0, 400);
    deaths("a detach", NULL, prepare_one, operate_detach, 0, 400);

    attach(1);
    deaths("a takeover", NULL, prepare_none, operate_takeover, 0, 400);

    ngx_cometa_stats_gauges(0, &g);
    ok((int) g.devices == attached(), "%d devices are counted, of %d",
       (int) g.devices, attached());

    /* those who died between the two steps of a takeover */

    n = ngx_cometa_bound_count(0) - attached();
    ok(n >= 0 && n <= 2, "and %d too many for the bound", n);

    deaths("an attach that takes from the zone", setup_fresh, prepare_none,
           operate_attach, NGX_COMETA_CARVE, 0);
    deaths("an attach that borrows", setup_borrow, prepare_none,
           operate_attach, 1, DEVICES);
    deaths("an attach that borrows what was never used", setup_borrow_fresh,
           prepare_none, operate_attach, 1, DEVICES);
}


/* Another worker, which devices move from and to; it lives until killed. */

static struct {
    pid_t     pid;
    int       talk[2];
    uint32_t  slot;
    uint32_t  epoch;
} other;


/* What it is asked for: numbers of devices, then it says how many it moved. */

static void
other_serve(uint32_t slot, uint32_t epoch)
{
    int  i, n;

    for (n = 0; read(other.talk[0], &i, sizeof(i)) == sizeof(i); /* void */) {

        if (i == -1) {
            (void) !write(other.talk[0], &n, sizeof(n));
            n = 0;
            continue;
        }

        n += ngx_cometa_registry_move(records[i], sessions[i], slot, epoch,
                                      DEVICES + i) == NGX_OK;
    }
}


static void
other_start(void)
{
    uint32_t  slot, epoch;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, other.talk) != 0) {
        exit(1);
    }

    slot = ngx_cometa_zone.slot;
    epoch = ngx_cometa_zone.epoch;

    fflush(stdout);
    other.pid = fork();

    if (other.pid == 0) {
        (void) close(other.talk[1]);
        zone_join();
        (void) !write(other.talk[0], &ngx_cometa_zone.slot, sizeof(uint32_t));
        (void) !write(other.talk[0], &ngx_cometa_zone.epoch,
                      sizeof(uint32_t));
        other_serve(slot, epoch);
        _exit(0);
    }

    (void) close(other.talk[0]);
    (void) !read(other.talk[1], &other.slot, sizeof(uint32_t));
    (void) !read(other.talk[1], &other.epoch, sizeof(uint32_t));
}


static void
other_end(void)
{
    (void) kill(other.pid, SIGKILL);
    (void) waitpid(other.pid, NULL, 0);
    (void) close(other.talk[1]);
}


/* Lets the other one move these; returns how many it had to refuse. */

static int
move_all(int *devices, int n)
{
    int  end, moved;

    end = -1;
    moved = -1;

    (void) !write(other.talk[1], devices, n * sizeof(int));
    (void) !write(other.talk[1], &end, sizeof(int));
    (void) !read(other.talk[1], &moved, sizeof(int));

    return n - moved;
}


/* Whether a device stands where the model has it: here, or at the other one. */

static int
stands(int i, int moved)
{
    ngx_cometa_place_t  place;

    if (find(i, prefix, &place) != NGX_OK || place.session != sessions[i]) {
        diag("device %d is not found", i);
        return 0;
    }

    if (moved) {
        return place.slot == other.slot && place.epoch == other.epoch
               && place.handle == (uint32_t) (DEVICES + i)
               && !ngx_cometa_registry_here(records[i], sessions[i])
               && !ngx_cometa_registry_held(records[i], sessions[i]);
    }

    return place.slot == ngx_cometa_zone.slot
           && place.epoch == ngx_cometa_zone.epoch
           && place.handle == (uint32_t) i
           && ngx_cometa_registry_here(records[i], sessions[i])
           && ngx_cometa_registry_held(records[i], sessions[i]);
}


static int
stand(void)
{
    int  i, good;

    for (i = 0, good = 1; i < DEVICES; i++) {
        if (sessions[i]) {
            good &= stands(i, i % 3 == 0);
        }
    }

    return good;
}


/* Every third one moves; those that others took over or that left do not. */

static void
test_move(void)
{
    int                 i, n, refused, devices[DEVICES];
    uint32_t            record;
    uint64_t            session;
    ngx_cometa_place_t  place;

    prefix = 'p';
    zone_of(4, 1000);
    churn(ROUNDS, 900);

    for (i = 0, n = 0; i < DEVICES; i += 3) {
        if (sessions[i]) {
            devices[n++] = i;
        }
    }

    other_start();
    refused = move_all(devices, n);

    ok(refused == 0, "%d devices move to another worker", n);
    ok(stand(), "they are there with their sessions, the others here");
    ok(lost() == 0, "no record is lost");
    ok(move_all(devices, n) == n, "they are no more where they were");

    /* a session that is over: another one came, or none */

    i = devices[0];
    session = sessions[i];
    record = records[i];
    (void) attach(i);
    ok(!ngx_cometa_registry_held(record, session)
       && ngx_cometa_registry_held(records[i], sessions[i]),
       "an attach here takes one back over");
    ok(ngx_cometa_registry_move(record, session, ngx_cometa_zone.slot,
                                ngx_cometa_zone.epoch, 1) == NGX_DECLINED
       && find(i, 'p', &place) == NGX_OK && place.handle == (uint32_t) i,
       "the earlier session does not move");

    session = sessions[i];
    detach(i);
    ok(ngx_cometa_registry_move(record, session, ngx_cometa_zone.slot,
                                ngx_cometa_zone.epoch, 1) == NGX_DECLINED
       && !ngx_cometa_registry_held(record, session)
       && find(i, 'p', &place) == NGX_DECLINED,
       "nor does one that has left");

    /* with the worker that they moved to they go */

    for (i = 0; i < n; i++) {
        ngx_cometa_gauge_add(0, devices, sessions[devices[i]] ? -1 : 0);
        sessions[devices[i]] = 0;
    }

    other_end();

    ok(agrees() && lost() == 0, "those that moved end with their worker");
    clear();
}


/* Takes a device of the one who checks, in slot 0 and its first epoch. */

static void
operate_move(void)
{
    (void) ngx_cometa_registry_move(records[1], sessions[1], 0, 1, 7);
}


/* It moves to a process that dies meanwhile: it stays, or is nowhere. */

static void
test_move_deaths(void)
{
    int                 k, bad, stayed, held;
    ngx_cometa_place_t  place;

    zone_of(4, 1000);
    churn(2000, 500);

    bad = (ngx_cometa_zone.slot != 0 || ngx_cometa_zone.epoch != 1);
    stayed = 0;

    for (k = 1; ; k++) {
        if (sessions[1] == 0) {
            attach(1);
        }

        /* who has its slot after it has an epoch of the same number as ours */

        ngx_cometa_zone.slots[1].epoch = ngx_cometa_zone.epoch - 1;

        if (!dies_at(k, prepare_none, operate_move)) {
            break;
        }

        other_start();
        held = ngx_cometa_registry_held(records[1], sessions[1]);

        if ((find(1, 'p', &place) == NGX_OK) != held) {
            diag("killed before store %d: it is%s held here", k,
                 held ? "" : " not");
            bad++;
        }

        other_end();
        (void) ngx_cometa_slot_alive(1, ngx_cometa_zone.slots[1].epoch);

        stayed += held;

        if (!held) {
            sessions[1] = 0;
            ngx_cometa_gauge_add(0, devices, -1);
        }

        churn(100, 400);

        if (lost() != 0 || !agrees()) {
            diag("killed before store %d", k);
            bad++;
        }
    }

    ok(k > 5, "a move: %d stores", k - 1);
    ok(bad == 0, "killed before each of them, it is here or nowhere");
    ok(stayed > 1 && stayed < k - 1, "it stays %d times", stayed);

    /* the last one ended by itself, and took it along */

    sessions[1] = 0;
    ngx_cometa_gauge_add(0, devices, -1);
    clear();
}


/* A process of several at once. */

static void
work(int no)
{
    zone_join();
    srand(no);
    prefix = 'a' + no % 16;
    memset(sessions, 0, sizeof(sessions));

    for ( ;; ) {
        churn(500, 400);

        if (!agrees()) {
            _exit(1);
        }
    }
}


static void
test_processes(void)
{
    int                  i, n, status, failed;
    pid_t                pids[3], pid;
    ngx_cometa_gauges_t  g;

    zone_of(4, 1000);

    failed = 0;
    memset(pids, 0, sizeof(pids));

    for (n = 0; n < 150; n++) {
        i = n % 3;

        if (pids[i]) {
            (void) kill(pids[i], SIGKILL);
            (void) waitpid(pids[i], &status, 0);
            failed += !WIFSIGNALED(status);
        }

        fflush(stdout);
        pid = fork();

        if (pid == 0) {
            work(n);
        }

        pids[i] = pid;
        usleep(1000 + rand() % 15000);
    }

    for (i = 0; i < 3; i++) {
        (void) kill(pids[i], SIGKILL);
        (void) waitpid(pids[i], &status, 0);
        failed += !WIFSIGNALED(status);
    }

    ok(failed == 0, "150 processes, 3 at once, each killed: each had what it "
       "attached");

    n = lost();
    ok(n >= 0 && n <= 150 * NGX_COMETA_CARVE, "the chains are whole, %d "
       "records are lost", n);

    ngx_cometa_stats_gauges(0, &g);
    ok(g.devices == 0, "no device is counted");

    prefix = 'p';
    memset(sessions, 0, sizeof(sessions));

    for (i = 0; i < DEVICES; i++) {
        attach(i);
    }

    /* what dead ones left is swept a few buckets at a time */

    for (n = 0; n < 200 && attached() + lost() < 1000; n++) {
        for (i = 0; i < DEVICES; i++) {
            if (sessions[i] == 0) {
                attach(i);
            }
        }
    }

    ok(attached() + lost() == 1000, "%d records are used again", attached());
}


static void
test_sessions(void)
{
    uint64_t        a, b, c, now;
    struct timeval  tv;

    zone_of(1, 100);

    (void) gettimeofday(&tv, NULL);
    now = (uint64_t) tv.tv_sec << 20;

    a = ngx_cometa_registry_session();
    b = ngx_cometa_registry_session();

    ok(a >= now && b > a && b < ((uint64_t) 1 << 53),
       "a session is of this second, the next one is greater");

    /* a clock that was set back, and one of another server in between */

    ngx_cometa_zone.head->session = now + ((uint64_t) 100 << 20);
    c = ngx_cometa_registry_session();
    ok(c == now + ((uint64_t) 100 << 20) + 1, "the clock is behind: one more");

    ngx_cometa_zone.head->session = now - ((uint64_t) 100 << 20);
    c = ngx_cometa_registry_session();
    ok(c > b, "few attaches here and many elsewhere: still greater");
}


/* Whoever is refused holds nothing, of whatever kind the refusal is. */

static void
test_refusals(void)
{
    int                  rc;
    ngx_cometa_gauges_t  g;

    zone_of(1, 100);

    (void) attach(1);

    takeover.wanted = 0;
    rc = attach(1);
    ngx_cometa_stats_gauges(0, &g);
    ok(rc == NGX_DECLINED && g.devices == 1,
       "a takeover that is not wanted is not counted");

    takeover.wanted = 1;
    takeover.limit = 1;

    (void) attach(1);
    rc = attach(1);
    ngx_cometa_stats_gauges(0, &g);
    ok(rc == NGX_AGAIN && g.devices == 1 && takeover.wait > 0,
       "nor is one that is delayed");

    takeover.limit = 0;
}


/* A device that was taken is counted once, whatever its old worker knows. */

static void
test_taken(void)
{
    int                  i;
    uint32_t             slot, epoch;
    ngx_cometa_gauges_t  g;

    zone_of(4, 100);
    slot = ngx_cometa_zone.slot;
    epoch = ngx_cometa_zone.epoch;

    for (i = 0; i < 3; i++) {
        (void) attach(i);
    }

    other_start();
    i = 1;
    (void) move_all(&i, 1);

    ngx_cometa_stats_gauges(0, &g);
    ok(ngx_cometa_slot_devices_of(slot, 0) == 2 && g.devices == 3,
       "one of three devices was taken: there are three, not four");
    ok(ngx_cometa_stats_taken(0, slot, epoch, -1) == NGX_OK,
       "its old worker hears of it");
    ngx_cometa_gauge_add(0, devices, -1);
    ok(ngx_cometa_slot_devices_of(slot, 0) == 2
       && ngx_cometa_stats_taken(0, slot, epoch, -1) == NGX_DECLINED,
       "once");

    (void) ngx_cometa_stats_taken(0, slot, epoch - 1, 1);
    ngx_cometa_stats_gauges(0, &g);
    ok(g.devices == 3, "one taken from a process that has ended: no matter");

    (void) ngx_cometa_stats_taken(0, slot, epoch, 1);
    ok(ngx_cometa_stats_taken(0, slot, epoch - 1, 1) == NGX_DECLINED
       && ngx_cometa_slot_devices_of(slot, 0) == 1,
       "nor does that undo what counts");

    other_end();
}


/* How many devices an application may have. */

static void
test_bound(void)
{
    int                  i, rc;
    ngx_cometa_gauges_t  g;

    zone_of(4, 100);
    takeover.bounded = 1;
    takeover.max = 0;

    ok(attach(1) == NGX_ABORT, "none");

    takeover.max = 3;

    for (i = 1, rc = 0; i <= 3; i++) {
        rc |= attach(i);
    }

    ok(rc == NGX_OK && attach(4) == NGX_ABORT && attach(5) == NGX_ABORT,
       "three are let in, others are not");
    ngx_cometa_stats_gauges(0, &g);
    ok(g.devices == 3 && ngx_cometa_bound_count(0) == 3,
       "those that were refused are not counted");

    ok(attach(2) == NGX_OK && ngx_cometa_bound_count(0) == 3
       && attach(4) == NGX_ABORT, "a takeover is not one more");

    other_start();
    i = 1;
    (void) move_all(&i, 1);
    ok(ngx_cometa_bound_count(0) == 3 && attach(4) == NGX_ABORT,
       "nor is a move to another worker");
    ok(attach(1) == NGX_OK && ngx_cometa_bound_count(0) == 3,
       "nor a takeover from there");

    i = 3;
    (void) move_all(&i, 1);
    other_end();
    ok(ngx_cometa_bound_count(0) == 2 && attach(4) == NGX_OK
       && attach(5) == NGX_ABORT, "the worker was killed: there is one less");

    sessions[3] = 0;
    detach(4);
    ok(attach(5) == NGX_OK && attach(3) == NGX_ABORT, "one has left");

    takeover.bounded = 0;
    ok(attach(6) == NGX_OK && ngx_cometa_bound_count(0) == 4,
       "without a bound it is counted, too");

    /* the earlier epoch of a slot does not matter */

    i = ngx_cometa_zone.slot;
    ngx_cometa_bound_leave(0, i, ngx_cometa_zone.epoch - 1);
    ok(ngx_cometa_bound_count(0) == 4, "one that left an earlier process");

    clear();
    ok(ngx_cometa_bound_count(0) == 0, "all have left");
}


/*
 * Takes devices over from the others, and comes and goes, with sessions that
 * end in between: at the mark it stops, keeps what it has, and waits.
 */

static void
crowd(int no, volatile int *mark)
{
    int  i, rounds;

    zone_join();
    srand(no);
    prefix = 'k';
    memset(sessions, 0, sizeof(sessions));

    for (rounds = 0; !*mark || rounds < 100; rounds++) {
        i = rand() % 120;

        if (sessions[i] && rand() % 2) {
            detach(i);

        } else {
            (void) attach(i);
        }
    }

    (void) __atomic_add_fetch(mark, 1, __ATOMIC_SEQ_CST);

    for ( ;; ) {
        pause();
    }
}


static int
in_zone(void)
{
    static ngx_cometa_id_t  ids[NGX_COMETA_WALK_MAX];

    int       n;
    uint32_t  cursor;

    n = 0;
    cursor = 0;

    while (cursor != NGX_COMETA_NONE) {
        n += ngx_cometa_registry_walk(0, &cursor, ids);
    }

    return n;
}


static void
test_crowds(void)
{
    int            i, k, n;
    pid_t          pids[4];
    volatile int  *mark;

    zone_of(4, 1000);
    mark = share(getpagesize());
    takeover.bounded = 1;
    takeover.max = 100;

    for (k = 0; k < 4; k++) {
        fflush(stdout);
        pids[k] = fork();

        if (pids[k] == 0) {
            crowd(k, mark);
        }
    }

    usleep(200000);
    *mark = 1;

    for (i = 0; *mark < 5 && i < 10000; i++) {
        usleep(1000);
    }

    n = ngx_cometa_bound_count(0);
    ok(*mark == 5 && n == in_zone() && n <= 100,
       "four processes: %d are counted, of %d", n, in_zone());

    for (k = 0; k < 4; k++) {
        (void) kill(pids[k], SIGKILL);
        (void) waitpid(pids[k], NULL, 0);

        n = ngx_cometa_bound_count(0);
        ok(n == in_zone(), "%d are counted after one was killed, of %d", n,
           in_zone());
    }

    for (i = 0, n = 0; i < 200; i++) {
        n += attach(i) == NGX_OK;
    }

    ok(n == 100, "%d come into the places of the dead", n);

    takeover.bounded = 0;
    clear();
}


/* What those who race share; who is there waits for the others. */

typedef struct {
    volatile int  round;
    volatile int  done;
    volatile int  in;
} race_t;


static void
race(race_t *r, int no)
{
    int  i, round, in;

    zone_join();
    prefix = 'a' + no;
    memset(sessions, 0, sizeof(sessions));

    for (round = 1; ; round++) {

        for (i = 0; r->round != round; i++) {
            if (i > 100000) {
                (void) sched_yield();
            }
        }

        for (i = 0, in = 0; i < 50; i++) {
            in += attach(i) == NGX_OK;
        }

        (void) __atomic_add_fetch(&r->in, in, __ATOMIC_SEQ_CST);
        (void) __atomic_add_fetch(&r->done, 1, __ATOMIC_SEQ_CST);

        while (r->round != -round) {
            (void) sched_yield();
        }

        clear();
        (void) __atomic_add_fetch(&r->done, 1, __ATOMIC_SEQ_CST);
    }
}


/* Two processes want the last place at once: one gets it, again and again. */

static void
test_races(void)
{
    int      k, bad, round;
    pid_t    pids[2];
    race_t  *r;

    zone_of(4, 1000);
    r = share(getpagesize());
    takeover.bounded = 1;
    takeover.max = 60;

    for (k = 0; k < 2; k++) {
        fflush(stdout);
        pids[k] = fork();

        if (pids[k] == 0) {
            race(r, k);
        }
    }

    for (round = 1, bad = 0; round <= 500; round++) {
        r->in = 0;
        r->done = 0;
        r->round = round;

        while (r->done != 2) {
            (void) sched_yield();
        }

        bad += r->in != 60;
        r->done = 0;
        r->round = -round;

        while (r->done != 2) {
            (void) sched_yield();
        }
    }

    ok(bad == 0, "500 races for 60 places: %d with another number", bad);

    for (k = 0; k < 2; k++) {
        (void) kill(pids[k], SIGKILL);
        (void) waitpid(pids[k], NULL, 0);
    }

    takeover.bounded = 0;
}


int
main(void)
{
    srand(1);

    test_refusals();
    test_model();
    test_borrow();
    test_deaths();
    test_move();
    test_move_deaths();
    test_processes();
    test_sessions();
    test_taken();
    test_bound();
    test_crowds();
    test_races();

    return done_testing();
}

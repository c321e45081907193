/*
 * Devices that have left: against a model, with processes that die at each
 * store, with several at once that are killed anywhere, and those of workers
 * that have died.
 */

#include "zone.h"

#include "ngx_cometa_bound.c"
#include "ngx_cometa_offline.c"
#include "ngx_cometa_record.c"
#include "ngx_cometa_registry.c"


#define PLACES   16
#define HASHES   60
#define ROUNDS   50000


/* The model: those that have left, the one that did so last at the end. */

typedef struct {
    uint64_t  hash;
    uint64_t  session;
    uint32_t  reason;
    time_t    left;
} model_t;

static model_t   model[PLACES];
static int       model_n;
static uint64_t  session = 1;


/* Few buckets are met often, and a bucket by many hashes. */

static uint64_t
hash_of(int i)
{
    return (uint64_t) (i % 7) << 61 | (i + 1);
}


static int
model_find(uint64_t hash)
{
    int  i;

    for (i = 0; i < model_n && model[i].hash != hash; i++) { /* void */ }

    return i;
}


static void
model_remove(uint64_t hash)
{
    int  i;

    i = model_find(hash);

    if (i < model_n) {
        model_n--;
        memmove(&model[i], &model[i + 1], (model_n - i) * sizeof(model_t));
    }
}


static void
model_add(uint64_t hash, uint64_t session, uint32_t reason)
{
    model_remove(hash);

    if (model_n == (int) ngx_cometa_zone.head->offline) {
        model_remove(model[0].hash);
    }

    model[model_n].hash = hash;
    model[model_n].session = session;
    model[model_n].reason = reason;
    model[model_n].left = ngx_time();
    model_n++;
}


/* Whether all of the model is known as it is there, and nobody else. */

static int
agrees(void)
{
    int                i, k;
    ngx_int_t          rc;
    ngx_cometa_left_t  left;

    for (i = 0; i < HASHES; i++) {
        rc = ngx_cometa_offline_find(hash_of(i), &left);
        k = model_find(hash_of(i));

        if ((rc == NGX_OK) != (k < model_n)
            || (rc == NGX_OK
                && (left.session != model[k].session
                    || left.left != model[k].left
                    || left.reason != model[k].reason)))
        {
            diag("device %d: found %d", i, (int) rc);
            return 0;
        }
    }

    return 1;
}


/*
 * Whether each place that was used stands in the list once, both ways, and in
 * a chain once if there is somebody in it. Prints why not.
 */

static int
whole(void)
{
    uint32_t            b, i, n, last;
    uint8_t             seen[PLACES + 1];
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    ngx_cometa_offline_lock();
    ngx_cometa_offline_unlock();

    if (head->offline_moving || head->offline_used > head->offline) {
        diag("moving %u, used %u", head->offline_moving, head->offline_used);
        return 0;
    }

    last = 0;

    for (i = head->offline_oldest, n = 0;
         i && n <= head->offline_used;
         i = ngx_cometa_offline(i)->newer, n++)
    {
        if (ngx_cometa_offline(i)->older != last) {
            diag("place %u has a wrong link to older ones", i);
            return 0;
        }

        last = i;
    }

    if (n != head->offline_used || last != head->offline_newest) {
        diag("%u of %u places are in the list", n, head->offline_used);
        return 0;
    }

    memset(seen, 0, sizeof(seen));

    for (b = 0; b < head->offline; b++) {
        for (i = ngx_cometa_zone.offline_buckets[b];
             i;
             i = ngx_cometa_offline(i)->next)
        {
            if (i > head->offline_used || seen[i]++) {
                diag("place %u is in two chains, or was not used", i);
                return 0;
            }
        }
    }

    for (i = 1; i <= head->offline_used; i++) {
        if (seen[i] != (ngx_cometa_offline(i)->session != 0)) {
            diag("place %u: in %d chains", i, seen[i]);
            return 0;
        }
    }

    return 1;
}


static void
add(int i)
{
    model_add(hash_of(i), ++session, i % NGX_COMETA_REASONS);
    ngx_cometa_offline_add(hash_of(i), session, i % NGX_COMETA_REASONS);
}


static void
gone(int i)
{
    model_remove(hash_of(i));
    ngx_cometa_offline_remove(hash_of(i));
}


static void
churn(int rounds)
{
    while (rounds--) {
        test_time.sec++;

        if (rand() % 3) {
            add(rand() % HASHES);

        } else {
            gone(rand() % HASHES);
        }
    }
}


static void
zone_of(uint32_t places)
{
    test_offline = places;
    model_n = 0;
    zone_make(4 * 1024 * 1024, 1);
}


static void
test_model(void)
{
    int                r;
    ngx_cometa_left_t  left;

    zone_of(PLACES);

    for (r = 0; r < ROUNDS; r++) {
        churn(1);

        if (!agrees() || (r % 16 == 0 && !whole())) {
            break;
        }
    }

    ok(r == ROUNDS && whole(), "%d steps are as in the model", r);

    ngx_cometa_offline_add(hash_of(1), session + 10, NGX_COMETA_KICKED);
    ngx_cometa_offline_add(hash_of(1), session + 9, NGX_COMETA_DETACHED);

    ok(ngx_cometa_offline_find(hash_of(1), &left) == NGX_OK
       && left.session == session + 10
       && left.reason == NGX_COMETA_KICKED,
       "an earlier session that is told later is not taken for the last one");

    zone_of(1);
    add(1);
    add(2);
    ok(agrees() && whole(), "a single place");
    gone(1);
    gone(2);
    ok(agrees() && whole(), "is empty");

    zone_of(0);
    ngx_cometa_offline_add(hash_of(1), 1, NGX_COMETA_KICKED);
    ngx_cometa_offline_remove(hash_of(1));
    ok(ngx_cometa_offline_find(hash_of(1), &left) == NGX_DECLINED,
       "no place at all");
}


/* What the process that dies does. */

static void nothing(void) { /* void */ }


static void
operate_add(void)
{
    ngx_cometa_offline_add(hash_of(HASHES - 1), session + 1, 0);
}


static void
operate_remove(void)
{
    ngx_cometa_offline_remove(hash_of(3));
}


/* Dies within a step, and then mends what the one before it has left. */

static void
prepare_death(void)
{
    int    n;
    pid_t  pid;

    for (n = 1; n <= 12; n++) {
        pid = fork();

        if (pid == 0) {
            (void) ngx_cometa_lock(&ngx_cometa_zone.head->offline_lock);

            ngx_cometa_step(&ngx_cometa_zone.head->offline_moving, 2);
            ngx_cometa_offline_void(2);

            if (n % 2) {
                ngx_cometa_offline(2)->older =
                                       ngx_cometa_zone.head->offline_newest;
            }

            (void) kill(getpid(), SIGKILL);
        }

        (void) waitpid(pid, NULL, 0);
    }
}


static void
setup_fresh(void)
{
    int  i;

    zone_of(PLACES);

    for (i = 0; i < 5; i++) {
        add(i);
    }
}


static void setup_empty(void) { zone_of(PLACES); }


static void
setup_full(void)
{
    int  i;

    zone_of(PLACES);

    for (i = 0; i < 3 * PLACES; i++) {
        add(i);
    }

    add(3);
}


static void
setup_again(void)
{
    setup_full();
    add(HASHES - 1);
    add(1);
}


/* At most one is forgotten: the one whose place was on its way. */

static int
forgotten(void)
{
    int                i, n;
    ngx_cometa_left_t  left;

    for (i = 0, n = 0; i < model_n; i++) {
        n += ngx_cometa_offline_find(model[i].hash, &left) != NGX_OK
             && model[i].hash != hash_of(HASHES - 1)
             && model[i].hash != hash_of(3);
    }

    return n;
}


static void
deaths(const char *name, void (*setup)(void), void (*prepare)(void),
    void (*operation)(void), int least)
{
    int  i, k, bad, most;

    bad = 0;
    most = 0;

    for (k = 1; ; k++) {
        setup();

        if (!dies_at(k, prepare, operation)) {
            break;
        }

        if (!whole()) {
            diag("%s, killed before store %d", name, k);
            bad++;
        }

        most = ngx_max(most, forgotten());

        /* when all places were given anew, nothing is left of it */

        for (i = 0; i < 2 * PLACES; i++) {
            add(i);
        }

        if (!whole() || !agrees()) {
            diag("%s, killed before store %d: what comes then", name, k);
            bad++;
        }
    }

    ok(k > least, "%s: %d stores", name, k - 1);
    ok(bad == 0, "%s: killed before each of them, all goes on", name);
    ok(most <= 1, "%s: at most one is forgotten", name);
}


static void
test_deaths(void)
{
    deaths("the first one", setup_empty, nothing, operate_add, 10);
    deaths("one that has a place of its own", setup_fresh, nothing,
           operate_add, 10);
    deaths("one that takes another's place", setup_full, nothing,
           operate_add, 10);
    deaths("one that leaves again", setup_again, nothing, operate_add, 10);
    deaths("one that is back", setup_full, nothing, operate_remove, 8);
    deaths("one that mends", setup_full, prepare_death, operate_add, 15);
}


/* Several at once, of which one is killed now and then. */

static void
test_killed(void)
{
    int    i, n;
    pid_t  pids[4];

    zone_of(PLACES);
    n = sizeof(pids) / sizeof(pids[0]);
    memset(pids, 0, sizeof(pids));

    for (i = 0; i < 400; i++) {

        if (pids[i % n]) {
            (void) kill(pids[i % n], SIGKILL);
            (void) waitpid(pids[i % n], NULL, 0);
        }

        fflush(stdout);
        pids[i % n] = fork();

        if (pids[i % n] == 0) {
            srand(i);

            for ( ;; ) {
                churn(1);
            }
        }

        (void) usleep(rand() % 2000);
    }

    for (i = 0; i < n; i++) {
        (void) kill(pids[i], SIGKILL);
        (void) waitpid(pids[i], NULL, 0);
    }

    ok(whole(), "400 processes were killed, and all is whole");
}


/* Workers that die: their devices have left when that was noticed. */

static uint32_t  records[3];
static uint64_t  sessions[3];


static void
key_of(ngx_cometa_key_t *key, const char *app, const char *device)
{
    key->app.data = (u_char *) app;
    key->app.len = strlen(app);
    key->device.data = (u_char *) device;
    key->device.len = strlen(device);

    ngx_cometa_key_init(key);
}


static void
attach(const char *device, int i)
{
    ngx_cometa_key_t       key;
    ngx_cometa_place_t     place, old;
    ngx_cometa_takeover_t  takeover = { .wanted = 1 };

    key_of(&key, "app", device);

    (void) ngx_cometa_registry_attach(&key, i, &takeover, &place, &old);

    records[i] = place.record;
    sessions[i] = place.session;
}


static ngx_int_t
left(const char *app, const char *device, ngx_cometa_left_t *left)
{
    ngx_cometa_key_t    key;
    ngx_cometa_place_t  place;

    key_of(&key, app, device);

    if (ngx_cometa_registry_find(&key, &place) == NGX_OK) {
        return NGX_BUSY;
    }

    return ngx_cometa_offline_find(key.hash, left);
}


static void
worker_dies(const char *a, const char *b)
{
    pid_t  pid;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        zone_join();
        attach(a, 0);
        attach(b, 1);
        (void) kill(getpid(), SIGKILL);
    }

    (void) waitpid(pid, NULL, 0);
}


static void
test_lost(void)
{
    uint32_t           cursor;
    ngx_cometa_id_t    ids[NGX_COMETA_WALK_MAX];
    ngx_cometa_key_t   key;
    ngx_cometa_left_t  seen;

    zone_of(PLACES);
    attach("here", 2);

    test_time.sec = 1700000100;
    worker_dies("one", "two");
    (void) ngx_cometa_slot_alive(1, ngx_cometa_zone.slots[1].epoch);
    test_time.sec = 1700000200;

    ok(left("app", "one", &seen) == NGX_OK && seen.left == 1700000100
       && seen.reason == NGX_COMETA_OFFLINE_LOST
       && seen.session != 0,
       "a device of a dead worker has left when that was noticed");
    ok(left("other", "one", &seen) == NGX_DECLINED,
       "not one of another application");
    ok(left("app", "here", &seen) == NGX_BUSY, "nor one that is here");

    attach("two", 1);
    ok(left("app", "two", &seen) == NGX_BUSY, "the other one is back");
    key_of(&key, "app", "two");
    ok(ngx_cometa_offline_find(key.hash, &seen) == NGX_DECLINED,
       "and nothing is kept of it");
    ngx_cometa_registry_detach(records[1], sessions[1], key.hash,
                               NGX_COMETA_DETACHED);
    ok(left("app", "two", &seen) == NGX_OK && seen.session == sessions[1]
       && seen.reason == NGX_COMETA_DETACHED,
       "until it leaves");

    /* its place in the table of names is another one's when it is found */

    worker_dies("one", "three");
    (void) ngx_cometa_slot_alive(1, ngx_cometa_zone.slots[1].epoch);
    ngx_memcpy(ngx_cometa_zone.apps[0].name, "ppa", 3);

    cursor = 0;

    while (cursor != NGX_COMETA_NONE) {
        (void) ngx_cometa_registry_walk(0, &cursor, ids);
    }

    key_of(&key, "ppa", "three");
    ok(ngx_cometa_offline_find(key.hash, &seen) == NGX_DECLINED,
       "a name that was given anew is not taken for the old one");
    ok(whole(), "all is whole");
}


int
main(void)
{
    test_model();
    test_deaths();
    test_killed();
    test_lost();

    return done_testing();
}

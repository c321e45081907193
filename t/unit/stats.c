/*
 * Names of applications, counters, gauges and latencies against a model, with
 * processes that die at each store, and with several at once that are killed.
 */

#include "zone.h"

#include <math.h>


#define NAMES    4000
#define WORKERS  12


/* What the processes share beside the zone. */

typedef struct {
    ngx_cometa_gauges_t  gauges[WORKERS];   /* as each has left them */
    uint32_t             ready[WORKERS];
} shared_t;

static shared_t  *sh;
static u_char     text[NAMES][16];


static ngx_str_t *
name_of(int i)
{
    static ngx_str_t  name;

    name.data = text[i];
    name.len = sprintf((char *) text[i], "app-%d", i);

    return &name;
}


static uint32_t
hold(int i)
{
    return ngx_cometa_app_hold(name_of(i), 1, holds);
}


static void
release(uint32_t app)
{
    ngx_cometa_gauge_add(app, holds, -1);
}


static uint32_t
find(int i)
{
    return ngx_cometa_app(name_of(i), 0);
}


/* How many places can be held at once; they are let go again. */

static int
capacity(int from)
{
    int       i, n;
    uint32_t  app, apps[NAMES];

    for (n = 0; n < NAMES - from; n++) {
        app = hold(from + n);

        if (app == NGX_COMETA_NONE) {
            break;
        }

        apps[n] = app;
    }

    for (i = 0; i < n; i++) {
        release(apps[i]);
    }

    return n;
}


/* No two places have one name, and each name is found where it stands. */

static int
names_whole(void)
{
    u_char     a[NGX_COMETA_ID_MAX], b[NGX_COMETA_ID_MAX];
    uint32_t   i, k;
    ngx_str_t  one, two;

    /* what a dead process has left half done is mended by the next lock */

    ngx_cometa_stats_lock();
    ngx_cometa_unlock(&ngx_cometa_zone.head->apps_lock);

    for (i = 0; i < ngx_cometa_zone.head->napps; i++) {

        if (ngx_cometa_app_state(i) == NGX_COMETA_APP_LEAVING) {
            return 0;
        }

        if (ngx_cometa_app_name(i, &one, a) != NGX_OK) {
            continue;
        }

        if (ngx_cometa_app(&one, 0) != i) {
            return 0;
        }

        for (k = 0; k < i; k++) {
            if (ngx_cometa_app_name(k, &two, b) == NGX_OK
                && one.len == two.len && memcmp(a, b, one.len) == 0)
            {
                return 0;
            }
        }
    }

    return 1;
}


/* Each further set stands in one chain, and all of them are counted. */

static int
sets_whole(ngx_cometa_sets_t *sets)
{
    uint8_t            seen[4096];
    uint32_t           i, n, app, apps;
    ngx_cometa_set_t  *set;

    apps = ngx_cometa_zone.head->apps;
    memset(seen, 0, sizeof(seen));
    n = 0;

    for (app = 0; app < apps; app++) {
        for (set = ngx_cometa_sets_next(sets, app,
                                        ngx_cometa_sets_at(sets, app));
             set;
             set = ngx_cometa_sets_next(sets, app, set))
        {
            i = ((u_char *) set - sets->base) / sets->size;

            if (i < apps || i >= sets->n || seen[i]++ || set->owner == 0) {
                return 0;
            }

            n++;
        }
    }

    return n == *sets->carved;
}


static void
test_names(void)
{
    int                    i, n, bad;
    uint32_t               app, apps;
    ngx_cometa_counters_t  sum;

    zone_make(1024 * 1024, 2);
    apps = ngx_cometa_zone.head->apps;

    for (i = 0, bad = 0; i < (int) apps; i++) {
        bad += hold(i) != (uint32_t) i;
        ngx_cometa_stats_add(i, attached, 1);
        ngx_cometa_stats_latency(i, 1000);
    }

    ok(bad == 0, "as many applications as the capacity says: %d", (int) apps);
    ok(hold(i) == NGX_COMETA_NONE && find(i) == NGX_COMETA_NONE,
       "and no more, while all are held");
    ok(ngx_cometa_app_count() == apps, "%d are counted", (int) apps);

    release(3);
    ngx_cometa_gauge_add(3, devices, 1);
    ok(hold(i) == NGX_COMETA_NONE, "a device keeps the place");
    ngx_cometa_gauge_add(3, devices, -1);
    ngx_cometa_gauge_add(3, calls, 1);
    ok(hold(i) == NGX_COMETA_NONE, "a call keeps it");
    ngx_cometa_gauge_add(3, calls, -1);
    ngx_cometa_gauge_add(3, websockets, 1);
    ok(hold(i) == NGX_COMETA_NONE, "a WebSocket keeps it");
    ngx_cometa_gauge_add(3, websockets, -1);
    ngx_cometa_gauge_add(3, webhook_queued, 1);
    ok(hold(i) == NGX_COMETA_NONE, "an event keeps it");
    ngx_cometa_gauge_add(3, webhook_queued, -1);

    ngx_cometa_zone.otk_apps[3].n = 1;
    ngx_cometa_zone.otk_apps[3].expires = test_us + 1000000;
    ok(hold(i) == NGX_COMETA_NONE, "a key keeps it");
    test_us += 1000000;

    ok(ngx_cometa_app_count() == apps - 1, "nothing keeps it");
    app = hold(i);
    ok(app == 3 && find(i) == 3 && find(3) == NGX_COMETA_NONE,
       "another name has the place, the old one is not known");

    ngx_cometa_stats_sum(3, &sum);
    ok(sum.attached == 0, "nothing is counted of it yet");

    /* counts that are worth keeping */

    ngx_cometa_stats_add(3, messages, 1);
    release(3);
    ok(hold(4000 - 1) == NGX_COMETA_NONE, "a count keeps it");
    test_time.sec += 3599;
    ok(hold(4000 - 1) == NGX_COMETA_NONE, "for an hour");
    test_time.sec += 1;
    ok(hold(4000 - 1) == 3, "and then no more");
    release(3);

    for (i = 0; i < (int) apps; i++) {
        if (i != 3) {
            release(i);
        }
    }

    for (i = 100, bad = 0; i < 1100; i++) {
        app = hold(i);
        bad += app == NGX_COMETA_NONE || find(i) != app;
        release(app);
    }

    ok(bad == 0 && names_whole(), "a thousand invented names come and go");

    n = capacity(2000);
    ok(n == (int) apps, "and leave room for %d", n);
}


/* The table of a process that has missed few names, many, or all. */

static void
test_learning(void)
{
    int                 i, lag, bad;
    uint32_t            app, apps;
    ngx_cometa_names_t  other, own;

    zone_make(1024 * 1024, 2);
    apps = ngx_cometa_zone.head->apps;
    bad = 0;

    for (lag = 0; lag < 3 * (int) apps; lag++) {
        own = ngx_cometa_names;
        bad += ngx_cometa_app_start(&test_cycle) != NGX_OK;
        other = ngx_cometa_names;
        ngx_cometa_names = own;

        for (i = 0; i < lag; i++) {
            app = hold(rand() % 1000);
            bad += app == NGX_COMETA_NONE;
            release(app);
        }

        ngx_cometa_names = other;
        bad += !names_whole();
    }

    ok(bad == 0, "a process that was behind by up to %d names knows all",
       lag);
}


/*
 * A worker that counts at random, says what it has got, and stops. There are
 * more workers and applications than there are sets.
 */

static void
work(int no, int endless)
{
    int                   i;
    uint32_t              app;
    ngx_cometa_gauges_t  *g;

    zone_join();
    srand(no);
    g = &sh->gauges[no];
    memset(g, 0, sizeof(ngx_cometa_gauges_t));

    for (i = 0; endless || i < 20000; i++) {
        app = rand() % ngx_cometa_zone.head->apps;

        switch (rand() % 3) {
        case 0:
            ngx_cometa_gauge_add(app, devices, 1);
            g->devices++;
            break;

        case 1:
            if (ngx_cometa_gauges(ngx_cometa_zone.slot, app)->devices) {
                ngx_cometa_gauge_add(app, devices, -1);
                g->devices--;
            }

            break;

        default:
            ngx_cometa_gauge_add(app, queued, 1);
            g->queued++;
            ngx_cometa_stats_add(app, events, 1);
        }
    }

    __atomic_store_n(&sh->ready[no], 1, __ATOMIC_SEQ_CST);

    for ( ;; ) {
        pause();
    }
}


static int
gauges_right(int *alive)
{
    int                  i;
    uint32_t             app;
    ngx_cometa_gauges_t  sum, want;

    memset(&want, 0, sizeof(want));

    for (i = 0; i < WORKERS; i++) {
        if (alive[i]) {
            want.devices += sh->gauges[i].devices;
            want.queued += sh->gauges[i].queued;
        }
    }

    for (app = 0; app < ngx_cometa_zone.head->apps; app++) {
        ngx_cometa_stats_gauges(app, &sum);
        want.devices -= sum.devices;
        want.queued -= sum.queued;
    }

    return want.devices == 0 && want.queued == 0;
}


static void
test_gauges(void)
{
    int    i, round, bad, status, alive[WORKERS];
    pid_t  pids[WORKERS], pid;

    zone_make(1024 * 1024, 2);

    ok(WORKERS * ngx_cometa_zone.head->apps > ngx_cometa_zone.head->sets,
       "more workers and applications than sets");

    for (i = 0; i < (int) ngx_cometa_zone.head->apps; i++) {
        release(hold(i));
    }

    memset(alive, 0, sizeof(alive));
    bad = 0;

    for (round = 0; round < 15; round++) {

        for (i = 0; i < WORKERS; i++) {

            if (alive[i] && rand() % 3) {
                continue;
            }

            if (alive[i]) {
                (void) kill(pids[i], SIGKILL);
                (void) waitpid(pids[i], &status, 0);
                alive[i] = 0;
                bad += !gauges_right(alive);
            }

            if (rand() % 4 == 0) {
                continue;
            }

            /* one that is killed while it counts, before the one that stays */

            fflush(stdout);
            pid = fork();

            if (pid == 0) {
                work(i, 1);
            }

            usleep(rand() % 3000);
            (void) kill(pid, SIGKILL);
            (void) waitpid(pid, &status, 0);

            sh->ready[i] = 0;
            pids[i] = fork();

            if (pids[i] == 0) {
                work(i, 0);
            }

            while (!__atomic_load_n(&sh->ready[i], __ATOMIC_SEQ_CST)) {
                usleep(100);
            }

            alive[i] = 1;
        }

        bad += !gauges_right(alive);
    }

    ok(bad == 0, "gauges are those of the living, whoever was killed");

    for (i = 0; i < WORKERS; i++) {
        if (alive[i]) {
            (void) kill(pids[i], SIGKILL);
            (void) waitpid(pids[i], &status, 0);
            alive[i] = 0;
        }
    }

    ok(gauges_right(alive), "nobody is left, and all are zero");
    ok(sets_whole(&ngx_cometa_counters), "the chains of sets are whole");
}


/* Holds names for a while; a place must not become another name's. */

static void
work_names(int no)
{
    u_char     text_of[NGX_COMETA_ID_MAX];
    uint32_t   app[3];
    ngx_str_t  name;
    int        i, which[3];

    zone_join();
    srand(no);

    for ( ;; ) {

        for (i = 0; i < 3; i++) {
            which[i] = rand() % 60;
            app[i] = hold(which[i]);
        }

        for (i = 0; i < 3; i++) {

            if (app[i] == NGX_COMETA_NONE) {
                continue;
            }

            if (ngx_cometa_app_name(app[i], &name, text_of) != NGX_OK
                || name.len != name_of(which[i])->len
                || memcmp(name.data, text[which[i]], name.len) != 0
                || find(which[i]) != app[i])
            {
                _exit(1);
            }
        }

        for (i = 0; i < 3; i++) {
            if (app[i] != NGX_COMETA_NONE) {
                release(app[i]);
            }
        }
    }
}


static void
test_processes(void)
{
    int    i, n, status, failed;
    pid_t  pids[4];

    zone_make(1024 * 1024, 2);

    memset(pids, 0, sizeof(pids));
    failed = 0;

    for (n = 0; n < 100 + 4; n++) {
        i = n % 4;

        if (pids[i]) {
            (void) kill(pids[i], SIGKILL);
            (void) waitpid(pids[i], &status, 0);
            failed += !WIFSIGNALED(status);
            pids[i] = 0;
        }

        if (n < 100) {
            fflush(stdout);
            pids[i] = fork();

            if (pids[i] == 0) {
                work_names(n);
            }

            usleep(rand() % 10000);
        }
    }

    ok(failed == 0, "100 processes, 4 at once, each killed: no place was "
       "another name's while it was held");
    ok(names_whole(), "the names are whole");

    n = capacity(1000);
    ok(n == (int) ngx_cometa_zone.head->apps, "there is room for all %d", n);
}


static void
prepare_none(void)
{
    /* void */
}


static void
operate_name(void)
{
    (void) hold(3000);
}


static void
operate_count(void)
{
    ngx_cometa_stats_add(0, attached, 1);
    ngx_cometa_stats_latency(0, 1000);
}


static void
deaths(const char *name, int used, void (*operation)(void))
{
    int                     i, k, n, bad, wrong;
    ngx_cometa_counters_t   sum;
    ngx_cometa_latencies_t  lat;

    bad = 0;

    for (k = 1; ; k++) {
        zone_make(1024 * 1024, 2);

        for (i = 0; i < used; i++) {
            ngx_cometa_stats_add(hold(i), attached, 1);
            ngx_cometa_stats_latency(i, 1000);
        }

        /* a third of them may go */

        for (i = 0; i < used; i += 3) {
            release(i);
        }

        if (!dies_at(k, prepare_none, operation)) {
            break;
        }

        ngx_cometa_stats_lock();
        ngx_cometa_unlock(&ngx_cometa_zone.head->apps_lock);

        wrong = !sets_whole(&ngx_cometa_counters)
                || !sets_whole(&ngx_cometa_latencies) || !names_whole();

        /* those that are held have their place, name and counts */

        for (i = 0; i < used; i++) {
            if (i % 3) {
                ngx_cometa_stats_sum(i, &sum);
                wrong += find(i) != (uint32_t) i || sum.attached != 1;
            }
        }

        ngx_cometa_stats_sum(0, &sum);
        ngx_cometa_stats_latencies(0, &lat);
        wrong += operation == operate_count && sum.attached != 1
                 && sum.attached != 2;

        /* a new name has no counts, also in a place whose taker has died */

        if (operation == operate_name) {
            i = hold(3001);
            ngx_cometa_stats_sum(i, &sum);
            wrong += i < 0 || sum.attached != 0 || find(3001) != (uint32_t) i;
            release(i);
        }

        for (i = 1; i < used; i++) {
            if (i % 3) {
                release(i);
            }
        }

        n = capacity(1000);

        if (wrong || n != (int) ngx_cometa_zone.head->apps) {
            diag("%s, killed before store %d: room for %d, %d wrong", name, k,
                 n, wrong);
            bad++;
        }
    }

    ok(k > 5, "%s: about %d stores", name, k - 1);
    ok(bad == 0, "%s: killed before each of them, all goes on", name);
}


static void
test_deaths(void)
{
    int  apps;

    apps = ngx_cometa_zone.head->apps;

    deaths("a new name", 5, operate_name);
    deaths("a name in the place of another one", apps, operate_name);
    deaths("counting with further sets", 5, operate_count);
}


static void
test_latencies(void)
{
    int                     i, n;
    double                  sum, squares, us, min, max;
    ngx_cometa_latencies_t  lat;

    zone_make(1024 * 1024, 2);

    test_us = 15000000ULL * 1000;
    sum = squares = max = 0;
    min = 1e9;

    for (i = 0, n = 3000; i < n; i++) {
        us = rand() % 1000000;
        sum += us;
        squares += us * us;
        min = ngx_min(min, us);
        max = ngx_max(max, us);
        ngx_cometa_stats_latency(0, us);
        test_us += 4000;
    }

    test_us = 15000000ULL * 1001 + 1;
    ngx_cometa_stats_latencies(0, &lat);

    ok((int) lat.n == n && lat.min == min && lat.max == max,
       "the last complete window has all");
    ok(fabs(lat.mean - sum / n) < 1
       && fabs(lat.deviation - sqrt(squares / n - sum / n * (sum / n))) < 1,
       "its mean and deviation are those of the model");
    ok(fabs((double) cometa_histogram_quantile(lat.counts, 0.5) - 500000)
       < 40000,
       "and its median");
    ok(lat.total_sum == sum, "and the sum of all time");

    test_us += 15000000;
    ngx_cometa_stats_latencies(0, &lat);
    ok(lat.n == 0 && lat.total_sum == sum, "the next window has none");
}


int
main(void)
{
    srand(1);
    sh = share(sizeof(shared_t));

    test_names();
    test_learning();
    test_gauges();
    test_processes();
    test_deaths();
    test_latencies();

    return done_testing();
}

/*
 * One-time keys against a model, and with processes that die at each store.
 */

#include "zone.h"

#include "ngx_cometa_otk.c"


#define ROUNDS  30000
#define KEYS    64
#define APPS    5
#define HEX     (2 * NGX_COMETA_OTK_LEN)


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    while (len--) {
        dst += sprintf((char *) dst, "%02x", *src++);
    }

    return dst;
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    char  *end, text[3] = { line[0], line[1], 0 };
    long   value;

    value = strtol(text, &end, 16);

    return (n == 2 && *end == '\0') ? value : NGX_ERROR;
}


/* The model: keys in the order of their issue. */

typedef struct {
    u_char    hex[HEX + 1];
    uint32_t  app;
    uint64_t  hash;
    uint64_t  expires;
    int       held;             /* by the zone, good or expired */
} model_t;

static model_t  model[ROUNDS];
static int      issued;
static u_char   last[HEX + 1];  /* of the process that dies */


static int
held(uint32_t app)
{
    int  i, n;

    for (i = 0, n = 0; i < issued; i++) {
        n += model[i].held && (app == NGX_COMETA_NONE || model[i].app == app);
    }

    return n;
}


static int
oldest(uint32_t app)
{
    int  i;

    for (i = 0; i < issued; i++) {
        if (model[i].held && model[i].app == app) {
            break;
        }
    }

    return i;
}


static void
model_expire(uint32_t app)
{
    int  i;

    for (i = oldest(app);
         i < issued && model[i].expires <= test_us;
         i = oldest(app))
    {
        model[i].held = 0;
    }
}


/* What the zone must do with one key more; whether there is room. */

static int
model_issue(uint32_t app)
{
    uint32_t  a;

    model_expire(app);

    for (a = 0; held(NGX_COMETA_NONE) == KEYS && a < APPS; a++) {
        model_expire(a);
    }

    if (held(app) == 0) {
        return held(NGX_COMETA_NONE) < KEYS;
    }

    if (held(app) >= KEYS / 4 || held(NGX_COMETA_NONE) == KEYS) {
        model[oldest(app)].held = 0;
    }

    return 1;
}


static int
issue(uint32_t app, uint32_t life)
{
    int       rc, expected;
    model_t  *m;

    /* the sweep of all is limited in time */
    ngx_current_msec += 1000;

    expected = model_issue(app);

    m = &model[issued];

    rc = ngx_cometa_otk_issue(app, issued, life, m->hex);

    if (rc == NGX_OK) {
        m->app = app;
        m->hash = issued;
        m->expires = test_us + life * 1000;
        m->held = 1;
        issued++;
    }

    return (rc == NGX_OK) == expected;
}


/* Looks a key up, or takes it; whether that went as in the model. */

static int
find(int i, int take)
{
    int        rc, expected;
    model_t   *m;
    uint32_t   app;
    uint64_t   hash;
    ngx_str_t  hex;

    m = &model[i];

    hex.data = m->hex;
    hex.len = HEX;

    expected = m->held && m->expires > test_us;

    if (m->held && (take || !expected)) {
        m->held = 0;
    }

    rc = ngx_cometa_otk_find(&hex, take, &app, &hash);

    return (rc == NGX_OK) == expected
           && (rc != NGX_OK || (app == m->app && hash == m->hash));
}


/* Whether each key stands in the chains where it has to, and in no others. */

static int
whole(void)
{
    char                   seen[KEYS + 1];
    uint32_t               i, b, n, app, before;
    ngx_cometa_head_t     *head;
    ngx_cometa_otk_app_t  *a;

    head = ngx_cometa_zone.head;
    memset(seen, 0, sizeof(seen));

    ngx_cometa_otk_lock();
    ngx_cometa_unlock(&head->otk_lock);

    n = 0;

    for (i = head->otk_free; i; i = ngx_cometa_otk(i)->next, n++) {
        if (i > head->otk_carved || seen[i]++) {
            return 0;
        }
    }

    for (b = 0; b < head->keys; b++) {
        for (i = ngx_cometa_zone.otk_buckets[b];
             i;
             i = ngx_cometa_otk(i)->next, n++)
        {
            if (i > head->otk_carved || seen[i]
                || ngx_cometa_otk_bucket(ngx_cometa_otk(i)->key)
                   != &ngx_cometa_zone.otk_buckets[b])
            {
                return 0;
            }

            seen[i] = 2;
        }
    }

    if (n != head->otk_carved) {
        return 0;
    }

    for (app = 0; app < head->apps; app++) {
        a = &ngx_cometa_zone.otk_apps[app];
        before = 0;
        n = 0;

        for (i = a->oldest; i; i = ngx_cometa_otk(i)->newer, n++) {
            if (seen[i] != 2 || ngx_cometa_otk(i)->app != app
                || ngx_cometa_otk(i)->older != before)
            {
                return 0;
            }

            seen[i] = 3;
            before = i;
        }

        if (n != a->n || a->newest != before) {
            return 0;
        }
    }

    for (i = 1; i <= KEYS; i++) {
        if (seen[i] == 2) {
            return 0;
        }
    }

    return 1;
}


static void
begin(void)
{
    zone_make(1024 * 1024, 1);

    ngx_cometa_zone.head->keys = KEYS;
    ngx_cometa_zone.head->napps = APPS;
    zone_again();

    issued = 0;
}


static void
test_model(void)
{
    int  i, r, bad;

    begin();
    bad = 0;

    for (r = 0; r < ROUNDS; r++) {

        switch (rand() % 8) {

        case 0:
            test_us += rand() % 100000;
            break;

        case 1:
        case 2:
        case 3:
            bad += !issue(rand() % 3 ? 0 : rand() % APPS, 1 + rand() % 1000);
            break;

        default:
            if (issued == 0) {
                break;
            }

            i = issued - 1 - rand() % 80;
            i = ngx_max(i, 0);
            bad += !find(i, rand() % 4 == 0);
        }

        /* the model is slow with many keys that are no more */

        if (issued == 500) {
            memmove(model, model + 200, 300 * sizeof(model_t));
            issued = 300;
        }
    }

    ok(bad == 0, "%d random operations, all as in the model", ROUNDS);
    ok(whole(), "the chains are whole");
}


/* More applications than a quarter each: the last ones take from themselves. */

static void
test_full(void)
{
    int  i, bad;

    begin();
    bad = 0;

    for (i = 0; i < 200; i++) {
        bad += !issue(i % APPS, 1000);
    }

    ok(bad == 0 && held(NGX_COMETA_NONE) == KEYS, "%d keys are all there are",
       held(NGX_COMETA_NONE));

    for (i = 0, bad = 0; i < issued; i++) {
        bad += !find(i, 0);
    }

    ok(bad == 0 && whole(), "the youngest of each application are good");
    ok(ngx_cometa_otk_dropped(0) > 0, "%d of one were dropped unused",
       (int) ngx_cometa_otk_dropped(0));

    test_us += 1000000;

    for (i = 0, bad = 0; i < KEYS / 4; i++) {
        bad += !issue(0, 1000);
    }

    ok(bad == 0 && held(0) == KEYS / 4 && whole(),
       "those that have expired make room");
}


static void
prepare(void)
{
    ngx_str_t  hex = { HEX, last };
    uint32_t   app;
    uint64_t   hash;
    int        i;

    (void) ngx_cometa_otk_issue(1, 7, 1000, last);

    for (i = 0; i < 3; i++) {
        (void) ngx_cometa_otk_issue(2, 7, 1000, last);
    }

    (void) ngx_cometa_otk_find(&hex, 0, &app, &hash);
}


static void
prepare_expired(void)
{
    prepare();
    test_us += 2000000;
}


static void
prepare_share(void)
{
    int  i;

    for (i = 0; i < KEYS / 4; i++) {
        (void) ngx_cometa_otk_issue(2, 7, 1000, last);
    }
}


static void
operate_issue(void)
{
    u_char  hex[HEX + 1];

    (void) ngx_cometa_otk_issue(2, 7, 1000, hex);
}


static void
operate_take(void)
{
    ngx_str_t  hex = { HEX, last };
    uint32_t   app;
    uint64_t   hash;

    (void) ngx_cometa_otk_find(&hex, 1, &app, &hash);
}


static void
deaths(const char *name, void (*prepared)(void), void (*operation)(void))
{
    int  i, k, bad, wrong, voided;

    bad = 0;
    voided = 0;

    for (k = 1; ; k++) {
        begin();

        for (i = 0; i < 10; i++) {
            bad += !issue(i % 2, 1000);
        }

        bad += !find(3, 1);

        if (!dies_at(k, prepared, operation)) {
            break;
        }

        wrong = !whole();

        /* all keys or none: those of who died inside are void */

        if (ngx_cometa_zone.head->otk_carved == 0) {
            for (i = 0; i < issued; i++) {
                model[i].held = 0;
            }

            voided++;
        }

        for (i = 0; i < issued; i++) {
            wrong += !find(i, 0);
        }

        wrong += !issue(0, 1000) || !find(issued - 1, 0)
                 || !find(issued - 1, 1) || !find(issued - 1, 1) || !whole();

        if (wrong) {
            diag("%s, killed before store %d", name, k);
            bad++;
        }
    }

    ok(k > 5, "%s: %d stores", name, k - 1);
    ok(voided && voided < k - 1, "%s: all keys are void after a death inside "
       "(%d), and only then", name, voided);
    ok(bad == 0, "%s: killed before each of them, all goes on", name);
}


int
main(void)
{
    srand(1);

    test_model();
    test_full();

    deaths("a key is issued", prepare, operate_issue);
    deaths("one is issued, others have expired", prepare_expired,
           operate_issue);
    deaths("one is issued, the oldest goes", prepare_share, operate_issue);
    deaths("a key is taken", prepare, operate_take);

    return done_testing();
}

/*
 * The walk over all devices of a zone that is full, where buckets hold as many
 * as they ever do: it meets each device once, and never cuts a bucket.
 */

#include "zone.h"

#include "ngx_cometa_offline.c"
#include "ngx_cometa_record.c"
#include "ngx_cometa_bound.c"
#include "ngx_cometa_registry.c"


#define DEVICES  65536


static uint8_t  met[DEVICES];


static ngx_int_t
attach(char *app, uint32_t i)
{
    u_char                 id[16];
    ngx_cometa_key_t       key;
    ngx_cometa_place_t     place, old;
    ngx_cometa_takeover_t  takeover;

    memset(&takeover, 0, sizeof(takeover));

    key.app.data = (u_char *) app;
    key.app.len = strlen(app);
    key.device.data = id;
    key.device.len = sprintf((char *) id, "%u", i);
    ngx_cometa_key_init(&key);

    return ngx_cometa_registry_attach(&key, i, &takeover, &place, &old);
}


/* How many of the first n are not met exactly once, and others. */

static uint32_t
walk(uint32_t n, ngx_uint_t *slices, ngx_uint_t *largest)
{
    char             text[NGX_COMETA_ID_MAX + 1];
    uint32_t         i, cursor, wrong;
    ngx_str_t        app;
    ngx_uint_t       k, got;

    static ngx_cometa_id_t  ids[NGX_COMETA_WALK_MAX];

    memset(met, 0, sizeof(met));
    ngx_str_set(&app, "app");
    wrong = 0;
    *slices = 0;
    *largest = 0;

    for (cursor = 0; cursor != NGX_COMETA_NONE; /* void */) {
        got = ngx_cometa_registry_walk(ngx_cometa_app(&app, 0), &cursor, ids);

        *slices += 1;
        *largest = ngx_max(*largest, got);

        for (k = 0; k < got; k++) {
            memcpy(text, ids[k].data, ids[k].len);
            text[ids[k].len] = '\0';
            i = atoi(text);

            if (i < n) {
                met[i]++;

            } else {
                wrong++;
            }
        }
    }

    for (i = 0; i < n; i++) {
        wrong += (met[i] != 1);
    }

    return wrong;
}


int
main(void)
{
    uint32_t    n;
    ngx_uint_t  slices, largest;

    zone_make(4 * 1024 * 1024, 1);

    ok(attach("other", DEVICES) == NGX_OK && attach("app", 0) == NGX_OK,
       "devices of two applications");
    ok(walk(1, &slices, &largest) == 0, "only those of one are met");

    for (n = 1; n < DEVICES && attach("app", n) == NGX_OK; n++) {
        /* void */
    }

    ok(n > ngx_cometa_zone.head->records - 2 * NGX_COMETA_CARVE,
       "%u of %u records are used", n + 1, ngx_cometa_zone.head->records);
    ok(walk(n, &slices, &largest) == 0, "each is met once");
    ok(largest <= NGX_COMETA_WALK_MAX && slices > n / NGX_COMETA_WALK_MAX,
       "in %lu slices of %lu at most", (unsigned long) slices,
       (unsigned long) largest);

    return done_testing();
}

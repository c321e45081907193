/*
 * Places of applications that have counts worth keeping: the one that was left
 * alone for longest goes first, and none within the hour.
 */

#include "zone.h"


static uint32_t
place(const char *prefix, uint32_t i)
{
    u_char     text[16];
    ngx_str_t  name;

    name.data = text;
    name.len = sprintf((char *) text, "%s%u", prefix, i);

    return ngx_cometa_app(&name, 1);
}


int
main(void)
{
    uint32_t           i, n, app, places[4];
    ngx_str_t          name;
    ngx_cometa_app_t  *apps;

    zone_make(1024 * 1024, 1);

    apps = ngx_cometa_zone.apps;
    n = ngx_cometa_zone.head->apps;

    ok(n > 8 && n <= NGX_COMETA_APP_LOOK, "%u places", n);

    for (i = 0; i < n; i++) {
        app = place("app", i);
        ngx_cometa_stats_add(app, messages, 1);
    }

    ok(ngx_cometa_app_count() == n, "all have counts");

    test_time.sec += NGX_COMETA_APP_IDLE - 1;
    ok(place("more", 0) == NGX_COMETA_NONE, "none goes within the hour");

    test_time.sec += 1;

    for (i = 0; i < n; i++) {
        apps[i].last = test_time.sec - NGX_COMETA_APP_IDLE + 1;
    }

    apps[3].last -= 10;
    apps[5].last -= 30;
    apps[7].last -= 20;

    /* it is used again, by who wants to stay */

    name.data = apps[5].name;
    name.len = apps[5].len;
    app = ngx_cometa_app_keep(&name, 0, offsetof(ngx_cometa_gauges_t, calls));
    ngx_cometa_gauge_add(5, calls, -1);
    ok(app == 5 && apps[5].last == (uint32_t) test_time.sec,
       "use makes it young");

    apps[1].last -= 15;

    for (i = 1; i <= 4; i++) {
        places[i - 1] = place("more", i);

        if (places[i - 1] != NGX_COMETA_NONE) {
            ngx_cometa_stats_add(places[i - 1], messages, 1);
        }
    }

    ok(places[0] == 7 && places[1] == 1 && places[2] == 3,
       "the oldest one goes first");
    ok(places[3] == NGX_COMETA_NONE, "and no younger one");

    return done_testing();
}

/*
 * The bounds of the histogram for Prometheus: "le" is less or equal.
 */

#include "zone.h"


int
main(void)
{
    ngx_uint_t  i, good;

    zone_make(1024 * 1024, 1);

    good = (ngx_cometa_bound(0) == 0);

    for (i = 0; i < NGX_COMETA_BOUNDS - 1; i++) {
        good &= (ngx_cometa_bound(ngx_cometa_bounds[i]) == i)
                && (ngx_cometa_bound(ngx_cometa_bounds[i] + 1) == i + 1);
    }

    ok(good, "what equals a bound is below it, and one more is not");
    ok(ngx_cometa_bound((uint64_t) -1) == NGX_COMETA_BOUNDS - 1,
       "the last one has no end");

    return done_testing();
}

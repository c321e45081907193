/*
 * Who gives up something for another one: the largest share, and he himself if
 * nobody has clearly more.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_cometa_share.c"
#include "tap.h"


/* What a failed assertion needs. */

volatile ngx_cycle_t  *ngx_cycle;

void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level, (void) log, (void) err, (void) fmt;
}


int
main(void)
{
    ngx_cometa_share_t   a, b, c;
    ngx_cometa_shares_t  shares;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    memset(&c, 0, sizeof(c));

    ngx_cometa_shares_init(&shares);
    ok(ngx_cometa_share_largest(&shares) == NULL
       && ngx_cometa_share_payer(&shares, &a, 1) == &a, "nobody has anything");

    ngx_cometa_share_add(&shares, &a, 16);
    ngx_cometa_share_add(&shares, &b, 100);
    ok(ngx_cometa_share_largest(&shares) == &b, "the largest");
    ok(ngx_cometa_share_payer(&shares, &a, 1) == &b
       && ngx_cometa_share_payer(&shares, &c, 1) == &b, "pays for others");
    ok(ngx_cometa_share_payer(&shares, &b, 1) == &b, "and for itself");

    ok(ngx_cometa_share_payer(&shares, &a, 47) == &b
       && ngx_cometa_share_payer(&shares, &a, 48) == &a,
       "among those of one size each pays for himself");
    ok(ngx_cometa_share_payer(&shares, &c, 1000) == &c,
       "and so does who would be the largest");

    ngx_cometa_share_add(&shares, &b, -90);
    ok(ngx_cometa_share_largest(&shares) == &a, "who has less is not");
    ngx_cometa_share_add(&shares, &a, -16);
    ok(ngx_cometa_share_largest(&shares) == &b, "nor who has nothing");
    ngx_cometa_share_add(&shares, &b, -10);
    ok(ngx_cometa_share_largest(&shares) == NULL, "nobody is left");

    return done_testing();
}

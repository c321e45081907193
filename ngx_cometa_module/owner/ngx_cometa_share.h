
/*
 * Shares of something that is bounded, sorted by size: finds one that holds
 * most, to within a factor of two, in constant time.
 */

#ifndef _NGX_COMETA_SHARE_H_INCLUDED_
#define _NGX_COMETA_SHARE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMETA_SHARE_SIZES  21
#define NGX_COMETA_SHARE_MAX    (1 << (NGX_COMETA_SHARE_SIZES - 1))


typedef struct {
    ngx_queue_t  link;              /* among those of its size, if it holds */
    ngx_uint_t   held;
} ngx_cometa_share_t;


/* Queue i has the shares that hold at least 2^i and less than 2^(i + 1). */

typedef struct {
    ngx_queue_t  sizes[NGX_COMETA_SHARE_SIZES];
} ngx_cometa_shares_t;


void ngx_cometa_shares_init(ngx_cometa_shares_t *shares);

/* A share holds n more, or less if n is negative; at most SHARE_MAX. */
void ngx_cometa_share_add(ngx_cometa_shares_t *shares,
    ngx_cometa_share_t *share, ngx_int_t n);

/* NULL: none holds anything. */
ngx_cometa_share_t *ngx_cometa_share_largest(ngx_cometa_shares_t *shares);

/*
 * Which share has to give something up if `share` is to hold n more: itself,
 * unless another one is clearly larger than it would be.
 */
ngx_cometa_share_t *ngx_cometa_share_payer(ngx_cometa_shares_t *shares,
    ngx_cometa_share_t *share, ngx_uint_t n);


#endif /* _NGX_COMETA_SHARE_H_INCLUDED_ */

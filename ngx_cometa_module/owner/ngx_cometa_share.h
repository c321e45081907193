
/*
 * Shares of a bounded room, sorted by size: the largest share is found in
 * constant time, to within a factor of two.
 */

#ifndef _NGX_COMETA_SHARE_H_INCLUDED_
#define _NGX_COMETA_SHARE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMETA_SHARE_SIZES  21
#define NGX_COMETA_SHARE_MAX    (1 << (NGX_COMETA_SHARE_SIZES - 1))


typedef struct {
    ngx_queue_t  link;              /* in the queue of its size, if held > 0 */
    ngx_uint_t   held;
} ngx_cometa_share_t;


/* Queue i has the shares that hold at least 2^i and less than 2^(i + 1). */

typedef struct {
    ngx_queue_t  sizes[NGX_COMETA_SHARE_SIZES];
} ngx_cometa_shares_t;


void ngx_cometa_shares_init(ngx_cometa_shares_t *shares);

/* Adds n, which may be negative, to a share; at most SHARE_MAX in all. */
void ngx_cometa_share_add(ngx_cometa_shares_t *shares,
    ngx_cometa_share_t *share, ngx_int_t n);

/* The largest share. NULL: all are empty. */
ngx_cometa_share_t *ngx_cometa_share_largest(ngx_cometa_shares_t *shares);

/*
 * Which share has to give something up if `share` grows by n: `share` itself,
 * unless another share is clearly larger than it would then be.
 */
ngx_cometa_share_t *ngx_cometa_share_payer(ngx_cometa_shares_t *shares,
    ngx_cometa_share_t *share, ngx_uint_t n);


#endif /* _NGX_COMETA_SHARE_H_INCLUDED_ */

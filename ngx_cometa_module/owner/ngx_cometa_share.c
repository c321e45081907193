
/*
 * Shares stand in queues by the logarithm of their size: a share moves to
 * another queue only when it has about doubled or halved.
 */

#include "ngx_cometa_share.h"
#include "ngx_cometa_debug.h"


static ngx_uint_t ngx_cometa_share_size(ngx_uint_t held);


void
ngx_cometa_shares_init(ngx_cometa_shares_t *shares)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_SHARE_SIZES; i++) {
        ngx_queue_init(&shares->sizes[i]);
    }
}


void
ngx_cometa_share_add(ngx_cometa_shares_t *shares, ngx_cometa_share_t *share,
    ngx_int_t n)
{
    ngx_uint_t  old, size;

    old = share->held;
    share->held += n;

    ngx_cometa_expect(n >= 0 || old >= (ngx_uint_t) -n);
    ngx_cometa_expect(share->held <= NGX_COMETA_SHARE_MAX);

    if (old && share->held
        && ngx_cometa_share_size(old) == ngx_cometa_share_size(share->held))
    {
        return;
    }

    if (old) {
        ngx_queue_remove(&share->link);
    }

    if (share->held) {
        size = ngx_cometa_share_size(share->held);
        ngx_queue_insert_tail(&shares->sizes[size], &share->link);
    }
}


ngx_cometa_share_t *
ngx_cometa_share_largest(ngx_cometa_shares_t *shares)
{
    ngx_uint_t  i;

    for (i = NGX_COMETA_SHARE_SIZES; i > 0; i--) {

        if (!ngx_queue_empty(&shares->sizes[i - 1])) {
            return ngx_queue_data(ngx_queue_head(&shares->sizes[i - 1]),
                                  ngx_cometa_share_t, link);
        }
    }

    return NULL;
}


ngx_cometa_share_t *
ngx_cometa_share_payer(ngx_cometa_shares_t *shares, ngx_cometa_share_t *share,
    ngx_uint_t n)
{
    ngx_cometa_share_t  *largest;

    largest = ngx_cometa_share_largest(shares);

    if (largest == NULL
        || ngx_cometa_share_size(share->held + n)
           >= ngx_cometa_share_size(largest->held))
    {
        return share;
    }

    return largest;
}


/* The binary logarithm, rounded down. */

static ngx_uint_t
ngx_cometa_share_size(ngx_uint_t held)
{
    ngx_uint_t  size;

    for (size = 0; held > 1; held >>= 1) {
        size++;
    }

    return size;
}

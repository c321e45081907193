
/*
 * A page of ids in the order of their bytes: the smallest ones behind a
 * position, picked out of ids that come in any order. No state of its own.
 */

#ifndef _NGX_COMETA_PAGE_H_INCLUDED_
#define _NGX_COMETA_PAGE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_registry.h"


typedef struct {
    ngx_str_t         after;        /* the position; empty: before all */
    ngx_uint_t        limit;        /* of ids that are kept */
    ngx_uint_t        n;            /* kept */
    ngx_uint_t        beyond;       /* seen behind `after`, those included */
    ngx_cometa_id_t  *ids;          /* a heap, its largest on top; or sorted */
} ngx_cometa_page_t;


/* Room for `limit` ids out of the pool. */
ngx_int_t ngx_cometa_page_init(ngx_cometa_page_t *page, ngx_pool_t *pool);

/* Looks at an id, which is copied if it is kept. */
void ngx_cometa_page_keep(ngx_cometa_page_t *page, ngx_cometa_id_t *id);

/* When all were seen: sorts those that were kept. */
void ngx_cometa_page_sort(ngx_cometa_page_t *page);


#endif /* _NGX_COMETA_PAGE_H_INCLUDED_ */

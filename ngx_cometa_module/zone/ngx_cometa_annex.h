
/*
 * The annex of a zone: what the master makes beside it for its slots, rings and
 * gauges (a mapping), eventfds and doors.
 */

#ifndef _NGX_COMETA_ANNEX_H_INCLUDED_
#define _NGX_COMETA_ANNEX_H_INCLUDED_


#include "ngx_cometa_zone.h"


/*
 * In the master, for a new zone: pool is that of the configuration, whose
 * destruction frees the annex unless another configuration keeps it. NGX_ERROR:
 * it cannot be made, or must not be, because devices are attached to the zone
 * in whose place it comes.
 */
ngx_int_t ngx_cometa_annex_make(ngx_cometa_head_t *head, ngx_pool_t *pool,
    ngx_log_t *log);

/* For a configuration that has the zone of the one before. */
ngx_int_t ngx_cometa_annex_keep(ngx_cometa_head_t *head, ngx_pool_t *pool);

/*
 * In the master, when a configuration is in force: says what is left in a zone
 * that it does not have.
 */
void ngx_cometa_annex_commit(ngx_cometa_head_t *head, ngx_log_t *log);

/* In a worker: sets rings and gauges of ngx_cometa_zone. */
void ngx_cometa_annex_view(ngx_cometa_head_t *head);


#endif /* _NGX_COMETA_ANNEX_H_INCLUDED_ */


/*
 * The figures of many devices, in the order of their ids: their owners are
 * asked, for a bounded number of devices at a time. All state is in the pool of
 * the request.
 */

#ifndef _NGX_COMETA_DETAIL_H_INCLUDED_
#define _NGX_COMETA_DETAIL_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_registry.h"


/* Bytes that one device takes at most, with a comma. */
#define NGX_COMETA_DETAIL_ONE  (NGX_COMETA_DEVICE_JSON + 1)

typedef struct ngx_cometa_detail_s  ngx_cometa_detail_t;


/*
 * Of the `n` devices with these ids, which must live as long as it does. The
 * event is posted for the next turn of the event loop when answers have come.
 * NULL: no memory.
 */
ngx_cometa_detail_t *ngx_cometa_detail_create(ngx_pool_t *pool,
    ngx_str_t *app, ngx_cometa_id_t *ids, ngx_uint_t n, ngx_event_t *event);

/*
 * Writes JSON objects from *p to `last`, as many as are there and have room,
 * with commas between all of them, and asks for more. NGX_OK: that was the last
 * one. NGX_AGAIN: others come; if nothing was written, wait for the event. A
 * device that has left meanwhile is left out; one whose worker does not answer
 * is an object with its id and an error.
 */
ngx_int_t ngx_cometa_detail_take(ngx_cometa_detail_t *detail, u_char **p,
    u_char *last);

/* Nobody waits for the answers any more. */
void ngx_cometa_detail_cancel(ngx_cometa_detail_t *detail);


#endif /* _NGX_COMETA_DETAIL_H_INCLUDED_ */

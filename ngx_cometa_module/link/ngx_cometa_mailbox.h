
/*
 * Mailboxes: one ring a slot in the zone, an eventfd to wake its reader, and
 * in each sender a backlog of what found a ring full. A letter is bytes here,
 * with what has to be known to find room for it. Nobody posts to itself.
 */

#ifndef _NGX_COMETA_MAILBOX_H_INCLUDED_
#define _NGX_COMETA_MAILBOX_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_slot.h"


/* Gets every letter: 8-byte aligned bytes, valid until it returns. */

typedef void (*ngx_cometa_deliver_pt)(u_char *data, size_t len);

/* Called when slots were vacated: calls and devices there are lost. */

typedef void (*ngx_cometa_deaths_pt)(void);


ngx_int_t ngx_cometa_mailbox_open(ngx_cycle_t *cycle,
    ngx_cometa_deliver_pt deliver, ngx_cometa_deaths_pt deaths,
    ngx_event_handler_pt exiting);
void ngx_cometa_mailbox_close(void);

/*
 * Posts a request that may be refused: NGX_BUSY, the ring is full (a part of
 * it is kept for answers); NGX_DECLINED, its process is gone. *pos is where
 * it stands in the ring.
 */
ngx_int_t ngx_cometa_mailbox_ask(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post, uint64_t *pos);

/*
 * Posts what should arrive: if the ring is full it waits in this process. If
 * no more may wait (see ngx_cometa_backlog.h) it is lost, counted and logged;
 * the call that it belongs to meets its deadline then.
 */
void ngx_cometa_mailbox_tell(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post);

/*
 * Delivers all mail that was posted before this. What a dead process has said
 * must be heard before it is judged what it has not said. Not from `deliver`.
 */
void ngx_cometa_mailbox_collect(void);


#endif /* _NGX_COMETA_MAILBOX_H_INCLUDED_ */

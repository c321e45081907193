
/*
 * Mailboxes: a ring for each slot, an eventfd to wake its reader, and in each
 * sender a backlog of letters that found a ring full. A letter is bytes here,
 * with what is needed to find room for it. A process never posts to itself.
 */

#ifndef _NGX_COMETA_MAILBOX_H_INCLUDED_
#define _NGX_COMETA_MAILBOX_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_slot.h"


/* Gets every letter: 8-byte aligned bytes, valid until this returns. */

typedef void (*ngx_cometa_deliver_pt)(u_char *data, size_t len);

/* Called when slots were vacated: calls and devices there are lost. */

typedef void (*ngx_cometa_deaths_pt)(void);


ngx_int_t ngx_cometa_mailbox_open(ngx_cycle_t *cycle,
    ngx_cometa_deliver_pt deliver, ngx_cometa_deaths_pt deaths,
    ngx_event_handler_pt exiting);
void ngx_cometa_mailbox_close(void);

/*
 * Posts a request that may be refused. NGX_BUSY: the ring is full (a part of it
 * is kept for answers); NGX_DECLINED: its process has gone. *pos is the
 * position of the letter in the ring.
 */
ngx_int_t ngx_cometa_mailbox_ask(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post, uint64_t *pos);

/*
 * Posts a letter that should arrive: if the ring is full it waits in this
 * process. If no more may wait (see ngx_cometa_backlog.h) it is lost, counted
 * and logged; its call then ends at its deadline.
 */
void ngx_cometa_mailbox_tell(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post);

/*
 * Delivers all letters that were posted before this: the letters of a dead
 * worker are read before its calls are failed. Must not be called from
 * `deliver`.
 */
void ngx_cometa_mailbox_collect(void);


#endif /* _NGX_COMETA_MAILBOX_H_INCLUDED_ */


/*
 * Letters that found a mailbox full. They wait in this process until there is
 * room; letters that may not wait are lost, counted and logged.
 *
 * Events and answers have separate rooms, so that however many events a device
 * sends, the answers of others still find a place. Each room is shared: an
 * application may hold half as much as is free, and the letters to one
 * addressee twice as much as is free. So one application alone gets a third,
 * one addressee two thirds, and another application or addressee always finds
 * some room. There are no more answers than calls: one is lost only if its
 * addressee stands still.
 */

#ifndef _NGX_COMETA_BACKLOG_H_INCLUDED_
#define _NGX_COMETA_BACKLOG_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_zone.h"


/* A letter that waits; its bytes follow. */

typedef struct {
    ngx_queue_t        link;
    uint32_t           epoch;           /* of the addressee's slot */
    uint32_t           len;
    uint32_t           app;
    uint16_t           class;           /* ngx_cometa_class_e */
    uint16_t           line;            /* ngx_cometa_kind_e: where it waits */
} ngx_cometa_letter_t;


/* At the start of a worker. */
ngx_int_t ngx_cometa_backlog_start(ngx_cycle_t *cycle);

/* Bytes that wait, their heads included. As a rule none do. */

extern size_t  ngx_cometa_backlog_used[NGX_COMETA_KINDS];

static ngx_inline size_t
ngx_cometa_backlog_size(void)
{
    return ngx_cometa_backlog_used[NGX_COMETA_EVENTS]
           + ngx_cometa_backlog_used[NGX_COMETA_ANSWERS];
}


/*
 * Whether letters wait that this one must not overtake. Answers go before
 * events, but a reply does not go before those of its own application.
 */
#define ngx_cometa_backlog_before(slot, post)                                 \
    (ngx_cometa_backlog_size() && ngx_cometa_backlog_stands(slot, post))

ngx_uint_t ngx_cometa_backlog_stands(uint32_t slot, ngx_cometa_post_t *post);

/* Keeps a letter. NGX_DECLINED: there is no room, the letter is lost. */
ngx_int_t ngx_cometa_backlog_add(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post);

/* The letter to this slot that goes next, or NULL. */
ngx_cometa_letter_t *ngx_cometa_backlog_next(uint32_t slot);

/* Frees a letter that was posted, or whose addressee has gone. */
void ngx_cometa_backlog_remove(uint32_t slot, ngx_cometa_letter_t *letter);

/* Counts a request that was refused. */
void ngx_cometa_backlog_refused(uint32_t slot);


#endif /* _NGX_COMETA_BACKLOG_H_INCLUDED_ */

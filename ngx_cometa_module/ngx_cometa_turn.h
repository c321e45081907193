
/*
 * How much may be done for one connection, and for all of them, in one turn of
 * the event loop. A function that does what a peer can ask for again and again
 * adds the cost to ngx_cometa_work. A function that reads from a peer stops
 * when the turn of the connection is over, keeps what it has read, and queues
 * the connection for another turn.
 *
 * Queued connections share a bounded part of each turn of the event loop, one
 * after the other. However many there are, they delay connections with little
 * traffic by no more than that.
 *
 * Connections that their peers have closed stand in a line of their own, with a
 * smaller part: if very many devices drop at once, calls to the others do not
 * wait until the last of those is closed here.
 */

#ifndef _NGX_COMETA_TURN_H_INCLUDED_
#define _NGX_COMETA_TURN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* Costs, in units of about 100 ns. */

#define NGX_COMETA_WORK_MESSAGE   3     /* of a device, or a frame */
#define NGX_COMETA_WORK_EVENT     5     /* sent to all interested workers */
#define NGX_COMETA_WORK_FRAME     1     /* added to the output of one socket */
#define NGX_COMETA_WORK_CALL      40
#define NGX_COMETA_WORK_LETTER    10
#define NGX_COMETA_WORK_WRITE     80
#define NGX_COMETA_WORK_CLOSE     150   /* of a connection */

/* For bytes that are read or copied. */
#define ngx_cometa_work_bytes(n)  ((n) / 256)

/* How much may be done in one go. */

#define NGX_COMETA_WORK_ONE       2500  /* for one connection */
#define NGX_COMETA_WORK_ALL       10000 /* for all queued ones; for letters */
#define NGX_COMETA_WORK_ENDS      3000  /* for all that have ended */


extern ngx_uint_t  ngx_cometa_work;
extern ngx_uint_t  ngx_cometa_turn_begun;       /* ngx_cometa_work then */


/* At the start of a worker. */
void ngx_cometa_turn_start(ngx_cycle_t *cycle);

/* The turn of a connection begins; whether it is over. */

static ngx_inline void
ngx_cometa_turn_begin(void)
{
    ngx_cometa_turn_begun = ngx_cometa_work;
}


static ngx_inline ngx_uint_t
ngx_cometa_turn_over(void)
{
    return ngx_cometa_work - ngx_cometa_turn_begun >= NGX_COMETA_WORK_ONE;
}


/*
 * Queues the connection for another turn, in which the handler of the event is
 * called. Closing the connection takes it out. While it is queued ev->posted is
 * set, and the handler must do nothing when epoll calls it.
 */
void ngx_cometa_turn_again(ngx_event_t *ev);

/*
 * The same for a connection that the peer has closed. 0 if this is its turn
 * already, or nobody is before it and few were closed in this turn of the loop.
 */
ngx_uint_t ngx_cometa_turn_end(ngx_event_t *ev);


#endif /* _NGX_COMETA_TURN_H_INCLUDED_ */


/*
 * How much one connection, and all of them, may do in one turn of the event
 * loop. Whoever does something that a peer can ask for again and again adds to
 * ngx_cometa_work what it has cost; whoever reads what peers send stops when
 * its turn is over, keeps what it has read, and stands in line for another.
 *
 * Those in line share a part of each turn of the event loop, one after the
 * other: however many there are, they delay those who say little by no more
 * than that.
 */

#ifndef _NGX_COMETA_TURN_H_INCLUDED_
#define _NGX_COMETA_TURN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* What things cost, in units of about 100 ns. */

#define NGX_COMETA_WORK_MESSAGE   3     /* of a device, or a frame */
#define NGX_COMETA_WORK_EVENT     5     /* told to those who are interested */
#define NGX_COMETA_WORK_FRAME     1     /* added to the output of one socket */
#define NGX_COMETA_WORK_CALL      40
#define NGX_COMETA_WORK_LETTER    10
#define NGX_COMETA_WORK_WRITE     80

/* What is read or copied. */
#define ngx_cometa_work_bytes(n)  ((n) / 256)

/* What may be done at once. */

#define NGX_COMETA_WORK_ONE       2500  /* for one connection */
#define NGX_COMETA_WORK_ALL       10000 /* for all those in line; for mail */


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
 * Stands in line for another turn: the event's handler is called. Closing the
 * connection takes it out. While it stands there ev->posted is set, and what
 * epoll says of it is no turn.
 */
void ngx_cometa_turn_again(ngx_event_t *ev);


#endif /* _NGX_COMETA_TURN_H_INCLUDED_ */

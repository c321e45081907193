
/*
 * How a connection is read, whatever it says: in turns (see ngx_cometa_turn.h),
 * into one buffer of this process. Bytes come by way of c->recv, and what they
 * mean is known to the reader, which finds itself in c->data.
 */

#ifndef _NGX_COMETA_READER_H_INCLUDED_
#define _NGX_COMETA_READER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct {

    /* How much may be read in one go. */
    size_t     (*portion)(ngx_connection_t *c);

    /*
     * Takes these bytes, which are valid until it returns; without any, what
     * it kept in an earlier turn. NGX_OK: they are used up; NGX_AGAIN: the
     * turn is over, and it has kept the rest; NGX_ERROR: nothing more is to be
     * read, its owner ends the connection.
     */
    ngx_int_t  (*take)(ngx_connection_t *c, u_char *data, size_t len);

} ngx_cometa_reader_t;


/* At the start of a worker. */
ngx_int_t ngx_cometa_reader_start(ngx_cycle_t *cycle);

/*
 * Whether an event of the connection is a turn. It is none while it stands in
 * line for one, nor if nginx wants an idle connection to be closed because
 * worker_shutdown_timeout has passed: that is left to the drain.
 */
ngx_uint_t ngx_cometa_reader_due(ngx_connection_t *c);

/*
 * One turn: these bytes, or what an earlier turn has left, and then what the
 * connection has. NGX_OK: all of it was read; NGX_AGAIN: the turn is over, and
 * there may be more; NGX_ERROR: the connection is to be closed, with c->error
 * set if it has failed.
 */
ngx_int_t ngx_cometa_reader_turn(ngx_connection_t *c,
    const ngx_cometa_reader_t *reader, u_char *data, size_t len);


#endif /* _NGX_COMETA_READER_H_INCLUDED_ */

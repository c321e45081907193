
/*
 * A parcel with the descriptor of its connection, as the kernel carries it from
 * one process to another. If the connection is parked, the state of its TLS
 * goes before the parcel. That has keys: both sides wipe their buffer of it.
 *
 *     +------+-------+--------+
 *     | head | state | parcel |
 *     +------+-------+--------+
 *              .len               bytes
 */

#ifndef _NGX_COMETA_ENVELOPE_H_INCLUDED_
#define _NGX_COMETA_ENVELOPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* What was received, valid until the next one, or until it is wiped. */

typedef struct {
    int      fd;                /* -1: this process had none left */
    u_char  *data;
    size_t   len;
    u_char  *tls;               /* NULL: it is a plain connection */
    size_t   tls_len;
} ngx_cometa_envelope_t;


/* At the start of a worker. `max` is the length of a parcel, at most. */
ngx_int_t ngx_cometa_envelope_start(ngx_cycle_t *cycle, size_t max);

/* NGX_AGAIN: the door is full, or there is no memory. */
ngx_int_t ngx_cometa_envelope_send(int door, ngx_connection_t *c,
    u_char *data, size_t len);

/* NGX_AGAIN: there is none. NGX_ERROR: there may be one. */
ngx_int_t ngx_cometa_envelope_receive(int door, ngx_cometa_envelope_t *e);

void ngx_cometa_envelope_wipe(ngx_cometa_envelope_t *e);


#endif /* _NGX_COMETA_ENVELOPE_H_INCLUDED_ */

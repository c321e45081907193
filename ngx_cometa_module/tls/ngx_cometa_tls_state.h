
/*
 * The state of each parked connection, which is found by the place of the
 * connection in the array of nginx's.
 */

#ifndef _NGX_COMETA_TLS_STATE_H_INCLUDED_
#define _NGX_COMETA_TLS_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "cometa_tls_record.h"


/* A record of ours, behind an answer to the peer. */
#define NGX_COMETA_TLS_OUT                                                    \
    (COMETA_TLS_REPLY_MAX + COMETA_TLS_PLAIN_MAX + COMETA_TLS_OVERHEAD)


/* Bytes that wait: `plain` of them, or of those they stand for, are data. */

typedef struct {
    uint32_t                  pos;
    uint32_t                  len;
    uint32_t                  plain;
    u_char                    data[];
} ngx_cometa_tls_bytes_t;


/* glibc takes 8 bytes more, and makes 256 of it. */

typedef struct {
    cometa_tls_t              tls;
    ngx_cometa_tls_bytes_t   *in;       /* data, and then records */
    ngx_cometa_tls_bytes_t   *out;      /* sealed */
    uint32_t                  place;    /* of its connection */
    uint16_t                  app;
    uint8_t                   empty;    /* records without data, in a row */
    unsigned                  away:1;
    unsigned                  failed:1; /* nothing can be written any more */
    unsigned                  told:1;   /* an alert, why nothing is read */
} ngx_cometa_tls_state_t;

_Static_assert(sizeof(ngx_cometa_tls_state_t) <= 248, "of a connection");


#define ngx_cometa_tls_connection(s)  (&ngx_cycle->connections[(s)->place])


/*
 * Makes the table. NGX_ERROR: no memory, or a process that cannot park: one
 * that has more than one cycle has more than one array of connections.
 */
ngx_int_t ngx_cometa_tls_states_ready(void);

/*
 * A state for the connection, with a copy of these keys. `app` is the index of
 * its application, whose gauge counts it. NULL: no memory.
 */
ngx_cometa_tls_state_t *ngx_cometa_tls_state_create(ngx_connection_t *c,
    const cometa_tls_t *tls, uint32_t app);

/* NULL: it is not parked. */
ngx_cometa_tls_state_t *ngx_cometa_tls_state(ngx_connection_t *c);

/* It is not this process's any more: its keys are wiped, nothing is sent. */
void ngx_cometa_tls_forget(ngx_connection_t *c);

/*
 * While the connection may be another process's it is neither read nor written
 * here, and no alert is sent, so that no number of a record is used twice.
 */
void ngx_cometa_tls_away(ngx_connection_t *c, ngx_uint_t away);

/* In place of those of a connection: they fail. */
ssize_t ngx_cometa_tls_recv_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit);
ngx_chain_t *ngx_cometa_tls_send_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit);

/* `data` is copied, if it is not NULL. NULL: no memory. */
ngx_cometa_tls_bytes_t *ngx_cometa_tls_bytes(u_char *data, size_t len,
    size_t plain);
void ngx_cometa_tls_bytes_free(ngx_cometa_tls_bytes_t **bytes);


#endif /* _NGX_COMETA_TLS_STATE_H_INCLUDED_ */

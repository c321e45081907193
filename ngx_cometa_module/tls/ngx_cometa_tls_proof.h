
/*
 * One direction of a connection over TLS as it goes over the wire: where its
 * records begin and end, how many there were, and the last one of them. What
 * OpenSSL says of itself is compared with it before a connection is parked.
 */

#ifndef _NGX_COMETA_TLS_PROOF_H_INCLUDED_
#define _NGX_COMETA_TLS_PROOF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "cometa_tls_record.h"


#define NGX_COMETA_TLS_KEPT   4096      /* bytes of a record, at most */
#define NGX_COMETA_TLS_BEGIN  13        /* head and nonce of a record */


typedef struct {
    uint64_t   counted;         /* records, as OpenSSL says */
    uint64_t   framed;          /* records that went over the wire whole */
    uint64_t   seq;             /* records with the key in use, as it says */
    uint64_t   sealed;          /* TLS 1.2: records after ChangeCipherSpec */
    uint64_t   nonce;           /* of the last of these */

    u_char    *record;          /* the last one, if it was kept */
    size_t     room;            /* bytes allocated there */
    size_t     last;            /* its length; 0: it was too long */
    size_t     len;             /* bytes of one that is not whole */
    size_t     size;            /* of that one, when its head is there */
    u_char     begin[NGX_COMETA_TLS_BEGIN];

    unsigned   keyed:1;         /* TLS 1.2: ChangeCipherSpec, OpenSSL says */
    unsigned   change:1;        /* one went over the wire */
    unsigned   jumps:1;         /* a nonce was not the one before plus one */
    unsigned   broken:1;        /* this is no TLS, or there was no memory */
} ngx_cometa_tls_way_t;


/* These bytes went over the wire. */
void ngx_cometa_tls_way_feed(ngx_cometa_tls_way_t *way, const u_char *p,
    size_t n);

/*
 * Whether nothing is under way: OpenSSL and the wire have the same count, and
 * the wire is between two records.
 */
ngx_uint_t ngx_cometa_tls_way_settled(ngx_cometa_tls_way_t *way);

/*
 * Opens the last record with the key of `half`, under the sequence number
 * before that of `half`. NGX_AGAIN: the last one was too long to be kept.
 * NGX_ERROR: the key or the number is not that of OpenSSL.
 */
ngx_int_t ngx_cometa_tls_way_prove(ngx_cometa_tls_way_t *way,
    cometa_tls_t *t, cometa_tls_half_t *half);

/*
 * TLS 1.2 with GCM: whether each explicit nonce since the first was seen, and
 * was the one before plus one. Then `nonce` plus one was never used.
 */
ngx_uint_t ngx_cometa_tls_way_steady(ngx_cometa_tls_way_t *way);

void ngx_cometa_tls_way_free(ngx_cometa_tls_way_t *way);


#endif /* _NGX_COMETA_TLS_PROOF_H_INCLUDED_ */

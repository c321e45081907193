
/*
 * The state of a request: the device it is about, how it ended, and the call or
 * list that is under way for it.
 */

#ifndef _NGX_COMETA_CTX_H_INCLUDED_
#define _NGX_COMETA_CTX_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_ws.h"

#include <ngx_http.h>


/* What gets the connection of a request: one of these is set. */

typedef struct {
    ngx_cometa_device_t             *device;
    ngx_cometa_ws_t                 *ws;
    struct ngx_cometa_ws_move_s     *move;
} ngx_cometa_adoptee_t;

/*
 * Gets the connection, the adoptee of the request's context, and what was read
 * after the request, which is valid until this returns. c->pool is NULL for a
 * plain connection. c->sockaddr must be copied if it is still needed.
 */
typedef void (*ngx_cometa_adopt_pt)(ngx_connection_t *c,
    ngx_cometa_adoptee_t *adoptee, u_char *rest, size_t len);

/* Called when an info was read; returns what to finalize the request with. */
typedef ngx_int_t (*ngx_cometa_info_pt)(ngx_http_request_t *r);


typedef struct {
    ngx_cometa_key_t                 key;
    uint32_t                         error;     /* the word of an answer */
    uint32_t                         retry;     /* s, Retry-After of it; 0:
                                                   what the word has */
    ngx_str_t                        info;      /* of an attach, form A */
    ngx_cometa_info_pt               info_read;
    ngx_str_t                       *nonce;     /* of an attach by WebSocket:
                                                   its Sec-WebSocket-Key */
    uint64_t                         latency;   /* us */
    uint64_t                         session;
    unsigned                         called:1;  /* latency is known */
    unsigned                         placed:1;  /* session and hop are */
    unsigned                         remote:1;
    unsigned                         starting:1;    /* the call, on the stack */
    unsigned                         lingering:1;   /* the body is not
                                                       discarded */

    ngx_cometa_call_t               *call;      /* under way */
    struct ngx_cometa_stats_list_s  *list;      /* being sent */
    void                            *detach;    /* counted, see
                                                   ngx_cometa_detach.c */
    ngx_cometa_adoptee_t             adoptee;   /* see ngx_cometa_adopt.h */
    ngx_cometa_adopt_pt              adopt;
} ngx_cometa_ctx_t;


/* The context, which is made at the first call. NULL: no memory. */
ngx_cometa_ctx_t *ngx_cometa_http_ctx(ngx_http_request_t *r);


#endif /* _NGX_COMETA_CTX_H_INCLUDED_ */

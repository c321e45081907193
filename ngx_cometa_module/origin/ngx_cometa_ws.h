
/*
 * A WebSocket to a device, once the handshake request is gone: frames in,
 * calls out; replies and events in, frames out.
 */

#ifndef _NGX_COMETA_WS_H_INCLUDED_
#define _NGX_COMETA_WS_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_mail.h"
#include "cometa_ws.h"


typedef struct ngx_cometa_ws_s  ngx_cometa_ws_t;


/*
 * What the sockets of one location have in common. All have the same timeout:
 * each queue is in the order in which its sockets expire.
 */

typedef struct {
    uint32_t              index;            /* in the configuration */
    uint32_t              generation;       /* of the configuration */
    ngx_msec_t            timeout;          /* without a frame */
    ngx_msec_t            send_timeout;     /* of a call */
    ngx_uint_t            queue;
    size_t                max_message;
    size_t                max_output;       /* bytes not read by the peer */

    ngx_queue_t           life;             /* heard of lately */
    ngx_queue_t           pinged;           /* and not heard of since */
    ngx_queue_t           closing;          /* a close frame was sent */
    ngx_event_t           timer;
    ngx_log_t            *error_log;
    ngx_log_t             log;              /* shared by the connections */
} ngx_cometa_ws_conf_t;


/* In the configuration phase, when the times of *conf are set. */
void ngx_cometa_ws_conf_init(ngx_cometa_ws_conf_t *conf,
    ngx_log_t *log);

/* At the start of a worker. */
ngx_int_t ngx_cometa_ws_start(ngx_cycle_t *cycle);

/*
 * A socket without a connection yet; the key is copied. NULL: no memory.
 * From now on it is counted and hears of its device.
 */
ngx_cometa_ws_t *ngx_cometa_ws_create(ngx_cometa_ws_conf_t *conf,
    ngx_cometa_key_t *key);

/* Undoes it for a socket that will not be opened. */
void ngx_cometa_ws_discard(ngx_cometa_ws_t *s);

/* Bytes to be written first of all, once it opens. NGX_ERROR: no memory. */
ngx_int_t ngx_cometa_ws_say(ngx_cometa_ws_t *s, u_char *data,
    size_t len);

/* Takes the connection over, as ngx_cometa_device_open() does. */
void ngx_cometa_ws_open(ngx_cometa_ws_t *s, ngx_connection_t *c,
    u_char *data, size_t len);

/* A device that WebSockets here are open to has said something. */
void ngx_cometa_ws_event(ngx_cometa_mail_event_t *mail, u_char *data,
    size_t len);

/* Tells the owner of a device how many WebSockets to it there are here. */
void ngx_cometa_ws_listeners(ngx_cometa_key_t *key);

/* Closes up to n sockets as going away; returns how many are left. */
ngx_uint_t ngx_cometa_ws_release(ngx_uint_t n);
ngx_uint_t ngx_cometa_ws_count(void);


#endif /* _NGX_COMETA_WS_H_INCLUDED_ */

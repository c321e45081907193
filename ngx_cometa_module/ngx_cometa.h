
/*
 * What all folders but codec share: limits of identifiers, the reasons why a
 * call fails or a device leaves, and the key of a device. It includes nginx and
 * no other file of the module.
 */

#ifndef _NGX_COMETA_H_INCLUDED_
#define _NGX_COMETA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#define NGX_COMETA_VERSION   "2.2.0"

#define NGX_COMETA_ID_MAX    64      /* bytes of an application or device id */
#define NGX_COMETA_INFO_MAX  256     /* bytes of a device's info */
#define NGX_COMETA_CALL_ID_MAX  36   /* of a call that nobody waits for */


/* What happens to a device, and is told to webhooks and WebSockets. */

#define NGX_COMETA_EVENT_DATA    0x01
#define NGX_COMETA_EVENT_ATTACH  0x02
#define NGX_COMETA_EVENT_DETACH  0x04
#define NGX_COMETA_EVENT_REPLY   0x08    /* of a call that nobody waits for */
#define NGX_COMETA_EVENT_ALL     0x0f    /* that a WebSocket may hear */
#define NGX_COMETA_EVENT_REQUEST 0x10    /* of a device, to the webhook */


/*
 * Why a call or an attach failed. The order is that of ngx_cometa_errors[] in
 * ngx_cometa_error.c, which gives each its status and its stable word. MOVED
 * never reaches a caller: it tells the origin of a call to look the device up
 * again, because nothing was written to it.
 */

typedef enum {
    NGX_COMETA_OK = 0,
    NGX_COMETA_INVALID_APPLICATION,
    NGX_COMETA_INVALID_DEVICE,
    NGX_COMETA_BAD_REQUEST,
    NGX_COMETA_EMPTY_MESSAGE,
    NGX_COMETA_UNAUTHORIZED,
    NGX_COMETA_FORBIDDEN,
    NGX_COMETA_INVALID_KEY,
    NGX_COMETA_DEVICE_OFFLINE,
    NGX_COMETA_NOT_ALLOWED,
    NGX_COMETA_ALREADY_ATTACHED,
    NGX_COMETA_MESSAGE_TOO_LARGE,
    NGX_COMETA_TEXT_REQUIRED,
    NGX_COMETA_UPGRADE_REQUIRED,
    NGX_COMETA_DEVICE_BUSY,
    NGX_COMETA_TOO_MANY_DEVICES,
    NGX_COMETA_DEVICE_DISCONNECTED,
    NGX_COMETA_DEVICE_TAKEN_OVER,
    NGX_COMETA_WORKER_LOST,
    NGX_COMETA_OVERLOADED,
    NGX_COMETA_ZONE_FULL,
    NGX_COMETA_DRAINING,
    NGX_COMETA_DEVICE_TIMEOUT,
    NGX_COMETA_HTTP1_REQUIRED,
    NGX_COMETA_MOVED,
    NGX_COMETA_ERRORS = NGX_COMETA_MOVED
} ngx_cometa_error_e;


/*
 * Why a connection over TLS was not parked. ngx_cometa_tls_reasons[] has the
 * words, in this order.
 */

typedef enum {
    NGX_COMETA_TLS_PROTOCOL = 0,        /* neither TLS 1.2 nor 1.3 */
    NGX_COMETA_TLS_CIPHER,              /* not one of the three AEADs */
    NGX_COMETA_TLS_EXTENSION,           /* one that changes records is in use */
    NGX_COMETA_TLS_REKEYED,             /* KeyUpdate, or renegotiation */
    NGX_COMETA_TLS_CALLBACK,            /* its secrets were not seen */
    NGX_COMETA_TLS_PENDING,             /* something was under way: later */
    NGX_COMETA_TLS_PROOF,               /* keys or numbers were not proved */
    NGX_COMETA_TLS_MEMORY,              /* no memory for its state */
    NGX_COMETA_TLS_REASONS
} ngx_cometa_tls_reason_e;


/* Why a device left. ngx_cometa_reasons[] has the words, in this order. */

typedef enum {
    NGX_COMETA_DETACHED = 0,        /* the device left in order */
    NGX_COMETA_DISCONNECTED,        /* FIN, RST, or an error of the socket */
    NGX_COMETA_HEARTBEAT_TIMEOUT,
    NGX_COMETA_TAKEN_OVER,
    NGX_COMETA_UNRESPONSIVE,        /* owed a reply for too long */
    NGX_COMETA_PROTOCOL_ERROR,
    NGX_COMETA_DRAINED,             /* its worker left */
    NGX_COMETA_KICKED,              /* its application ended it */
    NGX_COMETA_REASONS
} ngx_cometa_reason_e;


/*
 * The name of a device. The strings belong to the caller and must live longer
 * than the key; `hash` is of both, and is set by ngx_cometa_key_init().
 */

typedef struct {
    ngx_str_t  app;
    ngx_str_t  device;
    uint64_t   hash;
} ngx_cometa_key_t;


/* Microseconds of a clock that all processes of the machine share. */

static ngx_inline uint64_t
ngx_cometa_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


#endif /* _NGX_COMETA_H_INCLUDED_ */

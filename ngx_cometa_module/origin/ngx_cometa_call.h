
/*
 * A call at its origin, the worker that holds the caller: finds the device,
 * keeps the deadline, and ends exactly once.
 */

#ifndef _NGX_COMETA_CALL_H_INCLUDED_
#define _NGX_COMETA_CALL_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_registry.h"



typedef struct ngx_cometa_call_s  ngx_cometa_call_t;

/*
 * The end of a call, never after a cancel. `error` is NGX_COMETA_OK with the
 * reply in data, valid until this returns. The call is freed after it.
 */
typedef void (*ngx_cometa_call_pt)(ngx_cometa_call_t *call,
    ngx_uint_t error, u_char *data, size_t len);


struct ngx_cometa_call_s {

    /* set by the caller; the strings must live as long as the call */

    ngx_cometa_key_t      key;
    ngx_str_t             message;
    ngx_msec_t            timeout;      /* until the deadline, of the reply */
    ngx_msec_t            owe;          /* a late reply may be owed so long */
    ngx_msec_t            wait;         /* for an attach; 0: not at all */
    ngx_uint_t            queue;        /* how many may wait at the device */
    ngx_cometa_call_pt    handler;
    void                 *data;
    unsigned              query:1;      /* for the device's figures */
    unsigned              debug:1;      /* see ngx_cometa_trace.h */

    /* set at the end, for logs */

    uint64_t              latency;      /* us */
    uint64_t              session;
    unsigned              remote:1;

    /* private */

    ngx_queue_t           link;
    ngx_event_t           timer;
    ngx_cometa_place_t    place;
    uint64_t              pos;          /* of its mail, at a remote owner */
    uint64_t              time;         /* us, its arrival */
    uint64_t              deadline;     /* ms */
    uint64_t              online;       /* ms, until it waits for an attach */
    uint32_t              index;
    uint32_t              generation;
    uint32_t              app;
    uint8_t               state;
    uint8_t               tries;
};


ngx_int_t ngx_cometa_call_start(ngx_cycle_t *cycle);

/* All zero but the private part; NULL: no memory. */
ngx_cometa_call_t *ngx_cometa_call_create(void);

/* Starts it. The handler may be called before this returns. */
void ngx_cometa_call_begin(ngx_cometa_call_t *call);

/* The caller is gone: ends it without a word. */
void ngx_cometa_call_cancel(ngx_cometa_call_t *call);

/* Mail from the owner of a device. */
void ngx_cometa_call_reply(ngx_cometa_mail_reply_t *mail, u_char *data,
    size_t len);
void ngx_cometa_call_fail(ngx_cometa_mail_fail_t *mail);
void ngx_cometa_call_queued(ngx_cometa_mail_queued_t *mail);
void ngx_cometa_call_written(ngx_cometa_mail_written_t *mail);

/* A device has attached, on any worker: the calls that wait for it go on. */
void ngx_cometa_call_attached(ngx_cometa_key_t *key);

/* Workers have died: calls written to their devices are lost. */
void ngx_cometa_call_deaths(void);


#endif /* _NGX_COMETA_CALL_H_INCLUDED_ */

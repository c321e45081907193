
/*
 * The life of a device at the worker that holds it: it is entered in the
 * registry, gets its connection, is heard of in time, and leaves. What its
 * messages mean to calls and to applications is decided above, in the handlers
 * of ngx_cometa_device_handlers.
 */

#ifndef _NGX_COMETA_DEVICE_H_INCLUDED_
#define _NGX_COMETA_DEVICE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_registry.h"


/*
 * The files above. `reply` is told of an empty one only in form A. `closed`
 * takes the device out of the registry, when it has told what it has to.
 */

typedef struct {
    /* NGX_DECLINED: no call is outstanding */
    ngx_int_t  (*reply)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    ngx_uint_t (*outstanding)(ngx_cometa_device_t *dev);
    void       (*event)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    void       (*ready)(ngx_cometa_device_t *dev);
    void       (*opened)(ngx_cometa_device_t *dev);
    void       (*closed)(ngx_cometa_device_t *dev, ngx_uint_t reason);
} ngx_cometa_device_handlers_t;

extern ngx_cometa_device_handlers_t  ngx_cometa_device_handlers;


/* In the configuration phase, when the times of *conf are set. */
void ngx_cometa_device_conf_init(ngx_cometa_device_conf_t *conf,
    ngx_log_t *log);

/* At the start of a worker. */
ngx_int_t ngx_cometa_device_start(ngx_cycle_t *cycle);

/*
 * A device without a connection yet; ngx_cometa_device_open() brings it.
 * NULL: no memory.
 */
ngx_cometa_device_t *ngx_cometa_device_create(ngx_cometa_device_conf_t *conf);

/*
 * Enters it in the registry; from now on mail may come for it. Returns what
 * ngx_cometa_registry_attach() does.
 */
ngx_int_t ngx_cometa_device_enter(ngx_cometa_device_t *dev,
    ngx_cometa_key_t *key, ngx_cometa_takeover_t *takeover,
    ngx_cometa_place_t *old);

/* Undoes both for a device that will not be opened. */
void ngx_cometa_device_discard(ngx_cometa_device_t *dev);

/*
 * Takes the connection over; nothing of nginx's HTTP must use it any more.
 * Its pool is kept for TLS, and NULL otherwise. `data` are bytes that were
 * read behind the attach request; they are not needed after the return.
 */
void ngx_cometa_device_open(ngx_cometa_device_t *dev, ngx_connection_t *c,
    u_char *data, size_t len);

/*
 * It goes on here after it was offered to another worker, or has come from
 * one: reads what has come meanwhile, and writes what is left.
 */
void ngx_cometa_device_continue(ngx_cometa_device_t *dev);

/*
 * It has moved to another worker, or could not be taken in: nobody is told of
 * an end, and its connection is not touched.
 */
void ngx_cometa_device_forget(ngx_cometa_device_t *dev);

/*
 * Ends it, with a last chunk where the reason is an orderly one. Safe at any
 * time, also from the handlers above: then it happens when they return.
 */
void ngx_cometa_device_close(ngx_cometa_device_t *dev, ngx_uint_t reason);

/* Ends it, for it has attached anew; `by` is the address of that client. */
void ngx_cometa_device_evict(ngx_cometa_device_t *dev, ngx_str_t *by);

/*
 * Writes one chunk. NGX_AGAIN: not now (opening, or an earlier one is still
 * on its way), `ready` is called when it can; NGX_ERROR: it is being closed.
 */
ngx_int_t ngx_cometa_device_write(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/* Whether a write would be taken now. */
ngx_uint_t ngx_cometa_device_writable(ngx_cometa_device_t *dev);

/*
 * Lets up to n devices of this worker go, those with an outstanding call last.
 * Returns how many are left.
 */
ngx_uint_t ngx_cometa_device_release(ngx_uint_t n);


#endif /* _NGX_COMETA_DEVICE_H_INCLUDED_ */

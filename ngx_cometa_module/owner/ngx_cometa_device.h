
/*
 * The life of a device at the worker that holds it: it is entered in the
 * registry, gets its connection, must show signs of life, and leaves. What its
 * replies and events lead to is decided by ngx_cometa_device_handlers, which a
 * higher file sets.
 */

#ifndef _NGX_COMETA_DEVICE_H_INCLUDED_
#define _NGX_COMETA_DEVICE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_registry.h"


/*
 * How devices call the files above. `reply` gets an empty reply only in form A.
 * `closed` takes the device out of the registry.
 */

typedef struct {
    /* NGX_DECLINED: no call is outstanding */
    ngx_int_t  (*reply)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    ngx_uint_t (*outstanding)(ngx_cometa_device_t *dev);
    void       (*event)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    void       (*request)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    void       (*ready)(ngx_cometa_device_t *dev);
    void       (*opened)(ngx_cometa_device_t *dev);
    void       (*closed)(ngx_cometa_device_t *dev, ngx_uint_t reason);
} ngx_cometa_device_handlers_t;

extern ngx_cometa_device_handlers_t  ngx_cometa_device_handlers;


/* In the configuration phase, after the times of *conf were set. */
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
 * Enters the device in the registry; from now on letters may come for it.
 * Returns what ngx_cometa_registry_attach() returns.
 */
ngx_int_t ngx_cometa_device_enter(ngx_cometa_device_t *dev,
    ngx_cometa_key_t *key, ngx_cometa_takeover_t *takeover,
    ngx_cometa_place_t *old);

/* Frees a device that will not be opened, and takes it out again. */
void ngx_cometa_device_discard(ngx_cometa_device_t *dev);

/*
 * Gives the connection to the device; nginx's HTTP must not use it any more.
 * Its pool is kept for TLS, and NULL otherwise. `data` are bytes that were read
 * after the attach request; they are not needed after the return.
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
 * Ends the device, with a last chunk if the connection can take one. Safe at
 * any time: if the device is being read, or has no connection yet, it ends when
 * that is over.
 */
void ngx_cometa_device_close(ngx_cometa_device_t *dev, ngx_uint_t reason);

/* Ends it because client `by` (an address) has taken it over. */
void ngx_cometa_device_evict(ngx_cometa_device_t *dev, ngx_str_t *by);

/*
 * Writes one chunk. NGX_AGAIN: not now, because the device is opening or being
 * read, or an earlier chunk is not written yet; `ready` is called later.
 * NGX_ERROR: the device is closing.
 */
ngx_int_t ngx_cometa_device_write(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/* Whether ngx_cometa_device_write() would write now. */
ngx_uint_t ngx_cometa_device_writable(ngx_cometa_device_t *dev);

/*
 * Lets up to n devices of this worker go; devices with an outstanding call go
 * last. Returns how many devices are left.
 */
ngx_uint_t ngx_cometa_device_release(ngx_uint_t n);


#endif /* _NGX_COMETA_DEVICE_H_INCLUDED_ */

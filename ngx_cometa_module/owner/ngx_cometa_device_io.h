
/*
 * The bytes of a device: chunks that come on its connection, and chunks that
 * are written to it. This file does not know what the messages mean, nor how a
 * device begins and ends: messages go to a handler, and if the connection
 * fails, the device is marked as closing, and the caller ends it.
 */

#ifndef _NGX_COMETA_DEVICE_IO_H_INCLUDED_
#define _NGX_COMETA_DEVICE_IO_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * What was read and could not be passed to the handler yet: a chunk that is not
 * complete, and what was not decoded when the turn of the device was over.
 */

struct ngx_cometa_unread_s {
    ngx_queue_t           link;         /* in conf->partial, if `begun` */
    ngx_cometa_device_t  *device;

    uint32_t              since;        /* ms, when the chunk was begun */
    uint32_t              len;          /* of the chunk so far */
    uint32_t              size;
    unsigned              begun:1;
    u_char               *data;

    uint32_t              rest_len;     /* not decoded yet */
    u_char               *rest;
};


/*
 * What the socket did not take; or what is gathered until the end of this turn
 * of the event loop, because a device that takes several calls at a time gets
 * them in one piece.
 */

struct ngx_cometa_unsent_s {
    uint32_t              pos;
    uint32_t              len;
    uint32_t              size;         /* of data */
    uint32_t              gathered;     /* the socket was not asked yet */
    u_char                data[1];
};


/* Gets each message, which is valid until it returns. */

typedef void (*ngx_cometa_device_message_pt)(ngx_cometa_device_t *dev,
    u_char *data, size_t len);


/* At the start of a worker. */
ngx_int_t ngx_cometa_device_io_start(ngx_cycle_t *cycle,
    ngx_cometa_device_message_pt message);

/*
 * One turn: decodes these bytes, or what an earlier turn has left, and then
 * reads the connection. NGX_OK: all of it was read; NGX_AGAIN: the turn is
 * over, and there may be more; NGX_ERROR: the device is closing.
 */
ngx_int_t ngx_cometa_device_io_read(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/*
 * Writes one chunk, and keeps what the socket does not take. To be called only
 * if ngx_cometa_device_gathers(). NGX_ERROR: the caller must close the device.
 */
ngx_int_t ngx_cometa_device_io_write(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/* Writes what is kept. NGX_OK: all of it; NGX_AGAIN; NGX_ERROR as above. */
ngx_int_t ngx_cometa_device_io_flush(ngx_cometa_device_t *dev);

/* Closes the connection, with a last chunk if `last` and it is possible. */
void ngx_cometa_device_io_close(ngx_cometa_device_t *dev, ngx_uint_t last);

/* Frees all that is kept of input and output. */
void ngx_cometa_device_io_free(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_DEVICE_IO_H_INCLUDED_ */

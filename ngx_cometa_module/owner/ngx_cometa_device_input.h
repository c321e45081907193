
/*
 * The bytes that come on the connection of a device, by way of its transport.
 * This file does not know what the messages mean, nor how a device begins and
 * ends: messages go to a handler, and if the connection fails, the device is
 * marked as closing, and the caller ends it.
 */

#ifndef _NGX_COMETA_DEVICE_INPUT_H_INCLUDED_
#define _NGX_COMETA_DEVICE_INPUT_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * What was read and could not be passed to the handler yet: a message that is
 * not complete, and what was not decoded when the turn of the device was over.
 */

struct ngx_cometa_unread_s {
    ngx_queue_t           link;         /* in life->partial, if `begun` */
    ngx_cometa_device_t  *device;

    uint32_t              since;        /* ms, when it was begun */
    uint32_t              len;          /* of the message so far */
    uint32_t              size;
    unsigned              begun:1;
    u_char               *data;

    uint32_t              rest_len;     /* not decoded yet */
    u_char               *rest;
};


/* Gets each message, which is valid until it returns. */

typedef void (*ngx_cometa_device_message_pt)(ngx_cometa_device_t *dev,
    u_char *data, size_t len);

/* Something was heard of the device that is no message. */

typedef void (*ngx_cometa_device_sign_pt)(ngx_cometa_device_t *dev);


/* At the start of a worker. */
void ngx_cometa_device_input_start(ngx_cometa_device_message_pt message,
    ngx_cometa_device_sign_pt sign);

/*
 * One turn: decodes these bytes, or what an earlier turn has left, and then
 * reads the connection. NGX_OK: all of it was read; NGX_AGAIN: the turn is
 * over, and there may be more; NGX_ERROR: the device is closing.
 */
ngx_int_t ngx_cometa_device_input(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/* Frees all that is kept. */
void ngx_cometa_device_input_free(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_DEVICE_INPUT_H_INCLUDED_ */


/*
 * What a device asked for at its attach, and was granted. Only a device that
 * asked for something has one (dev->asked); for all others it is NULL, and all
 * is as the location has it.
 *
 * The terms move with the device: they are a section of its parcel.
 */

#ifndef _NGX_COMETA_ASKED_H_INCLUDED_
#define _NGX_COMETA_ASKED_H_INCLUDED_


#include "ngx_cometa_bytes.h"
#include "ngx_cometa_device_state.h"
#include "cometa_ws.h"


#define NGX_COMETA_PIPELINE_MAX  128    /* that a device may get */
#define NGX_COMETA_HEARTBEAT_MAX 86400  /* s, the same */


/*
 * No pointer, and nothing of this process. A request is filled with what the
 * device wishes, of which ngx_cometa_asked_grant() leaves what it gets.
 */

typedef struct {
    uint32_t               heartbeat;   /* s; 0: that of the location */
    uint16_t               pipeline;    /* calls without a reply; 0: not asked
                                           for, which is 1 */
    uint8_t                echo;        /* of each heartbeat */
    uint8_t                frames;      /* a WebSocket, in place of chunks */
    uint8_t                text;        /* calls in frames of text */
    uint8_t                requests;    /* it may ask, too */
} ngx_cometa_terms_t;


struct ngx_cometa_asked_s {
    ngx_cometa_terms_t     terms;
    uint16_t               echoes;      /* heartbeats that have none yet */
    unsigned               pong_due:1;
    unsigned               ping_due:1;
    unsigned               pinged:1;    /* and not heard of since */

    ngx_cometa_life_t     *life;        /* devices of the same interval */
    ngx_cometa_requests_t *questions;   /* what it asks, or NULL */

    /* with terms.frames */

    cometa_ws_t            codec;       /* of what is received */
    ngx_cometa_bytes_t    *ping;        /* the pieces of one */
    ngx_cometa_bytes_t    *pong;        /* to be sent */
};


/*
 * Limits the terms to what the location allows, and gives them to the device;
 * none if nothing is left. NGX_ERROR: no memory.
 */
ngx_int_t ngx_cometa_asked_grant(ngx_cometa_device_t *dev,
    ngx_cometa_terms_t *terms);

void ngx_cometa_asked_free(ngx_cometa_device_t *dev);

/* The section of a parcel: its length, 0 if there is none, and its bytes. */
size_t ngx_cometa_asked_size(ngx_cometa_device_t *dev);
u_char *ngx_cometa_asked_pack(ngx_cometa_device_t *dev, u_char *dst);

/* The reverse, at the other worker. NGX_ERROR: malformed, or no memory. */
ngx_int_t ngx_cometa_asked_unpack(ngx_cometa_device_t *dev, u_char *src,
    size_t len);


/*
 * A heartbeat wants its echo. Of a device that does not read, so many are kept
 * in mind and no more.
 */
#define NGX_COMETA_ECHOES  1024

void ngx_cometa_asked_echo(ngx_cometa_device_t *dev);

/*
 * Packs echoes that are due, as many as there is room for; returns the length.
 */
size_t ngx_cometa_asked_echoes(ngx_cometa_device_t *dev,
    size_t (*pack)(ngx_cometa_device_t *dev, u_char *dst, u_char *data,
    size_t len), u_char *dst, size_t room);


/* Whether the device can take this message; one of text takes only UTF-8. */
ngx_uint_t ngx_cometa_asked_takes(ngx_cometa_device_t *dev, u_char *message,
    size_t len);


/* Devices of the same interval. */

static ngx_inline ngx_cometa_life_t *
ngx_cometa_device_life(ngx_cometa_device_t *dev)
{
    return dev->asked ? dev->asked->life : &dev->conf->life;
}


/* Calls that may be written before the first one is answered: at least 1. */

static ngx_inline ngx_uint_t
ngx_cometa_asked_pipeline(ngx_cometa_device_t *dev)
{
    return (dev->asked && dev->asked->terms.pipeline)
           ? dev->asked->terms.pipeline : 1;
}


#endif /* _NGX_COMETA_ASKED_H_INCLUDED_ */

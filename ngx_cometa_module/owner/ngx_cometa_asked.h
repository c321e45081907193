
/*
 * What a device asked for at its attach, and was granted. Only a device that
 * asked for something has one (dev->asked); for all others it is NULL, and all
 * is as the location has it.
 *
 * The terms move with the device: they are a section of its parcel.
 */

#ifndef _NGX_COMETA_ASKED_H_INCLUDED_
#define _NGX_COMETA_ASKED_H_INCLUDED_


#include "ngx_cometa_device_state.h"


#define NGX_COMETA_PIPELINE_MAX  128    /* that a device may get */


/*
 * No pointer, and nothing of this process. A request is filled with what the
 * device wishes, of which ngx_cometa_asked_grant() leaves what it gets.
 */

typedef struct {
    uint32_t               heartbeat;   /* s; 0: that of the location */
    uint16_t               pipeline;    /* calls without a reply; 0: not asked
                                           for, which is 1 */
    uint8_t                echo;        /* of each heartbeat */
    uint8_t                text;        /* calls in frames of text */
    uint8_t                requests;    /* it may ask, too */
} ngx_cometa_terms_t;


struct ngx_cometa_asked_s {
    ngx_cometa_terms_t     terms;
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


/* Calls that may be written before the first one is answered: at least 1. */

static ngx_inline ngx_uint_t
ngx_cometa_asked_pipeline(ngx_cometa_device_t *dev)
{
    return (dev->asked && dev->asked->terms.pipeline)
           ? dev->asked->terms.pipeline : 1;
}


#endif /* _NGX_COMETA_ASKED_H_INCLUDED_ */


/*
 * How the messages of a device become bytes of its connection, and the reverse:
 * as chunks (RFC 9112), or as frames of a WebSocket (RFC 6455). All that lies
 * above, the device, its queue and its times, is the same for both.
 *
 * A transport has no I/O and no buffers but those in the state of the device.
 */

#ifndef _NGX_COMETA_TRANSPORT_H_INCLUDED_
#define _NGX_COMETA_TRANSPORT_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * What parse() returns beside errors, which are negative. The first three are
 * those of the codecs.
 */

typedef enum {
    NGX_COMETA_PARSE_AGAIN = 0,     /* the input is used up */
    NGX_COMETA_PARSE_PART,          /* a piece of a message */
    NGX_COMETA_PARSE_DONE,          /* its last piece */
    NGX_COMETA_PARSE_NOTHING,       /* of no message; there may be more */
    NGX_COMETA_PARSE_SIGN,          /* the same, and a sign of life */
    NGX_COMETA_PARSE_LEAVES,        /* the device leaves in order */
    NGX_COMETA_PARSE_MEMORY         /* there was none */
} ngx_cometa_parse_e;


typedef struct {

    /*
     * Advances *pos and returns one event. With PART and DONE, *data and *len
     * name the piece, which lies in the input and may be changed there.
     */
    int          (*parse)(ngx_cometa_device_t *dev, u_char **pos, u_char *end,
                          u_char **data, size_t *len);

    /* The reason behind an error, in words. */
    const char  *(*error)(int rc);

    /* Whether something was begun that is not complete. */
    ngx_uint_t   (*begun)(ngx_cometa_device_t *dev);

    /* Bytes of the message that are to come, and all of it, as is known. */
    size_t       (*rest)(ngx_cometa_device_t *dev);
    size_t       (*size)(ngx_cometa_device_t *dev);

    /*
     * Writes a message to dst, where there is room for it and
     * NGX_COMETA_TRANSPORT_ROOM bytes. Returns the length.
     */
    size_t       (*pack)(ngx_cometa_device_t *dev, u_char *dst, u_char *data,
                         size_t len);

    /*
     * Writes what the device has a right to beside messages, an answer to a
     * ping or to heartbeats, at most NGX_COMETA_TRANSPORT_DUE bytes. Returns
     * the length, 0 if there is nothing more.
     */
    size_t       (*due)(ngx_cometa_device_t *dev, u_char *dst);

    /*
     * Writes what is said last, at most NGX_COMETA_TRANSPORT_ROOM bytes, by the
     * reason why the device leaves. Returns the length, 0 for nothing.
     */
    size_t       (*last)(ngx_cometa_device_t *dev, u_char *dst);

} ngx_cometa_transport_t;


#define NGX_COMETA_TRANSPORT_ROOM  64
#define NGX_COMETA_TRANSPORT_DUE   1024


extern const ngx_cometa_transport_t  ngx_cometa_chunks;
extern const ngx_cometa_transport_t  ngx_cometa_frames;


static ngx_inline const ngx_cometa_transport_t *
ngx_cometa_transport(ngx_cometa_device_t *dev)
{
    return dev->frames ? &ngx_cometa_frames : &ngx_cometa_chunks;
}


#endif /* _NGX_COMETA_TRANSPORT_H_INCLUDED_ */

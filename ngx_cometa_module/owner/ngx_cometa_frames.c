
/*
 * The transport of frames. Its state is in dev->asked, which every device over
 * a WebSocket has. A ping is answered when the turn of the device ends, and
 * only the last one of several, as RFC 6455 allows: so nothing that a device
 * sends makes output that grows.
 */

#include "ngx_cometa_transport.h"
#include "ngx_cometa.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_error.h"
#include "cometa_ws.h"


#define NGX_COMETA_FRAMES_NORMAL   1000
#define NGX_COMETA_FRAMES_AWAY     1001     /* the device is */
#define NGX_COMETA_FRAMES_PROTOCOL 1002
#define NGX_COMETA_FRAMES_RESTART  1012     /* come again in a while */


static int ngx_cometa_frames_parse(ngx_cometa_device_t *dev, u_char **pos,
    u_char *end, u_char **data, size_t *len);
static int ngx_cometa_frames_control(ngx_cometa_device_t *dev, int rc,
    u_char *data, size_t len);
static const char *ngx_cometa_frames_error(int rc);
static ngx_uint_t ngx_cometa_frames_begun(ngx_cometa_device_t *dev);
static size_t ngx_cometa_frames_rest(ngx_cometa_device_t *dev);
static size_t ngx_cometa_frames_size(ngx_cometa_device_t *dev);
static size_t ngx_cometa_frames_pack(ngx_cometa_device_t *dev, u_char *dst,
    u_char *data, size_t len);
static size_t ngx_cometa_frames_due(ngx_cometa_device_t *dev, u_char *dst);
static size_t ngx_cometa_frames_last(ngx_cometa_device_t *dev, u_char *dst);
static ngx_uint_t ngx_cometa_frames_code(ngx_cometa_device_t *dev);


_Static_assert((int) COMETA_WS_AGAIN == NGX_COMETA_PARSE_AGAIN
               && (int) COMETA_WS_PART == NGX_COMETA_PARSE_PART
               && (int) COMETA_WS_DONE == NGX_COMETA_PARSE_DONE,
               "the codec's events are passed on");

_Static_assert(COMETA_WS_HEAD_MAX <= NGX_COMETA_TRANSPORT_ROOM,
               "beside a message");

_Static_assert(2 * (2 + COMETA_WS_CONTROL_MAX) <= NGX_COMETA_TRANSPORT_DUE,
               "a pong and a ping");


const ngx_cometa_transport_t  ngx_cometa_frames = {
    ngx_cometa_frames_parse,
    ngx_cometa_frames_error,
    ngx_cometa_frames_begun,
    ngx_cometa_frames_rest,
    ngx_cometa_frames_size,
    ngx_cometa_frames_pack,
    ngx_cometa_frames_due,
    ngx_cometa_frames_last
};


static int
ngx_cometa_frames_parse(ngx_cometa_device_t *dev, u_char **pos, u_char *end,
    u_char **data, size_t *len)
{
    int           rc;
    cometa_ws_t  *codec;

    codec = &dev->asked->codec;

    rc = cometa_ws_parse(codec, pos, end, dev->conf->max_message, data, len);

    if (rc <= 0 || !(codec->type & COMETA_WS_CLOSE)) {
        return rc;
    }

    return ngx_cometa_frames_control(dev, rc, *data, *len);
}


/* All control frames have the bit of COMETA_WS_CLOSE, and messages have not. */

static int
ngx_cometa_frames_control(ngx_cometa_device_t *dev, int rc, u_char *data,
    size_t len)
{
    ngx_cometa_asked_t  *asked;

    asked = dev->asked;

    if (asked->codec.type == COMETA_WS_PING) {

        if (ngx_cometa_bytes_add(&asked->ping, data, len) != NGX_OK) {
            return NGX_COMETA_PARSE_MEMORY;
        }
    }

    if (rc != COMETA_WS_DONE) {
        return NGX_COMETA_PARSE_NOTHING;
    }

    switch (asked->codec.type) {

    case COMETA_WS_CLOSE:
        return NGX_COMETA_PARSE_LEAVES;

    case COMETA_WS_PING:
        ngx_cometa_bytes_free(&asked->pong);

        asked->pong = asked->ping;
        asked->ping = NULL;
        asked->pong_due = 1;

        /* fall through */

    default: /* COMETA_WS_PONG */
        return NGX_COMETA_PARSE_SIGN;
    }
}


static const char *
ngx_cometa_frames_error(int rc)
{
    return cometa_ws_error(rc);
}


static ngx_uint_t
ngx_cometa_frames_begun(ngx_cometa_device_t *dev)
{
    return cometa_ws_begun(&dev->asked->codec);
}


static size_t
ngx_cometa_frames_rest(ngx_cometa_device_t *dev)
{
    return dev->asked->codec.rest;
}


static size_t
ngx_cometa_frames_size(ngx_cometa_device_t *dev)
{
    return dev->asked->codec.size;
}


static size_t
ngx_cometa_frames_pack(ngx_cometa_device_t *dev, u_char *dst, u_char *data,
    size_t len)
{
    size_t  n;

    n = cometa_ws_head(dst, dev->asked->terms.text ? COMETA_WS_TEXT
                                                   : COMETA_WS_BINARY, len);
    ngx_memcpy(dst + n, data, len);

    return n + len;
}


static size_t
ngx_cometa_frames_due(ngx_cometa_device_t *dev, u_char *dst)
{
    size_t               len;
    u_char              *p;
    ngx_cometa_asked_t  *asked;

    p = dst;
    asked = dev->asked;

    if (asked->pong_due) {
        len = ngx_cometa_bytes_left(asked->pong);
        p += cometa_ws_head(p, COMETA_WS_PONG, len);

        if (len) {
            p = ngx_cpymem(p, asked->pong->data, len);
        }

        ngx_cometa_bytes_free(&asked->pong);
        asked->pong_due = 0;
    }

    if (asked->ping_due) {
        p += cometa_ws_head(p, COMETA_WS_PING, 0);
        asked->ping_due = 0;
    }

    if (p != dst) {
        return p - dst;
    }

    return ngx_cometa_asked_echoes(dev, ngx_cometa_frames_pack, dst,
                                   NGX_COMETA_TRANSPORT_DUE);
}


/* A close frame: its code, and why, in the word that the log has as well. */

static size_t
ngx_cometa_frames_last(ngx_cometa_device_t *dev, u_char *dst)
{
    u_char      *p;
    ngx_str_t   *word;
    ngx_uint_t   code;

    code = ngx_cometa_frames_code(dev);

    if (dev->reason == NGX_COMETA_DETACHED) {
        return cometa_ws_close(dst, code);
    }

    word = &ngx_cometa_reasons[dev->reason];

    p = dst + cometa_ws_head(dst, COMETA_WS_CLOSE, 2 + word->len);

    *p++ = code >> 8;
    *p++ = code & 0xff;
    p = ngx_cpymem(p, word->data, word->len);

    return p - dst;
}


static ngx_uint_t
ngx_cometa_frames_code(ngx_cometa_device_t *dev)
{
    cometa_ws_t  *codec;

    codec = &dev->asked->codec;

    switch (dev->reason) {

    case NGX_COMETA_DETACHED:
        return codec->code ? codec->code : NGX_COMETA_FRAMES_NORMAL;

    case NGX_COMETA_PROTOCOL_ERROR:

        /* without an error of the codec, a message was not completed */

        return codec->error ? cometa_ws_error_code(codec->error)
                            : NGX_COMETA_FRAMES_PROTOCOL;

    case NGX_COMETA_HEARTBEAT_TIMEOUT:
    case NGX_COMETA_UNRESPONSIVE:
        return NGX_COMETA_FRAMES_AWAY;

    case NGX_COMETA_DRAINED:
        return NGX_COMETA_FRAMES_RESTART;

    default:

        /* it was taken over, and is not to come back at once */

        return NGX_COMETA_FRAMES_NORMAL;
    }
}


/*
 * The transport of chunks. Its state is dev->state.chunk, and nothing else:
 * most devices have it.
 */

#include "ngx_cometa_transport.h"
#include "ngx_cometa.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "cometa_chunk.h"


static int ngx_cometa_chunks_parse(ngx_cometa_device_t *dev, u_char **pos,
    u_char *end, u_char **data, size_t *len);
static const char *ngx_cometa_chunks_error(int rc);
static ngx_uint_t ngx_cometa_chunks_begun(ngx_cometa_device_t *dev);
static size_t ngx_cometa_chunks_rest(ngx_cometa_device_t *dev);
static size_t ngx_cometa_chunks_size(ngx_cometa_device_t *dev);
static size_t ngx_cometa_chunks_pack(ngx_cometa_device_t *dev, u_char *dst,
    u_char *data, size_t len);
static size_t ngx_cometa_chunks_due(ngx_cometa_device_t *dev, u_char *dst);
static size_t ngx_cometa_chunks_last(ngx_cometa_device_t *dev, u_char *dst);


_Static_assert((int) COMETA_CHUNK_AGAIN == NGX_COMETA_PARSE_AGAIN
               && (int) COMETA_CHUNK_PART == NGX_COMETA_PARSE_PART
               && (int) COMETA_CHUNK_DONE == NGX_COMETA_PARSE_DONE,
               "the codec's events are passed on");

_Static_assert(COMETA_CHUNK_HEAD_MAX + 2 <= NGX_COMETA_TRANSPORT_ROOM,
               "beside a message");


const ngx_cometa_transport_t  ngx_cometa_chunks = {
    ngx_cometa_chunks_parse,
    ngx_cometa_chunks_error,
    ngx_cometa_chunks_begun,
    ngx_cometa_chunks_rest,
    ngx_cometa_chunks_size,
    ngx_cometa_chunks_pack,
    ngx_cometa_chunks_due,
    ngx_cometa_chunks_last
};


static int
ngx_cometa_chunks_parse(ngx_cometa_device_t *dev, u_char **pos, u_char *end,
    u_char **data, size_t *len)
{
    int             rc;
    const uint8_t  *p, *piece;

    p = *pos;

    rc = cometa_chunk_parse(&dev->state.chunk, &p, end,
                            dev->conf->max_message, &piece, len);

    *data = *pos + (piece - *pos);
    *pos += p - *pos;

    return rc;
}


static const char *
ngx_cometa_chunks_error(int rc)
{
    return cometa_chunk_error(rc);
}


static ngx_uint_t
ngx_cometa_chunks_begun(ngx_cometa_device_t *dev)
{
    return cometa_chunk_begun(&dev->state.chunk);
}


static size_t
ngx_cometa_chunks_rest(ngx_cometa_device_t *dev)
{
    return dev->state.chunk.rest;
}


static size_t
ngx_cometa_chunks_size(ngx_cometa_device_t *dev)
{
    return dev->state.chunk.size;
}


static size_t
ngx_cometa_chunks_pack(ngx_cometa_device_t *dev, u_char *dst, u_char *data,
    size_t len)
{
    u_char  *p;

    p = dst + cometa_chunk_head(dst, len);
    p = ngx_cpymem(p, data, len);

    *p++ = CR;
    *p++ = LF;

    return p - dst;
}


static size_t
ngx_cometa_chunks_due(ngx_cometa_device_t *dev, u_char *dst)
{
    return ngx_cometa_asked_echoes(dev, ngx_cometa_chunks_pack, dst,
                                   NGX_COMETA_TRANSPORT_DUE);
}


static size_t
ngx_cometa_chunks_last(ngx_cometa_device_t *dev, u_char *dst)
{
    if (dev->reason == NGX_COMETA_PROTOCOL_ERROR) {
        return 0;
    }

    ngx_memcpy(dst, "0" CRLF CRLF, 5);

    return 5;
}


/*
 * What devices asked for. All state is this process's own, and is the device's.
 */

#include "ngx_cometa_asked.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_life.h"
#include "cometa_utf8.h"
#include "cometa_ws.h"


#define NGX_COMETA_ECHO_ROOM  16        /* bytes, for one */


/* What of the state of a device over a WebSocket goes in its parcel. */

typedef struct {
    ngx_cometa_terms_t     terms;
    uint16_t               echoes;
    uint8_t                pong_due;
    uint8_t                ping;        /* bytes that follow, ... */
    uint8_t                pong;        /* ... and behind them */
    cometa_ws_t            codec;
} ngx_cometa_asked_parcel_t;


static uint32_t ngx_cometa_asked_interval(ngx_cometa_device_conf_t *conf,
    uint32_t interval);
static ngx_uint_t ngx_cometa_asked_none(ngx_cometa_terms_t *terms);
static ngx_int_t ngx_cometa_asked_give(ngx_cometa_device_t *dev,
    ngx_cometa_terms_t *terms);


ngx_int_t
ngx_cometa_asked_grant(ngx_cometa_device_t *dev, ngx_cometa_terms_t *terms)
{
    ngx_cometa_device_conf_t  *conf;

    conf = dev->conf;

    if (terms->heartbeat) {
        terms->heartbeat = ngx_cometa_asked_interval(conf, terms->heartbeat);
    }

    terms->text = terms->text && terms->frames;
    terms->pipeline = ngx_min(terms->pipeline, conf->pipeline);

    if (ngx_cometa_asked_none(terms)) {
        return NGX_OK;
    }

    return ngx_cometa_asked_give(dev, terms);
}


/*
 * Two digits of it count, so that there are few different ones, however many
 * are asked for: 125 becomes 120.
 */

static uint32_t
ngx_cometa_asked_interval(ngx_cometa_device_conf_t *conf, uint32_t interval)
{
    uint32_t  step;

    interval = ngx_min(interval, conf->heartbeat_max / 1000);

    for (step = 1; interval / step >= 100; step *= 10) { /* void */ }

    interval -= interval % step;

    return ngx_max(interval, conf->heartbeat_min / 1000);
}


static ngx_uint_t
ngx_cometa_asked_none(ngx_cometa_terms_t *terms)
{
    return terms->heartbeat == 0
           && terms->pipeline == 0
           && !terms->frames
           && !terms->requests;
}


static ngx_int_t
ngx_cometa_asked_give(ngx_cometa_device_t *dev, ngx_cometa_terms_t *terms)
{
    ngx_cometa_asked_t  *asked;

    asked = ngx_calloc(sizeof(ngx_cometa_asked_t), ngx_cycle->log);
    if (asked == NULL) {
        return NGX_ERROR;
    }

    asked->terms = *terms;
    asked->life = ngx_cometa_life_get(dev->conf, terms->heartbeat,
                                      terms->frames);
    if (asked->life == NULL) {
        ngx_free(asked);
        return NGX_ERROR;
    }

    cometa_ws_init(&asked->codec);

    dev->asked = asked;
    dev->frames = terms->frames;

    return NGX_OK;
}


void
ngx_cometa_asked_free(ngx_cometa_device_t *dev)
{
    if (dev->asked == NULL) {
        return;
    }

    ngx_cometa_bytes_free(&dev->asked->ping);
    ngx_cometa_bytes_free(&dev->asked->pong);

    ngx_free(dev->asked);

    dev->asked = NULL;
    dev->frames = 0;
}


size_t
ngx_cometa_asked_size(ngx_cometa_device_t *dev)
{
    if (dev->asked == NULL) {
        return 0;
    }

    return sizeof(ngx_cometa_asked_parcel_t)
           + ngx_cometa_bytes_left(dev->asked->ping)
           + ngx_cometa_bytes_left(dev->asked->pong);
}


u_char *
ngx_cometa_asked_pack(ngx_cometa_device_t *dev, u_char *dst)
{
    ngx_cometa_asked_t         *asked;
    ngx_cometa_asked_parcel_t   parcel;

    asked = dev->asked;

    if (asked == NULL) {
        return dst;
    }

    ngx_memzero(&parcel, sizeof(ngx_cometa_asked_parcel_t));

    parcel.terms = asked->terms;
    parcel.echoes = asked->echoes;
    parcel.pong_due = asked->pong_due;
    parcel.ping = ngx_cometa_bytes_left(asked->ping);
    parcel.pong = ngx_cometa_bytes_left(asked->pong);
    parcel.codec = asked->codec;

    dst = ngx_cpymem(dst, &parcel, sizeof(ngx_cometa_asked_parcel_t));

    if (parcel.ping) {
        dst = ngx_cpymem(dst, asked->ping->data, parcel.ping);
    }

    if (parcel.pong) {
        dst = ngx_cpymem(dst, asked->pong->data, parcel.pong);
    }

    return dst;
}


ngx_int_t
ngx_cometa_asked_unpack(ngx_cometa_device_t *dev, u_char *src, size_t len)
{
    ngx_cometa_asked_t         *asked;
    ngx_cometa_asked_parcel_t   parcel;

    if (len == 0) {
        return NGX_OK;
    }

    if (len < sizeof(ngx_cometa_asked_parcel_t)) {
        return NGX_ERROR;
    }

    ngx_memcpy(&parcel, src, sizeof(ngx_cometa_asked_parcel_t));
    src += sizeof(ngx_cometa_asked_parcel_t);

    if (len != sizeof(ngx_cometa_asked_parcel_t) + parcel.ping + parcel.pong
        || parcel.terms.heartbeat > NGX_COMETA_HEARTBEAT_MAX)
    {
        return NGX_ERROR;
    }

    if (ngx_cometa_asked_give(dev, &parcel.terms) != NGX_OK) {
        return NGX_ERROR;
    }

    asked = dev->asked;

    asked->echoes = parcel.echoes;
    asked->pong_due = parcel.pong_due;
    asked->codec = parcel.codec;

    if (ngx_cometa_bytes_add(&asked->ping, src, parcel.ping) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_cometa_bytes_add(&asked->pong, src + parcel.ping, parcel.pong);
}


ngx_uint_t
ngx_cometa_asked_takes(ngx_cometa_device_t *dev, u_char *message, size_t len)
{
    return dev->asked == NULL || !dev->asked->terms.text
           || cometa_utf8_valid(message, len);
}


void
ngx_cometa_asked_echo(ngx_cometa_device_t *dev)
{
    if (dev->asked && dev->asked->terms.echo
        && dev->asked->echoes < NGX_COMETA_ECHOES)
    {
        dev->asked->echoes++;
    }
}


size_t
ngx_cometa_asked_echoes(ngx_cometa_device_t *dev,
    size_t (*pack)(ngx_cometa_device_t *dev, u_char *dst, u_char *data,
    size_t len), u_char *dst, size_t room)
{
    size_t  len;
    u_char  echo;

    if (dev->asked == NULL) {
        return 0;
    }

    len = 0;
    echo = NGX_COMETA_CHUNK_HEARTBEAT;

    while (dev->asked->echoes && room - len >= NGX_COMETA_ECHO_ROOM) {
        len += pack(dev, dst + len, &echo, 1);
        dev->asked->echoes--;
    }

    return len;
}

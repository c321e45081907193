
/*
 * The way of a WebSocket to the worker of its device. nginx's filters make the
 * answer to the handshake here, and it is kept; the request ends; the
 * connection, the answer and what the client has sent already go to the other
 * worker, which opens the socket and writes the answer. If the connection
 * cannot be passed, the socket opens here with the same bytes.
 */

#include "ngx_cometa_ws_move.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_read.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


struct ngx_cometa_ws_move_s {
    ngx_cometa_ws_conf_t  *conf;
    ngx_cometa_key_t           key;
    ngx_cometa_place_t         place;
    ngx_cometa_ws_mode_t       mode;
    ngx_cometa_bytes_t        *answer;
    u_char                     app[NGX_COMETA_ID_MAX];
    u_char                     device[NGX_COMETA_ID_MAX];
};


/*
 * The bytes that go with the descriptor.
 *
 *     +--------+----------+------+---------+---------+-------+
 *     | parcel | address  | app  | device  | answer  | rest  |
 *     +--------+----------+------+---------+---------+-------+
 *                .address   .app   .device   .answer   .rest     bytes
 */

typedef struct {
    uint32_t                   kind;    /* NGX_COMETA_PARCEL_OPENING */
    uint32_t                   conf;    /* index of the location's */
    uint32_t                   generation;
    uint16_t                   address;
    uint16_t                   app;
    uint16_t                   device;
    uint16_t                   answer;
    uint16_t                   rest;
    uint16_t                   debug;   /* of debug_connection */
    ngx_cometa_ws_mode_t       mode;
} ngx_cometa_parcel_t;


static ngx_chain_t *ngx_cometa_ws_move_chain(ngx_connection_t *c,
    ngx_chain_t *in, off_t limit);
static ngx_int_t ngx_cometa_ws_move_send(ngx_cometa_ws_move_t *move,
    ngx_connection_t *c, ngx_str_t *answer, ngx_str_t *rest);
static void ngx_cometa_ws_move_open(ngx_connection_t *c,
    ngx_cometa_ws_conf_t *conf, ngx_cometa_key_t *key,
    ngx_cometa_ws_mode_t *mode, ngx_str_t *answer, ngx_str_t *rest);


ngx_uint_t
ngx_cometa_ws_move_wanted(ngx_http_request_t *r, ngx_cometa_place_t *place)
{
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

#if (NGX_HTTP_SSL)
    /* an SSL object cannot leave this process, a parked connection can */
    if (r->connection->ssl && !lcf->tls_park) {
        return 0;
    }
#endif

    return lcf->websocket_move
           && ngx_cometa_fdpass_to(place->slot, place->epoch);
}


ngx_cometa_ws_move_t *
ngx_cometa_ws_move_begin(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_cometa_place_t *place, ngx_cometa_ws_mode_t *mode)
{
    ngx_cometa_ws_move_t   *move;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    move = ngx_calloc(sizeof(ngx_cometa_ws_move_t), r->connection->log);
    if (move == NULL) {
        return NULL;
    }

    move->conf = lcf->ws;
    move->key = ctx->key;
    move->place = *place;
    move->mode = *mode;

    ngx_memcpy(move->app, ctx->key.app.data, ctx->key.app.len);
    move->key.app.data = move->app;

    ngx_memcpy(move->device, ctx->key.device.data, ctx->key.device.len);
    move->key.device.data = move->device;

    return move;
}


void
ngx_cometa_ws_move_discard(ngx_cometa_ws_move_t *move)
{
    ngx_cometa_bytes_free(&move->answer);
    ngx_free(move);
}


void
ngx_cometa_ws_move_keep(ngx_connection_t *c)
{
    c->send_chain = ngx_cometa_ws_move_chain;
}


/* Instead of c->send_chain(): keeps all of the answer. */

static ngx_chain_t *
ngx_cometa_ws_move_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    size_t                 n;
    ngx_chain_t           *cl;
    ngx_cometa_ctx_t      *ctx;
    ngx_http_request_t    *r;
    ngx_cometa_ws_move_t  *move;

    r = c->data;
    ctx = ngx_http_get_module_ctx(r->main, ngx_http_cometa_module);
    move = ctx->adoptee.move;

    for (cl = in; cl; cl = cl->next) {

        if (ngx_buf_special(cl->buf)) {
            continue;
        }

        n = cl->buf->last - cl->buf->pos;

        if (!ngx_buf_in_memory(cl->buf)
            || ngx_cometa_bytes_add(&move->answer, cl->buf->pos, n) != NGX_OK)
        {
            return NGX_CHAIN_ERROR;
        }

        c->sent += n;
        cl->buf->pos = cl->buf->last;
    }

    return NULL;
}


void
ngx_cometa_ws_move_adopted(ngx_connection_t *c,
    ngx_cometa_adoptee_t *adoptee, u_char *rest, size_t len)
{
    ngx_str_t              answer, more;
    ngx_cometa_ws_move_t  *move;

    move = adoptee->move;

    if (c->send_chain == ngx_cometa_ws_move_chain) {
        c->send_chain = ngx_send_chain;
    }

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        c->send_chain = ngx_ssl_send_chain;
    }
#endif

    /* the other worker does not know whether it is TCP */

    (void) ngx_tcp_nodelay(c);

    ngx_str_null(&answer);

    if (move->answer) {
        answer.data = move->answer->data;
        answer.len = move->answer->len;
    }

    more.data = rest;
    more.len = len;

    if (ngx_cometa_ws_move_send(move, c, &answer, &more) != NGX_OK) {
        ngx_cometa_ws_move_open(c, move->conf, &move->key, &move->mode,
                                &answer, &more);
    }

    ngx_cometa_ws_move_discard(move);
}


static ngx_int_t
ngx_cometa_ws_move_send(ngx_cometa_ws_move_t *move, ngx_connection_t *c,
    ngx_str_t *answer, ngx_str_t *rest)
{
    u_char               *p;
    ngx_cometa_parcel_t   parcel;

    static u_char  data[NGX_COMETA_PARCEL_MAX];

    if (sizeof(ngx_cometa_parcel_t) + sizeof(struct sockaddr_in6)
        + 2 * NGX_COMETA_ID_MAX + answer->len + rest->len
        > NGX_COMETA_PARCEL_MAX)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&parcel, sizeof(ngx_cometa_parcel_t));

    parcel.kind = NGX_COMETA_PARCEL_OPENING;
    parcel.conf = move->conf->index;
    parcel.generation = move->conf->generation;
    parcel.address = ngx_min(c->socklen, sizeof(struct sockaddr_in6));
    parcel.app = move->key.app.len;
    parcel.device = move->key.device.len;
    parcel.answer = answer->len;
    parcel.rest = rest->len;
    parcel.mode = move->mode;
    parcel.debug = (c->log->log_level & NGX_LOG_DEBUG_CONNECTION) != 0;

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        return NGX_DECLINED;
    }
#endif

    p = ngx_cpymem(data, &parcel, sizeof(ngx_cometa_parcel_t));
    p = ngx_cpymem(p, c->sockaddr, parcel.address);
    p = ngx_cpymem(p, move->app, parcel.app);
    p = ngx_cpymem(p, move->device, parcel.device);

    if (answer->len) {
        p = ngx_cpymem(p, answer->data, answer->len);
    }

    if (rest->len) {
        p = ngx_cpymem(p, rest->data, rest->len);
    }

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "cometa ws move, device:\"%V/%V\" slot:%uD len:%z",
                   &move->key.app, &move->key.device, move->place.slot,
                   p - data);

    return ngx_cometa_fdpass(move->place.slot, move->place.epoch, c, data,
                               p - data);
}


ngx_int_t
ngx_cometa_ws_move_arrived(ngx_connection_t *c, u_char *data, size_t len)
{
    u_char                    *p;
    ngx_str_t                  answer, rest;
    ngx_sockaddr_t             addr;
    ngx_cometa_key_t           key;
    ngx_cometa_parcel_t        parcel;
    ngx_cometa_main_conf_t    *mcf;
    ngx_cometa_ws_conf_t  *conf;

    if (c == NULL) {
        return NGX_DECLINED;
    }

    mcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                              ngx_http_cometa_module);

    /* it may have been sent to the process that had this slot before */

    ngx_memzero(&parcel, sizeof(ngx_cometa_parcel_t));
    ngx_memcpy(&parcel, data, ngx_min(len, sizeof(ngx_cometa_parcel_t)));

    if (parcel.generation != mcf->generation
        || parcel.conf >= mcf->ws.nelts)
    {
        ngx_cometa_connection_close(c, 0);
        return NGX_OK;
    }

    conf = ((ngx_cometa_ws_conf_t **) mcf->ws.elts)[parcel.conf];

    /* ngx_cometa_ws_open() asks its level, and gives it another one */

    c->log = ngx_cometa_trace(parcel.debug);

    p = data + sizeof(ngx_cometa_parcel_t);

    /* ngx_cometa_ws_open() copies the address, or the connection is closed */

    ngx_memcpy(&addr, p, parcel.address);
    /* cppcheck-suppress autoVariables */
    c->sockaddr = &addr.sockaddr;
    c->socklen = parcel.address;
    p += parcel.address;

    key.app.data = p;
    key.app.len = parcel.app;
    p += parcel.app;

    key.device.data = p;
    key.device.len = parcel.device;
    ngx_cometa_key_init(&key);
    p += parcel.device;

    answer.data = p;
    answer.len = parcel.answer;
    p += parcel.answer;

    rest.data = p;
    rest.len = parcel.rest;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "cometa ws moved here, device:\"%V/%V\" len:%uz",
                   &key.app, &key.device, len);

    ngx_cometa_ws_move_open(c, conf, &key, &parcel.mode, &answer, &rest);

    return NGX_OK;
}


static void
ngx_cometa_ws_move_open(ngx_connection_t *c, ngx_cometa_ws_conf_t *conf,
    ngx_cometa_key_t *key, ngx_cometa_ws_mode_t *mode, ngx_str_t *answer,
    ngx_str_t *rest)
{
    ngx_cometa_ws_t  *s;

    s = ngx_cometa_ws_create(conf, key, mode);

    if (s == NULL) {
        ngx_cometa_connection_close(c, 0);
        return;
    }

    if (ngx_cometa_ws_say(s, answer->data, answer->len) != NGX_OK) {
        ngx_cometa_ws_discard(s);
        ngx_cometa_connection_close(c, 0);
        return;
    }

    ngx_cometa_ws_open(s, c, rest->data, rest->len);
}


/*
 * Subprotocols and arguments of a handshake. No state.
 */

#include "ngx_cometa_ws_mode.h"
#include "ngx_cometa.h"
#include "ngx_cometa_args.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"


static ngx_uint_t ngx_cometa_ws_mode_offered(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_uint_t ngx_cometa_ws_mode_lists(ngx_str_t *list, ngx_str_t *name);
static ngx_int_t ngx_cometa_ws_mode_events(ngx_http_request_t *r,
    ngx_cometa_ws_mode_t *mode);
static ngx_uint_t ngx_cometa_ws_mode_event(u_char *word, size_t len);


ngx_uint_t
ngx_cometa_ws_mode_read(ngx_http_request_t *r, ngx_uint_t channel,
    ngx_cometa_ws_mode_t *mode, ngx_str_t *protocol)
{
    ngx_str_t               prefix;
    ngx_cometa_ctx_t       *ctx;
    ngx_cometa_loc_conf_t  *lcf;

    static ngx_str_t  json = ngx_string("cometa.json.v1");

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    ngx_memzero(mode, sizeof(ngx_cometa_ws_mode_t));
    ngx_str_null(protocol);

    mode->json = channel;

    if (ngx_cometa_ws_mode_offered(r, &json)) {
        mode->json = 1;
        *protocol = json;

    } else if (lcf->websocket_protocol.len
               && ngx_cometa_ws_mode_offered(r, &lcf->websocket_protocol))
    {
        *protocol = lcf->websocket_protocol;
    }

    if (!mode->json) {
        return NGX_COMETA_OK;
    }

    if (ngx_cometa_ws_mode_events(r, mode) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "\"events\" of a websocket is none of data, attach, "
                      "detach, reply, or a list of them");
        return NGX_COMETA_BAD_REQUEST;
    }

    if (!channel) {
        return NGX_COMETA_OK;
    }

    if (ngx_cometa_args_prefix(r, ctx, &prefix) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "no id of a device can begin with the \"prefix\" of a "
                      "channel");
        return NGX_COMETA_BAD_REQUEST;
    }

    mode->prefix_len = prefix.len;
    ngx_memcpy(mode->prefix, prefix.data, prefix.len);

    return NGX_COMETA_OK;
}


/* Names of subprotocols are compared as they are. */

static ngx_uint_t
ngx_cometa_ws_mode_offered(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_str_t  *list;

    list = NULL;

    for ( ;; ) {
        list = ngx_cometa_http_header(r, "Sec-WebSocket-Protocol", 22, list);

        if (list == NULL) {
            return 0;
        }

        if (ngx_cometa_ws_mode_lists(list, name)) {
            return 1;
        }
    }
}


static ngx_uint_t
ngx_cometa_ws_mode_lists(ngx_str_t *list, ngx_str_t *name)
{
    u_char  *p, *end, *begin, *last;

    p = list->data;
    end = list->data + list->len;

    for ( ;; ) {

        while (p < end && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        for (begin = p; p < end && *p != ','; p++) {
            /* void */
        }

        for (last = p;
             last > begin && (last[-1] == ' ' || last[-1] == '\t');
             last--)
        {
            /* void */
        }

        if ((size_t) (last - begin) == name->len
            && ngx_memcmp(begin, name->data, name->len) == 0)
        {
            return 1;
        }

        if (p == end) {
            return 0;
        }
    }
}


/* All, if it is not said. */

static ngx_int_t
ngx_cometa_ws_mode_events(ngx_http_request_t *r, ngx_cometa_ws_mode_t *mode)
{
    u_char      *p, *end, *begin;
    ngx_str_t    list;
    ngx_uint_t   event;

    mode->events = NGX_COMETA_EVENT_ALL;

    if (ngx_cometa_args_value(r, "events", &list) != NGX_OK) {
        return NGX_OK;
    }

    mode->events = 0;

    p = list.data;
    end = list.data + list.len;

    for ( ;; ) {

        for (begin = p; p < end && *p != ','; p++) {
            /* void */
        }

        event = ngx_cometa_ws_mode_event(begin, p - begin);

        if (event == 0) {
            return NGX_DECLINED;
        }

        mode->events |= event;

        if (p == end) {
            return NGX_OK;
        }

        p++;
    }
}


static ngx_uint_t
ngx_cometa_ws_mode_event(u_char *word, size_t len)
{
    ngx_uint_t  i;

    static ngx_str_t  words[] = {
        ngx_string("data"),
        ngx_string("attach"),
        ngx_string("detach"),
        ngx_string("reply")
    };

    for (i = 0; i < 4; i++) {
        if (words[i].len == len && ngx_memcmp(words[i].data, word, len) == 0) {
            return NGX_COMETA_EVENT_DATA << i;
        }
    }

    return 0;
}


/*
 * The tables of errors and of reasons why a device left.
 */

#include "ngx_cometa_error.h"


ngx_cometa_error_t  ngx_cometa_errors[] = {
    { 200, ngx_string("200 OK"), ngx_string("-"), 0, 0, 0 },
    { 400, ngx_string("400 Bad Request"),
           ngx_string("invalid_application_id"), 0, 0, 1 },
    { 400, ngx_string("400 Bad Request"),
           ngx_string("invalid_device_id"), 0, 1, 1 },
    { 400, ngx_string("400 Bad Request"), ngx_string("bad_request"), 0, 0, 1 },
    { 400, ngx_string("400 Bad Request"), ngx_string("empty_message"),
           0, 1, 0 },
    { 401, ngx_string("401 Unauthorized"), ngx_string("unauthorized"),
           0, 1, 0 },
    { 403, ngx_string("403 Forbidden"), ngx_string("forbidden"), 0, 0, 1 },
    { 403, ngx_string("403 Forbidden"), ngx_string("invalid_key"), 0, 0, 0 },
    { 404, ngx_string("404 Not Found"), ngx_string("device_offline"), 0, 1, 0 },
    { 405, ngx_string("405 Not Allowed"), ngx_string("not_allowed"), 0, 0, 0 },
    { 409, ngx_string("409 Conflict"), ngx_string("already_attached"),
           0, 0, 1 },
    { 413, ngx_string("413 Request Entity Too Large"),
           ngx_string("message_too_large"), 0, 1, 0 },
    { 415, ngx_string("415 Unsupported Media Type"),
           ngx_string("text_required"), 0, 1, 0 },
    { 426, ngx_string("426 Upgrade Required"),
           ngx_string("websocket_required"), 0, 0, 1 },
    { 429, ngx_string("429 Too Many Requests"), ngx_string("device_busy"),
           1, 1, 0 },
    { 429, ngx_string("429 Too Many Requests"),
           ngx_string("too_many_devices"), 30, 0, 1 },
    { 502, ngx_string("502 Bad Gateway"),
           ngx_string("device_disconnected"), 0, 1, 0 },
    { 502, ngx_string("502 Bad Gateway"),
           ngx_string("device_taken_over"), 0, 1, 0 },
    { 502, ngx_string("502 Bad Gateway"), ngx_string("worker_lost"), 0, 1, 0 },
    { 503, ngx_string("503 Service Temporarily Unavailable"),
           ngx_string("overloaded"), 1, 1, 1 },
    { 503, ngx_string("503 Service Temporarily Unavailable"),
           ngx_string("zone_full"), 30, 0, 1 },
    { 503, ngx_string("503 Service Temporarily Unavailable"),
           ngx_string("draining"), 1, 0, 1 },
    { 504, ngx_string("504 Gateway Timeout"), ngx_string("device_timeout"),
           0, 1, 0 },
    { 505, ngx_string("505 HTTP Version Not Supported"),
           ngx_string("http1_required"), 0, 0, 1 }
};


ngx_str_t  ngx_cometa_reasons[NGX_COMETA_REASONS] = {
    ngx_string("detached"),
    ngx_string("disconnected"),
    ngx_string("heartbeat_timeout"),
    ngx_string("taken_over"),
    ngx_string("unresponsive"),
    ngx_string("protocol_error"),
    ngx_string("draining"),
    ngx_string("kicked")
};


ngx_str_t  ngx_cometa_tls_reasons[NGX_COMETA_TLS_REASONS] = {
    ngx_string("protocol"),
    ngx_string("cipher"),
    ngx_string("extension"),
    ngx_string("rekeyed"),
    ngx_string("callback"),
    ngx_string("pending"),
    ngx_string("proof"),
    ngx_string("memory")
};

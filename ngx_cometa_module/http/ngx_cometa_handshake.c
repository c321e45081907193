
/*
 * The handshake of a WebSocket. It has no state.
 */

#include "ngx_cometa_handshake.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_http.h"

#include <ngx_sha1.h>


#define NGX_COMETA_WS_GUID  "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


ngx_uint_t
ngx_cometa_handshake_check(ngx_http_request_t *r, ngx_str_t **key)
{
    u_char      nonce[24];
    ngx_str_t  *version, decoded;

    if (r != r->main) {
        return NGX_COMETA_BAD_REQUEST;
    }

    if (r->http_version != NGX_HTTP_VERSION_11) {
        return NGX_COMETA_HTTP1_REQUIRED;
    }

    version = ngx_cometa_http_header(r, "Sec-WebSocket-Version", 21, NULL);

    if (!ngx_cometa_http_token(r, "Upgrade", 7, "websocket")
        || version == NULL || version->len != 2
        || ngx_strncmp(version->data, "13", 2) != 0
        || ngx_cometa_http_header(r, "Sec-WebSocket-Version", 21, version))
    {
        return NGX_COMETA_UPGRADE_REQUIRED;
    }

    *key = ngx_cometa_http_header(r, "Sec-WebSocket-Key", 17, NULL);

    if (!ngx_cometa_http_token(r, "Connection", 10, "upgrade")
        || *key == NULL || (*key)->len != 24
        || ngx_cometa_http_header(r, "Sec-WebSocket-Key", 17, *key))
    {
        return NGX_COMETA_BAD_REQUEST;
    }

    decoded.data = nonce;

    if (ngx_decode_base64(&decoded, *key) != NGX_OK || decoded.len != 16) {
        return NGX_COMETA_BAD_REQUEST;
    }

    return NGX_COMETA_OK;
}


ngx_int_t
ngx_cometa_handshake_answer(ngx_http_request_t *r, ngx_str_t *key)
{
    u_char      digest[20];
    ngx_str_t   accept, sha, upgrade;
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_update(&sha1, NGX_COMETA_WS_GUID, sizeof(NGX_COMETA_WS_GUID) - 1);
    ngx_sha1_final(digest, &sha1);

    sha.data = digest;
    sha.len = sizeof(digest);

    accept.data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(sha.len));
    if (accept.data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64(&accept, &sha);
    ngx_str_set(&upgrade, "websocket");

    if (ngx_cometa_header_add(r, "Upgrade", 7, &upgrade) == NULL
        || ngx_cometa_header_add(r, "Sec-WebSocket-Accept", 20, &accept)
           == NULL)
    {
        return NGX_ERROR;
    }

    /* nginx adds "Connection: upgrade" because of the status */

    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");
    r->keepalive = 0;

    return NGX_OK;
}

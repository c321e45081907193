
/*
 * Packs a WebSocket. State of this process: one buffer, for one parcel at a
 * time.
 */

#include "ngx_cometa_ws_parcel.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_fdpass.h"


static u_char *ngx_cometa_ws_parcel_copy(u_char *p,
    ngx_cometa_bytes_t *bytes, size_t len);


u_char *
ngx_cometa_ws_parcel_pack(ngx_cometa_ws_t *s, ngx_connection_t *c,
    ngx_cometa_ws_parcel_t *parcel, size_t *len)
{
    u_char                 *p;
    ngx_cometa_ws_group_t  *group;

    static u_char  *data;

    if (data == NULL) {
        data = ngx_alloc(NGX_COMETA_PARCEL_MAX, ngx_cycle->log);
        if (data == NULL) {
            return NULL;
        }
    }

    group = s->group;

    parcel->address = c->socklen;
    parcel->app = group->key.app.len;
    parcel->device = group->key.device.len;
    parcel->message = ngx_cometa_bytes_left(s->io.message);
    parcel->control = ngx_cometa_bytes_left(s->io.control);
    parcel->rest = ngx_cometa_bytes_left(s->io.rest);
    parcel->codec = s->io.codec;

    if (s->json) {
        parcel->mode = s->json->mode;
    }

    *len = sizeof(ngx_cometa_ws_parcel_t) + parcel->address + parcel->app
           + parcel->device + (size_t) parcel->message + parcel->control
           + parcel->rest + parcel->output;

    if (*len > NGX_COMETA_PARCEL_MAX) {
        return NULL;
    }

    p = ngx_cpymem(data, parcel, sizeof(ngx_cometa_ws_parcel_t));
    p = ngx_cpymem(p, c->sockaddr, parcel->address);
    p = ngx_cpymem(p, group->key.app.data, parcel->app);
    p = ngx_cpymem(p, group->key.device.data, parcel->device);
    p = ngx_cometa_ws_parcel_copy(p, s->io.message, parcel->message);
    p = ngx_cometa_ws_parcel_copy(p, s->io.control, parcel->control);
    p = ngx_cometa_ws_parcel_copy(p, s->io.rest, parcel->rest);
    (void) ngx_cometa_ws_parcel_copy(p, s->io.output, parcel->output);

    return data;
}


static u_char *
ngx_cometa_ws_parcel_copy(u_char *p, ngx_cometa_bytes_t *bytes, size_t len)
{
    return len ? ngx_cpymem(p, bytes->data + bytes->pos, len) : p;
}


/*
 * Packs a device. State of this process: one buffer, for one parcel at a time.
 */

#include "ngx_cometa_parcel.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_device_input.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue_move.h"
#include "ngx_cometa_fdpass.h"


static u_char  *ngx_cometa_parcel_buffer;


u_char *
ngx_cometa_parcel_pack(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, size_t *len)
{
    u_char               *p;
    ngx_cometa_unread_t  *unread;
    ngx_cometa_unsent_t  *unsent;

    if (ngx_cometa_parcel_buffer == NULL) {
        ngx_cometa_parcel_buffer = ngx_alloc(NGX_COMETA_PARCEL_MAX,
                                             ngx_cycle->log);
        if (ngx_cometa_parcel_buffer == NULL) {
            return NULL;
        }
    }

    unread = dev->unread;
    unsent = dev->unsent;

    parcel->info = dev->card ? dev->card->len : 0;
    parcel->asked = ngx_cometa_asked_size(dev);

    if (unread) {
        parcel->begun = unread->begun;
        parcel->since = unread->since;
        parcel->unread = unread->len;
        parcel->rest = unread->rest ? unread->rest_len : 0;
    }

    if (unsent) {
        parcel->unsent = unsent->len - unsent->pos;
    }

    *len = sizeof(ngx_cometa_device_parcel_t) + parcel->info + parcel->asked
           + ngx_cometa_queue_more(&parcel->queue) + (size_t) parcel->unread
           + parcel->rest + parcel->unsent;

    if (*len > NGX_COMETA_PARCEL_MAX) {
        return NULL;
    }

    p = ngx_cpymem(ngx_cometa_parcel_buffer, parcel,
                   sizeof(ngx_cometa_device_parcel_t));

    if (dev->card) {
        p = ngx_cpymem(p, dev->card->info, parcel->info);
    }

    p = ngx_cometa_asked_pack(dev, p);
    p = ngx_cometa_queue_pack(dev, p);

    if (unread) {
        p = ngx_cpymem(p, unread->data, parcel->unread);

        if (unread->rest) {
            p = ngx_cpymem(p, unread->rest, parcel->rest);
        }
    }

    if (unsent) {
        ngx_memcpy(p, unsent->data + unsent->pos, parcel->unsent);
    }

    return ngx_cometa_parcel_buffer;
}

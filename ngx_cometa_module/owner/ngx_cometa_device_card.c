
/*
 * Cards of devices. A card is made for a device that has an info, or when a
 * worker says that it holds WebSockets to it.
 */

#include "ngx_cometa_device_card.h"
#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_slot.h"
#include "cometa_utf8.h"


/* Workers that hold WebSockets to a device. */

typedef struct {
    uint32_t                 slot;
    uint32_t                 epoch;
    ngx_uint_t               n;
} ngx_cometa_listener_t;


struct ngx_cometa_listeners_s {
    ngx_uint_t               n;
    ngx_cometa_listener_t    elts[1];
};


static ngx_cometa_card_t *ngx_cometa_device_card(size_t len);
static void ngx_cometa_device_listener_add(ngx_cometa_device_t *dev,
    uint32_t slot, uint32_t epoch, ngx_uint_t n);
static ngx_uint_t ngx_cometa_device_heard(ngx_cometa_device_t *dev);
static u_char *ngx_cometa_json_text(u_char *dst, u_char *src, size_t len);


ngx_int_t
ngx_cometa_device_info(ngx_cometa_device_t *dev, ngx_str_t *info)
{
    size_t  len;

    if (info->len == 0) {
        return NGX_OK;
    }

    len = ngx_min(info->len, NGX_COMETA_INFO_MAX);

    dev->card = ngx_cometa_device_card(len);
    if (dev->card == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dev->card->info, info->data, len);

    return NGX_OK;
}


static ngx_cometa_card_t *
ngx_cometa_device_card(size_t len)
{
    ngx_cometa_card_t  *card;

    card = ngx_alloc(offsetof(ngx_cometa_card_t, info) + len, ngx_cycle->log);

    if (card) {
        card->listeners = NULL;
        card->len = len;
    }

    return card;
}


void
ngx_cometa_device_card_free(ngx_cometa_device_t *dev)
{
    if (dev->card == NULL) {
        return;
    }

    if (dev->card->listeners) {
        ngx_free(dev->card->listeners);
    }

    ngx_free(dev->card);
    dev->card = NULL;
}


void
ngx_cometa_device_listeners(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_cometa_listeners_t  *l;

    l = dev->card ? dev->card->listeners : NULL;

    for (i = 0; l && i < l->n; i++) {
        if (l->elts[i].slot == slot) {
            l->elts[i].epoch = epoch;
            l->elts[i].n = n;
            return;
        }
    }

    if (n) {
        ngx_cometa_device_listener_add(dev, slot, epoch, n);
    }
}


/* Adds a worker; there are at most as many as slots. */

static void
ngx_cometa_device_listener_add(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch, ngx_uint_t n)
{
    ngx_uint_t               known;
    ngx_cometa_listeners_t  *old, *l;

    if (dev->card == NULL) {
        dev->card = ngx_cometa_device_card(0);
        if (dev->card == NULL) {
            return;
        }
    }

    old = dev->card->listeners;
    known = old ? old->n : 0;

    l = ngx_alloc(sizeof(ngx_cometa_listeners_t)
                  + known * sizeof(ngx_cometa_listener_t), ngx_cycle->log);
    if (l == NULL) {
        return;
    }

    if (old) {
        ngx_memcpy(l->elts, old->elts, known * sizeof(ngx_cometa_listener_t));
        ngx_free(old);
    }

    l->elts[known].slot = slot;
    l->elts[known].epoch = epoch;
    l->elts[known].n = n;
    l->n = known + 1;

    dev->card->listeners = l;
}


/* The number of WebSockets to the device, on workers that live. */

static ngx_uint_t
ngx_cometa_device_heard(ngx_cometa_device_t *dev)
{
    ngx_uint_t               i, n;
    ngx_cometa_listener_t   *elt;
    ngx_cometa_listeners_t  *l;

    l = dev->card ? dev->card->listeners : NULL;
    n = 0;

    for (i = 0; l && i < l->n; i++) {
        elt = &l->elts[i];

        if (ngx_cometa_slot_alive(elt->slot, elt->epoch)) {
            n += elt->n;
        }
    }

    return n;
}


u_char *
ngx_cometa_device_json(ngx_cometa_device_t *dev, u_char *dst)
{
    size_t     n;
    u_char     text[NGX_SOCKADDR_STRLEN];
    ngx_str_t  app, device;

    n = ngx_cometa_address_text(&dev->state.address, text, 1);

    ngx_cometa_registry_name(dev->state.record, &app, &device);

    dst = ngx_sprintf(dst, "{\"device_id\":\"%V\",\"ip_address\":\"%*s\","
                      "\"heartbeat\":\"%uD\",\"info\":\"",
                      &device, n, text, dev->state.heartbeat);

    if (dev->card) {
        dst = ngx_cometa_json_text(dst, dev->card->info, dev->card->len);
    }

    return ngx_sprintf(dst, "\",\"connected_at\":\"%uD\","
                       "\"latency\":\"%uD\",\"websockets\":\"%ui\","
                       "\"net\":{\"received\":{\"bytes\":\"%uL\","
                       "\"messages\":\"%uL\"},\"sent\":{\"bytes\":\"%uL\","
                       "\"messages\":\"%uL\"}},\"session\":\"%uL\"}",
                       dev->state.connected, dev->state.latency / 1000,
                       ngx_cometa_device_heard(dev),
                       dev->state.bytes_down, dev->state.messages_down,
                       dev->state.bytes_up, dev->state.messages_up,
                       dev->state.session);
}


/* A byte that is not UTF-8 becomes the character with that number. */

static u_char *
ngx_cometa_json_text(u_char *dst, u_char *src, size_t len)
{
    size_t   n;
    u_char  *end;

    for (end = src + len; src < end; src += n) {
        n = 1;

        if (*src == '"' || *src == '\\') {
            *dst++ = '\\';

        } else if (*src >= 0x80) {

            for (n = 2; n <= 4 && n <= (size_t) (end - src); n++) {
                if (cometa_utf8_valid(src, n)) {
                    break;
                }
            }

            n = (n > 4 || n > (size_t) (end - src)) ? 1 : n;
        }

        if (n == 1 && (*src < 0x20 || *src >= 0x7f)) {
            dst = ngx_sprintf(dst, "\\u%04xd", (int) *src);
            continue;
        }

        dst = ngx_cpymem(dst, src, n);
    }

    return dst;
}

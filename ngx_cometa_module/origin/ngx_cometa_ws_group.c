
/*
 * The WebSockets of this worker by device: a hash table of groups. The worker
 * is interested in a device as long as it has a group. The channels of an
 * application are a group, too, of the device without a name.
 */

#include "ngx_cometa_ws_group.h"
#include "ngx_cometa.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"


static ngx_cometa_ws_group_t *ngx_cometa_ws_group_create(
    ngx_cometa_key_t *key, uint32_t app);
static ngx_uint_t ngx_cometa_ws_group_same(ngx_cometa_ws_group_t *group,
    ngx_cometa_key_t *key, uint32_t app);
static ngx_cometa_ws_group_t **ngx_cometa_ws_group_chain(uint64_t hash);


static ngx_cometa_ws_group_t  *ngx_cometa_ws_groups[NGX_COMETA_WS_CHAINS];
static ngx_cometa_ws_group_t **ngx_cometa_ws_channels;  /* by application */
static ngx_uint_t              ngx_cometa_ws_total;


ngx_cometa_ws_group_t *
ngx_cometa_ws_group_join(ngx_cometa_key_t *key, uint32_t app,
    ngx_queue_t *socket)
{
    ngx_cometa_ws_group_t  *group;

    group = *ngx_cometa_ws_group_chain(key->hash);

    while (group && !ngx_cometa_ws_group_same(group, key, app)) {
        group = group->next;
    }

    if (group == NULL) {
        group = ngx_cometa_ws_group_create(key, app);
        if (group == NULL) {
            return NULL;
        }
    }

    ngx_queue_insert_tail(&group->sockets, socket);
    group->n++;
    ngx_cometa_ws_total++;

    if (key->device.len == 0) {
        ngx_cometa_ws_channels[app] = group;
        ngx_cometa_interest_hear(app);
        return group;
    }

    ngx_cometa_interest_add(key->hash);
    ngx_cometa_ws_listeners(key);

    return group;
}


static ngx_cometa_ws_group_t *
ngx_cometa_ws_group_create(ngx_cometa_key_t *key, uint32_t app)
{
    u_char                  *name;
    ngx_cometa_ws_group_t   *group, **chain;

    if (key->device.len == 0 && ngx_cometa_ws_channels == NULL) {
        ngx_cometa_ws_channels = ngx_calloc(ngx_cometa_zone.head->apps
                                            * sizeof(ngx_cometa_ws_group_t *),
                                            ngx_cycle->log);
        if (ngx_cometa_ws_channels == NULL) {
            return NULL;
        }
    }

    group = ngx_calloc(sizeof(ngx_cometa_ws_group_t) + key->device.len,
                       ngx_cycle->log);
    if (group == NULL) {
        return NULL;
    }

    name = (u_char *) group + sizeof(ngx_cometa_ws_group_t);
    ngx_memcpy(name, key->device.data, key->device.len);

    group->app = app;
    group->key.app.data = ngx_cometa_zone.apps[app].name;
    group->key.app.len = key->app.len;
    group->key.device.data = name;
    group->key.device.len = key->device.len;
    group->key.hash = key->hash;

    ngx_queue_init(&group->sockets);

    chain = ngx_cometa_ws_group_chain(key->hash);
    group->next = *chain;
    *chain = group;

    return group;
}


/* Two names of the same hash must not get each other's calls. */

static ngx_uint_t
ngx_cometa_ws_group_same(ngx_cometa_ws_group_t *group, ngx_cometa_key_t *key,
    uint32_t app)
{
    return group->key.hash == key->hash
           && group->app == app
           && group->key.device.len == key->device.len
           && ngx_memcmp(group->key.device.data, key->device.data,
                         key->device.len)
              == 0;
}


void
ngx_cometa_ws_group_leave(ngx_cometa_ws_group_t *group, ngx_queue_t *socket)
{
    ngx_queue_remove(socket);
    group->n--;
    ngx_cometa_ws_total--;

    if (group->key.device.len == 0) {
        ngx_cometa_interest_hear_no_more(group->app);
        return;
    }

    ngx_cometa_interest_remove(group->key.hash);
    ngx_cometa_ws_listeners(&group->key);
}


void
ngx_cometa_ws_group_free_empty(ngx_cometa_ws_group_t *group)
{
    ngx_cometa_ws_group_t  **place;

    if (group->n) {
        return;
    }

    place = ngx_cometa_ws_group_chain(group->key.hash);

    while (*place != group) {
        place = &(*place)->next;
    }

    *place = group->next;

    if (group->key.device.len == 0) {
        ngx_cometa_ws_channels[group->app] = NULL;
    }

    ngx_free(group);
}


void
ngx_cometa_ws_listeners(ngx_cometa_key_t *key)
{
    ngx_cometa_place_t      place;
    ngx_cometa_ws_group_t  *group;

    if (ngx_cometa_registry_find(key, &place) != NGX_OK) {
        return;
    }

    group = ngx_cometa_ws_group_find(key->hash);

    ngx_cometa_mail_listeners(&place, group ? group->n : 0);
}


ngx_cometa_ws_group_t *
ngx_cometa_ws_group_find(uint64_t hash)
{
    ngx_cometa_ws_group_t  *group;

    group = *ngx_cometa_ws_group_chain(hash);

    while (group && group->key.hash != hash) {
        group = group->next;
    }

    return group;
}


ngx_cometa_ws_group_t *
ngx_cometa_ws_group_channels(uint32_t app)
{
    return ngx_cometa_ws_channels ? ngx_cometa_ws_channels[app] : NULL;
}


ngx_cometa_ws_group_t *
ngx_cometa_ws_group_next(ngx_cometa_ws_group_t *group)
{
    ngx_cometa_ws_group_t  **chain, **end;

    if (group && group->next) {
        return group->next;
    }

    chain = group ? ngx_cometa_ws_group_chain(group->key.hash) + 1
                  : ngx_cometa_ws_groups;

    end = ngx_cometa_ws_groups + NGX_COMETA_WS_CHAINS;

    while (chain < end && *chain == NULL) {
        chain++;
    }

    return (chain < end) ? *chain : NULL;
}


ngx_cometa_ws_group_t *
ngx_cometa_ws_group_first(ngx_uint_t chain)
{
    return ngx_cometa_ws_groups[chain];
}


ngx_uint_t
ngx_cometa_ws_group_total(void)
{
    return ngx_cometa_ws_total;
}


static ngx_cometa_ws_group_t **
ngx_cometa_ws_group_chain(uint64_t hash)
{
    return &ngx_cometa_ws_groups[hash % NGX_COMETA_WS_CHAINS];
}


/*
 * One-time keys. Lock: `otk_lock` of the head for everything; it is held for
 * a few steps, and keys are rare beside calls. If its holder died inside, all
 * keys are void: a client whose key is refused asks for another one. A signed
 * token would need no memory, but could be used more than once.
 */

#include "ngx_cometa_otk.h"
#include "ngx_cometa.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>


static void ngx_cometa_otk_lock(void);
static uint32_t *ngx_cometa_otk_bucket(u_char *key);
static uint32_t ngx_cometa_otk_alloc(uint32_t app);
static ngx_uint_t ngx_cometa_otk_full(void);
static void ngx_cometa_otk_expire(ngx_cometa_otk_app_t *a);
static void ngx_cometa_otk_sweep(void);
static void ngx_cometa_otk_drop(uint32_t i);
static ngx_int_t ngx_cometa_otk_parse(ngx_str_t *hex, u_char *key);


#define NGX_COMETA_OTK_SWEEP  100       /* ms, between sweeps */
#define NGX_COMETA_OTK_SHARE  4         /* 1/4 of keys for an application */

#define ngx_cometa_otk(i)  (&ngx_cometa_zone.keys[(i) - 1])


ngx_int_t
ngx_cometa_otk_issue(uint32_t app, uint64_t hash, ngx_msec_t life,
    u_char *hex)
{
    u_char                 random[NGX_COMETA_OTK_LEN];
    uint32_t               i, *bucket;
    ngx_cometa_otk_t      *k;
    ngx_cometa_otk_app_t  *a;

    if (RAND_bytes(random, NGX_COMETA_OTK_LEN) != 1) {
        return NGX_ERROR;
    }

    ngx_cometa_otk_lock();

    i = ngx_cometa_otk_alloc(app);

    if (i == 0) {
        ngx_cometa_unlock(&ngx_cometa_zone.head->otk_lock);
        return NGX_BUSY;
    }

    k = ngx_cometa_otk(i);
    a = &ngx_cometa_zone.otk_apps[app];

    ngx_memcpy(k->key, random, NGX_COMETA_OTK_LEN);
    k->app = app;
    k->hash = hash;
    k->expires = ngx_cometa_now() + (uint64_t) life * 1000;

    bucket = ngx_cometa_otk_bucket(random);
    k->next = *bucket;
    *bucket = i;

    k->newer = 0;
    k->older = a->newest;

    if (a->newest) {
        ngx_cometa_otk(a->newest)->newer = i;

    } else {
        a->oldest = i;
    }

    a->newest = i;
    a->expires = ngx_max(a->expires, k->expires);
    a->n++;

    ngx_cometa_unlock(&ngx_cometa_zone.head->otk_lock);

    (void) ngx_hex_dump(hex, random, NGX_COMETA_OTK_LEN);

    return NGX_OK;
}


ngx_int_t
ngx_cometa_otk_find(ngx_str_t *hex, ngx_uint_t take, uint32_t *app,
    uint64_t *hash)
{
    u_char             key[NGX_COMETA_OTK_LEN];
    uint32_t           i;
    ngx_int_t          rc;
    ngx_cometa_otk_t  *k;

    if (ngx_cometa_otk_parse(hex, key) != NGX_OK) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    ngx_cometa_otk_lock();

    for (i = *ngx_cometa_otk_bucket(key); i; i = k->next) {
        k = ngx_cometa_otk(i);

        if (CRYPTO_memcmp(k->key, key, NGX_COMETA_OTK_LEN) != 0) {
            continue;
        }

        if (k->expires <= ngx_cometa_now()) {
            ngx_cometa_otk_drop(i);
            break;
        }

        *app = k->app;
        *hash = k->hash;
        rc = NGX_OK;

        if (take) {
            ngx_cometa_otk_drop(i);
        }

        break;
    }

    ngx_cometa_unlock(&ngx_cometa_zone.head->otk_lock);

    return rc;
}


ngx_uint_t
ngx_cometa_otk_dropped(uint32_t app)
{
    return ngx_cometa_zone.otk_apps[app].dropped;
}


static void
ngx_cometa_otk_lock(void)
{
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    if (ngx_cometa_lock(&head->otk_lock) == NGX_OK) {
        return;
    }

    head->otk_carved = 0;
    head->otk_free = 0;

    ngx_memzero(ngx_cometa_zone.otk_buckets,
                head->keys * sizeof(uint32_t));
    ngx_memzero(ngx_cometa_zone.otk_apps,
                head->apps * sizeof(ngx_cometa_otk_app_t));
}


static uint32_t *
ngx_cometa_otk_bucket(u_char *key)
{
    uint32_t  n;

    ngx_memcpy(&n, key, sizeof(uint32_t));

    return &ngx_cometa_zone.otk_buckets[n % ngx_cometa_zone.head->keys];
}


/* An application may hold a quarter of all keys; its oldest goes first. */

static uint32_t
ngx_cometa_otk_alloc(uint32_t app)
{
    uint32_t               i;
    ngx_cometa_head_t     *head;
    ngx_cometa_otk_app_t  *a;

    head = ngx_cometa_zone.head;
    a = &ngx_cometa_zone.otk_apps[app];

    ngx_cometa_otk_expire(a);

    if (ngx_cometa_otk_full()) {
        ngx_cometa_otk_sweep();
    }

    if (a->n
        && (a->n >= head->keys / NGX_COMETA_OTK_SHARE
            || ngx_cometa_otk_full()))
    {
        ngx_cometa_otk_drop(a->oldest);
        a->dropped++;
    }

    if (head->otk_free) {
        i = head->otk_free;
        head->otk_free = ngx_cometa_otk(i)->next;
        return i;
    }

    if (head->otk_carved < head->keys) {
        return ++head->otk_carved;
    }

    return 0;
}


static ngx_uint_t
ngx_cometa_otk_full(void)
{
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    return head->otk_free == 0 && head->otk_carved == head->keys;
}


static void
ngx_cometa_otk_expire(ngx_cometa_otk_app_t *a)
{
    uint64_t  now;

    now = ngx_cometa_now();

    while (a->oldest && ngx_cometa_otk(a->oldest)->expires <= now) {
        ngx_cometa_otk_drop(a->oldest);
    }
}


/* Frees expired keys of applications that ask for no more keys. */

static void
ngx_cometa_otk_sweep(void)
{
    uint32_t  app;

    static ngx_msec_t  last;

    if (ngx_current_msec - last < NGX_COMETA_OTK_SWEEP) {
        return;
    }

    last = ngx_current_msec;

    for (app = 0; app < ngx_cometa_zone.head->napps; app++) {
        ngx_cometa_otk_expire(&ngx_cometa_zone.otk_apps[app]);
    }
}


static void
ngx_cometa_otk_drop(uint32_t i)
{
    uint32_t              *link;
    ngx_cometa_otk_t      *k;
    ngx_cometa_otk_app_t  *a;

    k = ngx_cometa_otk(i);
    a = &ngx_cometa_zone.otk_apps[k->app];

    for (link = ngx_cometa_otk_bucket(k->key);
         *link && *link != i;
         link = &ngx_cometa_otk(*link)->next)
    {
        /* void */
    }

    if (*link) {
        *link = k->next;
    }

    if (k->older) {
        ngx_cometa_otk(k->older)->newer = k->newer;

    } else {
        a->oldest = k->newer;
    }

    if (k->newer) {
        ngx_cometa_otk(k->newer)->older = k->older;

    } else {
        a->newest = k->older;
    }

    a->n--;

    ngx_memzero(k->key, NGX_COMETA_OTK_LEN);

    k->next = ngx_cometa_zone.head->otk_free;
    ngx_cometa_zone.head->otk_free = i;
}


static ngx_int_t
ngx_cometa_otk_parse(ngx_str_t *hex, u_char *key)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    if (hex->len != 2 * NGX_COMETA_OTK_LEN) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_COMETA_OTK_LEN; i++) {
        n = ngx_hextoi(hex->data + 2 * i, 2);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        key[i] = n;
    }

    return NGX_OK;
}

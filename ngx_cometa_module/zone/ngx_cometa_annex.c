
/*
 * Annexes: state of the master, which keeps a list of them, to find one again
 * after a reload; workers inherit it. Each configuration that has the zone
 * holds its annex, and the last one that goes frees it: after a reload to a
 * module of another file nothing of this one is called any more but that.
 */

#include "ngx_cometa_annex.h"
#include "ngx_cometa_zone.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>


/*
 * What a door holds on its way, bytes: the kernel takes no parcel that is
 * longer, and its default may be a few kilobytes. Without privileges it grants
 * at most net.core.wmem_max, twice.
 */

#define NGX_COMETA_DOOR_BUFFER  (256 * 1024)


typedef struct ngx_cometa_annex_s  ngx_cometa_annex_t;

struct ngx_cometa_annex_s {
    ngx_cometa_annex_t  *next;
    ngx_cometa_head_t   *head;
    u_char              *rings;         /* and the gauges behind them */
    size_t               size;          /* of both */
    ngx_uint_t           holders;       /* configurations that have it */
    ngx_uint_t           n;
    int                  fd[1];         /* eventfds and doors */
};


static void ngx_cometa_annex_limit(rlim_t n);
static ngx_int_t ngx_cometa_annex_descriptors(ngx_cometa_annex_t *annex,
    ngx_cometa_slot_t *slot);
static void ngx_cometa_annex_door(int door);
static ngx_int_t ngx_cometa_annex_hold(ngx_cometa_annex_t *annex,
    ngx_pool_t *pool);
static void ngx_cometa_annex_drop(void *data);
static void ngx_cometa_annex_free(ngx_cometa_annex_t *annex);
static void ngx_cometa_annex_left(ngx_cometa_annex_t *annex, ngx_log_t *log);
static void ngx_cometa_annex_count(ngx_cometa_annex_t *annex,
    uint64_t *devices, uint64_t *websockets);
static ngx_int_t ngx_cometa_annex_refuse(ngx_log_t *log);


static ngx_cometa_annex_t  *ngx_cometa_annexes;


ngx_int_t
ngx_cometa_annex_make(ngx_cometa_head_t *head, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_uint_t           i;
    ngx_cometa_zone_t    view;
    ngx_cometa_annex_t  *annex;

    /* with "master_process off" this process uses the old zone */

    if (ngx_cometa_zone.claimed) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "cometa_zone cannot get another size or name by a "
                      "reload with \"master_process off\", restart nginx");
        return NGX_ERROR;
    }

    if (ngx_cometa_annex_refuse(log) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_cometa_zone_view(head, &view);

    annex = ngx_alloc(sizeof(ngx_cometa_annex_t)
                      + head->slots * 3 * sizeof(int), log);
    if (annex == NULL) {
        return NGX_ERROR;
    }

    annex->size = ngx_cometa_rings_size(head) + ngx_cometa_gauges_size(head);
    annex->rings = mmap(NULL, annex->size, PROT_READ|PROT_WRITE,
                        MAP_ANON|MAP_SHARED|MAP_NORESERVE, -1, 0);

    if (annex->rings == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "mmap(MAP_ANON|MAP_SHARED, %uz) failed", annex->size);
        ngx_free(annex);
        return NGX_ERROR;
    }

    ngx_cometa_annex_limit(head->slots * 3);

    annex->head = head;
    annex->holders = 0;
    annex->n = 0;
    annex->next = ngx_cometa_annexes;
    ngx_cometa_annexes = annex;

    /* from here on the pool frees it, also if the configuration fails */

    if (ngx_cometa_annex_hold(annex, pool) != NGX_OK) {
        ngx_cometa_annex_free(annex);
        return NGX_ERROR;
    }

    for (i = 0; i < head->slots; i++) {
        if (ngx_cometa_annex_descriptors(annex, &view.slots[i]) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "eventfd() or "
                          "socketpair() failed, %ui descriptors are needed, "
                          "raise the limit of open files",
                          (ngx_uint_t) head->slots * 3);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Raises the limit of descriptors by those that the annex needs. */

static void
ngx_cometa_annex_limit(rlim_t n)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1
        || limit.rlim_cur == RLIM_INFINITY)
    {
        return;
    }

    limit.rlim_cur = ngx_min(limit.rlim_cur + n, limit.rlim_max);

    /* if there are too few descriptors, opening one fails with a message */

    (void) setrlimit(RLIMIT_NOFILE, &limit);
}


static ngx_int_t
ngx_cometa_annex_descriptors(ngx_cometa_annex_t *annex,
    ngx_cometa_slot_t *slot)
{
    int  door[2];

    slot->eventfd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (slot->eventfd == -1) {
        return NGX_ERROR;
    }

    annex->fd[annex->n++] = slot->eventfd;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0, door)
        == -1)
    {
        return NGX_ERROR;
    }

    slot->door[0] = door[0];
    slot->door[1] = door[1];

    annex->fd[annex->n++] = door[0];
    annex->fd[annex->n++] = door[1];

    ngx_cometa_annex_door(door[1]);

    return NGX_OK;
}


/* At the end that is written to. What cannot be granted leaves the default. */

static void
ngx_cometa_annex_door(int door)
{
    int  size = NGX_COMETA_DOOR_BUFFER;

    if (setsockopt(door, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(int)) == -1)
    {
        (void) setsockopt(door, SOL_SOCKET, SO_SNDBUF, &size, sizeof(int));
    }
}


ngx_int_t
ngx_cometa_annex_keep(ngx_cometa_head_t *head, ngx_pool_t *pool)
{
    ngx_cometa_annex_t  *annex;

    for (annex = ngx_cometa_annexes; annex; annex = annex->next) {
        if (annex->head == head) {
            return ngx_cometa_annex_hold(annex, pool);
        }
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_cometa_annex_hold(ngx_cometa_annex_t *annex, ngx_pool_t *pool)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_cometa_annex_drop;
    cln->data = annex;

    annex->holders++;

    return NGX_OK;
}


/*
 * The pool of a configuration is destroyed: it has failed, another one is in
 * force, or the process ends. The zone may be unmapped by now.
 */

static void
ngx_cometa_annex_drop(void *data)
{
    ngx_cometa_annex_t  *annex = data;

    if (--annex->holders == 0) {
        ngx_cometa_annex_free(annex);
    }
}


static void
ngx_cometa_annex_free(ngx_cometa_annex_t *annex)
{
    ngx_uint_t            i;
    ngx_cometa_annex_t  **link;

    for (link = &ngx_cometa_annexes; *link != annex; link = &(*link)->next) {
        /* void */
    }

    *link = annex->next;

    for (i = 0; i < annex->n; i++) {
        (void) close(annex->fd[i]);
    }

    (void) munmap(annex->rings, annex->size);

    ngx_free(annex);
}


void
ngx_cometa_annex_commit(ngx_cometa_head_t *head, ngx_log_t *log)
{
    ngx_cometa_annex_t  *annex;

    for (annex = ngx_cometa_annexes; annex; annex = annex->next) {
        if (annex->head != head) {
            ngx_cometa_annex_left(annex, log);
        }
    }
}


/*
 * What old workers hold in a zone that is not in use any more: workers of the
 * new configuration cannot reach it. They still use the zone, and the master
 * still has it mapped.
 */

static void
ngx_cometa_annex_left(ngx_cometa_annex_t *annex, ngx_log_t *log)
{
    uint64_t  devices, websockets;

    devices = 0;
    websockets = 0;

    ngx_cometa_annex_count(annex, &devices, &websockets);

    if (devices + websockets == 0) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "cometa_zone is removed by a reload: %uL devices and %uL "
                  "websockets on old workers cannot be reached from new ones",
                  devices, websockets);
}


static void
ngx_cometa_annex_count(ngx_cometa_annex_t *annex, uint64_t *devices,
    uint64_t *websockets)
{
    ngx_uint_t            i, app;
    ngx_cometa_zone_t     view;
    ngx_cometa_gauges_t  *g;

    ngx_cometa_zone_view(annex->head, &view);

    g = (ngx_cometa_gauges_t *) (annex->rings
                                 + ngx_cometa_rings_size(view.head));

    for (i = 0; i < view.head->slots; i++, g += view.head->apps) {

        if (view.slots[i].pid == 0) {
            continue;
        }

        for (app = 0; app < view.head->napps; app++) {
            *devices += g[app].devices;
            *websockets += g[app].websockets;
        }
    }
}


/* A new zone is made in place of one that has devices: they would be lost. */

static ngx_int_t
ngx_cometa_annex_refuse(ngx_log_t *log)
{
    uint64_t             devices, websockets;
    ngx_cometa_annex_t  *annex;

    devices = 0;
    websockets = 0;

    for (annex = ngx_cometa_annexes; annex; annex = annex->next) {
        ngx_cometa_annex_count(annex, &devices, &websockets);
    }

    if (devices + websockets == 0) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "cometa_zone cannot get another size or name by a reload: "
                  "%uL devices and %uL websockets would be out of reach of "
                  "the new workers; restart nginx to change it",
                  devices, websockets);

    return NGX_ERROR;
}


void
ngx_cometa_annex_view(ngx_cometa_head_t *head)
{
    ngx_cometa_annex_t  *annex;

    for (annex = ngx_cometa_annexes; annex; annex = annex->next) {
        if (annex->head == head) {
            ngx_cometa_zone.rings = annex->rings;
            ngx_cometa_zone.gauges = (ngx_cometa_gauges_t *)
                               (annex->rings + ngx_cometa_rings_size(head));
        }
    }
}

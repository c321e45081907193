/*
 * As much of nginx as slots and mailboxes use, for unit tests of them: one
 * file includes this, the sources, and defines what is declared here. Timers
 * and posted events are only noted; the test calls their handlers.
 */

#ifndef NGX_STUB_MAILBOX_H
#define NGX_STUB_MAILBOX_H


#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>


#define NGX_OK              0
#define NGX_ERROR           -1
#define NGX_BUSY            -3
#define NGX_DECLINED        -5

#define NGX_LOG_EMERG       1
#define NGX_LOG_ERR         4
#define NGX_LOG_WARN        5

#define NGX_USE_CLEAR_EVENT 1

#define ngx_inline          inline
#define ngx_errno           errno
#define ngx_min(a, b)       (((a) > (b)) ? (b) : (a))
#define ngx_max(a, b)       (((a) < (b)) ? (b) : (a))
#define ngx_align(d, a)     (((d) + (a - 1)) & ~(a - 1))
#define ngx_memcpy          memcpy
#define ngx_memzero(p, n)   memset(p, 0, n)
#define ngx_free            free
#define ngx_str_null(s)     ((s)->len = 0, (s)->data = NULL)


typedef intptr_t            ngx_int_t;
typedef uintptr_t           ngx_uint_t;
typedef uintptr_t           ngx_msec_t;
typedef unsigned char       u_char;
typedef struct ngx_log_s    ngx_log_t;
typedef struct ngx_pool_s   ngx_pool_t;
typedef struct ngx_event_s  ngx_event_t;
typedef struct ngx_shm_s    ngx_shm_zone_t;

typedef void (*ngx_event_handler_pt)(ngx_event_t *ev);

typedef struct {
    size_t        len;
    u_char       *data;
} ngx_str_t;

typedef struct {
    ngx_pool_t   *pool;
    ngx_log_t    *log;
} ngx_cycle_t;

struct ngx_event_s {
    void                 *data;
    ngx_event_handler_pt  handler;
    ngx_log_t            *log;
    ngx_msec_t            timer;
    unsigned              timer_set:1;
    unsigned              posted:1;
    unsigned              cancelable:1;
};

typedef struct {
    void         *data;
    ngx_event_t  *read;
    int           fd;
    unsigned      close:1;
    unsigned      idle:1;
} ngx_connection_t;


typedef struct ngx_queue_s  ngx_queue_t;

struct ngx_queue_s {
    ngx_queue_t  *prev;
    ngx_queue_t  *next;
};

#define ngx_queue_init(q)       ((q)->prev = (q), (q)->next = (q))
#define ngx_queue_empty(q)      ((q) == (q)->prev)
#define ngx_queue_head(q)       (q)->next
#define ngx_queue_data(q, type, link)                                         \
    ((type *) (void *) ((u_char *) (q) - offsetof(type, link)))
#define ngx_queue_insert_tail(h, x)                                           \
    ((x)->prev = (h)->prev, (x)->prev->next = (x), (x)->next = (h),           \
     (h)->prev = (x))
#define ngx_queue_remove(x)                                                   \
    ((x)->next->prev = (x)->prev, (x)->prev->next = (x)->next)


extern volatile ngx_cycle_t  *ngx_cycle;
extern pid_t                  ngx_pid;
extern ngx_uint_t             ngx_event_flags;
extern ngx_uint_t             ngx_stub_logged[9];       /* lines by level */


#define ngx_alloc(size, log)    ((void) (log), malloc(size))
#define ngx_pcalloc(pool, size) ((void) (pool), calloc(1, size))

#define ngx_log_error(level, log, err, ...)                                   \
    ((void) (log), (void) (err), ngx_stub_log(level, __VA_ARGS__))
#define ngx_add_timer(ev, ms)   ((ev)->timer = (ms), (ev)->timer_set = 1)
#define ngx_post_event(ev, q)   ((ev)->posted = 1)


static inline void
ngx_stub_log(ngx_uint_t level, ...)
{
    ngx_stub_logged[level]++;
}


#endif /* NGX_STUB_MAILBOX_H */

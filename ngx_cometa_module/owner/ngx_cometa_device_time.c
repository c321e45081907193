
/*
 * The times of devices. All state is this process's own: queues and a timer
 * for each location, in its configuration.
 */

#include "ngx_cometa_device_time.h"
#include "ngx_cometa.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_DEVICE_EXPIRE  200   /* closed in one go */
#define NGX_COMETA_DEVICE_ARRIVED 4096  /* looked at in one go, ... */
#define NGX_COMETA_DEVICE_LOOK    200   /* ... every so many ms */


static ngx_msec_int_t ngx_cometa_device_due(ngx_cometa_device_conf_t *conf);
static void ngx_cometa_device_timer(ngx_event_t *ev);
static ngx_uint_t ngx_cometa_device_silent(ngx_cometa_device_conf_t *conf);
static void ngx_cometa_device_arrived_silent(ngx_cometa_device_conf_t *conf);
static ngx_uint_t ngx_cometa_device_is_silent(ngx_cometa_device_t *dev);
static ngx_uint_t ngx_cometa_device_incomplete(
    ngx_cometa_device_conf_t *conf);


static ngx_cometa_device_expire_pt  ngx_cometa_device_expired;


void
ngx_cometa_device_time_init(ngx_cometa_device_conf_t *conf, ngx_log_t *log)
{
    ngx_queue_init(&conf->life);
    ngx_queue_init(&conf->arrived);
    ngx_queue_init(&conf->partial);

    conf->timer.handler = ngx_cometa_device_timer;
    conf->timer.data = conf;
    conf->timer.log = log;
}


void
ngx_cometa_device_time_start(ngx_cometa_device_expire_pt handler)
{
    ngx_cometa_device_expired = handler;
}


void
ngx_cometa_device_time_enter(ngx_cometa_device_t *dev)
{
    dev->state.alive = ngx_current_msec;

    ngx_queue_insert_tail(&dev->conf->life, &dev->life);
    ngx_cometa_device_time_arm(dev->conf);
}


void
ngx_cometa_device_time_arrive(ngx_cometa_device_t *dev)
{
    uint32_t                   silence;
    ngx_cometa_device_conf_t  *conf;

    conf = dev->conf;
    ngx_queue_insert_tail(&conf->arrived, &dev->life);

    silence = (uint32_t) ngx_current_msec - dev->state.alive;

    if ((int32_t) silence < (int32_t) conf->timeout) {
        ngx_cometa_device_time_arm(conf);
        return;
    }

    /* by the time of the next look it may have moved on again */

    if (conf->timer.timer_set) {
        ngx_del_timer(&conf->timer);
    }

    ngx_add_timer(&conf->timer, 1);
}


void
ngx_cometa_device_time_hear(ngx_cometa_device_t *dev)
{
    dev->state.alive = ngx_current_msec;

    ngx_queue_remove(&dev->life);
    ngx_queue_insert_tail(&dev->conf->life, &dev->life);
}


void
ngx_cometa_device_time_leave(ngx_cometa_device_t *dev)
{
    ngx_cometa_device_conf_t  *conf;

    conf = dev->conf;

    if (dev->life.prev == NULL) {
        return;
    }

    ngx_queue_remove(&dev->life);

    if (ngx_queue_empty(&conf->life)
        && ngx_queue_empty(&conf->arrived)
        && conf->timer.timer_set)
    {
        ngx_del_timer(&conf->timer);
    }
}


/*
 * Not cancelable: as long as there are devices the timer keeps a worker that
 * is shutting down alive. Where there are none it is not set.
 */

void
ngx_cometa_device_time_arm(ngx_cometa_device_conf_t *conf)
{
    ngx_msec_int_t  wait;

    if (ngx_queue_empty(&conf->life) && ngx_queue_empty(&conf->arrived)) {
        return;
    }

    wait = ngx_max(ngx_cometa_device_due(conf), 1);

    if (conf->timer.timer_set
        && (ngx_msec_int_t) (conf->timer.timer.key - ngx_current_msec)
           <= wait)
    {
        return;
    }

    ngx_add_timer(&conf->timer, (ngx_msec_t) wait);
}


/* ms until something is to be looked at. */

static ngx_msec_int_t
ngx_cometa_device_due(ngx_cometa_device_conf_t *conf)
{
    int32_t               left, wait;
    uint32_t              now;
    ngx_cometa_device_t  *dev;
    ngx_cometa_unread_t  *unread;

    now = ngx_current_msec;
    wait = NGX_MAX_INT32_VALUE;

    if (!ngx_queue_empty(&conf->arrived)) {
        wait = NGX_COMETA_DEVICE_LOOK;
    }

    if (!ngx_queue_empty(&conf->life)) {
        dev = ngx_queue_data(ngx_queue_head(&conf->life), ngx_cometa_device_t,
                             life);
        left = conf->timeout - (now - dev->state.alive);
        wait = ngx_min(wait, left);
    }

    if (!ngx_queue_empty(&conf->partial)) {
        unread = ngx_queue_data(ngx_queue_head(&conf->partial),
                                ngx_cometa_unread_t, link);
        left = conf->body_timeout - (now - unread->since);
        wait = ngx_min(wait, left);
    }

    return wait;
}


static void
ngx_cometa_device_timer(ngx_event_t *ev)
{
    ngx_uint_t                 n;
    ngx_cometa_device_conf_t  *conf;

    conf = ev->data;

    ngx_cometa_device_arrived_silent(conf);

    for (n = 0; n < NGX_COMETA_DEVICE_EXPIRE; n++) {

        if (!ngx_cometa_device_silent(conf)
            && !ngx_cometa_device_incomplete(conf))
        {
            break;
        }
    }

    ngx_cometa_device_time_arm(conf);
}


/* Closes one that was silent for too long; 0: there is none. */

static ngx_uint_t
ngx_cometa_device_silent(ngx_cometa_device_conf_t *conf)
{
    return !ngx_queue_empty(&conf->life)
           && ngx_cometa_device_is_silent(
                  ngx_queue_data(ngx_queue_head(&conf->life),
                                 ngx_cometa_device_t, life));
}


/*
 * Walks round and round those that came from other workers, a part at a time.
 * Whoever is alive leaves them with its next heartbeat.
 */

static void
ngx_cometa_device_arrived_silent(ngx_cometa_device_conf_t *conf)
{
    ngx_uint_t            n, closed;
    ngx_queue_t          *q;
    ngx_cometa_device_t  *dev, *last;

    if (ngx_queue_empty(&conf->arrived)) {
        return;
    }

    last = ngx_queue_data(ngx_queue_last(&conf->arrived), ngx_cometa_device_t,
                          life);
    closed = 0;

    for (n = 0;
         n < NGX_COMETA_DEVICE_ARRIVED && closed < NGX_COMETA_DEVICE_EXPIRE
         && !ngx_queue_empty(&conf->arrived);
         n++)
    {
        q = ngx_queue_head(&conf->arrived);
        dev = ngx_queue_data(q, ngx_cometa_device_t, life);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&conf->arrived, q);

        closed += ngx_cometa_device_is_silent(dev);

        if (dev == last) {
            break;
        }
    }
}


/* Closes it if it was silent for too long. */

static ngx_uint_t
ngx_cometa_device_is_silent(ngx_cometa_device_t *dev)
{
    uint32_t  silence;

    silence = (uint32_t) ngx_current_msec - dev->state.alive;

    if ((int32_t) silence < (int32_t) dev->conf->timeout) {
        return 0;
    }

    ngx_cometa_device_log(dev);
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, NGX_ETIMEDOUT,
                  "no sign of life of the device");
    ngx_cometa_device_expired(dev, NGX_COMETA_HEARTBEAT_TIMEOUT);

    return 1;
}


/* Closes one whose chunk took too long; 0: there is none. */

static ngx_uint_t
ngx_cometa_device_incomplete(ngx_cometa_device_conf_t *conf)
{
    uint32_t              now;
    ngx_cometa_device_t  *dev;
    ngx_cometa_unread_t  *unread;

    if (ngx_queue_empty(&conf->partial)) {
        return 0;
    }

    now = ngx_current_msec;
    unread = ngx_queue_data(ngx_queue_head(&conf->partial),
                            ngx_cometa_unread_t, link);

    if ((int32_t) (now - unread->since) < (int32_t) conf->body_timeout) {
        return 0;
    }

    dev = unread->device;

    ngx_cometa_device_log(dev);
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, NGX_ETIMEDOUT,
                  "device began a chunk and did not complete it");
    ngx_cometa_stats_add(dev->state.app, errors, 1);
    ngx_cometa_device_expired(dev, NGX_COMETA_PROTOCOL_ERROR);

    return 1;
}


/*
 * The times of devices. All state is this process's own: queues and a timer
 * for each interval of a location.
 */

#include "ngx_cometa_device_time.h"
#include "ngx_cometa.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_input.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_life.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_DEVICE_EXPIRE  200   /* closed or pinged in one go */
#define NGX_COMETA_DEVICE_ARRIVED 4096  /* looked at in one go, ... */
#define NGX_COMETA_DEVICE_LOOK    200   /* ... every so many ms */


static ngx_uint_t ngx_cometa_life_empty(ngx_cometa_life_t *life);
static void ngx_cometa_life_arm(ngx_cometa_life_t *life);
static ngx_msec_int_t ngx_cometa_life_due(ngx_cometa_life_t *life);
static int32_t ngx_cometa_life_left(ngx_queue_t *queue, ngx_msec_t time);
static void ngx_cometa_life_timer(ngx_event_t *ev);
static ngx_uint_t ngx_cometa_life_heard(ngx_cometa_life_t *life);
static ngx_uint_t ngx_cometa_life_pinged(ngx_cometa_life_t *life);
static void ngx_cometa_life_arrived(ngx_cometa_life_t *life);
static ngx_uint_t ngx_cometa_life_partial(ngx_cometa_life_t *life);
static ngx_uint_t ngx_cometa_device_silent(ngx_cometa_device_t *dev,
    ngx_msec_t time);
static ngx_uint_t ngx_cometa_device_expire(ngx_cometa_device_t *dev);
static ngx_uint_t ngx_cometa_device_remind(ngx_cometa_device_t *dev);


static ngx_cometa_device_expire_pt  ngx_cometa_device_expired;
static ngx_cometa_device_ping_pt    ngx_cometa_device_pings;


void
ngx_cometa_device_time_init(ngx_cometa_device_conf_t *conf, ngx_log_t *log)
{
    ngx_cometa_life_init(&conf->life, conf, ngx_cometa_life_timer, log);
}


void
ngx_cometa_device_time_start(ngx_cometa_device_expire_pt expired,
    ngx_cometa_device_ping_pt ping)
{
    ngx_cometa_device_expired = expired;
    ngx_cometa_device_pings = ping;
}


void
ngx_cometa_device_time_enter(ngx_cometa_device_t *dev)
{
    ngx_cometa_life_t  *life;

    life = ngx_cometa_device_life(dev);

    dev->state.alive = ngx_current_msec;

    ngx_queue_insert_tail(&life->heard, &dev->life);
    ngx_cometa_life_arm(life);
}


void
ngx_cometa_device_time_arrive(ngx_cometa_device_t *dev)
{
    ngx_cometa_life_t  *life;

    life = ngx_cometa_device_life(dev);
    ngx_queue_insert_tail(&life->arrived, &dev->life);

    if (!ngx_cometa_device_silent(dev, life->timeout)) {
        ngx_cometa_life_arm(life);
        return;
    }

    /* by the time of the next look it may have moved on again */

    if (life->timer.timer_set) {
        ngx_del_timer(&life->timer);
    }

    ngx_add_timer(&life->timer, 1);
}


void
ngx_cometa_device_time_hear(ngx_cometa_device_t *dev)
{
    dev->state.alive = ngx_current_msec;

    if (dev->asked) {
        dev->asked->pinged = 0;
    }

    ngx_queue_remove(&dev->life);
    ngx_queue_insert_tail(&ngx_cometa_device_life(dev)->heard, &dev->life);
}


void
ngx_cometa_device_time_leave(ngx_cometa_device_t *dev)
{
    ngx_cometa_life_t  *life;

    if (dev->life.prev == NULL) {
        return;
    }

    life = ngx_cometa_device_life(dev);

    ngx_queue_remove(&dev->life);

    if (ngx_cometa_life_empty(life) && life->timer.timer_set) {
        ngx_del_timer(&life->timer);
    }
}


void
ngx_cometa_device_time_arm(ngx_cometa_device_t *dev)
{
    ngx_cometa_life_arm(ngx_cometa_device_life(dev));
}


static ngx_uint_t
ngx_cometa_life_empty(ngx_cometa_life_t *life)
{
    return ngx_queue_empty(&life->heard)
           && ngx_queue_empty(&life->pinged)
           && ngx_queue_empty(&life->arrived);
}


/*
 * Not cancelable: as long as there are devices the timer keeps a worker that
 * is shutting down alive. Where there are none it is not set.
 */

static void
ngx_cometa_life_arm(ngx_cometa_life_t *life)
{
    ngx_msec_int_t  wait;

    if (ngx_cometa_life_empty(life)) {
        return;
    }

    wait = ngx_max(ngx_cometa_life_due(life), 1);

    if (life->timer.timer_set
        && (ngx_msec_int_t) (life->timer.timer.key - ngx_current_msec)
           <= wait)
    {
        return;
    }

    ngx_add_timer(&life->timer, (ngx_msec_t) wait);
}


/* ms until something is to be looked at. */

static ngx_msec_int_t
ngx_cometa_life_due(ngx_cometa_life_t *life)
{
    int32_t               left, wait;
    ngx_cometa_unread_t  *unread;

    wait = ngx_queue_empty(&life->arrived) ? NGX_MAX_INT32_VALUE
                                           : NGX_COMETA_DEVICE_LOOK;

    left = ngx_cometa_life_left(&life->heard,
                                life->ping ? life->ping : life->timeout);
    wait = ngx_min(wait, left);

    left = ngx_cometa_life_left(&life->pinged, life->timeout);
    wait = ngx_min(wait, left);

    if (!ngx_queue_empty(&life->partial)) {
        unread = ngx_queue_data(ngx_queue_head(&life->partial),
                                ngx_cometa_unread_t, link);
        left = life->conf->body_timeout
               - ((uint32_t) ngx_current_msec - unread->since);
        wait = ngx_min(wait, left);
    }

    return wait;
}


/* ms until the first device of this queue was silent for so long. */

static int32_t
ngx_cometa_life_left(ngx_queue_t *queue, ngx_msec_t time)
{
    ngx_cometa_device_t  *dev;

    if (ngx_queue_empty(queue)) {
        return NGX_MAX_INT32_VALUE;
    }

    dev = ngx_queue_data(ngx_queue_head(queue), ngx_cometa_device_t, life);

    return time - ((uint32_t) ngx_current_msec - dev->state.alive);
}


static void
ngx_cometa_life_timer(ngx_event_t *ev)
{
    ngx_uint_t          n;
    ngx_cometa_life_t  *life;

    life = ev->data;

    ngx_cometa_life_arrived(life);

    for (n = 0; n < NGX_COMETA_DEVICE_EXPIRE; n++) {

        if (!ngx_cometa_life_heard(life)
            && !ngx_cometa_life_pinged(life)
            && !ngx_cometa_life_partial(life))
        {
            break;
        }
    }

    ngx_cometa_life_arm(life);
}


/* Closes or pings one that was silent for too long; 0: there is none. */

static ngx_uint_t
ngx_cometa_life_heard(ngx_cometa_life_t *life)
{
    ngx_cometa_device_t  *dev;

    if (ngx_queue_empty(&life->heard)) {
        return 0;
    }

    dev = ngx_queue_data(ngx_queue_head(&life->heard), ngx_cometa_device_t,
                         life);

    if (life->ping == 0) {
        return ngx_cometa_device_expire(dev);
    }

    if (!ngx_cometa_device_silent(dev, life->ping)) {
        return 0;
    }

    ngx_queue_remove(&dev->life);
    ngx_queue_insert_tail(&life->pinged, &dev->life);

    return ngx_cometa_device_remind(dev);
}


/* Closes one that has not answered its ping; 0: there is none. */

static ngx_uint_t
ngx_cometa_life_pinged(ngx_cometa_life_t *life)
{
    return !ngx_queue_empty(&life->pinged)
           && ngx_cometa_device_expire(
                  ngx_queue_data(ngx_queue_head(&life->pinged),
                                 ngx_cometa_device_t, life));
}


/*
 * Walks round and round those that came from other workers, a part at a time.
 * Whoever is alive leaves them with its next heartbeat.
 */

static void
ngx_cometa_life_arrived(ngx_cometa_life_t *life)
{
    ngx_uint_t            n, done;
    ngx_queue_t          *q;
    ngx_cometa_device_t  *dev, *last;

    if (ngx_queue_empty(&life->arrived)) {
        return;
    }

    last = ngx_queue_data(ngx_queue_last(&life->arrived), ngx_cometa_device_t,
                          life);
    done = 0;

    for (n = 0;
         n < NGX_COMETA_DEVICE_ARRIVED && done < NGX_COMETA_DEVICE_EXPIRE
         && !ngx_queue_empty(&life->arrived);
         n++)
    {
        q = ngx_queue_head(&life->arrived);
        dev = ngx_queue_data(q, ngx_cometa_device_t, life);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&life->arrived, q);

        if (ngx_cometa_device_expire(dev)) {
            done++;

        } else if (life->ping && !dev->asked->pinged
                   && ngx_cometa_device_silent(dev, life->ping))
        {
            done += ngx_cometa_device_remind(dev);
        }

        if (dev == last) {
            break;
        }
    }
}


static ngx_uint_t
ngx_cometa_device_silent(ngx_cometa_device_t *dev, ngx_msec_t time)
{
    uint32_t  silence;

    silence = (uint32_t) ngx_current_msec - dev->state.alive;

    return (int32_t) silence >= (int32_t) time;
}


/* Closes it if it was silent for too long. */

static ngx_uint_t
ngx_cometa_device_expire(ngx_cometa_device_t *dev)
{
    if (!ngx_cometa_device_silent(dev, ngx_cometa_device_life(dev)->timeout)) {
        return 0;
    }

    ngx_cometa_device_log(dev);
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, NGX_ETIMEDOUT,
                  "no sign of life of the device");
    ngx_cometa_device_expired(dev, NGX_COMETA_HEARTBEAT_TIMEOUT);

    return 1;
}


/* It may be closed by that, if nothing can be written. */

static ngx_uint_t
ngx_cometa_device_remind(ngx_cometa_device_t *dev)
{
    dev->asked->pinged = 1;

    ngx_cometa_device_pings(dev);

    return 1;
}


/* Closes one whose message took too long; 0: there is none. */

static ngx_uint_t
ngx_cometa_life_partial(ngx_cometa_life_t *life)
{
    uint32_t              now;
    ngx_cometa_device_t  *dev;
    ngx_cometa_unread_t  *unread;

    if (ngx_queue_empty(&life->partial)) {
        return 0;
    }

    now = ngx_current_msec;
    unread = ngx_queue_data(ngx_queue_head(&life->partial),
                            ngx_cometa_unread_t, link);

    if ((int32_t) (now - unread->since) < (int32_t) life->conf->body_timeout) {
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

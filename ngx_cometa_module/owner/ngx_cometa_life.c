
/*
 * The intervals of a location. There are few, see ngx_cometa_asked_interval(),
 * so they are in a list, and none is ever freed.
 */

#include "ngx_cometa_life.h"
#include "ngx_cometa_device_state.h"


#define NGX_COMETA_LIFE_LONGEST  129600000  /* ms, a day and a half */


void
ngx_cometa_life_init(ngx_cometa_life_t *life, ngx_cometa_device_conf_t *conf,
    ngx_event_handler_pt timer, ngx_log_t *log)
{
    life->conf = conf;

    ngx_queue_init(&life->heard);
    ngx_queue_init(&life->pinged);
    ngx_queue_init(&life->arrived);
    ngx_queue_init(&life->partial);

    life->timer.handler = timer;
    life->timer.data = life;
    life->timer.log = log;
}


ngx_cometa_life_t *
ngx_cometa_life_get(ngx_cometa_device_conf_t *conf, ngx_msec_t heartbeat,
    ngx_uint_t frames)
{
    uint64_t            timeout;
    ngx_cometa_life_t  *life, *first;

    first = &conf->life;

    heartbeat = heartbeat ? heartbeat * 1000 : first->heartbeat;

    for (life = first; life; life = life->next) {
        if (life->heartbeat == heartbeat && (life->ping != 0) == frames) {
            return life;
        }
    }

    life = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_cometa_life_t));
    if (life == NULL) {
        return NULL;
    }

    timeout = (uint64_t) heartbeat * first->timeout / first->heartbeat;
    timeout = ngx_min(timeout, NGX_COMETA_LIFE_LONGEST);

    life->heartbeat = heartbeat;
    life->timeout = timeout;
    life->ping = frames ? timeout - timeout / 6 : 0;

    ngx_cometa_life_init(life, conf, first->timer.handler, first->timer.log);

    life->next = first->next;
    first->next = life;

    return life;
}

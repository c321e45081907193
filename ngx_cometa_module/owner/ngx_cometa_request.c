
/*
 * Requests of devices. All state is this process's own. What comes of a request
 * is noted on any stack, and handled by an event of its own: so it never writes
 * to a device, or closes it, in the middle of something else.
 *
 *     waiting --> with the webhook --> answer --> written
 *        |                 |            ^
 *        `---- too many, late, failed --'
 *
 * The next one is sent when the answer to the one before is written. So a
 * device that does not read has one long answer at most here.
 */

#include "ngx_cometa_request.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_webhook_types.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_REQUESTS      16     /* of a device; more fail */
#define NGX_COMETA_REFUSALS      64     /* not written yet; more are dropped */

#define NGX_COMETA_REQUESTS_MAGIC  0x41534b53    /* "ASKS" */


/* A request; its id and data follow. */

typedef struct {
    ngx_queue_t             link;
    uint64_t                deadline;   /* ms, ngx_current_msec */
    size_t                  len;        /* of the data */
    size_t                  id;         /* length */
} ngx_cometa_question_t;


/* What is to be written to the device. */

typedef struct {
    ngx_queue_t             link;
    size_t                  len;
    u_char                  data[1];
} ngx_cometa_response_t;


struct ngx_cometa_requests_s {
    ngx_cometa_answer_t     answer;     /* first: it is handed out */
    ngx_cometa_device_t    *device;
    ngx_queue_t             questions;  /* the first one is in `lane`, if any */
    ngx_queue_t             responses;
    ngx_cometa_lane_t      *lane;       /* NULL: nothing is with the webhook */
    ngx_event_t             event;      /* the time of the first one is over,
                                           or it has ended */
    size_t                  size;       /* bytes of all questions */
    uint16_t                nquestions;
    uint16_t                nresponses;
    unsigned                ended:1;
    unsigned                ok:1;       /* with `ended` */
    ngx_cometa_magic_field
};


static ngx_int_t ngx_cometa_request_id(u_char *data, size_t len,
    ngx_str_t *id);
static ngx_cometa_requests_t *ngx_cometa_requests_get(
    ngx_cometa_device_t *dev);
static ngx_int_t ngx_cometa_request_add(ngx_cometa_requests_t *requests,
    ngx_str_t *id, u_char *data, size_t len);
static void ngx_cometa_requests_go(ngx_cometa_requests_t *requests);
static ngx_int_t ngx_cometa_requests_write(ngx_cometa_requests_t *requests);
static ngx_int_t ngx_cometa_requests_send(ngx_cometa_requests_t *requests);
static void ngx_cometa_requests_event(ngx_event_t *ev);
static void ngx_cometa_requests_ended(ngx_cometa_answer_t *answer,
    ngx_uint_t ok);
static void ngx_cometa_requests_first_ends(ngx_cometa_requests_t *requests,
    ngx_uint_t ok);
static ngx_cometa_question_t *ngx_cometa_requests_first(
    ngx_cometa_requests_t *requests);
static ngx_int_t ngx_cometa_requests_respond(ngx_cometa_requests_t *requests,
    ngx_str_t *id, u_char *body, size_t len);
static void ngx_cometa_requests_free(ngx_cometa_requests_t *requests);


void
ngx_cometa_request(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_str_t               id;
    ngx_cometa_requests_t  *requests;

    if (ngx_cometa_request_id(data, len, &id) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                      "device sent a request without an id of 1 to %d "
                      "printable characters and a line feed behind it",
                      NGX_COMETA_CALL_ID_MAX);
        ngx_cometa_stats_add(dev->state.app, errors, 1);
        return;
    }

    requests = ngx_cometa_requests_get(dev);

    if (requests == NULL) {
        ngx_cometa_stats_add(dev->state.app, webhook_dropped, 1);
        return;
    }

    data += id.len + 1;
    len -= id.len + 1;

    if (ngx_cometa_request_add(requests, &id, data, len) != NGX_OK) {
        ngx_cometa_stats_add(dev->state.app, webhook_dropped, 1);

        if (requests->nresponses < NGX_COMETA_REFUSALS) {
            (void) ngx_cometa_requests_respond(requests, &id, NULL, 0);
        }
    }

    ngx_cometa_requests_go(requests);
}


/* Printable and no space, for it is the value of a header. */

static ngx_int_t
ngx_cometa_request_id(u_char *data, size_t len, ngx_str_t *id)
{
    size_t  n;

    for (n = 0; n < len && n <= NGX_COMETA_CALL_ID_MAX; n++) {

        if (data[n] == LF && n > 0) {
            id->data = data;
            id->len = n;
            return NGX_OK;
        }

        if (data[n] <= 0x20 || data[n] >= 0x7f) {
            break;
        }
    }

    return NGX_ERROR;
}


static ngx_cometa_requests_t *
ngx_cometa_requests_get(ngx_cometa_device_t *dev)
{
    ngx_cometa_requests_t  *requests;

    if (dev->asked->questions) {
        return dev->asked->questions;
    }

    requests = ngx_calloc(sizeof(ngx_cometa_requests_t), ngx_cycle->log);
    if (requests == NULL) {
        return NULL;
    }

    ngx_cometa_magic_set(requests, NGX_COMETA_REQUESTS_MAGIC);

    requests->device = dev;
    requests->answer.handler = ngx_cometa_requests_ended;
    requests->event.handler = ngx_cometa_requests_event;
    requests->event.data = requests;
    requests->event.log = ngx_cycle->log;

    ngx_queue_init(&requests->questions);
    ngx_queue_init(&requests->responses);

    dev->asked->questions = requests;

    return requests;
}


/*
 * All of them together take no more memory than one message may have. NGX_BUSY:
 * there are too many; NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_cometa_request_add(ngx_cometa_requests_t *requests, ngx_str_t *id,
    u_char *data, size_t len)
{
    u_char                    *p;
    ngx_cometa_question_t     *q;
    ngx_cometa_device_conf_t  *conf;

    conf = requests->device->conf;

    if (requests->nquestions == NGX_COMETA_REQUESTS
        || requests->size + len > conf->max_message)
    {
        return NGX_BUSY;
    }

    q = ngx_alloc(sizeof(ngx_cometa_question_t) + id->len + len,
                  ngx_cycle->log);
    if (q == NULL) {
        return NGX_ERROR;
    }

    q->deadline = ngx_current_msec + conf->request_timeout;
    q->id = id->len;
    q->len = len;

    p = ngx_cpymem(q + 1, id->data, id->len);
    ngx_memcpy(p, data, len);

    ngx_queue_insert_tail(&requests->questions, &q->link);
    requests->nquestions++;
    requests->size += len;

    return NGX_OK;
}


void
ngx_cometa_request_ready(ngx_cometa_device_t *dev)
{
    if (dev->asked && dev->asked->questions) {
        ngx_cometa_requests_go(dev->asked->questions);
    }
}


/* Does what can be done now. Nothing may be done with the device after it. */

static void
ngx_cometa_requests_go(ngx_cometa_requests_t *requests)
{
    while (ngx_cometa_requests_write(requests) == NGX_OK) {

        if (requests->lane || requests->ended) {
            return;
        }

        if (ngx_queue_empty(&requests->questions)) {
            ngx_cometa_requests_free(requests);
            return;
        }

        if (ngx_cometa_requests_send(requests) != NGX_OK) {
            ngx_cometa_requests_first_ends(requests, 0);
        }
    }
}


/* NGX_AGAIN: the device takes no more now; NGX_ERROR: it may be gone. */

static ngx_int_t
ngx_cometa_requests_write(ngx_cometa_requests_t *requests)
{
    ngx_int_t               rc;
    ngx_queue_t            *q;
    ngx_cometa_response_t  *response;

    while (!ngx_queue_empty(&requests->responses)) {

        if (!ngx_cometa_device_writable(requests->device)) {
            return NGX_AGAIN;
        }

        q = ngx_queue_head(&requests->responses);
        response = ngx_queue_data(q, ngx_cometa_response_t, link);

        ngx_queue_remove(q);
        requests->nresponses--;

        rc = ngx_cometa_device_write(requests->device, response->data,
                                     response->len);
        ngx_free(response);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Gives the first one to the webhook. NGX_DECLINED: it has failed. */

static ngx_int_t
ngx_cometa_requests_send(ngx_cometa_requests_t *requests)
{
    ngx_cometa_news_t       news;
    ngx_cometa_device_t    *dev;
    ngx_cometa_question_t  *q;

    dev = requests->device;
    q = ngx_cometa_requests_first(requests);

    if (dev->conf->webhook == NULL || q->deadline <= ngx_current_msec) {
        ngx_cometa_stats_add(dev->state.app, webhook_failed, 1);
        return NGX_DECLINED;
    }

    ngx_memzero(&news, sizeof(ngx_cometa_news_t));

    news.event = NGX_COMETA_EVENT_REQUEST;
    news.call.data = (u_char *) (q + 1);
    news.call.len = q->id;
    news.data = news.call.data + q->id;
    news.len = q->len;

    requests->answer.max = dev->conf->max_message
                           - ngx_min(dev->conf->max_message, q->id + 2);

    requests->lane = ngx_cometa_webhook_ask(dev->conf->webhook, dev, &news,
                                            &requests->answer);
    if (requests->lane == NULL) {
        return NGX_DECLINED;
    }

    ngx_add_timer(&requests->event, q->deadline - ngx_current_msec);

    return NGX_OK;
}


static void
ngx_cometa_requests_ended(ngx_cometa_answer_t *answer, ngx_uint_t ok)
{
    ngx_cometa_requests_t  *requests;

    requests = (ngx_cometa_requests_t *) answer;

    ngx_cometa_magic_check(requests, NGX_COMETA_REQUESTS_MAGIC);

    requests->lane = NULL;
    requests->ended = 1;
    requests->ok = ok;

    if (requests->event.timer_set) {
        ngx_del_timer(&requests->event);
    }

    ngx_post_event(&requests->event, &ngx_posted_events);
}


static void
ngx_cometa_requests_event(ngx_event_t *ev)
{
    ngx_uint_t              ok;
    ngx_cometa_lane_t      *lane;
    ngx_cometa_requests_t  *requests;

    requests = ev->data;

    ngx_cometa_magic_check(requests, NGX_COMETA_REQUESTS_MAGIC);

    ok = requests->ended && requests->ok;
    lane = requests->lane;

    requests->ended = 0;
    requests->lane = NULL;

    if (lane) {
        ngx_cometa_webhook_forget(lane);
    }

    ngx_cometa_requests_first_ends(requests, ok);
    ngx_cometa_requests_go(requests);
}


/* If there is no memory for the response the device has to wait in vain. */

static void
ngx_cometa_requests_first_ends(ngx_cometa_requests_t *requests, ngx_uint_t ok)
{
    ngx_str_t               id;
    ngx_cometa_answer_t    *answer;
    ngx_cometa_question_t  *q;

    q = ngx_cometa_requests_first(requests);
    answer = &requests->answer;

    id.data = (u_char *) (q + 1);
    id.len = q->id;

    /* a device that takes text only gets no other */

    if (!ok || !ngx_cometa_asked_takes(requests->device, answer->body,
                                       answer->len))
    {
        answer->len = 0;
    }

    (void) ngx_cometa_requests_respond(requests, &id, answer->body,
                                       answer->len);

    if (answer->body) {
        ngx_free(answer->body);
    }

    answer->body = NULL;
    answer->len = 0;
    answer->size = 0;
    answer->complete = 0;
    answer->too_long = 0;

    ngx_queue_remove(&q->link);
    requests->nquestions--;
    requests->size -= q->len;
    ngx_free(q);
}


static ngx_cometa_question_t *
ngx_cometa_requests_first(ngx_cometa_requests_t *requests)
{
    ngx_cometa_expect(!ngx_queue_empty(&requests->questions));

    return ngx_queue_data(ngx_queue_head(&requests->questions),
                          ngx_cometa_question_t, link);
}


/* Adds what is to be written. NGX_ERROR: no memory. */

static ngx_int_t
ngx_cometa_requests_respond(ngx_cometa_requests_t *requests, ngx_str_t *id,
    u_char *body, size_t len)
{
    u_char                 *p;
    ngx_cometa_response_t  *response;

    response = ngx_alloc(offsetof(ngx_cometa_response_t, data)
                         + 2 + id->len + len, ngx_cycle->log);
    if (response == NULL) {
        return NGX_ERROR;
    }

    p = response->data;
    *p++ = NGX_COMETA_CHUNK_REQUEST;
    p = ngx_cpymem(p, id->data, id->len);
    *p++ = LF;

    if (len) {
        p = ngx_cpymem(p, body, len);
    }

    response->len = p - response->data;

    ngx_queue_insert_tail(&requests->responses, &response->link);
    requests->nresponses++;

    return NGX_OK;
}


ngx_int_t
ngx_cometa_request_give_up(ngx_cometa_device_t *dev)
{
    ngx_cometa_lane_t      *lane;
    ngx_cometa_requests_t  *requests;

    requests = dev->asked ? dev->asked->questions : NULL;

    if (requests == NULL) {
        return NGX_OK;
    }

    /* what has ended is handled in this turn */

    if (requests->ended) {
        return NGX_AGAIN;
    }

    lane = requests->lane;

    if (lane) {
        requests->lane = NULL;
        ngx_del_timer(&requests->event);
        ngx_cometa_webhook_forget(lane);
        ngx_cometa_requests_first_ends(requests, 0);
    }

    while (!ngx_queue_empty(&requests->questions)) {
        ngx_cometa_stats_add(dev->state.app, webhook_failed, 1);
        ngx_cometa_requests_first_ends(requests, 0);
    }

    ngx_cometa_requests_go(requests);

    return (dev->used && !dev->closing && dev->asked->questions == NULL)
           ? NGX_OK : NGX_AGAIN;
}


void
ngx_cometa_request_closed(ngx_cometa_device_t *dev)
{
    ngx_cometa_lane_t      *lane;
    ngx_cometa_requests_t  *requests;

    requests = dev->asked ? dev->asked->questions : NULL;

    if (requests == NULL) {
        return;
    }

    lane = requests->lane;
    requests->lane = NULL;

    if (lane) {
        ngx_cometa_webhook_forget(lane);
    }

    ngx_cometa_requests_free(requests);
}


static void
ngx_cometa_requests_free(ngx_cometa_requests_t *requests)
{
    ngx_queue_t  *q;

    if (requests->event.timer_set) {
        ngx_del_timer(&requests->event);
    }

    if (requests->event.posted) {
        ngx_delete_posted_event(&requests->event);
    }

    while (!ngx_queue_empty(&requests->questions)) {
        q = ngx_queue_head(&requests->questions);
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_cometa_question_t, link));
    }

    while (!ngx_queue_empty(&requests->responses)) {
        q = ngx_queue_head(&requests->responses);
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_cometa_response_t, link));
    }

    if (requests->answer.body) {
        ngx_free(requests->answer.body);
    }

    requests->device->asked->questions = NULL;

    ngx_cometa_magic_clear(requests);
    ngx_free(requests);
}

/*
 * MQTT 5 with QoS 0: a topic for each device, a topic for the answers to
 * each caller; a call names that topic (Response Topic), and the answer
 * repeats what it is marked with (Correlation Data).
 *
 * Not by libmosquitto: it takes three reads for a message where the clients of
 * the other servers take one, and its cost would be measured instead.
 */

#include <stdio.h>
#include <string.h>

#include "protocol.h"

#define CONNECT      0x10
#define CONNACK      0x20
#define PUBLISH      0x30
#define SUBSCRIBE    0x82
#define SUBACK       0x90
#define PINGREQ      0xc0
#define PINGRESP     0xd0

#define VERSION      5
#define CLEAN_START  0x02
#define KEEP_ALIVE   60             /* s */

#define RESPONSE     0x08           /* properties */
#define CORRELATION  0x09

#define NAME         32             /* of a client, of a topic */
#define MAX_HEAD     5
#define MAX_LENGTH   4              /* bytes of a length */

typedef struct {
    const unsigned char  *p;
    const unsigned char  *end;
} rest_t;


static char *
put_string(char *p, const char *s, size_t n)
{
    *p++ = (char) (n >> 8);
    *p++ = (char) n;
    memcpy(p, s, n);

    return p + n;
}


static char *
put_property(char *p, int id, const char *s, size_t n)
{
    *p++ = (char) id;

    return put_string(p, s, n);
}


/* the body was written behind room for the head: it moves up to it */

static size_t
finish(char *out, int type, const char *end)
{
    size_t  head = 1, size, n;

    size = n = (size_t) (end - out - MAX_HEAD);
    out[0] = (char) type;

    do {
        out[head++] = (char) (n % 128 + (n >= 128 ? 128 : 0));
        n /= 128;
    } while (n);

    memmove(out + head, out + MAX_HEAD, size);

    return head + size;
}


static int
topic_of(const cometa_peer_t *peer, int calls, char topic[NAME])
{
    return calls ? sprintf(topic, "reply/%u", peer->caller)
                 : sprintf(topic, "call/%llu",
                           (unsigned long long) peer->device);
}


static size_t
mqtt_greet(cometa_peer_t *peer, char *out)
{
    int   n;
    char  name[NAME], *p = out + MAX_HEAD;

    n = peer->calls ? sprintf(name, "caller-%u", peer->caller)
                    : sprintf(name, "device-%llu",
                              (unsigned long long) peer->device);

    p = put_string(p, "MQTT", 4);
    *p++ = VERSION;
    *p++ = CLEAN_START;
    *p++ = 0;
    *p++ = KEEP_ALIVE;
    *p++ = 0;                       /* no properties */
    p = put_string(p, name, (size_t) n);

    return finish(out, CONNECT, p);
}


static size_t
subscribe(cometa_peer_t *peer, char *out)
{
    int   n;
    char  topic[NAME], *p = out + MAX_HEAD;

    n = topic_of(peer, peer->calls, topic);

    *p++ = 0;
    *p++ = 1;                       /* number of this packet */
    *p++ = 0;                       /* no properties */
    p = put_string(p, topic, (size_t) n);
    *p++ = 0;                       /* QoS 0 */

    return finish(out, SUBSCRIBE, p);
}


static size_t
mqtt_call(cometa_peer_t *peer, uint32_t tag, const char *data, size_t n,
    char *out)
{
    int   size;
    char  topic[NAME], *length, *p = out + MAX_HEAD;

    size = topic_of(peer, 0, topic);
    p = put_string(p, topic, (size_t) size);

    length = p++;
    size = topic_of(peer, 1, topic);
    p = put_property(p, RESPONSE, topic, (size_t) size);
    p = put_property(p, CORRELATION, (char *) &tag, sizeof(tag));
    *length = (char) (p - length - 1);

    memcpy(p, data, n);

    return finish(out, PUBLISH, p + n);
}


static size_t
mqtt_answer(cometa_peer_t *peer, const cometa_news_t *news, char *out)
{
    char  *p = out + MAX_HEAD, *length;

    (void) peer;

    p = put_string(p, news->reply, news->reply_size);
    length = p++;
    p = put_property(p, CORRELATION, news->mark, news->mark_size);
    *length = (char) (p - length - 1);

    memcpy(p, news->data, news->size);

    return finish(out, PUBLISH, p + news->size);
}


static size_t
mqtt_ping(char *out)
{
    out[0] = (char) PINGREQ;
    out[1] = 0;

    return 2;
}


/* 1: read, 0: more bytes are needed, -1: no length */

static int
read_length(rest_t *r, size_t *n)
{
    int  i;

    for (i = 0, *n = 0; i < MAX_LENGTH; i++) {
        if (r->p == r->end) {
            return 0;
        }

        *n |= (size_t) (*r->p & 127) << 7 * i;

        if (*r->p++ < 128) {
            return 1;
        }
    }

    return -1;
}


static int
read_string(rest_t *r, const char **s, size_t *n)
{
    if (r->end - r->p < 2) {
        return -1;
    }

    *n = (size_t) (r->p[0] << 8 | r->p[1]);
    r->p += 2;

    if ((size_t) (r->end - r->p) < *n) {
        return -1;
    }

    *s = (const char *) r->p;
    r->p += *n;

    return 0;
}


/* a server passes the properties on; it has none of its own to add here */

static int
read_properties(rest_t *r, cometa_news_t *news)
{
    int  rc = 0;

    while (rc == 0 && r->p < r->end) {

        switch (*r->p++) {

        case RESPONSE:
            rc = read_string(r, &news->reply, &news->reply_size);
            break;

        case CORRELATION:
            rc = read_string(r, &news->mark, &news->mark_size);
            break;

        default:
            rc = -1;
        }
    }

    return rc;
}


static int
read_message(const cometa_peer_t *peer, rest_t r, cometa_news_t *news)
{
    rest_t       properties;
    size_t       n;
    const char  *topic;

    if (read_string(&r, &topic, &n) != 0 || read_length(&r, &n) != 1
        || (size_t) (r.end - r.p) < n)
    {
        return -1;
    }

    properties.p = r.p;
    properties.end = r.p + n;

    if (read_properties(&properties, news) != 0 || news->mark == NULL
        || news->mark_size != sizeof(news->tag)
        || (!peer->calls && news->reply == NULL))
    {
        return -1;
    }

    memcpy(&news->tag, news->mark, sizeof(news->tag));

    news->type = COMETA_NEWS_MESSAGE;
    news->data = (const char *) properties.end;
    news->size = (size_t) (r.end - properties.end);

    return 0;
}


static int
read_packet(cometa_peer_t *peer, int type, rest_t body, cometa_news_t *news,
    char *out)
{
    switch (type) {

    case PUBLISH:
        return read_message(peer, body, news);

    case CONNACK:                   /* flags, reason */
        if (body.end - body.p < 2 || body.p[1] != 0) {
            return -1;
        }

        news->back = subscribe(peer, out);
        return 0;

    case SUBACK:                    /* ... reason: the QoS granted */
        news->type = COMETA_NEWS_READY;
        return body.p < body.end && body.end[-1] == 0 ? 0 : -1;

    case PINGRESP:
        return 0;

    default:
        return -1;
    }
}


static ssize_t
mqtt_read(cometa_peer_t *peer, const char *p, size_t n, cometa_news_t *news,
    char *out)
{
    int                   rc;
    rest_t                r;
    size_t                size;
    const unsigned char  *u = (const unsigned char *) p;

    r.p = u + 1;
    r.end = u + n;

    rc = read_length(&r, &size);

    if (rc <= 0) {
        return rc;
    }

    if ((size_t) (r.end - r.p) < size) {
        return 0;
    }

    r.end = r.p + size;

    return read_packet(peer, *u, r, news, out) == 0 ? r.end - u : -1;
}


const cometa_protocol_t  cometa_mqtt = {
    .name = "mqtt",
    .greet = mqtt_greet,
    .read = mqtt_read,
    .call = mqtt_call,
    .answer = mqtt_answer,
    .ping = mqtt_ping
};

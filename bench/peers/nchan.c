/*
 * nchan: two channels for each device, that of the calls and that of the
 * answers to its caller. A client has one WebSocket, which is subscribed to
 * the one and publishes to the other.
 */

#include <stdio.h>

#include "../clients/http.h"
#include "protocol.h"

#define MAX_PONG  125


static size_t
nchan_greet(cometa_peer_t *peer, char *out)
{
    int  n;

    n = sprintf(out, "GET /%s/%llu HTTP/1.1\r\nHost: nchan\r\n",
                peer->calls ? "caller" : "device",
                (unsigned long long) peer->device);
    n += (int) cometa_frame_headers(out + n, peer->nonce);
    n += sprintf(out + n, "\r\n");

    return (size_t) n;
}


static size_t
nchan_call(cometa_peer_t *peer, uint32_t tag, const char *data, size_t n,
    char *out)
{
    (void) peer;
    (void) tag;                     /* answers come in the order of calls */

    return cometa_frame_write(out, COMETA_FRAME_TEXT, data, n);
}


static size_t
nchan_answer(cometa_peer_t *peer, const cometa_news_t *news, char *out)
{
    (void) peer;

    return cometa_frame_write(out, COMETA_FRAME_TEXT, news->data, news->size);
}


static ssize_t
read_consent(cometa_peer_t *peer, const char *p, size_t n,
    cometa_news_t *news)
{
    int            rc;
    cometa_http_t  h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0) {
        return rc;
    }

    if (!cometa_frame_accepted(p, h.head, peer->nonce)) {
        return -1;
    }

    peer->open = 1;
    news->type = COMETA_NEWS_READY;

    return (ssize_t) h.head;
}


static ssize_t
nchan_read(cometa_peer_t *peer, const char *p, size_t n, cometa_news_t *news,
    char *out)
{
    ssize_t         used;
    cometa_frame_t  f;

    if (!peer->open) {
        return read_consent(peer, p, n, news);
    }

    used = cometa_frame_read(p, n, &f);

    if (used <= 0) {
        return used;
    }

    switch (f.type) {

    case COMETA_FRAME_TEXT:
        news->type = COMETA_NEWS_MESSAGE;
        news->data = f.data;
        news->size = f.size;
        news->tag = peer->answers++;
        return used;

    case COMETA_FRAME_PING:
        if (f.size > MAX_PONG) {
            return -1;
        }

        news->back = cometa_frame_write(out, COMETA_FRAME_PONG, f.data,
                                        f.size);
        return used;

    case COMETA_FRAME_PONG:
        return used;

    default:
        return -1;
    }
}


const cometa_protocol_t  cometa_nchan = {
    .name = "nchan",
    .greet = nchan_greet,
    .read = nchan_read,
    .call = nchan_call,
    .answer = nchan_answer
};

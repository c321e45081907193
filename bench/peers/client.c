/*
 * A client of the comparison: a connection and the protocol spoken on it.
 */

#include <string.h>

#include "../clients/util.h"
#include "client.h"

/* more than one client can have to say: it has only so many calls */

#define ROOM  (2 * COMETA_CLIENT_CALLS_MAX                                    \
               * (COMETA_CLIENT_SIZE_MAX + COMETA_PROTOCOL_SPARE))

static char    out[ROOM];
static size_t  used;


static char *
place(size_t n)
{
    if (used + n + COMETA_PROTOCOL_SPARE > ROOM) {
        cometa_die("a server sends more than it was asked for");
    }

    return out + used;
}


static void
lost(const cometa_clients_t *all, cometa_client_t *c)
{
    used = 0;
    cometa_wheel_unset(&c->timer);
    all->lost(c);
    cometa_stream_close(&c->stream);
}


void
cometa_client_flush(const cometa_clients_t *all, cometa_client_t *c)
{
    size_t  n = used;

    used = 0;

    if (n && cometa_stream_send(all->net, &c->stream, c, out, n) != 0) {
        lost(all, c);
    }
}


void
cometa_client_call(const cometa_clients_t *all, cometa_client_t *c,
    uint32_t tag, const char *data, size_t n)
{
    used += all->protocol->call(&c->peer, tag, data, n, place(n));
}


void
cometa_client_answer(const cometa_clients_t *all, cometa_client_t *c,
    const cometa_news_t *news)
{
    used += all->protocol->answer(&c->peer, news, place(news->size));
}


void
cometa_client_ping(const cometa_clients_t *all)
{
    used += all->protocol->ping(place(0));
}


void
cometa_client_open(const cometa_clients_t *all, cometa_client_t *c)
{
    if (cometa_stream_open(all->net, &c->stream, c) != 0) {
        lost(all, c);
        return;
    }

    used += all->protocol->greet(&c->peer, place(0));
    cometa_client_flush(all, c);
}


static int
tell(const cometa_clients_t *all, cometa_client_t *c,
    const cometa_news_t *news)
{
    used += news->back;

    switch (news->type) {

    case COMETA_NEWS_READY:
        c->ready = 1;
        all->ready(c);
        return 0;

    case COMETA_NEWS_MESSAGE:
        return all->message(c, news);

    default:
        return 0;
    }
}


static ssize_t
step(const cometa_clients_t *all, cometa_client_t *c, const char *p, size_t n)
{
    ssize_t        taken;
    cometa_news_t  news;

    memset(&news, 0, sizeof(news));

    taken = all->protocol->read(&c->peer, p, n, &news, place(0));

    if (taken > 0 && tell(all, c, &news) != 0) {
        return -1;
    }

    return taken;
}


void
cometa_client_event(const cometa_clients_t *all, cometa_client_t *c)
{
    char     *p;
    size_t    n;
    ssize_t   got, taken = 0;

    if (c->stream.fd < 0) {
        return;
    }

    if (cometa_stream_ready(all->net, &c->stream, c) != 0) {
        lost(all, c);
        return;
    }

    got = cometa_stream_read(&c->stream, &p);

    if (got < 0) {
        lost(all, c);
        return;
    }

    for (n = (size_t) got; n; p += taken, n -= (size_t) taken) {
        taken = step(all, c, p, n);

        if (taken <= 0) {
            break;
        }
    }

    if (taken < 0) {
        lost(all, c);
        return;
    }

    cometa_stream_keep(&c->stream, p, n);
    cometa_client_flush(all, c);
}

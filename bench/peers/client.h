/*
 * A client of the comparison: a connection and the protocol spoken on it.
 * What one event gives reason to say is sent in one piece.
 */

#ifndef COMETA_BENCH_CLIENT_H
#define COMETA_BENCH_CLIENT_H

#include "../clients/stream.h"
#include "../clients/wheel.h"
#include "protocol.h"

#define COMETA_CLIENT_SIZE_MAX  4096    /* of a message */
#define COMETA_CLIENT_CALLS_MAX 64      /* under way at a time */

typedef struct {
    cometa_timer_t           timer;     /* first: a timer is its client */
    cometa_stream_t          stream;
    cometa_peer_t            peer;
    int                      ready;
} cometa_client_t;

/* what all clients of a program have in common */

typedef struct {
    const cometa_protocol_t *protocol;
    cometa_net_t            *net;
    void                   (*ready)(cometa_client_t *c);

    /* -1 to have the connection closed */
    int                    (*message)(cometa_client_t *c,
                               const cometa_news_t *news);

    /* the connection is about to be closed */
    void                   (*lost)(cometa_client_t *c);
} cometa_clients_t;

void cometa_client_open(const cometa_clients_t *all, cometa_client_t *c);
void cometa_client_event(const cometa_clients_t *all, cometa_client_t *c);

/* these gather ... */

void cometa_client_call(const cometa_clients_t *all, cometa_client_t *c,
    uint32_t tag, const char *data, size_t n);
void cometa_client_answer(const cometa_clients_t *all, cometa_client_t *c,
    const cometa_news_t *news);
void cometa_client_ping(const cometa_clients_t *all);

/* ... what this sends; an event does so by itself, at its end */
void cometa_client_flush(const cometa_clients_t *all, cometa_client_t *c);

#endif

/*
 * A lamp.  It can be switched, and says so to whoever is interested:
 *
 *     lamp HOST PORT APPLICATION DEVICE [SECRET]
 *
 * Compiled with -DCOMETA_TLS it speaks TLS, with -DCOMETA_WS=COMETA_WEBSOCKET
 * a WebSocket.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef COMETA_TLS
#include "cometa_openssl.h"
#else
#include "cometa_posix.h"
#endif

#ifndef COMETA_WS
#define COMETA_WS  0
#endif


static int  lit;


static void
attached(cometa_t *c, uint32_t heartbeat, uint32_t timestamp)
{
    (void) c, (void) timestamp;
    printf("attached, a heartbeat every %u s\n", (unsigned) heartbeat);
}


/* What is longer than the buffer comes in pieces: only its end is answered. */

static void
message(cometa_t *c, const cometa_piece_t *p)
{
    int   on = p->len == 2 && memcmp(p->data, "on", 2) == 0;
    int   off = p->len == 3 && memcmp(p->data, "off", 3) == 0;
    char  reply[40];

    if (!p->last) {
        return;
    }

    if (p->offset == 0 && (on || off)) {
        lit = on;
        (void) cometa_event(c, on ? "lit" : "dark", on ? 3 : 4);
    }

    (void) snprintf(reply, sizeof(reply), "The lamp is %s.\n",
                    lit ? "on" : "off");
    (void) cometa_reply(c, reply, strlen(reply));
}


static void
ended(cometa_t *c, cometa_end_t *end)
{
    static const char  *whys[] = {
        "no connection", "refused", "closed by the server",
        "connection lost", "the server is silent", "this is no such server"
    };

    (void) c;
    printf("%s %u %s; again in %u ms\n", whys[end->why], end->status,
           end->error, (unsigned) end->wait);
}


int
main(int argc, char **argv)
{
    char             path[256];
    cometa_t         device;
    cometa_config_t  config;

    static char  in[1024], out[1024];

#ifdef COMETA_TLS
    cometa_openssl_t  io;
#else
    cometa_posix_t    io = COMETA_POSIX_INIT;
#endif

    if (argc < 5) {
        fprintf(stderr, "lamp HOST PORT APPLICATION DEVICE [SECRET]\n");
        return 2;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    (void) setvbuf(stdout, NULL, _IOLBF, 0);
    (void) snprintf(path, sizeof(path), "/v1/applications/%s/devices/%s",
                    argv[3], argv[4]);

    memset(&config, 0, sizeof(config));

#ifdef COMETA_TLS
    config.transport = &cometa_openssl_transport;

    if (cometa_openssl_init(&io, getenv("SSL_CERT_FILE")) != 0) {
        fprintf(stderr, "no certificates to trust\n");
        return 1;
    }
#else
    config.transport = &cometa_posix_transport;
#endif

    config.io = &io;
    config.now = cometa_posix_now;
    config.random = cometa_posix_random;
    config.sleep = cometa_posix_sleep;
    config.host = argv[1];
    config.port = (uint16_t) atoi(argv[2]);
    config.path = path;
    config.secret = argv[5];
    config.info = "a lamp, 9 W";
    config.flags = COMETA_WS | COMETA_ECHO;
    config.in = in;
    config.in_size = sizeof(in);
    config.out = out;
    config.out_size = sizeof(out);
    config.attached = attached;
    config.message = message;
    config.ended = ended;

    if (cometa_init(&device, &config) != COMETA_OK) {
        return 1;
    }

    for ( ;; ) {
        (void) cometa_step(&device, 1000);
    }
}

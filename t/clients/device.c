/*
 * A device by the library in C, for tests.
 *
 *     PROGRAM PORT DEVICE OPTIONS [SECRET]
 *
 * Options are letters: w a WebSocket, t text, e an echo, r requests, p several
 * calls at a time, h heartbeats of a second.  What it does is what it is told:
 *
 *     SIZE TEXT        replies with that message, repeated up to SIZE bytes
 *     event TEXT       sends the event, and replies "sent"
 *     ask ID TEXT      sends the request, and replies "asked"
 *     late TEXT        replies a moment later
 *     meet N           replies when so many of these calls have come
 *     leave            leaves, and ends
 *
 * On standard output it says how it attached, how it ended, and answers.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cometa_posix.h"
#include "device.h"


#define LARGEST  (256 * 1024)
#define N        700                /* of a buffer: calls come in pieces */


static char      call[LARGEST + 1];
static size_t    call_len;
static unsigned  met;
static int       leaving;


static void
attached(cometa_t *c, uint32_t heartbeat, uint32_t timestamp)
{
    printf("attached %u %u%s\n", cometa_session(c), heartbeat,
           timestamp > 1000000000 ? "" : " without a time");
}


static void
repeat(cometa_t *c, size_t size)
{
    size_t  n;

    if (cometa_begin_reply(c, size) != COMETA_OK) {
        printf("no reply\n");
        return;
    }

    for ( /* void */ ; size != 0; size -= n) {
        n = size < call_len ? size : call_len;
        (void) cometa_put(c, call, n);
    }
}


static void
ask(cometa_t *c, char *id)
{
    int    rc;
    char  *text = strchr(id, ' ');

    *text++ = '\0';
    rc = cometa_request(c, id, text, strlen(text));

    (void) cometa_reply(c, rc == COMETA_OK ? "asked" : "not granted",
                        rc == COMETA_OK ? 5 : 11);
}


static void
meet(cometa_t *c, unsigned n)
{
    if (++met == n) {
        for ( /* void */ ; met; met--) {
            (void) cometa_reply(c, "met", 3);
        }
    }
}


static void
obey(cometa_t *c)
{
    if (strncmp(call, "event ", 6) == 0) {
        (void) cometa_event(c, call + 6, call_len - 6);
        (void) cometa_reply(c, "sent", 4);

    } else if (strncmp(call, "ask ", 4) == 0) {
        ask(c, call + 4);

    } else if (strncmp(call, "late ", 5) == 0) {
        cometa_posix_sleep(300);
        (void) cometa_reply(c, call + 5, call_len - 5);

    } else if (strncmp(call, "meet ", 5) == 0) {
        meet(c, (unsigned) strtoul(call + 5, NULL, 10));

    } else if (strcmp(call, "leave") == 0) {
        (void) cometa_reply(c, "leaving", 7);
        cometa_stop(c);
        leaving = 1;

    } else {
        repeat(c, strtoul(call, NULL, 10));
    }
}


static void
message(cometa_t *c, const cometa_piece_t *p)
{
    if (p->kind == COMETA_ANSWER) {
        printf("answer %.*s %.*s\n", (int) p->id_len, p->id, (int) p->len,
               (const char *) p->data);
        return;
    }

    memcpy(call + p->offset, p->data, p->len);
    call_len = p->offset + p->len;
    call[call_len] = '\0';

    if (p->last) {
        obey(c);
    }
}


static void
ended(cometa_t *c, cometa_end_t *end)
{
    static const char  *whys[] = {
        "unreachable", "refused", "closed", "lost", "silent", "malformed"
    };

    (void) c;
    printf("%s %u %s%s%u ms\n", whys[end->why], end->status, end->error,
           end->error[0] ? " " : "", (unsigned) end->wait);
}


int
main(int argc, char **argv)
{
    char             path[128];
    cometa_t         device;
    cometa_config_t  config;

    static char  in[N], out[N];

    if (argc < 4) {
        return 2;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    (void) setvbuf(stdout, NULL, _IOLBF, 0);
    (void) snprintf(path, sizeof(path), "/v1/applications/app1/devices/%s",
                    argv[2]);

    memset(&config, 0, sizeof(config));
    config.now = cometa_posix_now;
    config.random = cometa_posix_random;
    config.sleep = cometa_posix_sleep;
    config.host = "localhost";
    config.port = (uint16_t) atoi(argv[1]);
    config.path = path;
    config.secret = argv[4];
    config.info = "a device in C";
    config.flags = (strchr(argv[3], 'w') ? COMETA_WEBSOCKET : 0)
                   | (strchr(argv[3], 'e') ? COMETA_ECHO : 0)
                   | (strchr(argv[3], 'r') ? COMETA_REQUESTS : 0)
                   | (strchr(argv[3], 't') ? COMETA_TEXT : 0);
    config.heartbeat = strchr(argv[3], 'h') ? 1 : 0;
    config.pipeline = strchr(argv[3], 'p') ? 16 : 0;
    config.in = in;
    config.in_size = sizeof(in);
    config.out = out;
    config.out_size = sizeof(out);
    config.attached = attached;
    config.message = message;
    config.ended = ended;

    transport(&config);

    if (cometa_init(&device, &config) != COMETA_OK) {
        return 2;
    }

    while (!leaving) {
        (void) cometa_step(&device, 1000);
    }

    return 0;
}

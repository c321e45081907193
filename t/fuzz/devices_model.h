/*
 * The model: clients that are attached as devices, and the calls to them. What
 * they say to the workers, what they get, and whether it is right.
 */

#ifndef DEVICES_MODEL_H
#define DEVICES_MODEL_H


#include "devices_stubs.h"


#define DEVICES   3
#define CLIENTS   24
#define CALLS     96
#define MESSAGE   10            /* "5", CR, LF, "M0061", CR, LF: on the wire */
#define SEEN      6             /* bytes of it that say which it is */
#define DEPTH     9             /* calls that a device takes at most */
#define TIMEOUT   3000          /* ms, of silent devices */


/* A client that is or was attached as a device, and what it knows. */

typedef struct {
    socket_t              socket;
    int                   device;
    int                   worker;       /* where it attached */
    ngx_cometa_device_t  *opening;      /* before its connection is given */
    int                   depth;        /* calls that it takes */
    int                   frames;       /* over a WebSocket */
    uint8_t               head[2];      /* of the frame that it gets */
    size_t                headed;       /* bytes of that */
    size_t                rest;         /* bytes of the frame to come */
    int                   with[CALLS];  /* those that it has not answered */
    int                   nwith;
    int                   writing;      /* a part of a message is to come */
    size_t                stray;        /* end of the last stray in `in` */
    int                   tainted;      /* a stray may count as a reply */
    uint8_t               out[16];      /* what it gets, up to a message */
    size_t                len;
    int                   said;         /* that message is counted */
    int                   last;         /* it got the last chunk */
} client_t;

typedef struct {
    ngx_cometa_call_t    *call;
    int                   open;
    int                   origin;
    int                   device;
    int                   written;
    int                   unseen;       /* it ended without being written */
    int                   query;        /* for figures: nothing is written */
    int                   client;       /* to whom it was written */
    u_char                message[8];
} model_t;


static client_t               clients[CLIENTS];
static int                    nclients;
static model_t                calls[CALLS];
static int                    ncalls;

static u_char                 names[DEVICES][2] = { "a", "b", "c" };


/* The name of a device; two of three share a row of interests. */

static void
key_of(int device, ngx_cometa_key_t *key)
{
    key->app.data = world_app.name;
    key->app.len = 3;
    key->device.data = names[device];
    key->device.len = 1;
    key->hash = 4 * device + device / 2;
}


/* What a client gets */

static void
client_message(client_t *client, descriptor_t *d, int n)
{
    ngx_queue_t           *q;
    model_t               *m;
    ngx_cometa_queue_t    *queue;
    ngx_cometa_device_t   *dev;
    ngx_cometa_waiting_t  *turn;

    check(n >= 0 && n < ncalls);

    m = &calls[n];

    check(m->device == client->device);
    check(m->written++ == 0);
    check(!m->unseen && !m->query);

    m->client = client - clients;

    check(client->nwith < client->depth || client->tainted);
    client->with[client->nwith++] = n;

    dev = d->c.data;
    queue = dev->queue;

    check((queue && queue->state.busy) || client->tainted);

    /* what did not leave at once may be overtaken by who waits since */

    if (dev->unsent || client->tainted) {
        return;
    }

    for (q = ngx_queue_head(&queue->waiting);
         q != ngx_queue_sentinel(&queue->waiting);
         q = ngx_queue_next(q))
    {
        turn = ngx_queue_data(q, ngx_cometa_waiting_t, link);
        check(turn->call.time >= queue->state.written.time);
    }
}


static void
client_byte(client_t *client, descriptor_t *d, uint8_t byte)
{
    check(!client->last && client->len < sizeof(client->out));
    client->out[client->len++] = byte;

    if (client->len == 5 && client->out[0] == '0') {
        check(memcmp(client->out, "0\r\n\r\n", 5) == 0);
        client->last = 1;
        return;
    }

    if (client->len == SEEN + 2) {
        check(memcmp(client->out, "5\r\nM", 4) == 0);
        client_message(client, d, atoi((char *) client->out + 4));
    }

    if (client->len == MESSAGE) {
        check(memcmp(client->out + MESSAGE - 2, "\r\n", 2) == 0);
        client->len = 0;
    }
}


static void
client_bytes(client_t *client, descriptor_t *d, const char *bytes)
{
    while (*bytes) {
        client_byte(client, d, *bytes++);
    }
}


/* A byte of a frame: it counts as what it would be in chunks. */

static void
client_frame(client_t *client, descriptor_t *d, uint8_t byte)
{
    int  type;

    check(!client->last);

    if (client->headed < 2) {
        client->head[client->headed++] = byte;

        if (client->headed < 2) {
            return;
        }

        check(byte <= 125);
        client->rest = byte;

    } else {
        client->rest--;
    }

    check(client->head[0] & 0x80);
    type = client->head[0] & 0x7f;

    if (type == COMETA_WS_BINARY) {

        if (client->rest == client->head[1]) {
            client_bytes(client, d, "5\r\n");

        } else {
            client_byte(client, d, byte);
        }
    }

    if (client->rest) {
        return;
    }

    client->headed = 0;

    if (type == COMETA_WS_BINARY) {
        client_bytes(client, d, "\r\n");

    } else if (type == COMETA_WS_CLOSE) {
        client_bytes(client, d, "0\r\n\r\n");

    } else {
        check(type == COMETA_WS_PING || type == COMETA_WS_PONG);
    }
}


/* Some or none of the bytes that the server wants to write. */

static void
world_received(descriptor_t *d, uint8_t *data, size_t len, int more)
{
    client_t  *client;

    client = (client_t *) d->socket;
    client->writing = more;

    if (client->socket.read < client->stray) {
        client->tainted = 1;
    }

    while (len--) {
        if (client->frames) {
            client_frame(client, d, *data++);

        } else {
            client_byte(client, d, *data++);
        }
    }
}


/* A frame with these bytes; returns its length. */

static size_t
framed(uint8_t *p, int first, const char *data, size_t len)
{
    size_t  i;

    static const uint8_t  mask[4] = { 0x5a, 0, 0xff, 0x31 };

    p[0] = first;
    p[1] = 0x80 | len;
    memcpy(p + 2, mask, 4);

    for (i = 0; i < len; i++) {
        p[6 + i] = data[i] ^ mask[i % 4];
    }

    return 6 + len;
}


/* A chunk as frames: binary, text, after a ping, or in two with one between. */

static size_t
framed_chunk(uint8_t *p, const char *data, size_t n)
{
    size_t  len;

    len = data[0] - '0';
    data += 3;

    switch (n % 4) {

    case 0:
        return framed(p, 0x80 | COMETA_WS_BINARY, data, len);

    case 1:
        return framed(p, 0x80 | COMETA_WS_TEXT, data, len);

    case 2:
        n = framed(p, 0x80 | COMETA_WS_PING, "p", 1);
        return n + framed(p + n, 0x80 | COMETA_WS_BINARY, data, len);

    default:
        n = framed(p, COMETA_WS_TEXT, data, len - 1);
        n += framed(p + n, 0x80 | COMETA_WS_PING, "ping", 4);
        return n + framed(p + n, 0x80, data + len - 1, 1);
    }
}


/* What it says: one chunk */

static void
client_say(client_t *client, const char *data, size_t len, int arrives)
{
    uint8_t    frames[64];
    socket_t  *s;

    s = &client->socket;

    if (s->fin) {
        return;
    }

    if (client->frames) {
        len = framed_chunk(frames, data, s->len);
        data = (char *) frames;
    }

    check(s->len + len <= CLIENT_IN);
    memcpy(s->in + s->len, data, len);
    s->len += len;

    if (arrives) {
        s->there = s->len;
        world_edge(s);
    }
}


/* To the first call that is with it. */

static void
client_reply(client_t *client, int arrives)
{
    char  reply[16];

    if (client->nwith == 0) {
        return;
    }

    sprintf(reply, "5\r\nR%04d\r\n", client->with[0]);
    client_say(client, reply, MESSAGE, arrives);

    memmove(&client->with[0], &client->with[1],
            --client->nwith * sizeof(client->with[0]));
}


static void
client_stray(client_t *client, int arrives)
{
    /*
     * An answer that comes while the message is written still is an answer; one
     * of a device that takes several calls may be to one that it has not seen.
     */

    if (client->nwith || client->writing || client->depth > 1) {
        client->tainted = 1;
    }

    client_say(client, "1\r\nS\r\n", 6, arrives);
    client->stray = client->socket.len;
}


static void
client_flood(client_t *client, unsigned n)
{
    if (client->socket.len > CLIENT_IN / 2) {
        return;
    }

    while (n--) {
        client_say(client, (n & 1) ? "1\r\n\x06\r\n" : "2\r\n\x07" "e\r\n",
                   (n & 1) ? 6 : 7, n == 0);
    }
}


/* Calls */

static int
is_unseen(ngx_uint_t error)
{
    return error != NGX_COMETA_OK
           && error != NGX_COMETA_DEVICE_DISCONNECTED
           && error != NGX_COMETA_DEVICE_TAKEN_OVER
           && error != NGX_COMETA_WORKER_LOST
           && error != NGX_COMETA_DEVICE_TIMEOUT;
}


static int
is_tainted(int device)
{
    int  i;

    for (i = 0; i < nclients; i++) {
        if (clients[i].device == device && clients[i].tainted) {
            return 1;
        }
    }

    return 0;
}


static void
model_end(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data, size_t len)
{
    model_t  *m;

    m = call->data;

    check(m->open && m->call == call && &workers[m->origin] == self);
    check(error < NGX_COMETA_ERRORS);

    m->open = 0;

    if (m->query) {
        check(!m->written);
        return;
    }

    if (is_unseen(error)) {
        check(!m->written);
        m->unseen = 1;
    }

    if (error != NGX_COMETA_OK) {
        return;
    }

    if (!m->written) {
        check(is_tainted(m->device));
        return;
    }

    if (!clients[m->client].tainted) {
        check(len == 5 && data[0] == 'R' && memcmp(data + 1, m->message + 1, 4)
                                            == 0);
    }
}


static void
call_begin(unsigned how)
{
    model_t            *m;
    ngx_cometa_call_t  *call;

    if (ncalls == CALLS) {
        return;
    }

    call = ngx_cometa_call_create();
    if (call == NULL) {
        return;
    }

    m = &calls[ncalls];

    m->call = call;
    m->open = 1;
    m->origin = self - workers;
    m->device = how % DEVICES;
    sprintf((char *) m->message, "M%04d", ncalls++);

    key_of(m->device, &call->key);

    call->message.data = m->message;
    call->message.len = 5;
    call->timeout = (how & 16) ? 100 : 1000;
    call->owe = (how & 32) ? 50 : 500;
    call->wait = (how & 64) ? 200 : 0;
    call->queue = (how & 128) ? 1 : 8;
    call->query = m->query = (how / DEVICES % 16 == 15);
    call->handler = model_end;
    call->data = m;

    ngx_cometa_call_begin(call);
}


static void
call_cancel(unsigned n)
{
    model_t  *m;

    m = &calls[ncalls ? n % ncalls : 0];

    if (m->open && &workers[m->origin] == self) {
        m->open = 0;
        ngx_cometa_call_cancel(m->call);
    }
}


#endif /* DEVICES_MODEL_H */

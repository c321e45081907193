/*
 * NATS: a subject for each device; the answers come to an inbox of the
 * caller, which it is subscribed to with a wildcard once for all its calls.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"

#define MAX_LINE    4096
#define MAX_WORDS   5

/* a message: "MSG subject sid [reply] size" */

typedef struct {
    const char  *p;
    size_t       size;
} word_t;


static size_t
nats_greet(cometa_peer_t *peer, char *out)
{
    (void) peer;
    (void) out;

    return 0;                       /* the server speaks first */
}


/* the PONG that follows says that the subscription is in force */

static size_t
subscribe(const cometa_peer_t *peer, char *out)
{
    int  n;

    n = sprintf(out, "CONNECT {\"verbose\":false,\"pedantic\":false,"
                     "\"tls_required\":false,\"lang\":\"c\","
                     "\"version\":\"1.0.0\",\"protocol\":1}\r\n");

    n += peer->calls ? sprintf(out + n, "SUB _INBOX.%u.* 1\r\n", peer->caller)
                     : sprintf(out + n, "SUB call.%llu 1\r\n",
                               (unsigned long long) peer->device);

    n += sprintf(out + n, "PING\r\n");

    return (size_t) n;
}


static size_t
put_payload(char *out, int head, const char *data, size_t n)
{
    memcpy(out + head, data, n);
    memcpy(out + head + n, "\r\n", 2);

    return (size_t) head + n + 2;
}


static size_t
nats_call(cometa_peer_t *peer, uint32_t tag, const char *data, size_t n,
    char *out)
{
    int  head;

    head = sprintf(out, "PUB call.%llu _INBOX.%u.%u %zu\r\n",
                   (unsigned long long) peer->device, peer->caller, tag, n);

    return put_payload(out, head, data, n);
}


static size_t
nats_answer(cometa_peer_t *peer, const cometa_news_t *news, char *out)
{
    int  head;

    (void) peer;

    head = sprintf(out, "PUB %.*s %zu\r\n", (int) news->reply_size,
                   news->reply, news->size);

    return put_payload(out, head, news->data, news->size);
}


static unsigned
split(const char *p, const char *end, word_t words[MAX_WORDS])
{
    unsigned     n;
    const char  *space;

    for (n = 0; n < MAX_WORDS; n++) {
        space = memchr(p, ' ', (size_t) (end - p));
        words[n].p = p;
        words[n].size = (size_t) ((space ? space : end) - p);

        if (space == NULL) {
            return n + 1;
        }

        p = space + 1;
    }

    return 0;
}


/* the last part of the subject of an answer is the tag */

static int
read_tag(const word_t *subject, uint32_t *tag)
{
    const char  *dot;

    dot = memrchr(subject->p, '.', subject->size);

    if (dot == NULL) {
        return -1;
    }

    *tag = (uint32_t) strtoul(dot + 1, NULL, 10);

    return 0;
}


static ssize_t
read_message(const cometa_peer_t *peer, const char *p, size_t n, size_t line,
    cometa_news_t *news)
{
    size_t    size;
    word_t    words[MAX_WORDS];
    unsigned  count;

    count = split(p, p + line - 2, words);

    if (count < 4 || (!peer->calls && count != 5)
        || (peer->calls && read_tag(&words[1], &news->tag) != 0))
    {
        return -1;
    }

    size = strtoul(words[count - 1].p, NULL, 10);

    if (n < line + size + 2) {
        return 0;
    }

    if (memcmp(p + line + size, "\r\n", 2) != 0) {
        return -1;
    }

    news->type = COMETA_NEWS_MESSAGE;
    news->reply = words[3].p;
    news->reply_size = words[3].size;
    news->data = p + line;
    news->size = size;

    return (ssize_t) (line + size + 2);
}


static int
is_line(const char *p, size_t n, const char *word)
{
    size_t  size = strlen(word);

    return n >= size && memcmp(p, word, size) == 0;
}


static ssize_t
nats_read(cometa_peer_t *peer, const char *p, size_t n, cometa_news_t *news,
    char *out)
{
    size_t       line;
    const char  *end;

    end = memchr(p, '\n', n);

    if (end == NULL) {
        return n < MAX_LINE ? 0 : -1;
    }

    line = (size_t) (end + 1 - p);

    if (line < 2 || end[-1] != '\r') {
        return -1;
    }

    if (is_line(p, line, "MSG ")) {
        return read_message(peer, p, n, line, news);
    }

    if (is_line(p, line, "PING\r\n")) {
        news->back = (size_t) sprintf(out, "PONG\r\n");
        return (ssize_t) line;
    }

    if (is_line(p, line, "PONG\r\n")) {
        news->type = COMETA_NEWS_READY;
        return (ssize_t) line;
    }

    if (is_line(p, line, "INFO ")) {    /* anew when the cluster changes */
        news->back = peer->open ? 0 : subscribe(peer, out);
        peer->open = 1;
        return (ssize_t) line;
    }

    return -1;
}


const cometa_protocol_t  cometa_nats = {
    .name = "nats",
    .greet = nats_greet,
    .read = nats_read,
    .call = nats_call,
    .answer = nats_answer
};

/*
 * The client's side of WebSocket.
 */

#define _GNU_SOURCE
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "stream.h"
#include "util.h"

#define FIN      0x80
#define MASKED   0x80
#define LENGTH2  126            /* 2 bytes of length follow */
#define LENGTH8  127
#define GUID     "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


static size_t
write_length(unsigned char *out, size_t n)
{
    int  i, bytes;

    if (n < LENGTH2) {
        out[0] = (unsigned char) (MASKED|n);
        return 1;
    }

    bytes = n <= UINT16_MAX ? 2 : 8;
    out[0] = MASKED|(bytes == 2 ? LENGTH2 : LENGTH8);

    for (i = bytes; i; i--, n >>= 8) {
        out[i] = (unsigned char) n;
    }

    return (size_t) bytes + 1;
}


size_t
cometa_frame_write(char *out, int type, const char *data, size_t n)
{
    size_t    i, head;
    char      mask[4];
    uint64_t  random = cometa_random();

    memcpy(mask, &random, sizeof(mask));

    out[0] = (char) (FIN|type);
    head = 1 + write_length((unsigned char *) out + 1, n);

    memcpy(out + head, mask, sizeof(mask));
    head += sizeof(mask);

    for (i = 0; i < n; i++) {
        out[head + i] = data[i] ^ mask[i % 4];
    }

    return head + n;
}


static int
is_type(int type)
{
    return type == COMETA_FRAME_TEXT || type == COMETA_FRAME_BINARY
           || type == COMETA_FRAME_CLOSE || type == COMETA_FRAME_PING
           || type == COMETA_FRAME_PONG;
}


ssize_t
cometa_frame_read(const char *p, size_t n, cometa_frame_t *f)
{
    size_t                i, head = 2;
    const unsigned char  *u = (const unsigned char *) p;

    if (n < head) {
        return 0;
    }

    f->type = u[0] & 0xf;
    f->size = u[1];

    /* whole, no reserved bits, not masked */

    if ((u[0] & 0xf0) != FIN || u[1] & MASKED || !is_type(f->type)) {
        return -1;
    }

    if (f->size >= LENGTH2) {
        head += f->size == LENGTH2 ? 2 : 8;

        if (n < head) {
            return 0;
        }

        for (i = 2, f->size = 0; i < head; i++) {
            f->size = f->size << 8 | u[i];
        }
    }

    if (f->size > COMETA_STREAM_MAX - COMETA_FRAME_HEAD) {
        return -1;
    }

    if (n < head + f->size) {
        return 0;
    }

    f->data = p + head;

    return (ssize_t) (head + f->size);
}


size_t
cometa_frame_headers(char *out, char nonce[COMETA_FRAME_NONCE + 1])
{
    uint64_t  random[2] = { cometa_random(), cometa_random() };

    EVP_EncodeBlock((unsigned char *) nonce, (unsigned char *) random,
                    sizeof(random));

    return (size_t) sprintf(out, "Upgrade: websocket\r\n"
                                 "Connection: Upgrade\r\n"
                                 "Sec-WebSocket-Version: 13\r\n"
                                 "Sec-WebSocket-Key: %s\r\n", nonce);
}


int
cometa_frame_accepted(const char *head, size_t n, const char *nonce)
{
    char           text[COMETA_FRAME_NONCE + sizeof(GUID)];
    char           line[128];
    size_t         length;
    unsigned char  digest[SHA_DIGEST_LENGTH], base64[32];

    if (n < 12 || memcmp(head, "HTTP/1.1 101", 12) != 0) {
        return 0;
    }

    length = (size_t) sprintf(text, "%s%s", nonce, GUID);
    SHA1((unsigned char *) text, length, digest);
    EVP_EncodeBlock(base64, digest, sizeof(digest));

    length = (size_t) sprintf(line, "\r\nSec-WebSocket-Accept: %s\r\n", base64);

    return memmem(head, n, line, length) != NULL;
}

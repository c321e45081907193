/*
 * The WebSocket codec (RFC 6455): an incremental decoder of the frames of a
 * client, and the encoder of the heads of a server's frames.
 *
 * Pure C: no allocation, no I/O, no buffer of its own. The decoder unmasks in
 * place and points into the caller's input; it keeps nothing but its state,
 * so the input may be cut anywhere. The payload of a control frame, too, may
 * come in pieces: to answer a ping the caller has to keep up to 125 bytes.
 */

#ifndef COMETA_WS_H
#define COMETA_WS_H


#include <stddef.h>
#include <stdint.h>

#include "cometa_utf8.h"


#define COMETA_WS_HEAD_MAX     10
#define COMETA_WS_CONTROL_MAX  125     /* payload of a control frame */
#define COMETA_WS_CLOSE_LEN    4       /* a close frame with its code */


/* Types of messages and of control frames: their opcodes. */

enum {
    COMETA_WS_TEXT = 0x1,
    COMETA_WS_BINARY = 0x2,
    COMETA_WS_CLOSE = 0x8,
    COMETA_WS_PING = 0x9,
    COMETA_WS_PONG = 0xa
};


enum {
    COMETA_WS_AGAIN = 0,        /* the input is used up */
    COMETA_WS_PART,             /* a piece, more to come */
    COMETA_WS_DONE,             /* the last piece; it is complete */
    COMETA_WS_BAD_BITS = -1,    /* a reserved bit is set */
    COMETA_WS_BAD_OPCODE = -2,
    COMETA_WS_BAD_MASK = -3,    /* the frame is not masked */
    COMETA_WS_BAD_LENGTH = -4,  /* not the shortest form, or over 2^63 - 1 */
    COMETA_WS_BAD_CONTROL = -5, /* a control frame in fragments, or too long */
    COMETA_WS_BAD_FRAGMENT = -6, /* nothing to continue, or not continued */
    COMETA_WS_BAD_CLOSE = -7,   /* one byte, or a code not for the wire */
    COMETA_WS_BAD_UTF8 = -8,    /* in a text message or a close reason */
    COMETA_WS_TOO_LARGE = -9    /* the message, all its fragments together */
};


/* One lives in every WebSocket: at most 32 bytes. */

typedef struct {
    uint64_t       rest;        /* of the frame's payload, still to come */
    uint32_t       size;        /* of the message, its known frames together */
    uint8_t        mask[4];     /* turned so that the next byte's is first */
    uint16_t       code;        /* of a close frame, 0 if it has none */
    uint8_t        code_len;    /* bytes of it so far */
    uint8_t        type;        /* what the last event is about */
    uint8_t        message;     /* type of the message begun, or 0 */
    uint8_t        fin;
    uint8_t        state;
    uint8_t        left;        /* bytes missing from a field of the head */
    cometa_utf8_t  utf8;
    int8_t         error;       /* the error that ended the decoding */
} cometa_ws_t;


void cometa_ws_init(cometa_ws_t *ws);

/*
 * Advances *pos and returns one event; to be called until it returns AGAIN or
 * an error. With PART and DONE, *data and *len name the piece, unmasked and
 * valid so far, and ws->type tells of what: a message, whose fragments are
 * joined, or a control frame, which may come between the pieces of a message.
 * *len is 0 only with DONE.
 *
 * `max` limits messages; ws->size is what a message is known to have so far.
 *
 * The payload of a close frame is given as it came, code and reason; with its
 * DONE, ws->code is the code. Whatever follows a close frame is discarded.
 *
 * An error is final: *pos is left at the offending byte (or behind the last
 * one, if it is the end that comes too early), and every further call returns
 * the same error.
 */
int cometa_ws_parse(cometa_ws_t *ws, uint8_t **pos, uint8_t *end,
    uint32_t max, uint8_t **data, size_t *len);

/* Whether a frame or a message is begun and not complete. */
int cometa_ws_begun(const cometa_ws_t *ws);

/* The reason behind an error of cometa_ws_parse(), for a log line. */
const char *cometa_ws_error(int rc);

/* The close code to answer the error with: 1002, 1007 or 1009. */
uint16_t cometa_ws_error_code(int rc);

/* Whether a close code may be sent in a close frame. */
int cometa_ws_code_valid(uint16_t code);

/*
 * Writes the head of an unfragmented frame of a server, at most
 * COMETA_WS_HEAD_MAX bytes; returns its length.
 */
size_t cometa_ws_head(uint8_t *dst, int type, uint64_t size);

/* Writes a close frame, COMETA_WS_CLOSE_LEN bytes; returns its length. */
size_t cometa_ws_close(uint8_t *dst, uint16_t code);

#endif /* COMETA_WS_H */

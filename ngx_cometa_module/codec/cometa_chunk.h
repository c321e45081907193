/*
 * The chunk codec: an incremental decoder of HTTP chunks with the tolerance
 * that devices in the field need, and the encoder of a chunk head.
 *
 * Pure C: no allocation, no I/O, no buffer of its own. The decoder points
 * into the caller's input and keeps nothing but its state, so the input may
 * be cut anywhere, also in the middle of a size line.
 *
 *     chunk     = size-line data [ CR LF ]
 *     size-line = 1*8HEX *( SP | HT ) [ ";" *any ] [ CR ] LF
 *
 * The CR LF behind the data may be missing only if the data itself ended in
 * CR LF; then the next byte must be the first hex digit of a size line.
 */

#ifndef COMETA_CHUNK_H
#define COMETA_CHUNK_H


#include <stddef.h>
#include <stdint.h>


#define COMETA_CHUNK_HEAD_MAX  10      /* 8 digits, CR, LF */
#define COMETA_CHUNK_EXT_MAX   1024    /* bytes between size and line end */


enum {
    COMETA_CHUNK_AGAIN = 0,     /* the input is used up */
    COMETA_CHUNK_PART,          /* a piece, more of this chunk to come */
    COMETA_CHUNK_DONE,          /* the last piece; the chunk is complete */
    COMETA_CHUNK_BAD_SIZE = -1, /* no valid size line, or over 8 digits */
    COMETA_CHUNK_TOO_LARGE = -2,
    COMETA_CHUNK_BAD_EXT = -3,  /* the extension is too long */
    COMETA_CHUNK_BAD_END = -4   /* garbage after the data */
};


/* One lives in every device: at most 16 bytes. */

typedef struct {
    uint32_t  size;             /* of the chunk begun or just completed */
    uint32_t  rest;             /* of its data, still to come */
    uint16_t  ext;              /* bytes of extension so far */
    uint8_t   state;
    uint8_t   digits;           /* of the size so far */
    uint8_t   tail;             /* how far the data ends in CR LF: 0, 1, 2 */
    int8_t    error;            /* the error that ended the decoding */
} cometa_chunk_t;


void cometa_chunk_init(cometa_chunk_t *ch);

/*
 * Advances *pos and returns one event; to be called until it returns AGAIN or
 * an error. With PART and DONE, *data and *len name the piece, which lies in
 * the input; *len is 0 only with DONE of an empty chunk. DONE does not wait
 * for the CR LF behind the data. `size` is valid from the first PART of a
 * chunk to its DONE.
 *
 * An error is final: *pos is left at the offending byte, and every further
 * call returns the same error.
 */
int cometa_chunk_parse(cometa_chunk_t *ch, const uint8_t **pos,
    const uint8_t *end, uint32_t max, const uint8_t **data, size_t *len);

/* Whether a chunk is begun and its data is not complete. */
int cometa_chunk_begun(const cometa_chunk_t *ch);

/* The reason behind an error of cometa_chunk_parse(), for a log line. */
const char *cometa_chunk_error(int rc);

/* Writes "%x\r\n", at most COMETA_CHUNK_HEAD_MAX bytes; returns the length. */
size_t cometa_chunk_head(uint8_t *dst, uint32_t size);


#endif /* COMETA_CHUNK_H */

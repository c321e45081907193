/*
 * Values of HTTP request headers: numbers, lists of tokens, preferences
 * (RFC 7240) and credentials.
 *
 * Pure C: no allocation, no I/O, nothing is copied. Every function reads only
 * the `len` bytes at `p`, which need no terminating zero.
 */

#ifndef COMETA_HEADER_H
#define COMETA_HEADER_H


#include <stddef.h>
#include <stdint.h>


#define COMETA_HEADER_MAX  999999       /* a larger number counts as this */


enum {
    COMETA_HEADER_OK = 0,
    COMETA_HEADER_NONE = -1,        /* it is not there */
    COMETA_HEADER_MALFORMED = -2    /* it is there, and must be ignored */
};


/* A number: digits and nothing else, COMETA_HEADER_OK or _MALFORMED. */
int cometa_header_number(const uint8_t *p, size_t len, uint32_t *n);

/*
 * The preference "wait" of a Prefer header. The first one counts, in one header
 * as in several: after COMETA_HEADER_MALFORMED the caller must not look at
 * further headers. A parameter "wait" of another preference does not count.
 *
 *     Prefer     = #preference
 *     preference = item *( OWS ";" [ OWS item ] )
 *     item       = token [ BWS "=" BWS ( token / quoted-string ) ]
 */
int cometa_header_wait(const uint8_t *p, size_t len, uint32_t *n);

/*
 * Whether a Prefer header has this preference, with or without a value; 1 or 0.
 * `name` is in small letters.
 */
int cometa_header_prefers(const uint8_t *p, size_t len, const char *name);

/* Whether a list of tokens has this one, in small letters; 1 or 0. */
int cometa_header_token(const uint8_t *p, size_t len, const char *token);

/*
 * The credentials of a scheme, whose name is in small letters: the text after
 * the name and at least one space. COMETA_HEADER_OK or _NONE.
 */
int cometa_header_credentials(const uint8_t *p, size_t len,
    const char *scheme, const uint8_t **secret, size_t *secret_len);


#endif /* COMETA_HEADER_H */

/*
 * Base64 (RFC 4648), for data that is no text.
 *
 * Pure C: no allocation, no I/O.
 */

#ifndef COMETA_BASE64_H
#define COMETA_BASE64_H


#include <stddef.h>
#include <stdint.h>


/* Writes base64, with padding. Returns the end of what was written. */
#define cometa_base64_len(n)  (((n) + 2) / 3 * 4)

uint8_t *cometa_base64_encode(uint8_t *dst, const uint8_t *p, size_t len);

/*
 * Decodes where it stands; padding may be left out. Returns 0, or -1: other
 * characters, padding in the wrong place, or bits that belong to no byte.
 */
int cometa_base64_decode(uint8_t *p, size_t *len);


#endif /* COMETA_BASE64_H */

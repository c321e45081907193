/*
 * Ids of applications and devices: 1 to COMETA_ID_MAX characters out of
 * A-Z a-z 0-9 . _ ~ : @ + -
 *
 * Pure C: no allocation, no I/O.
 */

#ifndef COMETA_ID_H
#define COMETA_ID_H


#include <stddef.h>
#include <stdint.h>


#define COMETA_ID_MAX  64


/* Whether this is an id; 1 or 0. */
int cometa_id_valid(const uint8_t *p, size_t len);


#endif /* COMETA_ID_H */

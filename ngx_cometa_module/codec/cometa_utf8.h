/*
 * Whether text is UTF-8 (RFC 3629): the shortest form of each code point, none
 * above U+10FFFF, no surrogate. The text may come in pieces, cut anywhere, and
 * an error is seen with the first byte that nothing can mend.
 *
 * Pure C: no allocation, no I/O. The state is that of a sequence that is cut.
 */

#ifndef COMETA_UTF8_H
#define COMETA_UTF8_H


#include <stddef.h>
#include <stdint.h>


/* A UTF-8 sequence that may be cut; all zero to start with. */

typedef struct {
    uint8_t  need;              /* bytes missing from the sequence */
    uint8_t  low;               /* bounds of the next of them */
    uint8_t  high;
} cometa_utf8_t;


/*
 * Returns how many bytes are good: fewer than `len` if the next is in error,
 * whatever may follow. The text is complete if `need` is 0 at its end.
 */
size_t cometa_utf8_feed(cometa_utf8_t *u, const uint8_t *p, size_t len);

/* Whether a whole text is valid UTF-8. */
int cometa_utf8_valid(const uint8_t *p, size_t len);


#endif /* COMETA_UTF8_H */

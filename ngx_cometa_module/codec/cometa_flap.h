
/*
 * Damps takeovers. Two clients with the same device id that both come back at
 * once take the device from each other without end. After `limit` takeovers
 * within a window further ones are delayed, each time for longer, so that the
 * connection that has the device keeps it for a while.
 *
 * Pure C; the caller serialises the calls for one device.
 */

#ifndef _COMETA_FLAP_H_INCLUDED_
#define _COMETA_FLAP_H_INCLUDED_


#include <stdint.h>


#define COMETA_FLAP_WINDOW  10      /* s, in which takeovers are counted */
#define COMETA_FLAP_DELAY   60      /* s, the longest delay */
#define COMETA_FLAP_LIMIT   60      /* the highest limit */


/*
 * What is remembered of a device; all zero at first. The seconds wrap every
 * 18 hours: a delay that ended that long ago may be taken for one that is not
 * over, and then the device is delayed once more.
 */

typedef struct {
    uint16_t  since;        /* s, begin of the window or of the delay */
    uint8_t   state;        /* takeovers in the window, or step of the delay */
} __attribute__((packed)) cometa_flap_t;


/*
 * A client wants to take the device over, `now` in seconds of any clock that
 * does not jump. Returns 0 if it may, else the seconds that are left until one
 * may. `first` is set for the refusals to be logged: not more than one in
 * ten seconds or so for a device.
 */
unsigned cometa_flap(cometa_flap_t *flap, unsigned limit, uint16_t now,
    unsigned *first);


#endif /* _COMETA_FLAP_H_INCLUDED_ */


/*
 * The states of a device whose connection is taken over:
 *
 *     counting --more than `limit` in a window--> delayed, step 1
 *        ^                                          |  ^
 *        |                                          |  `-- one is let in when
 *        `-- nobody comes for twice the delay ------'      the delay is over:
 *            and a window                                  next step
 *
 * A refused attempt changes nothing: a client that comes back too early does
 * not make the delay longer. The first one that comes after it is let in.
 */

#include "cometa_flap.h"


#define COMETA_FLAP_DELAYED  0x80   /* else `state` is a count */
#define COMETA_FLAP_TOLD     0x40   /* a refusal of this step was reported */
#define COMETA_FLAP_STEP     0x3f
#define COMETA_FLAP_STEPS    6      /* 2^6 seconds is more than the longest */
#define COMETA_FLAP_QUIET    4      /* the first step that lasts a window */


static unsigned
cometa_flap_delay(unsigned step)
{
    unsigned  delay;

    delay = 1U << step;

    return delay < COMETA_FLAP_DELAY ? delay : COMETA_FLAP_DELAY;
}


static void
cometa_flap_step(cometa_flap_t *flap, unsigned step, uint16_t now)
{
    flap->state = COMETA_FLAP_DELAYED
                  | (step < COMETA_FLAP_STEPS ? step : COMETA_FLAP_STEPS);
    flap->since = now;
}


/* Steps 2 and 3 follow within a window of the first: they are not reported. */

static unsigned
cometa_flap_report(cometa_flap_t *flap)
{
    unsigned  step;

    step = flap->state & COMETA_FLAP_STEP;

    if (flap->state & COMETA_FLAP_TOLD) {
        return 0;
    }

    flap->state |= COMETA_FLAP_TOLD;

    return step == 1 || step >= COMETA_FLAP_QUIET;
}


unsigned
cometa_flap(cometa_flap_t *flap, unsigned limit, uint16_t now,
    unsigned *first)
{
    unsigned  age, step, delay;

    *first = 0;

    age = (uint16_t) (now - flap->since);

    if (flap->state & COMETA_FLAP_DELAYED) {

        step = flap->state & COMETA_FLAP_STEP;
        delay = cometa_flap_delay(step);

        if (age < delay) {
            *first = cometa_flap_report(flap);
            return delay - age;
        }

        if (age < 2 * delay + COMETA_FLAP_WINDOW) {
            cometa_flap_step(flap, step + 1, now);
            return 0;
        }

        flap->state = 0;
    }

    if (flap->state == 0 || age >= COMETA_FLAP_WINDOW) {
        flap->state = 1;
        flap->since = now;
        return 0;
    }

    if (flap->state < limit) {
        flap->state++;
        return 0;
    }

    cometa_flap_step(flap, 1, now);
    *first = cometa_flap_report(flap);

    return cometa_flap_delay(1);
}

/*
 * What is told of the devices while they run: a line once a second while the
 * number of those attached changes, and now and then when it does not.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "util.h"

#define SECOND  1000000000ull
#define CALM    (15 * SECOND)   /* between lines when nothing changes */

static uint32_t   devices;
static int        tell, complete;
static FILE      *csv;
static uint64_t   begun, looked, said, attached;


static void
log_attached(void)
{
    if (csv) {
        fprintf(csv, "%.3f,%llu\n", (double) (looked - begun) / SECOND,
                (unsigned long long) attached);
    }
}


void
cometa_progress_start(uint32_t n, int told, const char *log)
{
    devices = n;
    tell = told;
    begun = looked = said = cometa_now();

    if (log == NULL) {
        return;
    }

    csv = fopen(log, "w");

    if (csv == NULL) {
        cometa_die("%s: %s", log, strerror(errno));
    }

    /* by lines: nothing is left for the processes to write once more */

    setlinebuf(csv);
    fprintf(csv, "seconds,attached\n");
    log_attached();
}


static void
say(const cometa_device_counts_t *c)
{
    said = looked;

    if (!tell) {
        return;
    }

    fprintf(stderr, "cb-devices: %llu of %u attached, %llu failed, "
                    "%llu dropped, %llu messages\n",
            (unsigned long long) c->attached, devices,
            (unsigned long long) c->failed, (unsigned long long) c->dropped,
            (unsigned long long) c->messages);
}


void
cometa_progress(const cometa_device_counts_t *c)
{
    uint64_t  now = cometa_now();

    /* when all are there for the first time is worth to be known exactly */

    if (now - looked < SECOND && (complete || c->attached < devices)) {
        return;
    }

    looked = now;
    complete |= (c->attached == devices);

    if (c->attached != attached) {
        attached = c->attached;
        log_attached();
        say(c);
        return;
    }

    if (now - said >= CALM) {
        say(c);
    }
}

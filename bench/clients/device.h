/*
 * The devices of one process: they attach, answer, heartbeat, attach again
 * when they are dropped, and, if asked to, misbehave.
 */

#ifndef COMETA_BENCH_DEVICE_H
#define COMETA_BENCH_DEVICE_H

#include <signal.h>
#include <stdint.h>

#include "stream.h"

typedef struct {
    const char   *app;
    const char   *secret;           /* NULL: none is presented */
    uint64_t      first;            /* numeric id of the first device */
    uint32_t      devices;
    uint32_t      response_size;    /* 0: the message itself */
    uint32_t      heartbeat;        /* s */
    uint32_t      concurrency;      /* attaches under way at a time */
    uint32_t      backoff;          /* ms, doubled by every failure */
    double        rate;             /* attaches per second, 0: no limit */
    uint64_t      worker;           /* attach to this process only, 0: any */
    int           park;             /* TLS without SSL objects */
    uint32_t      events;           /* pushed by each device */
    double        event_rate;       /* by all, per second; 0: no limit */
    uint32_t      pipeline;         /* messages that a device takes at a time */
    double        pipelining;       /* share of devices that do, by attach */

    /*
     * misbehaviour: probabilities per message. What is answered late makes all
     * behind it late at a device that takes several; it never answers twice,
     * and after the first message that it does not answer it answers none
     */

    double        late;             /* answer after up to late_max ms */
    double        twice;            /* answer two times */
    double        silent;           /* do not answer */
    double        quit;             /* close instead of an answer */
    double        elsewhere;        /* attach anew, the old stays open */
    double        eventful;         /* push an event before the answer */
    uint32_t      late_max;
} cometa_devices_conf_t;

/*
 * overruns: messages received before as many earlier ones were answered as a
 * device takes at a time; repeated:
 * the same message received twice in a row. Both break the protocol if the
 * callers' messages are unique. pipelined: attaches of devices that take more
 * than one message at a time. memory: what the process has grown by until
 * all its devices were attached, in bytes.
 */

#define COMETA_DEVICE_COUNTERS(X)                                             \
    X(attached) X(attaches) X(failed) X(dropped) X(heartbeats) X(messages)    \
    X(bytes_down) X(bytes_up) X(late) X(twice) X(silent) X(quit)              \
    X(elsewhere) X(events) X(wrong_worker) X(overruns) X(repeated)             \
    X(malformed) X(pipelined) X(resumed) X(parked) X(storms) X(memory)

typedef struct {
#define X(name)  uint64_t  name;
    COMETA_DEVICE_COUNTERS(X)
#undef X
} cometa_device_counts_t;

/*
 * returns when *stop is set, pushes the events once *push is; all devices drop
 * and attach again at once when *storm is, which is cleared. "counts" may be
 * read by others meanwhile
 */
void cometa_devices_run(const cometa_devices_conf_t *conf, cometa_net_t *net,
    cometa_device_counts_t *counts, volatile sig_atomic_t *stop,
    volatile sig_atomic_t *push, volatile sig_atomic_t *storm);

#endif

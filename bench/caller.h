/*
 * Callers: each has one keep-alive connection and one call at a time, and
 * checks every reply against its own message.
 */

#ifndef COMETA_BENCH_CALLER_H
#define COMETA_BENCH_CALLER_H

#include <signal.h>
#include <stdint.h>

#include "histogram.h"
#include "stream.h"

#define COMETA_CALL_ERRORS  32

typedef struct {
    const char     *uri;            /* "{device}" in it is replaced */
    const char     *secret;         /* NULL: none is presented */
    const char     *expect;         /* not NULL: GET, and this is the reply */
    uint64_t        first;          /* the devices called, at random */
    uint32_t        devices;
    uint32_t        callers;
    uint32_t        concurrency;    /* calls under way at a time */
    uint32_t        size;           /* of a message */
    uint32_t        response_size;  /* of the reply, 0: as the message */
    uint32_t        deadline;       /* s, sent as Prefer; 0: not sent */
    uint32_t        wait;           /* s, as Cometa-Wait; 0: not sent */
    uint64_t        calls;          /* 0: no limit */
    double          duration;       /* s, 0: no limit */
    double          rate;           /* calls per second, 0: flat out */
    double          watchdog;       /* s after which a call is hung */
    uint64_t        worker;         /* connect to this process only, 0: any */
} cometa_callers_conf_t;

typedef struct {
    int             status;         /* 0: the connection was lost */
    uint64_t        calls;
    char            word[40];       /* of the error, as in the JSON answer */
} cometa_call_error_t;

/* calls = right + wrong + hung + malformed + those of all errors */

typedef struct {
    uint64_t             calls;
    uint64_t             right;
    uint64_t             wrong;     /* a reply, but not to this message */
    uint64_t             hung;      /* no answer at all in time */
    uint64_t             malformed; /* not the HTTP that was expected */
    uint64_t             failed;    /* all errors together */
    uint64_t             unsent;    /* due by the rate, but no caller free */
    double               seconds;
    unsigned             nerrors;
    cometa_call_error_t  errors[COMETA_CALL_ERRORS];
    cometa_hist_t        latency;   /* ns, of the right ones */
} cometa_callers_result_t;

/*
 * Latency counts from the moment at which a call was due: with a rate, time
 * spent waiting for a free caller is part of it. The connections stay open.
 */
void cometa_callers_run(const cometa_callers_conf_t *conf, cometa_net_t *net,
    cometa_callers_result_t *result, volatile sig_atomic_t *stop);

#endif

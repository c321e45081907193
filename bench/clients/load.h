/*
 * A load: which calls are made when, whether each reply is the right one, and
 * what came of them all; the same for every way in which calls are made.
 */

#ifndef COMETA_BENCH_LOAD_H
#define COMETA_BENCH_LOAD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "stream.h"
#include "wheel.h"

#define COMETA_LOAD_ERRORS    32
#define COMETA_LOAD_NO_LIMIT  UINT64_MAX

typedef struct {
    const char     *app;
    const char     *uri;            /* "{device}" in it is replaced */
    const char     *secret;         /* NULL: none is presented */
    const char     *expect;         /* not NULL: GET, and this is the reply */
    uint64_t        first;          /* the devices called */
    uint32_t        devices;
    int             each;           /* a device for each caller, by turns */
    uint32_t        callers;
    uint32_t        concurrency;    /* calls under way at a time */
    uint32_t        outstanding;    /* and of one WebSocket */
    uint32_t        events;         /* that each device will push */
    uint32_t        size;           /* of a message */
    uint32_t        response_size;  /* of the reply, 0: as the message */
    uint32_t        deadline;       /* s, sent as Prefer; 0: not sent */
    uint32_t        wait;           /* s, as Cometa-Wait; 0: not sent */
    uint64_t        calls;          /* COMETA_LOAD_NO_LIMIT */
    double          duration;       /* s, 0: no limit */
    double          rate;           /* calls per second, 0: flat out */
    uint32_t        burst;          /* of them due at one moment, 0: 1 */
    int             retry;          /* calls whose connection was lost */
    int             reopen;         /* WebSockets that were lost */
    int             any_events;     /* some may miss, none comes twice */
    double          watchdog;       /* s after which a call is hung */
    uint64_t        worker;         /* connect to this process only, 0: any */
} cometa_load_conf_t;

typedef struct {
    int             status;         /* 0: the connection was lost */
    uint64_t        calls;
    char            word[40];       /* of the error, as in the JSON answer */
} cometa_load_error_t;

/* calls = right + wrong + hung + malformed + those of all errors */

typedef struct {
    uint64_t             calls;
    uint64_t             right;
    uint64_t             wrong;     /* a reply, but not to this message */
    uint64_t             hung;      /* no answer at all in time */
    uint64_t             malformed; /* not what the protocol says */
    uint64_t             failed;    /* all errors together */
    uint64_t             unsent;    /* due by the rate, but no caller free */
    uint64_t             retried;   /* on a new connection, once each */
    uint64_t             lost;      /* WebSockets that the server closed */
    uint64_t             events;    /* received, each the next in order */
    uint64_t             disordered;    /* received, but not the next */
    uint64_t             missed;    /* events that never came */
    double               seconds;
    unsigned             nerrors;
    cometa_load_error_t  errors[COMETA_LOAD_ERRORS];
    cometa_hist_t        latency;   /* ns, of the right ones */
} cometa_load_result_t;

typedef struct cometa_load_s  cometa_load_t;

/* one way of making calls */

typedef struct {
    void  (*open)(void);            /* before the clock starts; may be NULL */
    void  (*start)(void);           /* starts calls as long as they are due */
    int   (*busy)(void);            /* something is still under way */
    void  (*event)(void *owner);    /* of a stream */
    void  (*timer)(cometa_timer_t *t);
} cometa_load_way_t;

struct cometa_load_s {
    const cometa_load_conf_t  *conf;
    const cometa_load_way_t   *way;
    cometa_net_t              *net;
    cometa_load_result_t      *result;
    FILE                      *samples; /* every latency in us, or NULL */
    volatile sig_atomic_t     *stop;
    cometa_wheel_t             wheel;
    uint64_t                   begun;   /* ns */
    uint64_t                   end;
    uint64_t                   pause;   /* until the next call is due */
};

/*
 * Makes the calls and waits for what became of them. Latency counts from the
 * moment at which a call was due: with a rate, time spent waiting for a free
 * caller is part of it. The connections stay open.
 */
void cometa_load_run(cometa_load_t *l);

/* one turn: events, then timers; returns after "ns" at the latest */
void cometa_load_turn(cometa_load_t *l, uint64_t ns);

/* true if one more call is due now, at a time that may have passed */
int cometa_load_due(cometa_load_t *l, uint64_t *due);

/* begins a call: its message, unlike any other, is written to "message" */
void cometa_load_call(cometa_load_t *l, uint32_t caller, char *message);
uint64_t cometa_load_device(cometa_load_t *l, uint32_t caller);

/* ends a call, each of them */

void cometa_load_reply(cometa_load_t *l, uint64_t device, uint64_t due,
    const char *message, const char *body, size_t n);
void cometa_load_error(cometa_load_t *l, int status, const char *body,
    size_t n);
void cometa_load_cut(cometa_load_t *l);         /* its connection was lost */
void cometa_load_malformed(cometa_load_t *l, const char *p, size_t n);

#endif

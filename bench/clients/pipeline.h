/*
 * A pipeline: a connection with several calls under way at a time, whose
 * answers come in order. At a rate calls that are due together go to one
 * pipeline each; flat out a pipeline gets as many as it may have, in one
 * write.
 */

#ifndef COMETA_BENCH_PIPELINE_H
#define COMETA_BENCH_PIPELINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "load.h"
#include "wheel.h"

typedef struct cometa_pipeline_s  cometa_pipeline_t;

typedef struct {
    uint64_t                         due;       /* ns: when it should begin */
    uint64_t                         begun;     /* and when it did */
    char                            *message;
} cometa_pipeline_call_t;

struct cometa_pipeline_s {
    STAILQ_ENTRY(cometa_pipeline_s)  next;      /* of those with room */
    cometa_timer_t                  *timer;     /* of the connection */
    void                            *owner;     /* the connection */
    cometa_pipeline_call_t          *calls;     /* a ring */
    uint64_t                         device;
    uint64_t                         oldest;    /* call under way, a number */
    uint64_t                         newest;    /* the one that is next */
    uint32_t                         index;
    int                              open;
    int                              listed;    /* of those with room */
};

/* how calls are said on a connection */

typedef struct {
    /* gathers a call, which is not sent yet */
    void  (*call)(void *owner, uint64_t number, const char *message);

    /* sends those gathered; the connection may be lost by it */
    void  (*flush)(void *owner);
} cometa_pipeline_way_t;

/* for a load whose conf and result are set; once */
void cometa_pipelines_init(cometa_load_t *l, const cometa_pipeline_way_t *way);
void cometa_pipelines_start(void);  /* calls as long as they are due */
uint32_t cometa_pipelines_busy(void);       /* calls under way, of all */

/* caller "index" and a device for it; closed as yet */
void cometa_pipeline_init(cometa_pipeline_t *p, uint32_t index, void *owner,
    cometa_timer_t *timer);
void cometa_pipeline_open(cometa_pipeline_t *p);
uint32_t cometa_pipeline_used(const cometa_pipeline_t *p);

/* these end the oldest call, of which there has to be one ... */

void cometa_pipeline_reply(cometa_pipeline_t *p, const char *data, size_t n);
void cometa_pipeline_error(cometa_pipeline_t *p, int status, const char *data,
    size_t n);

/* ... this too if there is one: it is taken for its answer ... */
void cometa_pipeline_malformed(cometa_pipeline_t *p, const char *data,
    size_t n);

/* ... and this all: the connection is lost */
void cometa_pipeline_lost(cometa_pipeline_t *p);

/*
 * To be called when the timer fires. Returns true if the oldest call is hung;
 * then all are, as nothing that comes later could be told from its answer,
 * and the connection has to be closed.
 */
int cometa_pipeline_hung(cometa_pipeline_t *p);

#endif

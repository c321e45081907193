/*
 * A load: which calls are made when, and what came of them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "load.h"
#include "util.h"

#define EVENTS      256
#define TICK        (COMETA_WHEEL_TICK * 1000000ull)
#define MAX_TOLD    5           /* wrong replies that are shown */
#define SLACK       1000        /* ns, of timers, instead of 50000 */


static uint64_t
burst(const cometa_load_conf_t *conf)
{
    return conf->burst ? conf->burst : 1;
}


/* ns from the beginning until call number n, from 0, is due by the rate */

static uint64_t
due_after(const cometa_load_conf_t *conf, uint64_t n)
{
    return (uint64_t) ((double) (n - n % burst(conf)) / conf->rate * 1e9);
}


int
cometa_load_due(cometa_load_t *l, uint64_t *due)
{
    uint64_t                   at, now;
    const cometa_load_conf_t  *conf = l->conf;

    if (l->result->calls >= conf->calls) {
        return 0;
    }

    now = cometa_now();

    if (now >= l->end) {
        return 0;
    }

    if (conf->rate == 0) {
        *due = now;
        return 1;
    }

    at = l->begun + due_after(conf, l->result->calls);

    if (at > now) {
        l->pause = at - now < TICK ? at - now : TICK;
        return 0;
    }

    *due = at;

    return 1;
}


/* unique: caller and call; random: no other run's message looks the same */

void
cometa_load_call(cometa_load_t *l, uint32_t caller, char *message)
{
    int        n;
    char       head[64];
    size_t     i;
    uint64_t   random = 0;

    n = snprintf(head, sizeof(head), "%u-%llu-", caller,
                 (unsigned long long) l->result->calls++);

    for (i = (size_t) n; i < l->conf->size; i++) {
        if (random < 16) {
            random = cometa_random();
        }

        message[i] = "0123456789abcdef"[random % 16];
        random /= 16;
    }

    memcpy(message, head, (size_t) n);
}


uint64_t
cometa_load_device(cometa_load_t *l, uint32_t caller)
{
    const cometa_load_conf_t  *conf = l->conf;

    return conf->first + (conf->each ? caller % conf->devices
                                     : cometa_random_below(conf->devices));
}


static int
is_right(const cometa_load_conf_t *conf, const char *message,
    const char *body, size_t n)
{
    size_t  i, size = conf->response_size ? conf->response_size : conf->size;

    if (conf->expect) {
        return n == strlen(conf->expect) && memcmp(body, conf->expect, n) == 0;
    }

    if (n != size) {
        return 0;
    }

    if (n == conf->size) {
        return memcmp(body, message, n) == 0;
    }

    for (i = 0; i < n; i++) {
        if (body[i] != message[i % conf->size]) {
            return 0;
        }
    }

    return 1;
}


static void
add_latency(cometa_load_t *l, uint64_t ns)
{
    cometa_hist_add(&l->result->latency, ns);

    if (l->samples) {
        fprintf(l->samples, "%llu\n",
                (unsigned long long) cometa_hist_us(ns));
    }
}


void
cometa_load_reply(cometa_load_t *l, uint64_t device, uint64_t due,
    const char *message, const char *body, size_t n)
{
    uint32_t               size = l->conf->size;
    cometa_load_result_t  *result = l->result;

    if (is_right(l->conf, message, body, n)) {
        result->right++;
        add_latency(l, cometa_now() - due);
        return;
    }

    if (result->wrong++ < MAX_TOLD) {
        fprintf(stderr, "cb-load: wrong reply from device %llu: "
                        "sent \"%.*s\", got \"%.*s\"\n",
                (unsigned long long) device, (int) (size < 80 ? size : 80),
                message, (int) (n < 80 ? n : 80), body);
    }
}


static void
count_error(cometa_load_result_t *result, int status, const char *word,
    size_t len)
{
    unsigned              i;
    cometa_load_error_t  *e;

    result->failed++;

    if (len >= sizeof(e->word)) {
        len = sizeof(e->word) - 1;
    }

    for (i = 0; i < result->nerrors; i++) {
        e = &result->errors[i];

        if (e->status == status && strlen(e->word) == len
            && memcmp(e->word, word, len) == 0)
        {
            e->calls++;
            return;
        }
    }

    if (i == COMETA_LOAD_ERRORS) {
        cometa_die("more than %d kinds of errors", COMETA_LOAD_ERRORS);
    }

    e = &result->errors[result->nerrors++];
    e->status = status;
    e->calls = 1;
    memcpy(e->word, word, len);
}


void
cometa_load_error(cometa_load_t *l, int status, const char *body, size_t n)
{
    const char  *word, *end;

    word = memmem(body, n, "\"error\":\"", 9);

    if (word) {
        word += 9;
        end = memchr(word, '"', n - (size_t) (word - body));

        if (end) {
            count_error(l->result, status, word, (size_t) (end - word));
            return;
        }
    }

    count_error(l->result, status, "-", 1);
}


void
cometa_load_cut(cometa_load_t *l)
{
    count_error(l->result, 0, "connection_lost", 15);
}


void
cometa_load_malformed(cometa_load_t *l, const char *p, size_t n)
{
    if (l->result->malformed++ < MAX_TOLD) {
        fprintf(stderr, "cb-load: malformed answer: \"%.*s\"\n",
                (int) (n < 200 ? n : 200), p);
    }
}


void
cometa_load_turn(cometa_load_t *l, uint64_t ns)
{
    int                 i, n;
    struct timespec     timeout = { 0, (long) ns };
    struct epoll_event  events[EVENTS];

    n = epoll_pwait2(l->net->epoll, events, EVENTS, &timeout, NULL);

    if (n < 0 && errno != EINTR) {
        cometa_die("epoll_pwait2: %s", strerror(errno));
    }

    for (i = 0; i < n; i++) {
        l->way->event(events[i].data.ptr);
    }

    cometa_wheel_run(&l->wheel, l->way->timer);
}


static int
over(cometa_load_t *l)
{
    return *l->stop || l->result->calls >= l->conf->calls
           || cometa_now() >= l->end;
}


static void
count_unsent(cometa_load_t *l)
{
    uint64_t                   due, ns, now = cometa_now();
    const cometa_load_conf_t  *conf = l->conf;

    if (conf->rate == 0) {
        return;
    }

    ns = (now < l->end ? now : l->end) - l->begun;

    /* whole bursts, the last one too if it has begun */

    due = (uint64_t) ((double) ns / 1e9 * conf->rate);
    due -= due % burst(conf);

    if (due_after(conf, due) < ns) {
        due += burst(conf);
    }

    if (due > conf->calls) {
        due = conf->calls;
    }

    if (due > l->result->calls) {
        l->result->unsent = due - l->result->calls;
    }
}


void
cometa_load_run(cometa_load_t *l)
{
    /* a call is begun when it is due, not when it suits the kernel */

    prctl(PR_SET_TIMERSLACK, SLACK);
    cometa_wheel_init(&l->wheel);

    if (l->way->open) {
        l->way->open();
    }

    l->begun = cometa_now();
    l->end = UINT64_MAX;

    if (l->conf->duration) {
        l->end = l->begun + (uint64_t) (l->conf->duration * 1e9);
    }

    while (!over(l)) {
        l->pause = TICK;
        l->way->start();
        cometa_load_turn(l, l->pause);
    }

    count_unsent(l);

    /* what is under way ends by itself: the watchdog sees to that */

    while (l->way->busy()) {
        cometa_load_turn(l, TICK);
    }

    l->result->seconds = (double) (cometa_now() - l->begun) / 1e9;
}

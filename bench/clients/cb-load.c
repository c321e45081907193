/*
 * cb-load: calls devices, or any URI, checks every reply and measures. This
 * file reads the options and says what is done when.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "frame.h"
#include "options.h"
#include "process.h"
#include "report.h"
#include "socket.h"
#include "util.h"

#define MIN_SIZE           24       /* caller and call fit, and some more */
#define DEFAULT_WATCHDOG   31       /* s: the server's own deadline and 1 */
#define HOLD_TURN          100000000    /* ns */

static const char  usage[] =
    "usage: cb-load [OPTION]...\n"
    "Calls devices over HTTP keep-alive connections or WebSockets. Every\n"
    "message is unique, every reply is compared with it. Percentiles are\n"
    "known to 3 %, all other figures are exact.\n"
    "\n"
    COMETA_COMMON_USAGE
    "  --each                each caller calls one device only, they take\n"
    "                        turns (by default one is chosen at random out of\n"
    "                        all, for each call, or for each WebSocket)\n"
    "  --uri URI             what is called; {device} is replaced\n"
    "                        (/v1/applications/ID/devices/{device}/send)\n"
    "  --callers C           connections, one call at a time each (1)\n"
    "  --concurrency N       calls under way at a time, the callers taking\n"
    "                        turns (as many as callers)\n"
    "  --calls N             calls in all, 0 to connect WebSockets only; or\n"
    "  --duration S          for so long (default: 10)\n"
    "  --rate R              calls per second, latency counted from the time\n"
    "                        a call was due; 0 is flat out (0)\n"
    "  --burst N             N of them due at the same moment, R/N times a\n"
    "                        second (1)\n"
    "  --size N              size of a message (32)\n"
    "  --expect TEXT         GET instead of POST, the reply has to be TEXT\n"
    "  --websocket           callers are WebSockets, each to one device;\n"
    "                        \"open C\" is printed when all of them are open\n"
    "  --outstanding K       calls outstanding on each (1)\n"
    "  --events N            the device of each pushes events 1 to N, as\n"
    "                        cb-devices does: all have to come, in order\n"
    "  --any_events          events as cb-devices --eventful sends them:\n"
    "                        numbers have to grow, any may be missing\n"
    "  --deadline S          sent with each call as \"Prefer: wait=S\"\n"
    "  --wait S              sent as \"Cometa-Wait: S\": wait for the device\n"
    "  --watchdog S          a call with no answer for so long is hung\n"
    "                        (the deadline and 1, without one 31)\n"
    "  --retry               a call whose connection is lost is sent once\n"
    "                        more, as clients do when a server closes an\n"
    "                        idle connection in the same moment\n"
    "  --reopen              a WebSocket that is lost is opened again\n"
    "  --allow_failures      errors and lost connections are no failure\n"
    "  --hold                print \"held\" when all is done and keep the\n"
    "                        connections until SIGINT or SIGTERM\n"
    "  --percentiles         the distribution too, in ms, as HdrHistogram has\n"
    "                        it\n"
    "  --samples FILE        every latency in us, one a line, into the file\n"
    "\n"
    "Exit status: 0, 1 if a reply was wrong or malformed, a call hung or an\n"
    "event was out of order or missed, 2 if only calls failed or WebSockets\n"
    "were lost, 3 if the run itself failed.\n";

static cometa_load_conf_t    conf = {
    .app = "app", .first = 1, .devices = 1, .callers = 1, .outstanding = 1,
    .size = 32, .calls = COMETA_LOAD_NO_LIMIT, .burst = 1
};

static cometa_target_t        target = COMETA_TARGET_INIT;
static const char            *samples;
static int                    websocket;
static int                    allow_failures;
static int                    hold;
static int                    percentiles;

#define MAX_SIZE  (COMETA_STREAM_MAX / 2)

static const cometa_option_t  options[] = {
    COMETA_COMMON_OPTIONS(target, conf),
    { "each", .flag = &conf.each },
    { "uri", .text = &conf.uri },
    { "callers", .u32 = &conf.callers, .min = 1, .max = 65535 },
    { "concurrency", .u32 = &conf.concurrency, .min = 1, .max = 65535 },
    { "calls", .u64 = &conf.calls, .max = 1e12 },
    { "duration", .real = &conf.duration, .min = 0.001, .max = 1e7 },
    { "rate", .real = &conf.rate, .max = 1e9 },
    { "burst", .u32 = &conf.burst, .min = 1, .max = 1e6 },
    { "size", .u32 = &conf.size, .min = MIN_SIZE, .max = MAX_SIZE },
    { "expect", .text = &conf.expect },
    { "websocket", .flag = &websocket },
    { "outstanding", .u32 = &conf.outstanding, .min = 1, .max = 1024 },
    { "events", .u32 = &conf.events, .min = 1, .max = 1e9 },
    { "deadline", .u32 = &conf.deadline, .min = 1, .max = 86400 },
    { "wait", .u32 = &conf.wait, .min = 1, .max = 86400 },
    { "retry", .flag = &conf.retry },
    { "any_events", .flag = &conf.any_events },
    { "reopen", .flag = &conf.reopen },
    { "watchdog", .real = &conf.watchdog, .min = 0.01, .max = 1e6 },
    { "allow_failures", .flag = &allow_failures },
    { "percentiles", .flag = &percentiles },
    { "samples", .text = &samples },
    { "hold", .flag = &hold },
    { .name = NULL }
};

static cometa_net_t           net;
static cometa_load_result_t   result;
static cometa_load_t          load = {
    .conf = &conf, .net = &net, .result = &result, .stop = &cometa_stop
};


static void
set_defaults(void)
{
    char  *uri;

    if (conf.calls == COMETA_LOAD_NO_LIMIT && conf.duration == 0) {
        conf.duration = 10;
    }

    if (conf.concurrency == 0) {
        conf.concurrency = conf.callers * conf.outstanding;
    }

    if (conf.watchdog == 0) {
        conf.watchdog = conf.deadline ? conf.deadline + 1 : DEFAULT_WATCHDOG;
    }

    if (conf.uri == NULL) {
        if (asprintf(&uri, "/v1/applications/%s/devices/{device}/send",
                     conf.app) < 0)
        {
            cometa_die("no memory");
        }

        conf.uri = uri;
    }
}


/* what goes together; what one way of calling has and the other has not */

static void
check_options(void)
{
    if (conf.burst > 1 && conf.rate == 0) {
        cometa_die("--burst needs --rate");
    }

    if (!websocket) {
        if (conf.outstanding > 1 || conf.events) {
            cometa_die("--outstanding and --events need --websocket");
        }

        return;
    }

    if (conf.uri || conf.expect || conf.deadline || conf.wait || conf.worker) {
        cometa_die("--uri, --expect, --deadline, --wait and --worker are not "
                   "for --websocket");
    }

    if ((uint64_t) conf.outstanding * (conf.size + COMETA_FRAME_HEAD)
        > COMETA_STREAM_MAX)
    {
        cometa_die("%u calls of %u bytes on one WebSocket are too much",
                   conf.outstanding, conf.size);
    }
}


static void
read_options(int argc, char **argv)
{
    cometa_options_read(argc, argv, usage, options);
    check_options();
    set_defaults();
}


/* what the server says meanwhile is answered: it pings its WebSockets */

static void
hold_connections(void)
{
    printf("held\n");
    fflush(stdout);

    while (!cometa_stop) {
        cometa_load_turn(&load, HOLD_TURN);
    }
}


static void
open_samples(void)
{
    if (samples == NULL) {
        return;
    }

    load.samples = fopen(samples, "w");

    if (load.samples == NULL) {
        cometa_die("%s: %s", samples, strerror(errno));
    }
}


static void
close_samples(void)
{
    if (load.samples && fclose(load.samples) != 0) {
        cometa_die("%s: %s", samples, strerror(errno));
    }
}


static void
report(void)
{
    if (target.json) {
        cometa_report_json(&load);

    } else {
        cometa_report_text(&load, websocket);
    }

    if (percentiles) {
        printf("\n");
        cometa_hist_print(&result.latency, stdout);
    }

    fflush(stdout);
}


static int
verdict(void)
{
    int  status = cometa_report_verdict(&result);

    return status == 2 && allow_failures ? 0 : status;
}


int
main(int argc, char **argv)
{
    read_options(argc, argv);

    cometa_process_start(&net, &target, conf.callers, "callers");

    open_samples();
    load.way = websocket ? cometa_sockets(&load) : cometa_callers(&load);
    cometa_load_run(&load);
    close_samples();

    report();

    if (hold) {
        hold_connections();
    }

    return verdict();
}

/*
 * cb-load: calls devices, or any URI, checks every reply and measures. This
 * file reads the options and reports.
 */

#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caller.h"
#include "frame.h"
#include "socket.h"
#include "util.h"

#define MIN_SIZE           24       /* caller and call fit, and some more */
#define DEFAULT_WATCHDOG   31       /* s: the server's own deadline and 1 */
#define HOLD_TURN          100000000    /* ns */

static const char  usage[] =
    "usage: cb-load [OPTION]...\n"
    "Calls devices over HTTP keep-alive connections or WebSockets. Every\n"
    "message is unique, every reply is compared with it.\n"
    "\n"
    "  --server_name NAME    server (127.0.0.1)\n"
    "  --server_port PORT    its port (80)\n"
    "  --use_ssl             TLS; the certificate is not checked\n"
    "  --app_id ID           application (app)\n"
    "  --app_secret SECRET   presented with every call\n"
    "  --device_id N         numeric id of the first device (1)\n"
    "  --devices N           devices called, chosen at random (1)\n"
    "  --each                each caller calls one device only, they take\n"
    "                        turns\n"
    "  --uri URI             what is called; {device} is replaced\n"
    "                        (/v1/applications/ID/devices/{device}/send)\n"
    "  --callers C           connections, one call at a time each (1)\n"
    "  --concurrency N       calls under way at a time, the callers taking\n"
    "                        turns (as many as callers)\n"
    "  --calls N             calls in all, 0 to connect WebSockets only; or\n"
    "  --duration S          for so long (default: 10)\n"
    "  --rate R              calls per second, latency counted from the time\n"
    "                        a call was due; 0 is flat out (0)\n"
    "  --size N              size of a message (32)\n"
    "  --response_size N     size of a reply: the message, repeated\n"
    "  --expect TEXT         GET instead of POST, the reply has to be TEXT\n"
    "  --websocket           callers are WebSockets, each to one device;\n"
    "                        \"open C\" is printed when all of them are open\n"
    "  --outstanding K       calls outstanding on each (1)\n"
    "  --events N            the device of each pushes events 1 to N, as\n"
    "                        cb-devices does: all have to come, in order\n"
    "  --deadline S          sent with each call as \"Prefer: wait=S\"\n"
    "  --wait S              sent as \"Cometa-Wait: S\": wait for the device\n"
    "  --watchdog S          a call with no answer for so long is hung\n"
    "                        (the deadline and 1, without one 31)\n"
    "  --worker PID          connect to this worker process only; /worker of\n"
    "                        the server has to answer with its process id\n"
    "  --allow_failures      errors and lost connections are no failure\n"
    "  --hold                print \"held\" when all is done and keep the\n"
    "                        connections until SIGINT or SIGTERM\n"
    "  --json                the report as JSON\n"
    "\n"
    "Exit status: 0, 1 if a reply was wrong or malformed, a call hung or an\n"
    "event was out of order or missed, 2 if only calls failed or WebSockets\n"
    "were lost, 3 if the run itself failed.\n";

enum {
    OPT_SERVER_NAME = 1, OPT_SERVER_PORT, OPT_USE_SSL, OPT_APP_ID,
    OPT_APP_SECRET, OPT_DEVICE_ID, OPT_DEVICES, OPT_URI, OPT_CALLERS,
    OPT_CONCURRENCY, OPT_CALLS, OPT_DURATION, OPT_RATE, OPT_SIZE,
    OPT_RESPONSE_SIZE, OPT_EXPECT, OPT_DEADLINE, OPT_WAIT, OPT_WATCHDOG,
    OPT_WORKER, OPT_EACH, OPT_WEBSOCKET, OPT_OUTSTANDING, OPT_EVENTS,
    OPT_ALLOW_FAILURES, OPT_HOLD, OPT_JSON, OPT_HELP
};

static const struct option  options[] = {
    { "server_name",    required_argument, NULL, OPT_SERVER_NAME },
    { "server_port",    required_argument, NULL, OPT_SERVER_PORT },
    { "use_ssl",        no_argument,       NULL, OPT_USE_SSL },
    { "app_id",         required_argument, NULL, OPT_APP_ID },
    { "app_secret",     required_argument, NULL, OPT_APP_SECRET },
    { "device_id",      required_argument, NULL, OPT_DEVICE_ID },
    { "devices",        required_argument, NULL, OPT_DEVICES },
    { "uri",            required_argument, NULL, OPT_URI },
    { "callers",        required_argument, NULL, OPT_CALLERS },
    { "concurrency",    required_argument, NULL, OPT_CONCURRENCY },
    { "calls",          required_argument, NULL, OPT_CALLS },
    { "duration",       required_argument, NULL, OPT_DURATION },
    { "rate",           required_argument, NULL, OPT_RATE },
    { "size",           required_argument, NULL, OPT_SIZE },
    { "response_size",  required_argument, NULL, OPT_RESPONSE_SIZE },
    { "expect",         required_argument, NULL, OPT_EXPECT },
    { "deadline",       required_argument, NULL, OPT_DEADLINE },
    { "wait",           required_argument, NULL, OPT_WAIT },
    { "watchdog",       required_argument, NULL, OPT_WATCHDOG },
    { "worker",         required_argument, NULL, OPT_WORKER },
    { "each",           no_argument,       NULL, OPT_EACH },
    { "websocket",      no_argument,       NULL, OPT_WEBSOCKET },
    { "outstanding",    required_argument, NULL, OPT_OUTSTANDING },
    { "events",         required_argument, NULL, OPT_EVENTS },
    { "allow_failures", no_argument,       NULL, OPT_ALLOW_FAILURES },
    { "hold",           no_argument,       NULL, OPT_HOLD },
    { "json",           no_argument,       NULL, OPT_JSON },
    { "help",           no_argument,       NULL, OPT_HELP },
    { NULL, 0, NULL, 0 }
};

static cometa_load_conf_t    conf = {
    .app = "app", .first = 1, .devices = 1, .callers = 1, .outstanding = 1,
    .size = 32, .calls = COMETA_LOAD_NO_LIMIT
};

static const char            *server_name = "127.0.0.1";
static const char            *server_port = "80";
static int                    use_ssl;
static int                    websocket;
static int                    allow_failures;
static int                    hold;
static int                    json;

static cometa_net_t           net;
static cometa_load_result_t   result;
static volatile sig_atomic_t  stop;
static cometa_load_t          load = {
    .conf = &conf, .net = &net, .result = &result, .stop = &stop
};


static void
set_option(int option, const char *name, const char *v)
{
    switch (option) {

    case OPT_SERVER_NAME:       server_name = v;    break;
    case OPT_SERVER_PORT:       server_port = v;    break;
    case OPT_USE_SSL:           use_ssl = 1;        break;
    case OPT_APP_ID:            conf.app = v;       break;
    case OPT_EACH:              conf.each = 1;      break;
    case OPT_WEBSOCKET:         websocket = 1;      break;
    case OPT_APP_SECRET:        conf.secret = v;    break;
    case OPT_URI:               conf.uri = v;       break;
    case OPT_EXPECT:            conf.expect = v;    break;
    case OPT_ALLOW_FAILURES:    allow_failures = 1; break;
    case OPT_HOLD:              hold = 1;           break;
    case OPT_JSON:              json = 1;           break;

    case OPT_DEVICE_ID:
        conf.first = cometa_number(name, v, 0, INT64_MAX);
        break;

    case OPT_DEVICES:
        conf.devices = (uint32_t) cometa_number(name, v, 1, 100000000);
        break;

    case OPT_CALLERS:
        conf.callers = (uint32_t) cometa_number(name, v, 1, 65535);
        break;

    case OPT_CONCURRENCY:
        conf.concurrency = (uint32_t) cometa_number(name, v, 1, 65535);
        break;

    case OPT_CALLS:
        conf.calls = cometa_number(name, v, 0, 1000000000000);
        break;

    case OPT_OUTSTANDING:
        conf.outstanding = (uint32_t) cometa_number(name, v, 1, 1024);
        break;

    case OPT_EVENTS:
        conf.events = (uint32_t) cometa_number(name, v, 1, 1000000000);
        break;

    case OPT_DURATION:
        conf.duration = cometa_real(name, v, 0.001, 1e7);
        break;

    case OPT_RATE:
        conf.rate = cometa_real(name, v, 0, 1e9);
        break;

    case OPT_SIZE:
        conf.size = (uint32_t) cometa_number(name, v, MIN_SIZE,
                                             COMETA_STREAM_MAX / 2);
        break;

    case OPT_RESPONSE_SIZE:
        conf.response_size = (uint32_t) cometa_number(name, v, 0,
                                                    COMETA_STREAM_MAX / 2);
        break;

    case OPT_DEADLINE:
        conf.deadline = (uint32_t) cometa_number(name, v, 1, 86400);
        break;

    case OPT_WAIT:
        conf.wait = (uint32_t) cometa_number(name, v, 1, 86400);
        break;

    case OPT_WATCHDOG:
        conf.watchdog = cometa_real(name, v, 0.01, 1e6);
        break;

    case OPT_WORKER:
        conf.worker = cometa_number(name, v, 1, INT32_MAX);
        break;

    default:
        fputs(usage, stdout);
        exit(0);
    }
}


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


/* what one way of calling has and the other has not */

static void
check_options(void)
{
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
    int  option, i = 0;

    for ( ;; ) {
        option = getopt_long(argc, argv, "", options, &i);

        if (option == -1) {
            break;
        }

        if (option == '?') {
            fputs(usage, stderr);
            exit(3);
        }

        set_option(option, options[i].name, optarg);
    }

    if (optind < argc) {
        cometa_die("unknown argument \"%s\", see --help", argv[optind]);
    }

    check_options();
    set_defaults();
}


static double
us(double ns)
{
    return ns / 1000;
}


static void
report_json(void)
{
    unsigned              i;
    const cometa_hist_t  *h = &result.latency;

    printf("{\"callers\":%u,\"calls\":%llu,\"right\":%llu,\"wrong\":%llu,"
           "\"hung\":%llu,\"malformed\":%llu,\"failed\":%llu,\"unsent\":%llu,"
           "\"lost\":%llu,\"events\":%llu,\"disordered\":%llu,\"missed\":%llu,"
           "\"seconds\":%.3f,\"rate\":%.1f,",
           conf.callers, (unsigned long long) result.calls,
           (unsigned long long) result.right,
           (unsigned long long) result.wrong,
           (unsigned long long) result.hung,
           (unsigned long long) result.malformed,
           (unsigned long long) result.failed,
           (unsigned long long) result.unsent,
           (unsigned long long) result.lost,
           (unsigned long long) result.events,
           (unsigned long long) result.disordered,
           (unsigned long long) result.missed, result.seconds,
           (double) result.right / result.seconds);

    printf("\"latency_us\":{\"min\":%.1f,\"mean\":%.1f,\"p50\":%.1f,"
           "\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,"
           "\"std_deviation\":%.1f},\"errors\":[",
           us((double) h->min), us(cometa_hist_mean(h)),
           us((double) cometa_hist_percentile(h, 50)),
           us((double) cometa_hist_percentile(h, 90)),
           us((double) cometa_hist_percentile(h, 99)),
           us((double) cometa_hist_percentile(h, 99.9)),
           us((double) h->max), us(cometa_hist_deviation(h)));

    for (i = 0; i < result.nerrors; i++) {
        printf("%s{\"status\":%d,\"error\":\"%s\",\"calls\":%llu}",
               i ? "," : "", result.errors[i].status, result.errors[i].word,
               (unsigned long long) result.errors[i].calls);
    }

    printf("]}\n");
}


static void
report_table(void)
{
    unsigned              i;
    const cometa_hist_t  *h = &result.latency;

    printf("calls %llu: right %llu, wrong %llu, hung %llu, malformed %llu, "
           "failed %llu, unsent %llu\n",
           (unsigned long long) result.calls,
           (unsigned long long) result.right,
           (unsigned long long) result.wrong,
           (unsigned long long) result.hung,
           (unsigned long long) result.malformed,
           (unsigned long long) result.failed,
           (unsigned long long) result.unsent);

    for (i = 0; i < result.nerrors; i++) {
        printf("  %3d %-24s %12llu\n", result.errors[i].status,
               result.errors[i].word,
               (unsigned long long) result.errors[i].calls);
    }

    if (websocket) {
        printf("WebSockets lost %llu; events in order %llu, disordered %llu, "
               "missed %llu\n",
               (unsigned long long) result.lost,
               (unsigned long long) result.events,
               (unsigned long long) result.disordered,
               (unsigned long long) result.missed);
    }

    printf("%.3f s, %.1f right replies per second\n", result.seconds,
           (double) result.right / result.seconds);

    printf("latency, us: min %.1f mean %.1f p50 %.1f p90 %.1f p99 %.1f "
           "p99.9 %.1f max %.1f deviation %.1f\n",
           us((double) h->min), us(cometa_hist_mean(h)),
           us((double) cometa_hist_percentile(h, 50)),
           us((double) cometa_hist_percentile(h, 90)),
           us((double) cometa_hist_percentile(h, 99)),
           us((double) cometa_hist_percentile(h, 99.9)),
           us((double) h->max), us(cometa_hist_deviation(h)));
}


static void
on_signal(int signo)
{
    (void) signo;
    stop = 1;
}


/* what the server says meanwhile is answered: it pings its WebSockets */

static void
hold_connections(void)
{
    printf("held\n");
    fflush(stdout);

    while (!stop) {
        cometa_load_turn(&load, HOLD_TURN);
    }
}


static int
verdict(void)
{
    if (result.wrong || result.hung || result.malformed
        || result.disordered || result.missed)
    {
        return 1;
    }

    return (result.failed || result.lost) && !allow_failures ? 2 : 0;
}


int
main(int argc, char **argv)
{
    struct sigaction  sa;

    read_options(argc, argv);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);

    cometa_random_init();
    cometa_net_init(&net, server_name, server_port, use_ssl);
    cometa_net_start(&net);

    if (conf.callers + 16 > cometa_net_descriptors()) {
        cometa_die("%u callers do not fit into %u descriptors", conf.callers,
                   cometa_net_descriptors());
    }

    load.way = websocket ? cometa_sockets(&load) : cometa_callers(&load);
    cometa_load_run(&load);

    if (json) {
        report_json();

    } else {
        report_table();
    }

    fflush(stdout);

    if (hold) {
        hold_connections();
    }

    return verdict();
}

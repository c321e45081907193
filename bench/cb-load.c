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
#include "util.h"

#define MIN_SIZE           24       /* caller and call fit, and some more */
#define DEFAULT_WATCHDOG   31       /* s: the server's own deadline and 1 */

static const char  usage[] =
    "usage: cb-load [OPTION]...\n"
    "Calls devices over HTTP keep-alive connections. Every message is unique,\n"
    "every reply is compared with it.\n"
    "\n"
    "  --server_name NAME    server (127.0.0.1)\n"
    "  --server_port PORT    its port (80)\n"
    "  --use_ssl             TLS; the certificate is not checked\n"
    "  --app_id ID           application (app)\n"
    "  --app_secret SECRET   presented with every call\n"
    "  --device_id N         numeric id of the first device (1)\n"
    "  --devices N           devices called, chosen at random (1)\n"
    "  --uri URI             what is called; {device} is replaced\n"
    "                        (/v1/applications/ID/devices/{device}/send)\n"
    "  --callers C           connections, one call at a time each (1)\n"
    "  --concurrency N       calls under way at a time, the callers taking\n"
    "                        turns (as many as callers)\n"
    "  --calls N             calls in all; or\n"
    "  --duration S          for so long (default: 10)\n"
    "  --rate R              calls per second, latency counted from the time\n"
    "                        a call was due; 0 is flat out (0)\n"
    "  --size N              size of a message (32)\n"
    "  --response_size N     size of a reply: the message, repeated\n"
    "  --expect TEXT         GET instead of POST, the reply has to be TEXT\n"
    "  --deadline S          sent with each call as \"Prefer: wait=S\"\n"
    "  --wait S              sent as \"Cometa-Wait: S\": wait for the device\n"
    "  --watchdog S          a call with no answer for so long is hung\n"
    "                        (the deadline and 1, without one 31)\n"
    "  --worker PID          connect to this worker process only; /worker of\n"
    "                        the server has to answer with its process id\n"
    "  --allow_failures      errors and lost connections are no failure\n"
    "  --hold                print \"held\" after the last call and keep the\n"
    "                        connections until SIGINT or SIGTERM\n"
    "  --json                the report as JSON\n"
    "\n"
    "Exit status: 0, 1 if a reply was wrong or malformed or a call hung, 2 if\n"
    "only calls failed, 3 if the run itself did.\n";

enum {
    OPT_SERVER_NAME = 1, OPT_SERVER_PORT, OPT_USE_SSL, OPT_APP_ID,
    OPT_APP_SECRET, OPT_DEVICE_ID, OPT_DEVICES, OPT_URI, OPT_CALLERS,
    OPT_CONCURRENCY, OPT_CALLS, OPT_DURATION, OPT_RATE, OPT_SIZE,
    OPT_RESPONSE_SIZE, OPT_EXPECT, OPT_DEADLINE, OPT_WAIT, OPT_WATCHDOG,
    OPT_WORKER, OPT_ALLOW_FAILURES, OPT_HOLD, OPT_JSON, OPT_HELP
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
    { "allow_failures", no_argument,       NULL, OPT_ALLOW_FAILURES },
    { "hold",           no_argument,       NULL, OPT_HOLD },
    { "json",           no_argument,       NULL, OPT_JSON },
    { "help",           no_argument,       NULL, OPT_HELP },
    { NULL, 0, NULL, 0 }
};

static cometa_callers_conf_t     conf = {
    .first = 1, .devices = 1, .callers = 1, .size = 32
};

static const char               *server_name = "127.0.0.1";
static const char               *server_port = "80";
static const char               *app = "app";
static int                       use_ssl;
static int                       allow_failures;
static int                       hold;
static int                       json;

static cometa_net_t              net;
static cometa_callers_result_t   result;
static volatile sig_atomic_t     stop;


static void
set_option(int option, const char *name, const char *v)
{
    switch (option) {

    case OPT_SERVER_NAME:       server_name = v;    break;
    case OPT_SERVER_PORT:       server_port = v;    break;
    case OPT_USE_SSL:           use_ssl = 1;        break;
    case OPT_APP_ID:            app = v;            break;
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
        conf.calls = cometa_number(name, v, 1, 1000000000000);
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

    if (conf.calls == 0 && conf.duration == 0) {
        conf.duration = 10;
    }

    if (conf.concurrency == 0) {
        conf.concurrency = conf.callers;
    }

    if (conf.watchdog == 0) {
        conf.watchdog = conf.deadline ? conf.deadline + 1 : DEFAULT_WATCHDOG;
    }

    if (conf.uri == NULL) {
        if (asprintf(&uri, "/v1/applications/%s/devices/{device}/send", app)
            < 0)
        {
            cometa_die("no memory");
        }

        conf.uri = uri;
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
           "\"seconds\":%.3f,\"rate\":%.1f,",
           conf.callers, (unsigned long long) result.calls,
           (unsigned long long) result.right,
           (unsigned long long) result.wrong,
           (unsigned long long) result.hung,
           (unsigned long long) result.malformed,
           (unsigned long long) result.failed,
           (unsigned long long) result.unsent, result.seconds,
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


static void
hold_connections(const sigset_t *unblocked)
{
    printf("held\n");
    fflush(stdout);

    while (!stop) {
        sigsuspend(unblocked);
    }
}


static int
verdict(void)
{
    if (result.wrong || result.hung || result.malformed) {
        return 1;
    }

    return result.failed && !allow_failures ? 2 : 0;
}


int
main(int argc, char **argv)
{
    sigset_t          mask, unblocked;
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

    cometa_callers_run(&conf, &net, &result, &stop);

    if (json) {
        report_json();

    } else {
        report_table();
    }

    fflush(stdout);

    /* blocked from the check of "stop" to the wait: no signal gets lost */

    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, &unblocked);

    if (hold) {
        hold_connections(&unblocked);
    }

    return verdict();
}

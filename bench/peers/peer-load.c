/*
 * peer-load: what cb-load is for this module, for the servers it is compared
 * with. This file reads the options and reports.
 */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"
#include "callers.h"
#include "client.h"

#define MIN_SIZE  24                /* caller and call fit, and some more */
#define WATCHDOG  10                /* s after which a call is hung */

static const char  usage[] =
    "usage: peer-load [OPTION]...\n"
    "Calls devices through a server that peer-devices has attached them to.\n"
    "Every message is unique, every reply is compared with it.\n"
    "\n"
    "  --protocol NAME    mqtt, nats or nchan\n"
    "  --server_port PORT of the server on 127.0.0.1\n"
    "  --callers C        each with a connection and a device of its own (1)\n"
    "  --outstanding K    calls of each under way at a time (1)\n"
    "  --duration S       for so long (10)\n"
    "  --rate R           calls per second of all, latency counted from the\n"
    "                     time a call was due; 0 is flat out (0)\n"
    "  --size N           size of a message and of its reply (32)\n"
    "\n"
    "The report is JSON. Exit status: 0, 1 if a reply was wrong or a call\n"
    "hung, 2 if connections were lost, 3 if the run itself failed.\n";

static cometa_load_conf_t    conf = {
    .first = 1, .each = 1, .callers = 1, .outstanding = 1, .size = 32,
    .calls = COMETA_LOAD_NO_LIMIT, .duration = 10, .watchdog = WATCHDOG
};

static const char               *server_port;
static const cometa_protocol_t  *protocol;

static cometa_net_t           net;
static cometa_load_result_t   result;
static volatile sig_atomic_t  stop;
static cometa_load_t          load = {
    .conf = &conf, .net = &net, .result = &result, .stop = &stop
};


static void
set_option(int option, const char *v)
{
    switch (option) {

    case 'p':   protocol = cometa_protocol(v);  break;
    case 's':   server_port = v;                break;

    case 'c':
        conf.callers = (uint32_t) cometa_number("callers", v, 1, 65535);
        break;

    case 'o':
        conf.outstanding = (uint32_t) cometa_number("outstanding", v, 1,
                                                    COMETA_CLIENT_CALLS_MAX);
        break;

    case 'd':
        conf.duration = cometa_real("duration", v, 0.001, 1e7);
        break;

    case 'r':
        conf.rate = cometa_real("rate", v, 0, 1e9);
        break;

    case 'n':
        conf.size = (uint32_t) cometa_number("size", v, MIN_SIZE,
                                             COMETA_CLIENT_SIZE_MAX);
        break;

    default:
        fputs(usage, option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 3);
    }
}


static void
read_options(int argc, char **argv)
{
    int                         option;
    static const struct option  options[] = {
        { "protocol",    required_argument, NULL, 'p' },
        { "server_port", required_argument, NULL, 's' },
        { "callers",     required_argument, NULL, 'c' },
        { "outstanding", required_argument, NULL, 'o' },
        { "duration",    required_argument, NULL, 'd' },
        { "rate",        required_argument, NULL, 'r' },
        { "size",        required_argument, NULL, 'n' },
        { "help",        no_argument,       NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        set_option(option, optarg);
    }

    if (protocol == NULL || server_port == NULL || optind < argc) {
        cometa_die("--protocol and --server_port are needed, see --help");
    }

    conf.devices = conf.callers;
    conf.concurrency = conf.callers * conf.outstanding;
}


static double
us(uint64_t ns)
{
    return (double) ns / 1000;
}


static void
report(void)
{
    printf("{\"callers\":%u,\"calls\":%llu,\"right\":%llu,\"wrong\":%llu,"
           "\"hung\":%llu,\"malformed\":%llu,\"failed\":%llu,"
           "\"unsent\":%llu,\"lost\":%llu,\"seconds\":%.3f,\"rate\":%.1f,"
           "\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}}\n",
           conf.callers, (unsigned long long) result.calls,
           (unsigned long long) result.right,
           (unsigned long long) result.wrong,
           (unsigned long long) result.hung,
           (unsigned long long) result.malformed,
           (unsigned long long) result.failed,
           (unsigned long long) result.unsent,
           (unsigned long long) result.lost, result.seconds,
           (double) result.right / result.seconds,
           us(cometa_hist_percentile(&result.latency, 50)),
           us(cometa_hist_percentile(&result.latency, 99)),
           us(result.latency.max));
}


static void
on_signal(int signo)
{
    (void) signo;
    stop = 1;
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

    cometa_random_init();
    cometa_net_init(&net, "127.0.0.1", server_port, 0);
    cometa_net_start(&net);

    load.way = cometa_peer_callers(&load, protocol);
    cometa_load_run(&load);

    report();

    if (result.wrong || result.hung || result.malformed) {
        return 1;
    }

    return result.failed || result.lost ? 2 : 0;
}

/*
 * peer-load: what cb-load is for this module, for the servers it is compared
 * with. This file reads the options.
 */

#include "../clients/options.h"
#include "../clients/process.h"
#include "../clients/report.h"
#include "../clients/util.h"
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

static cometa_load_conf_t  conf = {
    .first = 1, .each = 1, .callers = 1, .outstanding = 1, .size = 32,
    .calls = COMETA_LOAD_NO_LIMIT, .duration = 10, .watchdog = WATCHDOG
};

static cometa_target_t        target = { .name = "127.0.0.1" };
static const char            *protocol;

static const cometa_option_t  options[] = {
    { "protocol", .text = &protocol },
    { "server_port", .text = &target.port },
    { "callers", .u32 = &conf.callers, .min = 1, .max = 65535 },
    { "outstanding", .u32 = &conf.outstanding, .min = 1,
      .max = COMETA_CLIENT_CALLS_MAX },
    { "duration", .real = &conf.duration, .min = 0.001, .max = 1e7 },
    { "rate", .real = &conf.rate, .max = 1e9 },
    { "size", .u32 = &conf.size, .min = MIN_SIZE,
      .max = COMETA_CLIENT_SIZE_MAX },
    { .name = NULL }
};

static cometa_net_t           net;
static cometa_load_result_t   result;
static cometa_load_t          load = {
    .conf = &conf, .net = &net, .result = &result, .stop = &cometa_stop
};


static void
read_options(int argc, char **argv)
{
    cometa_options_read(argc, argv, usage, options);

    if (protocol == NULL || target.port == NULL) {
        cometa_die("--protocol and --server_port are needed, see --help");
    }

    conf.devices = conf.callers;
    conf.concurrency = conf.callers * conf.outstanding;
}


int
main(int argc, char **argv)
{
    read_options(argc, argv);

    cometa_process_start(&net, &target, conf.callers, "callers");
    load.way = cometa_peer_callers(&load, cometa_protocol(protocol));
    cometa_load_run(&load);
    cometa_report_json(&load);

    return cometa_report_verdict(&result);
}

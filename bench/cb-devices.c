/*
 * cb-devices: any number of simulated devices. This file reads the options,
 * starts as many processes as the limit of descriptors asks for, and reports.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "util.h"

/* descriptors a process needs beside those of its devices */
#define SPARE_DESCRIPTORS  64
#define MAX_PROCESSES      4096

static const char  usage[] =
    "usage: cb-devices [OPTION]...\n"
    "Simulated devices: they attach, answer every message, heartbeat, and\n"
    "attach again when they are dropped. When all are attached the line\n"
    "\"attached N\" is printed; SIGINT or SIGTERM ends it with a summary.\n"
    "\n"
    "  --server_name NAME    server (127.0.0.1)\n"
    "  --server_port PORT    its port (80)\n"
    "  --use_ssl             TLS; the certificate is not checked\n"
    "  --app_id ID           application (app)\n"
    "  --app_secret SECRET   presented with every attach\n"
    "  --device_id N         numeric id of the first device (1)\n"
    "  --devices N           number of devices (1)\n"
    "  --heartbeat S         interval of heartbeats (60)\n"
    "  --response_size N     size of an answer: the message, repeated\n"
    "  --echo                the answer is the message (default)\n"
    "  --rate R              attaches per second, 0 for no limit (0)\n"
    "  --concurrency N       attaches under way at a time (256)\n"
    "  --backoff MS          wait at most so long before attaching again;\n"
    "                        doubled by every failure (1000)\n"
    "  --events N            on SIGUSR1 each device pushes the events \"event\n"
    "                        DEVICE 1\" to \"event DEVICE N\", all by turns\n"
    "  --event_rate R        events per second, 0 for no limit (0)\n"
    "  --processes N         processes (as many as descriptors ask for)\n"
    "  --worker PID          attach to this worker process only; /worker of\n"
    "                        the server has to answer with its process id\n"
    "  --json                the summary as JSON\n"
    "  --quiet               no progress\n"
    "\n"
    "Misbehaviour, as probabilities per message:\n"
    "  --late P              answer late, by up to --late_max MS (1500)\n"
    "  --twice P             answer two times\n"
    "  --silent P            do not answer\n"
    "  --quit P              close instead of an answer\n"
    "  --elsewhere P         attach anew while the old connection stays\n"
    "  --chaos               some of each: 0.05 0.05 0.005 0.02 0.02\n"
    "\n"
    "Exit status: 0, 1 if the server broke the protocol or not all devices\n"
    "ever attached, 3 if the run itself failed.\n";

enum {
    OPT_SERVER_NAME = 1, OPT_SERVER_PORT, OPT_USE_SSL, OPT_APP_ID,
    OPT_APP_SECRET, OPT_DEVICE_ID, OPT_DEVICES, OPT_HEARTBEAT,
    OPT_RESPONSE_SIZE, OPT_ECHO, OPT_RATE, OPT_CONCURRENCY, OPT_BACKOFF,
    OPT_PROCESSES, OPT_WORKER, OPT_EVENTS, OPT_EVENT_RATE, OPT_JSON,
    OPT_QUIET, OPT_LATE, OPT_LATE_MAX,
    OPT_TWICE, OPT_SILENT, OPT_QUIT, OPT_ELSEWHERE, OPT_CHAOS, OPT_HELP
};

static const struct option  options[] = {
    { "server_name",   required_argument, NULL, OPT_SERVER_NAME },
    { "server_port",   required_argument, NULL, OPT_SERVER_PORT },
    { "use_ssl",       no_argument,       NULL, OPT_USE_SSL },
    { "app_id",        required_argument, NULL, OPT_APP_ID },
    { "app_secret",    required_argument, NULL, OPT_APP_SECRET },
    { "device_id",     required_argument, NULL, OPT_DEVICE_ID },
    { "devices",       required_argument, NULL, OPT_DEVICES },
    { "heartbeat",     required_argument, NULL, OPT_HEARTBEAT },
    { "response_size", required_argument, NULL, OPT_RESPONSE_SIZE },
    { "echo",          no_argument,       NULL, OPT_ECHO },
    { "rate",          required_argument, NULL, OPT_RATE },
    { "concurrency",   required_argument, NULL, OPT_CONCURRENCY },
    { "backoff",       required_argument, NULL, OPT_BACKOFF },
    { "processes",     required_argument, NULL, OPT_PROCESSES },
    { "worker",        required_argument, NULL, OPT_WORKER },
    { "events",        required_argument, NULL, OPT_EVENTS },
    { "event_rate",    required_argument, NULL, OPT_EVENT_RATE },
    { "json",          no_argument,       NULL, OPT_JSON },
    { "quiet",         no_argument,       NULL, OPT_QUIET },
    { "late",          required_argument, NULL, OPT_LATE },
    { "late_max",      required_argument, NULL, OPT_LATE_MAX },
    { "twice",         required_argument, NULL, OPT_TWICE },
    { "silent",        required_argument, NULL, OPT_SILENT },
    { "quit",          required_argument, NULL, OPT_QUIT },
    { "elsewhere",     required_argument, NULL, OPT_ELSEWHERE },
    { "chaos",         no_argument,       NULL, OPT_CHAOS },
    { "help",          no_argument,       NULL, OPT_HELP },
    { NULL, 0, NULL, 0 }
};

static cometa_devices_conf_t    conf = {
    .app = "app", .first = 1, .devices = 1, .heartbeat = 60,
    .concurrency = 256, .backoff = 1000, .late_max = 1500
};

static const char              *server_name = "127.0.0.1";
static const char              *server_port = "80";
static int                      use_ssl;
static int                      json;
static int                      quiet;
static unsigned                 processes;

static cometa_net_t             net;
static cometa_device_counts_t  *shared;     /* one a process */
static pid_t                   *children;
static volatile sig_atomic_t    stop, push;


static void
set_chaos(void)
{
    conf.late = 0.05;
    conf.twice = 0.05;
    conf.silent = 0.005;
    conf.quit = 0.02;
    conf.elsewhere = 0.02;
}


static void
set_misbehaviour(int option, const char *name, const char *value)
{
    double  p;

    if (option == OPT_LATE_MAX) {
        conf.late_max = (uint32_t) cometa_number(name, value, 0, 600000);
        return;
    }

    p = cometa_real(name, value, 0, 1);

    switch (option) {

    case OPT_LATE:      conf.late = p;      break;
    case OPT_TWICE:     conf.twice = p;     break;
    case OPT_SILENT:    conf.silent = p;    break;
    case OPT_QUIT:      conf.quit = p;      break;
    default:            conf.elsewhere = p; break;
    }
}


static void
set_option(int option, const char *name, const char *v)
{
    switch (option) {

    case OPT_SERVER_NAME:   server_name = v;    break;
    case OPT_SERVER_PORT:   server_port = v;    break;
    case OPT_USE_SSL:       use_ssl = 1;        break;
    case OPT_APP_ID:        conf.app = v;       break;
    case OPT_APP_SECRET:    conf.secret = v;    break;
    case OPT_JSON:          json = 1;           break;
    case OPT_QUIET:         quiet = 1;          break;
    case OPT_CHAOS:         set_chaos();        break;
    case OPT_ECHO:          conf.response_size = 0;  break;

    case OPT_DEVICE_ID:
        conf.first = cometa_number(name, v, 0, INT64_MAX);
        break;

    case OPT_DEVICES:
        conf.devices = (uint32_t) cometa_number(name, v, 1, 100000000);
        break;

    case OPT_HEARTBEAT:
        conf.heartbeat = (uint32_t) cometa_number(name, v, 1, 86400);
        break;

    case OPT_RESPONSE_SIZE:
        conf.response_size = (uint32_t) cometa_number(name, v, 0,
                                                    COMETA_STREAM_MAX / 2);
        break;

    case OPT_RATE:
        conf.rate = cometa_real(name, v, 0, 1e9);
        break;

    case OPT_CONCURRENCY:
        conf.concurrency = (uint32_t) cometa_number(name, v, 1, 1000000);
        break;

    case OPT_BACKOFF:
        conf.backoff = (uint32_t) cometa_number(name, v, 1, 60000);
        break;

    case OPT_PROCESSES:
        processes = (unsigned) cometa_number(name, v, 1, MAX_PROCESSES);
        break;

    case OPT_WORKER:
        conf.worker = cometa_number(name, v, 1, INT32_MAX);
        break;

    case OPT_EVENTS:
        conf.events = (uint32_t) cometa_number(name, v, 1, 1000000000);
        break;

    case OPT_EVENT_RATE:
        conf.event_rate = cometa_real(name, v, 0, 1e9);
        break;

    case OPT_HELP:
        fputs(usage, stdout);
        exit(0);

    default:
        set_misbehaviour(option, name, v);
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
}


/* each device needs a descriptor, and so does the old one of one elsewhere */

static void
choose_processes(void)
{
    unsigned  limit, per_process;

    limit = cometa_net_descriptors();

    if (limit <= SPARE_DESCRIPTORS) {
        cometa_die("a limit of %u descriptors is too low", limit);
    }

    per_process = limit - SPARE_DESCRIPTORS;

    if (conf.elsewhere > 0) {
        per_process = per_process * 10 / 11;
    }

    if (processes == 0) {
        processes = (conf.devices + per_process - 1) / per_process;
    }

    if (processes > conf.devices) {
        processes = conf.devices;
    }

    if (processes > MAX_PROCESSES
        || (conf.devices + processes - 1) / processes > per_process)
    {
        cometa_die("%u devices do not fit into %u processes of %u descriptors",
                   conf.devices, processes, limit);
    }
}


static void
on_signal(int signo)
{
    if (signo == SIGUSR1) {
        push = 1;
        return;
    }

    stop = 1;
}


static void
run_child(unsigned i, const sigset_t *mask)
{
    uint32_t          before;
    struct sigaction  sa;

    before = (uint32_t) ((uint64_t) conf.devices * i / processes);

    conf.devices = (uint32_t) ((uint64_t) conf.devices * (i + 1) / processes)
                   - before;
    conf.first += before;
    conf.rate /= processes;
    conf.event_rate /= processes;
    conf.concurrency = (conf.concurrency + processes - 1) / processes;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL);
    signal(SIGINT, SIG_IGN);            /* the parent says when */
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, mask, NULL);

    cometa_random_init();
    cometa_net_start(&net);
    cometa_devices_run(&conf, &net, &shared[i], &stop, &push);

    exit(0);
}


static void
start_children(const sigset_t *mask)
{
    pid_t     parent = getpid();
    size_t    size;
    unsigned  i;

    children = cometa_alloc(processes * sizeof(pid_t));

    size = processes * sizeof(cometa_device_counts_t);
    shared = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                  -1, 0);

    if (shared == MAP_FAILED) {
        cometa_die("mmap: %s", strerror(errno));
    }

    for (i = 0; i < processes; i++) {
        children[i] = fork();

        if (children[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);

            if (getppid() != parent) {
                exit(3);
            }

            run_child(i, mask);
        }

        if (children[i] < 0) {
            cometa_die("fork: %s", strerror(errno));
        }
    }
}


static void
sum_counts(cometa_device_counts_t *sum)
{
    unsigned  i;

    memset(sum, 0, sizeof(cometa_device_counts_t));

    for (i = 0; i < processes; i++) {
#define X(name)  sum->name += __atomic_load_n(&shared[i].name,              \
                                              __ATOMIC_RELAXED);
        COMETA_DEVICE_COUNTERS(X)
#undef X
    }
}


static void
progress(const cometa_device_counts_t *c)
{
    static uint64_t  told, next;

    if (quiet || c->attached == told || cometa_now() < next) {
        return;
    }

    told = c->attached;
    next = cometa_now() + 1000000000u;

    fprintf(stderr, "cb-devices: %llu of %u attached, %llu failed, "
                    "%llu dropped, %llu messages\n",
            (unsigned long long) c->attached, conf.devices,
            (unsigned long long) c->failed, (unsigned long long) c->dropped,
            (unsigned long long) c->messages);
}


static void
tell_children(int signo)
{
    unsigned  i;

    for (i = 0; i < processes; i++) {
        kill(children[i], signo);
    }
}


/* runs until a signal ends it; returns whether all were ever attached */

static int
watch_children(const sigset_t *mask, cometa_device_counts_t *c)
{
    int              signo, ready = 0;
    struct timespec  pause = { 0, 50000000 };

    for ( ;; ) {
        signo = sigtimedwait(mask, NULL, &pause);

        sum_counts(c);
        progress(c);

        if (!ready && c->attached == conf.devices) {
            ready = 1;
            printf("attached %u\n", conf.devices);
            fflush(stdout);
        }

        if (signo == SIGCHLD) {
            cometa_die("one of the processes died");
        }

        if (signo == SIGUSR1) {
            tell_children(signo);
            continue;
        }

        if (signo > 0) {
            return ready;
        }
    }
}


static void
end_children(void)
{
    int       status;
    unsigned  i;

    tell_children(SIGTERM);

    for (i = 0; i < processes; i++) {
        if (waitpid(children[i], &status, 0) < 0 || status != 0) {
            cometa_die("a process ended badly (status %x)", (unsigned) status);
        }
    }
}


static void
report(const cometa_device_counts_t *c)
{
    const char  *format;

    format = json ? ",\"%s\":%llu" : "%-14s %12llu\n";

    if (json) {
        printf("{\"devices\":%u,\"processes\":%u", conf.devices, processes);

    } else {
        printf("%-14s %12u\n%-14s %12u\n", "devices", conf.devices,
               "processes", processes);
    }

#define X(name)  printf(format, #name, (unsigned long long) c->name);
    COMETA_DEVICE_COUNTERS(X)
#undef X

    fputs(json ? "}\n" : "", stdout);
}


int
main(int argc, char **argv)
{
    int                     ready;
    uint64_t                attached;
    sigset_t                mask;
    cometa_device_counts_t  counts;

    read_options(argc, argv);
    choose_processes();
    cometa_net_init(&net, server_name, server_port, use_ssl);

    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);

    start_children(&mask);
    ready = watch_children(&mask, &counts);
    end_children();

    /* the devices attached are those before the end, all else is final */

    attached = counts.attached;
    sum_counts(&counts);
    counts.attached = attached;

    report(&counts);

    return ready && counts.overruns == 0 && counts.malformed == 0 ? 0 : 1;
}

/*
 * cb-devices: any number of simulated devices. This file reads the options,
 * starts as many processes as the limit of descriptors asks for, and reports.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "options.h"
#include "progress.h"
#include "util.h"

/* descriptors a process needs beside those of its devices */
#define SPARE_DESCRIPTORS  64
#define MAX_PROCESSES      4096

static const char  usage[] =
    "usage: cb-devices [OPTION]...\n"
    "Simulated devices: they attach, answer every message, heartbeat, and\n"
    "attach again when they are dropped. When all are attached the line\n"
    "\"attached N\" is printed; SIGINT or SIGTERM ends it with a summary. On\n"
    "SIGUSR2 all devices drop and attach again.\n"
    "\n"
    COMETA_COMMON_USAGE
    "  --heartbeat S         interval of heartbeats (60)\n"
    "  --echo                the answer is the message (default)\n"
    "  --rate R              attaches per second, 0 for no limit (0)\n"
    "  --concurrency N       attaches under way at a time (256)\n"
    "  --backoff MS          wait at most so long before attaching again;\n"
    "                        doubled by every failure (1000)\n"
    "  --events N            on SIGUSR1 each device pushes the events \"event\n"
    "                        DEVICE 1\" to \"event DEVICE N\", all by turns\n"
    "  --event_rate R        events per second, 0 for no limit (0)\n"
    "  --eventful P          probability that a device pushes such an event\n"
    "                        before it answers a message, numbered on\n"
    "  --pipeline N          messages that a device takes at a time, and\n"
    "                        answers in their order (1)\n"
    "  --pipelining P        probability at each attach that it does (1)\n"
    "  --park                once attached, a TLS connection keeps 250 bytes\n"
    "                        instead of its SSL object\n"
    "  --processes N         processes (as many as descriptors ask for)\n"
    "  --attach_log FILE     how many are attached after how many seconds, as\n"
    "                        CSV: a line a second while the number changes\n"
    "  --quiet               no progress\n"
    "\n"
    "Misbehaviour, as probabilities per message:\n"
    "  --late P              answer late, by up to --late_max MS (1500)\n"
    "  --twice P             answer two times\n"
    "  --silent P            do not answer\n"
    "  --quit P              close instead of an answer\n"
    "  --elsewhere P         attach anew while the old connection stays\n"
    "  --chaos               some of each: 0.05 0.05 0.005 0.02 0.02, and\n"
    "                        --pipeline 8 --pipelining 0.3\n"
    "\n"
    "Exit status: 0, 1 if the server broke the protocol or not all devices\n"
    "ever attached, 3 if the run itself failed.\n";

static cometa_devices_conf_t    conf = {
    .app = "app", .first = 1, .devices = 1, .heartbeat = 60,
    .concurrency = 256, .backoff = 1000, .late_max = 1500,
    .pipeline = 1, .pipelining = 1
};

static cometa_target_t          target = COMETA_TARGET_INIT;
static const char              *attach_log;
static int                      quiet;
static uint32_t                 processes;

static cometa_net_t             net;
static cometa_device_counts_t  *shared;     /* one a process */
static pid_t                   *children;
static volatile sig_atomic_t    stop, push, storm;


static void
set_echo(void)
{
    conf.response_size = 0;
}


static void
set_chaos(void)
{
    conf.late = 0.05;
    conf.twice = 0.05;
    conf.silent = 0.005;
    conf.quit = 0.02;
    conf.elsewhere = 0.02;
    conf.pipeline = 8;
    conf.pipelining = 0.3;
}


static const cometa_option_t  options[] = {
    COMETA_COMMON_OPTIONS(target, conf),
    { "heartbeat", .u32 = &conf.heartbeat, .min = 1, .max = 86400 },
    { "echo", .call = set_echo },
    { "rate", .real = &conf.rate, .max = 1e9 },
    { "concurrency", .u32 = &conf.concurrency, .min = 1, .max = 1e6 },
    { "backoff", .u32 = &conf.backoff, .min = 1, .max = 60000 },
    { "events", .u32 = &conf.events, .min = 1, .max = 1e9 },
    { "event_rate", .real = &conf.event_rate, .max = 1e9 },
    { "pipeline", .u32 = &conf.pipeline, .min = 1, .max = 128 },
    { "pipelining", .real = &conf.pipelining, .max = 1 },
    { "eventful", .real = &conf.eventful, .max = 1 },
    { "park", .flag = &conf.park },
    { "processes", .u32 = &processes, .min = 1, .max = MAX_PROCESSES },
    { "attach_log", .text = &attach_log },
    { "quiet", .flag = &quiet },
    { "late", .real = &conf.late, .max = 1 },
    { "late_max", .u32 = &conf.late_max, .max = 600000 },
    { "twice", .real = &conf.twice, .max = 1 },
    { "silent", .real = &conf.silent, .max = 1 },
    { "quit", .real = &conf.quit, .max = 1 },
    { "elsewhere", .real = &conf.elsewhere, .max = 1 },
    { "chaos", .call = set_chaos },
    { .name = NULL }
};


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

    if (signo == SIGUSR2) {
        storm = 1;
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
    sigaction(SIGUSR2, &sa, NULL);
    signal(SIGINT, SIG_IGN);            /* the parent says when */
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, mask, NULL);

    cometa_random_init();
    cometa_net_start(&net);
    cometa_devices_run(&conf, &net, &shared[i], &stop, &push,
                       &storm);

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
        cometa_progress(c);

        if (!ready && c->attached == conf.devices) {
            ready = 1;
            printf("attached %u\n", conf.devices);
            fflush(stdout);
        }

        if (signo == SIGCHLD) {
            cometa_die("one of the processes died");
        }

        if (signo == SIGUSR1 || signo == SIGUSR2) {
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

    format = target.json ? ",\"%s\":%llu" : "%-16s %12llu\n";

    if (target.json) {
        printf("{\"devices\":%u,\"processes\":%u", conf.devices, processes);

    } else {
        printf("%-16s %12u\n%-16s %12u\n", "devices", conf.devices,
               "processes", processes);
    }

#define X(name)  printf(format, #name, (unsigned long long) c->name);
    COMETA_DEVICE_COUNTERS(X)
#undef X

    printf(format, "bytes_per_device",
           (unsigned long long) c->memory / conf.devices);

    fputs(target.json ? "}\n" : "", stdout);
}


int
main(int argc, char **argv)
{
    int                     ready;
    uint64_t                attached;
    sigset_t                mask;
    cometa_device_counts_t  counts;

    cometa_options_read(argc, argv, usage, options);
    choose_processes();
    cometa_target_net(&target, &net);

    if (conf.park) {
        cometa_net_park(&net);
    }

    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);

    cometa_progress_start(conf.devices, !quiet, attach_log);
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

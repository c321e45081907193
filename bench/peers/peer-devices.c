/*
 * peer-devices: what cb-devices is for this module, for the servers it is
 * compared with: devices that wait for calls and answer each with itself.
 */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../util.h"
#include "client.h"

#define EVENTS     256              /* of epoll */
#define AT_A_TIME  64               /* connections being made */

static const char  usage[] =
    "usage: peer-devices [OPTION]...\n"
    "Devices that answer every call with itself. \"attached N\" says that all\n"
    "are there; SIGTERM ends them, then a report follows.\n"
    "\n"
    "  --protocol NAME    mqtt, nats or nchan\n"
    "  --server_port PORT of the server on 127.0.0.1\n"
    "  --devices N        numbered from 1 (1)\n"
    "\n"
    "Exit status: 0, 1 if the server dropped a device, 3 if it refused one.\n";

static uint32_t               devices = 1;
static uint32_t               attached;
static uint32_t               dropped;
static uint64_t               messages;

static const char            *server_port;
static cometa_net_t           net;
static cometa_wheel_t         wheel;
static volatile sig_atomic_t  stop;
static cometa_clients_t       all = { .net = &net };


static void
set_option(int option, const char *v)
{
    switch (option) {

    case 'p':   all.protocol = cometa_protocol(v);  break;
    case 's':   server_port = v;                    break;

    case 'd':
        devices = (uint32_t) cometa_number("devices", v, 1, 60000);
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
        { "devices",     required_argument, NULL, 'd' },
        { "help",        no_argument,       NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        set_option(option, optarg);
    }

    if (all.protocol == NULL || server_port == NULL || optind < argc) {
        cometa_die("--protocol and --server_port are needed, see --help");
    }
}


static void
on_ready(cometa_client_t *c)
{
    attached++;

    if (attached == devices) {
        printf("attached %u\n", attached);
        fflush(stdout);
    }

    /* the first at any time, so that they spread */

    if (all.protocol->ping) {
        cometa_wheel_set(&wheel, &c->timer,
                         cometa_random_below(COMETA_PROTOCOL_PING));
    }
}


static int
on_message(cometa_client_t *c, const cometa_news_t *news)
{
    messages++;
    cometa_client_answer(&all, c, news);

    return 0;
}


static void
on_lost(cometa_client_t *c)
{
    if (!c->ready) {
        cometa_die("device %llu was refused by the server",
                   (unsigned long long) c->peer.device);
    }

    dropped++;
}


static void
on_timer(cometa_timer_t *t)
{
    cometa_client_t  *c = (cometa_client_t *) t;

    cometa_wheel_set(&wheel, t, COMETA_PROTOCOL_PING);
    cometa_client_ping(&all);
    cometa_client_flush(&all, c);
}


static cometa_client_t *
make_devices(void)
{
    uint32_t          i;
    cometa_client_t  *clients;

    clients = cometa_alloc(devices * sizeof(cometa_client_t));

    for (i = 0; i < devices; i++) {
        clients[i].stream.fd = -1;
        clients[i].peer.device = i + 1;
    }

    return clients;
}


static void
run(void)
{
    int                  i, n;
    uint32_t             begun = 0;
    cometa_client_t     *clients = make_devices();
    struct epoll_event   events[EVENTS];

    while (!stop) {

        while (begun < devices && begun - attached < AT_A_TIME) {
            cometa_client_open(&all, &clients[begun++]);
        }

        n = epoll_wait(net.epoll, events, EVENTS, COMETA_WHEEL_TICK);

        if (n < 0 && errno != EINTR) {
            cometa_die("epoll_wait: %s", strerror(errno));
        }

        for (i = 0; i < n; i++) {
            cometa_client_event(&all, events[i].data.ptr);
        }

        cometa_wheel_run(&wheel, on_timer);
    }
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
    cometa_wheel_init(&wheel);

    if (devices + 16 > cometa_net_descriptors()) {
        cometa_die("%u devices do not fit into %u descriptors", devices,
                   cometa_net_descriptors());
    }

    all.ready = on_ready;
    all.message = on_message;
    all.lost = on_lost;

    run();

    printf("{\"attached\":%u,\"dropped\":%u,\"messages\":%llu}\n",
           attached - dropped, dropped, (unsigned long long) messages);

    return dropped > 0;
}

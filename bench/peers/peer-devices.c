/*
 * peer-devices: what cb-devices is for this module, for the servers it is
 * compared with: devices that wait for calls and answer each with itself.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "../clients/options.h"
#include "../clients/process.h"
#include "../clients/util.h"
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
static cometa_target_t        target = { .name = "127.0.0.1" };
static const char            *protocol;

static const cometa_option_t  options[] = {
    { "protocol", .text = &protocol },
    { "server_port", .text = &target.port },
    { "devices", .u32 = &devices, .min = 1, .max = 60000 },
    { .name = NULL }
};

static uint32_t               attached;
static uint32_t               dropped;
static uint64_t               messages;

static cometa_net_t           net;
static cometa_wheel_t         wheel;
static cometa_clients_t       all = { .net = &net };


static void
read_options(int argc, char **argv)
{
    cometa_options_read(argc, argv, usage, options);

    if (protocol == NULL || target.port == NULL) {
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

    while (!cometa_stop) {

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


int
main(int argc, char **argv)
{
    read_options(argc, argv);

    cometa_process_start(&net, &target, devices, "devices");
    cometa_wheel_init(&wheel);

    all.protocol = cometa_protocol(protocol);
    all.ready = on_ready;
    all.message = on_message;
    all.lost = on_lost;

    run();

    printf("{\"attached\":%u,\"dropped\":%u,\"messages\":%llu}\n",
           attached - dropped, dropped, (unsigned long long) messages);

    return dropped > 0;
}

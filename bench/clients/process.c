/*
 * A program that is one process with connections to one server.
 */

#include <string.h>

#include "process.h"
#include "util.h"

#define SPARE_DESCRIPTORS  16       /* beside those of the connections */


volatile sig_atomic_t  cometa_stop;


static void
on_signal(int signo)
{
    (void) signo;
    cometa_stop = 1;
}


static void
set_signals(void)
{
    struct sigaction  sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}


void
cometa_process_start(cometa_net_t *net, const cometa_target_t *target,
    uint32_t connections, const char *what)
{
    unsigned  limit;

    set_signals();
    cometa_random_init();
    cometa_target_net(target, net);
    cometa_net_start(net);

    limit = cometa_net_descriptors();

    if (connections + SPARE_DESCRIPTORS > limit) {
        cometa_die("%u %s do not fit into %u descriptors", connections, what,
                   limit);
    }
}

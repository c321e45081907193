/*
 * Whether a worker that leaves has a successor: without one nginx is being
 * stopped, and it lets its devices go.
 */

#include "zone.h"

#include <sys/socket.h>


static int  talk[2];


/* The other process takes so many slots more, and leaves all it has. */

static void
serve(void)
{
    uint32_t  i, n;

    while (read(talk[0], &n, sizeof(n)) == sizeof(n)) {

        for (i = 0; i < n; i++) {
            zone_join();
            ngx_cometa_zone.slots[ngx_cometa_zone.slot].generation
                = ngx_cometa_zone.head->generation;
        }

        for (i = 0; n == 0 && i < ngx_cometa_zone.head->slots; i++) {
            ngx_cometa_zone.slots[i].draining = 1;
        }

        (void) !write(talk[0], &n, sizeof(n));
    }
}


static void
take(uint32_t n)
{
    (void) !write(talk[1], &n, sizeof(n));
    (void) !read(talk[1], &n, sizeof(n));
}


#define take_leave()  take(0)


/* The number of the configuration in force; ours is 1. */

static void
configure(uint32_t generation)
{
    ngx_cometa_zone.slots[ngx_cometa_zone.slot].generation = 1;
    ngx_cometa_zone.head->generation = generation;
}


int
main(void)
{
    int       status;
    pid_t     pid;
    uint32_t  slots;

    zone_make(1024 * 1024, 1);
    slots = ngx_cometa_zone.head->slots;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, talk) != 0) {
        return 1;
    }

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        serve();
        _exit(0);
    }

    ngx_current_msec = 1;

    configure(1);
    take(1);
    ok(!ngx_cometa_slot_successor(),
       "the configuration is ours: nginx stops, whoever serves yet");

    configure(2);
    ok(ngx_cometa_slot_successor(), "a newer one: somebody will come");

    ngx_current_msec += NGX_COMETA_SLOT_SUCCESSOR - 1;
    ok(ngx_cometa_slot_successor(), "in half a minute");

    ngx_current_msec += 1;
    ok(!ngx_cometa_slot_successor(), "and not later");

    take(1);
    ok(ngx_cometa_slot_successor(), "a worker of it serves");

    take_leave();
    ok(!ngx_cometa_slot_successor(), "it leaves, too");

    ngx_current_msec -= NGX_COMETA_SLOT_SUCCESSOR;
    ok(!ngx_cometa_slot_successor(), "then nobody else comes");

    take(1);
    ok(ngx_cometa_slot_successor(), "one more has come");

    take_leave();
    take(slots - 4);
    take_leave();
    ok(ngx_cometa_slot_successor(),
       "all slots are taken by those that leave: successors may wait for one");

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, &status, 0);

    ngx_current_msec += NGX_COMETA_SLOT_SUCCESSOR;
    ok(!ngx_cometa_slot_successor(), "all others are dead");
    ok(ngx_cometa_zone.slots[1].pid == 0
       && ngx_cometa_zone.slots[slots - 1].pid == 0, "which is noted");

    configure(0);
    ok(!ngx_cometa_slot_successor(), "an older configuration is none");

    return done_testing();
}

/*
 * The door of a slot: what lies in it is its process's, and is closed only
 * where there is none.
 */

#include "zone.h"

#include <sys/socket.h>


/* A parcel, with a connection over TLS before it; link/ is not known here. */

#define LARGEST  (190 * 1024)


static int
lies_in(ngx_cometa_slot_t *slot)
{
    char  byte;

    return recv(slot->door[0], &byte, 1, MSG_PEEK|MSG_DONTWAIT) == 1;
}


/* The kernel counts twice what was asked for. */

static int
buffer_of(int door)
{
    int        size = 0;
    socklen_t  len = sizeof(int);

    (void) getsockopt(door, SOL_SOCKET, SO_SNDBUF, &size, &len);

    return size;
}


int
main(void)
{
    int                 status, started[2];
    char                byte;
    pid_t               pid;
    uint32_t            epoch;
    ngx_cometa_slot_t  *slot;

    zone_make(1024 * 1024, 1);

    if (pipe(started) != 0) {
        return 1;
    }

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        zone_join();
        (void) !write(started[1], "x", 1);

        for ( ;; ) {
            pause();
        }
    }

    (void) !read(started[0], &byte, 1);

    slot = &ngx_cometa_zone.slots[1];
    epoch = slot->epoch;

    ok(slot->pid == (uint32_t) pid && ngx_cometa_slot_alive(1, epoch),
       "another process has slot 1");

    (void) !send(slot->door[1], "x", 1, 0);
    ngx_cometa_slot_forsaken(1);
    ok(lies_in(slot), "what lies in its door stays there");

    ok(buffer_of(slot->door[1]) > 2 * LARGEST,
       "the longest parcel fits into a door");

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, &status, 0);

    ngx_cometa_slot_forsaken(1);
    ok(!lies_in(slot), "it is closed when the process is dead");
    ok(slot->epoch == epoch + 1 && slot->pid == 0, "and the slot is vacant");

    (void) !send(slot->door[1], "x", 1, 0);
    ngx_cometa_slot_forsaken(1);
    ok(!lies_in(slot), "what comes too late is closed as well");

    return done_testing();
}

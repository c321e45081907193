/*
 * The device library in C, differential: what a server says, in one read after
 * another of any size, must make the same things happen; nothing is read or
 * written outside of the buffers, and the connection is closed once.
 *
 * Byte 0 has the flags, byte 1 the sizes of reads, the rest is the server's.
 */

#include <stdlib.h>

#include "../unit/client_world.h"


static void run(const uint8_t *in, size_t len, unsigned flags, size_t most);


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    unsigned     flags;
    size_t       most, traced;
    static char  trace[sizeof(w.trace)];

    if (len < 2) {
        return 0;
    }

    flags = in[0] & 15;
    most = in[1];

    run(in + 2, len - 2, flags, 0);
    memcpy(trace, w.trace, sizeof(trace));
    traced = w.traced;

    run(in + 2, len - 2, flags, most);

    if (traced != w.traced || memcmp(trace, w.trace, traced) != 0) {
        abort();
    }

    return 0;
}


static void
run(const uint8_t *in, size_t len, unsigned flags, size_t most)
{
    world_start((const char *) in, len, flags);

    /* what stands behind the head of a WebSocket must come to be seen */

    w.accept = "good";
    w.most = most;
    w.echoes = 1;
    w.config.in = malloc(COMETA_IN_MIN);
    w.config.out = malloc(COMETA_OUT_MIN);

    if (w.config.in == NULL || w.config.out == NULL) {
        abort();
    }

    world_run(1000);

    if (w.opened != 1 || w.closed != 1 || w.device.phase != OFFLINE) {
        abort();
    }

    free(w.config.in);
    free(w.config.out);
}

/* A test's device over sockets of POSIX. */

#include "cometa_posix.h"
#include "device.h"


void
transport(cometa_config_t *config)
{
    static cometa_posix_t  io = COMETA_POSIX_INIT;

    config->transport = &cometa_posix_transport;
    config->io = &io;
}

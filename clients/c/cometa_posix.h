/*
 * The connection of a device by sockets of POSIX, without TLS; and what else a
 * device needs of the system.
 *
 *     cometa_posix_t  socket = COMETA_POSIX_INIT;
 *
 *     config.transport = &cometa_posix_transport;
 *     config.io = &socket;
 *     config.now = cometa_posix_now;
 *     config.random = cometa_posix_random;
 *     config.sleep = cometa_posix_sleep;
 */

#ifndef COMETA_POSIX_H_INCLUDED
#define COMETA_POSIX_H_INCLUDED

#ifdef __cplusplus
extern "C" {
#endif

#include "cometa.h"


#define COMETA_POSIX_INIT  { -1 }

typedef struct {
    int  fd;                        /* for poll(); -1 if it is not open */
} cometa_posix_t;


extern const cometa_transport_t  cometa_posix_transport;


uint32_t cometa_posix_now(void);
uint32_t cometa_posix_random(void);
void cometa_posix_sleep(uint32_t ms);

/* For other transports: whether the socket is ready for POLLIN or POLLOUT. */

int cometa_posix_open(void *io, const char *host, uint16_t port);
void cometa_posix_close(void *io);
int cometa_posix_wait(const cometa_posix_t *s, short events, uint32_t ms);

#ifdef __cplusplus
}
#endif

#endif

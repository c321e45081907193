/*
 * A test's device over a Client of Arduino, which is made here of sockets.  As
 * there, read() never waits, and the end shows when all bytes are read.
 */

#include <poll.h>
#include <sys/ioctl.h>

#include "Arduino.h"
#include "Client.h"
#include "cometa_arduino.h"
#include "cometa_posix.h"
#include "device.h"


class SocketClient : public Client {

public:
    int
    connect(const char *host, uint16_t port) override
    {
        return cometa_posix_transport.open(&socket, host, port) == 0;
    }

    size_t
    write(const uint8_t *buf, size_t size) override
    {
        int  n = cometa_posix_transport.write(&socket, buf, size);

        return n > 0 ? static_cast<size_t>(n) : 0;
    }

    int
    available() override
    {
        int  n = 0;

        return ioctl(socket.fd, FIONREAD, &n) == 0 ? n : 0;
    }

    int
    read(uint8_t *buf, size_t size) override
    {
        return cometa_posix_transport.read(&socket, buf, size, 0);
    }

    void
    stop() override
    {
        cometa_posix_transport.close(&socket);
    }

    /* the end of a connection makes its socket readable, with no bytes */

    uint8_t
    connected() override
    {
        return cometa_posix_wait(&socket, POLLIN, 0) == 0 || available() > 0;
    }

private:
    cometa_posix_t  socket = COMETA_POSIX_INIT;
};


unsigned long
millis(void)
{
    return cometa_posix_now();
}


void
delay(unsigned long ms)
{
    cometa_posix_sleep(static_cast<uint32_t>(ms));
}


void
transport(cometa_config_t *config)
{
    static SocketClient  client;

    config->transport = &cometa_arduino_transport;
    config->io = static_cast<Client *>(&client);
    config->now = cometa_arduino_now;
    config->sleep = cometa_arduino_sleep;
}

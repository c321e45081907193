/*
 * A Client of Arduino for a device: see cometa_arduino.h.
 */

#include "cometa_arduino.h"

#include <Arduino.h>
#include <Client.h>


static Client *
client_of(void *io)
{
    return static_cast<Client *>(io);
}


static int
arduino_open(void *io, const char *host, uint16_t port)
{
    return client_of(io)->connect(host, port) == 1 ? 0 : -1;
}


/* A Client cannot wait: it is asked again and again. */

static int
arduino_read(void *io, void *buf, size_t size, uint32_t ms)
{
    Client   *client = client_of(io);
    uint32_t  start = cometa_arduino_now();

    while (client->available() <= 0) {

        if (!client->connected()) {
            return -1;
        }

        if (cometa_arduino_now() - start >= ms) {
            return 0;
        }

        cometa_arduino_sleep(1);
    }

    return client->read(static_cast<uint8_t *>(buf), size);
}


static int
arduino_write(void *io, const void *data, size_t size)
{
    size_t  n;

    n = client_of(io)->write(static_cast<const uint8_t *>(data), size);

    return n > 0 ? static_cast<int>(n) : -1;
}


static void
arduino_close(void *io)
{
    client_of(io)->stop();
}


uint32_t
cometa_arduino_now(void)
{
    return millis();
}


void
cometa_arduino_sleep(uint32_t ms)
{
    delay(ms);
}


const cometa_transport_t  cometa_arduino_transport = {
    arduino_open, arduino_read, arduino_write, arduino_close, NULL
};

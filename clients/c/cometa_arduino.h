/*
 * The connection of a device by a Client of Arduino, such as WiFiClient or
 * WiFiClientSecure.
 *
 *     WiFiClientSecure  client;
 *
 *     client.setCACert(ca);
 *     config.transport = &cometa_arduino_transport;
 *     config.io = static_cast<Client *>(&client);
 *     config.now = cometa_arduino_now;
 *     config.random = esp_random;          random() can be guessed
 *     config.sleep = cometa_arduino_sleep;
 */

#ifndef COMETA_ARDUINO_H_INCLUDED
#define COMETA_ARDUINO_H_INCLUDED

#include "cometa.h"


extern const cometa_transport_t  cometa_arduino_transport;


uint32_t cometa_arduino_now(void);
void cometa_arduino_sleep(uint32_t ms);

#endif

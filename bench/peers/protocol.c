/*
 * The protocols by name.
 */

#include <string.h>

#include "../clients/util.h"
#include "protocol.h"


const cometa_protocol_t *
cometa_protocol(const char *name)
{
    unsigned                         i;
    static const cometa_protocol_t  *all[] = {
        &cometa_mqtt, &cometa_nats, &cometa_nchan
    };

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(name, all[i]->name) == 0) {
            return all[i];
        }
    }

    cometa_die("there is no protocol \"%s\"", name);
}

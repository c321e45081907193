/*
 * The hash of a device, by which lanes of events and WebSockets find it: of
 * its application and its id, which do not run together.
 */

#include "zone.h"


static uint64_t
hash_of(char *app, char *device)
{
    ngx_cometa_key_t  key;

    key.app.data = (u_char *) app;
    key.app.len = strlen(app);
    key.device.data = (u_char *) device;
    key.device.len = strlen(device);

    ngx_cometa_key_init(&key);

    return key.hash;
}


int
main(void)
{
    uint64_t  hash;

    zone_make(1024 * 1024, 1);

    ok(hash_of("app", "dev") == hash_of("app", "dev"), "one name, one hash");
    ok(hash_of("app", "dev") != hash_of("dev", "app"), "the order counts");
    ok(hash_of("app", "dev") != hash_of("ap", "pdev")
       && hash_of("app", "dev") != hash_of("appd", "ev")
       && hash_of("app", "") != hash_of("", "app"),
       "names do not run together");

    hash = hash_of("app", "dev");
    ngx_cometa_zone.head->key[1]++;
    ok(hash_of("app", "dev") != hash, "another zone has other hashes");

    return done_testing();
}

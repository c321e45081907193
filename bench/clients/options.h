/*
 * Command-line options as a table: what each is called, and which variable
 * takes its value. Those that cb-devices and cb-load share are here.
 */

#ifndef COMETA_BENCH_OPTIONS_H
#define COMETA_BENCH_OPTIONS_H

#include <stdint.h>

#include "stream.h"

/* exactly one of the pointers is set: it says what kind of value is taken */

typedef struct {
    const char   *name;             /* NULL ends the table */
    int          *flag;             /* set to 1, takes no value */
    void        (*call)(void);      /* called, takes no value */
    const char  **text;
    uint32_t     *u32;
    uint64_t     *u64;
    double       *real;
    double        min;              /* of a number */
    double        max;
} cometa_option_t;

/* where to connect to, and how the report is wanted */

typedef struct {
    const char   *name;
    const char   *port;
    int           tls;
    int           json;
    const char   *version;          /* of TLS; NULL: any */
    int           resume;
} cometa_target_t;

#define COMETA_TARGET_INIT  { "127.0.0.1", "80", 0, 0, NULL, 0 }

/* the rows that are shared; a conf has the fields of these names */

#define COMETA_COMMON_OPTIONS(target, conf)                                   \
    { "server_name", .text = &(target).name },                                \
    { "server_port", .text = &(target).port },                                \
    { "use_ssl", .flag = &(target).tls },                                     \
    { "tls", .text = &(target).version },                                     \
    { "resume", .flag = &(target).resume },                                   \
    { "json", .flag = &(target).json },                                       \
    { "app_id", .text = &(conf).app },                                        \
    { "app_secret", .text = &(conf).secret },                                 \
    { "device_id", .u64 = &(conf).first, .max = 1e18 },                       \
    { "devices", .u32 = &(conf).devices, .min = 1, .max = 1e8 },              \
    { "response_size", .u32 = &(conf).response_size,                          \
      .max = COMETA_STREAM_MAX / 2 },                                         \
    { "worker", .u64 = &(conf).worker, .min = 1, .max = INT32_MAX }

#define COMETA_COMMON_USAGE                                                   \
    "  --server_name NAME    server (127.0.0.1)\n"                            \
    "  --server_port PORT    its port (80)\n"                                 \
    "  --use_ssl             TLS; the certificate is not checked\n"           \
    "  --tls 1.2|1.3         this version alone\n"                             \
    "  --resume              TLS sessions are resumed\n"                       \
    "  --app_id ID           application (app)\n"                             \
    "  --app_secret SECRET   of the application; none is sent by default\n"   \
    "  --device_id N         numeric id of the first device (1)\n"            \
    "  --devices N           number of devices (1)\n"                         \
    "  --response_size N     size of an answer: the message, repeated (as\n"  \
    "                        it is)\n"                                        \
    "  --worker PID          connect to this worker process only; /worker of\n"\
    "                        the server has to answer with its process id\n"  \
    "  --json                the report as JSON\n"

/* the net that a target asks for */
void cometa_target_net(const cometa_target_t *target, cometa_net_t *net);

/* "--help" prints the usage; what is wrong ends the program */
void cometa_options_read(int argc, char **argv, const char *usage,
    const cometa_option_t *table);

#endif

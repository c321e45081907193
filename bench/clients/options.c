/*
 * Command-line options as a table.
 */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "util.h"

#define HELP  'h'


static struct option *
long_options(const cometa_option_t *table)
{
    size_t          i, n;
    struct option  *options;

    for (n = 0; table[n].name; n++) { /* void */ }

    options = cometa_alloc((n + 2) * sizeof(struct option));

    for (i = 0; i < n; i++) {
        options[i].name = table[i].name;
        options[i].has_arg = table[i].flag || table[i].call
                             ? no_argument : required_argument;
    }

    options[n].name = "help";
    options[n].val = HELP;

    return options;
}


static void
take(const cometa_option_t *o, const char *value)
{
    if (o->flag) {
        *o->flag = 1;

    } else if (o->call) {
        o->call();

    } else if (o->text) {
        *o->text = value;

    } else if (o->real) {
        *o->real = cometa_real(o->name, value, o->min, o->max);

    } else if (o->u32) {
        *o->u32 = (uint32_t) cometa_number(o->name, value, (uint64_t) o->min,
                                           (uint64_t) o->max);

    } else {
        *o->u64 = cometa_number(o->name, value, (uint64_t) o->min,
                                (uint64_t) o->max);
    }
}


void
cometa_options_read(int argc, char **argv, const char *usage,
    const cometa_option_t *table)
{
    int             c, i = 0;
    struct option  *options = long_options(table);

    while ((c = getopt_long(argc, argv, "", options, &i)) != -1) {

        if (c == '?') {
            fputs(usage, stderr);
            exit(3);
        }

        if (c == HELP) {
            fputs(usage, stdout);
            exit(0);
        }

        take(&table[i], optarg);
    }

    if (optind < argc) {
        cometa_die("unknown argument \"%s\", see --help", argv[optind]);
    }

    free(options);
}


void
cometa_target_net(const cometa_target_t *target, cometa_net_t *net)
{
    cometa_net_init(net, target->name, target->port, target->tls);

    if (target->version) {
        cometa_net_version(net, target->version);
    }

    if (target->resume) {
        cometa_net_resume(net);
    }
}

/*
 * Memory of this process, as the system counts it.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "util.h"

#define SMAPS  "/proc/self/smaps_rollup"


uint64_t
cometa_private_memory(void)
{
    int                  found = 0;
    char                 line[256];
    FILE                *f;
    unsigned long long   kb;

    f = fopen(SMAPS, "r");

    if (f == NULL) {
        cometa_die("%s: %s", SMAPS, strerror(errno));
    }

    while (!found && fgets(line, sizeof(line), f)) {
        found = sscanf(line, "Private_Dirty: %llu kB", &kb) == 1;
    }

    fclose(f);

    if (!found) {
        cometa_die("%s: no Private_Dirty", SMAPS);
    }

    return kb * 1024;
}

/*
 * Assertions: a condition that does not hold is logged and ends the process in
 * a debug build; in a release build it is not even evaluated.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ngx_cometa_debug.h"
#include "tap.h"


static ngx_log_t       log = { .log_level = NGX_LOG_DEBUG };
static ngx_cycle_t     cycle = { .log = &log };
volatile ngx_cycle_t  *ngx_cycle = &cycle;

static int             logged[2];      /* a pipe */


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *to, ngx_err_t err,
    const char *fmt, ...)
{
    (void) err;
    (void) fmt;

    if (level == NGX_LOG_ALERT && to == &log) {
        (void) !write(logged[1], "!", 1);
    }
}


typedef struct {
    int  value;
    ngx_cometa_magic_field
} handle_t;


/* How a process ends that expects this; 0: in order. */

static int
expects(int condition)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        ngx_cometa_expect(condition);
        _exit(0);
    }

    (void) waitpid(pid, &status, 0);

    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}


static int
checks(handle_t *handle, uint32_t magic)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        ngx_cometa_magic_check(handle, magic);
        _exit(0);
    }

    (void) waitpid(pid, &status, 0);

    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}


/* The same header, as a release build has it. */

#undef NGX_COMETA_DEBUG
#undef _NGX_COMETA_DEBUG_H_INCLUDED_
#undef ngx_cometa_expect
#undef ngx_cometa_magic_field
#undef ngx_cometa_magic_set
#undef ngx_cometa_magic_clear
#undef ngx_cometa_magic_check

#define ngx_cometa_expect_failed  ngx_cometa_expect_failed_release

#include "ngx_cometa_debug.h"


static int
released(void)
{
    int  n;

    n = 0;
    ngx_cometa_expect(n++ > 100);

    return n;
}


int
main(void)
{
    char      ch;
    handle_t  handle = { .value = 1, .magic = 0x4c414e45 };

    (void) !pipe(logged);

    ok(expects(1) == 0, "a condition that holds is passed");
    ok(expects(0) == SIGABRT, "one that does not ends the process");
    ok(read(logged[0], &ch, 1) == 1, "after an alert in the log");

    ok(checks(&handle, 0x4c414e45) == 0, "a handle is what it should be");
    handle.magic = 0;
    ok(checks(&handle, 0x4c414e45) == SIGABRT, "a freed one is not");

    ok(released() == 0, "a release build evaluates nothing");

    return done_testing();
}

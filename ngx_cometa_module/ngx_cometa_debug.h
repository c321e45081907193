
/*
 * Assertions of debug builds. With NGX_COMETA_DEBUG a condition that does not
 * hold is logged with its file and line, and the process aborts. Without it the
 * condition is not evaluated, and no code is generated.
 */

#ifndef _NGX_COMETA_DEBUG_H_INCLUDED_
#define _NGX_COMETA_DEBUG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#ifdef NGX_COMETA_DEBUG

#define ngx_cometa_expect(condition)                                          \
    do {                                                                      \
        if (!(condition)) {                                                   \
            ngx_cometa_expect_failed(#condition, __FILE__, __LINE__);         \
        }                                                                     \
    } while (0)

static ngx_inline void
ngx_cometa_expect_failed(const char *condition, const char *file, int line)
{
    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "cometa: \"%s\" does not hold in %s, line %d", condition,
                  file, line);
    abort();
}

#else

/* The operand of sizeof is not evaluated; its variables count as used. */

#define ngx_cometa_expect(condition)  ((void) sizeof(!(condition)))

#endif


/*
 * For a struct that is passed as a void pointer, as the data of a timer or a
 * request: ngx_cometa_magic_set() when it is made, ngx_cometa_magic_clear()
 * before it is freed, and ngx_cometa_magic_check() where the pointer comes
 * back. The field is the last of the struct, and exists in debug builds only.
 */

#ifdef NGX_COMETA_DEBUG

#define ngx_cometa_magic_field         uint32_t  magic;
#define ngx_cometa_magic_set(p, m)     ((p)->magic = (m))
#define ngx_cometa_magic_clear(p)      ((p)->magic = 0)
#define ngx_cometa_magic_check(p, m)   ngx_cometa_expect((p)->magic == (m))

#else

#define ngx_cometa_magic_field
#define ngx_cometa_magic_set(p, m)     ((void) (p))
#define ngx_cometa_magic_clear(p)      ((void) (p))
#define ngx_cometa_magic_check(p, m)   ((void) (p))

#endif


#endif /* _NGX_COMETA_DEBUG_H_INCLUDED_ */

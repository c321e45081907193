
/*
 * Static probes (USDT) for bpftrace, perf and SystemTap. A probe that is not
 * used is one nop. Probes are compiled if <sys/sdt.h> existed when nginx was
 * configured (Debian: systemtap-sdt-dev). `app` is the index of the
 * application, `hash` the hash of application and device, `slot` the slot of
 * this worker.
 *
 *     cometa:attach      app, hash, slot
 *     cometa:detach      app, hash, slot, reason (ngx_cometa_reason_e)
 *     cometa:call_start  app, hash, slot, index
 *     cometa:call_end    app, hash, slot, index, error (ngx_cometa_error_e)
 *     cometa:event       app, hash, slot, bytes
 */

#ifndef _NGX_COMETA_PROBE_H_INCLUDED_
#define _NGX_COMETA_PROBE_H_INCLUDED_


#include <ngx_config.h>


/* The header may have been removed since nginx was configured. */

#if (NGX_COMETA_SDT) && __has_include(<sys/sdt.h>)

#include <sys/sdt.h>

#define ngx_cometa_probe_attach(app, hash, slot)                              \
    DTRACE_PROBE3(cometa, attach, app, hash, slot)

#define ngx_cometa_probe_detach(app, hash, slot, reason)                      \
    DTRACE_PROBE4(cometa, detach, app, hash, slot, reason)

#define ngx_cometa_probe_call_start(app, hash, slot, index)                   \
    DTRACE_PROBE4(cometa, call_start, app, hash, slot, index)

#define ngx_cometa_probe_call_end(app, hash, slot, index, error)              \
    DTRACE_PROBE5(cometa, call_end, app, hash, slot, index, error)

#define ngx_cometa_probe_event(app, hash, slot, bytes)                        \
    DTRACE_PROBE4(cometa, event, app, hash, slot, bytes)

#else

#define ngx_cometa_probe_attach(app, hash, slot)
#define ngx_cometa_probe_detach(app, hash, slot, reason)
#define ngx_cometa_probe_call_start(app, hash, slot, index)
#define ngx_cometa_probe_call_end(app, hash, slot, index, error)
#define ngx_cometa_probe_event(app, hash, slot, bytes)

#endif


#endif /* _NGX_COMETA_PROBE_H_INCLUDED_ */


/*
 * Static probes (USDT) for bpftrace, perf and SystemTap: a probe that nobody
 * listens to is one nop. They are there if <sys/sdt.h> was when nginx was
 * configured (Debian: systemtap-sdt-dev), and nothing otherwise. `app` is the
 * index of the application, `hash` that of application and device, `slot` that
 * of this worker.
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


/* The header may have gone since nginx was configured. */

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

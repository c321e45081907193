
/*
 * When a try fails, nginx itself logs a line or more, as for any request. If a
 * webhook has failed recently, only a few failures a second may log.
 */

#include "ngx_cometa_webhook_report.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_throttle.h"
#include "ngx_cometa_stats.h"


#define NGX_COMETA_FAILING          10      /* s, since the last failure */
#define NGX_COMETA_FAILING_SPEAKERS 10      /* failures, in a second */


static size_t ngx_cometa_report_who(u_char *dst, size_t size,
    ngx_cometa_lane_t *lane, uint64_t session);
static void ngx_cometa_report(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);


void
ngx_cometa_webhook_report_init(ngx_cometa_report_t *report)
{
    report->throttle.handler = ngx_cometa_report;
}


void
ngx_cometa_webhook_dropped(ngx_cometa_webhook_conf_t *conf, uint32_t app,
    ngx_cometa_lane_t *lane, uint64_t session)
{
    ngx_cometa_report_t  *report;

    report = &conf->report;

    ngx_cometa_stats_add(app, webhook_dropped, 1);

    report->dropped++;
    report->dropped_len = ngx_cometa_report_who(report->dropped_who,
                                                sizeof(report->dropped_who),
                                                lane, session);
    ngx_cometa_throttle(&report->throttle, ngx_cycle->log);
}


void
ngx_cometa_webhook_failed(ngx_cometa_lane_t *lane, ngx_cometa_event_t *e)
{
    ngx_cometa_report_t        *report;
    ngx_cometa_webhook_conf_t  *conf;

    conf = lane->tenant->conf;
    report = &conf->report;

    ngx_cometa_stats_add(lane->tenant->app, webhook_failed, 1);

    report->failed++;
    report->status = lane->status;
    report->failed_len = ngx_cometa_report_who(report->failed_who,
                                               sizeof(report->failed_who),
                                               lane, e->session);
    ngx_cometa_throttle(&report->throttle, ngx_cycle->log);
}


static size_t
ngx_cometa_report_who(u_char *dst, size_t size, ngx_cometa_lane_t *lane,
    uint64_t session)
{
    if (lane == NULL) {
        return ngx_snprintf(dst, size, "session: %uL", session) - dst;
    }

    return ngx_snprintf(dst, size,
                        "application: \"%V\", device: \"%V\", session: %uL",
                        &lane->key.app, &lane->key.device, session)
           - dst;
}


static void
ngx_cometa_report(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    ngx_cometa_report_t        *report;
    ngx_cometa_webhook_conf_t  *conf;

    report = ngx_queue_data(throttle, ngx_cometa_report_t, throttle);
    conf = ngx_queue_data(report, ngx_cometa_webhook_conf_t, report);

    if (report->dropped) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "cometa_webhook: queue for \"%V\" is full, %ui events "
                      "dropped, the last one: %*s", &conf->name,
                      report->dropped, report->dropped_len,
                      report->dropped_who);
    }

    if (report->failed) {
        ngx_log_error(NGX_LOG_ERR, log, report->error,
                      "cometa_webhook: %ui events for \"%V\" failed, the last "
                      "one: status %ui, %*s", report->failed, &conf->name,
                      report->status, report->failed_len, report->failed_who);
    }

    report->dropped = 0;
    report->failed = 0;
    report->error = 0;
}


void
ngx_cometa_webhook_speak(ngx_cometa_lane_t *lane)
{
    time_t                      now;
    ngx_cometa_webhook_conf_t  *conf;

    conf = lane->tenant->conf;
    now = ngx_time();

    if (conf->second != now) {
        conf->second = now;
        conf->spoken = 0;
    }

    lane->speaks = conf->failing == 0
                   || now - conf->failing > NGX_COMETA_FAILING
                   || conf->speaking + conf->spoken
                      < NGX_COMETA_FAILING_SPEAKERS;

    conf->speaking += lane->speaks;
}


void
ngx_cometa_webhook_spoke(ngx_cometa_lane_t *lane, ngx_uint_t failed)
{
    ngx_cometa_webhook_conf_t  *conf;

    conf = lane->tenant->conf;

    ngx_cometa_expect(conf->speaking >= lane->speaks);

    conf->speaking -= lane->speaks;

    if (failed) {
        conf->spoken += lane->speaks;
        conf->failing = ngx_time();
    }
}

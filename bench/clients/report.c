/*
 * What came of a load. The two forms have the same figures in the same order.
 */

#include <stdio.h>

#include "report.h"


static double
us(double ns)
{
    return ns / 1000;
}


static void
print_calls(const char *format, const cometa_load_result_t *r)
{
    printf(format, (unsigned long long) r->calls,
           (unsigned long long) r->right, (unsigned long long) r->wrong,
           (unsigned long long) r->hung, (unsigned long long) r->malformed,
           (unsigned long long) r->failed, (unsigned long long) r->unsent);
}


static void
print_events(const char *format, const cometa_load_result_t *r)
{
    printf(format, (unsigned long long) r->retried,
           (unsigned long long) r->lost,
           (unsigned long long) r->events,
           (unsigned long long) r->disordered,
           (unsigned long long) r->missed);
}


static void
print_rate(const char *format, const cometa_load_result_t *r)
{
    printf(format, r->seconds, (double) r->right / r->seconds);
}


static void
print_latency(const char *format, const cometa_hist_t *h)
{
    printf(format, us((double) h->min), us(cometa_hist_mean(h)),
           us((double) cometa_hist_percentile(h, 50)),
           us((double) cometa_hist_percentile(h, 90)),
           us((double) cometa_hist_percentile(h, 99)),
           us((double) cometa_hist_percentile(h, 99.9)),
           us((double) h->max), us(cometa_hist_deviation(h)));
}


static void
print_errors(const char *format, const char *comma,
    const cometa_load_result_t *r)
{
    unsigned  i;

    for (i = 0; i < r->nerrors; i++) {
        printf(format, i ? comma : "", r->errors[i].status, r->errors[i].word,
               (unsigned long long) r->errors[i].calls);
    }
}


void
cometa_report_json(const cometa_load_t *l)
{
    const cometa_load_result_t  *r = l->result;

    printf("{\"callers\":%u,", l->conf->callers);

    print_calls("\"calls\":%llu,\"right\":%llu,\"wrong\":%llu,\"hung\":%llu,"
                "\"malformed\":%llu,\"failed\":%llu,\"unsent\":%llu,", r);
    print_events("\"retried\":%llu,\"lost\":%llu,\"events\":%llu,"
                 "\"disordered\":%llu,\"missed\":%llu,", r);
    print_rate("\"seconds\":%.3f,\"rate\":%.1f,", r);
    print_latency("\"latency_us\":{\"min\":%.1f,\"mean\":%.1f,\"p50\":%.1f,"
                  "\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,"
                  "\"std_deviation\":%.1f},\"errors\":[", &r->latency);
    print_errors("%s{\"status\":%d,\"error\":\"%s\",\"calls\":%llu}", ",", r);

    printf("]}\n");
}


void
cometa_report_text(const cometa_load_t *l, int websocket)
{
    const cometa_load_result_t  *r = l->result;

    print_calls("calls %llu: right %llu, wrong %llu, hung %llu, malformed "
                "%llu, failed %llu, unsent %llu\n", r);
    print_errors("%s  %3d %-24s %12llu\n", "", r);

    if (websocket) {
        print_events("calls retried %llu; WebSockets lost %llu; events in "
                     "order %llu, disordered %llu, missed %llu\n", r);
    }

    print_rate("%.3f s, %.1f right replies per second\n", r);
    print_latency("latency, us: min %.1f mean %.1f p50 %.1f p90 %.1f p99 %.1f "
                  "p99.9 %.1f max %.1f deviation %.1f\n", &r->latency);
}


int
cometa_report_verdict(const cometa_load_result_t *r)
{
    if (r->wrong || r->hung || r->malformed || r->disordered || r->missed) {
        return 1;
    }

    return r->failed || r->lost ? 2 : 0;
}

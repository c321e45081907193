#!/usr/bin/perl

# Statistics for Prometheus: their form, their values, a real Prometheus that
# reads them, and the examples of conf-examples/monitoring.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ abs_path /;
use File::Spec;
use HTTP::Tiny;
use JSON::PP qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# As Prometheus has to be told of them.

my @gauges = map { "cometa_$_" } qw/ devices websockets calls_in_progress
    calls_queued webhook_queued tls_parked worker_devices mailbox_bytes
    zone_records_used zone_records_capacity zone_applications_used
    zone_applications_capacity build_info /;
my @counters = map { "cometa_${_}_total" } qw/ attaches detaches calls
    device_errors late_replies events received_bytes sent_bytes
    websockets_slow webhook_retries webhook_events mailbox_overflows
    mailbox_delayed mailbox_lost attaches_refused devices_lost tls_parked
    tls_unparked /;
my $histogram = 'cometa_call_duration_seconds';

my @outcomes = qw/ ok invalid_device_id empty_message unauthorized
    message_too_large device_offline device_busy device_disconnected
    device_taken_over worker_lost overloaded device_timeout /;
my @reasons = qw/ detached disconnected heartbeat_timeout taken_over
    unresponsive protocol_error draining kicked /;
my @bounds = qw/ 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1
    2.5 5 10 30 +Inf /;

# What is in the JSON, too.

my %same = (
    cometa_devices => 'num_devices', cometa_websockets => 'websockets',
    cometa_calls_in_progress => 'calls', cometa_calls_queued => 'queued',
    cometa_attaches_total => 'attached_total', cometa_events_total => 'events',
    cometa_late_replies_total => 'late', cometa_device_errors_total => 'errors',
    cometa_received_bytes_total => 'bytes_up',
    cometa_sent_bytes_total => 'bytes_down',
    cometa_websockets_slow_total => 'websockets_slow',
    cometa_webhook_queued => 'webhook_queued',
    cometa_webhook_retries_total => 'webhook_retries',
    'cometa_webhook_events_total,outcome="sent"' => 'webhook_sent',
    'cometa_webhook_events_total,outcome="failed"' => 'webhook_failed',
    'cometa_webhook_events_total,outcome="dropped"' => 'webhook_dropped',
    'cometa_calls_total,outcome="ok"' => 'messages',
    'cometa_calls_total,outcome="device_timeout"' => 'timeouts',
    "${histogram}_count" => 'messages'
);

my $monitoring = abs_path('../conf-examples/monitoring');
my $workers = 3;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(86);

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => $workers,
    listen => 'reuseport',
    send => 'cometa_send_timeout 5s; cometa_queue 1;',
    server => <<"EOC") =~ s/(app2 +other;)/$1 ~^app all;/r);

        include $monitoring/metrics.conf;

        location = /open {
            cometa_stats prometheus;
            cometa_secret off;
        }

        location = /none {
            cometa_stats prometheus;
        }
EOC

$t->run();

###############################################################################

sub scrape {
    my (%o) = @_;
    return stats('x', uri => '/open', %o);
}

# The samples by "name,labels", without the label of the application "app".

sub metrics {
    my (%o) = @_;

    my $body = scrape()->{body};
    my $app = $o{app} || 'app1';
    my %m;

    for my $line (grep { !/^#/ } split /\n/, $body) {
        my ($name, $labels, $value) = $line =~ /^(\w+)(?:\{(.*)\})? (\S+)$/
            or next;
        my @labels = grep { $_ ne "application=\"$app\"" }
            split /,/, defined $labels ? $labels : '';
        $m{join ',', $name, @labels} = $value;
    }

    return \%m;
}

sub exchange {
    my ($d, $message, $reply) = @_;

    my $call = call_start($d->{app}, $d->{device}, $message,
        secret => $d->{app} eq 'app1' ? 's3cret' : 'all');
    $d->read_chunk();
    $d->send_chunk($reply);

    return outcome(call_end($call));
}

sub has_program {
    my ($name) = @_;
    return grep { -x "$_/$name" } File::Spec->path();
}

# What promtool says of a file, and how it ends.

sub promtool {
    my ($what, $file) = @_;

    my $input = $what eq 'check metrics' ? '<' : '';
    my $said = `promtool $what $input '$file' 2>&1`;

    return ($? == 0, $said);
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$fh>;
}

###############################################################################

# Who may read

{
    for my $auth (undef, 'OAuth wrong', 'OAuth s3cret', 'Bearer',
        'Basic Y2hhbmdlLW1lOg==')
    {
        is(outcome(stats('x', uri => '/metrics', auth => $auth)),
            '401 unauthorized', defined $auth ? $auth : 'no secret');
        # that of an application, and none is named
        is(outcome(stats('x', uri => '/none', auth => $auth)),
            '401 unauthorized', 'an empty one, '
            . (defined $auth ? $auth : 'no secret'));
    }

    for my $scheme (qw/ OAuth Bearer /) {
        is(stats('x', uri => '/metrics', auth => "$scheme change-me-metrics")
            ->{status}, 200, $scheme);
    }

    my $r = scrape(auth => undef);
    is($r->{status}, 200, 'off');
    like($r->{headers}{'content-type'}, qr!^text/plain; version=0\.0\.4!,
        'its type');

    $r = scrape(method => 'HEAD');
    is("$r->{status} $r->{body}", '200 ', 'HEAD');
    is(scrape(method => 'POST')->{status}, 405, 'POST');
}

# Before the first device

{
    my $m = metrics();
    is($m->{cometa_zone_records_used}, 0, 'no record is used');
    cmp_ok($m->{cometa_zone_records_capacity}, '>', 10000, 'of many');
    is(scalar(grep { /^cometa_worker_devices,slot="\d+"$/ && $m->{$_} eq '0' }
        keys %$m), $workers, 'all workers, without devices');
    is(scalar(grep { /application=/ } keys %$m), 0, 'no application');
}

# Something of everything

my $odd = 'app-_.~:@+';
my $d = device();
my $other = device(app => 'app2');
my $last = device(app => $odd);

exchange($d, 'm' x $_, 'r' x 100) for 1 .. 30;
exchange($last, 'x', 'y');

$d->event('e') for 1 .. 7;
$d->send_chunk('stray');
call('app1', 'nobody', 'x') for 1 .. 2;

{
    my $slow = device(device => 'slow');
    my $one = call_start('app1', 'slow', 'x',
        headers => { Prefer => 'wait=3' });
    $slow->read_chunk();

    is(metrics()->{cometa_calls_in_progress}, 1, 'a call in progress');
    my $two = call_start('app1', 'slow', 'x',
        headers => { Prefer => 'wait=15' });
    ok(wait_for(sub { metrics()->{cometa_calls_queued} == 1 }), 'one waits');
    call('app1', 'slow', 'x');
    call_end($one);
    $slow->send_chunk('late');
    $slow->echo();
    call_end($two);

    $one = call_start('app1', 'slow', 'x');
    $slow->read_chunk();
    my $new = device(device => 'slow');
    call_end($one);

    $one = call_start('app1', 'slow', 'x');
    $new->read_chunk();
    $new->close();
    call_end($one);

    my $leaves = device(device => 'leaves');
    $leaves->detach();
    $leaves = device(device => 'leaves');
    $leaves->raw("garbage\x0d\x0a");
    $leaves->closed();
}

{
    my $m;
    wait_for(sub { $m = metrics(); $m->{cometa_devices} == 1 });

    is($m->{cometa_devices}, 1, 'devices');
    is($m->{cometa_attaches_total}, 5, 'attaches');
    is($m->{cometa_zone_records_used}, 3, 'records');
    is($m->{cometa_zone_applications_used}, 3, 'applications');
    is($m->{cometa_device_errors_total}, 2, 'errors of devices');
    is($m->{cometa_late_replies_total}, 1, 'late replies');
    is($m->{cometa_events_total}, 7, 'events');
    is($m->{cometa_received_bytes_total}, 3000 + 14 + 5 + 4 + 1, 'received');
    is($m->{cometa_sent_bytes_total}, 465 + 4, 'sent');

    my %calls = map { $_ => $m->{"cometa_calls_total,outcome=\"$_\""} }
        @outcomes;
    is_deeply(\%calls, {
        ok => 31, device_offline => 2, device_busy => 1, device_timeout => 1,
        device_disconnected => 1, device_taken_over => 1, worker_lost => 0,
        overloaded => 0, invalid_device_id => 0, empty_message => 0,
        unauthorized => 0, message_too_large => 0
    }, 'calls by outcome');

    my %detaches = map { $_ => $m->{"cometa_detaches_total,reason=\"$_\""} }
        @reasons;
    is_deeply(\%detaches, {
        detached => 1, disconnected => 1, taken_over => 1, protocol_error => 1,
        heartbeat_timeout => 0, unresponsive => 0, draining => 0, kicked => 0
    }, 'detaches by reason');

    my $devices = 0;
    $devices += $m->{$_} for grep { /^cometa_worker_devices/ } keys %$m;
    is($devices, 3, 'devices of all workers');
}

# The form

{
    my $body = scrape()->{body};
    my (%type, %help, %series, @again, @foreign, @wrong);
    my $family = '';

    for my $line (split /\n/, $body) {

        if ($line =~ /^# HELP (\w+) \S.*\.$/) {
            push @again, $1 if $help{$1}++;
            $family = $1;

        } elsif ($line =~ /^# TYPE (\w+) (counter|gauge|histogram)$/) {
            push @again, $1 if $type{$1};
            push @foreign, $line if $1 ne $family;
            $type{$1} = $2;

        } elsif ($line =~ /^((\w+?)(?:_bucket|_sum|_count)?(?:\{\w+="[^"\\]*"
            (?:,\w+="[^"\\]*")*\})?)[ ]\d+(?:\.\d+)?$/x)
        {
            push @again, $1 if $series{$1}++;
            push @foreign, $line if $2 ne $family;

        } else {
            push @wrong, $line;
        }
    }

    is("@wrong", '', 'all lines are samples, types or helps');
    is("@again", '', 'no series, type or help twice');
    is("@foreign", '', 'families stand together');
    like($body, qr/\n\z/, 'ends in a line feed');

    is_deeply(\%type, {
        (map { $_ => 'gauge' } @gauges), (map { $_ => 'counter' } @counters),
        $histogram => 'histogram'
    }, 'names and types');

    for my $app ('app1', 'app2', $odd) {
        my @lines = $body =~ /^cometa_devices\{application="\Q$app\E"\} 1$/gm;
        is(scalar @lines, 1, "one line for $app");
    }

    unlike($body, qr/"(?:dev1|slow|nobody)"/, 'none for a device');

    $t->write_file('metrics.txt', $body);
}

# The histogram

{
    my $m = metrics();
    my @counts = map { $m->{"${histogram}_bucket,le=\"$_\""} }
        map { /Inf/ ? $_ : sprintf '%.4f', $_ } @bounds;

    is(scalar(grep { !defined } @counts), 0, 'all bounds');
    is(scalar(grep { /^${histogram}_bucket/ && !/application=/ } keys %$m),
        scalar @bounds, 'and no other');
    is(scalar(grep { $counts[$_] < $counts[$_ - 1] } 1 .. $#counts), 0,
        'counts rise');
    is($counts[-1], 31, 'the last one is of all');
    is($m->{"${histogram}_count"}, 31, 'as is the count');

    # a call that takes its time, 0.3 s or more, and nothing else
    my $call = call_start('app1', 'dev1', 'x');
    $d->read_chunk();
    sleep(0.3);
    $d->send_chunk('y');
    my $took = call_end($call)->{time};

    my $n = metrics();
    my $more = $n->{"${histogram}_sum"} - $m->{"${histogram}_sum"};
    ok($more >= 0.3 && $more < $took + 0.01, 'its sum is in seconds')
        or diag($more);
    is(join(' ', map { $n->{$_} - $m->{$_} } map {
        "${histogram}_bucket,le=\"$_\""
    } qw/ 0.2500 0.5000 1.0000 2.5000 10.0000 /), join(' ', map {
        $more <= $_ ? 1 : 0
    } 0.25, 0.5, 1, 2.5, 10), 'in its bucket and those above') or diag($more);
}

# The same as the JSON, from whichever worker

for my $app ('app1', 'app2', $odd) {
    my (%json, $m);

    for (1 .. 5) {
        %json = %{stats($app, $app eq $odd ? (secret => 'all') : ())
            ->{json}{stats}};
        $m = metrics(app => $app);

        is(join(' ', grep { $m->{$_} ne $json{$same{$_}} } sort keys %same),
            '', "as the JSON, $app");
    }

    my ($detached, $failed) = (0, 0);
    $detached += $m->{"cometa_detaches_total,reason=\"$_\""} for @reasons;
    $failed += $m->{"cometa_calls_total,outcome=\"$_\""}
        for grep { $_ ne 'ok' } @outcomes;

    is($detached, $json{detached_total}, "sum of detaches, $app");
    is($failed, $json{failed}, "sum of failed calls, $app");
}

###############################################################################

# promtool, and the rules: what must be firing after half an hour, and when

my %well = (
    'up{job="cometa"}' => '1x60',
    'cometa_devices{application="a"}' => '100x60',
    'cometa_calls_total{outcome="ok"}' => '0+600x60',
    'cometa_calls_total{outcome="device_offline"}' => '0+300x60',
    'cometa_calls_total{outcome="device_timeout"}' => '0+6x60',
    'cometa_calls_total{outcome="worker_lost"}' => '0x60',
    'cometa_calls_total{outcome="unauthorized"}' => '0+6x60',
    'cometa_attaches_refused_total{error="zone_full"}' => '7x60',
    'cometa_attaches_refused_total{error="draining"}' => '0+600x60',
    'cometa_attaches_refused_total{error="forbidden"}' => '0+3x60',
    'cometa_devices_lost_total' => '7x60',
    "${histogram}_bucket{le=\"5.0000\"}" => '0+600x60',
    "${histogram}_bucket{le=\"30.0000\"}" => '0+600x60',
    "${histogram}_bucket{le=\"+Inf\"}" => '0+600x60',
    'cometa_zone_records_used' => '500x60',
    'cometa_zone_records_capacity' => '1000x60',
    'cometa_zone_applications_used' => '1x60',
    'cometa_zone_applications_capacity' => '10x60',
    'cometa_mailbox_overflows_total{slot="0"}' => '7x60',
    'cometa_mailbox_lost_total{slot="0",kind="event"}' => '7x60',
    'cometa_tls_unparked_total{reason="proof"}' => '7x60',
    'cometa_webhook_events_total{outcome="sent"}' => '0+600x60',
    'cometa_webhook_events_total{outcome="failed"}' => '0+1x60',
    'cometa_webhook_events_total{outcome="dropped"}' => '3x60',
    'cometa_webhook_queued' => '5x60'
);

my @cases = (
    [ '' ],
    [ '', 'cometa_calls_total{outcome="device_offline"}' => '0+6000x60' ],
    [ '', 'cometa_devices{application="a"}' => '0x60' ],
    [ 'CometaDown', 'up{job="cometa"}' => '0x60' ],
    [ 'CometaNoDevices', 'cometa_devices{application="a"}' => '100x10 0x50' ],
    [ 'CometaDevicesLost',
        'cometa_devices{application="a"}' => '100x20 50x40' ],
    # one that began before there were figures of 10 minutes ago, and a slow one
    [ 'CometaDevicesLost',
        'cometa_devices{application="a"}' => '100x3 48x57' ],
    [ 'CometaDevicesLost',
        'cometa_devices{application="a"}' => '100-2x26 48x34' ],
    [ '', 'cometa_devices{application="a"}' => '100-1x25 75x35' ],
    [ 'CometaZoneFull',
        'cometa_attaches_refused_total{error="zone_full"}' => '7x25 8x35' ],
    [ 'CometaAttachesRefused',
        'cometa_attaches_refused_total{error="forbidden"}' => '0+60x60' ],
    [ 'CometaUnauthorized',
        'cometa_calls_total{outcome="unauthorized"}' => '0+6000x60' ],
    [ 'CometaErrorRatio',
        'cometa_calls_total{outcome="device_timeout"}' => '0+100x60' ],
    [ 'CometaSlowCalls', "${histogram}_bucket{le=\"5.0000\"}" => '0+500x60' ],
    [ 'CometaZoneNearlyFull', 'cometa_zone_records_used' => '900x60' ],
    [ 'CometaApplicationsNearlyFull',
        'cometa_zone_applications_used' => '10x60' ],
    [ 'CometaMailboxOverflow',
        'cometa_mailbox_overflows_total{slot="0"}' => '7x25 9x35' ],
    [ 'CometaMailLost',
        'cometa_mailbox_lost_total{slot="0",kind="event"}' => '7x25 9x35' ],
    [ 'CometaWorkerLost',
        'cometa_calls_total{outcome="worker_lost"}' => '0x25 1x35' ],
    [ 'CometaWorkerLost', 'cometa_devices_lost_total' => '7x25 9x35' ],
    [ 'CometaTlsProof',
        'cometa_tls_unparked_total{reason="proof"}' => '7x25 8x35' ],
    [ 'CometaWebhookFailing',
        'cometa_webhook_events_total{outcome="dropped"}' => '0+60x60' ],
    [ 'CometaWebhookBehind', 'cometa_webhook_queued' => '500x60' ]
);

SKIP: {
    skip 'promtool not found', 5 unless has_program('promtool');

    my ($well, $said) = promtool('check metrics',
        $t->testdir() . '/metrics.txt');
    ok($well && $said eq '', 'promtool check metrics') or diag($said);

    ($well, $said) = promtool('check config', "$monitoring/prometheus.yml");
    ok($well, 'promtool check config') or diag($said);

    my $rules = "$monitoring/cometa.rules.yml";
    ($well, $said) = promtool('check rules', $rules);
    ok($well, 'promtool check rules') or diag($said);

    # JSON is YAML, too
    $t->write_file('rules.test.yml', JSON::PP::encode_json({
        rule_files => [ $rules ],
        evaluation_interval => '1m',
        tests => [ map { rules_test(@$_) } @cases ]
    }));

    ($well, $said) = promtool('test rules',
        $t->testdir() . '/rules.test.yml');
    ok($well, 'promtool test rules') or diag($said);

    my %fired = map { $_->[0] => 1 } @cases;
    is(join(' ', sort grep { length } keys %fired),
        join(' ', sort { $a cmp $b } slurp($rules) =~ /alert: (\w+)/g),
        'each rule has fired');
}

sub rules_test {
    my ($firing, %changed) = @_;

    my %series = (%well, %changed);

    return {
        interval => '1m',
        input_series => [ map { { series => $_, values => $series{$_} } }
            sort keys %series ],
        promql_expr_test => [ {
            expr => 'count by (alertname) (ALERTS{alertstate="firing"})',
            eval_time => '30m',
            exp_samples => [ map {
                { labels => "{alertname=\"$_\"}", value => 1 }
            } grep { length } $firing ]
        } ]
    };
}

# The names in the examples are those that are served.

{
    my $served = join '|', (map { quotemeta } @gauges, @counters),
        map { "${histogram}_$_" } qw/ bucket count sum /;

    for my $file (qw/ cometa.rules.yml grafana.json /) {
        my @names = slurp("$monitoring/$file") =~ /\b(cometa_\w+)/g;
        is(join(' ', grep { !/^(?:$served)$/ } @names), '', "names of $file");
    }

    my %shown = map { $_ => 1 }
        slurp("$monitoring/grafana.json") =~ /\b(cometa_\w+)/g;
    is(join(' ', grep { !$shown{$_} } @gauges, @counters), '',
        'the dashboard shows all');
}

###############################################################################

# A real Prometheus

my ($dashboard, @targets) = JSON::PP::decode_json(
    slurp("$monitoring/grafana.json"));
push @targets, @{$_->{targets} || []} for @{$dashboard->{panels}};

SKIP: {
    skip 'prometheus not found', 7 unless has_program('prometheus');

    my $nginx = '127.0.0.1:' . port(8080);
    my $own = '127.0.0.1:' . port(8090);
    my $config = slurp("$monitoring/prometheus.yml");
    my $dir = $t->testdir();

    $config =~ s/127\.0\.0\.1:8080/$nginx/;
    $config =~ s/_interval: \K15s/1s/g;
    $t->write_file('prometheus.yml', $config);
    $t->write_file('cometa.rules.yml', slurp("$monitoring/cometa.rules.yml"));

    $t->run_daemon(sub {
        open STDOUT, '>', "$dir/prometheus.log" or die "$!\n";
        open STDERR, '>&', \*STDOUT or die "$!\n";
        exec 'prometheus', "--config.file=$dir/prometheus.yml",
            "--storage.tsdb.path=$dir/prometheus", "--web.listen-address=$own"
            or die "$!\n";
    });

    ok(wait_for(sub {
        @{query($own, 'count_over_time(cometa_devices[1m]) > 3')} == 3
    }, 20), 'scrapes') or diag($t->read_file('prometheus.log'));

    my %devices = map { $_->{metric}{application} => $_->{value}[1] }
        @{query($own, 'cometa_devices')};
    is_deeply(\%devices, { app1 => 1, app2 => 1, $odd => 1 }, 'devices');

    is_deeply([ map { $_->{value}[1] } @{query($own,
        'cometa_calls_total{application="app1",outcome="ok"}')} ], [ 32 ],
        'calls');

    # what happens next
    my @more = map { device(app => 'app2', device => "d$_") } 1 .. 4;
    ok(wait_for(sub {
        my ($now) = @{query($own, 'cometa_devices{application="app2"}')};
        $now && $now->{value}[1] == 5
    }), 'more devices');

    my $rules = api($own, 'rules');
    is(join(' ', map { "$_->{name}: $_->{health}" } grep {
        $_->{health} ne 'ok'
    } map { @{$_->{rules}} } @{$rules->{groups}}), '', 'rules are evaluated');

    # the dashboard: each of its queries shows something
    my @empty = grep {
        my $query = $_->{expr} =~ s/\$__rate_interval/10s/gr
            =~ s/\$(?:instance|application)/.*/gr;
        !@{query($own, $query)}
    } @targets;

    cmp_ok(scalar @targets, '>', 20, 'queries of the dashboard');
    is(join("\n", map { $_->{expr} } @empty), '', 'all of them show something');
}

sub query {
    my ($prometheus, $query) = @_;

    $query =~ s/([^A-Za-z0-9_])/sprintf '%%%02X', ord $1/ge;

    return api($prometheus, "query?query=$query")->{result} || [];
}

sub api {
    my ($prometheus, $what) = @_;

    my $r = HTTP::Tiny->new(timeout => 5)
        ->get("http://$prometheus/api/v1/$what");

    # refused, until it listens
    return {} if $r->{status} == 599 || $r->{status} == 503;

    my $json = JSON::PP::decode_json($r->{content});
    die "$what: $json->{error}\n" if $json->{status} ne 'success';

    return $json->{data};
}

###############################################################################

#!/usr/bin/perl

# What is refused is counted: attaches by their error, whatever application they
# name, calls in the figures of an application that is known; and so are devices
# whose worker dies.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# A killed worker is an [alert] in the log; the last test says that there is
# no other one.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(36);

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 2, send => 'cometa_max_message_size 100;',
    server => 'location = /metrics { cometa_stats prometheus;'
        . ' cometa_secret off; }'
        . 'location ~ ^/closed/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . ' cometa_attach; cometa_device_secret key; }'
        . 'location ~ ^/once/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . ' cometa_attach; cometa_takeover off; }'
))->run();

###############################################################################

# All figures, by name and labels.

sub metrics {
    return { map { /^(\S+) (\S+)$/ ? ($1 => $2) : () }
        split /\n/, stats('x', uri => '/metrics')->{body} };
}

sub refused {
    my ($error) = @_;
    return metrics()->{"cometa_attaches_refused_total{error=\"$error\"}"};
}

sub calls {
    my ($outcome) = @_;
    return metrics()->{
        "cometa_calls_total{application=\"app1\",outcome=\"$outcome\"}"
    };
}

###############################################################################

# Attaches

my $d = device(device => 'd1');

my %attaches = (
    forbidden => { app => 'invented' },
    invalid_application_id => { app => 'a!b' },
    invalid_device_id => { device => 'a!b' },
    http1_required => { version => '1.0' },
    already_attached => { uri => '/once/app1/d1' },
    websocket_required => {
        form => 'W', headers => { 'Sec-WebSocket-Version' => 8 }
    },
);

for my $error (sort keys %attaches) {
    is(refused($error), 0, "$error: none yet");
    device(%{$attaches{$error}}) for 1 .. 3;
    is(refused($error), 3, "$error: each is counted");
}

device(uri => '/closed/app1/d2');
is(refused('forbidden'), 4, 'forbidden: a wrong secret of a device');
is(metrics()->{cometa_zone_applications_used}, 1,
    'no application was made of an invented name');

# Calls

my %refused = (
    unauthorized => sub { call('app1', 'd1', 'x', secret => 'wrong') },
    empty_message => sub { call('app1', 'd1', '') },
    message_too_large => sub { call('app1', 'd1', 'x' x 101) },
    invalid_device_id => sub { call('app1', 'a!b', 'x') },
);

my $failed = figures('app1')->{failed};

for my $error (sort keys %refused) {
    is(calls($error), 0, "$error: none yet");
    like(outcome($refused{$error}->()), qr/ $error$/, $error);
    is(calls($error), 1, "$error: counted");
}

call('app1', 'd1', 'x' x 101, chunked => 50);
is(calls('message_too_large'), 2, 'one without a length');

my $ws = websocket(device => 'd1');
$ws->text('');
$ws->take();
is(calls('empty_message'), 2, 'an empty message on a WebSocket');

is(figures('app1')->{failed} - $failed, 6, 'all of them have failed');

call('app2', 'd1', 'x', secret => 'wrong');
is(metrics()->{cometa_zone_applications_used}, 1,
    'a wrong secret makes no application known');

# Devices, with their worker

{
    is(metrics()->{cometa_devices_lost_total}, 0, 'none is lost');

    my $worker = $d->header('Pid');
    my @more = map { device_on($worker, device => "lost$_") } 1 .. 4;
    my ($other) = grep { $_ != $worker } serving($t);
    my $stays = device_on($other, device => 'stays');

    $_->detach() for splice @more, 0, 2;
    ok(figure_is('app1', 'num_devices', 4), 'two more have left in order');

    kill 'KILL', $worker;
    wait_serving($t, 2, $worker);

    ok(figure_is('app1', 'num_devices', 1), 'all of a worker are gone');
    is(metrics()->{cometa_devices_lost_total}, 3, 'and counted as lost');
}

# Versions

like(join("\n", keys %{metrics()}),
    qr/^cometa_build_info\{version="\d+\.\d+\.\d+",nginx="[\d.]+"\}$/m,
    'the versions');

$t->stop();

is(expected_alerts($t, qr/exited on signal 9/), '', 'no other alerts');

###############################################################################

#!/usr/bin/perl

# An application ends the connection of a device, a certain session of it, or
# all devices whose ids begin in one way.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    MANY => 60,
    RATE => 40
};

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(43);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    http => 'cometa_drain rate=' . RATE . '/s; cometa_stats_window 1s;'
        . 'log_format got "$http_cometa_event $http_cometa_device '
        . '$http_cometa_reason";'
        . 'server { listen 127.0.0.1:8081; access_log %%TESTDIR%%/got.log got;'
        . 'location / { return 204; } }',
    server => metrics_location() . 'location = /hook { internal;'
        . 'proxy_pass http://127.0.0.1:8081; }',
    attach => 'cometa_detach; cometa_webhook /hook events=attach,detach;',
    list => 'cometa_detach;',
    app => 'cometa_detach;'))->run();

my @pids = wait_serving($t, 2);
my @streams = map { stream_on($_) } @pids;

###############################################################################

sub detach {
    my ($path, %o) = @_;
    return call('app1', undef, undef, method => 'DELETE',
        uri => "/v1/applications/app1$path", %o);
}

sub online {
    my ($prefix) = @_;
    return scalar grep { /^$prefix/ } @{stats('app1/devices')->{json}{devices}};
}

# At its own worker, and at another

for my $i (0, 1) {
    my $d = device_on($pids[$i], device => "one$i");
    my $session = stats("app1/devices/one$i")->{json}{session};

    my $r = detach("/devices/one$i", stream => $streams[0]);
    is("$r->{status} $r->{body}",
        "200 {\"device_id\":\"one$i\",\"session\":\"$session\"}",
        "worker $i: ended");
    is($d->closed(), 'last', "worker $i: with a last chunk");
    is(text(detach("/devices/one$i")), '404 device_offline',
        "worker $i: not twice");
    ok(wait_log($t, qr/device detached, reason: kicked,.*app1\/one$i/),
        "worker $i: the log says so");
}

is(metric('cometa_detaches_total{application="app1",reason="kicked"}'), 2,
    'statistics');

ok(wait_for(sub {
    -e $t->testdir() . '/got.log'
        && $t->read_file('got.log') =~ /^detach one1 kicked$/m
}), 'the webhook says so');

# Who may, and what is wrong

is(text(detach('/devices/none')), '404 device_offline', 'offline');
is(text(detach('/devices/none', secret => 'wrong')), '401 unauthorized',
    'wrong secret');
is(text(detach('/devices', secret => 'wrong')), '401 unauthorized',
    'wrong secret, all');
is(text(detach('')), '400 invalid_device_id', 'an application alone');
is(text(detach("/devices/none?session=$_")), '400 bad_request',
    "session \"$_\"") for '', 'x', '0', '1234567890123456789';
is(text(detach("/devices?prefix=$_")), '400 bad_request', "prefix \"$_\"")
    for '', '%20', 'x' x 65;
is(call('app1', 'none', 'x', method => 'DELETE')->{headers}{allow}, 'POST',
    'not in a location without it');
is(call('app1', undef, undef, method => 'PUT',
    uri => '/v1/applications/app1/devices/none')->{headers}{allow},
    'GET, HEAD, POST, DELETE', 'Allow');

# A session

{
    my $old = device_on($pids[0], device => 's');
    my $session = stats('app1/devices/s')->{json}{session};
    my $new = device_on($pids[1], device => 's');
    $old->closed();

    is(text(detach("/devices/s?session=$session")), '404 device_offline',
        'an earlier session');
    is(reached($new), 'yes', 'the later one stays');

    $session = stats('app1/devices/s')->{json}{session};
    is(detach("/devices/s?session=$session")->{status}, 200, 'the session');
    is($new->closed(), 'last', 'the session has gone');
}

# Its calls

{
    my $d = device_on($pids[1], device => 'c');
    my $written = call_start('app1', 'c', 'written');
    is($d->read_chunk(), 'written', 'a call is written');

    my $waits = call_start('app1', 'c', 'waits');
    my $stays = call_start('app1', 'c', 'stays',
        headers => { 'Cometa-Wait' => 5 });
    ok(wait_for(sub { figures('app1')->{queued} == 2 }), 'others wait');

    is(detach('/devices/c')->{status}, 200, 'ended with calls');
    is(text(call_end($written)), '502 device_disconnected', 'written');
    is(text(call_end($waits)), '404 device_offline', 'waiting');

    $d = device(device => 'c');
    is($d->read_chunk(), 'stays', 'one that waits for an attach is written');
    $d->send_chunk('here');
    is(text(call_end($stays)), '200 here', 'and answered');
    $d->close();
}

# By prefix, at the rate, and those only that were there

{
    my @many = map { device(device => "many$_") } 1 .. MANY;
    my @others = map { device(device => "other$_") } 1 .. 3;
    my $foreign = device(app => 'app2', device => 'many1');

    my $start = time();
    my $r = detach('/devices?prefix=many');
    is("$r->{status} $r->{body}", '202 {"num_devices":' . MANY . '}',
        'by prefix: accepted');

    my @ends;
    my @again;

    for my $d (@many) {
        push @ends, $d->closed();
        push @again, device(device => $d->{device});
    }

    is(scalar(grep { $_ eq 'last' } @ends), MANY, 'by prefix: last chunks');

    my $took = time() - $start;
    cmp_ok($took, '>', MANY / RATE - 0.3, 'by prefix: at the rate');

    ok(wait_log($t, qr/60 of 60 devices were ended.*"app1\/many\*"/),
        'by prefix: the log tells the end');
    is(online('many'), MANY, 'by prefix: those that came back stay');
    is(online('other'), 3, 'by prefix: others stay');

    is(detach('/devices')->{json}{num_devices}, MANY + 3, 'all: accepted');
    ok(wait_for(sub { online('') == 0 }), 'all have gone');
    ok(!$foreign->gone(), 'another application has its own');
}

###############################################################################

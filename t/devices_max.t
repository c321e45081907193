#!/usr/bin/perl

# How many devices an application may have: on all workers together, when many
# come at once, and when a worker is killed.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(33);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    http => 'map $app $devices { app1 3; app2 $arg_max; }',
    attach => 'cometa_devices_max $devices;'))->run();

my @pids = wait_serving($t, 2);

###############################################################################

sub counted {
    my ($app) = @_;
    return figures($app)->{num_devices};
}

# On both workers together; a takeover is not one more

my @d = map { device_on($pids[$_ % 2], device => "d$_") } 0 .. 2;
ok(wait_for(sub { counted('app1') == 3 }), 'three devices');

my $r = device(device => 'd3');
is("$r->{status} $r->{json}{error}", '429 too_many_devices', 'a fourth one');
like($r->header('Retry-After'), qr/^([345]\d|60)$/, 'when to try again');

for my $i (0, 1) {
    my $new = device_on($pids[1 - $i], device => "d$i");
    is($d[$i]->closed(), 'last', "d$i is taken over");
    $d[$i] = $new;
}

ok(wait_for(sub { counted('app1') == 3 }), 'three devices after takeovers');
is(device(device => 'd3')->{status}, 429, 'still no fourth one');
is(reached($d[0]), 'yes', 'the others are not touched');

$d[2]->close();
ok(wait_for(sub { counted('app1') == 2 }), 'one has left');
is(device(device => 'd3')->{status}, 200, 'another one has its place');

# Many at once: as many get in as there are places, each time

for my $round (1 .. 3) {
    my @all = map { Test::Nginx::Cometa::Device->start(app => 'app2',
        uri => "/v1/applications/app2/devices/$round-$_?max=10") } 1 .. 40;
    $_->finish() for @all;

    my @in = grep { $_->{status} == 200 } @all;
    is(join(' ', scalar(@in), sort { $a <=> $b } map { $_->{status} }
        grep { $_->{status} != 200 } @all), join(' ', 10, (429) x 30),
        "ten of forty, round $round");

    if ($round < 3) {
        $_->close() for @all;
        ok(wait_for(sub { counted('app2') == 0 }), 'all have left') or last;
        next;
    }

    # A worker is killed: its devices are attached no more

    my ($lost) = grep { $_ } map { $_->header('Pid') } @in;
    my $n = grep { $_->header('Pid') == $lost } @in;

    kill 'KILL', $lost;
    ok(wait_for(sub { !kill 0, $lost }), "a worker with $n devices is killed");

    my @new = map { device(app => 'app2',
        uri => "/v1/applications/app2/devices/new-$_?max=10") } 1 .. 20;
    is(scalar(grep { $_->{status} == 200 } @new), $n, 'their places are free');
}

# Values

is(device(app => 'app2', device => 'x')->{status}, 200, 'empty: no bound');
ok(wait_for(sub { counted('app2') >= 0 }), 'the other application');
is(device(app => 'app2', device => 'y',
    uri => '/v1/applications/app2/devices/y?max=0')->{status}, 429, 'none');
is(device(app => 'app2', device => 'y',
    uri => '/v1/applications/app2/devices/y?max=ten')->{status}, 403,
    'no number: nobody gets in');
ok(wait_log($t, qr/"cometa_devices_max" has the value "ten", expected/),
    'and the log says why');

# The configuration

for my $value ('0', 'many', '-1', '""') {
    my ($ok, $said) = config_test($t,
        cometa_conf(attach => "cometa_devices_max $value;"));
    ok(!$ok, "$value: refused");
    like($said, qr/expected a number of devices from 1/, "$value: why");
}

for my $value ('1', 'off') {
    my ($ok, $said) = config_test($t,
        cometa_conf(attach => "cometa_devices_max $value;"));
    ok($ok, "$value: good") or diag($said);
}

###############################################################################

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

###############################################################################

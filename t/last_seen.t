#!/usr/bin/perl

# What is said about a device that has left: when, why, and in which session.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant PLACES => 8;

# A killed worker is an [alert], and a configuration that is refused is an
# [emerg]; the last test says that there is nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(50);

sub conf {
    my ($zone) = @_;

    return worker_conf(workers => 2, shutdown => '20s', zone => $zone,
        list => 'cometa_detach;', attach => 'cometa_detach;',
        server => 'location ~ ^/short/(?<app>[^/]+)/(?<device>[^/]+)$ {'
            . 'cometa_attach; cometa_heartbeat 1s timeout=2s; }');
}

$t->write_file_expand('nginx.conf', conf('16m offline=' . PLACES))->run();

my @pids = wait_serving($t, 2);
my @streams = map { stream_on($_) } @pids;

###############################################################################

sub about {
    my ($id, %o) = @_;
    return stats("app1/devices/$id", %o);
}

sub session {
    my ($id) = @_;
    return about($id)->{json}{session};
}

# "reason", when what is said about a device that has left is right.

sub left {
    my ($id, $session, %o) = @_;

    my $r;
    wait_for(sub { $r = about($id, %o); $r->{status} == 404 });

    my $json = $r->{json};
    return text($r) if $r->{status} != 404 || !defined $json->{last_seen};

    my $away = time() - $json->{last_seen};
    return "away for $away s" if $away < -1 || $away > 100;
    return "session $json->{session}" if $json->{session} ne $session;
    return "another device: $json->{device_id}" if $json->{device_id} ne $id;

    return $json->{reason};
}

sub known {
    my ($id) = @_;
    my $r = about($id);
    return "$r->{status} " . join ' ', sort keys %{$r->{json}};
}

use constant {
    UNKNOWN => '404 device_id error msg',
    KNOWN => '404 device_id error last_seen msg reason session'
};

###############################################################################

# Why it has left

is(known('d'), UNKNOWN, 'never seen');

{
    my $d = device_on($pids[0], device => 'd');
    is(about('d')->{json}{last_seen}, undef, 'while it is there');
    my $session = session('d');
    $d->close();

    is(left('d', $session, stream => $streams[0]), 'disconnected',
        'its connection has ended');
    is(left('d', $session, stream => $streams[1]), 'disconnected',
        'another worker knows that, too');
    is(known('d'), KNOWN, 'what is said');
    like(about('d')->{body}, qr/^{"msg":"404\ Not\ Found",
        "error":"device_offline","device_id":"d","last_seen":"\d+",
        "reason":"disconnected","session":"\d+"}$/x,
        'as JSON, numbers as strings');

    is(known('d' x 64), UNKNOWN, 'another device');
    is(join(' ', sort keys %{stats('app2/devices/d')->{json}}),
        'device_id error msg', 'another application');
    is(text(about('d', secret => 'wrong')), '401 unauthorized',
        'only to who may ask');
    ok(!defined call('app1', 'd', 'x')->{json}{last_seen},
        'a call is answered as before');
}

{
    my $d = device_on($pids[1], device => 'd');
    my $session = session('d');
    is(about('d')->{status}, 200, 'it is back');
    $d->detach();
    is(left('d', $session), 'detached', 'it leaves in order');
}

{
    my $d = device(device => 'd');
    my $session = session('d');
    call('app1', undef, undef, method => 'DELETE',
        uri => '/v1/applications/app1/devices/d');
    is(left('d', $session), 'kicked', 'it is ended');
}

{
    my $d = device(device => 'd', uri => '/short/app1/d');
    my $session = session('d') || '';
    ok(wait_for(sub { about('d')->{status} == 404 }, 20), 'it is silent');
    is(left('d', $session), 'heartbeat_timeout', 'for too long');
}

{
    my $d = device(device => 'd');
    my $session = session('d');
    $d->raw("zz\x0d\x0a");
    is(left('d', $session), 'protocol_error', 'it sends what is no chunk');
}

# One that is taken over is there still.

{
    my $old = device_on($pids[0], device => 'd');
    my $new = device_on($pids[1], device => 'd');
    my $session = session('d');
    $old->closed();
    is(about('d')->{json}{last_seen}, undef, 'taken over: it is there');
    $new->close();
    is(left('d', $session), 'disconnected', 'taken over: its last session');
}

# How many are known: those that have been away for the shortest time, not
# those that are back.

{
    my @first = map { device(device => "a$_") } 1 .. PLACES;
    $_->detach(), $_->closed() for @first;
    is(scalar(grep { known("a$_") eq KNOWN } 1 .. PLACES), PLACES,
        'as many as there are places');
    is(known('d'), UNKNOWN, 'no more');

    my $back = device(device => 'a1');
    my $other = device(device => 'b');
    $other->detach();
    $other->closed();
    is(scalar(grep { known("a$_") eq KNOWN } 2 .. PLACES), PLACES - 1,
        'one that is back makes room');
    is(known('b'), KNOWN, 'for another one');

    for (1 .. 3 * PLACES) {
        my $d = device(device => 'flaps');
        $d->detach();
        $d->closed();
    }

    is(known('a2'), UNKNOWN, 'one that comes and goes takes one place');
    is(scalar(grep { known("a$_") eq KNOWN } 3 .. PLACES), PLACES - 2,
        'and no more');
    $back->close();
}

# A reload

{
    my $d = device(device => 'd');
    my $session = session('d');
    my $gone = device(device => 'gone');
    my $before = session('gone');
    $gone->close();
    is(left('gone', $before), 'disconnected', 'before a reload');

    my $end = time() + 10;
    my @old = @pids;
    @pids = reload_all($t, 2);
    $d->send_chunk("\x06");

    is(left('gone', $before), 'disconnected', 'a reload keeps it');
    is(session('d'), $session, 'one that has moved is there');
    is(about('d')->{json}{last_seen}, undef, 'and has not left');
    $d->close();
    is(left('d', $session), 'disconnected', 'until it does');
    wait_gone($t, 30, @old);
}

# Workers that die

{
    my @many = map { device_on($pids[0], device => "lost$_") } 1 .. PLACES - 2;
    my %session = map { $_->{device} => session($_->{device}) } @many;
    my $other = device_on($pids[1], device => 'stays');
    my $away = session('stays');

    kill 'KILL', $pids[0];
    @pids = ($pids[1], grep { $_ != $pids[1] }
        wait_serving($t, 2, $pids[0]));

    is(scalar(grep { left($_, $session{$_}) eq 'worker_lost' }
        sort keys %session), scalar @many, 'devices of a worker that dies');

    my $back = device(device => 'lost1');
    my $later = session('lost1');
    $back->detach();
    is(left('lost1', $later), 'detached', 'one that came back and left');
    is(known('lost2'), KNOWN, 'others are known');
    $other->send_chunk("\x06");
    $other->close();
    is(left('stays', $away), 'disconnected', 'one of the other worker');
}

# Hostile

is(known($_), UNKNOWN, "device \"$_\"") for '~' x 64, '+', 'a:b@c';

###############################################################################

# Configurations

sub refused {
    my ($t, $zone) = @_;

    my $conf = cometa_conf(zone => $zone);
    my ($good, $said) = config_test($t, $conf);

    return $good ? 'good' : $said;
}

for my $bad ('offline=', 'offline=-1', 'offline=1.5', 'offline=x',
    'offline=16777217', 'online=5', 'offline=99999999999999999999')
{
    like(refused($t, "16m $bad"),
        qr/parameter "\Q$bad\E", expected offline= .* 0 to 16777216/, $bad);
}

is(refused($t, '16m offline=0'), 'good', 'none');
like(refused($t, '1m offline=100000'), qr/too small .* use at least \d+k/,
    'too many');
my ($enough) = refused($t, '1m offline=100000') =~ /use at least (\d+k)/;
is(refused($t, "$enough offline=100000"), 'good', "$enough are enough");

# The number is that of the zone.

sub reload_said {
    my ($t, $zone, $re) = @_;

    $t->write_file_expand('nginx.conf', conf($zone))->reload();

    return wait_log($t, $re);
}

ok(reload_said($t, '16m offline=9',
    qr/"cometa" was made with "offline=8", set that again or restart nginx/),
    'a reload with another number');
ok(reload_said($t, '16m', qr/"cometa" was made with "offline=8", set that/),
    'and without one');

$t->write_file_expand('nginx.conf', conf('16m offline=' . PLACES));
reload_all($t, 2);
is(known('stays'), KNOWN, 'with the old one again');

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/,
    qr/was made with "offline=8"/), '', 'nothing else in the log');

###############################################################################

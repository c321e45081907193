#!/usr/bin/perl

# A device asks for an interval of its own, and for an answer to its heartbeats.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Caller;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { FLOOD => 20000, ECHOES => 1024 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(73);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', worker_conf(
    workers => 2, shutdown => '60s', server => <<"EOC"))->run();

        location ~ ^/narrow/$ids {
            cometa_attach;
            cometa_heartbeat 3s timeout=6s min=1s max=5s;
        }

        location ~ ^/least/$ids {
            cometa_attach;
            cometa_heartbeat 2s min=125s;
        }

        location ~ ^/most/$ids {
            cometa_attach;
            cometa_heartbeat 60s max=7s;
        }
EOC

wait_serving($t, 2);

my $n = 0;

sub asks {
    my ($heartbeat, %o) = @_;

    return device(device => 'd' . ++$n, %o,
        headers => { 'Cometa-Heartbeat' => $heartbeat });
}

# What was announced, and what was answered.

sub granted {
    my $d = asks(@_);
    my $header = $d->header('Cometa-Heartbeat');
    my $said = "$d->{json}{heartbeat} " . (defined $header ? $header : '-');
    $d->close();
    return $said;
}

###############################################################################

# Intervals

for my $form (qw/ A B W /) {
    is(granted(300, form => $form), '300 300', "$form: 300 s");
    is(granted('30;echo', form => $form), '30 30;echo', "$form: an echo");
}

is(granted(99), '99 99', 'two digits count');
is(granted(125), '120 120', 'and no third one');
is(granted(1799), '1700 1700', 'nor a fourth one');
is(granted(1), '10 10', 'not less than 10 s');
is(granted(86400), '1800 1800', 'not more than half an hour');
is(granted('99999999999999999999'), '1800 1800', 'however much');

for my $value ('0', '', 'soon', '30s', '1.5', '-5', ';echo', '30;echo=1') {
    is(granted($value), '60 -', "'$value' is no interval");
}

for (
    [ 'narrow', 9, '5 5' ], [ 'narrow', 1, '1 1' ], [ 'narrow', 3, '3 3' ],
    [ 'least', 1, '125 125' ], [ 'least', 130, '130 130' ],
    [ 'least', 9999, '1800 1800' ], [ 'most', 60, '7 7' ],
    [ 'most', 1, '7 7' ]
) {
    my ($location, $asked, $expected) = @$_;
    is(granted($asked, uri => "/$location/app1/one"), $expected,
        "$location: $asked");
}

ok(wait_log($t, qr/device attached, heartbeat: 120 s/), 'the log has it');

my $d = device(device => 'plain');
ok(!defined $d->header('Cometa-Heartbeat'), 'who asks for nothing');
$d->heartbeat();
ok($d->quiet(), 'gets no echo');
$d->close();

# They are closed in their time, whoever attached before them

{
    my $at = '/narrow/app1';
    my @long = map { asks(5, uri => "$at/long$_") } 1 .. 3;
    my @own = map { device(uri => "$at/own$_") } 1 .. 3;
    my @short = map { asks(1, uri => "$at/short$_") } 1 .. 3;
    my $alive = asks(1, uri => "$at/alive");
    my $start = time();
    my %ended;

    while (time() - $start < 30 && keys %ended < 9) {
        $alive->heartbeat();

        for (@long, @own, @short) {
            $ended{$_} ||= time() - $start if $_->gone();
        }

        sleep(0.1);
    }

    ok(!(grep { ($ended{$_} || 0) < 1.9 } @short), '1 s: not before 2 s');
    ok(!(grep { ($ended{$_} || 0) < 5.9 } @own), '3 s: not before 6 s');
    ok(!(grep { ($ended{$_} || 0) < 9.9 } @long), '5 s: not before 10 s');
    cmp_ok($ended{$short[0]}, '<', $ended{$own[0]}, 'the shortest goes first');
    cmp_ok($ended{$own[0]}, '<', $ended{$long[0]}, 'the longest goes last');
    ok(!$alive->gone(), 'one that is heard of stays');
    is($short[0]->closed(), 'last', 'with a last chunk');
    $alive->close();
}

# Echoes

for my $form (qw/ A B W /) {
    $d = asks('30;echo', device => 'dev1', form => $form);

    $d->heartbeat();
    is($d->read_chunk(), "\x06", "$form: a heartbeat is answered");
    $d->heartbeat() for 1 .. 10;
    is(join('', map { $d->read_chunk() } 1 .. 10), "\x06" x 10,
        "$form: each one");
    $d->event('e');
    ok($d->quiet(), "$form: an event is not");

    my $call = call_start('app1', 'dev1', 'hello');
    is($d->read_chunk(), 'hello', "$form: a call");
    $d->heartbeat();
    is($d->read_chunk(), "\x06", "$form: an echo while it is outstanding");
    $d->send_chunk('yes');
    is(outcome(call_end($call)), '200 yes', "$form: its reply");
    $d->detach();
    ok(wait_for(sub { $d->gone() }), "$form: it leaves");
}

# One that floods and does not read: others do not notice, nothing grows, and
# when it reads it has as many echoes as are kept in mind, at least

for my $form (qw/ A W /) {
    $d = asks('30;echo', device => 'flood', form => $form, rcvbuf => 4096);
    my $other = device(device => 'other');
    my $beat = $form eq 'W' ? ws_binary("\x06") : "1\x0d\x0a\x06\x0d\x0a";

    is(reached($other), 'yes', "$form: another device");
    $d->raw($beat x (FLOOD / 4)) for 1 .. 4;
    is(reached($other), 'yes', "$form: is served in the flood");

    my $got = 0;
    $got++ while $got < FLOOD && defined $d->read_chunk(0.9);
    cmp_ok($got, '>=', ECHOES, "$form: echoes");
    is(reached($d), 'yes', "$form: and it is served, too");
    $_->close() for $d, $other;
}

# They move with the device

$d = asks('300;echo', device => 'moves');
my $framed = asks('300;echo', device => 'moves-too', form => 'W');
my $silent = asks(5, uri => '/narrow/app1/silent');

my @old = serving($t);
reload_all($t, 2);
ok(wait_gone($t, 15, @old), 'the old workers leave');

for ($d, $framed) {
    $_->heartbeat();
    is($_->read_chunk(), "\x06", 'an echo after a reload');
    is(reached($_), 'yes', 'and a call');
}

ok(wait_for(sub { $silent->gone() }, 10), 'a silent one is closed there, too');

###############################################################################

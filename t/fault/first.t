#!/usr/bin/perl

# Each allocation of a worker fails that it makes for its first device, call,
# event and WebSocket, which make what all later ones use.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Errno qw/ ENOMEM /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Fault;
use Test::Nginx::Cometa::FaultWorld;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant MOST => 400;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()->plan(5);

# All first things: whatever comes of them, it comes soon.

sub first_things {
    my @wrong;

    my $d = Test::Nginx::Cometa::Device->start(device => 'dev1',
        info => 'an info');
    $d->finish(3);
    push @wrong, 'the attach hangs' if $d->{status} == 0 && !$d->gone();

    $d = eval { device(device => 'dev1', timeout => 3) } || $d;

    my @calls = map { call_start('app1', 'dev1', "m$_") } 1 .. 3;

    for (@calls) {
        my $got = $d->read_chunk(0.3);
        $d->send_chunk("re: $got") if defined $got && length $got;
    }

    for my $call (@calls) {
        my $r = call_end($call, 4);
        push @wrong, 'a call hangs'
            if $r->{status} == 504 || $r->{status} == 0
            && !$call->{stream}->eof();
    }

    my $ws = eval { socket_to('dev1', 'stay', timeout => 3) };

    if ($ws && $ws->{status} == 101) {
        $d->event('hello');
        $ws->text('a call');
        my $got = $d->read_chunk(0.3);
        $d->send_chunk('a reply') if defined $got && length $got;
        $ws->said(0.3);
    }

    $ws->close() if $ws;
    $d->close();

    return @wrong;
}

# The same without a fault.

sub works {
    my @wrong;

    my $d = device(device => 'dev2', info => 'an info');
    return "an attach: $d->{status}" if $d->{status} != 200;

    push @wrong, grep { $_ ne 'yes' } reached($d);

    my $ws = socket_to('dev2', 'stay');
    push @wrong, grep { $_ ne 'yes' } served($ws, $d);
    $d->event('hello');
    push @wrong, grep { $_ ne 'text hello' } $ws->said();

    $ws->close();
    $d->close();

    my $figures;
    wait_for(sub {
        my $f = figures('app1');
        $figures = join ' ', map { $f->{$_} } qw/
            num_devices calls queued websockets webhook_queued
        /;
        return $figures eq '0 0 0 0 0';
    }) or push @wrong, "devices, calls, queued, WebSockets, events: $figures";

    return @wrong;
}

# With each n, in an nginx that has just started.

sub from_the_start {
    my ($lasting) = @_;

    my @wrong;
    my $hits = 0;

    for my $n (1 .. MOST) {
        fault_run($t);
        my @pids = wait_serving($t, 1);

        fault_arm('memory', ENOMEM, $n, $lasting ? 2 ** 62 : $n);
        my @now = first_things();
        fault_off();

        my ($fired, $where) = (fault_fired(), fault_where());

        push @now, works();
        push @now, "another worker: @pids" if "@pids" ne join ' ', serving($t);
        $t->stop();
        push @now, fault_alerts($t, 'memory');

        push @wrong, map { "$n, $where: $_" } @now;
        $hits++ if $fired;
        last if !$fired || @wrong > 5;
    }

    return ($hits, join "\n", @wrong);
}

###############################################################################

$t->write_file_expand('nginx.conf', world_conf(workers => 1));

for my $lasting (0, 1) {
    my ($hits, $wrong) = from_the_start($lasting);
    is($wrong, '', ($lasting ? 'no more memory' : 'an allocation fails')
        . ", $hits times");
    cmp_ok($hits, '>', 10, 'so often');
}

is(scalar(glob $t->testdir() . '/core*') || '', '', 'no core');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

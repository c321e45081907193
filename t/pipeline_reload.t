#!/usr/bin/perl

# Calls that are with a device which takes several at a time, while it moves to
# a new worker, and when a worker dies.

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
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(21);

# Small socket buffers, so that messages do not fit in.

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
    shutdown => '60s', listen => 'reuseport sndbuf=8192',
    send => 'cometa_send_timeout 20s; cometa_queue 100;',
    http => 'cometa_pipeline 20;', server => <<'EOS'))->run();

        location ~ ^/short/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_send;
            cometa_send_timeout 2s;
        }
EOS

wait_serving($t, 2);

sub moves {
    my ($t) = @_;
    return log_count($t, qr/device has moved here/);
}

sub move {
    my ($t) = @_;
    my $before = moves($t);
    reload_all($t, 2);
    return wait_for(sub { moves($t) > $before }, 10);
}

sub chunks {
    my ($d, $n) = @_;
    return join ' ', map { my $got = $d->read_chunk(4);
        defined $got ? $got : 'nothing' } 1 .. $n;
}

sub calls {
    my ($n, @calls) = @_;

    return map {
        my $call = call_start('app1', 'dev1', ref $_ ? @$_ : $_);
        my $calls = ++$n;
        wait_for(sub { figures('app1')->{calls} == $calls });
        $call
    } @calls;
}

sub replies {
    my ($d, @replies) = @_;
    $d->raw(join '', map { Test::Nginx::Cometa::Device::chunk($_) } @replies);
}

sub names { return map { $_[0] . $_ } 1 .. $_[1] }

my $d = device(headers => { 'Cometa-Pipeline' => 20 });
is($d->header('Cometa-Pipeline'), 20, 'a device takes 20 calls');

###############################################################################

# More calls than are with it

{
    my @calls = calls(0, names('m', 24));
    is(chunks($d, 20), join(' ', names('m', 20)), '20 of 24 are with it');

    ok(move($t), 'the device moves');
    ok(wait_for(sub { figures('app1')->{queued} == 4 }),
        'those that wait follow');

    replies($d, names('r', 20));
    is(chunks($d, 4), 'm21 m22 m23 m24', 'they come when it has answered');
    $d->send_chunk("r$_") for 21 .. 24;

    is(join(' ', map { call_end($_)->{body} } @calls),
        join(' ', names('r', 24)), 'all replies are right');
}

# Twice, and what is granted stays so

{
    my @calls = calls(0, names('m', 3));
    chunks($d, 3);
    ok(move($t) && move($t), 'it moves twice');
    replies($d, 'r1');
    ok(call_end($calls[0])->{body} eq 'r1', 'in the middle of its replies');
    ok(move($t), 'and once more');
    push @calls, calls(2, names('n', 18));
    is(chunks($d, 18), join(' ', names('n', 18)), 'and has as many places');
    replies($d, 'r2', 'r3', names('s', 18));
    is(join(' ', map { call_end($_)->{body} } @calls[1 .. 20]),
        join(' ', 'r2', 'r3', names('s', 18)), 'all replies are right');
}

# Calls that nobody waits for, before the move and after it

{
    my $late = figures('app1')->{late};
    my @calls = calls(0, 'a', 'b', [ 'c', uri => '/short/app1/dev1' ], 'd');
    is(chunks($d, 4), 'a b c d', 'four calls');
    $calls[1]{stream}->close();
    ok(wait_for(sub { figures('app1')->{calls} == 3 }), 'one is abandoned');
    ok(move($t), 'the device moves');
    is(text(call_end($calls[2])), '504 device_timeout', 'one times out there');
    replies($d, map { "r$_" } qw/ a b c d /);
    is(text(call_end($calls[0])) . ', ' . text(call_end($calls[3])),
        '200 ra, 200 rd', 'the others get their replies');
    ok(wait_for(sub { figures('app1')->{late} == $late + 2 }),
        'and nobody gets those of these two');
}

# Messages that the socket has not taken

{
    my $big = 'x' x 20000;
    my @calls = calls(0, map { "$big$_" } 1 .. 8);
    ok(move($t), 'it moves with messages half written');

    for my $i (1 .. 8) {
        my $got = $d->read_chunk(4);
        $d->send_chunk('r' . substr($got, 20000));
    }

    is(join(' ', map { call_end($_)->{body} } @calls), join(' ', names('r', 8)),
        'and gets each of them once');
}

###############################################################################

# The worker dies

{
    # the caller is on another worker than the device
    my @workers = serving($t);
    my $d = device_on($workers[0], device => 'dev2',
        headers => { 'Cometa-Pipeline' => 3 });
    my @calls = map { call_start('app1', 'dev2', "m$_",
        stream => stream_on($workers[1])) } 1 .. 3;
    chunks($d, 3);
    kill 'KILL', $workers[0];
    is(join(', ', map { text(call_end($_)) } @calls),
        join(', ', ('502 worker_lost') x 3), 'all calls end with their worker');
}

###############################################################################

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

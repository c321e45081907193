#!/usr/bin/perl

# A worker that leaves lets its devices and WebSockets go at a rate.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/
    nginx_ends
    master serving reload_all wait_gone text reached
/;
use IO::Select;
use POSIX qw/ SIGQUIT /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant LAST => "0\x0d\x0a\x0d\x0a";
use constant RATE => 200;
use constant DEVICES => 400;

# How long all of them take at the rate, without the steps at both ends.
use constant LEAST => 0.85 * DEVICES / RATE;

my @good = ('rate=1/s', 'rate=500/s', 'rate=50000/s', 'off');
my @bad = ('', 'on', '500', 'rate=', 'rate=/s', 'rate=0/s', 'rate=-1/s',
    'rate=500', 'rate=500/m', 'rate=50001/s', 'rate=1.5/s', 'rate=1/s x',
    'rate=99999999999999999999/s', 'rats=500/s');

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->plan(42 + @good + 2 * @bad);

certificate($t, 'localhost');

###############################################################################

sub configure {
    my ($t, $drain, %o) = @_;

    $t->write_file_expand('nginx.conf', websocket_conf(
        workers => 1, shutdown => '60s', %o,
        # it may take minutes until all of them are attached
        http => "cometa_heartbeat 600s; cometa_drain $drain;"
            . ($o{http} || '')
    ));
}

sub start {
    my ($t, @o) = @_;
    configure($t, @o);
    $t->run();
}

sub attach {
    my ($n, %o) = @_;
    return map { device(device => "d$_", form => $_ % 2 ? 'B' : 'A', %o) }
        1 .. $n;
}

# Waits until all have been closed, and tells when the first and the last one
# was, what each had got before: { got => number }, and how long it took from the
# first to the last one, by the stopwatch. What is at least so long is asked from
# the beginning, for the first one may be noticed late.  The sub is called with
# each one that was closed, and the number of those.

sub watch {
    my ($timeout, $devices, $closed) = @_;

    my $select = IO::Select->new(map { $_->socket() } @$devices);
    my %of = map { $_->socket() => $_ } @$devices;
    my $end = time() + $timeout;
    my (%got, %buffer, $first, $last, $watch);
    my $n = 0;

    while ($select->count() && time() < $end) {
        for my $socket ($select->can_read(0.1)) {
            my $read = sysread $socket, my $data, 65536;

            if ($read) {
                $buffer{$socket} .= $data;
                next;
            }

            next if !defined $read && $!{EAGAIN};

            $select->remove($socket);
            $last = time();
            $first ||= $last;
            $watch ||= stopwatch();
            $got{defined $buffer{$socket} ? $buffer{$socket} : 'nothing'}++;
            $closed->($of{$socket}, ++$n) if $closed;
        }
    }

    $got{open} = $select->count() if $select->count();

    return ($first, $last, \%got, $watch ? $watch->took() : 0);
}

# Returns the master, which ends then.

sub quit {
    my ($t) = @_;
    my $master = master($t);
    kill SIGQUIT, $master;
    return $master;
}

sub ends_soon {
    my ($pid) = @_;
    return wait_for(sub {
        Test::Nginx::Cometa::Workers::slurp("/proc/$pid/stat") !~ /\) [^Z] /
    }, 10);
}

sub ends {
    my ($got) = @_;
    return join ', ', map {
        ($_ eq LAST ? 'last' : $_) . " $got->{$_}"
    } sort keys %$got;
}

sub drained {
    my ($t) = @_;
    return log_count($t, qr/device detached, reason: draining,/);
}

###############################################################################

# After a reload, when worker_shutdown_timeout has passed: those over TLS, for
# others have moved by then.  They come back at once, to the new worker, and
# stay there.

start($t, 'rate=' . RATE . '/s', shutdown => '2s', ssl => 1);

# the turn of the first one comes first
my $deaf = device(device => 'deaf', ssl => 1);
my @devices = attach(DEVICES, ssl => 1);
my $busy = device(device => 'busy', ssl => 1);
my ($old) = serving($t);
my (@again, $called, $spared);

my $written = call_start('app1', 'busy', 'think', headers =>
    { Prefer => 'wait=30' });
is($busy->read_chunk(), 'think', 'a call is written');

my $start = time();
reload_all($t, 1);

my $unheard = call_start('app1', 'deaf', 'hello', headers =>
    { Prefer => 'wait=30' });
is($deaf->read_chunk(), 'hello', 'another, from the new worker');

my ($first, $last, $got) = watch(30, \@devices, sub {
    my ($d, $n) = @_;
    push @again, device(device => $d->{device});
    $called = reached($devices[-1]) if $n == 1;

    # before its time is over, too
    $spared = !$deaf->gone() && $deaf->send_chunk('here') if $n == DEVICES / 4;
});

# the caller's connection was the old worker's, so it ended with the timeout
is(call_end($written)->{status}, 0, 'timeout: callers are cut off');

is(ends($got), 'last ' . DEVICES, 'timeout: devices get a last chunk');
cmp_ok($first - $start, '>', 1.8, 'timeout: not before it has passed');
cmp_ok($last - $start, '>', 1.8 + LEAST, 'timeout: spread by the rate');
cmp_ok($last - $first, '<', 15, 'timeout: within seconds');
is($called, 'yes', 'timeout: those that have not left yet are called');

ok($spared, 'timeout: a device with a call is spared');
is(text(call_end($unheard)), '200 here', 'timeout: its answer arrives');
is($deaf->closed(), 'last', 'timeout: then it leaves');
is($busy->closed(), 'last', 'timeout: one that does not answer leaves later');

ok(wait_gone($t, 10, $old), 'timeout: the old worker ends');
is(scalar(grep { $_->{status} != 200 || $_->gone() } @again), 0,
    'timeout: devices are not lost a second time');
is(scalar(@again), DEVICES, 'timeout: all are back');
is(reached($again[-1]), 'yes', 'timeout: and called');
is(drained($t), DEVICES + 2, 'timeout: each was drained once');

# nginx stops

my $quick = device(device => 'quick');
my ($worker) = serving($t);

$start = time();
my $master = quit($t);
($first, $last, $got) = watch(30, [ @again, $quick ]);

is(ends($got), 'last ' . (DEVICES + 1), 'quit: devices get a last chunk');
cmp_ok($last - $start, '>', LEAST, 'quit: spread by the rate');
cmp_ok($last - $start, '<', 15, 'quit: within seconds');
ok(ends_soon($worker), 'quit: the worker ends');
is(drained($t), 2 * DEVICES + 3, 'quit: each was drained once');

nginx_ends($t, $master);

# Over TLS

start($t, 'rate=30/s', ssl => 1);

@devices = attach(60, ssl => 1);
($worker) = serving($t);
$start = time();
$master = quit($t);
($first, $last, $got) = watch(30, \@devices);

is(ends($got), 'last 60', 'TLS: devices get a last chunk');
cmp_ok($last - $start, '>', 1.6, 'TLS: spread by the rate');
ok(ends_soon($worker), 'TLS: the worker ends');
nginx_ends($t, $master);

# A rate of less than one a step

start($t, 'rate=4/s', shutdown => '1s', ssl => 1);

@devices = attach(8, ssl => 1);
($worker) = serving($t);
$start = time();
reload_all($t, 1);
($first, $last, $got) = watch(30, \@devices);

is(ends($got), 'last 8', 'slow: devices get a last chunk');
cmp_ok($last - $start, '>', 0.9 + 1.2, 'slow: spread by the rate');
cmp_ok($last - $first, '<', 8, 'slow: and not slower');
ok(wait_gone($t, 10, $worker), 'slow: the old worker ends');
$t->stop();

# At once

start($t, 'off', shutdown => '1s', ssl => 1);

@devices = attach(DEVICES, ssl => 1);
($worker) = serving($t);
reload_all($t, 1);
($first, $last, $got, my $took) = watch(30, \@devices);

is(ends($got), 'last ' . DEVICES, 'off: devices get a last chunk');
cmp_ok($took, '<', 0.7 * LEAST, 'off: at once');
ok(wait_gone($t, 10, $worker), 'off: the old worker ends');
$t->stop();

###############################################################################

# WebSockets go at the rate as well

start($t, 'rate=30/s', shutdown => '1s', ssl => 1);

my $d = device();
my @sockets = map { websocket(ssl => 1) } 1 .. 60;
is(scalar(grep { $_->{status} != 101 } @sockets), 0, 'websockets');

($worker) = serving($t);
$start = time();
reload_all($t, 1);

($first, $last, $got) = watch(30, \@sockets);

# a close frame
is(join(' ', keys %$got), "\x88\x02\x03\xe9",
    'websockets are closed with 1001');
cmp_ok($last - $start, '>', 0.9 + 1.6, 'websockets: spread by the rate');
ok(wait_gone($t, 10, $worker), 'websockets: the old worker ends');
$t->stop();

# One whose client does not answer holds nobody up

start($t, 'rate=500/s', websocket => 'cometa_websocket_timeout 1s;');

$d = device();

my $closing = websocket();
is($closing->said(), 'ping', 'a silent websocket is asked');
is($closing->said(), 'close 1001', 'and closed');

my $silent = websocket();
($worker) = serving($t);
my $watch = stopwatch();
$master = quit($t);

like($silent->rest(), qr/eof/, 'silent: closed');
like($closing->rest(), qr/eof/, 'silent: and the one that was being closed');
ok(ends_soon($worker), 'silent: the worker ends');
cmp_ok($watch->took(), '<', 4, 'silent: and does not wait long for it');
nginx_ends($t, $master);

###############################################################################

# The directive

sub check {
    my ($t, $value) = @_;
    return config_test($t, cometa_conf(http => "cometa_drain $value;"));
}

for my $value (@good) {
    my ($ok, $said) = check($t, $value);
    ok($ok, "cometa_drain $value") or diag($said);
}

for my $value (@bad) {
    my ($ok, $said) = check($t, $value);
    ok(!$ok, "cometa_drain $value: refused");
    like($said, qr/cometa_drain|rate=500\/s/, "cometa_drain $value: why");
}

###############################################################################

#!/usr/bin/perl

# Who says very much delays nobody else: floods of events and of calls.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Select;
use List::Util qw/ sum /;
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ device_on stream_on wait_serving /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

$SIG{PIPE} = 'IGNORE';

use constant CRLF => "\x0d\x0a";
use constant EMPTY_EVENT => '1' . CRLF . "\x07" . CRLF;
use constant FLOOD => 1048576;
use constant LISTENERS => 50;
use constant CALLS => 60;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(24);

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2))->run();

my ($pid, $other) = wait_serving($t, 2);

###############################################################################

# Runs the function in a process of its own, which ends with it.

sub beside {
    my ($code) = @_;

    my $child = fork();
    die "fork: $!\n" unless defined $child;
    return $child if $child;

    setpriority(0, 0, 10);
    $code->();
    POSIX::_exit(0);
}

sub stop {
    my (@children) = @_;
    kill 'KILL', @children;
    waitpid $_, 0 for @children;
}

# Reads all sockets until the time is over; how many bytes came.

sub swallow {
    my ($seconds, @sockets) = @_;

    my $end = time() + $seconds;
    my $select = IO::Select->new(@sockets);

    while (time() < $end && $select->count()) {
        for my $s ($select->can_read(0.1)) {
            my $n = sysread $s, my $data, 1048576;
            $select->remove($s) if defined $n && $n == 0;
        }
    }
}

# How long a worker has run, in ms: what it spends while a call waits is what the
# call waits for, however busy this machine may be with something else.

sub spent {
    my ($pid) = @_;
    my ($ns) = Test::Nginx::Cometa::Workers::slurp("/proc/$pid/schedstat")
        =~ /\A(\d+)/ or die "no schedstat\n";
    return $ns / 1e6;
}

# What a worker spends during calls to a quiet device, sorted. The device
# answers here, so there is one process that must not wait for others.

sub waits {
    my ($pid, $d, $stream) = @_;

    my @spent;

    for (1 .. CALLS) {
        my $start = spent($pid);
        my $call = call_start('app1', $d->{device}, 'ping',
            stream => $stream);
        $d->echo();
        my $r = call_end($call);
        push @spent, spent($pid) - $start;
        last if sum(@spent) > 50 * CALLS || $r->{status} != 200;
    }

    return sort { $a <=> $b } @spent;
}

sub others_do_not_wait {
    my ($name, $pid, $d, $flooding) = @_;

    my $stream = stream_on($pid);
    my @flooders = $flooding->();
    sleep(0.2);
    my @waits = waits($pid, $d, $stream);
    my @alive = grep { kill 0, $_ } @flooders;
    my $most = $waits[0.95 * $#waits];

    stop(@flooders);

    ok($most < 50 && @waits == CALLS, "$name: nobody waits for it");
    is(scalar @alive, scalar @flooders, "$name: it went on all the time");

    diag(sprintf '%s: p50 %.1f, p95 %.1f, max %.1f ms', $name,
        $waits[$#waits / 2], $most, $waits[-1]);
}

###############################################################################

# who waits is to be woken before those who flood; root may

eval { setpriority(0, 0, -10) };

my $calm = device_on($pid, device => 'calm');

# Events that say nothing, to many sockets here and there

for my $where ([ 'same worker', $pid ], [ 'another worker', $other ]) {
    my ($name, $home) = @$where;

    my $first = device_on($pid, device => 'noisy');
    my @sockets = map { websocket_on($home, device => 'noisy') }
        1 .. LISTENERS;

    for my $victim ([ $pid, $calm ],
        [ $home, device_on($home, device => "near$home") ])
    {
        # whoever floods is stopped anywhere in a chunk: it is of no use again

        my $noisy = device_on($pid, device => 'noisy');

        others_do_not_wait("events to sockets, $name", @$victim, sub {
            my $reader = beside(sub {
                swallow(60, map { $_->socket() } @sockets);
            });
            my $writer = beside(sub {
                my $flood = EMPTY_EVENT x (FLOOD / length EMPTY_EVENT);
                $noisy->raw($flood) for 1 .. 1000;
                sleep(60);
            });
            return ($reader, $writer);
        });

        ok(wait_for(sub {
            return stats('app1/devices/noisy')->{status} == 200;
        }, 60), "events to sockets, $name: it was heard all the time");
        $noisy->close();
    }

    $_->close() for @sockets, $first;
    wait_for(sub { figures('app1')->{websockets} == 0 });
}

# Calls of one byte that fail at once

device_on($other, device => 'offline')->detach();

my @sockets = do {
    my $d = device_on($pid, device => 'soon-offline');
    my @all = map { websocket_on($pid, device => 'soon-offline') } 1 .. 8;
    $d->detach();
    @all;
};

others_do_not_wait('calls that fail', $pid, $calm, sub {
    map {
        my $ws = $_;
        beside(sub {
            my $flood = ws_text('x', mask => "\0\0\0\0") x 10000;
            my $s = $ws->socket();
            my $select = IO::Select->new($s);
            my $at = 0;

            for ( ;; ) {
                my $n = syswrite $s, $flood, length($flood) - $at, $at;
                $at = ($at + $n) % length $flood if $n;
                $select->can_read(0.01) unless $n;
                $n = sysread $s, my $data, 1048576;
            }
        });
    } @sockets;
});

$_->close() for @sockets;

# The order holds when a turn ends in the middle of what a device has said

my $d = device_on($pid, device => 'orderly');
my $ws = websocket_on($pid, device => 'orderly');

my @numbers = 1 .. 20000;

$d->raw(join '', map { sprintf "%x%s\x07%s%s", 1 + length, CRLF, $_, CRLF }
    @numbers);
is(join(' ', map { $ws->take(5)->{payload} } @numbers), "@numbers",
    'events come in their order');

# A second answer in the same packet is no reply to the next call, and so it
# is when others stand between them

my $first = call_start('app1', 'orderly', 'first');
is($d->read_chunk(), 'first', 'a call');
my $second = call_start('app1', 'orderly', 'second');
sleep(0.1);

$d->raw('1' . CRLF . 'a' . CRLF . EMPTY_EVENT x 8000 . '1' . CRLF . 'b' . CRLF);
is(outcome(call_end($first)), '200 a', 'its reply');
is($d->read_chunk(), 'second', 'then the next call');
$d->send_chunk('c');
is(outcome(call_end($second)), '200 c', 'and its own reply');
is(figures('app1')->{errors}, 1, 'the second answer is a stray');

# A last chunk behind much is one, and what stands behind it is not heard

ok(wait_for(sub {
    $ws->take(0) while length $ws->{stream}{in};
    figures('app1')->{events} > 0;
}), 'all is read');
$d->raw(EMPTY_EVENT x 5000 . '0' . CRLF . CRLF . '1' . CRLF . 'x' . CRLF);
is($d->closed(), 'last', 'a last chunk behind much');

# Many that flood at once

my @many = map { device_on($pid, device => "many$_") } 1 .. 50;

others_do_not_wait('50 devices', $pid, $calm, sub {
    map {
        my $d = $_;
        beside(sub {
            my $flood = EMPTY_EVENT x (FLOOD / length EMPTY_EVENT);
            $d->raw($flood) for 1 .. 1000;
            sleep(60);
        });
    } @many;
});

###############################################################################

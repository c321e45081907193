#!/usr/bin/perl

# Calls of the old and the new workers fail while devices and WebSockets move:
# each of these goes on, or ends so that its peer is told; the old workers leave.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Errno qw/ EAGAIN ENOMEM ENOSPC ETOOMANYREFS /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Fault;
use Test::Nginx::Cometa::FaultWorld;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { ONCE => 0, LASTING => 1, UNNOTICED => 1, DEVICES => 8 };

# Seconds, far more than a call takes on any machine that has others to do: only
# one that hangs takes so long.  Its server gives it up later than the test.
use constant { HANGS => 60, DEADLINE => 240 };

my @faults = (
    [ 'memory', ENOMEM, ONCE ],
    [ 'memory', ENOMEM, LASTING ],
    [ 'pass', EAGAIN, ONCE, UNNOTICED ],
    [ 'pass', EAGAIN, LASTING, UNNOTICED ],
    [ 'pass', ETOOMANYREFS, ONCE ],
    [ 'take', LOST, ONCE ],
    [ 'take', LOST, LASTING ],
    [ 'take', ENOMEM, ONCE ],
    [ 'epoll', ENOSPC, ONCE ],
    [ 'epoll', ENOMEM, LASTING ],
    [ 'wake', EAGAIN, ONCE, UNNOTICED ]
);

@faults = grep { !$ENV{KIND} || $_->[0] eq $ENV{KIND} } @faults;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(2 * @faults + 2);

$t->write_file_expand('nginx.conf', world_conf());
fault_run($t);
wait_serving($t, 2);

my (%devices, %sockets, @calls, $id, %base);

# Devices in all states that go along: with an info, a call, calls that wait,
# half a chunk, and more than its kernel takes.

sub prepare {
    my $n = ++$id;

    %devices = map {
        my $name = "r$n-$_";
        $name => device(device => $name, form => $_ % 2 ? 'B' : 'A',
            info => 'an info', rcvbuf => 8192)
    } 1 .. DEVICES;

    %sockets = map { ("$_ 1" => socket_to($_, 'move'),
        "$_ 2" => socket_to($_, 'stay')) } map { "r$n-$_" } 1, 2, 5;

    @calls = map { start_call("r$n-$_") } 1, 2, 2, 3, 5;
    $devices{"r$n-1"}->read_chunk();
    $devices{"r$n-2"}->read_chunk();
    $devices{"r$n-4"}->raw("8\x0d\x0a\x07hel");

    push @calls, start_call("r$n-6", 'm' x 60000);
    wait_for(sub { figures('app1')->{calls} == @calls });

    return {};
}

sub start_call {
    my ($name, $message) = @_;
    return { name => $name, call => call_start('app1', $name,
        defined $message ? $message : 'm' . ++$id,
        headers => { Prefer => 'wait=' . DEADLINE }) };
}

sub moves {
    return log_count($t, qr/device has moved here/);
}

# All that can move has moved; what cannot waits for better times.

sub step {
    my @old = serving($t);
    my $moves = moves();

    $t->reload();
    wait_serving($t, 2, @old);

    wait_for(sub { moves() >= $moves + DEVICES }, 0.9);

    return;
}

# Each device is called, or it has ended.

sub devices_work {
    my (@wrong, $n);

    # those that have a call already finish it
    my %busy = map { $_->{name} => 1 } @calls;
    my $until = time() + HANGS;

    while (grep { !$_->{done} } @calls) {
        for my $name (grep { $busy{$_} } keys %devices) {
            my $d = $devices{$name};
            my $gone = $d->gone();
            while (defined(my $got = $d->read_chunk(0))) {
                last if $got eq '';
                $d->send_chunk("re: $got");
            }
            if (!$gone && !$d->{answered}++ && $name =~ /-[12]$/) {
                $d->send_chunk('re: first');
            }
        }

        for my $c (grep { !$_->{done} } @calls) {
            my $stream = $c->{call}{stream};
            next if !$stream->readable(0) && !$stream->{eof};
            $c->{done} = 1;
            my $r = call_end($c->{call}, 1);
            push @wrong, "a call to $c->{name}: " . text($r)
                if $r->{status} == 504 || $r->{status} == 200
                && $r->{body} !~ /^re: /;
            push @wrong, "a call to $c->{name}: " . text($r)
                if $r->{status} != 200 && !fault_excuses();
        }

        if (time() > $until) {
            push @wrong, 'calls hang: ' . join ' ', map { $_->{name} }
                grep { !$_->{done} } @calls;
            last;
        }

        sleep(0.01);
    }

    $_->{call}{stream}->close() for @calls;

    for my $name (sort keys %devices) {
        my $d = $devices{$name};

        $d->raw("lo12\x0d\x0a") if $name =~ /-4$/;

        if ($d->gone()) {
            push @wrong, "$name was closed" unless fault_excuses();
            delete $devices{$name};
            next;
        }

        my $said = reached($d);
        next if $said eq 'yes';

        # it may end just now
        if (fault_excuses() && wait_for(sub { $d->gone() }, 0.9)) {
            delete $devices{$name};
            next;
        }

        push @wrong, "$name: " . substr $said, 0, 60;
    }

    return @wrong;
}

sub sockets_work {
    my @wrong;

    for my $key (sort keys %sockets) {
        my ($ws, $d) = ($sockets{$key}, $devices{$key =~ s/ .*//r});

        if ($ws->{stream}->eof() || $ws->{stream}{in} =~ /\A\x88/) {
            push @wrong, "socket $key was closed" unless fault_excuses();
            $ws->close();
            delete $sockets{$key};
            next;
        }

        if (!$d) {
            $ws->text('x');
            my $said = $ws->said();
            push @wrong, "socket $key of no device: $said"
                if $said !~ /device_offline/;
            next;
        }

        my $said = served($ws, $d);
        push @wrong, "socket $key: $said" if $said ne 'yes';
    }

    return @wrong;
}

sub figures_are {
    my (%expected) = @_;

    my $now = 'none';

    return if wait_for(sub {
        my $f = eval { figures('app1') } or return 0;
        $now = join ', ', map { "$_ $f->{$_}" } sort keys %expected;
        return !grep { $f->{$_} ne $expected{$_} } keys %expected;
    }, 2);

    return "figures: $now, expected "
        . join ', ', map { "$_ $expected{$_}" } sort keys %expected;
}

sub after {
    my @wrong = devices_work();

    push @wrong, sockets_work();
    push @wrong, figures_are(num_devices => scalar(keys %devices),
        websockets => scalar(keys %sockets), calls => 0, queued => 0);
    push @wrong, 'old workers stay: ' . join ' ', processes($t)
        unless wait_for(sub { processes($t) == 2 }, 3);

    $_->close() for values %devices, values %sockets;
    push @wrong, figures_are(num_devices => 0, websockets => 0, calls => 0,
        webhook_queued => 0);

    for my $pid (serving($t), master($t)) {
        my $what = $pid == master($t) ? 'master' : 'worker';
        my $now = fds($pid);
        $base{$what} = $now unless defined $base{$what};
        push @wrong, "descriptors of a $what: $now, not $base{$what}"
            unless wait_for(sub { fds($pid) == $base{$what} }, 1);
    }

    return @wrong;
}

###############################################################################

# Once without a fault

is(join("\n", do { prepare(); step(); after() }), '', 'no fault');

for my $fault (@faults) {
    my ($kind, $error, $lasting, $unnoticed) = @$fault;

    my ($hits, $wrong) = fault_each($t, kind => $kind, error => $error,
        lasting => $lasting, unnoticed => $unnoticed, name => 'reload',
        most => $ENV{MOST} || 60, stride => $ENV{STRIDE} || 1,
        prepare => \&prepare, step => \&step, after => \&after);

    is($wrong, '', "$kind, " . fault_words($error)
        . ($lasting ? ', lasting' : '') . ", $hits times");
    cmp_ok($hits, '>', 0, "$kind: it has failed");
}

$t->stop();
is(join("\n", fault_alerts($t)), '', 'nothing is left over');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

#!/usr/bin/perl

# A device that does not read: its own calls fail, in bounded memory, and
# nobody else notices.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $n = 2;
my $large = 'x' x 60000;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(46);

# Small socket buffers, so that a message does not fit in; mailboxes that hold
# all messages at once.

$t->write_file_expand('nginx.conf', worker_conf(workers => $n,
    listen => 'reuseport sndbuf=8192',
    http => 'cometa_queue 8; cometa_max_message_size 256k;',
    send => 'cometa_send_timeout 1s;'));
$t->run();

my ($here, $there) = wait_serving($t, $n);
my %stream = map { $_ => stream_on($_) } $here, $there;
my $other = device_on($here, device => 'other');

sub deaf {
    my (%o) = @_;
    return device_on($here, device => 'deaf', rcvbuf => 65536, %o);
}

sub start {
    my ($id, $message, @o) = @_;
    return call_start('app1', $id, $message, @o);
}

# For calls that are to be answered, however slow the machine is.

my @patient = (headers => { Prefer => 'wait=10' });

# The others of that worker are called, from it and across: how slow that was.

sub slowest {
    my ($seconds) = @_;

    my ($slowest, $end) = (0, time() + $seconds);

    while (time() < $end) {
        for my $pid ($here, $there) {
            my $watch = stopwatch();
            my $said = reached($other, stream => $stream{$pid}, @patient);
            if ($said ne 'yes') {
                diag($said);
                return 99;
            }

            my $took = $watch->took();
            $slowest = $took if $took > $slowest;
        }
    }

    return $slowest;
}

# How calls ended: "status error" => how many.

sub outcomes {
    my %seen;
    for (@_) {
        my $r = call_end($_);
        $seen{text($r)}++;
        $seen{'not in time'}++ if $r->{took} > 3;
    }
    return join ', ', map { "$seen{$_} x $_" } sort keys %seen;
}

###############################################################################

for my $form (qw/ A B /) {
    my $d = deaf(form => $form);
    my $start = time();
    my $watch = stopwatch();

    my @calls = map { start('deaf', $large) } 1 .. 4;

    cmp_ok(slowest(0.8), '<', 1, "$form: others do not notice");
    is(outcomes(@calls), '4 x 504 device_timeout', "$form: calls time out");

    # while it owes a reply, calls wait
    my $late = start('deaf', 'late');

    ok(wait_for(sub {
        stats('app1/devices/deaf', stream => $stream{$there})->{status} == 404
    }, 5), "$form: it is closed");

    my $took = time() - $start;
    cmp_ok($took, '>', 1.5, "$form: after it had its time");
    cmp_ok($watch->took(), '<', 4, "$form: and no more");
    like(outcomes($late), qr/\A1 x (?:404 device_offline|504 device_timeout)\z/,
        "$form: a call that waited");
    ok(defined $d->closed(), "$form: the connection is closed");
    is(text(call('app1', 'deaf', 'x')), '404 device_offline',
        "$form: offline");
    cmp_ok(slowest(0.1), '<', 1, "$form: others go on");
}

# A small message fits in: it is the reply that does not come

{
    my $d = deaf();
    my $start = time();
    my $watch = stopwatch();
    is(outcomes(start('deaf', 'x')), '1 x 504 device_timeout',
        'small message: times out');
    ok(wait_for(sub { $d->gone() }, 5), 'small message: it is closed');
    my $took = time() - $start;
    cmp_ok($took, '>', 1.5, 'small message: after it had its time');
    cmp_ok($watch->took(), '<', 4, 'small message: and no more');
    is($d->read_chunk(), 'x', 'small message: was there');
    is($d->closed(), 'last', 'small message: then a last chunk');
}

# One that attaches again need not wait for the old connection

{
    my $d = deaf();
    my @calls = (start('deaf', $large, @patient));
    ok($d->{stream}->readable(2), 'a large call is written');
    push @calls, map { start('deaf', $large, @patient) } 1, 2;
    ok(wait_for(sub { stats('app1')->{json}{stats}{queued} == 2 }),
        'two calls wait');

    my $again = device(device => 'deaf');
    is(outcomes($calls[0]), '1 x 502 device_taken_over', 'takeover');
    ok($again->echo(), 'a call that waited comes');
    ok($again->echo(), 'and the other');
    like(outcomes(@calls[1, 2]), qr/\A2 x 200 x+\z/, 'replies');
    is(reached($again, @patient), 'yes', 'and is free');

    ok(defined $d->closed(), 'the old connection is closed');
    $again->close();
}

# One that reads slowly is served

{
    my $d = deaf();
    my $first = start('deaf', $large, @patient);
    ok($d->{stream}->readable(2), 'a large call begins');
    my $second = start('deaf', 'second', @patient);
    sleep(0.2);
    ok($d->read_chunk() eq $large, 'slow, but it reads');
    $d->send_chunk('first');
    is($d->read_chunk(), 'second', 'the next one follows');
    $d->send_chunk('second');
    is(outcomes($first), '1 x 200 first', 'its reply');
    is(outcomes($second), '1 x 200 second', 'and that of the other');

    # a reply that comes before the message has left is one all the same
    $first = start('deaf', $large, @patient);
    ok($d->{stream}->readable(2), 'a large one begins');
    $d->send_chunk('early');
    is(outcomes($first), '1 x 200 early', 'an early reply');
    $second = start('deaf', 'second', @patient);
    ok($d->read_chunk() eq $large, 'the message comes whole');
    is($d->read_chunk(), 'second', 'and then the next');
    $d->send_chunk('done');
    is(outcomes($second), '1 x 200 done', 'with its reply');
    $d->close();
}

# Memory: as much as may wait, over and over, and no more

{
    my $memory = sub { rss($here) + rss($there) };
    my $before = $memory->();
    my (@rss, @seen, $peak);

    # all on one worker: what crosses has a limit of its own
    my @callers = map { stream_on($here) } 1 .. 8 * 14;

    for my $round (0 .. 4) {
        my @devices = map {
            device_on($here, device => "m$_", rcvbuf => 65536)
        } 1 .. 8;

        # one that took over is written to a moment later
        sleep(0.1);

        my @calls = map {
            call_start('app1', 'm' . (1 + $_ % 8), $large,
                stream => $callers[$_], headers => { Prefer => 'wait=2' })
        } 0 .. $#callers;

        $peak = $memory->() if !$peak || $memory->() > $peak;

        push @seen, outcomes(@calls);
        $_->close() for @devices;
        push @rss, $memory->();
    }

    # one is written, 8 wait, 5 are too many
    is(join("\n", @seen), join("\n",
        ('40 x 429 device_busy, 72 x 504 device_timeout') x 5),
        'what became of many calls');

    SKIP: {
    skip 'a sanitizer keeps memory', 2 if $t->has_module('fsanitize');

    # a message in the caller's request, in the queue or on its way
    cmp_ok($peak - $before, '<', 3 * 112 * 64, 'memory while they wait')
        or diag("$before, $peak");
    cmp_ok($rss[4] - $rss[1], '<', 2048, 'memory does not grow')
        or diag("$before, @rss");
    }
}

$other->close();

ok(wait_for(sub {
    my $s = stats('app1')->{json}{stats};
    $s->{num_devices} == 0 && $s->{queued} == 0 && $s->{calls} == 0
}), 'nothing is left');

###############################################################################

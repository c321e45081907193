#!/usr/bin/perl

# Who waits for a device, in which order, for how long: one call at a time,
# from callers on several workers.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(93);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 4, listen => 'reuseport',
    send => 'cometa_send_timeout 5s; cometa_queue 5;',
    server => <<"EOC"));

        add_header Pid \$pid always;

        location ~ ^/default/$ids {
            cometa_send;
        }

        location ~ ^/short/$ids {
            cometa_send;
            cometa_queue 1;
        }

        location ~ ^/deep/$ids {
            cometa_send;
            cometa_queue 100;
        }

        location ~ ^/wait/$ids {
            cometa_send;
            cometa_send_wait 1s;
            cometa_queue 5;
        }
EOC

$t->run();

# The application is known from its first device on.

device(device => 'first')->close();

# The connections of the callers: some to each worker.

my @workers = workers(4, 10);
my $next = 0;

###############################################################################

# A call by way of the next worker; the callers use their connections in turn,
# so that one that has left is not used again.

sub from_next {
    my ($device, $message, %o) = @_;
    my $streams = $workers[$next++ % @workers];

    push @$streams, my $stream = shift @$streams;

    return call_start('app1', $device, $message, stream => $stream, %o);
}

# The same, until the device's queue is so long.

sub from_next_queued {
    my ($n, @call) = @_;
    my $call = from_next(@call);
    figure_is('app1', 'queued', $n) or die "not $n wait\n";
    return $call;
}

# The same, until so many calls are under way; for a device that is offline.

sub from_next_pending {
    my ($n, @call) = @_;
    my $call = from_next(@call);
    figure_is('app1', 'calls', $n) or die "not $n calls\n";
    return $call;
}

sub took {
    my ($r, $from, $name) = @_;
    ok($r->{time} > $from - 0.05 && $r->{took} < $from + 0.95, $name)
        or diag("after $r->{time} s");
}

###############################################################################

# In order, one at a time

{
    my $d = device();

    for my $round (1 .. 5) {
        my @calls = from_next('dev1', 'm0');
        is($d->read_chunk(), 'm0', "round $round: the first is written");

        push @calls, from_next_queued($_, 'dev1', "m$_") for 1 .. 5;
        ok($d->quiet(0.1), "round $round: the others wait");

        my $order = '';

        for my $i (0 .. 5) {
            $d->send_chunk("r$i");
            last if $i == 5;
            my $got = $d->read_chunk();
            $order .= ' ' . (defined $got ? $got : 'nothing');
            $order .= ' and more' if $i == 2 && !$d->quiet(0.1);
        }

        is($order, ' m1 m2 m3 m4 m5', "round $round: in order");
        is(join(' ', map { outcome(call_end($_)) } @calls),
            '200 r0 200 r1 200 r2 200 r3 200 r4 200 r5',
            "round $round: everyone's own reply");
    }

    # many at once

    my @calls = map {
        [ $_, from_next('dev1', "message $_", uri => '/deep/app1/dev1') ]
    } 1 .. 40;

    $d->echo(sub { "re: $_[0]" }) for @calls;

    is(join(', ', grep { defined } map {
        my ($n, $call) = @$_;
        my $said = outcome(call_end($call));
        $said eq "200 re: message $n" ? undef : $said
    } @calls), '', 'replies of 40 calls at once');

    ok(figure_is('app1', 'queued', 0), 'nobody waits');
}

# The queue has an end

{
    my $d = device(device => 'full');

    my @calls = from_next('full', 'm0');
    $d->read_chunk();
    push @calls, from_next_queued($_, 'full', "m$_") for 1 .. 5;

    my @r = map { call_end(from_next('full', 'x')) } 1 .. 8;
    is(join(' ', map { $_->{status} } @r), join(' ', ('429') x 8),
        'full queue, from any worker');
    is(scalar(grep { $_->{took} > 1 } @r), 0, 'said at once');
    is(scalar(grep { $_->{headers}{'retry-after'} !~ /\A[1-9]\d?\z/ } @r), 0,
        'with a time to come back');

    $d->send_chunk('r0');
    is(outcome(call_end($calls[0])), '200 r0', 'one is answered');
    ok(figure_is('app1', 'queued', 4), 'there is room');
    push @calls, from_next_queued(5, 'full', 'm6');
    is(outcome(call_end(from_next('full', 'x'))), '429 device_busy',
        'for one');

    my $order = join ' ', map {
        my $got = $d->read_chunk();
        $d->send_chunk('r');
        defined $got ? $got : 'nothing';
    } 1 .. 6;
    is($order, 'm1 m2 m3 m4 m5 m6', 'none of those refused is written');
    is(join(' ', map { call_end($_)->{status} } @calls[1 .. 6]),
        join(' ', ('200') x 6), 'all others are');

    # 16 unless told otherwise; each location has a limit of its own

    my @uri = (uri => '/default/app1/full');
    @calls = from_next('full', 'w', @uri);
    is($d->read_chunk(), 'w', 'written');
    push @calls, from_next_queued(1, 'full', 'm1', uri => '/short/app1/full');
    is(outcome(call_end(from_next('full', 'x', uri => '/short/app1/full'))),
        '429 device_busy', 'a queue of one');
    push @calls, map { from_next_queued($_, 'full', "m$_", @uri) } 2 .. 16;
    is(outcome(call_end(from_next('full', 'x', @uri))), '429 device_busy',
        'default length');

    $d->send_chunk('r');
    $d->echo() for 1 .. 16;
    is(scalar(grep { call_end($_)->{status} == 200 } @calls), 17,
        'all are answered');

    # another device has a queue of its own

    my $other = device(device => 'other');
    @calls = from_next('full', 'w');
    $d->read_chunk();
    my $call = from_next('other', 'x');
    $other->echo();
    is(outcome(call_end($call)), '200 x', 'another device is free');
    $d->send_chunk('r');
    is(outcome(call_end($calls[0])), '200 r', 'and this one is, too');
}

# Never resent

{
    my $d = device(device => 'once');

    for my $way (qw/ close reset /) {
        my $written = from_next('once', 'written');
        is($d->read_chunk(), 'written', "$way: written");
        $d->$way();
        is(outcome(call_end($written)), '502 device_disconnected',
            "$way: failed");

        $d = device(device => 'once');
        ok($d->quiet(0.2), "$way: not written again");
    }

    # those that wait are not lost: a device takes over
    my $written = from_next('once', 'written');
    $d->read_chunk();
    my @waiting = map { from_next_queued($_, 'once', "m$_") } 1 .. 3;

    my $new = device(device => 'once');
    is(outcome(call_end($written)), '502 device_taken_over', 'taken over');

    my @seen;
    for (1 .. 3) {
        push @seen, $new->read_chunk();
        $new->send_chunk('r');
    }
    is("@seen", 'm1 m2 m3', 'those that wait move, in order');
    is(join(' ', map { outcome(call_end($_)) } @waiting), '200 r 200 r 200 r',
        'and are answered');
    ok($new->quiet(0.1), 'once');

    # nobody attaches: they are offline, and not late to hear it
    $written = from_next('once', 'written');
    $new->read_chunk();
    my $waiting = from_next_queued(1, 'once', 'm');
    $new->close();
    is(outcome(call_end($written)), '502 device_disconnected', 'gone');
    my $r = call_end($waiting);
    is(outcome($r), '404 device_offline', 'the one that waits');
    ok(figure_is('app1', 'queued', 0), 'nobody waits');
}

# Callers that go away

{
    my $d = device(device => 'left');

    for my $way (qw/ close reset /) {

        # their connections do not come back
        my $leaving = sub {
            return call_start('app1', 'left', $_[0]);
        };

        my $written = from_next('left', 'written');
        is($d->read_chunk(), 'written', "$way: written");

        my $gone = $leaving->('gone');
        ok(figure_is('app1', 'queued', 1), "$way: waits");
        my $after = from_next_queued(2, 'left', 'after');
        $gone->{stream}->$way();
        ok(figure_is('app1', 'queued', 1), "$way: a waiting call is removed");

        $d->send_chunk('r1');
        is($d->read_chunk(), 'after', "$way: and never written");
        $d->send_chunk('r2');
        is(outcome(call_end($written)), '200 r1', "$way: the one before");
        is(outcome(call_end($after)), '200 r2', "$way: the one behind");

        # a written call is let finish

        $gone = $leaving->('gone');
        is($d->read_chunk(), 'gone', "$way: written");
        $after = from_next_queued(1, 'left', 'after');
        $gone->{stream}->$way();
        ok(figure_is('app1', 'calls', 1), "$way: its caller leaves");
        ok($d->quiet(0.2), "$way: the next one waits for the reply");

        $d->send_chunk('for nobody');
        is($d->read_chunk(), 'after', "$way: then is written");
        $d->send_chunk('r3');
        is(outcome(call_end($after)), '200 r3', "$way: and gets its own");
    }
}

# Devices that are not there yet

{
    my @wait = (headers => { 'Cometa-Wait' => 3 });

    # on whichever worker it comes

    my (%pids, @wrong);

    for my $i (1 .. 16) {
        my $call = from_next_pending(1, "late$i", "m$i", @wait);
        my $d = device(device => "late$i");
        $pids{$d->header('Pid')}++;
        $d->echo(sub { "re: $_[0]" });
        my $said = outcome(call_end($call));
        push @wrong, $said if $said ne "200 re: m$i";
    }

    is("@wrong", '', 'the device comes');
    cmp_ok(scalar(keys %pids), '>', 1, 'on more than one worker');

    # how long

    my $r = call_end(from_next('never', 'x', headers => {
        'Cometa-Wait' => 1 }));
    is(outcome($r), '404 device_offline', 'it does not come');
    took($r, 1, 'in the time of the header');

    $r = call_end(from_next('never', 'x', uri => '/wait/app1/never'));
    is(outcome($r), '404 device_offline', 'cometa_send_wait');
    took($r, 1, 'in the time of the directive');

    $r = call_end(from_next('never', 'x', uri => '/wait/app1/never',
        headers => { 'Cometa-Wait' => 0 }));
    is(outcome($r), '404 device_offline', 'the header wins');
    took($r, 0, 'at once');

    $r = call_end(from_next('never', 'x'));
    is(outcome($r), '404 device_offline', 'no wait unless asked for');
    took($r, 0, 'at once');

    $r = call_end(from_next('never', 'x', headers => {
        'Cometa-Wait' => 4, Prefer => 'wait=1' }));
    is(outcome($r), '504 device_timeout', 'the deadline is first');
    took($r, 1, 'in its time');

    # one deadline for the wait and for the reply

    my $call = from_next_pending(1, 'mute', 'x', headers => {
        'Cometa-Wait' => 4, Prefer => 'wait=3' });
    my $d = device(device => 'mute');
    is($d->read_chunk(), 'x', 'it comes');
    $r = call_end($call);
    is(outcome($r), '504 device_timeout', 'and is silent');
    took($r, 3, 'the wait counts');

    # several wait, and one of them leaves

    my @calls = map { from_next_pending($_, 'party', "m$_", @wait) } 1 .. 3;
    my $leaves = call_start('app1', 'party', 'left', @wait);
    figure_is('app1', 'calls', 4);
    push @calls, from_next_pending(5, 'party', 'm4', @wait);
    $leaves->{stream}->close();
    ok(figure_is('app1', 'calls', 4), 'one leaves');

    $d = device(device => 'party');
    my @seen;
    for (1 .. 4) {
        push @seen, $d->read_chunk();
        $d->send_chunk("re: $seen[-1]");
    }
    is("@seen", 'm1 m2 m3 m4', 'the others are written in order');
    is(join(' ', map { outcome(call_end($_)) } @calls),
        '200 re: m1 200 re: m2 200 re: m3 200 re: m4',
        'and get their replies');

    # their queue has an end, too

    my @streams = @{$workers[0]};
    @calls = map {
        my $call = call_start('app1', 'many', "m$_", @wait,
            stream => $streams[$_]);
        figure_is('app1', 'calls', $_);
        $call
    } 1 .. 5;
    $r = call('app1', 'many', 'x', @wait, stream => $streams[6]);
    is(outcome($r), '429 device_busy', 'no room to wait');
    $d = device(device => 'many');
    $d->echo() for @calls;
    is(scalar(grep { call_end($_)->{status} == 200 } @calls), 5,
        'those that wait are answered');
}

ok(figure_is('app1', 'calls', 0), 'no call is left');
ok(figure_is('app1', 'queued', 0), 'nobody waits');

###############################################################################

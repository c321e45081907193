#!/usr/bin/perl

# A call has one deadline.  A reply that is late reaches nobody.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(113);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, listen => 'reuseport',
    send => 'cometa_send_timeout 2s max=6s;',
    server => <<"EOC"));

        add_header Pid \$pid always;

        location ~ ^/three/$ids {
            cometa_send;
            cometa_send_timeout 3s;
        }
EOC

$t->run();

# The application is known from its first device on.

device(device => 'first')->close();

my @workers = workers(2, 6);

###############################################################################

sub took {
    my ($r, $from, $name) = @_;
    ok($r->{time} > $from - 0.05 && $r->{took} < $from + 0.8, $name)
        or diag("after $r->{time} s");
}

# Ends calls as they end, so that the time of each is its own.

sub end_all {
    my (@calls) = @_;

    wait_for(sub {
        $_->{answer} ||= $_->{stream}->readable(0) && call_end($_)
            for @calls;
        return !grep { !$_->{answer} } @calls;
    });

    return map { $_->{answer} || call_end($_, 0) } @calls;
}

# A call that is written and has passed its deadline.  The device then has as
# long again for the reply.

sub timed_out {
    my ($d, $message, @o) = @_;

    my $call = call_start('app1', $d->{device}, $message, @o);
    is($d->read_chunk(), $message, "$d->{device}: $message is written");

    my $r = call_end($call);
    is(outcome($r), '504 device_timeout', "$d->{device}: and not answered");
    took($r, 2, "$d->{device}: in time");
}

sub count_is {
    my ($name, $n, $why) = @_;
    ok(figure_is('app1', $name, $n), $why)
        or diag("$name: " . figures('app1')->{$name});
}

sub queued {
    my ($n, $why) = @_;
    count_is('queued', $n, $why);
}

###############################################################################

# For those that are to be answered, however slow the machine is

my @patient = (headers => { Prefer => 'wait=4' });

# What says how long; all devices are silent at once

{
    my @cases = (
        [ 2 ],
        [ 4, 'wait=4' ],
        [ 1, 'wait=1' ],
        [ 6, 'wait=9' ],
        [ 6, 'wait=99999999999999999999' ],
        [ 4, 'WAIT=4' ],
        [ 4, 'wait="4"' ],
        [ 4, 'wait = 4' ],
        [ 4, 'return=minimal, wait=4' ],
        [ 4, 'return=minimal,wait=4, handling=lenient' ],
        [ 4, 'handling=strict; x=1, wait=4' ],
        [ 4, "return=minimal\x0d\x0aPrefer: wait=4" ],
        [ 2, 'return=minimal' ],
        [ 2, 'wait' ],
        [ 2, 'wait=' ],
        [ 2, 'wait=x4' ],
        [ 2, 'wait=-4' ],
        [ 2, 'waiting=4' ],
        [ 2, 'await=4' ],
        [ 1, 'wait=1', uri => '/three/app1/' ],
        [ 3, undef, uri => '/three/app1/' ],
        [ 3, 'return=minimal', uri => '/three/app1/' ],
    );

    my (@calls, @devices);

    for my $case (@cases) {
        my ($seconds, $prefer, %o) = @$case;
        my $name = 'prefer' . @devices;

        $o{uri} .= $name if $o{uri};
        $o{headers} = { Prefer => $prefer } if defined $prefer;

        push @devices, device(device => $name);
        push @calls, call_start('app1', $name, 'x', %o);
    }

    for my $r (end_all(@calls)) {
        my ($seconds, $prefer) = @{shift @cases};
        my $name = defined $prefer ? $prefer =~ s/\x0d\x0a/ + /r : 'nothing';

        is(outcome($r), '504 device_timeout', "$name: it ends");
        took($r, $seconds, "$name: after $seconds s");
    }

    $_->close() for @devices;

    count_is('timeouts', scalar @calls, 'all are counted');
}

# Late replies, of calls from either worker

for my $streams (@workers) {
    my @stream = @$streams;
    my $d = device(device => 'late');
    my $late = figures('app1')->{late};

    timed_out($d, 'one', stream => $stream[0]);

    my $call = call_start('app1', 'late', 'two', stream => $stream[0],
        @patient);
    queued(1, 'late: the next call waits');

    $d->heartbeat();
    $d->event('no reply');
    ok($d->quiet(0.2), 'late: whatever else is said');

    $d->send_chunk('reply to one');
    is($d->read_chunk(), 'two', 'late: until the reply comes');
    count_is('late', $late + 1, 'late: it is counted');
    $d->send_chunk('reply to two');
    is(outcome(call_end($call)), '200 reply to two', 'late: its own reply');

    # it came while nobody waited

    timed_out($d, 'three', stream => $stream[0]);
    $d->send_chunk('reply to three');
    count_is('late', $late + 2, 'late: once more');

    $call = call_start('app1', 'late', 'four', stream => $stream[1],
        @patient);
    is($d->read_chunk(), 'four', 'late: nothing is owed');
    $d->send_chunk('reply to four');
    is(outcome(call_end($call)), '200 reply to four', 'late: its own reply');

    # it is empty

    timed_out($d, 'five', stream => $stream[0]);
    $d->raw("0\x0d\x0a\x0d\x0a");
    count_is('late', $late + 3, 'late: an empty one');
    $call = call_start('app1', 'late', 'six', stream => $stream[1],
        @patient);
    $d->echo();
    is(outcome(call_end($call)), '200 six', 'late: the device stays');

    # a reply too many is a stray, not the reply to the next call

    my $errors = figures('app1')->{errors};
    $d->send_chunk('once more');
    count_is('errors', $errors + 1, 'late: a stray');
    $call = call_start('app1', 'late', 'seven', stream => $stream[1],
        @patient);
    $d->echo();
    is(outcome(call_end($call)), '200 seven', 'late: reaches nobody');

    $d->close();
}

# A call that has not been written owes nothing

{
    my $d = device(device => 'waits');

    my $one = call_start('app1', 'waits', 'one',
        headers => { Prefer => 'wait=6' });
    is($d->read_chunk(), 'one', 'one is written');
    my $two = call_start('app1', 'waits', 'two');
    queued(1, 'two waits');

    my $r = call_end($two);
    is(outcome($r), '504 device_timeout', 'in vain');
    took($r, 2, 'in time');
    queued(0, 'and is removed');

    $d->send_chunk('reply');
    is(outcome(call_end($one)), '200 reply', 'one is not late');
    ok($d->quiet(0.2), 'two is never written');

    my $three = call_start('app1', 'waits', 'three', @patient);
    $d->echo();
    is(outcome(call_end($three)), '200 three', 'nothing is owed');
}

# A device that owes for too long

{
    my %d = map { $_ => device(device => $_) } qw/ silent lively back /;

    # those before them have left
    count_is('num_devices', 3, 'only these are attached');

    my $detached = figures('app1')->{detached_total};
    my $start = time();
    my $watch = stopwatch();

    my @calls = map { call_start('app1', $_, 'x') } sort keys %d;
    is(join(' ', map { outcome(call_end($_)) } @calls),
        join(' ', ('504 device_timeout') x 3), 'no device answers');

    my @waiting = (
        call_start('app1', 'silent', 'y', @patient),
        call_start('app1', 'back', 'y', headers => {
            Prefer => 'wait=9', 'Cometa-Wait' => 3 })
    );
    queued(2, 'the next calls wait');

    # life is no reply
    my $lives = time() + 0.6;
    while (time() < $lives) {
        $d{lively}->heartbeat();
        $d{lively}->event('e');
        sleep(0.1);
    }

    for my $name (qw/ silent lively back /) {
        $d{$name}->read_chunk(0);
        is($d{$name}->closed(), 'last', "$name: closed in order");
    }

    my $took = time() - $start;
    ok($took > 3.9 && $watch->took() < 5.8, 'after another timeout')
        or diag("after $took s");
    count_is('detached_total', $detached + 3, 'they are counted');

    is(outcome(call_end($waiting[0])), '404 device_offline',
        'the call that waits');

    my $again = device(device => 'back');
    is($again->read_chunk(), 'y', 'the device comes back for one');
    $again->send_chunk('r');
    is(outcome(call_end($waiting[1])), '200 r', 'that waits for it');
}

# The deadline is that of the request, not of its body

{
    my $d = device(device => 'body');

    my ($head, $body) = split /(?<=\x0d\x0a\x0d\x0a)/,
        call_request('app1', 'body', 'message', @patient);

    my $stream = caller_stream();
    my $start = time();
    my $watch = stopwatch();
    $stream->write($head);
    sleep(0.6);
    $stream->write($body);

    is($d->read_chunk(), 'message', 'a slow body is written');
    my $r = response($stream);
    $r->{time} = time() - $start;
    is(outcome($r), '504 device_timeout', 'in vain');
    ok($r->{time} > 3.95 && $watch->took() < 4.55, 'its time counts')
        or diag("after $r->{time} s");

    $d->send_chunk('late');

    $stream = caller_stream();
    $stream->write(call_request('app1', 'body', 'message') =~ s/message\z//r);
    sleep(2.1);
    $stream->write($body);
    is(outcome(response($stream)), '504 device_timeout',
        'a body that is too slow');
    ok($d->quiet(0.2), 'is never written');
}

count_is('calls', 0, 'no call is left');
queued(0, 'nobody waits');

###############################################################################

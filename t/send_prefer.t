#!/usr/bin/perl

# How long a call may take, as its caller says it: Prefer (RFC 7240) and
# Cometa-Wait.  t/unit/header.c has the syntax; here is what comes of it.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# The location's own times: a deadline of 1 s, no waiting for a device.

my %prefer = (
    'wait=3' => 3,
    'wait=99999999999999999999' => 6,
    'handling=lenient; x="a, wait=2", wait="3"' => 3,

    # no such preference, or none that can be read

    'wait5' => 1,
    'wait=1.5' => 1,
    'wait=3s' => 1,
    'wait=-3' => 1,
    'a; wait=3' => 1,
    'a="wait=3"' => 1,
    "wait=x\x0d\x0aPrefer: wait=3" => 1,
);

my %wait = (
    '3' => 3,
    '03' => 3,
    '99999999999999999999' => 6,
    '0' => 0,
    '3.5' => 0,
    '3s' => 0,
    '-3' => 0,
    '' => 0,
);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(2 * keys(%prefer) + 2 * keys(%wait) + 8);

$t->write_file_expand('nginx.conf', cometa_conf(
    send => 'cometa_send_timeout 1s max=6s;'
))->run();

###############################################################################

# They run side by side; each ends after the seconds that are expected of it, and
# before the next ones are due.

sub check {
    my ($expected, $error, %calls) = @_;

    for my $name (sort keys %calls) {
        my $r = call_end($calls{$name}, 8);
        my $seconds = $expected->{$name};

        is(outcome($r), $error, "$name: $error");
        ok($r->{time} > $seconds - 0.1 && $r->{took} < $seconds + 1.9,
            "$name: $seconds s") or diag("after $r->{time} s");
    }
}

###############################################################################

# Silent devices

{
    my %devices = map { $_ => device(device => "d-$_") }
        0 .. keys(%prefer) - 1;
    my %calls;

    for my $value (sort keys %prefer) {
        $calls{$value} = call_start('app1', 'd-' . keys(%calls), 'x',
            headers => { Prefer => $value });
    }

    # in the order of their ends, that none is read late
    for my $seconds (1, 3, 6) {
        check(\%prefer, '504 device_timeout', map { $_ => $calls{$_} }
            grep { $prefer{$_} == $seconds } keys %calls);
    }
}

# Devices that are not there

{
    my %calls = map {
        $_ => call_start('app1', 'nobody', 'x', headers => {
            'Cometa-Wait' => $_, Prefer => 'wait=6'
        })
    } keys %wait;

    for my $seconds (0, 3, 6) {
        check(\%wait, $seconds == 6 ? '504 device_timeout'
            : '404 device_offline', map { $_ => $calls{$_} }
            grep { $wait{$_} == $seconds } keys %calls);
    }
}

# No time at all: the device does not see the message.

{
    my $d = device(device => 'dev1');
    my $before = figures('app1');

    for my $value ('wait=0', 'respond-async, wait="0"', 'wait=000') {
        my $r = call('app1', 'dev1', 'never', headers => { Prefer => $value });
        is(outcome($r), '504 device_timeout', $value);
    }

    is(outcome(call('app1', 'nobody', 'x', headers => {
        Prefer => 'wait=0', 'Cometa-Wait' => 3
    })), '504 device_timeout', 'wait=0, and nobody there');

    ok($d->quiet(0.3), 'nothing was written to the device');

    my $call = call_start('app1', 'dev1', 'now',
        headers => { Prefer => 'wait=6' });
    is($d->read_chunk(2), 'now', 'it owes nothing, and gets the next message');
    $d->send_chunk('yes');
    is(outcome(call_end($call)), '200 yes', 'and its reply is taken');

    is(figures('app1')->{timeouts} - $before->{timeouts}, 4,
        'they are counted as timed out');
}

###############################################################################

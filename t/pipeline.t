#!/usr/bin/perl

# Devices that take several calls at a time: what they are granted, that replies
# are matched by order, and that a call which nobody waits for any more keeps
# its place.

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

my $t = Test::Nginx->new()->has(qw/http http_v2 rewrite map/)->plan(59);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';
my $conf = websocket_conf(workers => 2, http2 => 1, move => 'on',
    send => 'cometa_send_timeout 20s; cometa_queue 100;',
    websocket => 'cometa_send_timeout 20s; cometa_queue 100;', server => <<"EOC");

        location ~ ^/off/$ids {
            cometa_attach;
            cometa_pipeline 1;
        }

        location ~ ^/four/$ids {
            cometa_attach;
            cometa_pipeline 4;
        }

        location ~ ^/short/$ids {
            cometa_send;
            cometa_send_timeout 2s;
        }

        location ~ ^/long/$ids {
            cometa_send;
            cometa_send_timeout 5s;
        }
EOC

$t->write_file_expand('nginx.conf', $conf)->run();

my @workers = wait_serving($t, 2);

# A device that asks for so many.

sub pipelining {
    my ($n, %o) = @_;
    return device(headers => { 'Cometa-Pipeline' => $n }, %o);
}

sub granted {
    my $d = pipelining(@_);
    my $n = $d->header('Cometa-Pipeline');
    $d->close();
    return defined $n ? $n : 'none';
}

sub chunks {
    my ($d, $n) = @_;
    return join ' ', map { my $got = $d->read_chunk(4);
        defined $got ? $got : 'nothing' } 1 .. $n;
}

sub late {
    return figures('app1')->{late};
}

# Calls that are started one after the other: each has come to the server, and
# as many as `with` of them are with the device, before the next one starts.

sub start_calls {
    my ($with, @calls) = @_;
    my @started;

    for my $call (@calls) {
        push @started, call_start('app1', 'dev1', ref $call ? @$call : $call);
        my $n = @started;
        wait_for(sub {
            my $f = figures('app1');
            return $f->{calls} >= $n && $f->{queued} == ($n > $with ? $n - $with : 0);
        }) or die "call $n does not come\n";
    }

    return @started;
}

###############################################################################

# What is granted

is(granted(3), 3, 'a device gets what it asks for');
is(granted(16), 16, 'up to 16 by default');
is(granted(100), 16, 'and not more');
is(granted(4000000000), 16, 'however much it wants');
is(granted(9, uri => '/four/app1/dev1'), 4, 'or what the location has');
is(granted(9, uri => '/off/app1/dev1'), 1, 'which may be one');
is(granted(1), 1, 'or the device wants one');
is(granted($_), 'none', "but \"$_\" is no number of calls")
    for '0', '-3', '3x', '1.5', '';
is(granted(5, form => 'B'), 5, 'in form B, too');

my $d = device();
ok(!defined $d->header('Cometa-Pipeline'), 'who does not ask is not answered');

{
    my ($one, $two) = start_calls(1, 'one', 'two');
    is($d->read_chunk(), 'one', 'and gets one message');
    ok($d->quiet(), 'at a time');
    $d->send_chunk('re: one');
    is($d->read_chunk(), 'two', 'then the next');
    $d->send_chunk('re: two');
    is(text(call_end($two)), '200 re: two', 'as ever');
}

$d = pipelining(8, uri => '/off/app1/dev1');

{
    my ($one, $two) = start_calls(1, 'one', 'two');
    is($d->read_chunk(), 'one', 'so does one where it is off');
    ok($d->quiet(), 'one at a time');
    $d->send_chunk('re: one');
    $d->read_chunk();
    $d->send_chunk('re: two');
    call_end($two);
}

###############################################################################

# Order

$d = pipelining(4);

{
    my @calls = start_calls(4, map { "m$_" } 1 .. 6);

    is(chunks($d, 4), 'm1 m2 m3 m4', 'as many calls as were granted');
    ok($d->quiet(), 'and not more');

    $d->heartbeat();
    $d->event('an event');
    $d->send_chunk('r1');
    is($d->read_chunk(), 'm5', 'each reply makes room for one');

    $d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("r$_") } 2 .. 4);
    is($d->read_chunk(), 'm6', 'so do several in one packet');
    $d->send_chunk($_) for 'r5', 'r6';

    is(join(' ', map { call_end($_)->{body} } @calls), 'r1 r2 r3 r4 r5 r6',
        'each call gets the reply that is its own by order');
    is(figures('app1')->{errors}, 0, 'none is a stray');
}

# An empty reply counts, a byte at a time as well

{
    my @calls = start_calls(4, 'a', 'b', 'c');
    chunks($d, 3);
    $d->raw_bytes("2\x0d\x0ara\x0d\x0a" . "0\x0d\x0a\x0d\x0a"
        . "2\x0d\x0arc\x0d\x0a");
    is(join('|', map { call_end($_)->{body} } @calls), 'ra||rc',
        'an empty reply has its place');
}

$d->send_chunk('stray');
ok(wait_for(sub { figures('app1')->{errors} == 1 }),
    'with no call outstanding it is a stray');

###############################################################################

# Calls that nobody waits for any more keep their places

{
    my $late = late();
    my ($a, $b, $c) = start_calls(4, 'a', [ 'b', uri => '/short/app1/dev1' ],
        'c');
    is(chunks($d, 3), 'a b c', 'three calls');
    is(text(call_end($b)), '504 device_timeout', 'the second one times out');

    my $e = call_start('app1', 'dev1', 'd');
    is($d->read_chunk(), 'd', 'others are written still');

    $d->send_chunk('ra');
    is(text(call_end($a)), '200 ra', 'the first one gets its reply');
    $d->send_chunk('rb');
    ok(wait_for(sub { late() == $late + 1 }), 'that to the second is dropped');
    $d->send_chunk('rc');
    $d->send_chunk('rd');
    is(text(call_end($c)), '200 rc', 'the third gets its own');
    is(text(call_end($e)), '200 rd', 'and the fourth');
}

{
    my $late = late();
    my ($a, $b, $c) = start_calls(4, 'a', 'b', 'c');
    chunks($d, 3);
    $a->{stream}->close();
    $c->{stream}->close();
    ok(wait_for(sub { figures('app1')->{calls} == 1 }), 'callers leave');
    $d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("r$_") }
        qw/ a b c /);
    is(text(call_end($b)), '200 rb', 'who stays gets the reply');
    ok(wait_for(sub { late() == $late + 2 }), 'to others it is dropped');
}

# A place of a call that nobody waits for is taken until its reply has come

{
    my @calls = start_calls(4, (map { [ "s$_", uri => '/long/app1/dev1' ] }
        1 .. 3), 'last');
    is(chunks($d, 4), 's1 s2 s3 last', 'four calls');
    call_end($_) for @calls[0 .. 2];

    my $next = call_start('app1', 'dev1', 'next');
    ok($d->quiet(), 'three have timed out, and all places are taken');

    # each reply gives the device the whole time for the next one

    for (1 .. 3) {
        sleep(3);
        $d->send_chunk("late $_");
    }

    is($d->read_chunk(), 'next', 'until they are answered');
    $d->send_chunk('r last');
    $d->send_chunk('r next');
    is(text(call_end($calls[3])), '200 r last', 'late replies shift none');
    is(text(call_end($next)), '200 r next', 'and none is lost');
}

# Silence

{
    my ($a, $b) = start_calls(4, [ 'a', uri => '/short/app1/dev1' ], 'b');
    chunks($d, 2);
    is(text(call_end($a)), '504 device_timeout', 'a device is silent');
    ok(!$d->gone(), 'it may be for a while');
    is(text(call_end($b)), '502 device_disconnected', 'but not for ever');
    ok(wait_for(sub { $d->gone() }), 'then it is closed');
}

###############################################################################

# A takeover

{
    $d = pipelining(2);
    my @calls = start_calls(2, 'a', 'b', 'c');
    is(chunks($d, 2), 'a b', 'two calls of three');
    my $new = pipelining(3);
    is(join(' ', map { text(call_end($_)) } @calls[0, 1]),
        '502 device_taken_over 502 device_taken_over',
        'fail when the device attaches anew');
    is($new->read_chunk(), 'c', 'the third goes there');
    $new->send_chunk('rc');
    is(text(call_end($calls[2])), '200 rc', 'and is answered');
    $d = $new;
}

###############################################################################

# One WebSocket, on each worker; and one connection with HTTP/2

for my $pid (@workers) {
    my $d = device_on($workers[0], headers => { 'Cometa-Pipeline' => 16 });
    my $ws = websocket_on($pid, key => websocket_key('app1', 'dev1'));

    $ws->raw(map { ws_text("m$_") } 1 .. 20);
    is(chunks($d, 16), join(' ', map { "m$_" } 1 .. 16),
        'a WebSocket has 16 calls with the device');
    $d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("r$_") } 1 .. 16);
    is(chunks($d, 4), 'm17 m18 m19 m20', 'and then more');
    $d->send_chunk("r$_") for 17 .. 20;
    is(join(' ', map { $ws->said(4) } 1 .. 20),
        join(' ', map { "text r$_" } 1 .. 20), 'and gets all replies');
}

{
    my $d = pipelining(16);
    my $h2 = caller_stream(port => 8082);
    my $path = '/v1/applications/app1/devices/dev1/send';

    # no header is compressed, and each stream is one call

    $h2->write("PRI * HTTP/2.0\x0d\x0a\x0d\x0aSM\x0d\x0a\x0d\x0a"
        . h2_frame(4, 0, 0, '')
        . join '', map { h2_frame(1, 4, $_, h2_headers(':method' => 'POST',
            ':scheme' => 'http', ':path' => $path, ':authority' => 'localhost',
            authorization => 'OAuth s3cret'))
            . h2_frame(0, 1, $_, "m$_") } map { 2 * $_ - 1 } 1 .. 16);

    my @ids = map { 2 * $_ - 1 } 1 .. 16;
    is(chunks($d, 16), join(' ', map { "m$_" } @ids),
        'a connection with HTTP/2 has 16 calls there, too');
    $d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("r$_") } @ids);
    is(h2_bodies($h2, 16), join(' ', map { "$_: r$_" } @ids),
        'and gets all replies');
}

sub h2_frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1)
        . pack('CCN', $type, $flags, $stream) . $payload;
}

sub h2_headers {
    my $block = '';

    while (my ($name, $value) = splice @_, 0, 2) {
        $block .= pack 'C C/a C/a', 0, $name, $value;
    }

    return $block;
}

# The bodies of n answers, in the order of their streams.

sub h2_bodies {
    my ($h2, $n) = @_;
    my %bodies;

    while (keys %bodies < $n) {
        my $head = $h2->take_bytes(9, 4);
        last if !defined $head || length $head < 9;

        my ($length, $type, undef, $stream) = unpack 'N C C N', "\0$head";
        my $payload = $length ? $h2->take_bytes($length, 4) : '';

        $bodies{$stream} = $payload if $type == 0 && $length;
    }

    return join ' ', map { "$_: $bodies{$_}" } sort { $a <=> $b } keys %bodies;
}

###############################################################################

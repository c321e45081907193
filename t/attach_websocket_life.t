#!/usr/bin/perl

# Devices over WebSockets: signs of life, pings of the server, frames that are
# not completed, floods, the end of the worker, and calls in text.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Caller;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant FLOOD => 100000;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(45);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', websocket_conf(
    shutdown => '60s',
    attach => 'client_body_timeout 1s; cometa_heartbeat 60s timeout=600s;',
    server => <<"EOC"))->run();

        location ~ ^/short/$ids {
            cometa_attach;
            cometa_heartbeat 2s timeout=3s;
        }
EOC

sub framed { return device(form => 'W', @_) }

###############################################################################

# Pings of the server: after five sixths of the timeout

{
    my $at = '/short/app1';
    my $silent = framed(uri => "$at/silent");
    my $pongs = framed(uri => "$at/pongs");
    my $beats = framed(uri => "$at/beats");
    my $start = time();
    my %pings = ($pongs => 0, $beats => 0);

    while (time() - $start < 7) {
        $beats->heartbeat();

        for ($pongs, $beats) {
            my $said = $_->said(0.1);
            $pings{$_}++ if $said eq 'ping';
            $_->raw(ws_pong('')) if $said eq 'ping';
        }
    }

    is($silent->rest(), 'ping, close 1001 heartbeat_timeout, eof',
        'a silent one gets one ping, and is closed');
    ok(!$pongs->gone(), 'one that answers its pings stays');
    cmp_ok($pings{$pongs}, '>=', 1, 'it has got some');
    is($pings{$beats}, 0, 'one that sends heartbeats gets none');
    ok(!$beats->gone(), 'and stays');

    for ([ 'ping', ws_ping('') ], [ 'pong', ws_pong('x') ]) {
        my ($what, $frame) = @$_;
        my $end = time() + 5;

        while (time() < $end) {
            $pongs->raw($frame);
            $pongs->said(0.3);
        }

        ok(!$pongs->gone(), "a $what is a sign of life");
    }

    $_->close() for $pongs, $beats;
}

# What is begun has its time

for (
    [ 'half a frame', substr(ws_binary('hello'), 0, -2) ],
    [ 'half a head', substr(ws_binary('x' x 300), 0, 3) ],
    [ 'a first byte', "\x82" ],
    [ 'a fragment', frame(2, 'a part', fin => 0) ],
    [ 'half a ping', substr(ws_ping('hello'), 0, -2) ],
) {
    my ($what, $bytes) = @$_;
    my $d = framed();
    my $start = time();
    $d->raw($bytes);
    is($d->rest(), 'close 1002 protocol_error, eof', "$what, and no more");
    cmp_ok(time() - $start, '>', 0.9, 'after client_body_timeout');
}

{
    my $d = framed();
    my $start = time();

    $d->raw(frame(2, 'a', fin => 0));

    my $said = 'none';
    while ($said !~ /^close/ && time() - $start < 30) {
        $d->raw(ws_ping('p'), frame(0, '', fin => 0));
        $said = $d->said(0.1);
        $said = $d->said(0.1) if $said =~ /^pong/;
    }

    is($said, 'close 1002 protocol_error', 'fragments without end');
}

{
    my $d = framed();
    my $ping = ws_ping('in two pieces');

    $d->raw(substr($ping, 0, 7));
    sleep(0.3);
    $d->raw(substr($ping, 7));
    is($d->said(), 'pong in two pieces', 'a ping in two pieces');
    ok($d->quiet(2), 'after it nothing is begun');
    $d->close();
}

# A device without last words of its own, and one that says them at length

my $d = framed();
$d->raw(ws_close(1000, 'r' x 123));
is($d->rest(), 'close 1000, eof', 'a close frame with a long reason');

for ([ 'a code that is not for the wire', pack('n', 1005) ],
    [ 'a reason that is no UTF-8', pack('n', 1000) . "\xff" ],
    [ 'one byte', 'x' ])
{
    my ($what, $payload) = @$_;
    $d = framed();
    $d->raw(frame(8, $payload));
    like($d->rest(), qr/^close 10(?:02|07) protocol_error, eof$/,
        "a close frame with $what");
}

# Floods: others are served, and the device itself when it reads

for (
    [ 'pings', ws_ping('p' x 125), FLOOD / 4 ],
    [ 'pongs', ws_pong(''), FLOOD ],
    [ 'events', ws_text("\x07"), FLOOD ],
    [ 'empty messages', ws_text(''), FLOOD ],
    [ 'empty fragments', frame(0, '', fin => 0), FLOOD,
        frame(2, '', fin => 0), frame(0, "\x06") ],
) {
    my ($what, $frame, $count, $before, $after) = @$_;
    my $d = framed(device => 'flood', rcvbuf => 4096);
    my $other = framed(device => 'other');

    $d->raw($before) if $before;
    $d->raw($frame x ($count / 10)) for 1 .. 10;
    $d->raw($after) if $after;
    is(reached($other), 'yes', "another device in a flood of $what");

    my $said;
    do { $said = $d->said(0.9) } while $said =~ /^pong/;
    is(reached($d), 'yes', 'and the one that makes it');
    $_->close() for $d, $other;
}

# Text

$d = framed(headers => { 'Cometa-Frames' => 'text' });
is($d->header('Cometa-Frames'), 'text', 'frames of text are granted');

my $call = call_start('app1', 'dev1', "caf\xc3\xa9");
is($d->said(), "text caf\xc3\xa9", 'a call is a text');
$d->send_chunk("\xff");
is(outcome(call_end($call)), "200 \xff", 'its reply may be anything');

is(outcome(call('app1', 'dev1', "caf\xe9")), '415 text_required',
    'a call that is no UTF-8 is refused');
my $ws = websocket();
$ws->binary("\xff");
is($ws->heard(), 'error text_required', 'one over a WebSocket as well');
$call = call_start('app1', 'dev1', 'still');
is($d->said(), 'text still', 'others are written');
$d->send_chunk('here');
is(outcome(call_end($call)), '200 here', 'and answered');
is(figures('app1')->{failed}, 2, 'refused ones are failed calls');
$ws->close();
$d->close();

$d = device(headers => { 'Cometa-Frames' => 'text' });
ok(!defined $d->header('Cometa-Frames'), 'chunks have no text');
$d->close();

# The end of the worker

$d = framed();
my $chunked = device(device => 'chunked');
kill 'QUIT', master($t);
is($d->rest(), 'close 1012 draining, eof', 'the worker leaves');
is($chunked->closed(), 'last', 'as one with chunks hears');

###############################################################################

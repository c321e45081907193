#!/usr/bin/perl

# Bounds of channels: calls under way, their bytes, and a client that does not
# read.

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

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { CALLS => 4096, ONE => 1024, LONG => 65536 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(23);

# One worker, for a mailbox between two may have no room for so much at a time.

$t->write_file_expand('nginx.conf', websocket_conf(workers => 1,
    attach => 'cometa_heartbeat 1h;',
    websocket => 'cometa_send_timeout 120s max=200s; cometa_queue 60000;'))
    ->run();
wait_serving($t, 1);

my $d = device();

# The ends of calls by name: the words of their errors, or "ok".

sub ends {
    my ($ws, $n) = @_;

    my %ends;

    for (1 .. $n) {
        my $m = $ws->json(10);
        last if $m->{other};
        $ends{$m->{call}} = $m->{error} || 'ok';
    }

    return \%ends;
}

sub flood {
    my ($ws, $n, $message) = @_;
    $ws->raw(map {
        ws_text("{\"call\":$_,\"device\":\"dev1\",\"message\":\"$message\"}")
    } 1 .. $n);
}

sub answer_calls {
    my ($d, $n) = @_;
    my $answered = 0;

    for (1 .. $n) {
        last unless defined $d->read_chunk(5);
        $d->send_chunk('r');
        $answered++;
    }

    return $answered;
}

sub bound_is {
    my ($ws, $bound, $name) = @_;

    flood($ws, $bound + 100, 'm');
    is_deeply(ends($ws, 100), { map { $_ => 'overloaded' }
        $bound + 1 .. $bound + 100 }, "$name: calls above the bound");

    is(answer_calls($d, $bound), $bound, "$name: the others are written");
    is_deeply(ends($ws, $bound), { map { $_ => 'ok' } 1 .. $bound },
        "$name: and answered");

    flood($ws, 1, 'm');
    is(answer_calls($d, 1), 1, "$name: there is room again");
    is_deeply(ends($ws, 1), { 1 => 'ok' }, "$name: for one more");
}

bound_is(channel(), CALLS, 'a channel');
bound_is(websocket_json(), ONE, 'a WebSocket');

# Bytes of the messages

{
    my $ws = channel();
    my $fit = 16 * 1024 * 1024 / LONG;
    my $n = $fit + 20;

    # one after the other, for all of it does not fit into the sockets
    for my $i (1 .. $n) {
        $ws->ask(call => "$i", device => 'dev1', message => 'x' x LONG);
    }

    is_deeply(ends($ws, 20), { map { $_ => 'overloaded' } $fit + 1 .. $n },
        'more than 16 MB of messages');
    is(answer_calls($d, $fit), $fit, 'what fits is written');
    is_deeply(ends($ws, $fit), { map { $_ => 'ok' } 1 .. $fit },
        'and answered');
    is($ws->goodbye(), 'close 1000, eof', 'it closes');
}

# A client that sends and does not read: answers to nonsense are bounded, too

{
    my $ws = channel(rcvbuf => 4096);
    my $text = ws_text('{"call":"' . 'c' x 60 . '"}') x 100;

    local $SIG{PIPE} = 'IGNORE';
    for (1 .. 500) {
        $ws->raw($text) or last;
        last if figures('app1')->{websockets_slow};
    }

    ok(wait_for(sub { figures('app1')->{websockets_slow} == 1 }),
        'answers that are not read');
    ok(wait_for(sub { figures('app1')->{websockets} == 0 }),
        'are the end of it');
}

# Events that are not read

{
    my $slow = channel(rcvbuf => 4096);
    my $ws = channel();
    my $n = 0;

    while ($n < 400 && figures('app1')->{websockets_slow} < 2) {
        $d->event('e' x 60000);
        $n++;
        last if $ws->json(5)->{other};
    }

    is(figures('app1')->{websockets_slow}, 2, 'a slow one is closed');
    cmp_ok($n, '>=', 8, 'not before it has 256 KB and four of the largest');
    cmp_ok($n, '<', 200, 'nor much later');
    ok(wait_for(sub { figures('app1')->{websockets} == 1 }), 'it has gone');

    $d->event('last');
    is($ws->json()->{data}, 'last', 'another one has all of them');
    $ws->close();
}

# An event in JSON that is much longer than it was

{
    my $ws = channel();
    $d->event("\x01" x 65535);
    is($ws->json(5)->{data}, "\x01" x 65535, 'an event, all of it escaped');
    is($ws->goodbye(), 'close 1000, eof', 'is no reason to close');
}

###############################################################################

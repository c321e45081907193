#!/usr/bin/perl

# WebSockets to one device that speak JSON: calls by name, events, and what is
# answered to messages that are wrong.

###############################################################################

use warnings;
use strict;

use MIME::Base64 qw/ encode_base64 /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ wait_serving /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(93);

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2, move => 'on',
    websocket => 'cometa_websocket_protocol chat.v1;'
        . 'cometa_send_timeout 5s max=20s; cometa_max_message_size 1000; cometa_queue 1000;'))
    ->run();
wait_serving($t, 2);

my $d = device();

# Which subprotocol is agreed

sub agreed {
    my ($offered) = @_;

    my $ws = websocket(headers => { 'Sec-WebSocket-Protocol' => $offered });
    my $said = $ws->{headers}{'sec-websocket-protocol'};

    $ws->close();
    return "$ws->{status} " . (defined $said ? $said : '-');
}

is(agreed('cometa.json.v1'), '101 cometa.json.v1', 'it is agreed');
is(agreed('a, cometa.json.v1 ,b'), '101 cometa.json.v1', 'in a list');
is(agreed([ 'a', 'cometa.json.v1' ]), '101 cometa.json.v1', 'in two headers');
is(agreed('chat.v1, cometa.json.v1'), '101 cometa.json.v1',
    'ours goes before the configured one');
is(agreed('a, chat.v1'), '101 chat.v1', 'the configured one');
is(agreed('a, b'), '101 -', 'none of others');
is(agreed('cometa.json.v11, xcometa.json.v1, Cometa.json.v1'), '101 -',
    'nor of those that only look alike');
is(agreed(undef), '101 -', 'none without an offer');

{
    my $ws = websocket(headers => { 'Sec-WebSocket-Protocol' => 'chat.v1' });
    is(served($ws, $d), 'yes', 'the configured one is raw');
    $d->event('e');
    is($ws->said(), 'text e', 'and so are its events');
    $ws->goodbye();
}

# Calls

my $ws = websocket_json();

$ws->ask(call => '7', device => 'dev1', message => 'on');
is($d->read_chunk(), 'on', 'a call');
$d->send_chunk('ok');

my $m = $ws->json();
like(delete $m->{session}, qr/^\d+$/, 'its session');
is_deeply($m, { call => '7', device => 'dev1', reply => 'ok' }, 'its reply');

sub answered {
    my ($reply, %o) = @_;
    $ws->ask(call => '1', message => 'm', %o);
    my $got = $d->read_chunk();
    $d->send_chunk($reply);
    return ($got, $ws->told());
}

is_deeply([ answered('r') ], [ 'm', 'call=1 device=dev1 reply=r' ],
    'without a device');
is((answered("\0\xff\x01"))[1], 'call=1 device=dev1 base64=AP8B',
    'a reply that is no text');
is((answered(''))[1], 'call=1 device=dev1 reply=', 'an empty reply');
is((answered("\"\\\n\x01\xc3\xa9"))[1],
    "call=1 device=dev1 reply=\"\\\n\x01\xe9", 'a reply with all of it');

$ws->ask(call => 'b', base64 => encode_base64("\0\xff\x07", ''));
is($d->read_chunk(), "\0\xff\x07", 'a message in base64');
$d->send_chunk('r');
is($ws->told(), 'call=b device=dev1 reply=r', 'and its reply');

$ws->text('{"call":"\ud83d\ude00\n","message":"\u00e9\u0000"}');
is($d->read_chunk(), "\xc3\xa9\0", 'escapes, and a zero byte');
$d->send_chunk('r');
is($ws->json()->{call}, "\x{1f600}\n", 'a name with escapes');

$ws->text('{"call":12.5,"message":"m"}');
$d->read_chunk();
$d->send_chunk('r');
like($ws->said(), qr/^text \{"call":12\.5,"device"/,
    'a number stays a number');

$ws->text('{"call":"x","message":"' . '\u0001' x 1000 . '"}');
is($d->read_chunk(), "\x01" x 1000, 'the longest message, all of it escaped');
$d->send_chunk("\x02" x 1000);
is($ws->json()->{reply}, "\x02" x 1000, 'and such a reply');

# Several at once

$ws->ask(call => "n$_", message => "m$_") for 1 .. 200;

for (1 .. 200) {
    my $got = $d->read_chunk(3);
    $d->send_chunk("re $got") if defined $got;
}

is(join(' ', map { $ws->told() } 1 .. 200), join(' ',
    map { "call=n$_ device=dev1 reply=re m$_" } 1 .. 200), '200 at once');

# Errors

$ws->ask(call => 't', message => 'm', timeout => 0.2);
is($d->read_chunk(), 'm', 'a call with a short time');
is($ws->told(), 'call=t device=dev1 error=device_timeout', 'times out');
$d->send_chunk('late');
$ws->ask(call => 't', message => 'm', timeout => 0);
is($ws->told(), 'call=t device=dev1 error=device_timeout', 'no time at all');
ok($d->quiet(0.1), 'is not written');

sub refused {
    my ($text) = @_;
    $ws->text($text);
    my $m = $ws->json();
    return join ' ', map { defined $m->{$_} ? $m->{$_} : () }
        qw/ other call error detail /;
}

sub refused_is {
    my ($text, $expected, $name) = @_;
    like(refused($text), qr/^$expected/, $name || $text);
}

refused_is('', 'bad_request the message is no JSON object', 'nothing');
refused_is('hello', 'bad_request the message is no JSON object');
refused_is('[]', 'bad_request the message is no JSON object');
refused_is('{', 'bad_request the message is not JSON');
refused_is('{"call":"1","message":"m"} x', '1 bad_request the message is not J');
refused_is('{"call":"1","message":"m"', '1 bad_request the message is not J');
refused_is('{"call":"1","message":{"a":1}}', '1 bad_request a value is an obj');
refused_is('{"call":"1","message":[' . '[' x 900, '1 bad_request a value is',
    'deep JSON');
refused_is('{"call":"1","message":"\ud83d"}', '1 bad_request a string is not');
refused_is('{"message":"m"}', 'bad_request "call" is missing');
refused_is('{"call":"","message":"m"}', 'bad_request "call" is a string');
refused_is('{"call":"' . 'c' x 65 . '","message":"m"}',
    'bad_request "call" is a string', 'a long name');
refused_is('{"call":null,"message":"m"}', 'bad_request "call" is a string');
refused_is('{"call":' . '1' x 65 . ',"message":"m"}',
    'bad_request "call" is a string', 'a long number');
refused_is('{"call":"1"}', '1 bad_request "message" or "base64" is missing');
refused_is('{"call":"1","message":5}', '1 bad_request "message" is a string');
refused_is('{"call":"1","message":"m","base64":"bQ=="}',
    '1 bad_request "message" and "base64" exclude');
refused_is('{"call":"1","base64":"b%"}', '1 bad_request "base64" is not');
refused_is('{"call":"1","message":"m","timeout":"5"}',
    '1 bad_request "timeout" is a number');
refused_is('{"call":"1","message":"m","timeout":-1}',
    '1 bad_request "timeout" and "wait" are seconds');
refused_is('{"call":"1","message":"m","wait":1e3}',
    '1 bad_request "timeout" and "wait" are seconds');
refused_is('{"call":"1","mesage":"m"}', '1 bad_request there is a member of');
refused_is('{"call":"1","call":"2","message":"m"}',
    '1 bad_request a member stands there twice');
refused_is('{"call":"1","device":"dev2","message":"m"}',
    '1 bad_request this WebSocket is to another device');
refused_is('{"call":"1","message":""}', '1 empty_message');
refused_is('{"call":"1","base64":""}', '1 empty_message');
refused_is('{"call":"1","message":"' . 'm' x 1001 . '"}',
    '1 message_too_large', 'a message that is too long');
refused_is('{"call":"1","base64":"' . encode_base64('m' x 1001, '') . '"}',
    '1 message_too_large', 'and in base64');
refused_is('{"call":"1","device":"dev1","message":"m","timeout":0}',
    '1 device_timeout', 'a right one');

ok($d->quiet(0.1), 'the device has heard nothing of them');
is_deeply([ answered('r') ], [ 'm', 'call=1 device=dev1 reply=r' ],
    'and the socket serves on');

# What ends it

sub ends {
    my (@bytes) = @_;
    my $ws = websocket_json();
    $ws->raw(@bytes);
    my $said = $ws->rest();
    $ws->close();
    return $said;
}

is(ends(ws_binary('{"call":"1","message":"m"}')), 'close 1003, eof',
    'a binary message');
is(ends(ws_text("{\"call\":\"1\",\"message\":\"\xff\"}")), 'close 1007, eof',
    'a text that is not UTF-8');
is(ends(ws_text('{"call":"' . 'x' x 7100 . '"}')), 'close 1009, eof',
    'a message that is too long in any form');

# Events

my ($session, $last);

sub event_is {
    my ($expected, $name) = @_;
    my $m = $ws->json(3);
    like(delete $m->{time} || '', qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
        "$name: the time");
    $session = delete $m->{session};
    is_deeply($m, $expected, $name);
}

$d->event('pressed');
event_is({ event => 'data', device => 'dev1', seq => 1 + 1, data => 'pressed' },
    'an event');
$d->event("\xff\0");
event_is({ event => 'data', device => 'dev1', seq => 3, base64 => '/wA=' },
    'an event that is no text');
$d->event('');
event_is({ event => 'data', device => 'dev1', seq => 4, data => '' },
    'an empty event');
my $first = $session;

# the two of a takeover may come from two workers

my $d2 = device(info => "lamp \"1\"\xff");
my %m = map { $_->{event} => $_ } map { $ws->json(3) } 1 .. 2;
delete $m{$_}{time} for keys %m;

is_deeply($m{detach}, { event => 'detach', device => 'dev1', seq => 5,
    session => $first, reason => 'taken_over' }, 'the end of the old attach');
cmp_ok($session = delete $m{attach}{session}, '>', $first, 'a new session');
is_deeply($m{attach}, { event => 'attach', device => 'dev1',
    reason => 'taken_over', info => "lamp \"1\"\xff",
    address => $d2->socket()->sockhost() . ':' . $d2->socket()->sockport() },
    'the new attach');

$d2->event('one');
event_is({ event => 'data', device => 'dev1', seq => 1, data => 'one' },
    'numbers begin anew');
$d2->detach();
event_is({ event => 'detach', device => 'dev1', seq => 2,
    reason => 'detached' }, 'a detach');

$ws->ask(call => 'o', message => 'm');
is($ws->told(), 'call=o device=dev1 error=device_offline',
    'a call while it is offline');
$ws->ask(call => 'w', message => 'm', wait => 10);
$d = device(info => 'back');
is($d->read_chunk(), 'm', 'one that waits for the device');
is($ws->told(), 'event=attach device=dev1 reason=attached info=back',
    'the attach is told');
$d->send_chunk('r');
is($ws->told(), 'call=w device=dev1 reply=r', 'and it is answered');
$d->reset();
is($ws->told(), 'event=detach device=dev1 seq=1 reason=disconnected',
    'the connection breaks');

# Which events it wants

$d = device();
is($ws->told(), 'event=attach device=dev1 reason=attached info=', 'once more');

sub opens {
    my ($args) = @_;
    my $key = websocket_key('app1', 'dev1');
    return websocket_json(uri => "/v1/websockets/dev1/$key?$args");
}

for ('', 'all', 'data,', ',data', 'Data') {
    is(opens("events=$_")->{status}, 400, "events=$_ is refused");
}

my $only = opens('events=data');
my $other = opens('events=detach,data');
my $raw = websocket();

$d->event('e');
is($_->told(), 'event=data device=dev1 seq=1 data=e', 'data') for $only, $other;
$d->detach();
is($other->told(), 'event=detach device=dev1 seq=2 reason=detached', 'detach');
ok($only->quiet(0.1), 'not to one that wants data');
is($raw->said(), 'text e', 'to a raw one, data as it is');
ok($raw->quiet(0.1), 'and nothing else');

###############################################################################

#!/usr/bin/perl

# Devices that attach over a WebSocket: the handshake and its refusals, messages
# in both directions, and how such a device leaves.

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

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(78);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(attach => <<"EOA",

            add_header Seen-By proxy always;
EOA
    server => <<"EOC"))->run();

        location ~ ^/only/$ids {
            cometa_attach;
        }

        location ~ ^/secret/$ids {
            cometa_attach;
            cometa_device_secret d3vice;
        }

        location ~ ^/both/$ids {
            cometa_attach;
            cometa_websocket;
        }

        location ~ ^/small/$ids {
            cometa_attach;
            cometa_max_message_size 100;
        }
EOC

sub framed { return device(form => 'W', @_) }

sub wrong {
    my (%o) = @_;
    my $d = framed(%o);
    my $said = "$d->{status} " . ($d->{json}{error} || '');
    $d->close();
    return $said;
}

# A call whose device answers by itself.

sub call_through {
    my ($d, $message, $reply) = @_;

    my $call = call_start('app1', $d->{device}, $message);

    my $got = $d->read_chunk();
    $d->send_chunk($reply);

    return ($got, outcome(call_end($call)));
}

###############################################################################

# The handshake

my $d = framed(info => 'a lamp', protocol => 'mqtt, cometa.device.v1');

is($d->{status}, 101, 'attached');
is($d->header('Upgrade'), 'websocket', 'Upgrade');
like($d->header('Connection'), qr/^upgrade$/i, 'Connection');
is($d->header('Sec-WebSocket-Accept'), accept_of($d->{ws}{nonce}), 'Accept');
is($d->header('Sec-WebSocket-Protocol'), 'cometa.device.v1', 'subprotocol');
is($d->header('Seen-By'), 'proxy', 'add_header');
ok(!defined $d->header('Transfer-Encoding'), 'no chunks');
ok(!defined $d->header('Cometa-Heartbeat'), 'nothing granted');

is($d->{kind}, 'text', 'the first message is a text');
like($d->{first}, qr/^\{"msg":"200","heartbeat":60,"timestamp":\d+\}$/,
    'as that of chunks');
ok($d->quiet(), 'and nothing else');

my $stats = stats('app1/devices/dev1')->{json};
is($stats->{info}, 'a lamp', 'its info');
is($stats->{ip_address} =~ /^127\.0\.0\.1:/ ? 1 : 0, 1, 'its address');

is(figures('app1')->{num_devices}, 1, 'it counts as a device');

# Messages

my ($got, $outcome) = call_through($d, 'ping?', 'pong!');
is($got, 'ping?', 'a call');
is($outcome, '200 pong!', 'its reply');

$d->{frames} = 'text';
($got, $outcome) = call_through($d, "\xff\x00", "caf\xc3\xa9");
is($got, "\xff\x00", 'a call with any bytes');
is($outcome, "200 caf\xc3\xa9", 'a reply in a text');
$d->{frames} = 'binary';

($got, $outcome) = call_through($d, 'x', '');
is($outcome, '200 ', 'an empty reply');

my $long = random_bytes(60000);
($got, $outcome) = call_through($d, $long, scalar reverse $long);
ok($got eq $long, 'a long call');
ok($outcome eq '200 ' . reverse($long), 'a long reply');

# frames of calls are binary

my $call = call_start('app1', 'dev1', 'what');
is($d->said(), 'binary what', 'a call is binary');

# a reply in fragments with a ping between them

$d->raw(frame(2, 'in ', fin => 0), ws_ping('are you there'),
    frame(0, 'three ', fin => 0), frame(0, 'pieces'));
is($d->said(), 'pong are you there', 'a ping within a message is answered');
is(outcome(call_end($call)), '200 in three pieces', 'fragments are joined');

# byte by byte

$call = call_start('app1', 'dev1', 'slow');
is($d->said(), 'binary slow', 'one more call');
$d->raw_bytes(frame(2, 'bit', fin => 0), ws_ping('p'), frame(0, ' by bit'));
is($d->said(), 'pong p', 'its pong');
is(outcome(call_end($call)), '200 bit by bit', 'a reply byte by byte');

# heartbeat, event, stray

my $errors = figures('app1')->{errors};

$d->heartbeat();
$d->event('pressed');
ok(figure_is('app1', 'events', 1), 'an event');
ok(stats('app1/devices/dev1')->{json}{heartbeat} > 0, 'a heartbeat');
$d->{ws}->text("\x07in a text");
ok(figure_is('app1', 'events', 2), 'an event in a text');
$d->send_chunk('stray');
ok(figure_is('app1', 'errors', $errors + 1), 'a stray is counted');
$d->send_chunk('');
ok(figure_is('app1', 'errors', $errors + 2), 'an empty one as well');
$d->raw(ws_pong('unasked'), ws_ping(''), ws_ping('a'), ws_ping('b' x 125));
like($d->said(), qr/^pong/, 'pings are answered');
ok($d->{ws}->alive() || $d->{ws}->alive(), 'and the device stays');

# It leaves

$d->detach();
is($d->rest(), 'close 1000, eof', 'it leaves: close frame and end');
ok(wait_log($t, qr/device detached, reason: detached/), 'in order');
ok(figure_is('app1', 'num_devices', 0), 'it is gone');

for my $code (1000, 1001, 3000, 4999) {
    $d = framed();
    $d->raw(ws_close($code, 'bye'), 'what follows does not count');
    is($d->rest(), "close $code, eof", "the code $code is that of the device");
}

$d = framed();
$d->raw(ws_close());
is($d->rest(), 'close 1000, eof', 'no code');

$d = framed();
$d->close();
ok(wait_log($t, qr/device detached, reason: disconnected/), 'lost');

# Messages behind the handshake in the same packet

$d = framed(with => ws_binary("\x07early") . ws_ping('early'));
is($d->said(), 'pong early', 'frames behind the handshake');
ok(figure_is('app1', 'events', 3), 'are read');
$d->detach();

# Only what it must be

$d = framed(uri => '/only/app1/dev1');
is($d->{status}, 101, 'a location with nothing else');
$d->detach();

is(wrong(headers => { 'Sec-WebSocket-Version' => 8 }), '426 websocket_required',
    'version 8');
is(wrong(headers => { 'Sec-WebSocket-Version' => undef }),
    '426 websocket_required', 'no version');
is(wrong(headers => { Connection => 'close' }), '400 bad_request',
    'no Connection');
is(wrong(nonce => 'short'), '400 bad_request', 'a wrong key');
is(wrong(headers => { 'Sec-WebSocket-Key' => undef }), '400 bad_request',
    'no key');
is(wrong(headers => { Upgrade => undef, Connection => 'keep-alive' }),
    '426 websocket_required', 'a proxy has removed Upgrade');
is(wrong(headers => { Upgrade => undef }, uri => '/only/app1/dev1'),
    '426 websocket_required', 'also where there is nothing else');
is(wrong(version => '1.0'), '505 http1_required', 'HTTP/1.0');
is(wrong(headers => { 'Content-Length' => 5 }, with => 'a body'),
    '400 bad_request', 'a body');
is(wrong(headers => { 'Transfer-Encoding' => 'chunked' }), '400 bad_request',
    'a body in chunks');
is(wrong(app => 'nobody'), '403 forbidden', 'an unknown application');
is(wrong(device => 'l!mp'), '400 invalid_device_id', 'a wrong id');
is(wrong(method => 'HEAD'), '401 ', 'HEAD is no handshake');
is(wrong(headers => { Upgrade => 'h2c' , 'Sec-WebSocket-Key' => undef }),
    '401 unauthorized', 'nor is another protocol');

like(log_count($t, qr/attach refused: \w+/), qr/^1\d$/, 'refusals are logged');
is(figures('app1')->{num_devices}, 0, 'and nobody is attached');

# Secrets

is(wrong(uri => '/secret/app1/dev1'), '403 forbidden', 'no device secret');
is(wrong(uri => '/secret/app1/dev1',
    headers => { Authorization => 'Bearer wrong' }), '403 forbidden',
    'a wrong one');
$d = framed(uri => '/secret/app1/dev1',
    headers => { Authorization => 'Bearer d3vice' });
is($d->{status}, 101, 'the right one');
$d->detach();

# Where WebSockets of applications are opened as well

is(wrong(uri => '/both/app1/dev1'), '403 invalid_key',
    'a handshake without subprotocol is that of an application');
$d = framed(uri => '/both/app1/dev1', protocol => 'cometa.device.v1');
is($d->{status}, 101, 'one with it is that of a device');
$d->detach();

# Takeover, both ways

ok(figure_is('app1', 'num_devices', 0), 'nobody is there');

my $chunked = device();
$d = framed();
is($chunked->closed(), 'last', 'a WebSocket takes over from chunks');
$chunked = device();
is($d->rest(), 'close 1000 taken_over, eof', 'and chunks from a WebSocket');
$d = framed();
my $other = framed();
is($d->rest(), 'close 1000 taken_over, eof', 'and one WebSocket from another');
is(figures('app1')->{num_devices}, 1, 'there is one');

# Limits and errors

$d = framed(uri => '/small/app1/small');
$d->send_chunk("\x07" . 'x' x 99);
ok(figure_is('app1', 'events', 4), 'the largest message');
$d->raw(frame(2, "\x07" . 'x' x 60, fin => 0), frame(0, 'x' x 40));
is($d->rest(), 'close 1009 protocol_error, eof', 'a message too large');

for (
    [ 'without mask', frame(2, 'x', mask => ''), 1002 ],
    [ 'with a reserved bit', frame(2, 'x', rsv => 4), 1002 ],
    [ 'unknown', frame(3, 'x'), 1002 ],
    [ 'that is no UTF-8', ws_text("\xff"), 1007 ],
) {
    my ($what, $bytes, $code) = @$_;
    $d = framed();
    $d->raw($bytes, ws_binary('and more') x 1000);
    is($d->rest(), "close $code protocol_error, eof", "a frame $what");
}

###############################################################################

#!/usr/bin/perl

# One-time keys, and the handshake that opens a WebSocket with one.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use MIME::Base64 qw/ encode_base64 /;
use Protocol::WebSocket::Client;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ wait_serving /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map http_ssl/)->plan(100);

certificate($t, 'localhost');

sub start {
    my (%o) = @_;
    $t->write_file_expand('nginx.conf', websocket_conf(%o));
    $t->run();
}

sub refusal {
    my ($r) = @_;
    return "$r->{status} " . ($r->{json}{error} || $r->{body});
}

# The handshake with something changed.

sub opens {
    my (%o) = @_;

    my $ws = websocket(%o);
    my $said = $ws->{status} == 101 ? 101 : refusal($ws);
    $ws->close();

    return $said;
}

sub with_headers {
    return opens(headers => { @_ });
}

###############################################################################

start(workers => 4, ssl => 1);

my $d = device();

# Keys

my $r = key_answer('app1', 'dev1');
is($r->{status}, 200, 'a key');
is($r->{headers}{'content-type'}, 'application/json', 'its type');
like($r->{body},
    qr/\A\{"device_id":"dev1","device_key":"[0-9a-f]{40}"\}\z/, 'its form');

my %keys = map { websocket_key('app1', 'dev1') => 1 } 1 .. 200;
is(scalar(keys %keys), 200, 'no two are equal');

is(refusal(key_answer('app1', 'dev1', secret => 'x')), '401 unauthorized',
    'a wrong secret');
is(refusal(key_answer('app1', 'dev1', auth => undef)), '401 unauthorized',
    'no secret');
is(refusal(key_answer('none', 'dev1')), '401 unauthorized',
    'an application that is not');
like(key_answer('none', 'dev1')->{headers}{'www-authenticate'},
    qr/\AOAuth realm="cometa"/, 'and the header of that');
is(key_answer('app1', 'dev1', auth => 'Bearer s3cret')->{status}, 200,
    'a bearer');
is(refusal(key_answer('app1', 'd*v')), '400 invalid_device_id', 'a bad id');
is(refusal(key_answer('app1', 'd' x 65)), '400 invalid_device_id',
    'a long id');
is(refusal(key_answer('a*p', 'dev1', secret => 's3cret')),
    '400 invalid_application_id', 'a bad application id');

$r = key_answer('app1', 'dev1', method => 'POST');
is($r->{status}, 405, 'a method that is not');
like($r->{headers}{allow}, qr/\bGET\b/, 'and the one that is');

is(key_answer('app1', 'dev1', version => '1.0')->{status}, 200,
    'a key by HTTP/1.0');

# The answer to a handshake

my $key = websocket_key('app1', 'dev1');
my $ws = websocket(key => $key, nonce => 'dGhlIHNhbXBsZSBub25jZQ==');
is($ws->{status}, 101, 'a handshake');
like($ws->{head}, qr!\AHTTP/1\.1 101 !, 'its status');
is($ws->{headers}{'sec-websocket-accept'}, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    'the answer to the nonce of the RFC');
is(lc $ws->{headers}{upgrade}, 'websocket', 'Upgrade');
is(lc $ws->{headers}{connection}, 'upgrade', 'Connection');
is(join(' ', grep { exists $ws->{headers}{$_} } qw/ content-length
    transfer-encoding content-type sec-websocket-protocol
    sec-websocket-extensions /), '', 'nothing that does not belong there');
ok($ws->alive(), 'and it lives');

# One use

is(opens(key => $key), '403 invalid_key', 'the same key again');
is($ws->goodbye(), 'close 1000, eof', 'the end of the first');
is(opens(key => $key), '403 invalid_key', 'and again');

$key = websocket_key('app1', 'dev1');
my @at_once = map {
    my $s = caller_stream();
    $s->write(Test::Nginx::Cometa::WebSocket::handshake(device => 'dev1',
        key => $key, nonce => encode_base64('x' x 16, '')));
    $s
} 1 .. 30;
my @statuses = map {
    $_->take_until("\x0d\x0a\x0d\x0a") =~ m!\AHTTP/1\.1 (\d+)!
} @at_once;
is(join(' ', sort @statuses), join(' ', 101, (403) x 29),
    'one of many at once gets it');
$_->close() for @at_once;

# Any worker

my (%opened, @wrong);

for my $pid (wait_serving($t, 4)) {
    for (1 .. 5) {
        my $s = websocket_on($pid);
        push @wrong, "$pid: $s->{headers}{pid}" if $s->{headers}{pid} != $pid;
        push @wrong, "$pid: dead" unless $s->alive();
        $opened{$pid}++;
        $s->close();
    }
}

is(join(' ', values %opened), '5 5 5 5', 'opened on every worker');
is("@wrong", '', 'all of which serve');

# Bound to a device and its application

my $other = device(device => 'dev2');
my $app2 = device(app => 'app2', device => 'dev1', headers => {});

$key = websocket_key('app1', 'dev1');
is(opens(key => $key, device => 'dev2'), '403 invalid_key',
    'the key of another device');
is(opens(key => $key), 101, 'which stays good');

$ws = websocket(key => websocket_key('app2', 'dev1'));
is($ws->{status}, 101, 'a key of another application');
$ws->text('to app2');
is($app2->read_chunk(2), 'to app2', 'leads to its device');
ok($d->quiet(), 'not to that of the same name');
$app2->send_chunk('re');
is($ws->said(), 'text re', 'and back');
$ws->close();

# Keys that are none

is(opens(key => '0' x 40), '403 invalid_key', 'an unknown key');
is(opens(key => substr $key, 0, 39), '403 invalid_key', 'a short one');
is(opens(key => "${key}0"), '403 invalid_key', 'a long one');
is(opens(key => 'g' x 40), '403 invalid_key', 'not of hex digits');
is(opens(key => '-'), '403 invalid_key', 'none at all');
is(opens(uri => '/v1/websockets/d*v/' . '0' x 40), '400 invalid_device_id',
    'a bad id');

# A device that is offline

$key = websocket_key('app1', 'later');
is(opens(key => $key, device => 'later'), '404 device_offline',
    'a device that is not there');
is(opens(key => $key, device => 'later'), '404 device_offline', 'and again');
my $later = device(device => 'later');
is(opens(key => $key, device => 'later'), 101,
    'the key was not used by that');
is(opens(key => $key, device => 'later'), '403 invalid_key', 'now it is');

# A handshake that is none

$r = websocket(headers => { 'Sec-WebSocket-Version' => 8 });
is(refusal($r), '426 websocket_required', 'another version');
is($r->{headers}{'sec-websocket-version'}, 13, 'the version wanted');
is(with_headers('Sec-WebSocket-Version' => undef), '426 websocket_required',
    'no version');
is(with_headers('Sec-WebSocket-Version' => '13, 8'), '426 websocket_required',
    'a list of versions');
is(with_headers('Sec-WebSocket-Version' => '013'), '426 websocket_required',
    'a version with a zero');
is(with_headers(Upgrade => 'h2c'), '426 websocket_required',
    'another protocol');
is(with_headers(Upgrade => 'websockets'), '426 websocket_required',
    'something like it');
is(with_headers('Sec-WebSocket-Key' => undef), '400 bad_request', 'no nonce');
is(with_headers('Sec-WebSocket-Key' => ''), '400 bad_request',
    'an empty nonce');
is(with_headers('Sec-WebSocket-Key' => encode_base64('x' x 15, '')),
    '400 bad_request', 'a short nonce');
is(with_headers('Sec-WebSocket-Key' => encode_base64('x' x 17, '')),
    '400 bad_request', 'a long nonce');
is(with_headers('Sec-WebSocket-Key' => '*' x 22 . '=='), '400 bad_request',
    'a nonce that is not base64');
is(with_headers('Sec-WebSocket-Key' => [
        map { encode_base64($_ x 16, '') } qw/ x y /
    ]), '400 bad_request', 'two nonces');
is(with_headers(Connection => undef), '400 bad_request', 'no Connection');
is(with_headers(Connection => 'keep-alive'), '400 bad_request',
    'a Connection without Upgrade');
is(with_headers(Connection => 'upgrades'), '400 bad_request',
    'a Connection with something like it');
is(opens(version => '1.0'), '505 http1_required', 'HTTP/1.0');
is(opens(method => 'POST') =~ /\A(\d+)/ && $1, 405, 'POST');
is(opens(method => 'HEAD', timeout => 1) =~ /\A(\d+)/ && $1, 405, 'HEAD');

# The key survives all of that

$key = websocket_key('app1', 'dev1');
opens(key => $key, headers => { 'Sec-WebSocket-Version' => 8 });
opens(key => $key, headers => { 'Sec-WebSocket-Key' => 'x' });
is(opens(key => $key), 101, 'a handshake that fails does not use the key');

# Forms that are right

is(with_headers(Upgrade => 'WebSocket'), 101, 'Upgrade in another case');
is(with_headers(Upgrade => 'h2c, websocket'), 101, 'a list in Upgrade');
is(with_headers(Connection => 'keep-alive, Upgrade'), 101,
    'a list in Connection');
is(with_headers(Connection => 'UPGRADE'), 101, 'Connection in another case');
is(with_headers(Connection => "keep-alive\t,upgrade"), 101,
    'a list with other space');
is(with_headers(Connection => [ 'keep-alive', 'Upgrade' ]), 101,
    'two lines of Connection');
is(with_headers(Upgrade => [ 'h2c', 'websocket' ]), 101,
    'two lines of Upgrade');

$ws = websocket(headers => {
    'Sec-WebSocket-Protocol' => 'chat, superchat',
    'Sec-WebSocket-Extensions' => 'permessage-deflate',
    Origin => 'http://example.com', Cookie => 'a=b'
});
is($ws->{status}, 101, 'with protocols and extensions');
is(join(' ', grep { /^sec-/ } sort keys %{$ws->{headers}}),
    'sec-websocket-accept', 'none of which is chosen');
$ws->close();

$ws = websocket(bytewise => 1);
is($ws->{status}, 101, 'byte by byte');
ok($ws->alive(), 'and it lives');
$ws->close();

# Frames that come with the handshake

$ws = websocket(with => ws_ping('early') . ws_text('first'));
is($ws->said(), 'pong early', 'a frame in the packet of the handshake');
is($d->read_chunk(), 'first', 'a call in it');
$d->send_chunk('re: first');
is($ws->said(), 'text re: first', 'its reply');
$ws->close();

$ws = websocket(with => substr(ws_text('cut here'), 0, 9));
is($ws->{status}, 101, 'half a frame in it');
$ws->close();

# A keep-alive connection, and TLS

$ws = websocket(stream => caller_stream());
my $s = caller_stream();
key_answer('app1', 'dev1', stream => $s);
my $again = websocket(stream => $s);
ok($again->alive(), 'on a connection that was used before');
$again->close();
$ws->close();

$ws = websocket(ssl => 1);
ok($ws->alive(), 'over TLS');
$ws->text('x' x 20000);
is($d->read_chunk(), 'x' x 20000, 'a long call over TLS');
$d->send_chunk('y' x 50000);
is($ws->said(), 'text ' . 'y' x 50000, 'its long reply');
is($ws->goodbye(), 'close 1000, eof', 'its end');

# A stranger's implementation of the protocol agrees

{
    my @got;
    my $stream = caller_stream();
    my $client = Protocol::WebSocket::Client->new(
        url => "ws://localhost/v1/websockets/dev1/"
            . websocket_key('app1', 'dev1')
    );

    $client->on(write => sub { $stream->write($_[1]) });
    $client->on(read => sub { push @got, $_[1] });
    $client->on(error => sub { push @got, "error $_[1]" });
    $client->connect();
    $client->read($stream->take_until("\x0d\x0a\x0d\x0a"));
    $client->write('by another');
    is($d->read_chunk(2), 'by another', 'another client: a call');
    $d->send_chunk('z' x 300);
    $client->read($stream->take_bytes(304));
    is("@got", 'z' x 300, 'another client: its reply');
    $stream->close();
}

###############################################################################

# Keys that expire; keys are counted once they are too many

$_->close() for $d, $other, $app2, $later;
$t->stop();
start(workers => 2, websocket => 'cometa_websocket_key_timeout 3s;');

$d = device();

$key = websocket_key('app1', 'dev1');
is(opens(key => websocket_key('app1', 'dev1')), 101, 'in time');
sleep(3.1);
is(opens(key => $key), '403 invalid_key', 'expired');

$t->stop();
start(workers => 2, zone => '2m');
$d = device();
$app2 = device(app => 'app2');

my $kept = websocket_key('app2', 'dev1');
my @flood;
$s = caller_stream();
push @flood, key_answer('app1', 'dev1', stream => $s)->{json}{device_key}
    for 1 .. 1000;

is(scalar(grep { defined } @flood), 1000, 'a flood of keys');
is(opens(key => $kept), 101, 'another application keeps its own');
is(opens(key => $flood[-1]), 101, 'the last key is good');
is(opens(key => $flood[0]), '403 invalid_key', 'the first is not');

my $dropped = figures('app1')->{keys_dropped};
cmp_ok($dropped, '>', 500, 'the others are counted');
is(figures('app2')->{keys_dropped}, 0, 'nothing with the other');

# 999 are left of which that many were dropped, oldest first
my @edge = @flood[$dropped - 1, $dropped];
is(opens(key => $edge[0]), '403 invalid_key', 'the last one dropped');
is(opens(key => $edge[1]), 101, 'the oldest one kept');

# Keys that nobody uses, of applications that have gone quiet

$t->stop();
$t->write_file_expand('nginx.conf', websocket_conf(workers => 1,
    zone => '2m', websocket => 'cometa_websocket_key_timeout 6s;')
    =~ s/(app2 +other;)/$1 ~^quiet s3cret;/r);
$t->run();
$s = caller_stream();

sub asks {
    my ($app) = @_;
    return key_answer($app, 'dev1', stream => $s, secret => 's3cret');
}

# all at once: the first must not expire before the last are asked for

for my $app (map { "quiet$_" } 1 .. 5) {
    $s->write(call_request($app, 'dev1', undef, method => 'GET',
        uri => "/v1/applications/$app/devices/dev1/websocket",
        secret => 's3cret') x 400);
    response($s) for 1 .. 400;
}

is(refusal(asks('app1')), '503 overloaded', 'no room for a key');
ok(wait_for(sub { asks('app1')->{json}{device_key} }, 10),
    'but when others have expired');

# An error over TLS: what is still sent does not overtake the close

$t->stop();
start(workers => 1, ssl => 1);
$d = device();
$ws = websocket(ssl => 1);
my $frame = ws_text('x' x 300000);
$ws->raw(substr $frame, 0, 20000);
is($ws->said(), 'close 1009', 'too large, over TLS');
$ws->raw(substr $frame, 20000 + 20000 * $_, 20000) for 0 .. 9;
is($ws->rest(), 'eof', 'and the end');
$d->close();

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

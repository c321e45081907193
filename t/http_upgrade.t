#!/usr/bin/perl

# What "Upgrade" says: only "websocket" means something, and who comes with a
# key and without it is told what is missing.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @others = ('h2c', 'h2c, TLS/1.0', 'websocket2', 'websocket/13', ',');

my $t = Test::Nginx->new()->has(qw/http rewrite map http_v2/)
    ->has_daemon('curl')->plan(@others * 4 + 27);

my $any = '(?<app>[^/]+)/(?<device>[^/]+)';

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, server => 'listen 127.0.0.1:8082 http2;'
        . "location ~ ^/all/$any\$ { cometa_websocket; cometa_stats; }"
        . "location ~ ^/both/$any(/(?<key>[^/]+))?\$ { cometa_websocket; }"
))->run();

my $d = device();

my %h2c = (
    Connection => 'Upgrade, HTTP2-Settings', 'HTTP2-Settings' => 'AAMAAABk'
);

###############################################################################

# What another protocol that is offered must not change.

sub upgrade {
    my ($value) = @_;
    return (headers => { %h2c, Upgrade => $value });
}

sub curl_h2 {
    my ($uri, @more) = @_;

    return scalar `curl -sS -i --max-time 8 --http2-prior-knowledge @more 'http://127.0.0.1:@{[port(8082)]}$uri' 2>&1`;
}

# The answer that asks for an upgrade.

sub asks_for_upgrade {
    my ($r, $name) = @_;

    is(outcome($r), '426 websocket_required', $name);
    like($r->{head}, qr!^HTTP/1\.1 426 Upgrade Required\x0d$!m,
        "$name: reason phrase");
    like($r->{head}, qr/^Upgrade: websocket\x0d$/m, "$name: Upgrade");
    like($r->{head}, qr/^Connection: upgrade\x0d$/m, "$name: Connection");
    like($r->{head}, qr/^Sec-WebSocket-Version: 13\x0d$/m, "$name: version");
}

###############################################################################

for my $other (@others) {
    my $r = key_answer('app1', 'dev1', upgrade($other));
    like($r->{json}{device_key} || $r->{head}, qr/\A[0-9a-f]{40}\z/,
        "key, Upgrade: $other");

    $r = stats('app1', uri => '/all/app1/dev1', upgrade($other));
    is($r->{json}{device_id}, 'dev1', "statistics, Upgrade: $other");

    my $call = call_start('app1', 'dev1', 'x', upgrade($other));
    $d->echo(sub { 'yes' });
    is(outcome(call_end($call)), '200 yes', "send, Upgrade: $other");

    my $late = device(device => 'other', upgrade($other));
    is($late->{status}, 200, "attach, Upgrade: $other");
}

# Several protocols, in one line or in more

for my $value ('websocket', 'WebSocket', 'h2c, websocket', 'websocket,h2c') {
    my $ws = websocket(headers => { Upgrade => $value });
    is($ws->{status}, 101, "WebSocket, Upgrade: $value");
}

is(websocket(headers => { Upgrade => [ 'h2c', 'websocket' ] })->{status}, 101,
    'WebSocket, two lines of Upgrade');

# A key, and no Upgrade

my $key = websocket_key('app1', 'dev1');
my $open = "/v1/websockets/dev1/$key";

asks_for_upgrade(stats('app1', uri => $open), 'a key without Upgrade');
asks_for_upgrade(stats('app1', uri => '/v1/websockets/dev1/other'),
    'a wrong key without Upgrade');
asks_for_upgrade(stats('app1', uri => $open, upgrade('h2c')),
    'a key with another Upgrade');

is(outcome(stats('app1', uri => $open, version => '1.0')),
    '505 http1_required', 'a key by HTTP/1.0');
like(curl_h2($open), qr!\AHTTP/2 505.*"http1_required"!s,
    'a key by HTTP/2');

like(curl_h2('/v1/applications/app1/devices/dev2',
    q{-H 'Sec-WebSocket-Version: 13'},
    q{-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='}),
    qr!\AHTTP/2 505.*"http1_required"!s, 'a device by HTTP/2');

is(websocket(headers => { 'Sec-WebSocket-Version' => [ 13, 8 ] })->{status},
    426, 'two versions');
is(websocket(key => $key)->{status}, 101, 'none of this has used the key up');

# One location for both

like(stats('app1', uri => '/both/app1/dev1')->{body}, qr/"device_key"/,
    'both in one location: a key');
is(outcome(stats('app1', uri => "/both/app1/dev1/$key")),
    '426 websocket_required', 'both in one location: a key without Upgrade');

###############################################################################

#!/usr/bin/perl

# Connections over TLS without an SSL object: which are parked, and that they
# work as before.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant LARGE => 60000;

# Of each version the ciphers that are parked, by the name that OpenSSL has.

my @parked = (
    (map { [ TLSv1_3 => $_ ] } qw/ TLS_AES_128_GCM_SHA256
        TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 /),
    (map { [ TLSv1_2 => $_ ] } qw/ ECDHE-ECDSA-AES128-GCM-SHA256
        ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 /)
);

my @not_parked = qw/ ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES128-SHA256
    ECDHE-ECDSA-AES256-CCM /;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(13 * @parked + 4 * @not_parked + 1);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, ssl => 1, send => 'cometa_max_message_size 256k;',
    attach => 'cometa_max_message_size 256k;',
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;'
        . 'ssl_ciphers ALL:@SECLEVEL=0;'
))->run();

my $crlf = "\x0d\x0a";

###############################################################################

my $n = 0;

sub options {
    my ($version, $cipher) = @_;

    return (ssl => 1, tls => $version, tls_options => {
        $version eq 'TLSv1_3' ? (SSL_ciphersuites => $cipher)
            : (SSL_cipher_list => $cipher)
    });
}

sub parked {
    my ($n) = @_;
    return figure_is('app1', 'tls_parked', $n);
}

sub called {
    my ($d, $message, $reply) = @_;

    my $call = call_start('app1', $d->{device}, $message);

    my $got = $d->read_chunk();
    return 'no call' if !defined $got || $got ne $message;

    $d->send_chunk($reply);

    my $r = call_end($call);

    return $r->{body} eq $reply ? 'ok' : outcome($r);
}

###############################################################################

for my $of (@parked) {
    my ($version, $cipher) = @$of;
    my $id = 'd' . ++$n;

    my $d = device(device => $id, form => 'B', options(@$of));
    is($d->{stream}->socket()->get_cipher(), $cipher, "$cipher");
    ok(parked(1), "$cipher: parked");

    is(called($d, 'a' x $_, 'b' x $_), 'ok', "$cipher: $_ bytes")
        for 1, 1000, LARGE;

    is(called($d, $_, $_), 'ok', "$cipher: call $_") for 1 .. 2;

    my $ws = websocket(device => $id, options(@$of),
        key => websocket_key('app1', $id));
    ok(parked(2), "$cipher: a WebSocket is parked");
    is($ws->served($d), 'yes', "$cipher: and serves");

    $d->event('e' x LARGE);
    ok($ws->said() eq 'text ' . 'e' x LARGE, "$cipher: a large event");

    $ws->raw(ws_close(1000));
    like($ws->rest(), qr/eof/, "$cipher: the WebSocket is closed");
    ok($ws->{stream}->said_goodbye(), "$cipher: close_notify");

    $d->{stream}->close();
    ok(parked(0), "$cipher: none is left");
}

for my $cipher (@not_parked) {
    my $before = figures('app1')->{tls_unparked_cipher};
    my $d = device(device => 'd' . ++$n, form => 'B',
        options('TLSv1_2', $cipher));

    is($d->{stream}->socket()->get_cipher(), $cipher, "$cipher");
    is(called($d, 'message', 'reply'), 'ok', "$cipher: call");
    is(figures('app1')->{tls_unparked_cipher}, $before + 1,
        "$cipher: not parked");
    is(figures('app1')->{tls_parked}, 0, "$cipher: none is parked");
    $d->{stream}->close();
}

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ && !/is buffered to/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

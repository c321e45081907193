#!/usr/bin/perl

# The secrets of a connection over TLS, and the keys made of them, are nowhere
# in the memory of the worker when it has ended; and while it is parked, the
# secrets only in its state.

###############################################################################

use warnings;
use strict;

use Digest::SHA qw/ hmac_sha256 hmac_sha384 /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ serving wait_serving /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;
plan(skip_all => 'Net::SSLeay has no key log')
    unless defined &Net::SSLeay::CTX_set_keylog_callback;

my @suites = qw/ TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384
    TLS_CHACHA20_POLY1305_SHA256 /;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(10 * @suites + 5 + 1);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, ssl => 1,
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;'
))->run();

my ($pid) = wait_serving($t, 1);

plan(skip_all => 'the memory of the worker cannot be read')
    unless open my $probe, '<', "/proc/$pid/mem";

###############################################################################

# The secrets of a connection by their labels, as its key log has them.

my %secret;

sub keylog {
    my ($ssl, $line) = @_;
    my ($label, $random, $hex) = split / /, $line;
    $secret{$label} = pack 'H*', $hex;
}

sub logged {
    my (%o) = @_;
    my $tls = delete $o{tls} || 'TLSv1_3';

    %secret = ();

    return (ssl => 1, tls => $tls, tls_options => {
        %o, SSL_create_ctx_callback => sub {
            Net::SSLeay::CTX_set_keylog_callback($_[0], \&keylog);
            Net::SSLeay::CTX_set_options($_[0], &Net::SSLeay::OP_NO_TICKET)
                if $tls eq 'TLSv1_2';
        }
    });
}

# The key of a secret: RFC 8446, 7.1 and 7.3.

sub key {
    my ($suite, $secret) = @_;

    my $len = $suite =~ /AES_128/ ? 16 : 32;
    my $hmac = $suite =~ /SHA384/ ? \&hmac_sha384 : \&hmac_sha256;
    my $info = pack('n', $len) . pack('C/a*', 'tls13 key') . "\0\1";

    return substr $hmac->($info, $secret), 0, $len;
}

# How often the worker has these bytes: half a secret is one, too.

sub found {
    my ($pid, $bytes) = @_;

    my $half = substr $bytes, 0, 16;
    my $n = 0;

    open my $maps, '<', "/proc/$pid/maps" or die "$pid: $!\n";
    open my $mem, '<:raw', "/proc/$pid/mem" or die "$pid: $!\n";

    while (my $line = <$maps>) {
        my ($from, $to, $rights) = $line =~ /^(\w+)-(\w+) (\S+)/;

        next unless $rights =~ /^rw/ && $line !~ /\[v/;

        no warnings 'portable';
        ($from, $to) = (hex $from, hex $to);

        # the shadow of AddressSanitizer is no memory of nginx's
        next if $to - $from > 1 << 28;

        sysseek($mem, $from, 0) or next;
        sysread($mem, my $data, $to - $from) or next;

        my $at = -1;
        $n++ while ($at = index $data, $half, $at + 1) >= 0;
    }

    return $n;
}

###############################################################################

for my $suite (@suites) {
    my $d = device(device => 'd', form => 'B',
        logged(SSL_ciphersuites => $suite));

    is($d->{stream}->socket()->get_cipher(), $suite, $suite);
    ok(figure_is('app1', 'tls_parked', 1), "$suite: parked");

    my %of = %secret;

    is(found($pid, $of{"${_}_TRAFFIC_SECRET_0"}), 1,
        "$suite: of the $_ once, while it is parked") for qw/ CLIENT SERVER /;

    my $call = call_start('app1', 'd', 'x');
    is($d->read_chunk(), 'x', "$suite: a call");
    $d->send_chunk('y');
    is(outcome(call_end($call)), '200 y', "$suite: its reply");

    $d->{stream}->close();
    figure_is('app1', 'tls_parked', 0);

    is(found($pid, $of{"${_}_TRAFFIC_SECRET_0"}), 0,
        "$suite: of the $_ not any more, when it has ended")
        for qw/ CLIENT SERVER /;

    is(found($pid, key($suite, $of{"${_}_TRAFFIC_SECRET_0"})), 0,
        "$suite: nor the key of the $_") for qw/ CLIENT SERVER /;
}

# TLS 1.2 has one secret for both; a parked connection has keys alone. Without
# a ticket: OpenSSL makes one of a copy of the secret, which it frees as it is.

my $d = device(device => 'd', form => 'B', logged(tls => 'TLSv1_2',
    SSL_cipher_list => 'ECDHE+AESGCM'));

ok(figure_is('app1', 'tls_parked', 1), 'TLS 1.2: parked');
is(length($secret{CLIENT_RANDOM} || ''), 48, 'its master secret is known');
is(found($pid, $secret{CLIENT_RANDOM}), 0,
    'and nowhere while it is parked');

my $call = call_start('app1', 'd', 'x');
is($d->read_chunk(), 'x', 'TLS 1.2: a call');
$d->send_chunk('y');
call_end($call);

$d->{stream}->close();
figure_is('app1', 'tls_parked', 0);

is(found($pid, $secret{CLIENT_RANDOM}), 0, 'nor when it has ended');

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

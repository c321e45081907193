#!/usr/bin/perl

# The secrets of a connection over TLS are nowhere in the memory of the worker
# when it has ended; and while it is parked, only in its state.

###############################################################################

use warnings;
use strict;

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
    ->has_daemon('openssl')->plan(8 * @suites + 1);

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

    %secret = ();

    return (ssl => 1, tls => 'TLSv1_3', tls_options => {
        %o, SSL_create_ctx_callback => sub {
            Net::SSLeay::CTX_set_keylog_callback($_[0], \&keylog)
        }
    });
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
}

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

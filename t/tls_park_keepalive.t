#!/usr/bin/perl

# What cometa_tls_park costs connections over TLS that no device attaches on:
# while they wait for their next request no copies of their records are kept.

###############################################################################

use warnings;
use strict;

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

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant { CONNECTIONS => 200, LARGE => 3500, MOST => 1500 };

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(3);

certificate($t, 'localhost');

# The address of the second server parks nothing.

my $long = 'location /long { add_header X-Long $arg_x; return 204; }';

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, ssl => 1, server => $long, attach => 'cometa_tls_park on;',
    http => 'large_client_header_buffers 4 8k; keepalive_timeout 1h;'
        . 'ssl_certificate %%TESTDIR%%/localhost.crt;'
        . 'ssl_certificate_key %%TESTDIR%%/localhost.key;'
        . "server { listen 127.0.0.1:8444 ssl; $long }",
))->run();

###############################################################################

my ($worker) = wait_serving($t, 1);

sub private {
    my $kb = 0;
    open(my $f, '<', "/proc/$worker/smaps_rollup") or die $!;
    /^Private_\w+:\s+(\d+) kB/ and $kb += $1 while <$f>;
    return $kb * 1024;
}

# A large request, whose answer is as large, leaves a connection idle.

sub growth {
    my ($port) = @_;

    my $before = private();
    my (@open, $right);

    for (1 .. CONNECTIONS) {
        my $s = IO::Socket::SSL->new(PeerAddr => '127.0.0.1',
            PeerPort => $port, SSL_verify_mode => 0) or die $!;
        my ($in, $got) = ('', '');

        print $s "GET /long?x=" . 'x' x LARGE
            . " HTTP/1.1\r\nHost: localhost\r\n\r\n";

        while ($got !~ /\r\n\r\n/ && sysread($s, $in, 16384)) {
            $got .= $in;
        }

        $right++ if $got =~ /X-Long: x{${\LARGE}}\r/;
        push @open, $s;
    }

    return ($right, (private() - $before) / CONNECTIONS, \@open);
}

my @first = growth(port(8444));     # also what the worker needs once
my ($right, $without, $kept) = growth(port(8444));
is($right, CONNECTIONS, 'answers where nothing is parked');

($right, my $with, my $more) = growth(port(8443));
is($right, CONNECTIONS, 'and where devices are');

SKIP: {
    skip 'a sanitizer keeps memory', 1 if $t->has_module('fsanitize');

    cmp_ok($with - $without, '<', MOST, 'bytes of an idle connection');
}

diag(sprintf('%d bytes, %d without', $with, $without));

###############################################################################

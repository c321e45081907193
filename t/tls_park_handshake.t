#!/usr/bin/perl

# Connections over TLS are parked whatever the handshake was, and go on when
# keys change, or end when a record is forged.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Handle;
use Socket qw/ AF_UNIX SOCK_STREAM PF_UNSPEC IPPROTO_TCP /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ reached /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant { TCP_CORK => 3, LARGE => 60000, UPDATES => 10 };

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(47);

certificate($t, $_) for qw/ localhost other client /;

# Servers by the tickets that they give; the last is chosen by its name.

my $attach = 'location ~ ^/v1/applications/(?<app>[^/]+)/devices/'
    . '(?<device>[^/]+)$ { cometa_attach; }';

sub server {
    my ($listen, $name, $certificate, $more) = @_;

    return "server { listen 127.0.0.1:$listen ssl; server_name $name;"
        . "ssl_certificate %%TESTDIR%%/$certificate.crt;"
        . "ssl_certificate_key %%TESTDIR%%/$certificate.key; $more $attach }";
}

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, ssl => 1, attach => 'add_header Reused $ssl_session_reused;',
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;'
        . 'ssl_session_cache shared:s:1m;'
        . join('', map { server(8450 + $_, 'localhost', 'localhost',
            "ssl_conf_command NumTickets $_;") } 0 .. 3)
        . server(8443, 'other', 'other',
            'ssl_verify_client optional_no_ca; ssl_session_tickets off;')
))->run();

###############################################################################

my $n = 0;

sub fresh {
    my (%o) = @_;
    return device(device => 'd' . ++$n, form => 'B', ssl => 1, %o);
}

sub parked {
    my ($d, $name, $before) = @_;

    ok(figure_is('app1', 'tls_parked', $before + 1), "$name: parked");
    is(reached($d), 'yes', "$name: is called");
}

sub unparked {
    my ($reason) = @_;
    return figures('app1')->{"tls_unparked_$reason"};
}

sub gone {
    return figure_is('app1', 'num_devices', 0)
        && figure_is('app1', 'tls_parked', 0);
}

sub leave {
    my ($d) = @_;
    $d->{stream}->close();
    return gone();
}

# The alert that waits for the client.

sub alert {
    my ($d) = @_;

    my $said = '';

    Net::SSLeay::ERR_clear_error();
    Net::SSLeay::read($d->{stream}->socket()->_get_ssl_object());

    while (my $error = Net::SSLeay::ERR_get_error()) {
        $said .= Net::SSLeay::ERR_error_string($error);
    }

    return $said;
}

# Tickets

for my $tickets (0 .. 3) {
    my $d = fresh(port => 8450 + $tickets, tls => 'TLSv1_3');
    parked($d, "$tickets tickets", 0);
    leave($d);
}

# Another server of the address, and a certificate of the client

{
    my $d = fresh(tls_options => {
        SSL_hostname => 'other',
        SSL_cert_file => $t->testdir() . '/client.crt',
        SSL_key_file => $t->testdir() . '/client.key'
    });
    like($d->{stream}->socket()->peer_certificate('cn'), qr/other/,
        'another server');
    parked($d, 'with a certificate', 0);
    leave($d);
}

# What the device sends comes with its Finished, or with its request

for my $version (qw/ TLSv1_2 TLSv1_3 /) {
    my $stream = Test::Nginx::Cometa::Stream->new(port => 8443);
    my $socket = $stream->{socket};

    $socket->blocking(1);
    setsockopt($socket, IPPROTO_TCP, TCP_CORK, 1);
    $socket = IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => 0,
        SSL_hostname => 'localhost', SSL_version => $version);
    $stream->{socket} = $socket;
    $socket->blocking(0);

    my $d = bless {
        app => 'app1', device => 'd' . ++$n, form => 'B', status => 0,
        interim => 0, stream => $stream
    }, 'Test::Nginx::Cometa::Device';

    $d->raw(Test::Nginx::Cometa::Device::request(%$d)
        . "1\x0d\x0a\x06\x0d\x0a");
    $d->raw("1\x0d\x0a\x06\x0d\x0a") for 1 .. 5;
    setsockopt($socket, IPPROTO_TCP, TCP_CORK, 0);
    $d->finish();

    is($d->{status}, 200, "$version: all in one packet");
    parked($d, "$version: all in one packet", 0);
    leave($d);
}

# Records of the largest size, and very many small ones

for my $version (qw/ TLSv1_2 TLSv1_3 /) {
    my $d = fresh(tls => $version);
    figure_is('app1', 'tls_parked', 1);

    my $call = call_start('app1', $d->{device}, 'x');
    $d->read_chunk();

    my $wire = sprintf "%x\x0d\x0a%s\x0d\x0a", LARGE, 'r' x LARGE;
    $d->raw(substr $wire, 0, 20000);
    $d->raw($_) for unpack '(a7)*', substr $wire, 20000;

    my $r = call_end($call);
    ok($r->{body} eq 'r' x LARGE, "$version: records of all sizes");
    leave($d);
}

# A forged record ends the connection, with an alert, and no other

for my $version (qw/ TLSv1_2 TLSv1_3 /) {
    my $other = fresh(tls => $version);
    my $d = fresh(tls => $version);
    figure_is('app1', 'tls_parked', 2);

    $d->{stream}->write_plain("\x17\x03\x03\x00\x40" . 'j' x 64);
    ok(figure_is('app1', 'num_devices', 1), "$version: a forged record");

    like(alert($d), qr/bad record mac/, "$version: the alert that it gets");
    is(reached($other), 'yes', "$version: the other one is called");
    leave($other);
}

ok(log_count($t, qr/\[info\] .*bad record of TLS.*alert 20/) == 2,
    'forged records are logged');

# Keys that change: a client of OpenSSL, which does that when it reads a "K" or
# a "k" from its user

sub s_client {
    my (@options) = @_;

    socketpair(my $near, my $far, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "Can't make a pair of sockets: $!\n";

    my $pid = fork();
    die "Can't fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDIN, '<&', $far;
        open STDOUT, '>&', $far;
        open STDERR, '>', '/dev/null';
        exec 'openssl', 's_client', '-brief', '-connect',
            '127.0.0.1:' . port(8443), @options;
    }

    $near->blocking(0);

    my $d = bless {
        app => 'app1', device => 'd' . ++$n, form => 'B', status => 0,
        interim => 0, pid => $pid,
        stream => bless({ socket => $near, in => '', eof => 0 },
            'Test::Nginx::Cometa::Stream')
    }, 'Test::Nginx::Cometa::Device';

    $d->raw(Test::Nginx::Cometa::Device::request(%$d));
    $d->finish();

    return $d;
}

sub s_client_ends {
    my ($d) = @_;
    kill 'TERM', $d->{pid};
    waitpid($d->{pid}, 0);
    return gone();
}

# A session is resumed that was made on a connection that is parked.

for my $version (qw/ tls1_2 tls1_3 /) {
    my $file = $t->testdir() . "/$version.session";

    my $d = s_client("-$version", '-sess_out', $file);
    like($d->{head}, qr/Reused: \./, "$version: a new session");
    parked($d, "$version, a new session", 0);
    s_client_ends($d);

    $d = s_client("-$version", '-sess_in', $file);
    like($d->{head}, qr/Reused: r/, "$version: resumed");
    parked($d, "$version, resumed", 0);
    s_client_ends($d);
}

for my $letter (qw/ k K /) {
    my $d = s_client('-tls1_3');
    ok(figure_is('app1', 'tls_parked', 1), "KeyUpdate $letter: parked");

    my $wrong = 0;

    for (1 .. UPDATES) {
        $d->raw("$letter\n");
        sleep(0.05);
        $wrong++ if reached($d) ne 'yes';
    }

    is($wrong, 0, "KeyUpdate $letter: is called on");
    s_client_ends($d);
}

{
    my $before = unparked('extension');
    my $d = s_client('-tls1_2', '-maxfraglen', 1024);
    is(unparked('extension'), $before + 1, 'a short length of records');
    is(reached($d), 'yes', 'is called with OpenSSL');
    s_client_ends($d);
}

{
    my $d = s_client('-tls1_2');
    ok(figure_is('app1', 'tls_parked', 1), 'renegotiation: parked');
    $d->raw("R\n");
    ok(gone(), 'renegotiation is refused, its client leaves');
    s_client_ends($d);
}

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

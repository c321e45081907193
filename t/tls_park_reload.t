#!/usr/bin/perl

# Parked connections over TLS move: devices and WebSockets over reloads,
# WebSockets to the worker of their device.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Socket qw/ AF_UNIX SOCK_STREAM PF_UNSPEC /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant { WORKERS => 2, DEVICES => 12, RELOADS => 20, LARGE => 60000 };

my @versions = qw/ TLSv1_2 TLSv1_3 /;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(5 + 2 * RELOADS + 8 * @versions + 1);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => WORKERS, ssl => 1, shutdown => '60s',
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;'
        . 'cometa_max_message_size 256k; client_max_body_size 1m;',
    attach => 'cometa_heartbeat 60s timeout=600s;',
    send => 'cometa_send_timeout 20s max=60s;'
) =~ s/8443 ssl/8443 ssl sndbuf=16k/r)->run();

wait_serving($t, WORKERS);

###############################################################################

sub tls {
    my ($n) = @_;
    return (ssl => 1, tls => $versions[$n % @versions]);
}

sub session {
    my ($id) = @_;
    return stats("app1/devices/$id")->{json}{session};
}

sub moved {
    my ($t) = @_;
    my @old = serving($t);
    reload_all($t, WORKERS);
    return wait_gone($t, 15, @old);
}

# Devices and WebSockets of both versions: all go along with each reload

my @d = map { device(device => "d$_", form => 'B', tls($_)) } 1 .. DEVICES;
my @ws = map { my $n = $_; websocket(device => "d$n",
    key => websocket_key('app1', "d$n"), tls($n)) } 1 .. DEVICES;

is(join(' ', grep { $_->{status} != 101 } @ws), '', 'all open');
ok(figure_is('app1', 'tls_parked', 2 * DEVICES), 'and are parked');

my %session = map { ("d$_" => session("d$_")) } 1 .. DEVICES;

for my $reload (1 .. RELOADS) {
    ok(moved($t), "reload $reload: the old workers leave");

    my @wrong;

    for my $i (0 .. $#d) {
        my $said = reached($d[$i]);
        push @wrong, "d$i: $said" if $said ne 'yes';

        $said = $ws[$i]->served($d[$i]);
        push @wrong, "ws $i: $said" if $said ne 'yes';
    }

    is("@wrong", '', "reload $reload: all serve");
}

is(join(' ', grep { session($_) != $session{$_} } sort keys %session), '',
    'sessions are the same');
is(figures('app1')->{tls_parked}, 2 * DEVICES, 'all are parked still');
is(figures('app1')->{attached_total}, DEVICES, 'nobody has attached again');

$_->{stream}->close() for @d, @ws;
wait_for(sub { figures('app1')->{num_devices} == 0 });

# Half of a record is written when the device moves, or half of one is there. Its
# call keeps the old worker.

sub device_moves {
    my ($t) = @_;
    my $before = log_count($t, qr/device has moved here/);
    reload_all($t, WORKERS);
    return wait_for(sub {
        log_count($t, qr/device has moved here/) > $before
    });
}

for my $version (@versions) {
    my $id = "half$version";
    my $d = device(device => $id, form => 'B', ssl => 1, tls => $version,
        rcvbuf => 4096);

    my $call = call_start('app1', $id, 'c' x LARGE);
    ok($d->{stream}->readable(), "$version: a message is written in part");

    ok(device_moves($t), "$version: it moves");

    my $got = $d->read_chunk();
    ok(defined $got && $got eq 'c' x LARGE, "$version: the rest comes");

    $d->send_chunk('r' x LARGE);
    my $r = call_end($call);
    ok($r->{status} == 200 && $r->{body} eq 'r' x LARGE,
        "$version: it is answered");

    $call = call_start('app1', $id, 'x');
    is($d->read_chunk(), 'x', "$version: another call");

    my $record = sealed($d, "1\x0d\x0ay\x0d\x0a");
    $d->{stream}->write_plain(substr $record, 0, 11);
    sleep(0.05);

    ok(device_moves($t), "$version: it moves with half of a record");

    $d->{stream}->write_plain(substr $record, 11);
    is(outcome(call_end($call)), '200 y', "$version: and replies");
    is(reached($d), 'yes', "$version: and is called");
    $d->{stream}->close();
}

# The record that the device's TLS makes of these bytes: it is caught at the
# other end of a pair of sockets, which stands for the connection meanwhile.

sub sealed {
    my ($d, $data) = @_;

    my $socket = $d->{stream}->socket();

    socketpair(my $near, my $far, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "Can't make a pair of sockets: $!\n";

    my $ssl = $socket->_get_ssl_object();

    Net::SSLeay::set_wfd($ssl, fileno $near);
    Net::SSLeay::write($ssl, $data);
    Net::SSLeay::set_wfd($ssl, fileno $socket);

    sysread($far, my $record, 65536);

    return $record;
}

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ && !/is buffered to/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

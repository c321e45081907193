#!/usr/bin/perl

# The address of a device, as statistics, the log and the webhook have it: by
# IPv4, by IPv6, and by a unix socket, whose clients have none.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;

use IO::Socket::IP;
use IO::Socket::UNIX;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant CRLF => "\x0d\x0a";

plan(skip_all => 'no IPv6 on the loopback interface')
    unless IO::Socket::IP->new(LocalHost => '::1', Listen => 1);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(9);

$t->write_file_expand('nginx.conf', cometa_conf(server =>
    'listen [::1]:%%PORT_8080%%; listen unix:%%TESTDIR%%/unix.sock;'))->run();

# Attaches over this socket, which the caller keeps.

sub attached {
    my ($s, $id) = @_;

    $s->autoflush(1);
    print $s join CRLF, "POST /v1/applications/app1/devices/$id HTTP/1.1",
        'Host: localhost', 'Content-Length: 4', '', 'info';

    $s->sysread(my $answer, 4096);
    return $answer =~ /^HTTP\S* (\d+)/ ? $1 : 'nothing';
}

my $four = device(device => 'four');
my $six = IO::Socket::IP->new(PeerHost => '::1', PeerPort => port(8080));
my $local = IO::Socket::UNIX->new(Peer => $t->testdir() . '/unix.sock');

is(attached($six, 'six'), 200, 'attached by IPv6');
is(attached($local, 'local'), 200, 'attached by a unix socket');

sub address {
    return stats("app1/devices/$_[0]")->{json}{ip_address};
}

is(address('four'), '127.0.0.1:' . $four->socket()->sockport(), 'IPv4');
is(address('six'), '[::1]:' . $six->sockport(), 'IPv6');
is(address('local'), 'unix:', 'unix socket');

# The log, of each that leaves

my $port = $six->sockport();
close $six;
close $local;
$four->close();

ok(wait_log($t, qr/device detached.*client: \[::1\]:$port, device: "app1\/six"/),
    'log: IPv6');
ok(wait_log($t, qr/device detached.*client: unix:, device: "app1\/local"/),
    'log: unix socket');
ok(wait_log($t, qr/device detached.*client: 127\.0\.0\.1:\d+, device: "app1\/four/),
    'log: IPv4');
is(stats('app1')->{json}{stats}{num_devices}, 0, 'all have left');

undef $t;

###############################################################################

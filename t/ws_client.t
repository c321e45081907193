#!/usr/bin/perl

# The WebSocket as a usual client has it, the npm package "ws".  The tests are
# in node/ws-client.js; here are nginx and the devices.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib qw/ lib node /;
use NodeTest;
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/);

has_node($t, 'ws')->plan(30);

# No keep-alive: each connection of the clients has its worker anew.

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, listen => 'reuseport', server => <<'EOC'));

        keepalive_timeout 0;

        cometa_queue 128;
        cometa_websocket_timeout 5s;

        location ~ /(?<app>[^/]+)/devices/(?<device>[^/]+)/websocket$ {
            cometa_websocket;
        }

        location ~ ^/v1/websockets/(?<device>[^/]+)/(?<key>[^/]+)$ {
            cometa_websocket;
        }
EOC

$t->run();

for my $id (qw/ dev1 leaver /) {
    my $ready = $t->testdir() . "/$id";
    $t->run_daemon(\&serve, $id, $ready);
    $t->waitforfile($ready) or die "$id did not attach\n";
}

node_tests($t, 'ws-client.js', { SERVER => '127.0.0.1:' . port(8080) });

###############################################################################

# Devices: answer with the message itself, and do what it says.

sub serve {
    my ($id, $ready) = @_;

    my $d = device(device => $id);
    die "$id: $d->{status}\n" if $d->{status} != 200;

    write_ready($ready);

    while (defined(my $payload = $d->read_chunk(60))) {
        last if $payload eq 'leave';
        obey($d, $payload);
    }
}

sub obey {
    my ($d, $payload) = @_;

    sleep 1 if $payload eq 'slow';

    $d->send_chunk($payload eq 'bytes' ? "\xff\xfe" : $payload);

    $d->event("\xff\x00\x01") if $payload eq 'binary event';
    $d->event('') if $payload eq 'empty event';

    if ($payload =~ /^events (\d+)$/) {
        $d->event("event $_") for 1 .. $1;
    }
}

sub write_ready {
    my ($name) = @_;
    open my $fh, '>', $name or die "$name: $!\n";
    print $fh "ready\n";
    close $fh or die "$name: $!\n";
}

###############################################################################

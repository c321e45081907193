#!/usr/bin/perl

# WebSockets over TLS move to the worker of their device when they open, and
# clients that read slowly get all in the end.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ device_on stream_on fds wait_serving /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant { LARGE => 60000, EVENTS => 12 };

my @versions = qw/ TLSv1_2 TLSv1_3 /;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(22 * @versions + 1);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 2, ssl => 1, move => 'on',
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;'
        . 'cometa_max_message_size 1m; client_max_body_size 2m;'
) =~ s/8443 ssl/8443 ssl reuseport sndbuf=16k/r)->run();

my ($here, $there) = wait_serving($t, 2);

###############################################################################

sub total {
    return figures('app1')->{tls_parked_total};
}

# A WebSocket that this worker accepts over TLS.

sub accepted_by {
    my ($pid, %o) = @_;

    my $stream = stream_on($pid, ssl => 1, tls => $o{tls},
        $o{rcvbuf} ? (rcvbuf => $o{rcvbuf}) : ());

    my %before = map { $_ => fds($_) } $here, $there;
    my $ws = websocket(%o, stream => $stream,
        key => websocket_key('app1', $o{device}));

    $ws->{moved} = sub {
        my ($from, $to) = @_;
        return wait_for(sub {
            fds($from) == $before{$from} - 1 && fds($to) == $before{$to} + 1
        });
    };

    return $ws;
}

for my $version (@versions) {
    for my $ssl (0, 1) {
        my $in = "$version, the device has TLS: $ssl";
        my $d = device_on($here, device => 'd', form => 'B', ssl => $ssl,
            tls => $version);
        my $ws = accepted_by($there, device => 'd', tls => $version);

        is($ws->{status}, 101, "$in: opens");
        ok($ws->{moved}->($there, $here), "$in: moves to the device's worker");
        is($ws->served($d), 'yes', "$in: is served");
        ok(figure_is('app1', 'tls_parked', 1 + $ssl), "$in: parked");

        my $near = accepted_by($here, device => 'd', tls => $version);
        is($near->served($d), 'yes', "$in: one that need not move");

        $d->event('both');
        is($_->said(), 'text both', "$in: an event") for $ws, $near;

        # a frame that comes with the request

        my $early = accepted_by($there, device => 'd', tls => $version,
            with => ws_text('early'));
        is($d->read_chunk(), 'early', "$in: a message with the handshake");
        $d->send_chunk('reply');
        like($early->said(), qr/reply/, "$in: its reply");

        $_->{stream}->close() for $ws, $near, $early;
        $d->{stream}->close();
        figure_is('app1', 'num_devices', 0);
        figure_is('app1', 'websockets', 0);
    }

    # One that reads slowly: its records are written in part

    my $d = device_on($here, device => 'slow');
    my $ws = accepted_by($there, device => 'slow', tls => $version,
        rcvbuf => 16384);

    $d->event(chr(ord('a') + $_) x LARGE) for 1 .. EVENTS;
    wait_for(sub { figures('app1')->{events} >= EVENTS });
    sleep(0.1);

    my $wrong = 0;

    for (1 .. EVENTS) {
        my $said = $ws->said();
        $wrong++ if $said ne 'text ' . chr(ord('a') + $_) x LARGE;
    }

    is($wrong, 0, "$version: all events come, in their order");
    is($ws->served($d), 'yes', "$version: and it is served");

    $ws->raw(ws_close(1000));
    $ws->rest();
    ok($ws->{stream}->said_goodbye(), "$version: close_notify");
    ok(figure_is('app1', 'tls_parked', 0), "$version: none is left");
    $d->close();
}

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ && !/is buffered to/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

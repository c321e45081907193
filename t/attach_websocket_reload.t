#!/usr/bin/perl

# Devices over WebSockets move to new workers as those with chunks do, plain and
# over parked TLS, also in the middle of a frame.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Caller;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant { WORKERS => 2, DEVICES => 6, RELOADS => 5, LARGE => 60000 };

my @kinds = (
    [ 'plain' ],
    [ 'TLS 1.2', ssl => 1, tls => 'TLSv1_2' ],
    [ 'TLS 1.3', ssl => 1, tls => 'TLSv1_3' ]
);

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(3 * RELOADS + 14 * @kinds + 3);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => WORKERS, ssl => 1, shutdown => '60s',
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;'
        . 'cometa_max_message_size 256k; client_max_body_size 1m;',
    attach => 'cometa_heartbeat 60s timeout=600s;',
    send => 'cometa_send_timeout 60s;'
) =~ s/8443 ssl/8443 ssl sndbuf=16k/r =~ s/8080 reuseport/8080 sndbuf=16k
    reuseport/r)->run();

wait_serving($t, WORKERS);

sub framed { return device(form => 'W', @_) }

sub moved {
    my @old = serving($t);
    reload_all($t, WORKERS);
    return wait_gone($t, 15, @old);
}

# A device moves; its caller holds the old worker until it has its answer.

sub moves {
    my ($id) = @_;

    my $re = qr/moved here from another worker.*"app1\/$id"/;
    my $n = log_count($t, $re);

    $t->reload();

    return wait_log($t, $re, $n + 1);
}

sub session {
    my ($id) = @_;
    return stats("app1/devices/$id")->{json}{session};
}

###############################################################################

# All go along with each reload

my @devices = map {
    my ($name, @how) = @{$kinds[$_ % @kinds]};
    framed(device => "d$_", info => "device $_", @how)
} 0 .. DEVICES - 1;

my $known = join ' ', map { session("d$_") } 0 .. DEVICES - 1;

for my $n (1 .. RELOADS) {
    ok(moved(), "reload $n: the old workers leave");
    is(join(' ', map { reached($_) } @devices), join(' ', ('yes') x DEVICES),
        "reload $n: all devices are served");
    is(join(' ', map { session("d$_") } 0 .. DEVICES - 1), $known,
        "reload $n: in their sessions");
}

is(log_count($t, qr/device detached/), 0, 'nobody has left');
is(stats('app1/devices/d1')->{json}{info}, 'device 1', 'what is known stays');

# In the middle of something

for (@kinds) {
    my ($name, @how) = @$_;

    my $d = framed(device => 'half', @how,
        headers => { 'Cometa-Frames' => 'text' });
    my $reply = random_bytes(1000) =~ tr/\x80-\xff/a/r;
    my @frames = (
        frame(1, substr($reply, 0, 300), fin => 0),
        frame(0, substr($reply, 300))
    );

    # the second frame is cut in its payload, where the mask is turned

    my $call = call_start('app1', 'half', 'in pieces');
    is($d->said(), 'text in pieces', "$name: a call");
    $d->raw($frames[0], substr($frames[1], 0, 401));
    ok(moves('half'), "$name: a reload in the middle of its reply");
    $d->raw(substr($frames[1], 401));
    ok(outcome(call_end($call)) eq "200 $reply", "$name: the reply");

    # a ping cut in two, within a message

    $call = call_start('app1', 'half', 'once more');
    is($d->said(), 'text once more', "$name: another call");
    my $ping = ws_ping('p' x 100);
    $d->raw(frame(1, 'one, ', fin => 0), substr($ping, 0, 50));
    ok(moves('half'), "$name: a reload in the middle of a ping");
    $d->raw(substr($ping, 50));
    is($d->said(), 'pong ' . 'p' x 100, "$name: the pong");
    $d->raw(frame(0, 'two'));
    is(outcome(call_end($call)), '200 one, two', "$name: the reply");

    # UTF-8 cut in two, still checked there

    $d->raw(frame(1, "\x07caf\xc3", fin => 0));
    ok(moves('half'), "$name: a reload in the middle of a letter");
    $d->raw(frame(0, 'e'));
    is($d->rest(), 'close 1007 protocol_error, eof', "$name: is noticed");

    # a call that the device has not taken yet

    $d = framed(device => 'slow', @how, rcvbuf => 4096);
    my $long = random_bytes(LARGE);
    $call = call_start('app1', 'slow', $long);
    sleep(0.3);
    ok(moves('slow'), "$name: a reload while a call is written");
    ok($d->read_chunk(10) eq $long, "$name: all of it comes");
    $d->send_chunk('all');
    is(outcome(call_end($call)), '200 all', "$name: and is answered");

    # taken over from the new worker, by one with chunks

    my $chunked = device(device => 'slow', @how);
    ok($d->rest() eq 'close 1000 taken_over, eof', "$name: taken over");
    is(reached($chunked), 'yes', "$name: by one with chunks");
    $chunked->close();
}

ok(figure_is('app1', 'num_devices', DEVICES), 'the others are there');

###############################################################################

undef $t;

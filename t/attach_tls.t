#!/usr/bin/perl

# Devices and callers over TLS.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(54);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, ssl => 1,
    server => 'location ~ ^/short/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . ' cometa_attach; cometa_heartbeat 1s timeout=2s; }'
));

$t->run();

my $crlf = "\x0d\x0a";

###############################################################################

sub text {
    my ($r) = @_;
    return "$r->{status} " . ($r->{json}{error} || $r->{body});
}

sub offline {
    my ($device) = @_;
    return wait_for(sub { stats("app1/devices/$device")->{status} == 404 }, 1);
}

# What the caller gets when the device answers with these bytes.

sub replied {
    my ($d, $wire, %o) = @_;

    my $call = call_start('app1', $d->{device}, 'x' x ($o{size} || 1), %o);

    my $got = $d->read_chunk();
    return 'no call' if !defined $got || $got ne 'x' x ($o{size} || 1);

    $o{bytewise} ? $d->raw_bytes($wire) : $d->raw($wire);

    return text(call_end($call));
}

###############################################################################

for my $form (qw/ A B /) {
    my $d = device(ssl => 1, form => $form, device => "d$form",
        info => 'over TLS');

    like($d->{first}, qr/\A\{"msg":"200","heartbeat":60,"timestamp":\d+\}\z/,
        "$form: attach");
    is(stats("app1/devices/d$form")->{json}{info}, 'over TLS',
        "$form: info");

    is(replied($d, "2${crlf}ok$crlf"), '200 ok', "$form: plain caller");
    is(replied($d, "2${crlf}ok$crlf", ssl => 1), '200 ok',
        "$form: caller over TLS");
    is(replied($d, "2${crlf}ok$crlf", bytewise => 1), '200 ok',
        "$form: reply byte by byte");
    $d->heartbeat();
    is(replied($d, "1$crlf\x06$crlf" . "2$crlf\x07e$crlf" . "2${crlf}ok"),
        '200 ok', "$form: several messages in one record");

    # More than a record, and more than one read of nginx

    my $large = 'L' x 65536;
    is(replied($d, "${crlf}10000$crlf$large$crlf"), "200 $large",
        "$form: large reply");
    is(replied($d, "2${crlf}ok$crlf", size => 65536), '200 ok',
        "$form: large message");

    # Messages that TLS has read already raise no event on the socket

    my @calls = map {
        my $c = call_start('app1', "d$form", $_);
        $_ > 1 ? figure_is('app1', 'queued', $_ - 1)
            : $d->{stream}->readable();
        $c
    } 1 .. 3;

    is($d->read_chunk(), '1', "$form: first of three calls");
    $d->raw("1$crlf\x06$crlf" x 500 . "1${crlf}1$crlf");
    for my $i (2, 3) {
        is($d->read_chunk(), $i, "$form: call $i");
        $d->send_chunk($i);
    }
    is(join(' ', map { text(call_end($_)) } @calls), '200 1 200 2 200 3',
        "$form: their replies");

    # Bad input ends that connection alone

    my $other = device(ssl => 1, form => $form, device => "other$form");
    is(replied($d, "zz$crlf"), '502 device_disconnected', "$form: bad input");
    ok(defined $d->closed(), "$form: closed");
    is(replied($other, "2${crlf}ok$crlf"), '200 ok', "$form: another device");

    # Takeover between TLS and plain

    my $plain = device(form => $form, device => "other$form");
    is($other->closed(), 'last', "$form: a plain one takes over");
    my $again = device(ssl => 1, form => $form, device => "other$form");
    is($plain->closed(), 'last', "$form: one over TLS takes over");
    is(replied($again, "2${crlf}ok$crlf"), '200 ok', "$form: and is called");

    # Its ends

    $again->detach();
    ok(defined $again->closed(), "$form: detach");
    ok(offline("other$form"), "$form: offline");

    for my $way (qw/ close reset half_close /) {
        $d = device(ssl => 1, form => $form, device => "e$form");
        $d->$way();
        ok(offline("e$form"), "$form: offline after $way");
    }

    $d = device(ssl => 1, form => $form, device => "s$form",
        uri => "/short/app1/s$form");
    ok(defined $d->closed(4), "$form: a silent device is closed");

    $d = device(ssl => 1, form => $form, device => "w$form", bytewise => 1,
        with => "1$crlf\x06$crlf" . "5${crlf}hel");
    is(replied($d, "lo$crlf"), '200 hello', "$form: bytes with the request");

    $d = device(ssl => 1, form => $form, device => "r$form", app => 'nosuch');
    is("$d->{status} $d->{json}{error}", '403 forbidden', "$form: refusal");
}

is(text(call('app1', 'nobody', 'x', ssl => 1)), '404 device_offline',
    'offline over TLS');
is(text(call('app1', 'nobody', 'x', ssl => 1, secret => 'bad')),
    '401 unauthorized', 'wrong secret over TLS');

###############################################################################

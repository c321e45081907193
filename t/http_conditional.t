#!/usr/bin/perl

# Conditional and range requests: no answer of the module is a representation
# that a client may have already, so it never becomes 304, 412 or 206.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @conditions = (
    { 'If-None-Match' => '*' },
    { 'If-None-Match' => '"x"' },
    { 'If-Match' => '"x"' },
    { 'If-Modified-Since' => 'Thu, 01 Jan 2099 00:00:00 GMT' },
    { 'If-Unmodified-Since' => 'Thu, 01 Jan 1970 00:00:00 GMT' },
    { 'Range' => 'bytes=0-1' },
    { 'Range' => 'bytes=0-1', 'If-Range' => '"x"' },
);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(11 * @conditions);

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, server => 'location = /metrics { cometa_stats prometheus;'
        . ' cometa_secret off; }'
))->run();

my $d = device();

###############################################################################

sub name_of {
    my ($headers) = @_;
    return join ', ', map { "$_: $headers->{$_}" } sort keys %$headers;
}

sub exchange {
    my ($d, $headers) = @_;

    my $call = call_start('app1', 'dev1', 'hello', headers => $headers);
    my $got = $d->read_chunk(2);
    $d->send_chunk('the reply') if defined $got;

    return call_end($call);
}

###############################################################################

for my $headers (@conditions) {
    my $name = name_of($headers);
    my %o = (headers => $headers);

    is(outcome(exchange($d, $headers)), '200 the reply', "$name: send");

    is(stats('app1', %o)->{status}, 200, "$name: an application");
    is(stats('app1/devices', %o)->{status}, 200, "$name: the list");
    is(stats('app1/devices?limit=1', %o)->{status}, 200, "$name: a page");
    is(stats('app1/devices/dev1', %o)->{status}, 200, "$name: a device");
    is(stats('app1', uri => '/metrics', %o)->{status}, 200,
        "$name: for Prometheus");
    is(key_answer('app1', 'dev1', %o)->{status}, 200, "$name: a key");

    for my $form (qw/ A B /) {
        my $other = device(device => "other-$form", form => $form, %o);
        is($other->{status}, 200, "$name: attach in form $form");
    }

    is(outcome(stats('app1/devices/nobody', %o)), '404 device_offline',
        "$name: an error");
    is(websocket(%o)->{status}, 101, "$name: a WebSocket");
}

###############################################################################

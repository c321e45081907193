#!/usr/bin/perl

# The info of an attach in form A, however long: only its beginning is kept, so
# a device that does not get to its end takes no buffer for the rest.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { CRLF => "\x0d\x0a", KEPT => 256, MANY => 300 };

my @lengths = (1, 255, 256, 257, 1023, 1024, 1025, 16384, 20481, 500_000);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(4 * @lengths + 10);

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 1, http => 'client_body_timeout 2s;',
    attach => 'access_log %%TESTDIR%%/attach.log;'
))->run();

my ($worker) = serving($t);

###############################################################################

sub text_of {
    my ($n) = @_;
    return substr('0123456789abcdefghijklmnopqrstuvwxyz-' x ($n / 37 + 1), 0,
        $n);
}

sub info_of {
    my ($device) = @_;
    return stats("app1/devices/$device")->{json}{info};
}

sub head {
    my ($device, $length) = @_;
    return join CRLF, "POST /v1/applications/app1/devices/$device HTTP/1.1",
        'Host: localhost', "Content-Length: $length", '', '';
}

# What has been sent is read: connections are accepted in turn.

sub served {
    stats('app1') for 1 .. 3;
}

# What so many connections take that have sent this each, in bytes.

sub takes {
    my ($worker, $text) = @_;

    my $open = sub {
        my $stream = caller_stream();
        $stream->write($text);
        return $stream;
    };

    # what the process allocates once is there after the first ones
    my @streams = map { $open->() } 1 .. 100;
    served();
    my $before = rss($worker);

    push @streams, map { $open->() } 1 .. MANY;
    served();
    my $each = (rss($worker) - $before) * 1024 / MANY;

    $_->close() for @streams;
    served();

    return $each;
}

###############################################################################

# In one write with a first chunk behind it, and in pieces

for my $length (@lengths) {
    my $info = text_of($length);

    my $d = device(info => $info, with => "1\x0d\x0a\x06\x0d\x0a");
    is($d->{status}, 200, "$length bytes: attach");
    is(info_of('dev1'), substr($info, 0, KEPT), "$length bytes: kept");
    ok(wait_for(sub {
        stats('app1/devices/dev1')->{json}{net}{sent}{messages} == 1
    }), "$length bytes: the chunk behind it");

    my $stream = caller_stream();
    my $cut = int($length / 3);
    $stream->write(head('dev2', $length));
    sleep 0.02;
    for my $piece (substr($info, 0, $cut), substr($info, $cut)) {
        $stream->write($piece);
        sleep 0.02;
    }
    $stream->take_until(CRLF . CRLF);
    is(info_of('dev2'), substr($info, 0, KEPT), "$length bytes in pieces");
}

is(log_count($t, 'buffered to a temporary file'), 0, 'none went to a file');

# One that stops

{
    my $stream = caller_stream();
    my $start = time();
    $stream->write(head('slow', 100) . 'abc');
    is($stream->take_until(CRLF . CRLF, 5), undef, 'one that stops');
    ok($stream->eof(), 'is closed');
    cmp_ok(time() - $start, '>', 1.5, 'after client_body_timeout');
    ok(wait_for(sub { $t->read_file('attach.log') =~ / 408 / }), 'with 408');
    is(stats('app1/devices/slow')->{status}, 404, 'and has not attached');

    $stream = caller_stream();
    $stream->write(head('gone', 100) . 'abc');
    $stream->close();
    ok(wait_for(sub { $t->read_file('attach.log') =~ / 400 / }),
        'one that leaves');
}

is(device(info => 'y' x 1_048_577)->{status}, 413,
    'client_max_body_size bounds it');

# Memory

SKIP: {
    skip 'a sanitizer keeps memory', 2 if $t->has_module('fsanitize');

    my $request = head('half', 100_000);
    my $header = takes($worker, substr($request, 0, -2));
    my $half = takes($worker, $request . 'x' x 100);

    cmp_ok($header, '>', 2000, 'a header that is not complete takes memory');
    cmp_ok($half, '<', $header + 1500, 'an info that is not takes no more');

    diag(sprintf 'bytes of a header: %d, of an info: %d', $header, $half);
}

###############################################################################

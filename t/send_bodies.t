#!/usr/bin/perl

# Messages and replies of all sizes and bytes, wherever nginx keeps them.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Socket qw/ SOL_SOCKET SO_RCVBUF /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(120);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

# Where a request's body lies, and the longest message.

my %places = (
    usual => [ '', 65536 ],
    memory => [ 'client_body_buffer_size 256k;', 65536 ],
    file => [ 'client_body_buffer_size 1k;', 65536 ],
    file_only => [ 'client_body_in_file_only clean;', 65536 ],
    file_kept => [ 'client_body_in_file_only on;', 65536 ],
    single => [ 'client_body_in_single_buffer on;', 65536 ],
    one => [ 'cometa_max_message_size 1;', 1 ],
    ten => [ 'cometa_max_message_size 10;', 10 ],
    odd => [ 'cometa_max_message_size 4097; client_body_buffer_size 4k;',
        4097 ],
    mega => [ 'cometa_max_message_size 1m;', 1048576 ],
);

my $places = join "\n", map {
    "location ~ ^/$_/$ids { cometa_send; $places{$_}[0] }"
} sort keys %places;

# Little goes into a socket at once, to have messages written in parts.

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, listen => 'reuseport sndbuf=16k',
    attach => 'cometa_max_message_size 1m;',
    http => 'cometa_send_timeout 5s; client_max_body_size 2m;'
        . 'keepalive_requests 100000;',
    server => <<"EOC"));

        add_header Pid \$pid always;

        $places

        location ~ ^/brief/$ids {
            cometa_send;
            cometa_send_timeout 2s;
            cometa_max_message_size 1m;
        }

        location ~ ^/usual-device/$ids {
            cometa_attach;
        }
EOC

$t->run();

my @workers = map { $_->[0] } workers(2, 1);

my $echo = device(device => 'echo');

###############################################################################

sub text {
    my ($n) = @_;
    return substr(join('', map { "$_," } 1 .. $n / 2 + 1), 0, $n);
}

sub place {
    my ($place, $device) = @_;
    return uri => "/$place/app1/$device";
}

# The device's part of a call.

sub exchange {
    my ($d, $message, $reply, %o) = @_;

    my $call = call_start('app1', $d->{device}, $message, %o);
    my $got = $d->read_chunk();
    ref $reply ? $reply->($d, $got) : $d->send_chunk($reply);
    my $r = call_end($call);
    $r->{message} = $got;

    return $r;
}

###############################################################################

# There and back, from either worker

for my $place (sort keys %places) {
    my $max = $places{$place}[1];
    my @wrong;

    # around nginx's buffers, and the longest
    my @sizes = ((grep { $_ < $max } 1, 1024, 1025, 16384, 16385), $max);

    for my $stream (@workers) {
        for my $size (@sizes) {
            my $message = text($size);

            for my $chunked (0, 5000, $size < 2000 ? 1 : ()) {
                my $r = exchange($echo, $message, sub {
                    $_[0]->send_chunk($_[1]) if defined $_[1];
                }, chunked => $chunked, stream => $stream,
                    place($place, 'echo'));

                push @wrong, "$size/$chunked: $r->{status}"
                    if $r->{status} != 200 || $r->{body} ne $message;
            }
        }
    }

    is("@wrong", '', "$place: 1 to $max bytes");

    for my $chunked (0, 1000) {
        my $r = call('app1', 'echo', text($max + 1), chunked => $chunked,
            place($place, 'echo'));
        is(outcome($r), '413 message_too_large', "$place: one more, "
            . ($chunked ? 'chunked' : 'with length'));
    }
}

opendir(my $dir, $t->testdir() . '/client_body_temp');
my $kept = grep { /\A\d+\z/ } readdir $dir;
cmp_ok($kept, '>', 0, 'files are kept if told so');

# nginx's own limit
is(call('app1', 'echo', text(2097153))->{status}, 413, 'far too large');
is(call('app1', 'echo', text(2097153), chunked => 100000)->{status}, 413,
    'far too large, chunked');

# A refused message leaves the connection and the device in order

{
    my $d = device(device => 'keep');

    for my $size (65537, 400000) {
        my $stream = caller_stream();
        my $r = call('app1', 'keep', text($size), stream => $stream);
        is(outcome($r), '413 message_too_large', "$size bytes");
        ok($d->quiet(0.1), 'not written');

        my $call = call_start('app1', 'keep', 'x', stream => $stream,
            timeout => 1);
        ok(($d->read_chunk(1) || '') eq 'x', 'the connection serves on');
        $d->send_chunk('y');
        is(call_end($call)->{body}, 'y', 'as before');
    }
}

# Bytes are bytes

{
    my $d = device(device => 'bytes');
    my $all = join '', map { chr } 0 .. 255;
    my $turn = reverse $all;

    for my $stream (@workers) {
        for my $message ($all, $turn, $all x 256, "\x06", "\x07", "\x07ev",
            "0\x0d\x0a\x0d\x0a", "\x0d\x0a", "\0", "\xff\xfe")
        {
            my $r = exchange($d, $message, $turn, stream => $stream);
            is($r->{message}, $message,
                length($message) . ' bytes to the device');
            is($r->{body}, $turn, 'and back');
        }
    }

    my @wrong;

    for my $byte (0 .. 5, 8 .. 255) {
        my $r = exchange($d, chr $byte, chr $byte, stream => $workers[0]);
        push @wrong, $byte if $r->{status} != 200 || $r->{body} ne chr $byte;
    }

    is("@wrong", '', 'replies of one byte');
}

# Replies in any number of pieces

for my $stream (@workers) {
    my $d = device(device => 'pieces');

    for my $size (65536, 300000) {
        my $reply = text($size);
        my $chunk = sprintf("%x\x0d\x0a%s\x0d\x0a", $size, $reply);

        my $r = exchange($d, 'x', $reply, stream => $stream);
        ok($r->{body} eq $reply, "$size bytes in one piece");

        $r = exchange($d, 'x', sub {
            for my $piece (unpack('(a20000)*', $chunk)) {
                $_[0]->raw($piece);
                sleep(0.001);
            }
        }, stream => $stream);
        ok($r->{body} eq $reply, "$size bytes in many pieces");
    }

    my $r = exchange($d, 'x', sub {
        $_[0]->raw_bytes("64\x0d\x0a" . 'r' x 100 . "\x0d\x0a");
    }, stream => $stream);
    is($r->{body}, 'r' x 100, 'byte by byte');

    # a caller that reads slowly
    my $slow = caller_stream();
    setsockopt($slow->socket(), SOL_SOCKET, SO_RCVBUF, 32768);
    my $reply = text(1048576);
    my $call = call_start('app1', 'pieces', 'x', stream => $slow);
    $d->read_chunk();
    $d->send_chunk($reply);
    is(outcome(exchange($d, 'next', 'r', stream => $stream)), '200 r',
        'others do not wait for a slow caller');
    ok(call_end($call)->{body} eq $reply, 'that gets it all');
}

# A reply that is too large

{
    my $errors = figures('app1')->{errors};
    my $d = device(uri => '/usual-device/app1/large', device => 'large');

    is(exchange($d, 'x', text(65536))->{status}, 200, 'reply of 64k');
    is(outcome(exchange($d, 'x', text(65537))), '502 device_disconnected',
        'one byte more');
    ok(defined $d->closed(), 'the device is closed');
    ok(figure_is('app1', 'errors', $errors + 1), 'and counted');
}

# A device that reads late, and one that never does

for my $stream (@workers) {
    my $d = device(device => 'slow');
    setsockopt($d->socket(), SOL_SOCKET, SO_RCVBUF, 32768);
    my $message = text(1048576);

    my $call = call_start('app1', 'slow', $message, stream => $stream,
        place('mega', 'slow'));
    sleep(0.3);
    ok($d->read_chunk() eq $message, 'a device that reads late gets it all');
    $d->send_chunk('r');
    is(outcome(call_end($call)), '200 r', 'and answers');

    my $start = time();
    my $watch = stopwatch();
    my @calls = map {
        call_start('app1', 'slow', $message, place('brief', 'slow'))
    } 1 .. 2;

    # a mailbox has no room for three that were not read yet
    wait_for(sub { stats('app1')->{json}{stats}{queued} == 1 });
    push @calls, call_start('app1', 'slow', $message,
        place('brief', 'slow'));
    ok(figure_is('app1', 'queued', 2), 'one is under way, two wait');

    my @times;

    while (time() < $start + 0.9) {
        my $r = exchange($echo, 'x', 'y', stream => $stream);
        push @times, $r->{body} eq 'y' ? $r->{took} : 99;
    }

    is(scalar(grep { $_ > 0.5 } @times), 0, 'others do not notice');

    is(join(' ', map { outcome(call_end($_)) } @calls),
        join(' ', ('504 device_timeout') x 3), 'they time out');
    ok(figure_is('app1', 'queued', 0), 'nobody waits');

    ok(wait_for(sub { stats('app1/devices/slow')->{status} == 404 }),
        'the device is offline');
    my $took = time() - $start;
    ok($took > 3.9 && $watch->took() < 5.4, 'after another timeout')
        or diag("after $took s");

    my $rest = $d->closed();
    ok(defined $rest, 'it is closed');
    unlike($rest, qr/\x0d\x0a0\x0d\x0a\x0d\x0a\z/,
        'and no chunk stands in the middle of another');
}

###############################################################################

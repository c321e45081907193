#!/usr/bin/perl

# debug_connection follows a WebSocket and its calls through the workers: those
# of a socket that stays, and those of one that has moved to its device.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map --with-debug/)->plan(16);

# Lines of the log since the last time, when one says so, without those of nginx
# itself: by process.

{
my $seen = 0;

sub lines {
    my ($t, $until) = @_;

    my @lines;

    wait_for(sub {
        @lines = split /\n/, substr($t->read_file('error.log'), $seen);
        return grep { /$until/ } @lines;
    }) or diag("no line $until");

    $seen += length join "\n", @lines, '';

    my %of;
    / (\d+)\#\d+: (?:\*\d+ )?cometa (.*)/ and push @{$of{$1}}, $2 for @lines;

    return \%of;
}
}

# What a process does, in a few words.

sub story {
    my ($lines, $pid) = @_;

    return join '; ', map {
        s/, (?:device|call \d|session|app \d|type|len|error).*//r
            =~ s/\d+:\d+:\d+/CALL/r =~ s/, "app1.*//r =~ s/ slot \d+/ slot/r
    } @{$lines->{$pid} || []};
}

sub start {
    my ($t, %o) = @_;

    $t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
        events => 'debug_connection 127.0.0.2;', %o));

    # the globals of the library ask for all debug lines
    my $conf = $t->read_file('nginx.conf');
    $conf =~ s/^(\s*error_log \S+) debug;/$1 info;/mg;
    $t->write_file('nginx.conf', $conf)->run();

    return wait_serving($t, 2);
}

sub opened {
    my ($pid) = @_;
    return websocket(stream => stream_on($pid, from => '127.0.0.2'));
}

###############################################################################

# One that stays where it was accepted

my ($near, $far) = start($t);
my $d = device_on($far);

is(websocket_on($near)->served($d), 'yes', 'a call of another client');
my $ws = opened($near);
is($ws->{status}, 101, 'a websocket of this one');
my $lines = lines($t, 'ws open');
is(story($lines, $near), 'ws open', 'is opened');
is(story($lines, $far), '', 'and of others nothing is said');

is($ws->served($d), 'yes', 'a call');
$lines = lines($t, 'ws answer');

is(story($lines, $near), 'ws frame; ws call; call: CALL begins; '
    . 'call: CALL is sent to another worker; mail: call sent to slot; mail: reply read at slot; '
    . 'call: CALL ends with -; ws answer', 'what its worker does');
is(story($lines, $far), 'mail: call read at slot; queue: call CALL is written; '
    . 'queue: call CALL is answered; mail: reply sent to slot',
    'and what that of the device does');

$ws->goodbye();
$t->stop();

###############################################################################

# One that moves

($near, $far) = start($t, move => 'on');
$d = device_on($far);
lines($t, '');

is(websocket_on($near)->served($d), 'yes', 'another client, whose socket moves');
$ws = opened($near);
is($ws->{status}, 101, 'a websocket of this one');
$lines = lines($t, 'ws open');
is(story($lines, $near), 'ws move', 'leaves');
is(story($lines, $far), 'ws moved here; ws open', 'and is opened elsewhere');

is($ws->served($d), 'yes', 'a call');
$lines = lines($t, 'ws answer');
is(story($lines, $near), '', 'with which its first worker has nothing to do');
like(story($lines, $far), qr/\Aws\ frame;\ ws\ call;\ .*queue:\ call\ CALL\ is
    \ written;\ queue:\ call\ CALL\ is\ answered;\ .*call:\ CALL\ ends\ with\ -;
    \ ws\ answer\z/x, 'but the second one has');

$ws->goodbye();
$lines = lines($t, 'ws end');
like(story($lines, $far), qr/\Aws frame; ws close received.*; ws end[^;]*\z/,
    'until its end');
is(story($lines, $near), '', 'all of it there');

$t->stop();

###############################################################################

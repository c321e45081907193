#!/usr/bin/perl

# The calls of a client under debug_connection are followed through two workers
# in the log, though error_log is not on debug; those of others are not there.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map --with-debug/)->plan(16);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    events => 'debug_connection 127.0.0.2;'));

# the globals of the library ask for all debug lines

my $conf = $t->read_file('nginx.conf');
$conf =~ s/^(\s*error_log \S+) debug;/$1 info;/mg;
$t->write_file('nginx.conf', $conf)->run();

my ($near, $far) = wait_serving($t, 2);

my $d = device_on($far);
my $stream = stream_on($near, from => '127.0.0.2');

###############################################################################

# Lines of the log since the last time, when $n of them say $until, without
# those of nginx itself.

{
my $seen = 0;

sub lines {
    my ($t, $until, $n) = @_;

    my @lines;

    wait_for(sub {
        @lines = split /\n/, substr($t->read_file('error.log'), $seen);
        return $n <= grep { /$until/ } @lines;
    }) or diag("no line $until");

    $seen += length join "\n", @lines, '';

    return grep { /cometa (?:mail|call|queue):/ } @lines;
}
}

# What one worker says of a call, in short.

sub story {
    my ($pid, $call, @lines) = @_;

    my @own = map { / $pid\#\d+: (?:\*\d+ )?cometa (.*)/ } @lines;

    return join ', ', map {
        /^mail: (\w+ \w+) .* call \Q$call\E,/ ? "mail $1"
            : /^(call|queue): (?:call )?\Q$call\E ([^,]+)/ ? "$1 $2" : ()
    } @own;
}

sub answered {
    my ($d, $call, $reply) = @_;
    my $got = $d->read_chunk();
    $d->send_chunk($reply);
    return defined $got ? $got : '';
}

# others are not followed

my $call = call_start('app1', $d->{device}, 'silent', stream => stream_on($near));
answered($d, $call, 'reply');
is(call_end($call)->{body}, 'reply', 'a call of another client');

$call = call_start('app1', $d->{device}, 'hello', stream => $stream);
is(answered($d, $call, 'world!'), 'hello', 'a call of this one');
my $r = call_end($call);
is($r->{body}, 'world!', 'its reply');
is($r->{headers}{'cometa-hop'}, 'remote', 'it goes through two workers');

my @lines = lines($t, 'cometa call: .* ends with -', 1);
my ($id) = map { /cometa call: (\d+:\d+:\d+) is sent/ } @lines;
like($id, qr/\A\d+:\d+:\d+\z/, 'it has a name');

is(scalar(grep { !/\Q$id\E/ && !/call: .* begins/ } @lines), 0,
    'no line of other calls');

is(story($near, $id, @lines),
    'call is sent to another worker, mail call sent, mail reply read, '
    . 'call ends with -', 'what the origin does');
is(story($far, $id, @lines),
    'mail call read, queue is written, queue is answered, mail reply sent',
    'what the owner does');

my ($session) = map { /session (\d+)/ } grep { /call sent to/ } @lines;
is(scalar(grep { /session $session\b/ } @lines), 6,
    'letters and queue name the session');
like((grep { /call sent to/ } @lines)[0], qr/, 5 bytes$/m, 'and its length');

# one that has to wait for its turn, and one that nobody waits for

my $first = call_start('app1', $d->{device}, 'first', stream => $stream);
is($d->read_chunk(), 'first', 'a call is at the device');

my $second = call_start('app1', $d->{device}, 'second',
    stream => stream_on($near, from => '127.0.0.2'));
figure_is('app1', 'queued', 1);

$d->send_chunk('one');
is(call_end($first)->{body}, 'one', 'it is answered');
is(answered($d, $second, 'two'), 'second', 'and the next one comes');
is(call_end($second)->{body}, 'two', 'and is answered');

@lines = lines($t, 'cometa call: .* ends with -', 2);
($id) = map { /cometa call: (\d+:\d+:\d+) waits/ } @lines;

is(story($far, $id, @lines),
    'mail call read, queue waits for its turn, mail queued sent, '
    . 'mail written sent, queue is written, queue is answered, '
    . 'mail reply sent', 'how the owner lets it wait');
is(story($near, $id, @lines),
    'call is sent to another worker, mail call sent, mail queued read, '
    . 'call waits for its turn, mail written read, '
    . 'call is written to the device, mail reply read, call ends with -',
    'what the origin hears of that');

###############################################################################

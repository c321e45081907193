#!/usr/bin/perl

# WebSockets that move to the worker of their device, and those that cannot.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Socket::UNIX;
use List::Util qw/ sum /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/
    device_on stream_on serving processes wait_serving wait_gone reload_all
    expected_alerts fds master nginx_ends stand_still
/;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map stub_status/)
    ->todo_alerts()->plan(100);

my $tls = $t->has_module('http_ssl') && eval { require IO::Socket::SSL; 1 };
certificate($t, 'localhost') if $tls;

my $crlf = "\x0d\x0a";

sub start {
    my (%o) = @_;

    $o{http} = 'log_format moved "$status $bytes_sent";'
        . 'map $arg_long $long { 1 ' . 'h' x 2500 . '; }'
        . ($o{http} || '');
    $o{server} = 'location = /status { stub_status; }'
        . 'listen unix:%%TESTDIR%%/socket;'
        . 'listen 127.0.0.1:8081 deferred;' . ($o{server} || '');
    $o{websocket} = 'add_header Long $long always;'
        . 'add_header Longer $long always;'
        . 'access_log %%TESTDIR%%/websocket.log moved;'
        . ($o{websocket} || '');

    $t->write_file_expand('nginx.conf',
        websocket_conf(move => 'on', shutdown => '60s', %o));
    $t->run();

    return wait_serving($t, $o{workers});
}

# The sockets that a process has, by their inodes.

sub inodes {
    my ($pid) = @_;
    return map { (readlink $_ || '') =~ /^socket:\[(\d+)\]/ }
        glob "/proc/$pid/fd/*";
}

# A connection that just this worker has accepted.

sub connected {
    my ($pid) = @_;

    my %before = map { $_ => 1 } inodes($pid);
    my $stream = stream_on($pid);
    ($stream->{inode}) = grep { !$before{$_} } inodes($pid);

    return $stream;
}

# A handshake on it, and its answer.

sub begin {
    my ($stream, %o) = @_;

    $o{device} ||= 'dev1';
    $o{key} ||= websocket_key('app1', $o{device});
    %o = (nonce => 'dGhlIHNhbXBsZSBub25jZQ==', %o, stream => $stream);

    $stream->write(Test::Nginx::Cometa::WebSocket::handshake(%o)
        . (defined $o{with} ? $o{with} : ''));

    return \%o;
}

sub end {
    my ($o) = @_;

    my $answer = Test::Nginx::Cometa::WebSocket::answer_to($o->{stream}, %$o);

    return bless { %$o, %$answer }, 'Test::Nginx::Cometa::WebSocket';
}

sub opened {
    my ($pid, %o) = @_;
    return end(begin(connected($pid), %o));
}

# Who has it. The one that gives it away closes its descriptor afterwards.

sub holders {
    my ($ws) = @_;
    my $inode = $ws->{stream}{inode};
    return join ' ', grep { grep { $_ eq $inode } inodes($_) } processes($t);
}

sub at {
    my ($pid, @sockets) = @_;
    return !grep {
        my $ws = $_;
        !wait_for(sub { holders($ws) eq $pid }, 2)
    } @sockets;
}

sub ended {
    my (@pids) = @_;
    return !grep {
        Test::Nginx::Cometa::Workers::slurp("/proc/$_/stat") =~ /\) [^Z] /
    } @pids;
}

sub all_served {
    my ($d, @sockets) = @_;
    my %said = map { served($_, $d) => 1 } @sockets;
    return join ' ', sort keys %said;
}

sub active {
    return http_get('/status') =~ /Active connections: (\d+)/ ? $1 : 'none';
}

sub websockets {
    return stats('app1/devices/dev1')->{json}{websockets};
}

###############################################################################

my ($home, $away, $third) = start(workers => 3, ssl => $tls);
my $d = device_on($home);

# the device, and the one that asks
my $active = 2;
wait_for(sub { active() == $active }) or die "connections are left\n";

# It moves

my $ws = opened($away);
is($ws->{status}, 101, 'accepted by another worker than the device');
is($ws->{headers}{'sec-websocket-accept'}, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    'the answer is right');
is($ws->{headers}{connection}, 'upgrade', 'with all its headers');
is($ws->{headers}{pid}, $away, 'as the worker made it that accepted');
ok(at($home, $ws), 'the socket moves to the worker of the device');

my $logged = '101 ' . length($ws->{head});
ok(wait_for(sub { $t->read_file('websocket.log') =~ /^\Q$logged\E$/m }),
    'it is logged with the size of its answer');
ok(wait_for(sub { active() == $active + 1 }),
    'nginx counts one connection more');
is(figures('app1')->{websockets}, 1, 'and the application one websocket');

is(served($ws, $d), 'yes', 'a call');
$d->event('hello');
is($ws->said(), 'text hello', 'an event');

$ws->text("call $_") for 1 .. 16;
$d->echo() for 1 .. 16;
is($ws->heard(16), join(', ', map { "text call $_" } 1 .. 16),
    'many calls at once, their replies come in order');

my $near = opened($home);
is(served($near, $d), 'yes', 'one accepted where the device is');
ok(at($home, $near), 'stays there');

is($_->goodbye(), 'close 1000, eof', 'the close handshake') for $ws, $near;
ok(figure_is('app1', 'websockets', 0), 'no websocket is left');
is(websockets(), 0, 'nor of the device');
ok(wait_for(sub { active() == $active }), 'nor a connection');

# What comes with the handshake

$ws = opened($away, with => join '', map { ws_text("early $_") } 1 .. 3);
$d->echo() for 1 .. 3;
is($ws->heard(3), 'text early 1, text early 2, text early 3',
    'calls in the packet of the handshake');
ok(at($home, $ws), 'move with it');
$ws->goodbye();

$ws = websocket(stream => connected($away), bytewise => 1,
    with => ws_text('slow'));
$d->echo();
is($ws->said(), 'text slow', 'a handshake byte by byte');
ok(at($home, $ws), 'moves, too');
$ws->goodbye();

# Others that do not move

$ws = opened($away, headers => { Host => 'localhost' },
    uri => '/v1/websockets/dev1/' . websocket_key('app1', 'dev1')
    . '?long=1');
is($ws->{status}, 101, 'an answer of more than 4096 bytes');
is(length $ws->{headers}{longer}, 2500, 'comes complete');
is(served($ws, $d), 'yes', 'and its socket serves');
$ws->goodbye() if $ws->{status} == 101;

my $key = websocket_key('app1', 'dev1');
opened($away, key => $key)->close();
my $no = opened($away, key => $key);
is("$no->{status} $no->{json}{error}", '403 invalid_key',
    'a key is good for one move');
is(served(opened($away), $d), 'yes', 'a refusal is the end of nothing');

$d->detach();
$no = opened($away);
is("$no->{status} $no->{json}{error}", '404 device_offline',
    'no move to a device that is offline');
$no->close();

# A request before it, on the same connection, and answered before

$d = device_on($home);
{
    my $stream = connected($away);
    my $o = begin($stream, with => ws_ping('1'), key => do {
        my $made = websocket_key('app1', 'dev1');
        $stream->write("GET /pid HTTP/1.1${crlf}Host: localhost$crlf$crlf");
        $made
    });
    is(response($stream)->{body}, $away, 'a request in the pipeline');
    $ws = end($o);
    is($ws->said(), 'pong 1', 'and then the socket');
    ok(at($home, $ws), 'which moves');
    $ws->goodbye();
}

# The device attaches elsewhere: the socket stays where it is

$ws = opened($away);
ok(at($home, $ws), 'at the worker of the device');
my $old = $d;
$d = device_on($third);
$old->close();
is(served($ws, $d), 'yes', 'the device goes elsewhere: served');
$d->event('there');
is($ws->said(), 'text there', 'and told of events');
ok(at($home, $ws), 'from where it was');
$ws->goodbye();

sub unix_stream {
    my $socket = IO::Socket::UNIX->new(Peer => $t->testdir() . '/socket')
        or die "Can't connect: $!\n";

    $socket->blocking(0);

    return bless { socket => $socket, in => '', eof => 0 },
        'Test::Nginx::Cometa::Stream';
}

# Whoever accepts; TLS, unix sockets, and a request there at once

my %at = ($third => $d, map {
    $_ => device_on($_, device => "d$_")
} $home, $away);

sub elsewhere {
    my ($make) = @_;

    my %before = map { $_ => 1 } map { inodes($_) } keys %at;
    my $stream = $make->();

    $stream->write("GET /pid HTTP/1.1${crlf}Host: localhost$crlf$crlf");
    my $pid = response($stream)->{body};
    ($stream->{inode}) = grep { !$before{$_} } inodes($pid);

    my ($other) = grep { $_ != $pid } sort keys %at;

    my $device = $at{$other};
    my $ws = end(begin($stream, device => $device->{device}));

    return ($ws, $device, $pid, $other);
}

SKIP: {
    skip 'no TLS', 4 unless $tls;

    my ($ws, $device, $pid) = elsewhere(sub { caller_stream(ssl => 1) });

    is($ws->{status}, 101, 'over TLS');
    is(served($ws, $device), 'yes', 'served');
    ok(at($pid, $ws), 'by the worker that accepted it');
    is($ws->goodbye(), 'close 1000, eof', 'closed');
}

{
    my ($ws, $device, undef, $other) = elsewhere(\&unix_stream);

    is(served($ws, $device), 'yes', 'over a unix socket');
    ok(at($other, $ws), 'by the worker of the device');
    is($ws->goodbye(), 'close 1000, eof', 'closed');
}

# accepted with its request: not known to epoll before it moves

{
    my ($ws, $pid);

    # whichever worker likes to accept, it has not all the devices
    for (1 .. 60) {
        $pid = (sort keys %at)[$_ % 3];
        $ws = websocket(port => 8081, device => $at{$pid}{device});
        last if $ws->{headers}{pid} != $pid;
        $ws->goodbye();
    }

    isnt($ws->{headers}{pid}, $pid, 'accepted with its request');
    is(served($ws, $at{$pid}), 'yes', 'served');
    $ws->goodbye();
}

ok(figure_is('app1', 'websockets', 0), 'all are closed');

# Many, in all ways to leave: nothing is left

{
    my @pids = ($home, $away, $third);
    my $before = sum(map { fds($_) } @pids);
    my @streams = map { stream_on($_ % 2 ? $home : $away) } 1 .. 6;

    for my $n (1 .. 150) {
        my $ws = websocket();
        $n % 4 == 0 ? $ws->goodbye() : $n % 4 == 1 ? $ws->reset()
            : $ws->close();

        # one that leaves before its answer
        begin(caller_stream())->{stream}->reset() if $n % 4 == 3;
    }

    $_->close() for @streams;

    ok(figure_is('app1', 'websockets', 0), '150 sockets come and go');
    ok(wait_for(sub { sum(map { fds($_) } @pids) <= $before }),
        'and leave no descriptor');
    ok(wait_for(sub { active() == $active + 2 }), 'nor a connection');
}

# Killed

{
    $_->close() for values %at;
    $d = device_on($home);
    my $local = device_on($away, device => 'local');

    my $ws = opened($third);
    my $bystander = opened($away, device => 'local');
    ok(at($home, $ws), 'moved');

    kill 'KILL', $third;
    ok(wait_gone($t, 3, $third), 'the worker that accepted it is killed');
    is(served($ws, $d), 'yes', 'the socket lives');

    kill 'KILL', $home;
    is($ws->rest(3), 'eof', 'the one it moved to is killed: its end');
    is(served($bystander, $local), 'yes', 'of no other');

    ok(wait_serving($t, 3, $home, $third), 'others succeed them');
    ok(figure_is('app1', 'websockets', 1), 'and one websocket is counted');
    $_->close() for $bystander, $local;
}

$t->stop();

###############################################################################

# A worker that is stopped for a while

($home, $away) = start(
    workers => 2, http => 'client_header_buffer_size 32k;', ssl => $tls
);
$d = device_on($home);

{
    my $n = 700;
    my @streams = map { stream_on($away) } 1 .. $n + 1;
    my @keys = map {
        websocket_key('app1', 'dev1', stream => $streams[-1])
    } 1 .. $n;

    stand_still($home);

    my @begun = map {
        begin($streams[$_], key => $keys[$_], with => ws_ping('with'))
    } 0 .. $n - 1;

    $_->{stream}->write(ws_ping('after')) for @begun;

    # those that found no more room are open already
    my @open;

    ok(wait_for(sub {
        @open = grep { $_->{stream}->readable(0) } @begun;
        return scalar @open;
    }), 'many at once: some stay');

    cmp_ok(scalar @open, '<', $n, 'the others wait');

    kill 'CONT', $home;

    my @sockets = map { end($_) } @begun;
    is(scalar(grep { $_->{status} == 101 } @sockets), $n, 'all open');
    is(scalar(grep { $_->heard(2) ne 'pong with, pong after' } @sockets), 0,
        'none has lost a frame');
    is(all_served($d, @sockets), 'yes', 'all are served');
    is(websockets(), $n, 'and counted');

    $_->close() for @sockets;
    ok(figure_is('app1', 'websockets', 0), 'all leave');
    ok(at($home, opened($away)), 'and the next one moves');
}

# All that nginx has read of a handshake goes along with a socket

{
    my $ws = opened($away, with => join '',
        map { ws_ping('p' x 100) } 1 .. 200);

    is($ws->heard(200), join(', ', ('pong ' . 'p' x 100) x 200),
        'much that comes with the handshake');
    ok(at($home, $ws), 'moves with it');
    is(served($ws, $d), 'yes', 'and it serves');
    $ws->goodbye();
}

# and killed then: by now it has another place than its successor will

sub stopped_and_killed {
    my ($what) = @_;

    my @streams = map { stream_on($away) } 1 .. 5;
    my @keys = map { websocket_key('app1', 'dev1') } 1 .. 5;

    stand_still($home);
    my @begun = map { begin($streams[$_], key => $keys[$_]) } 0 .. 4;
    sleep(0.2);
    kill 'KILL', $home;
    ($home) = grep { $_ != $away } wait_serving($t, 2, $home);

    $d = device_on($home);

    # an end, or somebody who serves
    my %became = map { $_ => 1 } map {
        my $ws = eval { end({ %$_, timeout => 4 }) };
        !$ws || $ws->{stream}->eof() ? 'eof' : $ws->{status} != 101
            ? "status $ws->{status}" : 'served ' . served($ws, $d)
    } @begun;

    like(join(' ', sort keys %became), qr/\A(?:eof|served yes| )+\z/,
        "$what: no client is left hanging");

    my $next = opened($away);
    is(served($next, $d), 'yes', "$what: the next one serves");
    ok(at($home, $next), "$what: where it moves to");
    $next->close();
    $_->{stream}->close() for @begun;
    ok(figure_is('app1', 'websockets', 0), "$what: none is left");
}

stopped_and_killed('stopped and killed');

# Reload, with a device that stays where it is

SKIP: {
    skip 'no TLS', 9 unless $tls;

    my @old = ($home, $away);
    $d->close();
    $d = device_on($home, ssl => 1);
    my $before = opened($away);
    my ($one, $two) = reload_all($t, 2);

    my $late = opened($two);
    ok(at($two, $late), 'no move to a worker of before the reload');
    is(all_served($d, $before, $late), 'yes', 'both serve');

    my $new = device_on($one, device => 'new');
    my $moved = opened($two, device => 'new');
    ok(at($one, $moved), 'a move among those after it');
    is(served($moved, $new), 'yes', 'serves');

    $d->close();
    $before->goodbye();
    ok(wait_gone($t, 5, @old), 'the old workers leave');

    $_->close() for $late, $moved, $new;
    ok(figure_is('app1', 'websockets', 0), 'all leave');

    ($home, $away) = ($one, $two);
    $d = device_on($home);
    stopped_and_killed('after a reload');
    $d->close();
}

$t->stop();

###############################################################################

# A crowded worker

($home, $away) = start(workers => 2, connections => 60);
$d = device_on($home);

{
    my (@moved, $stayed);

    for (1 .. 60) {
        my $ws = opened($away);
        if (wait_for(sub { holders($ws) eq $home }, 1)) {
            push @moved, $ws;
            next;
        }
        $stayed = $ws;
        last;
    }

    ok($stayed && at($away, $stayed), 'crowded: it stays where it is');
    cmp_ok(scalar @moved, '>', 20, 'crowded: after many');
    is(all_served($d, $stayed, @moved), 'yes', 'crowded: all serve');

    $_->close() for splice @moved, 10;
    my $again;
    ok(wait_for(sub {
        $again->close() if $again;
        $again = opened($away);
        return wait_for(sub { holders($again) eq $home }, 1);
    }, 10), 'there is room again: they move');
    is(all_served($d, $stayed, $again, @moved), 'yes', 'and all serve');

    $_->close() for $d, $stayed, $again, @moved;
}

$t->stop();

# More than it can take, for it could not say that it is crowded

($home, $away, my $other) = start(workers => 3, connections => 60);
$d = device_on($home);

{
    my @streams = map { my $pid = $_; map { stream_on($pid) } 1 .. 40 }
        $away, $other;
    my @keys = map { websocket_key('app1', 'dev1') } @streams;
    my @asking = map { stream_on($_) } $away, $other;

    stand_still($home);
    my @begun = map { begin($streams[$_], key => $keys[$_]) } 0 .. $#streams;

    # who answers these has read what came before

    for my $asking (@asking, @asking) {
        $asking->write("GET /pid HTTP/1.1${crlf}Host: localhost$crlf$crlf");
        response($asking);
    }

    kill 'CONT', $home;

    my @sockets = grep { !$_->{stream}->eof() && $_->{status} } map {
        eval { end($_) } || ()
    } @begun;

    cmp_ok(scalar @sockets, '>', 20, 'too many: there are some');
    cmp_ok(scalar @sockets, '<', 60, 'too many: others are closed');
    is(all_served($d, @sockets), 'yes', 'too many: which serve');

    my $said = log_count($t,
        qr/passed to this one were closed, raise "worker_connections"/);
    ok($said >= 1 && $said <= 3, 'too many: it is logged, not for each')
        or diag($said);

    $_->close() for @sockets;
    ok(figure_is('app1', 'websockets', 0), 'too many: none is left');
    $d->close();
}

$t->stop();

###############################################################################

# off, and the end

start(workers => 2, move => 'off');
($home, $away) = serving($t);
$d = device_on($home);

$ws = opened($away);
is(served($ws, $d), 'yes', 'off: served');
ok(at($away, $ws), 'off: it stays');
$_->close() for $d, $ws;
$t->stop();

{
    ($home, $away) = start(workers => 2, shutdown => '1s');
    $d = device_on($home);
    my @sockets = map { opened($away) } 1 .. 3;
    ok(at($home, @sockets), 'quit: moved');

    my $master = master($t);
    kill 'QUIT', $master;

    is(join(', ', map { $_->said(4) } @sockets),
        join(', ', ('close 1001') x 3), 'quit: close 1001');
    is(scalar(grep { $_->goodbye(1001) ne 'eof' } @sockets), 0,
        'quit: and the end');
    ok(wait_for(sub { ended($home, $away) }), 'quit: the workers leave');
    nginx_ends($t, $master);
}

# A reload takes them along once more, with their device

{
    ($home, $away) = start(workers => 2, shutdown => '1s');
    $d = device_on($home);
    my @sockets = map { opened($away) } 1 .. 3;
    my @new = reload_all($t, 2);

    ok(wait_gone($t, 8, $home, $away), 'reload: the old workers leave');
    ok(at($new[0], @sockets) || at($new[1], @sockets),
        'reload: all are on the worker of the device');
    is(all_served($d, @sockets), 'yes', 'reload: and serve');
    $t->stop();
}

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.

undef $t;

###############################################################################

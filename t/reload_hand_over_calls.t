#!/usr/bin/perl

# Calls and bytes that are under way while their device moves to a new worker:
# none is lost, none comes twice, all keep their order and their time.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Socket::INET;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(60);

# Small socket buffers, so that a message does not fit in.

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
    shutdown => '60s', listen => 'reuseport sndbuf=8192',
    send => 'cometa_send_timeout 20s max=60s;',
    http => 'cometa_max_message_size 128k;',
    attach => 'cometa_webhook /hook events=data,attach,detach;',
    server => <<'EOS'))->run();
        location = /hook {
            internal;
            proxy_pass http://127.0.0.1:8081;
        }

        location ~ ^/alone/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_send;
            cometa_queue 1;
        }

        location ~ ^/plain/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
        }

        location ~ ^/short/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_send;
            cometa_send_timeout 2s;
        }
EOS

# The upstream of the webhook: one after the other, for the access log of an
# nginx has another order.

my $port = port(8081);
my $got = $t->testdir() . '/got.log';

$t->run_daemon(sub {
    my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
        Listen => 128, ReuseAddr => 1) or die "Can't listen: $!\n";

    while (my $client = $server->accept()) {
        local $/ = "\x0d\x0a";
        my ($event, $body, $length) = ('', '', 0);

        while (defined(my $line = <$client>) ) {
            last if $line eq $/;
            $event = $1 if $line =~ /^Cometa-Event: (\w+)/i;
            $length = $1 if $line =~ /^Content-Length: (\d+)/i;
        }

        read $client, $body, $length;

        # those are told to one who takes his time
        sleep(0.02) if $body =~ /^slow/;

        open my $fh, '>>', $got or die "$got: $!\n";
        print $fh "$event $body\n";
        close $fh;

        print $client "HTTP/1.1 204 No Content$/Connection: close$/$/";
    }
});
$t->waitforsocket("127.0.0.1:$port") or die "no upstream\n";

wait_serving($t, 2);

sub moves {
    return log_count($t, qr/device has moved here/);
}

# Reloads, and waits until that many devices have moved; old workers may be
# kept by callers.

sub move {
    my ($n) = @_;

    my $before = moves();
    reload_all($t, 2);
    return wait_for(sub { moves() >= $before + $n }, 10);
}

sub told {
    return join ', ', $t->read_file('got.log') =~ /^(.*\S) *$/mg;
}

###############################################################################

my $d = device();

# Written, waiting, and their order

{
    my $written = call_start('app1', 'dev1', 'written');
    is($d->read_chunk(), 'written', 'a call is written');

    my @waiting;

    for my $i (1 .. 8) {
        push @waiting, call_start('app1', 'dev1', "waiting $i");
        wait_for(sub { figures('app1')->{queued} == $i });
    }

    ok(move(1), 'its device moves');
    ok(wait_for(sub { figures('app1')->{queued} == 8 }), 'with its queue');
    is(figures('app1')->{calls}, 9, 'and all calls');

    my $late = call_start('app1', 'dev1', 'after');
    wait_for(sub { figures('app1')->{queued} == 9 });

    $d->send_chunk('first');
    is(text(call_end($written)), '200 first', 'the reply to the written one');

    my @got;

    for (1 .. 9) {
        push @got, $d->read_chunk();
        $d->send_chunk("re: $got[-1]");
    }

    is(join(', ', @got), join(', ', (map { "waiting $_" } 1 .. 8), 'after'),
        'the others come in their order');
    is(join(', ', map { text(call_end($_)) } @waiting, $late),
        join(', ', map { "200 re: $_" } @got), 'each gets its own reply');
    $_->{stream}->close() for $written, $late, @waiting;
}

# Several moves during one call

{
    my $call = call_start('app1', 'dev1', 'long');
    is($d->read_chunk(), 'long', 'a long call');
    ok(move(1), "moves, $_") for 1 .. 3;
    ok($d->quiet(), 'nothing is written twice');
    $d->send_chunk('at last');
    is(text(call_end($call)), '200 at last', 'is answered after them');
    $call->{stream}->close();
}

# A reply that is too late is dropped, wherever the device is by then

for my $when (qw/ before after /) {
    my $call = call_start('app1', 'dev1', 'slow', uri => '/short/app1/dev1');
    is($d->read_chunk(), 'slow', "late, $when: a call");
    my $late = figures('app1')->{late};

    if ($when eq 'before') {
        is(text(call_end($call)), '504 device_timeout',
            "late, $when: its time is over");
        ok(move(1), "late, $when: a move");

    } else {
        ok(move(1), "late, $when: a move");
        is(text(call_end($call)), '504 device_timeout',
            "late, $when: its time is over");
    }

    $call->{stream}->close();
    my $next = call_start('app1', 'dev1', 'next');
    ok($d->quiet(), "late, $when: a reply is owed");
    $d->send_chunk('too late');
    is($d->read_chunk(), 'next', "late, $when: then the next call");
    $d->send_chunk('in time');
    is(text(call_end($next)), '200 in time', "late, $when: has its reply");
    is(figures('app1')->{late}, $late + 1, "late, $when: it is counted");
    $next->{stream}->close();
}

# A device that does not reply at all is closed after its time

{
    my @mute = map { device(device => "mute$_") } 1 .. 2;
    my @calls = map {
        call_start('app1', "mute$_", 'x', uri => "/short/app1/mute$_")
    } 1 .. 2;
    my $start = time();

    $_->read_chunk() for @mute;
    ok(move(3), 'mute devices move');
    is(join(', ', map { text(call_end($_)) } @calls),
        '504 device_timeout, 504 device_timeout', 'mute: no reply in time');
    ok(!grep({ $_->gone() } @mute), 'mute: it is owed still')
        if time() - $start < 3.8;
    ok(1, 'mute: the machine was too slow') if time() - $start >= 3.8;
    ok(move(3), 'mute: and move again');
    is(join(', ', map { $_->closed() || 'open' } @mute), 'last, last',
        'mute: closed');
    cmp_ok(time() - $start, '>', 3.9, 'mute: after their time');
    is(log_count($t, qr/device detached, reason: unresponsive,/), 2,
        'mute: for that reason');
    $_->{stream}->close() for @calls;
}

# Parts of chunks

{
    my $call = call_start('app1', 'dev1', 'x');
    $d->read_chunk();
    $d->raw("a\x0d\x0ahello");
    sleep(0.1);
    ok(move(1), 'half a reply: a move');
    $d->raw("world\x0d\x0a");
    is(text(call_end($call)), '200 helloworld', 'half a reply: and the rest');
    $call->{stream}->close();

    my $heartbeat = stats('app1/devices/dev1')->{json}{heartbeat};
    $d->raw("1\x0d\x0a");
    sleep(0.1);
    ok(move(1), 'half a heartbeat: a move');
    $d->raw("\x06\x0d");
    sleep(0.1);
    ok(move(1), 'half a heartbeat: another one');
    $d->raw("\x0a");
    ok(wait_for(sub {
        stats('app1/devices/dev1')->{json}{heartbeat} > $heartbeat
    }), 'half a heartbeat: counts');

    my $reply = random_bytes(60_000);
    my $chunk = Test::Nginx::Cometa::Device::chunk($reply);
    $call = call_start('app1', 'dev1', 'large');
    $d->read_chunk();

    for my $part (unpack '(a15000)*', $chunk) {
        $d->raw($part);
        move(1);
    }

    ok(call_end($call)->{body} eq $reply, '60 KB in pieces, a move for each');
    $call->{stream}->close();
}

# A device that does not read: what the socket has not taken goes along

{
    my $deaf = device(device => 'deaf', rcvbuf => 4096);
    my $message = random_bytes(120_000);
    my $call = call_start('app1', 'deaf', $message);
    ok(wait_for(sub {
        stats('app1/devices/deaf')->{json}{net}{received}{messages} == 1
    }), 'a deaf device');
    ok(move(2), 'deaf: moves');
    ok(move(2), 'deaf: and once more');
    ok($deaf->read_chunk() eq $message, 'deaf: gets all of its message');
    $deaf->send_chunk('heard');
    is(text(call_end($call)), '200 heard', 'deaf: and replies');
    $call->{stream}->close();
    $deaf->close();
}

# A caller on an old worker

{
    my $stream = caller_stream();
    my ($begin, $end) = call_request('app1', 'dev1', 'slowly',
        headers => { Prefer => 'wait=20' }) =~ /\A(.{20})(.*)\z/s;

    $stream->write($begin);
    stats('app1');
    ok(move(1), 'a request has begun: a move');
    $stream->write($end);
    is($d->read_chunk(), 'slowly', 'a request from an old worker');
    ok(move(1), 'a request is under way: a move');
    $d->send_chunk('patience');
    is(text(response($stream)), '200 patience', 'is answered');
    $stream->close();
}

# One call after the other, while the device moves: none is refused

{
    answer($t, devices => [ 'alone' ]);

    my %seen;
    my $calls = 0;

    for (1 .. 5) {
        my $before = moves();
        my $end = time() + 10;
        $t->reload();

        until (moves() >= $before + 2 || time() > $end) {
            my $message = 'm' . ++$calls;
            my $r = call('app1', 'alone', $message, uri => '/alone/app1/alone',
                keepalive => 0);
            $seen{$r->{body} eq $message ? 'right' : text($r)}++;
        }
    }

    is(join(', ', map { "$_ $seen{$_}" } sort keys %seen), "right $calls",
        'one after the other: all calls are answered');
}

# Events: each once, in order, to the webhook and to WebSockets on old workers

{
    my @sockets = map { websocket() } 1 .. 3;
    my $sent = 0;

    # of reloads those that have moved the device
    for (1 .. 3) {
        my $before = moves();
        my $end = time() + 10;
        $t->reload();

        until (moves() > $before || time() > $end) {
            $d->event('e' . ++$sent) for 1 .. 5;
            sleep(0.01);
        }
    }

    $d->event('e' . ++$sent) for 1 .. 5;

    my $wanted = join ', ', map { "text e$_" } 1 .. $sent;
    my @wrong = grep { $_->heard($sent) ne $wanted } @sockets;
    is(scalar(@wrong), 0, "$sent events: to WebSockets, in order");
    ok(!grep({ !$_->quiet() } @sockets), 'events: and no other');

    ok(wait_for(sub {
        stats('app1/devices/dev1')->{json}{websockets} == 3
    }), 'events: its worker knows of the WebSockets');

    ok(wait_for(sub {
        (() = told() =~ /data e/g) >= $sent
    }, 10), 'events: to the webhook');

    my @hook = map { /\Adata e(\d+)/ } split /, /, told();
    my @order = grep { $hook[$_] != $_ + 1 } 0 .. $#hook;
    ok(@hook == $sent && !@order, 'events: in order, each once')
        or diag("@hook");

    $_->close() for @sockets;
}

# The same where the webhook is slower than the device: it moves when the old
# worker has told all

{
    my $before = moves();
    my $end = time() + 20;
    my $sent = 50;

    $d->event("slow$_") for 1 .. $sent;
    $t->reload();

    until (moves() > $before || time() > $end) {
        $d->event('slow' . ++$sent);
        sleep(0.05);
    }

    $d->event('slow' . ++$sent) for 1 .. 5;

    ok(wait_for(sub { (() = told() =~ /data slow/g) >= $sent }, 20),
        "slow: $sent events to the webhook");

    my @hook = map { /\Adata slow(\d+)/ } split /, /, told();
    my @order = grep { $hook[$_] != $_ + 1 } 0 .. $#hook;
    ok(@hook == $sent && !@order, 'slow: in order, each once')
        or diag("@hook");
}

# A device that never stops speaking

{
    my $restless = device(device => 'restless', uri => '/plain/app1/restless');
    my $before = moves();
    my $events = figures('app1')->{events};
    my $some = "2\x0d\x0a\x07x\x0d\x0a" x 20_000;
    my $sent = 0;

    # it is read, a turn at a time, when its worker hears that it has to leave

    for (1 .. 3) {
        my @old = serving($t);
        stand_still(@old);
        $restless->raw($some);
        $sent += 20_000;
        $t->reload();
        wait_for(sub { serving($t) == 4 });

        # the master tells them a moment later, which nobody can see
        sleep(0.3);
        kill 'CONT', @old;
        wait_serving($t, 2, @old);
        $restless->raw($some);
        $sent += 20_000;
    }

    ok(wait_for(sub { figures('app1')->{events} == $events + $sent }, 20),
        "$sent events in a row, none is lost")
        or diag(figures('app1')->{events} - $events);
    is(reached($restless), 'yes', 'and it is called');
    $restless->close();
}

is(log_count($t, qr/device attached/), 6, 'nobody has attached anew');

$d->close();

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

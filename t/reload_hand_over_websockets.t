#!/usr/bin/perl

# WebSockets over a reload: they move to the new workers with their device, no
# event is missed or told twice, and what is under way comes to its end.

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
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { WORKERS => 2, DEVICES => 12, RELOADS => 5 };

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)->plan(40);

certificate($t, 'localhost');

# Small socket buffers, so that a message does not fit in.

sub configure {
    my (%o) = @_;

    my $gone = delete $o{gone};

    $t->write_file_expand('nginx.conf', websocket_conf(workers => WORKERS,
        ssl => 1, shutdown => '60s', listen => 'reuseport sndbuf=8192',
        send => 'cometa_send_timeout 20s max=60s;',
        websocket => 'cometa_websocket_timeout 60s;',
        server => 'location ~ ^/other/(?<device>[^/]+)/(?<key>[^/]+)$ {'
            . ($gone ? 'return 404;'
                : 'cometa_websocket; cometa_application app1;') . '}', %o));
}

configure();
$t->run();
wait_serving($t, WORKERS);

sub moves {
    return log_count($t, qr/device has moved here/);
}

# Reloads, and waits until the only device has moved.

sub device_moves {
    my $before = moves();
    my @old = serving($t);

    reload_all($t, WORKERS);
    wait_for(sub { moves() > $before }) or die "it does not move\n";

    return @old;
}

# Reloads, and waits until no old worker is left.

sub moved {
    my @old = serving($t);
    reload_all($t, WORKERS);
    return wait_gone($t, 15, @old);
}

sub held {
    my ($id) = @_;
    return stats("app1/devices/$id")->{json}{websockets};
}

###############################################################################

# Idle ones, on all workers: of their device's and of the other one

{
    my @d = map { device(device => "d$_") } 1 .. DEVICES;
    my @ws = map { my $n = $_;
        map { websocket(device => "d$n") } 1 .. 3 } 1 .. DEVICES;

    is(join(' ', grep { $_->{status} != 101 } @ws), '', 'all open');
    ok(moved(), 'the old workers leave');

    is(join(' ', grep { $_ ne 'yes' }
        map { served($ws[$_], $d[$_ / 3]) } 0 .. $#ws), '',
        'all are served as before');
    figure_is('app1', 'websockets', scalar @ws);
    ok(wait_for(sub { !grep { held("d$_") != 3 } 1 .. DEVICES }),
        'each device knows how many there are');

    # once more, with events before, meanwhile and after

    my ($sent, $late) = (0, 0);
    my $end = time() + 1;

    for my $i (1 .. RELOADS) {
        my @old = serving($t);
        my $least = $sent + 11;
        $t->reload();

        do {
            $sent++;
            $_->event("event $sent") for @d;
        } until $sent >= $least
            && !grep { my $p = $_; grep { $_ == $p } @old } processes($t)
            or $sent > 20000;

        wait_serving($t, WORKERS, @old);
    }

    $_->event('last') for @d;

    my @wrong;

    for my $ws (@ws) {
        my $next = 1;

        for ( ;; ) {
            my $said = $ws->said();
            last if $said eq 'text last' && $next == $sent + 1;

            if ($said ne "text event $next") {
                push @wrong, "$said, not $next of $sent";
                last;
            }

            $next++;
        }
    }

    is(join('; ', @wrong), '', 'each event once, in order, over '
        . RELOADS . ' reloads');
    cmp_ok($sent, '>', 10 * RELOADS, 'there were events');
    is(join(' ', grep { $_ ne 'yes' }
        map { served($ws[$_], $d[$_ / 3]) } 0 .. $#ws), '',
        'all are served still');

    $_->goodbye() for @ws[0 .. 5];
    $_->close() for @ws[6 .. $#ws];
    figure_is('app1', 'websockets', 0);
    $_->close() for @d;
}

# Calls that are outstanding

{
    my $d = device();
    my $ws = websocket();

    $ws->text("call $_") for 1 .. 4;
    is($d->read_chunk(), 'call 1', 'the first of four calls is written');

    my @old = serving($t);
    reload_all($t, WORKERS);

    $d->send_chunk('reply 1');

    for my $n (2 .. 4) {
        is($d->read_chunk(), "call $n", "then call $n");
        $d->send_chunk("reply $n");
    }

    is($ws->heard(4), join(', ', map { "text reply $_" } 1 .. 4),
        'the replies come in order');
    ok(wait_gone($t, 15, @old), 'calls: the old workers leave');
    is(served($ws, $d), 'yes', 'calls: and it serves');

    # what is sent while it is not read waits for the new worker

    $ws->text('slow');
    is($d->read_chunk(), 'slow', 'a call that takes its time');
    @old = device_moves();
    $ws->raw(ws_ping('p'), ws_text('behind it'));
    $d->send_chunk('slow reply');
    is(join(', ', sort map { $ws->said() } 1 .. 2),
        'pong p, text slow reply', 'its reply, and a pong');
    is($d->read_chunk(), 'behind it', 'and the next call');
    $d->send_chunk('reply');
    is($ws->said(), 'text reply', 'is answered');
    ok(wait_gone($t, 15, @old), 'slow: the old workers leave');

    # a client that waits for a pong is not left alone for long

    $ws->text('very slow');
    is($d->read_chunk(), 'very slow', 'a call that takes longer');
    @old = device_moves();
    $ws->raw(ws_ping('q'));
    is($ws->said(15), 'pong q', 'a ping is answered meanwhile');
    $d->send_chunk('at last');
    is($ws->said(), 'text at last', 'and so is the call');
    ok(wait_gone($t, 20, @old), 'very slow: the old workers leave');

    $_->close() for $ws, $d;
}

# Parts of messages, and output that is not read

{
    my $d = device();
    my $ws = websocket();
    my ($half, $deaf) = (websocket(), websocket(rcvbuf => 4096));
    my $frame = ws_text('x' x 30000);

    $ws->raw(frame(1, 'one, ', fin => 0), ws_ping('between'));
    is($ws->said(), 'pong between', 'a message is begun');
    $half->raw(substr $frame, 0, 10000);
    $d->event('e' x 60000);
    is(length $ws->said(), 60005, 'an event of 60,000 bytes');
    is(length $half->said(), 60005, 'to all');

    ok(moved(), 'parts: the old workers leave');

    $ws->raw(frame(0, 'two'));
    is($d->read_chunk(), 'one, two', 'the message is complete');
    $d->send_chunk('both');
    is($ws->said(), 'text both', 'and answered');

    $half->raw(substr $frame, 10000);
    is(length $d->read_chunk(), 30000, 'so is half a frame');
    $d->send_chunk('whole');
    is($half->said(), 'text whole', 'which is answered, too');

    is(length $deaf->said(), 60005, 'who did not read gets it all');
    $_->close() for $ws, $half, $deaf, $d;
}

# Without its device; and what cannot move

{
    my $d = device();
    my $key = websocket_key('app1', 'dev1');
    my $ws = websocket(key => $key);
    my $tls = websocket(ssl => 1);

    $d->close();
    ok(wait_for(sub { call('app1', 'dev1', 'x')->{status} == 404 }),
        'the device leaves');

    my @old = serving($t);
    reload_all($t, WORKERS);
    ok(wait_for(sub { (my @left = processes($t)) <= WORKERS + 1 }, 15),
        'at most one old worker is left, which has one over TLS');

    $d = device();
    is(served($ws, $d) . ' ' . served($tls, $d), 'yes yes',
        'the device is back, both serve');
    $d->event('hello');
    is($ws->said() . ', ' . $tls->said(), 'text hello, text hello',
        'and hear it');
    $_->close() for $ws, $tls, $d;
}

# The new configuration has no such location

{
    my $d = device();
    my $ws = websocket();
    my $other = websocket(uri => '/other/dev1/'
        . websocket_key('app1', 'dev1'));
    is($other->{status}, 101, 'one at another location');

    my @old = serving($t);
    configure(gone => 1);
    reload_all($t, WORKERS);

    is($other->said(10), 'close 1001', 'it is closed when that is gone');
    $other->goodbye(1001);
    ok(wait_gone($t, 15, @old), 'gone: the old workers leave');
    is(served($ws, $d), 'yes', 'gone: the other one serves');
}

$t->stop();

# Not left to the end of the program, where its last tests fail to run.
undef $t;

###############################################################################

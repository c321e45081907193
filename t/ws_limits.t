#!/usr/bin/perl

# WebSockets that are silent or say too much, and the end of their workers.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/
    device_on stream_on processes reload_all wait_serving wait_gone master
    nginx_ends     expected_alerts rss fds text
/;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)->todo_alerts()
    ->plan(70);

certificate($t, 'localhost');

sub configure {
    my (%o) = @_;
    $t->write_file_expand('nginx.conf',
        websocket_conf(shutdown => '60s', %o));
}

sub start {
    configure(@_);
    $t->run();
}

sub websockets {
    return stats('app1/devices/dev1')->{json}{websockets};
}

sub ended {
    my (@pids) = @_;
    return !grep {
        Test::Nginx::Cometa::Workers::slurp("/proc/$_/stat") =~ /\) [^Z] /
    } @pids;
}

###############################################################################

# Silence

start(workers => 1, websocket => 'cometa_websocket_timeout 3s;');

my $d = device();

my $ws = websocket();
my $start = time();
my $watch = stopwatch();
is($ws->said(), 'ping', 'a socket that is silent is asked');
cmp_ok(time() - $start, '>', 1.45, 'not too early');
is($ws->said(), 'close 1001', 'and closed');
ok(time() - $start > 2.9 && $watch->took() < 4.9, 'when the time is over');
is($ws->goodbye(1001), 'eof', 'in order');

$ws = websocket();
$ws->said();
$ws->said();
is($ws->rest(), 'eof', 'or without its answer');
is(figures('app1')->{websockets}, 0, 'and counted no more');

sub lives {
    my ($say) = @_;

    my $ws = websocket();
    my $end = time() + 4.5;
    my $pings = 0;

    while (time() < $end) {
        my $said = $ws->said(0.4);
        $pings++ if $said =~ /^ping/;
        return $said if $said =~ /^(?:close|eof|wrong)/;
        $say->($ws, $said);
    }

    $ws->goodbye();

    return "lives, $pings pings";
}

like(lives(sub { $_[0]->raw(ws_pong('')) if $_[1] eq 'ping' }),
    qr/\Alives, [1-5] pings\z/, 'pongs keep it alive');

# it is asked when it is silent, as it is when it gets no processor for 1.1 s

my $busy = stopwatch();
my $said = lives(sub { $_[0]->raw(ws_ping('here')) });
my ($pings) = $said =~ /\Alives, (\d+) pings\z/;
ok(defined $pings && $pings <= $busy->late() / 1, 'so do pings of its own')
    or diag($said);
is(lives(sub { $d->event('x') }), 'close 1001', 'events do not');

# Closed while a call is out

$ws = websocket();
$ws->text('unanswered');
is($d->read_chunk(), 'unanswered', 'a call');
is($ws->heard(2), 'ping, close 1001', 'silence while a call is out');
$d->send_chunk('late');
is(call('app1', 'dev1', 'x', headers => { Prefer => 'wait=1' },
    timeout => 3)->{status}, 504, 'the device goes on');
is($d->read_chunk(), 'x', 'with the next one');
$t->stop();

###############################################################################

# Storms

start(
    workers => 1, listen => 'reuseport sndbuf=16k',
    websocket => 'cometa_max_message_size 1000; cometa_queue 1000;'
);

$d = device();
$ws = websocket();

{
    my $wrong = 0;

    for my $round (1 .. 100) {
        $ws->raw(map { ws_ping("$round.$_ " . 'p' x 100) } 1 .. 200);
        $wrong += $ws->said() ne "pong $round.$_ " . 'p' x 100 for 1 .. 200;
    }

    is($wrong, 0, '20000 pings, each with its pong, in order');
    is(served($ws, $d), 'yes', 'and a call after them');
}

# The peer pings and never reads

{
    my $deaf = websocket(rcvbuf => 65536);
    my ($pid) = wait_serving($t, 1);
    my $before = rss($pid);
    my $storm = join '', map { ws_ping('p' x 125) } 1 .. 500;

    $t->run_daemon(sub {
        $deaf->raw($storm) or last for 1 .. 500;
        sleep(30);
    });

    ok(figure_is('app1', 'websockets_slow', 1),
        'a storm of pings whose pongs are not read');
    cmp_ok(rss($pid) - $before, '<', 4000, 'takes no memory');
    is(served($ws, $d), 'yes', 'and holds no one up');
    ok(wait_for(sub { figures('app1')->{websockets} eq '1' }, 10),
        'it is closed');
    $deaf->close();
    $t->stop_daemons();
}

# Calls whose replies are not read

{
    my $deaf = websocket(rcvbuf => 65536);

    $deaf->raw(map { ws_text('x') } 1 .. 700);

    while (defined $d->read_chunk(1)) {
        $d->send_chunk('y' x 1000);
    }

    ok(figure_is('app1', 'websockets_slow', 2),
        'replies that are not read');
    is(served($ws, $d), 'yes', 'hold no one up');
    $deaf->reset();
}

# Sockets in number; what each of them takes is given back

{
    my ($pid) = wait_serving($t, 1);
    my $before = fds($pid);
    my @many = map { websocket() } 1 .. 300;

    is(websockets(), 301, '301 websockets');
    $_ % 3 ? $_ % 2 ? $many[$_]->reset() : $many[$_]->close()
        : $many[$_]->goodbye() for 0 .. $#many;
    ok(wait_for(sub { websockets() eq '1' }), 'leave in all ways');
    ok(wait_for(sub { fds($pid) <= $before }), 'and leave no descriptor');
    is(served($ws, $d), 'yes', 'the one that stays serves');
}

$t->stop();

###############################################################################

# quit

for my $n (1, 4) {
    start(workers => $n);

    $d = device();
    my @sockets = map { websocket() } 1 .. 10;
    my @pids = (master($t), processes($t));

    is(join(' ', map { served($_, $d) } @sockets[0 .. 2]), 'yes yes yes',
        "quit, $n workers: calls");

    $watch = stopwatch();
    kill 'QUIT', $pids[0];
    is(scalar(grep { $_->said() ne 'close 1001' } @sockets), 0,
        "quit, $n workers: close 1001");
    is(scalar(grep { $_->goodbye(1001) ne 'eof' } @sockets), 0,
        "quit, $n workers: and the end");
    ok(wait_for(sub { ended(@pids) }), "quit, $n workers: nginx ends");
    cmp_ok($watch->took(), '<', 8, "quit, $n workers: within seconds");
    nginx_ends($t, $pids[0]);
}

# Reload: the sockets move. One on its way is counted twice for a moment.

start(workers => 2);
$d = device();

{
    my @old = wait_serving($t, 2);
    my @sockets = map { websocket_on($_) } @old, @old;
    my $key = websocket_key('app1', 'dev1');

    my @new = reload_all($t, 2);
    is(scalar @new, 2, 'reload: new workers');
    is(join(' ', map { served($_, $d) } @sockets), 'yes yes yes yes',
        'reload: sockets stay open, and serve');

    my $late = websocket(key => $key);
    is($late->{status}, 101, 'reload: keys stay good');
    is(served($late, $d), 'yes', 'reload: on a new worker');
    ok(wait_for(sub { websockets() == 5 }), 'reload: all are counted');

    $d->event('e');
    is(join(', ', map { $_->said() } @sockets, $late),
        join(', ', ('text e') x 5), 'reload: events reach all');

    $d->detach();
    $d = device_on($new[0]);
    is(join(' ', map { served($_, $d) } @sockets, $late),
        'yes yes yes yes yes', 'reload: the device attaches to a new one');
    $d->event('f');
    is(join(', ', map { $_->said() } @sockets, $late),
        join(', ', ('text f') x 5), 'reload: events reach the old ones');
    ok(wait_for(sub { websockets() == 5 }), 'reload: all are still counted');

    is(scalar(grep { $_->goodbye() ne 'close 1000, eof' } @sockets), 0,
        'reload: the old ones end');
    ok(wait_gone($t, 8, @old), 'reload: and their workers leave');
    is(served($late, $d), 'yes', 'reload: the new one stays');
    is(websockets(), 1, 'reload: one is left');
    $late->goodbye();
}

# A handshake that ends when its worker is leaving

{
    my ($old) = wait_serving($t, 2);
    my $key = websocket_key('app1', 'dev1');
    my $stream = stream_on($old);
    my ($begin, $end) = Test::Nginx::Cometa::WebSocket::handshake(
        key => $key, device => 'dev1', nonce => 'dGhlIHNhbXBsZSBub25jZQ=='
    ) =~ /\A(.{20})(.*)\z/s;

    $stream->write($begin);
    stats('app1', stream => stream_on($old));

    my ($new) = reload_all($t, 2);
    $d = device_on($new);
    $stream->write($end);
    is(text(Test::Nginx::Cometa::Caller::response($stream)), '503 draining',
        'reload: none opens where it would be closed');
    my $late = websocket(key => $key);
    is(served($late, $d), 'yes', 'reload: the key is still good');
    $late->goodbye();
    ok(wait_gone($t, 8, $old), 'reload: and the worker leaves');
}

$t->stop();
# Those over TLS cannot move to the new workers

start(workers => 2, shutdown => '1s', ssl => 1);
$d = device();

{
    my @old = wait_serving($t, 2);
    my @sockets = map { websocket_on($_, ssl => 1) } @old;

    reload_all($t, 2);
    is(join(' ', map { $_->said() } @sockets), 'close 1001 close 1001',
        'worker_shutdown_timeout closes them');
    $_->goodbye(1001) for @sockets;
    ok(wait_gone($t, 8, @old), 'and the old workers leave');
}

$t->stop();

###############################################################################

# A worker is killed

start(workers => 3);

{
    my ($victim, $home, $third) = wait_serving($t, 3);

    $d = device_on($home);
    my $lost = websocket_on($victim);
    my $kept = websocket_on($third);
    my $near = websocket_on($home);
    my $key = websocket_key('app1', 'dev1');

    $lost->text('unanswered');
    is($d->read_chunk(), 'unanswered', 'kill: a call');

    kill 'KILL', $victim;

    like($lost->rest(), qr/eof\z/, 'kill: its sockets are gone');
    $d->send_chunk('for nobody');
    is(join(' ', map { served($_, $d) } $kept, $near), 'yes yes',
        'kill: the others serve');
    ok(wait_for(sub { websockets() eq '2' }), 'kill: the device has two');
    ok(figure_is('app1', 'websockets', 2), 'kill: as has the application');
    $d->event('e');
    is(join(' ', map { $_->said() } $kept, $near), 'text e text e',
        'kill: events reach them');
    wait_serving($t, 3, $victim);
    my $new = websocket(key => $key);
    is($new->{status}, 101, 'kill: keys stay good');
    is(served($new, $d), 'yes', 'kill: a new one serves');

    # the worker of the device
    $new->close() if $new->{headers}{pid} == $home;
    $kept->text('unanswered');
    is($d->read_chunk(), 'unanswered', 'kill: a call to its device');
    $watch = stopwatch();
    kill 'KILL', $home;
    is($kept->heard(), 'error worker_lost', 'kill: fails');
    cmp_ok($watch->took(), '<', 2, 'kill: at once');
    $kept->text('anyone');
    is($kept->heard(), 'error device_offline', 'kill: it is offline');
    wait_serving($t, 3, $home);
    $d = device();
    is(served($kept, $d), 'yes', 'kill: and back, the socket still open');
    $kept->goodbye();
    $new->close();
    ok(figure_is('app1', 'websockets', 0), 'kill: none is left');
    is(websockets(), 0, 'kill: none of the device');
}

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.

undef $t;

###############################################################################

#!/usr/bin/perl

# Events of a device go to all its WebSockets, and wait for none of them.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use List::Util qw/ sum /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ device_on rss wait_serving /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(51);

sub start {
    my (%o) = @_;
    $t->write_file_expand('nginx.conf', websocket_conf(%o));
    $t->run();
}

sub texts {
    return join ', ', map { "text $_" } @_;
}

# How many of these do not hear just that.

sub deaf {
    my ($expected, $n, @sockets) = @_;
    return scalar grep { $_->heard($n, 3) ne $expected } @sockets;
}

###############################################################################

start(workers => 4, websocket => 'cometa_queue 100;');

my @pids = wait_serving($t, 4);
my $d = device_on($pids[0]);

# To none

$d->event('to nobody') for 1 .. 10;
ok(figure_is('app1', 'events', 10), 'events to nobody are counted');

my $ws = websocket();
ok($ws->quiet(), 'and not kept');

# To one

$d->event('hello');
is($ws->said(), 'text hello', 'an event');
$d->event("\xff\0");
is($ws->said(), "binary \xff\0", 'one that is no text');
$d->event("\xce\xba");
is($ws->said(), "text \xce\xba", 'one in UTF-8');
$d->event("\xce");
is($ws->said(), "binary \xce", 'one that is cut in a character');
$d->event('');
is($ws->said(), 'text', 'an empty one');
$d->event("\x07");
is($ws->said(), "text \x07", 'one that begins like one');
$d->event('e' x 65535);
ok($ws->said() eq 'text ' . 'e' x 65535, 'the longest one');
$d->heartbeat();
ok($ws->quiet(), 'a heartbeat is none');

# While a call is out

$ws->text('question');
is($d->read_chunk(), 'question', 'a call');
$d->event("event $_") for 1 .. 3;
$d->send_chunk('reply');
$d->event('event 4');
is($ws->heard(5), 'text event 1, text event 2, text event 3, text reply, '
    . 'text event 4', 'its reply is among events, in order');
$ws->close();

# To all sockets on all workers, and to no others

my $other = device(device => 'other');
my $app2 = device(app => 'app2');
my @sockets = map { my $pid = $_; map { websocket_on($pid) } 1 .. 3 } @pids;
my @others = (websocket(device => 'other'), websocket(app => 'app2'));

is(stats('app1/devices/dev1')->{json}{websockets}, 12,
    '12 websockets of a device');
is(figures('app1')->{websockets}, 13, '13 of the application');
is(figures('app2')->{websockets}, 1, '1 of the other');

$d->event($_) for 1 .. 300;
is(deaf(texts(1 .. 300), 300, @sockets), 0,
    '300 events to 12 sockets on 4 workers, in order');

$d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("\x07$_") }
    1 .. 2000);
is(deaf(texts(1 .. 2000), 2000, @sockets), 0, '2000 in one go');

is(scalar(grep { !$_->quiet(0.1) } @others), 0, 'other devices hear nothing');
$other->event('other');
$app2->event('app2');
is(join(' ', map { $_->said() } @others), 'text other text app2',
    'but their own');

# Among calls of all of them

{
    my %heard;

    for my $round (1 .. 20) {
        $_->text("call $round") for @sockets;

        for (@sockets) {
            $d->read_chunk(3);
            $d->event("event $round.$_");
            $d->send_chunk("reply $round");
        }
    }

    my $wrong = 0;

    for my $s (@sockets) {
        my @said = map { $s->said(3) } 1 .. 20 * (@sockets + 1);
        my @replies = grep { /^text reply/ } @said;
        my @events = grep { /^text event/ } @said;
        $heard{"@events"}++;
        $wrong++ if "@replies" ne join ' ', map { "text reply $_" } 1 .. 20;
    }

    is($wrong, 0, 'events among calls: replies are in order');
    is(scalar(keys %heard), 1, 'and so are events, the same for all');
    is((%heard ? (values %heard)[0] : 0), 12, 'for each of them');
}

# A socket hears what comes once it is open

{
    my $wrong = 0;

    for my $n (1 .. 40) {
        my $new = websocket_on($pids[$n % 4]);
        $d->event("at once $n");
        $wrong++ if $new->said(2) ne "text at once $n";
        $new->close();
    }

    is($wrong, 0, 'a new socket hears the next event');
    is(deaf(texts(map { "at once $_" } 1 .. 40), 40, @sockets), 0,
        'as do the others, meanwhile');
    ok(wait_for(sub {
        stats('app1/devices/dev1')->{json}{websockets} eq '12'
    }), 'and is counted no more once it is closed');
}

# Over a re-attach on another worker, and a takeover

for my $pid (@pids) {
    $d->detach();
    $d->closed();
    $d = device_on($pid);
    $d->event("from $pid");
}

is(deaf(texts(map { "from $_" } @pids), 4, @sockets), 0,
    'after attaches on each worker');

$d = device_on($_) for @pids;
$d->event('taken over');
is(deaf('text taken over', 1, @sockets), 0, 'and after takeovers');
ok(wait_for(sub { stats('app1/devices/dev1')->{json}{websockets} eq '12' }),
    'which know of all the websockets');

# Sockets that leave

$_->goodbye() for @sockets[0 .. 3];
$_->reset() for @sockets[4 .. 7];
ok(wait_for(sub { stats('app1/devices/dev1')->{json}{websockets} eq '4' }),
    'sockets that leave are not counted');
$d->event('to the rest');
is(deaf('text to the rest', 1, @sockets[8 .. 11]), 0, 'the others still hear');
$_->goodbye() for @sockets[8 .. 11], @others;
ok(figure_is('app1', 'websockets', 0), 'none is left');
is(stats('app1/devices/dev1')->{json}{websockets}, 0, 'of the device, too');

$_->close() for $d, $other, $app2;
$t->stop();

###############################################################################

# A socket that does not read

start(
    workers => 2, listen => 'reuseport sndbuf=16k',
    websocket => 'cometa_queue 100;'
);

@pids = wait_serving($t, 2);
$d = device_on($pids[0]);

my $slow = websocket_on($pids[0], rcvbuf => 65536);
my $far = websocket_on($pids[1], rcvbuf => 65536);
my $good = websocket_on($pids[1]);

my $missed = 0;
my $longest = 0;

for my $n (1 .. 1000) {
    $d->event("$n " . 'x' x 900);

    my $watch = stopwatch();
    $missed++ if $good->said() ne "text $n " . 'x' x 900;
    my $took = $watch->took();
    $longest = $took if $took > $longest;
}

is($missed, 0, 'two sockets do not read, a third hears all');
cmp_ok($longest, '<', 2, 'in time');
ok(figure_is('app1', 'websockets_slow', 2), 'the two are counted');

$good->text('a call');
is($d->read_chunk(), 'a call', 'the device is called meanwhile');
$d->send_chunk('yes');
is($good->said(), 'text yes', 'and answers');

for my $s ($slow, $far) {
    my $n = 0;
    my $said;

    $n++ while ($said = $s->said(3)) eq 'text ' . ($n + 1) . ' ' . 'x' x 900;

    is($said, 'close 1013', 'a slow one is closed with 1013');
    cmp_ok($n, '>', 560, 'behind what waited for it, in order');
    cmp_ok($n, '<', 900, 'which was not all');
    is($s->goodbye(1013), 'eof', 'and closed');
}

$good->goodbye();

# However many there are, their memory is bounded

{
    my @slow = map { websocket(rcvbuf => 65536) } 1 .. 40;
    my $before = sum(map { rss($_) } @pids);

    $d->event("$_ " . 'y' x 990) for 1 .. 20000;
    ok(figure_is('app1', 'websockets_slow', 42), '40 sockets do not read');
    ok(figure_is('app1', 'events', 21000), 'the device does not wait');

    # 20 MB were sent to each; 262144 + 4 * 65536 bytes may wait, in a buffer
    # that has grown by doubling; AddressSanitizer keeps what was freed
    my $each = $t->has_module('fsanitize=') ? 6300 : 2100;
    cmp_ok(sum(map { rss($_) } @pids) - $before, '<', 40 * $each,
        'memory is bounded');
    ok(wait_for(sub { figures('app1')->{websockets} eq '0' }, 8),
        'and they are closed, though they do not answer');
}

# One that reads, though never all there is

{
    my $behind = websocket_on($pids[0], rcvbuf => 65536);

    $d->event("$_ " . 'z' x 900) for 1 .. 340;
    wait_for(sub { figures('app1')->{events} >= 21340 });

    my $before = rss($pids[0]);
    my $wrong = 0;

    for my $n (1 .. 10000) {
        $d->event($n + 340 . ' ' . 'z' x 900);
        $wrong++ if $behind->said() ne "text $n " . 'z' x 900;
    }

    is($wrong, 0, 'a socket that is always behind hears all');
    cmp_ok(rss($pids[0]) - $before, '<', 5000, 'and its memory is bounded');
    $behind->goodbye();
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

#!/usr/bin/perl

# Mail for a worker that does not read it: bounded for each application, and
# events take no room of answers; what waits and what is lost is counted once.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/
    device_on stream_on rss text wait_serving expected_alerts stand_still
/;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    FLOOD => 1_450_000,     # empty events, 8.7 MB
    LARGE => 40_000,        # bytes; four of them are what events may fill
    GROWTH => 20_000        # KB
};

memory_counts();

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(31);

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
    send => 'cometa_send_timeout 60s;',
    websocket => 'cometa_send_timeout 60s;', server => metrics_location()));
$t->run();

my ($near, $far) = wait_serving($t, 2);
my %on_near = (stream => stream_on($near));

# The mailbox of the one that will stand still.

my $d = device_on($near);
my $other = device_on($near, app => 'app2', device => 'other');
my $slot = slot_with_devices(0, %on_near);

sub count {
    my ($what) = @_;
    $what =~ s/^(\w+),?(.*)$/cometa_mailbox_$1_total{slot="$slot"/;
    return metric($what . ($2 ? ",kind=\"$2\"}" : '}'), %on_near);
}

sub counts {
    return join ' ', map { count($_) } 'overflows', 'delayed', 'lost,event',
        'lost,answer';
}

sub received {
    my ($app) = @_;
    return stats($app, %on_near)->{json}{stats}{events};
}

###############################################################################

# Two that are late

my $ws = websocket_on($far);
my $ws2 = websocket_on($far, app => 'app2', device => 'other');

is(counts(), '0 0 0 0', 'nothing yet');

{
    stand_still($far);

    $d->event("$_ " . 'x' x LARGE) for 1 .. 6;
    ok(wait_for(sub { received('app1') eq '6' }), 'six large events');

    # some tries
    sleep(0.5);
    is(counts(), '2 2 0 0', 'two of them wait, and are counted once');
    ok(wait_log($t, qr/\[warn\].*mailbox of worker process $far .*had to wait/),
        'which is logged');

    kill 'CONT', $far;

    is(join(' ', map { my ($n) = $ws->said() =~ /^text (\d+) /; $n } 1 .. 6),
        '1 2 3 4 5 6', 'all of them come, in order');
    is(counts(), '2 2 0 0', 'and nothing more is counted');
}

# Calls have room where events have none, and so have answers

{
    my $call = call_start('app2', 'other', 'x', stream => stream_on($far));
    is($other->read_chunk(), 'x', 'a call from the other worker');

    # a device there, called from here
    my $distant = device_on($far, device => 'distant');
    my $caller = stream_on($near);

    stand_still($far);

    $d->event("$_ " . 'x' x LARGE) for 1 .. 8;
    ok(wait_for(sub { received('app1') eq '14' }), 'again large events');
    # how many fit depends on where the ring stands
    like(counts(), qr/\A([67]) \1 0 0\z/, 'more than may lie in the mailbox');

    my $sent = call_start('app1', 'distant', 'y', stream => $caller);
    $other->send_chunk('z');
    $other->event('done');
    ok(wait_for(sub { received('app2') eq '1' }), 'reply, call and event');

    kill 'CONT', $far;

    is(text(call_end($call)), '200 z', 'the reply comes');
    is($distant->read_chunk(), 'y', 'the call comes');
    $distant->send_chunk('y');
    is(text(call_end($sent)), '200 y', 'and is answered');
    is($ws2->said(), 'text done', 'so does the event of the other');
    is(scalar(grep { $ws->said() =~ /^text/ } 1 .. 8), 8, 'and the large ones');
    is(count('lost,answer'), 0, 'no answer is lost');
    $distant->close();
}

# The reply of a device stays behind what it has said before

{
    my $call = call_start('app1', 'dev1', 'x', stream => stream_on($far));
    is($d->read_chunk(), 'x', 'a call to the one that sends much');
    $ws->text('y');

    stand_still($far);

    $d->event("$_ " . 'x' x LARGE) for 1 .. 6;
    $d->send_chunk('reply');
    ok(wait_for(sub { received('app1') eq '20' }), 'large events, a reply');

    kill 'CONT', $far;

    is(text(call_end($call)), '200 reply', 'the reply comes');
    is($d->read_chunk(), 'y', 'the next call');
    $d->send_chunk('second');
    is(join(' ', map { substr($_, 0, 6) } map { $ws->said() } 1 .. 7),
        join(' ', (map { "text $_" } 1 .. 6), 'text s'),
        'replies come behind the events');
}

# A flood of empty events

{
    my $lost = count('lost,event');
    my $call = call_start('app2', 'other', 'x', stream => stream_on($far));
    is($other->read_chunk(), 'x', 'another call');

    stand_still($far);

    my $before = rss($near);
    my $some = "1\r\n\x07\r\n" x 50_000;
    $d->raw($some) for 1 .. FLOOD / 50_000;
    ok(wait_for(sub { received('app1') == 20 + FLOOD }, 60),
        '8.7 MB of empty events');

    my $grown = rss($near) - $before;
    diag("grown by $grown KB");
    cmp_ok($grown, '<', GROWTH, 'their memory is bounded');

    $other->send_chunk('yes');
    $other->event('heard');
    ok(wait_for(sub { received('app2') eq '2' }), 'what another says');

    kill 'CONT', $far;

    is(text(call_end($call)), '200 yes', 'its answer comes');
    is($ws2->said(), 'text heard', 'and its event');

    $lost = count('lost,event') - $lost;
    my $heard = 0;
    $heard++ while $heard < FLOOD - $lost && $ws->said() eq 'text';
    is($heard + $lost, FLOOD, 'what does not come is counted as lost');
    is($ws->said(0.2), 'none', 'and that does not come');
    is(count('lost,answer'), 0, 'no answer is lost');

    my $logged = 0;

    ok(wait_for(sub {
        my $log = $t->read_file('error.log');
        $logged = 0;
        $logged += $1 while $log =~ /\[error\].*mailbox\ of\ worker\ process
            \ $far\ .*:\ (\d+)\ events\ of\ application\ "app1"\ were\ lost/gx;
        return $logged == $lost;
    }), 'each is logged, the last ones, too') or diag("$logged of $lost");
}

###############################################################################

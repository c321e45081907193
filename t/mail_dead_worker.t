#!/usr/bin/perl

# Mail of workers that are dead, and mail to them.

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
    device_on stream_on reload_all wait_serving wait_gone rss text
    expected_alerts stand_still
/;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    FLOOD => 400_000,       # events, 2.4 MB on the wire
    GROWTH => 3000          # KB
};

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

memory_counts();

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->todo_alerts()->plan(17);

certificate($t, 'localhost');

sub start {
    my ($t, %o) = @_;
    $t->write_file_expand('nginx.conf', websocket_conf(shutdown => '60s',
        send => 'cometa_send_timeout 1s max=60s;',
        server => metrics_location(), %o));
    $t->run();
}

# A call of which nobody will hear, for its worker is killed.

sub call_of_the_dead {
    my ($d, $stream, $victim) = @_;

    my $call = call_start('app1', $d->{device}, 'x', stream => $stream);
    my $got = $d->read_chunk();
    kill 'KILL', $victim;

    return ($got, $call);
}

###############################################################################

# What a worker has said before it died is heard

start($t, workers => 3, ssl => 1);

{
    my ($home, $origin, $third) = wait_serving($t, 3);
    my %on_third = (stream => stream_on($third));

    my $d = device_on($home);
    my @marks = map { device_on($origin, device => "mark$_") } 1 .. 2;
    my $slot = slot_with_devices(2, %on_third);

    # it will stand still for longer than the usual deadline
    my $call = call_start('app1', 'dev1', 'x', stream => stream_on($origin),
        headers => { Prefer => 'wait=50' });
    is($d->read_chunk(), 'x', 'a call from another worker');

    stand_still($origin);
    $d->send_chunk('last words');
    ok(wait_for(sub {
        metric("cometa_mailbox_bytes{slot=\"$slot\"}", %on_third) > 0
    }), 'the reply lies in the mailbox');

    kill 'KILL', $home;
    ok(wait_for(sub {
        my @now = Test::Nginx::Cometa::Workers::serving($t);
        return @now == 3 && !grep { $_ == $home } @now;
    }, 10), 'its sender dies, and another process takes its slot');

    kill 'CONT', $origin;
    is(text(call_end($call)), '200 last words', 'the reply comes');
    $_->close() for @marks;
}

# A device that owes a reply to a worker that has died is not waited for

{
    my ($home, $origin) = wait_serving($t, 3);
    my $d = device_on($home);
    my $start = time();
    my ($got) = call_of_the_dead($d, stream_on($origin), $origin);
    is($got, 'x', 'a call from a worker that dies');

    is($d->closed(6), 'last', 'its device is closed, for it says nothing');
    cmp_ok(time() - $start, '>', 1.5, 'but not at once');
    wait_serving($t, 3, $origin);
}

# The same if the worker was leaving, so that none takes its place

{
    my ($origin) = wait_serving($t, 3);
    my $stay = device_on($origin, device => 'stay', ssl => 1);
    my $stream = stream_on($origin);
    my ($begin, $end) = call_request('app1', 'dev1', 'x') =~ /\A(.{20})(.*)\z/s;
    $stream->write($begin);
    stats('app1', stream => stream_on($origin));

    my ($home) = reload_all($t, 3);
    my $d = device_on($home);
    $stream->write($end);
    is($d->read_chunk(), 'x', 'a call from a worker that leaves');

    kill 'KILL', $origin;
    is($d->closed(8), 'last', 'its death is noticed, too');
    ok(defined $stay->closed(), 'its own devices have gone with it');
}

$t->stop();

###############################################################################

# Events to a worker that was leaving, and was killed: nobody takes its slot

start($t, workers => 2);

{
    my ($old) = wait_serving($t, 2);
    my $mark = device_on($old, device => 'mark');
    my $slot = slot_with_devices(1);
    my $d = device();
    my $ws = websocket_on($old);
    $d->event('before');
    is($ws->said(), 'text before', 'a websocket hears its device');
    $_->detach() for $mark, $d;

    my ($new) = reload_all($t, 2);
    my %on_new = (stream => stream_on($new));
    $d = device_on($new);
    $d->event('still');
    is($ws->said(), 'text still', 'also when its worker is leaving');

    my $before = rss($new);
    kill 'KILL', $old;
    ok(wait_gone($t, 5, $old), 'it is killed');

    my $some = "1\r\n\x07\r\n" x 50_000;
    $d->raw($some) for 1 .. FLOOD / 50_000;

    ok(wait_for(sub {
        stats('app1', %on_new)->{json}{stats}{events} == FLOOD + 2
    }, 30), 'many events');

    my $grown = rss($new) - $before;
    cmp_ok($grown, '<', GROWTH, 'take no memory');
    is(metric("cometa_mailbox_overflows_total{slot=\"$slot\"}", %on_new),
        undef, 'none of them waits for a process that is not there');
}

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

#!/usr/bin/perl

# Channels over a reload: they move to the new workers with their filter, no
# event is missed or told twice, and calls that are under way are answered.

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
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { WORKERS => 2, DEVICES => 6, RELOADS => 4 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()->plan(26);

$t->write_file_expand('nginx.conf', websocket_conf(workers => WORKERS,
    shutdown => '60s', attach => 'cometa_heartbeat 1h;',
    websocket => 'cometa_send_timeout 40s max=60s; cometa_queue 100;'))->run();
wait_serving($t, WORKERS);

# Reloads, and waits until the channels are at new workers.

sub channels_move {
    my ($t, $n) = @_;
    my $before = log_count($t, qr/cometa ws open, device:"app1\/"/);
    my @old = serving($t);

    reload_all($t, WORKERS);
    wait_for(sub {
        log_count($t, qr/cometa ws open, device:"app1\/"/) >= $before + $n
    }) or die "they do not move\n";

    return @old;
}

my %d = map { my $id = "d$_"; $id => device(device => $id) } 1 .. DEVICES;
my $all = channel(args => 'events=data');
my $one = channel(args => 'events=data&prefix=d1');
my $ws = websocket_json(device => 'd2');

# Events and calls before, meanwhile and after

my ($sent, $calls, $answered) = (0, 0, 0);
my (%last, @wrong, %replies);

sub take {
    my ($timeout) = @_;

    my $m = $all->json($timeout);

    if ($m->{event}) {

        # what was said in the moment of a move may come twice, with its number

        return 1 if $m->{seq} <= ($last{$m->{device}} || 0);

        my $seq = ++$last{$m->{device}};
        push @wrong, "$m->{device}: $m->{seq}, not $seq"
            if $m->{seq} != $seq || $m->{data} ne "event $seq";

    } elsif ($m->{call}) {
        push @wrong, "call $m->{call}: $m->{error}" if $m->{error};
        $replies{$m->{call}} .= $m->{reply} || '';
    }

    return !$m->{other};
}

sub serve_all {
    for my $id (keys %d) {
        my $got = $d{$id}->read_chunk(0);
        $d{$id}->send_chunk("re $got") if defined $got;
    }
}

for (1 .. RELOADS) {
    my @old = serving($t);
    my $end = time() + 30;
    $t->reload();

    do {
        $sent++;
        $_->event("event $sent") for values %d;

        $calls++;
        $all->ask(call => "c$calls", device => 'd' . (1 + $calls % DEVICES),
            message => "m$calls");
        serve_all();
        1 while take(0.001);
    } until !grep { my $p = $_; grep { $_ == $p } @old } processes($t)
        or time() > $end;

    wait_serving($t, WORKERS, @old);
}

wait_for(sub {
    serve_all();
    1 while take(0.01);
    keys %replies == $calls
        && !grep { ($last{$_} || 0) < $sent } keys %d
}, 20);

is("@wrong", '', 'events in order, calls without an error');
is(join(' ', map { "$_:$last{$_}" } sort keys %last),
    join(' ', map { "$_:$sent" } sort keys %d), 'each event once, over '
    . RELOADS . ' reloads');
is(join(' ', grep { $replies{"c$_"} ne "re m$_" } 1 .. $calls), '',
    'each call has its reply');
cmp_ok($sent, '>=', RELOADS, 'there were events');

my $n = 0;
while ((my $m = $one->json(0.5))->{event}) {
    next if $m->{device} eq 'd1' && $m->{seq} <= $n;

    $n++;
    push @wrong, "$m->{device} $m->{seq}" if $m->{device} ne 'd1'
        || $m->{seq} != $n;
}

is("@wrong $n", " $sent", 'the filter moves, too');

$n = 0;
while ((my $m = $ws->json(0.5))->{event}) {
    $n++;
    push @wrong, "$m->{device} $m->{seq}" if $m->{device} ne 'd2'
        || $m->{seq} != $n;
}

is("@wrong $n", " $sent", 'and a WebSocket to a device');

# Calls that take long: the channel does not wait for them

$all->ask(call => 'slow', device => 'd3', message => 'slow');
$all->ask(call => 'behind', device => 'd3', message => 'behind');
$ws->ask(call => 'slow', message => 'slow');
is($d{d3}->read_chunk(), 'slow', 'a slow call');
is($d{d2}->read_chunk(), 'slow', 'and one of the WebSocket');

my @old = channels_move($t, 2);

$all->ask(call => 'new', device => 'd4', message => 'new');
is($d{d4}->read_chunk(), 'new', 'a call at the new worker');
$d{d4}->send_chunk('re new');
is($all->told(), 'call=new device=d4 reply=re new', 'is answered at once');
$d{d5}->event('e');
is($all->told(), 'event=data device=d5 seq=' . ($sent + 1) . ' data=e',
    'an event comes');
ok(scalar(grep { my $p = $_; grep { $_ == $p } @old } processes($t)),
    'the old worker stays for its calls');

$d{d3}->send_chunk('re slow');
is($all->told(5), 'call=slow device=d3 reply=re slow', 'the slow reply');
is($d{d3}->read_chunk(), 'behind', 'what waited behind it');
$d{d3}->send_chunk("\xff");
is($all->told(5), 'call=behind device=d3 base64=/w==', 'is answered, too');
$d{d2}->send_chunk('re slow');
is($ws->told(5), 'call=slow device=d2 reply=re slow',
    'and that of the WebSocket');
ok(wait_gone($t, 20, @old), 'then the old workers leave');

# Errors come after it as well

$all->ask(call => 'short', device => 'd3', message => 'x', timeout => 8);
is($d{d3}->read_chunk(), 'x', 'a call that is not answered');
@old = channels_move($t, 2);
is($all->told(20), 'call=short device=d3 error=device_timeout',
    'times out, after the move');
$d{d3}->send_chunk('late');
ok(wait_gone($t, 20, @old), 'late: the old workers leave');

# An old worker that dies with calls: their end is lost, and the client is told

$all->ask(call => 'lost', device => 'd3', message => 'lost');
is($d{d3}->read_chunk(), 'lost', 'a call whose worker will die');
@old = channels_move($t, 2);
my @left = grep { my $p = $_; grep { $_ == $p } @old } processes($t);
kill 'KILL', @left;
is($all->said(10), 'close 1001', 'the channel is closed');
$d{d3}->send_chunk('late');
$d{d1}->event('e');
like($one->told(), qr/^event=data device=d1 seq=\d+ data=e$/,
    'one without calls goes on');
$all = channel();
$all->ask(call => 1, device => 'd3', message => 'm');
is($d{d3}->read_chunk(), 'm', 'and so does the device');
$d{d3}->send_chunk('r');
is($all->told(), 'call=1 device=d3 reply=r', 'a call over a new channel');
is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

###############################################################################

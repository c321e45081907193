#!/usr/bin/perl

# Channels: one WebSocket for all devices of an application, on all workers.

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

use constant WORKERS => 3;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(50);

$t->write_file_expand('nginx.conf', websocket_conf(workers => WORKERS,
    websocket => 'cometa_send_timeout 5s max=20s; cometa_queue 1000;'))->run();
wait_serving($t, WORKERS);

# Keys

my %answer = (uri => '/v1/applications/app1/channel', method => 'GET');

my $r = call('app1', undef, undef, %answer);
is($r->{status}, 200, 'a key');
like($r->{body}, qr/^\{"app_id":"app1","channel_key":"[0-9a-f]{40}"\}$/,
    'as documented');
is(outcome(call('app1', undef, undef, %answer, secret => 'x')),
    '401 unauthorized', 'with a wrong secret');

sub opens {
    my (%o) = @_;
    my $ws = channel(%o);
    my $said = $ws->{status} . ' ' . ($ws->{json}{error}
        || $ws->{headers}{'sec-websocket-protocol'} || '-');
    $ws->close();
    return $said;
}

my $key = $r->{json}{channel_key};

is(opens(key => $key), '101 cometa.json.v1', 'it opens a channel');
is(opens(key => $key), '403 invalid_key', 'once');
is(opens(key => websocket_key('app1', 'dev1')), '403 invalid_key',
    'a key of a device does not');
is(websocket(key => channel_key('app1'))->{json}{error}, 'invalid_key',
    'nor does a key of a channel open a WebSocket to a device');
is(opens(headers => { 'Sec-WebSocket-Protocol' => undef }), '101 -',
    'without a subprotocol');
is(opens(headers => { 'Sec-WebSocket-Protocol' => 'x' }), '101 -',
    'with another one');

for (qw/ events=no prefix= prefix=a%20b /, 'prefix=' . 'x' x 65) {
    is(opens(args => $_), '400 bad_request', substr($_, 0, 20));
}

$key = channel_key('app1');
is(websocket(uri => "/v1/channels/$key", headers => { Upgrade => undef })
    ->{json}{error}, 'websocket_required', 'no handshake');
is(opens(key => $key), '101 cometa.json.v1', 'which leaves the key good');

# Events of devices on all workers, for two applications

my @pids = serving($t);
my $all = channel();
my $lamps = channel(args => 'events=data&prefix=lamp-');
my $presence = channel(args => 'events=attach,detach');
my $other = channel(app => 'app2');

is(join(' ', map { $_->{status} } $all, $lamps, $presence, $other),
    '101 101 101 101', 'four channels');
figure_is('app1', 'websockets', 3);

my (%d, %n);

for my $pid (@pids) {
    for my $kind (qw/ lamp- door- /) {
        my $id = $kind . ++$n{$kind};
        $d{$id} = device_on($pid, device => $id, info => "of $id");
    }
}

# device_on() has attached them once or more

sub drained {
    my ($ws) = @_;
    1 while $ws->json(0.3)->{event};
}

drained($_) for $all, $presence;

is_deeply([ sort keys %d ], [ map { ("$_") }
    sort map { my $k = $_; map { "$k$_" } 1 .. WORKERS } qw/ lamp- door- / ],
    'devices on all workers');

sub told_by {
    my ($ws, $n) = @_;
    return join ', ', sort map { $ws->told() } 1 .. $n;
}

$d{$_}->event("from $_") for keys %d;

is(told_by($all, scalar keys %d), join(', ', sort map {
    "event=data device=$_ seq=1 data=from $_" } keys %d), 'all their events');
is(told_by($lamps, WORKERS), join(', ', sort map {
    "event=data device=$_ seq=1 data=from $_" } grep { /lamp/ } keys %d),
    'those of lamps only');
ok($presence->quiet(0.2), 'none to who wants presence');
ok($lamps->quiet(0.1), 'no more to lamps');
ok($other->quiet(0.1), 'none to another application');

# The order of each device

for my $n (1 .. 200) {
    $d{$_}->event("$n") for keys %d;
}

my %last = map { $_ => 1 } keys %d;
my $wrong = 0;

for (1 .. 200 * keys %d) {
    my $m = $all->json(3);
    last unless $m->{device};
    $wrong++ unless $m->{seq} == $last{$m->{device}} + 1
        && $m->{data} eq $last{$m->{device}};
    $last{$m->{device}}++;
}

is($wrong, 0, 'in order');
is_deeply(\%last, { map { $_ => 201 } keys %d }, 'and complete');
drained($lamps);

# Calls to all of them, answered in another order

$all->ask(call => "c $_", device => $_, message => "to $_") for sort keys %d;
my %got = map { $_ => $d{$_}->read_chunk(3) } keys %d;
is_deeply(\%got, { map { $_ => "to $_" } keys %d }, 'calls reach them');

for (reverse sort keys %d) {
    $d{$_}->send_chunk("re $_");
    is($all->told(), "call=c $_ device=$_ reply=re $_", "the reply of $_");
}

$all->ask(call => 1, message => 'm');
is($all->told(), 'call=1 error=bad_request', 'a call without a device');
$all->ask(call => 1, message => 'm', device => 'a b');
is($all->told(), 'call=1 error=invalid_device_id', 'or with none');
$all->ask(call => 1, message => 'm', device => 'x' x 65);
is($all->told(), 'call=1 error=invalid_device_id', 'or a long one');
$all->ask(call => 1, message => 'm', device => 'nowhere');
is($all->told(), 'call=1 device=nowhere error=device_offline',
    'or one that is offline');
$lamps->ask(call => 1, message => 'm', device => 'door-1');
is($d{'door-1'}->read_chunk(), 'm', 'the prefix is of events only');
$d{'door-1'}->send_chunk('r');
is($lamps->told(), 'call=1 device=door-1 reply=r', 'and the reply comes');
$other->ask(call => 1, message => 'm', device => 'door-1');
is($other->told(), 'call=1 device=door-1 error=device_offline',
    'no device of another application');

# A call is withdrawn with its channel

my $gone = channel();
$gone->ask(call => 1, device => 'door-1', message => 'm');
is($d{'door-1'}->read_chunk(), 'm', 'a call');
$gone->ask(call => 2, device => 'door-1', message => 'waits');
$gone->close();
figure_is('app1', 'websockets', 3);
$d{'door-1'}->send_chunk('late');
$all->ask(call => 3, device => 'door-1', message => 'next');
is($d{'door-1'}->read_chunk(), 'next', 'what waited was withdrawn');
$d{'door-1'}->send_chunk('r');
is($all->told(), 'call=3 device=door-1 reply=r', 'the next one is answered');

# Presence

drained($_) for $all, $presence;
my $d = device(device => 'new', info => 'i');
is($presence->told(), 'event=attach device=new reason=attached info=i',
    'an attach');
$d->event('e');
$d->detach();
is($presence->told(), 'event=detach device=new seq=2 reason=detached',
    'a detach, with the number behind the last event');
is($all->told(), 'event=attach device=new reason=attached info=i', 'to all');
is($all->told(), 'event=data device=new seq=1 data=e', 'in between the event');
is($all->told(), 'event=detach device=new seq=2 reason=detached',
    'and the detach');

# One that has closed hears no more, and costs nothing

is($_->goodbye(), 'close 1000, eof', 'a channel closes') for $all, $lamps;
figure_is('app1', 'websockets', 1);
$d{'lamp-1'}->event('e');
ok($presence->quiet(0.1), 'nothing for presence');
is($presence->goodbye(), 'close 1000, eof', 'the last one of app1');
figure_is('app1', 'websockets', 0);

###############################################################################

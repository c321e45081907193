#!/usr/bin/perl

# Calls for which no request waits: Prefer: respond-async. Their end is an event,
# to WebSockets, channels and the webhook.

###############################################################################

use warnings;
use strict;

use JSON::PP qw//;
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

use constant { WORKERS => 2, CALLS => 4096 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(69);

$t->write_file_expand('nginx.conf', websocket_conf(workers => WORKERS,
    shutdown => '30s',
    attach => 'cometa_heartbeat 1h;',
    send => 'cometa_send_timeout 5s max=1000s; cometa_queue 10000;',
    http => <<'EOF', server => <<'EOF'))->run();
    log_format got escape=json '{"event":"$http_cometa_event",'
        '"device":"$http_cometa_device","session":"$http_cometa_session",'
        '"error":"$http_cometa_error","call":"$http_cometa_call",'
        '"length":"$content_length"}';
EOF
        cometa_webhook /hook events=reply;

        location = /hook {
            internal;
            access_log %%TESTDIR%%/got.log got;
            return 204;
        }
EOF
wait_serving($t, WORKERS);

my $async = { Prefer => 'respond-async' };

sub send_async {
    my ($device, $body, %o) = @_;
    return call('app1', $device, $body, %o,
        headers => { %$async, %{$o{headers} || {}} });
}

# What the webhook was told of a call, as soon as it was

sub hooked {
    my ($t, $id) = @_;

    my $got;

    wait_for(sub {
        ($got) = grep { $_->{call} eq $id } map { JSON::PP::decode_json($_) }
            $t->read_file('got.log') =~ /^(.*)\n/gm;
        return $got;
    });

    return $got ? "$got->{event} $got->{device} $got->{length}"
        . ($got->{error} ne '' && $got->{error} ne '-' ? " $got->{error}" : '')
        : 'nothing';
}

my $d = device();
my $all = channel(args => 'events=reply');
my $data = channel(args => 'events=data');
my $ws = websocket_json(uri => '/v1/websockets/dev1/'
    . websocket_key('app1', 'dev1') . '?events=reply');
my $raw = websocket();

# A call, and its reply

my $r = send_async('dev1', 'on');
is($r->{status}, 202, 'a call is accepted');
is($r->{headers}{'preference-applied'}, 'respond-async', 'as was preferred');
is($r->{headers}{'content-type'}, 'application/json', 'in JSON');
my $id = $r->{json}{call_id};
like($id, qr/^[0-9a-f]+-[0-9a-f]+$/, 'it has an id');
is($r->{json}{device_id}, 'dev1', 'and the device');

is($d->read_chunk(), 'on', 'the device is called');
$d->send_chunk('ok');
is($all->told(), "event=reply call=$id device=dev1 reply=ok",
    'the reply, over the channel');
my $m = $ws->json();
like(delete $m->{session}, qr/^\d+$/, 'its session');
like(delete $m->{time}, qr/^\d{4}-.*Z$/, 'its time');
is_deeply($m, { event => 'reply', call => $id, device => 'dev1',
    reply => 'ok' }, 'and over the WebSocket');
is(hooked($t, $id), 'reply dev1 2', 'and to the webhook');
ok($data->quiet(0.1), 'not to who wants other events');
ok($raw->quiet(0.1), 'nor to a raw one');

sub one {
    my ($reply, %o) = @_;
    my $id = send_async('dev1', 'm', %o)->{json}{call_id} || 'none';
    $d->read_chunk(3);
    $d->send_chunk($reply);
    my $told = $all->told();
    $ws->told();
    $told =~ s/call=\Q$id\E /call /;
    return ($told, $id);
}

is((one("\xff\0"))[0], 'event=reply call device=dev1 base64=/wA=',
    'a reply that is no text');
my $empty;
($r, $empty) = one('');
is($r, 'event=reply call device=dev1 reply=', 'an empty reply');
is(hooked($t, $empty), 'reply dev1 0', 'empty for the webhook, too');
my $long;
($r, $long) = one('x' x 65536);
is(length $r, length('event=reply call device=dev1 reply=') + 65536,
    'a long reply');

for ('wait=9, respond-async', 'respond-async; x=y, wait=1', 'Respond-Async',
    'foo="bar, baz";a="respond-async", respond-async')
{
    is((one('r', headers => { Prefer => $_ }))[0],
        'event=reply call device=dev1 reply=r', $_);
}

for ('x;respond-async', 'foo="respond-async"', 'respond-asynchronous') {
    my $c = call_start('app1', 'dev1', 'm', headers => { Prefer => $_ });
    $d->read_chunk(3);
    $d->send_chunk('sync');
    is(call_end($c)->{body}, 'sync', "$_ is none");
}

my %ids = map { send_async('dev1', "n$_")->{json}{call_id} => $_ } 1 .. 50;
is(scalar keys %ids, 50, 'every id is another one');
for (1 .. 50) {
    my $got = $d->read_chunk(3);
    $d->send_chunk("re $got");
}
is(join(' ', grep { $_->{reply} ne "re n$ids{$_->{call}}" }
    map { $all->json(3) } 1 .. 50), '', 'each reply with its id');
$ws->told() for 1 .. 50;

# Errors

is(outcome(send_async('nowhere', 'm')), '404 device_offline', 'offline');
is(outcome(send_async('dev1', '')), '400 empty_message', 'empty');
is(outcome(send_async('dev1', 'x' x 65537)), '413 message_too_large', 'large');
is(outcome(send_async('dev1', 'x', secret => 'x')), '401 unauthorized',
    'the secret');
is(outcome(send_async('a b', 'x', uri => '/v1/applications/app1/devices/a%20b/send')),
    '400 invalid_device_id', 'the id');
is(outcome(send_async('dev1', 'x', headers => {
    Prefer => 'respond-async, wait=0' })), '504 device_timeout', 'no time');
ok($all->quiet(0.2), 'there is no event of these');

$id = send_async('dev1', 'm', headers => { Prefer => 'respond-async, wait=1' })
    ->{json}{call_id};
is($d->read_chunk(), 'm', 'a call that is not answered');
is($all->told(), "event=reply call=$id device=dev1 error=device_timeout",
    'times out');
is(hooked($t, $id), 'reply dev1 0 device_timeout', 'for the webhook, too');
$ws->told();
$d->send_chunk('late');

$id = send_async('dev1', 'm')->{json}{call_id};
is($d->read_chunk(), 'm', 'a call whose device breaks');
$d->reset();
is($all->told(), "event=reply call=$id device=dev1 error=device_disconnected",
    'is lost');
is(hooked($t, $id), 'reply dev1 0 device_disconnected', 'the webhook hears it');

# Waiting for the device

$id = send_async('dev1', 'm', headers => { 'Cometa-Wait' => 1 })
    ->{json}{call_id};
is($all->told(3), "event=reply call=$id device=dev1 error=device_offline",
    'it does not attach in time');
is(hooked($t, $id), 'reply dev1 0 device_offline', 'the webhook hears it, too');

$id = send_async('dev1', 'm', headers => { 'Cometa-Wait' => 30 })
    ->{json}{call_id};
$d = device();
is($d->read_chunk(), 'm', 'it attaches in time');
$d->send_chunk('r');
is($all->told(), "event=reply call=$id device=dev1 reply=r", 'and replies');

# An application that was never heard of

$r = call('app2', 'x', 'm', headers => { %$async, 'Cometa-Wait' => 1 });
is($r->{status}, 202, 'a device of an application that is new');
is(hooked($t, $r->{json}{call_id}), 'reply x 0 device_offline',
    'its webhook hears of it');

# The caller may be gone at once

my $c = call_start('app1', 'dev1', 'gone', headers => $async);
is(call_end($c)->{status}, 202, 'the caller has its answer');
$c->{stream}->close();
is($d->read_chunk(), 'gone', 'and is gone');
$d->send_chunk('r');
like($all->told(), qr/^event=reply call=\S+ device=dev1 reply=r$/,
    'the reply is told');

# The bound of an application, in a worker

my ($pid) = serving($t);
my $s = stream_on($pid);
my %status;

my $request = call_request('app1', 'dev1', 'm',
    headers => { Prefer => 'respond-async, wait=900' });

for (1 .. (CALLS + 10) / 2) {
    $s->write($request x 2);
    $status{outcome($_) =~ s/^202.*/202/r}++
        for map { response($s, method => 'POST') } 1 .. 2;
}

is_deeply(\%status, { 202 => CALLS, '503 overloaded' => 10 }, 'the bound');
is(call('app1', 'dev1', undef, method => 'GET', uri => '/v1/applications/app1')
    ->{status}, 200, 'nginx serves on');

my ($answered, $ok) = (0, 0);

for (1 .. CALLS) {
    defined $d->read_chunk(5) or last;
    $d->send_chunk('r');
    $answered++;
    $ok++ if $all->told(5) =~ /reply=r$/;
}

is("$answered $ok", CALLS . ' ' . CALLS, 'all of them are answered');
$ws->goodbye();
is(outcome(send_async('dev1', 'm', stream => $s)) =~ s/^202.*/202/r, '202',
    'there is room again');
$d->read_chunk(); $d->send_chunk('r'); $all->told();

# A reload while calls are under way

my @ids = map { send_async('dev1', "m$_",
    headers => { Prefer => 'respond-async, wait=60' })->{json}{call_id} } 1 .. 8;
my $offline = send_async('later', 'm', headers => {
    Prefer => 'respond-async, wait=60', 'Cometa-Wait' => 60 })->{json}{call_id};
is($d->read_chunk(), 'm1', 'calls are under way');
my @old = serving($t);
reload_all($t, WORKERS);
$d->send_chunk('r');

for (2 .. 8) {
    is($d->read_chunk(5), "m$_", "call $_ after the reload");
    $d->send_chunk('r');
}

# from two workers, so in any order

is_deeply([ sort map { $all->told(5) } @ids ],
    [ sort map { "event=reply call=$_ device=dev1 reply=r" } @ids ],
    'all replies are told');
my $later = device(device => 'later');
is($later->read_chunk(5), 'm', 'one that waited meanwhile');
$later->send_chunk('r');
is($all->told(), "event=reply call=$offline device=later reply=r", 'as well');
is(hooked($t, $offline), 'reply later 1', 'the webhook hears it');
ok(wait_gone($t, 20, @old), 'then the old workers leave');

# A server that has inherited a webhook needs no location for it without devices

my $conf = cometa_conf(http => 'cometa_webhook /hook;');
my ($good, $said) = config_test($t, $conf);
ok(!$good && $said =~ /leads to no location/, 'a server with devices needs it')
    or diag($said);
$conf =~ s/cometa_attach;//;
($good, $said) = config_test($t, $conf);
ok($good, 'one with calls only does not') or diag($said);

# nginx stops: nobody waits for what cannot come

$id = send_async('never', 'm', headers => {
    Prefer => 'respond-async, wait=100', 'Cometa-Wait' => 100 })
    ->{json}{call_id};
my $master = master($t);
kill 'QUIT', $master;
is(hooked($t, $id), 'reply never 0 device_offline', 'its end is told');
ok(nginx_ends($t, $master), 'and nginx ends');

###############################################################################

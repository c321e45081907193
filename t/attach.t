#!/usr/bin/perl

# A device attaches, lives and leaves.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ stand_still /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map http_v2/)
    ->has_daemon('curl')->plan(159);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(http2 => 1,
    server => <<"EOF"));

        location ~ ^/short/$ids {
            cometa_attach;
            cometa_heartbeat 1s timeout=2s;
            client_body_timeout 1s;
        }

        location ~ ^/single/$ids {
            cometa_attach;
            cometa_takeover off;
        }

        location /pid {
            return 200 \$pid;
        }

        location ~ ^/guarded/$ids {
            cometa_attach;
            cometa_device_secret key-of-\$device;
        }
EOF

$t->run();

###############################################################################

# The device's part of a call: what came, and the reply to it.

sub exchange {
    my ($d, $message, $reply) = @_;

    my $call = call_start($d->{app}, $d->{device}, $message);
    my $got = $d->read_chunk();
    $d->send_chunk($reply);
    my $r = call_end($call);

    return join ' ', defined $got ? $got : 'nothing', $r->{status},
        $r->{body};
}

sub offline {
    my ($app, $device) = @_;
    return wait_for(sub {
        stats("$app/devices/$device")->{status} == 404
    }, 1);
}

sub info {
    my ($app, $device) = @_;
    return stats("$app/devices/$device")->{json}{info};
}

sub errors {
    my ($app) = @_;
    return stats($app)->{json}{stats}{errors};
}

# A refusal says the same in its status line and in its body.

sub refused {
    my ($r, $status, $error, $name) = @_;

    my ($line) = $r->{head} =~ m!\AHTTP/1\.1 ($status [^\x0d]+)\x0d!;

    like($r->{head}, qr!^Content-Type: application/json\x0d!m,
        "$name: $status and type");
    is(join(' ', map { defined $_ ? $_ : '-' } @{$r->{json}}{qw/ msg error /}),
        join(' ', defined $line ? $line : "$status ...", $error),
        "$name: body");
}

###############################################################################

# The answer

my $first = qr/\A\{"msg":"200","heartbeat":60,"timestamp":(\d+)\}\z/;

for my $form (qw/ A B /) {
    my $before = int time();
    my $d = device(device => "first-$form", form => $form);

    like($d->{head}, qr!\AHTTP/1\.1 200 OK\x0d\x0a!, "$form: status line");
    is($d->header('Transfer-Encoding'), 'chunked', "$form: chunked");
    is($d->header('Content-Type'), 'application/json', "$form: type");
    is($d->header('Content-Length'), undef, "$form: no length");
    is($d->{interim}, 0, "$form: no interim answer");

    like($d->{first}, $first, "$form: first chunk");
    ok($d->{json}{timestamp} >= $before && $d->{json}{timestamp} <= time(),
        "$form: its time") or diag($d->{json}{timestamp});
    ok($d->quiet(), "$form: nothing behind it");

    is(exchange($d, 'hello', 'world'), 'hello 200 world', "$form: a call");
    is(exchange($d, 'hello', "wor\0\x0d\x0a"), "hello 200 wor\0\x0d\x0a",
        "$form: bytes are bytes");

    # Libraries in the field take what one read returns as one message.

    my $call = call_start('app1', "first-$form", 'm' x 30);
    is($d->read_packet(), "1e\x0d\x0a" . 'm' x 30 . "\x0d\x0a",
        "$form: one message, one packet");
    $d->send_chunk('reply');
    is(call_end($call)->{body}, 'reply', "$form: its reply");
}

like(device(uri => '/short/app1/short')->{first}, qr/"heartbeat":1,/,
    'configured interval is announced');

# Form A: the info is the body

{
    my $d = device(device => 'i1', info => 'APM:Copter-3.3.0');
    is(info('app1', 'i1'), 'APM:Copter-3.3.0', 'A: info');

    $d = device(device => 'i2', length => 0);
    is($d->{status}, 200, 'A: no length');
    is(info('app1', 'i2'), '', 'A: no info');
    is(exchange($d, 'a', 'b'), 'a 200 b', 'A: a call without a length');

    $d = device(device => 'i3', info => 'y' x 256);
    is(info('app1', 'i3'), 'y' x 256, 'A: info of 256 bytes');

    $d = device(device => 'i4', info => 'y' x 256 . 'z');
    is(info('app1', 'i4'), 'y' x 256, 'A: info of 257 bytes is cut');

    $d = device(device => 'i5', info => 'long ' x 8000);
    is($d->{status}, 200, 'A: info in a temporary file');
    is(info('app1', 'i5'), substr('long ' x 60, 0, 256), 'A: that is cut');
    is(exchange($d, 'a', 'b'), 'a 200 b', 'A: a call after that');

    $d = device(device => 'i6', info => "a\"b\\c\x01\x1f/\x0d\x0a\t");
    is(info('app1', 'i6'), "a\"b\\c\x01\x1f/\x0d\x0a\t", 'A: info is escaped');

    $d = device(device => 'i7', info => "caf\xc3\xa9");
    is(info('app1', 'i7'), "caf\x{e9}", 'A: info in UTF-8');

    $d = device(device => 'i8', info => "\xff\xc3");
    is(stats('app1/devices/i8')->{json}{device_id}, 'i8',
        'A: info not in UTF-8 leaves the JSON valid');

    $d = device(device => 'i9', info => 'z' x 255 . "\xc3\xa9");
    like(info('app1', 'i9'), qr/\Az{255}/, 'A: info is cut within a letter');
}

# Form B: the info is in a header

{
    my $d = device(form => 'B', device => 'j1', info => 'lamp 7',
        headers => { 'User-Agent' => 'curl/7.88' });
    is(info('app1', 'j1'), 'lamp 7', 'B: info');

    $d = device(form => 'B', device => 'j2',
        headers => { 'User-Agent' => 'curl/7.88' });
    is(info('app1', 'j2'), 'curl/7.88', 'B: user agent');

    $d = device(form => 'B', device => 'j3');
    is(info('app1', 'j3'), '', 'B: no info');

    $d = device(form => 'B', device => 'j4', info => 'y' x 300);
    is(info('app1', 'j4'), 'y' x 256, 'B: info is cut');
}

# In pieces, and more than the request in one packet

for my $form (qw/ A B /) {
    my $d = device(form => $form, device => "b-$form", info => 'slow',
        bytewise => 1);
    is($d->{status}, 200, "$form: byte by byte");
    is(info('app1', "b-$form"), 'slow', "$form: its info");
    is(exchange($d, 'a', 'b'), 'a 200 b', "$form: its call");

    # The reply cannot be complete before the call is: its first half shows
    # whether the bytes behind the request are kept.

    for my $bytewise (0, 1) {
        my $way = $bytewise ? 'byte by byte' : 'one packet';
        my $device = "w-$form-$bytewise";

        $d = device(form => $form, device => $device, info => 'i',
            with => "1\x0d\x0a\x06\x0d\x0a" . "3\x0d\x0a\x07ev\x0d\x0a"
                . "5\x0d\x0ahel", bytewise => $bytewise);
        like($d->{first}, $first, "$form: with first chunks, $way");

        my $call = call_start('app1', $device, 'x');
        is($d->read_chunk(), 'x', "$form: with first chunks, call, $way");
        $d->raw("lo\x0d\x0a");
        is(call_end($call)->{body}, 'hello', "$form: kept, $way");
    }

    $d = device(form => $form, device => "z-$form", info => 'i',
        with => "0\x0d\x0a\x0d\x0a");
    is($d->{status}, 200, "$form: detach with the request");
    ok(defined $d->closed(), "$form: it is closed");
    ok(offline('app1', "z-$form"), "$form: it is offline");
}

# Expect: 100-continue, as curl sends it

for my $form (qw/ A B /) {
    my $d = Test::Nginx::Cometa::Device->start(form => $form,
        device => "e-$form", headers => {
            Expect => '100-continue',
            $form eq 'A' ? ('Content-Length' => 4) : ('Cometa-Info' => 'wait')
        }, length => 0);

    my $interim = $d->{stream}->take_until("\x0d\x0a\x0d\x0a");
    like($interim, qr!\AHTTP/1\.1 100 !, "$form: 100 Continue");

    $d->raw('wait') if $form eq 'A';
    $d->finish();

    like($d->{first}, $first, "$form: 200 behind it");
    is(info('app1', "e-$form"), 'wait', "$form: info behind it");
    is(exchange($d, 'a', 'b'), 'a 200 b', "$form: call behind it");
}

# Identifiers

{
    my $id = 'AZaz09._~:@+-';

    my $d = device(device => $id);
    is($d->{status}, 200, 'all characters of an id');
    is(exchange($d, 'a', 'b'), 'a 200 b', 'a call to it');

    $id = 'd' x 64;
    is(device(device => $id)->{status}, 200, 'id of 64 bytes');
    refused(device(device => "${id}d"), 400, 'invalid_device_id',
        'device id of 65 bytes');
    refused(device(app => "${id}d"), 400, 'invalid_application_id',
        'application id of 65 bytes');

    my @bad = grep { chr !~ m![A-Za-z0-9._~:\@+/-]! } 1 .. 255;

    for my $kind (qw/ device app /) {
        my $word = $kind eq 'app' ? 'application' : 'device';

        my @taken = grep {
            my $d = device($kind => sprintf('a%%%02xb', $_));
            $d->{status} != 400 || ($d->{json}{error} || '')
                ne "invalid_${word}_id"
        } @bad;

        is("@taken", '', "bytes that no $word id holds");
    }
}

# The pair is the key

{
    my $d1 = device(app => 'app1', device => 'same');
    my $d2 = device(app => 'app2', device => 'same');

    ok(!$d1->gone(), 'the same id in another application');
    is(exchange($d1, 'x', '1'), 'x 200 1', 'the one');
    is(exchange($d2, 'x', '2'), 'x 200 2', 'the other');
}

# Refusals

{
    my $d = device(app => 'nosuch', device => 'lamp-1');
    refused($d, 403, 'forbidden', 'unknown application');
    is($d->{json}{device_id}, 'lamp-1', 'the id is in the answer');

    refused(device(version => '1.0'), 505, 'http1_required', 'HTTP/1.0');

    my $url = 'http://127.0.0.1:' . port(8082)
        . '/v1/applications/app1/devices/h2';
    my $said = `curl -s --max-time 8 --http2-prior-knowledge -X POST -i '$url'`;
    like($said, qr!\AHTTP/2 505.*"error":"http1_required"!s, 'HTTP/2');

    for my $method (qw/ PUT DELETE /) {
        my $r = call('app1', 'm', '', method => $method,
            uri => '/v1/applications/app1/devices/m');
        is($r->{status}, 405, "$method");
        like($r->{headers}{allow}, qr/\bGET\b.*\bPOST\b|\bPOST\b.*\bGET\b/,
            "$method: what is allowed");
    }

    my $r = call('app1', 'm', '', method => 'PUT', uri => '/single/app1/m');
    refused($r, 405, 'not_allowed', 'method of an attach');
    is($r->{headers}{allow}, 'POST', 'what an attach allows');

    $r = stats('app1/devices/m/send');
    is("$r->{status} $r->{headers}{allow}", '405 POST', 'what a send allows');

    $r = call('app1', 'm', '', uri => '/v1/applications/app1/devices');
    like("$r->{status} $r->{headers}{allow}", qr/\A405 GET/,
        'what a list allows');
}

{
    my $d = device(uri => '/single/app1/one', device => 'one');
    refused(device(uri => '/single/app1/one'), 409, 'already_attached',
        'second attach');
    is(exchange($d, 'a', 'b'), 'a 200 b', 'the first stays');

    $d->close();
    ok(offline('app1', 'one'), 'the first leaves');
    is(device(uri => '/single/app1/one')->{status}, 200, 'then another can');
}

{
    my %o = (uri => '/guarded/app1/lamp', device => 'lamp');

    refused(device(%o), 403, 'forbidden', 'no device secret');

    for my $bad ('OAuth wrong', 'OAuth key-of-lamp2', 'OAuth key-of-lam',
        'OAuth key-of-', 'OAuth ', 'Basic key-of-lamp', 'key-of-lamp',
        'OAuth s3cret')
    {
        my $d = device(%o, headers => { Authorization => $bad });
        is("$d->{status} $d->{json}{error}", '403 forbidden', "'$bad'");
    }

    for my $scheme (qw/ OAuth Bearer /) {
        my $d = device(%o,
            headers => { Authorization => "$scheme key-of-lamp" });
        is($d->{status}, 200, "$scheme with the device secret");
        is(exchange($d, 'a', 'b'), 'a 200 b', 'a call to it');
    }
}

# Orderly end

for my $form (qw/ A B /) {
    my $d = device(form => $form, device => "o-$form");
    $d->detach();

    my $end = $d->closed();
    ok(defined $end, "$form: a detach closes the connection");
    is($end, 'last', "$form: its answer is complete") if $form eq 'B';
    ok(offline('app1', "o-$form"), "$form: offline");

    my $r = call('app1', "o-$form", 'x');
    is("$r->{status} $r->{json}{error}", '404 device_offline',
        "$form: no call any more");
}

# Any other end

for my $way (qw/ close half_close reset /) {
    my $d = device(device => "f-$way");
    $d->$way();
    ok(offline('app1', "f-$way"), "$way: offline at once");

    $d = device(device => "g-$way");
    my $call = call_start('app1', "g-$way", 'x');
    is($d->read_chunk(), 'x', "$way: a call is written");
    $d->$way();

    my $r = call_end($call);
    is("$r->{status} $r->{json}{error}", '502 device_disconnected',
        "$way: it fails");
}

# A device that is gone before its request is read

{
    my ($worker) = http_get('/pid') =~ /(\d+)\z/;
    my %o = (app => 'app2', device => 'gone', info => 'i');

    for my $form (qw/ A B /) {
        for my $with ('', "0\x0d\x0a\x0d\x0a", "1\x0d\x0a\x06", "zz") {
            for my $way (qw/ close half_close reset /) {
                stand_still($worker);
                my $d = Test::Nginx::Cometa::Device->start(%o,
                    form => $form, with => $with);
                $d->$way();
                kill 'CONT', $worker;
            }
        }
    }

    like(http_get('/pid'), qr/\b$worker\z/,
        'gone before the request is read');
    ok(offline('app2', 'gone'), 'it is offline');
    ok(figure_is('app2', 'num_devices', 0), 'nothing is left of it');
}

# A caller of an absent device that is gone before its request is read

{
    my ($worker) = http_get('/pid') =~ /(\d+)\z/;
    my $uri = '/v1/applications/app1/devices';

    my @requests = (
        call_request('app1', 'absent', 'x'),
        map { call_request('app1', 'absent', undef, method => 'GET',
            uri => "$uri$_") } '', '/absent', '/first-A'
    );

    for my $request (@requests) {
        for my $way (qw/ close shutdown_write reset /) {
            stand_still($worker);
            my $s = caller_stream();
            $s->write($request);
            $s->$way();
            kill 'CONT', $worker;
        }
    }

    like(http_get('/pid'), qr/\b$worker\z/, 'callers that are gone');
    is(call('app1', 'absent', 'x')->{status}, 404, 'disturb nobody');
}

# Heartbeats, events and strays

{
    my $d = device(device => 'beat');
    my $before = stats('app1/devices/beat')->{json}{heartbeat};
    sleep(1.1);

    $d->heartbeat();
    ok($d->quiet(), 'no answer to a heartbeat');
    cmp_ok(stats('app1/devices/beat')->{json}{heartbeat}, '>', $before,
        'time of the heartbeat');

    my $call = call_start('app1', 'beat', 'x');
    is($d->read_chunk(), 'x', 'a call');
    $d->heartbeat();
    $d->event('not a reply');
    $d->event('');
    $d->heartbeat();
    $d->send_chunk("reply");
    is(call_end($call)->{body}, 'reply', 'heartbeats and events are no reply');

    my $errors = errors('app1');
    $d->send_chunk('stray');
    $d->send_chunk("\x06 and more is no heartbeat");
    ok(wait_for(sub { errors('app1') == $errors + 2 }),
        'stray messages are counted');
    ok($d->quiet(), 'a stray message leaves the device alone');
    is(exchange($d, 'y', 'z'), 'y 200 z', 'and is no reply');

    $call = call_start('app1', 'beat', 'w');
    is($d->read_chunk(), 'w', 'next call');
    $d->send_chunk("\x06\x06");
    is(call_end($call)->{body}, "\x06\x06", 'more than 06 is a reply');
}

{
    my %d = map { $_ => device(uri => "/short/app1/t-$_", device => "t-$_") }
        qw/ silent beat event stray part /;

    my $begun = time();
    my $watch = stopwatch();
    $d{part}->raw("5\x0d\x0aab");

    ok(defined $d{part}->closed(3), 'a chunk begun and not completed');
    my $took = time() - $begun;
    ok($took > 0.9 && $watch->took() < 1.9, 'is cut after client_body_timeout')
        or diag("after $took s");

    my $beat;

    while (time() < $begun + 3.5) {
        $beat = time();
        $watch = stopwatch();
        $d{beat}->heartbeat();
        $d{event}->event('e');
        $d{stray}->send_chunk('s');
        sleep(0.4);
    }

    ok(wait_for(sub { $d{silent}->gone() }), 'a silent device is closed');
    ok(offline('app1', 't-silent'), 'and offline');

    for my $word (qw/ beat event stray /) {
        ok(!$d{$word}->gone(), "one that sends a $word is not");
    }

    ok(defined $d{beat}->closed(5), 'until it falls silent');
    $took = time() - $beat;
    ok($took > 1.9 && $watch->took() < 3.6, 'for the heartbeat timeout')
        or diag("after $took s");
}

###############################################################################

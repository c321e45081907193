#!/usr/bin/perl

# What nobody should send: only the connection that it comes from suffers.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $crlf = "\x0d\x0a";
my $uri = '/v1/applications/app1/devices';
my $send = "POST $uri/good/send HTTP/1.1${crlf}Host: localhost$crlf"
    . "Authorization: OAuth s3cret$crlf";
my $get = "GET /pid HTTP/1.1${crlf}Host: localhost$crlf$crlf";

sub attach_head {
    return "POST $uri/bad HTTP/1.1${crlf}Host: localhost$crlf"
        . join('', map { "$_$crlf" } @_);
}

# Requests that are refused: name, bytes, pattern of the answer.

my @refused = (
    ['header line too large',
        attach_head('X: ' . 'x' x 40000, ''), qr/\AHTTP\S+ 400 /],
    ['too many header lines',
        attach_head((map { "X$_: " . 'x' x 1000 } 1 .. 60), ''),
        qr/\AHTTP\S+ 400 /],
    ['URI too large',
        "POST $uri/" . 'x' x 40000 . " HTTP/1.1$crlf$crlf",
        qr/\AHTTP\S+ 414 /],
    ['device id too long',
        "POST $uri/" . 'x' x 65 . " HTTP/1.1${crlf}Host: l$crlf$crlf",
        qr/\AHTTP\S+ 400 .*invalid_device_id/s],
    ['application id too long',
        'POST /v1/applications/' . 'x' x 65
            . "/devices/d HTTP/1.1${crlf}Host: l$crlf$crlf",
        qr/\AHTTP\S+ 400 .*invalid_application_id/s],
    ['space in a device id',
        "POST $uri/a%20b HTTP/1.1${crlf}Host: l$crlf$crlf",
        qr/\AHTTP\S+ 400 .*invalid_device_id/s],
    ['NUL in a device id',
        "POST $uri/a%00b HTTP/1.1${crlf}Host: l$crlf$crlf",
        qr/\AHTTP\S+ 400 /],
    ['byte of 8 bits in a device id',
        "POST $uri/a%ffb HTTP/1.1${crlf}Host: l$crlf$crlf",
        qr/\AHTTP\S+ 400 .*invalid_device_id/s],
    ['NUL in a header',
        attach_head("X: a\0b", ''), qr/\AHTTP\S+ 400 /],
    ['no Host',
        "POST $uri/bad HTTP/1.1$crlf$crlf", qr/\AHTTP\S+ 400 /],
    ['length is not a number',
        attach_head('Content-Length: x', ''), qr/\AHTTP\S+ 400 /],
    ['negative length',
        attach_head('Content-Length: -1', ''), qr/\AHTTP\S+ 400 /],
    ['two lengths',
        attach_head('Content-Length: 1', 'Content-Length: 2', ''),
        qr/\AHTTP\S+ 400 /],
    ['chunked and a length',
        attach_head('Transfer-Encoding: chunked', 'Content-Length: 5', ''),
        qr/\AHTTP\S+ 400 /],
    ['unknown transfer coding',
        attach_head('Transfer-Encoding: gzip', ''), qr/\AHTTP\S+ 501 /],
    ['info of gigabytes',
        attach_head('Content-Length: 9999999999', ''), qr/\AHTTP\S+ 413 /],
    ['info above client_max_body_size',
        attach_head('Content-Length: 70001', '', 'x' x 70001),
        qr/\AHTTP\S+ 413 /],
    ['HTTP/1.0',
        "POST $uri/bad HTTP/1.0$crlf$crlf",
        qr/\AHTTP\S+ 505 .*http1_required/s],
    ['no method of ours',
        "PUT $uri/bad HTTP/1.1${crlf}Host: l${crlf}Connection: close"
            . "$crlf$crlf", qr/\AHTTP\S+ 405 /],
    ['call of gigabytes',
        "${send}Content-Length: 9999999999$crlf$crlf", qr/\AHTTP\S+ 413 /],
    ['call above the limit',
        "${send}Connection: close${crlf}Content-Length: 65537$crlf$crlf"
            . 'x' x 65537,
        qr/\AHTTP\S+ 413 .*message_too_large/s],
    ['call, a chunk of gigabytes',
        "${send}Transfer-Encoding: chunked$crlf${crlf}ffffffff$crlf",
        qr/\AHTTP\S+ 413 /],
    ['call, a chunk of 20 digits',
        "${send}Transfer-Encoding: chunked$crlf$crlf" . '1' x 20 . $crlf,
        qr/\AHTTP\S+ 4\d\d /],
    ['call, no chunk at all',
        "${send}Transfer-Encoding: chunked$crlf${crlf}xyz$crlf",
        qr/\AHTTP\S+ 400 /],
    ['call, chunked and a length',
        "${send}Transfer-Encoding: chunked${crlf}Content-Length: 5$crlf$crlf",
        qr/\AHTTP\S+ 400 /],
    ['empty call',
        "${send}Content-Length: 0${crlf}Connection: close$crlf$crlf",
        qr/\AHTTP\S+ 400 .*empty_me/s],
    ['not HTTP', "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        qr/\AHTTP\S+ 400 |\A\z/],
);

# Devices that are closed: name, bytes behind the attach, reason.

my @closed = (
    ['a chunk of gigabytes', "ffffffff${crlf}x", qr/too large/],
    ['a chunk of 16 digits', "100000000000000f$crlf",
        qr/too large|chunk size/],
    ['digits without end', '1' x 100, qr/too large|chunk size/],
    ['zeros without end', '0' x 100, qr/chunk size/],
    ['NULs', "\0" x 1000, qr/chunk size/],
    ['NUL behind the size', "1\0${crlf}x$crlf", qr/chunk size/],
    ['a request', $get, qr/chunk size/],
    ['TLS', "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", qr/chunk size/],
    ['bytes of 8 bits', "\xff" x 100, qr/chunk size/],
    ['bad behind a thousand good ones',
        "1$crlf\x06$crlf" x 1000 . 'zz', qr/chunk size/],
);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(3 * @refused + 2 * 3 * @closed + 100);

$t->write_file_expand('nginx.conf', worker_conf(
    server => "client_max_body_size 70000; lingering_timeout 1s;\n"
        . "location ~ ^/quick/(?<app>[^/]+)/(?<device>[^/]+)\$ {\n"
        . "client_body_timeout 1s; cometa_attach; }\n"));

$t->run();

# A device and a caller of the same worker that nothing must happen to.

my $good = device(device => 'good');
my $caller = caller_stream();

###############################################################################

sub fine {
    my ($name) = @_;

    my $said = reached($good, stream => $caller);
    my $others = join ' ', grep { $_ ne 'good' } list(stream => $caller);

    return is("$said, $others", 'yes, ', "$name: nothing else suffers");
}

# Nobody but the good one is attached, after a moment.

sub fine_soon {
    my ($name) = @_;

    wait_for(sub { 1 == list(stream => $caller) }, 3);
    return fine($name);
}

sub told {
    my ($re) = @_;
    return log_count($t, qr/\[(?:info|notice|warn|error)\].*$re/);
}

###############################################################################

for my $case (@refused) {
    my ($name, $bytes, $answer) = @$case;

    my $s = caller_stream();
    $s->write($bytes . ($bytes =~ m!\A\S+ /! ? $get : ''));
    my $got = $s->take_rest(4);

    like(defined $got ? $got : 'open', $answer, "$name: refused");

    # what stands behind it must not be served
    ok(defined $got && $got !~ /\AHTTP.*HTTP\S+ 200/s,
        "$name: and nothing behind it");
    fine($name);
}

for my $form (qw/ A B /) {
    for my $case (@closed) {
        my ($name, $bytes, $reason) = @$case;

        my $before = told($reason);
        my $d = device(device => 'bad', form => $form, with => $bytes);

        ok(defined $d->closed(), "$form, $name: closed");
        ok(wait_for(sub { told($reason) > $before }), "$form, $name: reason");
        fine("$form, $name");
        $d->close();
    }
}

# Headers that ask for something else

for my $form (qw/ A B /) {
    my $d = device(device => 'up', form => $form, headers => {
        Upgrade => 'websocket', Connection => 'Upgrade',
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version' => 13
    });
    is($d->{status}, 200, "$form: an Upgrade is not heeded");
    is(reached($d), 'yes', "$form: and a device like any other");
    $d->close();

    $d = device(device => 'ka', form => $form,
        headers => { Connection => 'close' });
    is($d->{status}, 200, "$form: nor is Connection: close");
    is(reached($d), 'yes', "$form: it stays");
    $d->close();

    $d = device(device => 'enc', form => $form, headers => {
        'Accept-Encoding' => 'gzip', Range => 'bytes=0-1',
        'If-Modified-Since' => 'Mon, 23 Nov 2015 00:00:00 GMT',
        TE => 'trailers', Expect => 'nothing' });
    like($d->{first} || '', qr/\A\{"msg":"200"/, "$form: other headers");
    $d->close();
    fine_soon("$form: headers");
}

# A refused attach and a request behind it

for my $form (qw/ A B /) {
    for my $behind ($get, attach_head('') . $get,
        "1$crlf\x06$crlf" . $get, 'x' x 100000)
    {
        my $d = device(app => 'nosuch', form => $form, with => $behind);
        is($d->{status}, 403, "$form, refused with bytes behind");
        $d->raw($get);
        my $rest = $d->{stream}->take_rest(4);
        unlike(defined $rest ? $rest : 'open', qr/HTTP|open/,
            "$form, and they are no request");
    }
}

# Begun and never ended

{
    my %begun = (
        'size' => '5',
        'size and CR' => "5\x0d",
        'extension' => '5;abc',
        'size line' => "5$crlf",
        'data' => "5${crlf}he",
        'large data' => "ffff$crlf" . 'x' x 60000,
    );

    # all at once: each takes a second
    my %devices = map {
        my $form = $_;
        map { ("$form, $_" => [ $form, $begun{$_} ]) } sort keys %begun
    } qw/ A B /;

    my $i = 0;
    for my $name (sort keys %devices) {
        my ($form, $bytes) = @{$devices{$name}};
        $i++;
        $devices{$name} = Test::Nginx::Cometa::Device->start(
            uri => "/quick/app1/begun$i", form => $form, with => $bytes);
    }

    my $idle = device(uri => '/quick/app1/idle', device => 'idle');
    my $body = caller_stream();
    $body->write("POST /quick/app1/body HTTP/1.1${crlf}Host: l$crlf"
        . "Content-Length: 10$crlf${crlf}half");

    for my $name (sort keys %devices) {
        $devices{$name}->finish();
        is($devices{$name}{status}, 200, "$name begun: attached");
        ok(defined $devices{$name}->closed(3), "$name never ended: closed");
    }

    my $rest = $body->take_rest(3);
    like(defined $rest ? $rest : 'open', qr/\A(?:HTTP\S+ 408 .*)?\z/s,
        'info never ended: closed');
    ok(!$idle->gone(), 'who begins nothing may be silent');
    is(reached($idle), 'yes', 'and is called');
    $idle->close();
    fine_soon('never ended');
}

# Leaving at every stage, each in three ways

for my $way (qw/ close reset half_close /) {
    my $d;

    # of the attach
    for my $part ('POS', "POST $uri/bad HTTP/1.1$crlf",
        attach_head('Content-Length: 4', '') . 'in',
        attach_head('Transfer-Encoding: chunked', '') . '5',
        attach_head('Content-Length: 0', ''))
    {
        my $s = caller_stream();
        $s->write($part);
        $way eq 'half_close' ? $s->shutdown_write() : $s->$way();
        sleep(0.01);
        $s->close() if $way eq 'half_close';
    }
    fine_soon("$way while it attaches");

    # of a call: before, while and after the reply
    $d = device(device => 'bad');
    my $call = call_start('app1', 'bad', 'x');
    is($d->read_chunk(), 'x', "$way before the reply");
    $d->$way();
    is(text(call_end($call)), '502 device_disconnected', "$way: its call");
    fine_soon("$way before the reply");
    $d->close();

    $d = device(device => 'bad');
    $call = call_start('app1', 'bad', 'x');
    $d->read_chunk();
    $d->raw("5${crlf}he");
    $d->quiet(0.02);
    $d->$way();
    is(text(call_end($call)), '502 device_disconnected',
        "$way while it replies: its call");
    fine_soon("$way while it replies");
    $d->close();

    $d = device(device => 'bad');
    $call = call_start('app1', 'bad', 'x');
    $d->read_chunk();
    $d->send_chunk('done');
    $way eq 'reset' ? is(text(call_end($call)), '200 done', 'reply') : 0;
    $d->$way();
    is(text(call_end($call)), '200 done', "$way behind the reply: its call")
        if $way ne 'reset';
    fine_soon("$way behind the reply");
    $d->close();

    # of the caller
    $d = device(device => 'bad');
    $call = call_start('app1', 'bad', 'gone');
    is($d->read_chunk(), 'gone', "caller, $way before the reply");
    my $stream = $call->{stream};
    $way eq 'half_close' ? $stream->shutdown_write() : $stream->$way();
    sleep(0.05);
    $d->send_chunk('for nobody');
    is(reached($d), 'yes', "caller, $way: the next one gets its own");
    $d->close();
    fine_soon("caller, $way");
}

# Very small and very many

{
    my $d = device(device => 'slow');
    my $call = call_start('app1', 'slow', 'x', timeout => 30);
    $d->read_chunk();
    my $reply = join '', map { chr 65 + $_ % 26 } 1 .. 10000;
    my $wire = sprintf("%x$crlf", length $reply) . $reply . $crlf;

    $d->raw($_) for split //, $wire;
    is(call_end($call)->{body}, $reply, '10000 bytes, one at a time');

    $call = call_start('app1', 'slow', 'x');
    $d->read_chunk();
    $d->raw("1$crlf\x06$crlf" x 20000 . "2$crlf\x07e$crlf" x 5000
        . "2${crlf}ok$crlf" . "1$crlf\x06$crlf" x 5000);
    is(text(call_end($call)), '200 ok', 'thousands of chunks in one packet');

    my $errors = stats('app1')->{json}{stats}{errors};
    $d->raw("1${crlf}s$crlf" x 10000);
    is(reached($d), 'yes', 'a call behind thousands of strays');
    is(stats('app1')->{json}{stats}{errors} - $errors, 10000,
        'each of them is counted');

    # heartbeats without end do not keep others from their turn
    my $flood = "1$crlf\x06$crlf" x 10000;
    my @floods = map { device(device => "flood$_") } 1 .. 4;
    my $slowest = 0;
    for (1 .. 10) {
        $_->{stream}->write($flood) for @floods;
        my $watch = stopwatch();
        reached($good, stream => $caller) eq 'yes' or $slowest = 99;
        my $took = $watch->took();
        $slowest = $took if $took > $slowest;
    }
    cmp_ok($slowest, '<', 2, 'others get their turn in a flood');
    is(scalar(grep { reached($_) ne 'yes' } @floods), 0,
        'those that flood are called, too');
    $_->close() for @floods, $d;
    fine_soon('flood');
}

# A caller that reads slowly

{
    my $d = device(device => 'fast');
    my $reply = random_bytes(65536);

    my @slow = map {
        my $call = call_start('app1', 'fast', 'x', rcvbuf => 65536);
        $d->read_chunk();
        $d->send_chunk($reply);
        $call
    } 1 .. 20;

    is(reached($d), 'yes', 'callers that do not read: the device is free');
    is(scalar(grep { call_end($_)->{body} ne $reply } @slow), 0,
        'each gets all of its reply when it reads');
    $d->close();
    $_->{stream}->close() for @slow;
    fine_soon('slow callers');
}

# Nothing is left

ok(wait_for(sub {
    my $s = stats('app1')->{json}{stats};
    $s->{num_devices} == 1 && $s->{queued} == 0 && $s->{calls} == 0
}), 'only the good one is left');

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

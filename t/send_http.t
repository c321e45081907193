#!/usr/bin/perl

# Callers of all kinds: HTTP/1.0, 1.1 and 2, pipelined, and those that leave.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map http_ssl http_v2/)
    ->has_daemon('curl')->has_daemon('openssl')->plan(87);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, http2 => 1, send => 'cometa_queue 100;',
    http => 'keepalive_requests 100000;',
    server => 'listen 127.0.0.1:8444 ssl http2;'
        . 'ssl_certificate %%TESTDIR%%/localhost.crt;'
        . 'ssl_certificate_key %%TESTDIR%%/localhost.key;'
));

$t->run();

my $d = device();

###############################################################################

# A call that the device answers.

sub exchange {
    my ($message, %o) = @_;

    my $call = call_start('app1', 'dev1', $message, %o);
    my $got = $d->read_chunk(2);
    $d->send_chunk('re: ' . (defined $got ? $got : 'nothing'));

    return call_end($call, 3);
}

# Starts curl on the HTTP/2 port; its output is read from what is returned.
#
# A body that is refused unread ends with RST_STREAM, which this curl may take
# for an error and then loses the answer: such calls are made without a body.

sub curl {
    my ($device, $message, %o) = @_;

    my $uri = 'http://127.0.0.1:' . port(8082)
        . "/v1/applications/app1/devices/$device/send";

    open my $fh, '-|', qw/ curl -sS -i --max-time 8 --http2-prior-knowledge /,
        '-H', 'Authorization: OAuth ' . ($o{secret} || 's3cret'),
        '-X', $o{method} || 'POST', '--data-binary', $message,
        @{$o{more} || []}, $uri or die "curl: $!\n";

    return $fh;
}

# The same with a body from a pipe: it has no length.

sub curl_pipe {
    my ($file) = @_;

    my $uri = 'http://127.0.0.1:' . port(8082)
        . '/v1/applications/app1/devices/dev1/send';

    open my $fh, '-|', 'cat ' . $t->testdir() . "/$file | curl -sS -i"
        . " --max-time 8 -X POST --http2-prior-knowledge"
        . " -H 'Authorization: OAuth s3cret' -T - '$uri'"
        or die "curl: $!\n";

    return $fh;
}

sub output {
    my ($fh) = @_;
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

###############################################################################

# HTTP/1.0 and 1.1

{
    my $r = exchange('one', version => '1.0');
    is(outcome($r), '200 re: one', 'HTTP/1.0');
    is($r->{headers}{connection}, 'close', 'is closed');
    is($r->{headers}{'content-length'}, 7, 'its length');

    my $stream = caller_stream();
    $r = exchange('two', version => '1.0', stream => $stream,
        headers => { Connection => 'keep-alive' });
    is(outcome($r), '200 re: two', 'HTTP/1.0 kept alive');
    is($r->{headers}{connection}, 'keep-alive', 'as asked for');
    is(outcome(exchange('three', version => '1.0', stream => $stream)),
        '200 re: three', 'and used again');
    ok($stream->take_rest() eq '' && $stream->eof(), 'then closed');

    $stream = caller_stream();
    my @said = map { outcome(exchange($_, stream => $stream)) } 1 .. 50;
    is("@said", join(' ', map { "200 re: $_" } 1 .. 50), 'HTTP/1.1');

    $r = exchange('last', stream => $stream, keepalive => 0);
    is(outcome($r), '200 re: last', 'the last on a connection');
    ok($stream->take_rest() eq '' && $stream->eof(), 'then closed');
}

# Request bodies in chunks

for my $size (1, 3, 100) {
    is(outcome(exchange('hello, device', chunked => $size)),
        '200 re: hello, device', "chunks of $size");
}

{
    my $stream = caller_stream();
    my ($head) = call_request('app1', 'dev1', '', chunked => 1)
        =~ /\A(.*?\x0d\x0a\x0d\x0a)/s;

    $stream->write($head . "3\x0d\x0aabc");
    ok($d->quiet(0.1), 'a body that is not complete');
    $stream->write_bytes("\x0d\x0a2;x=y\x0d\x0ade\x0d\x0a0\x0d\x0a\x0d\x0a");
    is($d->read_chunk(), 'abcde', 'then it is');
    $d->send_chunk('r');
    is(outcome(response($stream)), '200 r', 'and answered');

    $stream->write($head . "x\x0d\x0a");
    is(response($stream)->{status}, 400, 'no chunk at all');
    ok($d->quiet(0.1), 'is not written');

    is(outcome(exchange('body', headers => { Expect => '100-continue' })),
        '200 re: body', 'Expect: 100-continue');
}

# Pipelined

{
    my $stream = caller_stream();
    $stream->write(join '', map { call_request('app1', 'dev1', "p$_") }
        1 .. 20);

    for my $i (1 .. 20) {
        $d->echo(sub { "re: $_[0]" });
    }

    is(join(' ', map { outcome(response($stream)) } 1 .. 20),
        join(' ', map { "200 re: p$_" } 1 .. 20), '20 calls in one packet');

    $stream->write(call_request('app1', 'dev1', 'first')
        . call_request('app1', 'nodev', 'second')
        . call_request('app1', 'dev1', 'third', auth => 'OAuth wrong')
        . call_request('app1', 'dev1', undef, method => 'GET')
        . call_request('app1', 'dev1', 'fifth', chunked => 2));
    $d->echo();
    is(join(', ', map { outcome(response($stream)) } 1 .. 4),
        '200 first, 404 device_offline, 401 unauthorized, 405 not_allowed',
        'good ones and bad ones');
    $d->echo();
    is(outcome(response($stream, timeout => 2)), '200 fifth',
        'each in its turn');
}

# What is refused is not taken for requests: its body is skipped

{
    my $d = device(device => 'hidden');
    my $hidden = call_request('app1', 'hidden', 'hidden');

    my %cases = (
        'wrong secret' => [ 401, [ qw/ app1 dev1 / ], auth => 'OAuth wrong' ],
        'bad id' => [ 400, [ 'app1', 'a!b' ] ],
        'too large' => [ 413, [ qw/ app1 dev1 / ] ],
        'bad method' => [ 405, [ qw/ app1 dev1 / ], method => 'PUT' ],
        'offline' => [ 404, [ qw/ app1 nodev / ] ],
        'no attach' => [ 403, [ qw/ nosuch dev1 / ],
            uri => '/v1/applications/nosuch/devices/dev1' ],
    );

    for my $name (sort keys %cases) {
        my ($status, $ids, %o) = @{$cases{$name}};
        my $body = $hidden x ($status == 413 ? 1000 : 3);

        for my $chunked ($status == 413 ? 0 : (0, 100)) {
            my $stream = caller_stream();
            my $way = $chunked ? 'chunked' : 'with length';

            my $r = call(@$ids, $body, stream => $stream, chunked => $chunked,
                %o);
            is($r->{status}, $status, "$name, $way");

            # the connection serves on, or has been closed
            $stream->write(call_request('app1', 'nodev', 'x'));
            $r = response($stream, timeout => 1);
            ok($r->{status} == 404 || $stream->eof(),
                "$name, $way: next on the connection")
                or diag($r->{status});
            ok(!defined $d->read_chunk(0.05),
                "$name, $way: nothing is called");
        }
    }
}

# Methods

for my $method (qw/ GET HEAD PUT DELETE OPTIONS PATCH /) {
    my $r = call('app1', 'dev1', undef, method => $method);
    is("$r->{status} " . ($r->{headers}{allow} || '-'), '405 POST', $method);
}

is(call('app1', 'dev1', undef, method => 'HEAD')->{headers}{'content-length'},
    length call('app1', 'dev1', undef, method => 'GET')->{body},
    'HEAD is GET without its body');
ok($d->quiet(0.1), 'the device hears of none of them');

# HTTP/2

{
    my $fh = curl('dev1', 'over two');
    is($d->read_chunk(), 'over two', 'HTTP/2');
    $d->send_chunk("bytes\0\xff");
    my $text = output($fh);
    like($text, qr!\AHTTP/2 200 !, 'status');
    like($text, qr/^content-length: 7\x0d$/m, 'length');
    like($text, qr/\x0d\x0a\x0d\x0abytes\0\xff\z/, 'reply');

    like(output(curl('nodev', 'x')), qr!\AHTTP/2 404 .*"device_offline"!s,
        'offline');
    like(output(curl('dev1', '')), qr!\AHTTP/2 400 .*"empty_message"!s,
        'no message');
    like(output(curl('dev1', '', secret => 'wrong')),
        qr!\AHTTP/2 401 .*"unauthorized"!s, 'wrong secret');
    like(output(curl('dev1', '', method => 'GET')),
        qr!\AHTTP/2 405 .*^allow: POST\x0d!sm, 'wrong method');

    $t->write_file('large', 'm' x 65536);
    $fh = curl('dev1', '@' . $t->testdir() . '/large');
    ok($d->read_chunk() eq 'm' x 65536, '64k over HTTP/2');
    $d->send_chunk('r' x 65536);
    ok(output($fh) =~ /\x0d\x0a\x0d\x0a(r+)\z/ && length $1 == 65536,
        'and back');

    $t->write_file('some', 'of no length');
    $fh = curl_pipe('some');
    is($d->read_chunk(), 'of no length', 'a body without a length');
    $d->send_chunk('reply');
    like(output($fh), qr/\x0d\x0areply\z/, 'is answered');

    $t->write_file('large', 'm' x 65537);
    like(output(curl_pipe('large')),
        qr!\AHTTP/2 413 .*"message_too_large"!s, 'too large');
}

# Many streams of one connection

{
    my $dir = $t->testdir();
    my $base = 'https://127.0.0.1:' . port(8444)
        . '/v1/applications/app1/devices';
    my $n = 30;

    my @devices = map { device(device => "s$_") } 1 .. $n;

    $t->write_file('streams', join "next\n", map { <<"EOC" } 1 .. $n);
url = "$base/s$_/send"
insecure
header = "Authorization: OAuth s3cret"
data-binary = "message $_"
output = "$dir/out.$_"
write-out = "%{http_code} %{num_connects}\\n"
max-time = 8
EOC

    open my $fh, '-|', qw/ curl -sS --parallel --parallel-max 50 -K /,
        "$dir/streams" or die "curl: $!\n";

    # all are outstanding at once; they are answered from the last to the first
    is(join(' ', map { $_->read_chunk() } @devices),
        join(' ', map { "message $_" } 1 .. $n), "$n streams at once");
    $devices[$_ - 1]->send_chunk("reply $_") for reverse 1 .. $n;

    my @lines = split /\n/, output($fh);
    is(scalar(grep { /^200 / } @lines), $n, 'all are answered');
    cmp_ok(scalar(grep { /^200 [1-9]/ } @lines), '<', $n,
        'connections are shared');
    is(join(' ', map { $t->read_file("out.$_") } 1 .. $n),
        join(' ', map { "reply $_" } 1 .. $n), 'each stream has its reply');
}

# A stream that is given up

{
    my $fh = curl('dev1', 'gone', more => [ qw/ --max-time 3 / ]);
    is($d->read_chunk(), 'gone', 'HTTP/2: a call is written');
    output($fh);
    ok(figure_is('app1', 'calls', 0), 'HTTP/2: its caller leaves');
    $d->send_chunk('for nobody');
    is(outcome(exchange('next')), '200 re: next', 'HTTP/2: the next call');
}

# Callers that leave at any moment

{
    my @wrong;

    for my $i (1 .. 60) {
        for my $way (qw/ close reset /) {

            # before it is written, in the middle of the request
            my $request = call_request('app1', 'dev1', "cut $i");
            my $stream = caller_stream();
            $stream->write(substr $request, 0, $i * length($request) / 61);
            $stream->$way();

            # while it is written, and the reply comes at that moment
            my $call = call_start('app1', 'dev1', "written $i");
            my $got = $d->read_chunk(2);
            push @wrong, "$way $i: " . (defined $got ? $got : 'nothing')
                if !defined $got || $got ne "written $i";
            $call->{stream}->$way() if $i % 3 == 0;
            $d->send_chunk("r $i");
            $call->{stream}->$way() if $i % 3 == 1;

            # after the reply, which is not read
            $call->{stream}->readable(2), $call->{stream}->$way()
                if $i % 3 == 2;
        }

        my $r = exchange($i);
        push @wrong, "call $i: " . outcome($r) if outcome($r) ne "200 re: $i";
    }

    is(join(', ', @wrong), '', 'callers that leave at any moment');

    # answered at once, and nobody is there to take the answer

    for (1 .. 50) {
        my $stream = caller_stream();
        $stream->write(call_request('app1', 'nodev', 'x') x 20
            . call_request('app1', undef, undef, method => 'GET',
                uri => '/v1/applications/app1/devices/nodev') x 20);
        $stream->reset();
    }

    is(outcome(exchange('end')), '200 re: end', 'all is well behind them');
}

for my $name (qw/ calls queued /) {
    ok(figure_is('app1', $name, 0), "$name: none is left");
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

#!/usr/bin/perl

# What one hostile connection can cost: memory that it holds, and processor time
# that it takes. The figures of docs/security.md are printed by this; here they
# have slack, for other machines and for sanitizers.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Select;
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

$SIG{PIPE} = 'IGNORE';

use constant CRLF => "\x0d\x0a";
use constant { MANY => 60, LARGE => 60_000, MESSAGE => 65536 };

my $uri = '/v1/applications/app1/devices';

# Memory of one: name, KB that are stated, function that makes number n of it.

my @holds = (
    ['request line and half a header', 10, sub {
        my $s = caller_stream();
        $s->write("POST $uri/h$_[0] HTTP/1.1" . CRLF . 'X-Half: ');
        return $s;
    }],
    ['attach, half of its info', 10, sub {
        my $s = caller_stream();
        $s->write(join CRLF, "POST $uri/i$_[0] HTTP/1.1", 'Host: l',
            'Content-Length: 200', '', 'x' x 100);
        return $s;
    }],
    ['device, silent', 5, sub { device(device => "s$_[0]") }],
    ['device, a chunk is announced', 5, sub {
        my $d = device(device => "a$_[0]");
        $d->raw('ffff' . CRLF);
        return $d;
    }],
    ['device, a chunk of 64 KB that lacks its end', 70, sub {
        my $d = device(device => "c$_[0]");
        $d->raw('ffff' . CRLF . 'x' x LARGE);
        return $d;
    }],
    ['device that does not read a message of 64 KB', 90, sub {
        my $d = device(device => "r$_[0]", rcvbuf => 2048);
        my $c = call_start('app1', "r$_[0]", 'x' x MESSAGE);
        return [ $d, $c ];
    }],
    ['call, half of a message of 64 KB', 20, sub {
        my $s = caller_stream();
        $s->write(join CRLF, "POST $uri/good/send HTTP/1.1", 'Host: l',
            'Authorization: OAuth s3cret', 'Content-Length: ' . MESSAGE, '',
            'x' x (MESSAGE / 2));
        return $s;
    }],
    ['WebSocket, silent', 3, sub { websocket(device => 'good') }],
    ['WebSocket, a frame is announced', 3, sub {
        my $ws = websocket(device => 'good');
        $ws->raw(frame(2, '', length => MESSAGE));
        return $ws;
    }],
    ['WebSocket, a frame of 64 KB that lacks its end', 70, sub {
        my $ws = websocket(device => 'good');
        $ws->raw(frame(2, 'x' x LARGE, length => MESSAGE));
        return $ws;
    }],
);

# Processor time of one message: name, us that are stated, how many, bytes of
# one, function that opens the connection.

my @takes = (
    ['heartbeat', 0.1, 2_000_000, '1' . CRLF . "\x06" . CRLF,
        sub { device(device => 'flood')->{stream} }],
    ['event that nobody hears', 0.1, 2_000_000, '1' . CRLF . "\x07" . CRLF,
        sub { device(device => 'flood')->{stream} }],
    ['answer to no call', 0.1, 1_000_000, '1' . CRLF . 'x' . CRLF,
        sub { device(device => 'flood')->{stream} }],
    ['ping of a WebSocket', 0.2, 200_000, frame(9, '', mask => "\0\0\0\0"),
        sub { websocket(device => 'good')->{stream} }],
    ['key that is wrong', 10, 4000,
        join(CRLF, 'GET /v1/websockets/good/' . 'a' x 40 . ' HTTP/1.1',
            'Host: l', 'Connection: Upgrade', 'Upgrade: websocket',
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
            'Sec-WebSocket-Version: 13', '', ''),
        sub { caller_stream() }],
    ['secret that is wrong', 10, 4000,
        join(CRLF, "POST $uri/good/send HTTP/1.1", 'Host: l',
            'Authorization: OAuth wrong', 'Content-Length: 1', '', 'x'),
        sub { caller_stream() }],
);

memory_counts();

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(2 * @holds + 3 * @takes + 1);

$t->write_file_expand('nginx.conf', websocket_conf(connections => 4096,
    http => 'client_header_timeout 60s; client_body_timeout 60s;'
        . 'access_log off; error_log %%TESTDIR%%/warn.log warn;',
    attach => 'cometa_heartbeat 60s timeout=600s;',
    send => 'cometa_send_timeout 60s;'))->run();

my ($worker) = wait_serving($t, 1);
my $good = device(device => 'good');
my $caller = caller_stream();

# Whether nginx has read all that was sent to it: nothing is on its way, and
# nothing lies in its sockets.

sub all_read {
    my $port = sprintf '%04X', port(8080);

    for (split /\n/, tcp()) {
        my (undef, $local, $remote, $state, $queues) = split;

        next if $state ne '01';
        return 0 if $local =~ /:$port\z/ && $queues !~ /:0+\z/;
        return 0 if $remote =~ /:$port\z/ && $queues !~ /\A0+:/;
    }

    return 1;
}

sub tcp {
    open my $fh, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
    local $/;
    return scalar <$fh>;
}

# Seconds of its processor time so far.

sub cpu {
    open my $fh, '<', "/proc/$worker/stat" or die "worker: $!\n";
    my @fields = split ' ', (<$fh> =~ s/.*\) //r);
    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Writes it again and again, and reads what comes, until all was written.

sub flood {
    my ($stream, $bytes, $n) = @_;

    my $socket = $stream->socket();
    my $block = $bytes x $n;
    my $done = 0;
    my $end = Test::Nginx::Cometa::Stream::deadline(20);

    while ($done < length $block && time() < $end) {
        my ($r, $w) = IO::Select->select(IO::Select->new($socket),
            IO::Select->new($socket), undef, 1);

        my $got = sysread $socket, my $in, 1048576 if $r && @$r;
        last if defined $got && $got == 0;

        my $put = syswrite $socket, $block, 65536, $done if $w && @$w;
        $done += $put if $put;
    }

    return $done == length $block;
}

###############################################################################

# A sanitizer adds to each allocation.

my $sanitized = $t->has_module('fsanitize') ? 3 : 1;

# The first ones take what every worker takes once. All stay to the end: what
# one has freed must not serve another.

my @held = map { $_->[2]->('warm') } @holds;
ok(wait_for(\&all_read), 'one of each');

for my $case (@holds) {
    my ($name, $stated, $make) = @$case;

    my $before = rss($worker);
    push @held, map { $make->($_) } 1 .. MANY;

    ok(wait_for(\&all_read, 10), "$name: all was read");

    my $each = (rss($worker) - $before) / MANY;

    diag(sprintf '%-50s %7.1f KB', $name, $each);
    cmp_ok($each, '<', $sanitized * (2 * $stated + 8), "$name: memory");
}

for my $case (@takes) {
    my ($name, $stated, $n, $bytes, $open) = @$case;

    my $stream = $open->();
    my $before = cpu();

    ok(flood($stream, $bytes, $n), "$name: all was written");
    is(reached($good, stream => $caller), 'yes', "$name: others are served");
    wait_for(\&all_read, 20) or die "it does not read\n";

    my $each = 1e6 * (cpu() - $before) / $n;

    diag(sprintf '%-50s %7.2f us', $name, $each);
    cmp_ok($each, '<', 10 * $stated + 2, "$name: processor time");
    $stream->close();
}

###############################################################################

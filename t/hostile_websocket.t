#!/usr/bin/perl

# Clients of WebSockets that ask for compression, send what only compression
# would allow, or send for ever what ends nothing.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Select;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

$SIG{PIPE} = 'IGNORE';

use constant { TEXT => 1, CONT => 0, PING => 9, COMPRESSED => 4 };
use constant { FRAMES => 300_000, GROWTH => 4096 };     # KB

my @offers = (
    'permessage-deflate',
    'permessage-deflate; client_max_window_bits; server_max_window_bits=15',
    'permessage-deflate; server_no_context_takeover, permessage-deflate',
    'x-webkit-deflate-frame', 'permessage-bzip2', 'mux; max-channels=4',
    'permessage-deflate; client_max_window_bits="15"', ';;,,=,"',
    join(', ', ('permessage-deflate; client_max_window_bits=8') x 100),
    [ ('permessage-deflate') x 20 ]
);

memory_counts();

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(5 * @offers + 10);

# a sanitizer keeps memory
my $growth = GROWTH * ($t->has_module('fsanitize') ? 4 : 1);

$t->write_file_expand('nginx.conf', websocket_conf(
    http => 'error_log %%TESTDIR%%/warn.log warn;'))->run();

my ($worker) = wait_serving($t, 1);
my $dev = device(device => 'dev1');
my $caller = caller_stream();

###############################################################################

# "a", and a megabyte of zeros, as permessage-deflate has them

my $one = "\x4a\x04\x00";
my $bomb = "\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a" . "\0" x 990;

for my $offer (@offers) {
    my $name = substr(ref $offer ? '20 lines' : $offer, 0, 40);
    my $ws = websocket(headers => { 'Sec-WebSocket-Extensions' => $offer });

    is($ws->{status}, 101, "$name: opens");
    is($ws->{headers}{'sec-websocket-extensions'}, undef, "$name: no answer");
    is(served($ws, $dev), 'yes', "$name: plain messages go");

    $ws->raw(frame(TEXT, $one, rsv => COMPRESSED));
    like($ws->rest(), qr/\Aclose 1002\b/, "$name: compressed ones do not");

    $ws = websocket(headers => { 'Sec-WebSocket-Extensions' => $offer });
    $ws->raw(frame(TEXT, $bomb, rsv => COMPRESSED));
    like($ws->rest(), qr/\Aclose 1002\b/, "$name: nothing is inflated");
}

ok($dev->quiet(), 'nothing of that has come to the device');

# Writes until all is written or the server closes; reads only if wanted.

sub flood {
    my ($ws, $bytes, $reads) = @_;

    my $socket = $ws->{stream}->socket();
    my $select = IO::Select->new($socket);
    my $end = Test::Nginx::Cometa::Stream::deadline(8);
    my ($done, $still) = (0, 0);

    while ($done < length $bytes && time() < $end) {

        if ($reads && $select->can_read(0)) {
            my $n = sysread $socket, my $in, 1048576;
            return 'closed' if defined $n && $n == 0;
        }

        my $n = syswrite $socket, $bytes, 65536, $done;

        if (defined $n) {
            $done += $n;
            $still = 0;
            next;
        }

        return 'closed' unless $!{EAGAIN};

        # a server that reads no more has filled all buffers between

        return 'held' if !$select->can_write(0.2) && ++$still > 10;
    }

    return 'written';
}

sub others {
    my ($name) = @_;
    return is(reached($dev, stream => $caller), 'yes', "$name: calls go");
}

# Pings whose pongs nobody reads: what may wait to be written is bounded.

{
    my $before = rss($worker);
    my $ws = websocket(rcvbuf => 2048);
    my $how = flood($ws, frame(PING, 'x' x 100, mask => "\0\0\0\0") x FRAMES);

    ok($how, "pings without a reader: $how");
    others('pings');
    cmp_ok(rss($worker) - $before, '<', $growth, 'pings: memory is bounded');
    $ws->reset();
}

# Fragments of nothing, and of one byte: a message that never ends.

{
    my $before = rss($worker);
    my $ws = websocket();

    is(flood($ws, frame(TEXT, '', fin => 0)
        . frame(CONT, '', fin => 0, mask => "\0\0\0\0") x FRAMES, 1),
        'written', 'empty fragments are read');
    others('empty fragments');
    cmp_ok(rss($worker) - $before, '<', $growth,
        'empty fragments: memory is bounded');

    $ws->raw(frame(CONT, ''));
    like($ws->heard(), qr/error empty_message/, 'together they are nothing');

    my $long = frame(TEXT, 'x', fin => 0)
        . frame(CONT, 'x', fin => 0, mask => "\0\0\0\0") x FRAMES;

    flood($ws, $long);
    like($ws->rest(), qr/\Aclose 1009\b/, 'fragments beyond the limit: closed');
    others('fragments');
}

###############################################################################

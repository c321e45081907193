#!/usr/bin/perl

# Replies on a WebSocket that come close together leave together.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Socket qw/ IPPROTO_TCP /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    TCP_INFO => 11,
    DATA_SEGS_IN => 152,    # its place in struct tcp_info
    CALLS => 64,
    WARM => 20,             # rounds, until so many packets may be on the way
    ROUNDS => 20
};

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(5);

$t->write_file_expand('nginx.conf', websocket_conf(workers => 1,
    websocket => 'cometa_queue 1000;'));
$t->run();

# Packets with data that have come on this connection: one for each write, as
# TCP_NODELAY is set and they are small.

sub packets {
    my ($ws) = @_;
    my $info = getsockopt($ws->socket(), IPPROTO_TCP, TCP_INFO);
    die "no TCP_INFO\n" if length $info < DATA_SEGS_IN + 4;
    return unpack 'x' . DATA_SEGS_IN . 'L', $info;
}

# So many calls at once, answered one after the other. Returns what was wrong
# with the replies, and how many packets brought them.

sub round {
    my ($ws, $d, $round) = @_;

    my $before = packets($ws);

    $ws->raw(map { ws_text("$round.$_") } 1 .. CALLS);
    $d->send_chunk('re ' . $d->read_chunk()) for 1 .. CALLS;

    my $wrong = grep { $ws->said() ne "text re $round.$_" } 1 .. CALLS;

    return ($wrong, packets($ws) - $before);
}

###############################################################################

my $d = device();
my $ws = websocket();

{
    my $before = packets($ws);
    $ws->text('one');
    $d->send_chunk('re ' . $d->read_chunk());
    $ws->said();
    is(packets($ws) - $before, 1, 'a reply is a packet');
}

# On a busy machine a device may take longer for a reply than others are
# waited for, so not each round has to be quick. In the first ones TCP itself
# puts together what must wait until earlier packets are acknowledged.

my ($wrong, $least) = (0, CALLS);

for my $n (1 .. WARM + ROUNDS) {
    my ($bad, $packets) = round($ws, $d, $n);
    $wrong += $bad;
    $least = $packets if $n > WARM && $packets < $least;
}

is($wrong, 0, 'many calls at once, each with its reply');
cmp_ok($least, '<=', CALLS / 2, 'many replies are one packet')
    or diag("$least packets");

# What is answered at once is written when all that has come is read

{
    my $before = packets($ws);
    $ws->raw(map { ws_text('') } 1 .. CALLS);
    is(scalar(grep { $ws->heard() ne 'error empty_message' } 1 .. CALLS), 0,
        'many errors');
    cmp_ok(packets($ws) - $before, '<=', 2, 'are one packet, or two');
}

###############################################################################

#!/usr/bin/perl

# The frames of RFC 6455, as a server must take and refuse them.  All cases
# are sent twice: in one packet, and byte by byte.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(255);

use constant { CONT => 0, TEXT => 1, BINARY => 2, CLOSE => 8, PING => 9,
    PONG => 10 };

# "dev1" answers what it is sent.

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 2, websocket => 'cometa_max_message_size 1000;'
));
$t->run();

answer($t, devices => [qw/ dev1 /]);

# What is heard when these bytes are sent, n frames of it.

sub both {
    my ($name, $bytes, $expected) = @_;

    my $n = () = $expected =~ /, /g;

    for my $how (qw/ raw raw_bytes /) {
        my $ws = websocket();
        $ws->$how($bytes);

        my $said = $ws->heard($n + 1, 3);
        $said .= $ws->alive() ? '' : ', dead' unless $said =~ /close \S+\z/;

        is($said, $expected, $how eq 'raw' ? $name : "$name, in bytes");
        $ws->close();
    }
}

# The server says why, nothing else, and closes; what follows is not heard.

sub fails {
    my ($name, $bytes, $code) = @_;

    $code ||= 1002;

    for my $how (qw/ raw raw_bytes /) {
        my $ws = websocket();
        $ws->$how($bytes);
        my $said = $ws->said(3);
        $ws->raw(ws_ping('too late'), ws_close($code));
        $said .= ', ' . $ws->rest(2);

        is($said, "close $code, eof", $how eq 'raw' ? $name
            : "$name, in bytes");
        $ws->close();
    }
}

###############################################################################

# Messages of any length (5.2)

both('text', ws_text('hello'), 'text hello');
both('binary', ws_binary("\x00\xff\x80"), "binary \x00\xff\x80");
both('one byte', ws_text('x'), 'text x');
both("$_ bytes", ws_binary('b' x $_), 'binary ' . 'b' x $_)
    for 125, 126, 127, 1000;
both('a mask of zeros', ws_text('hello', mask => "\0\0\0\0"), 'text hello');
both('a mask of ones', ws_text('hello', mask => "\xff" x 4), 'text hello');

# Lengths that are not in the shortest form (5.2)

fails("$_->[1] bytes as $_->[0] bits",
    frame(BINARY, 'x' x $_->[1], form => $_->[0]))
    for [ 16, 0 ], [ 16, 1 ], [ 16, 125 ], [ 64, 0 ], [ 64, 125 ],
        [ 64, 126 ], [ 64, 999 ];
fails('a length of 2^63', frame(BINARY, '', form => 64, length => 1 << 63));
fails('a length of 65535 as 64 bits',
    frame(BINARY, '', form => 64, length => 65535));

# Fragments (5.4)

both('two fragments', frame(TEXT, 'Hel', fin => 0) . frame(CONT, 'lo'),
    'text Hello');
both('many fragments', frame(BINARY, 'a', fin => 0)
    . join('', map { frame(CONT, $_, fin => 0) } 'b' .. 'y')
    . frame(CONT, 'z'), 'binary ' . join '', 'a' .. 'z');
both('empty fragments', frame(TEXT, '', fin => 0)
    . frame(CONT, '', fin => 0) . frame(CONT, 'x', fin => 0)
    . frame(CONT, '', fin => 0) . frame(CONT, ''), 'text x');
both('control frames between', frame(TEXT, 'a', fin => 0) . ws_ping('1')
    . frame(CONT, 'b', fin => 0) . ws_ping('2') . ws_pong('3')
    . frame(CONT, 'c'), 'pong 1, pong 2, text abc');
both('two messages in fragments', join('', map {
    frame(TEXT, $_, fin => 0) . frame(CONT, '!')
} 'one', 'two'), 'text one!, text two!');

fails('a continuation of nothing', frame(CONT, 'x'));
fails('and one that is not the last', frame(CONT, 'x', fin => 0));
fails('text within fragments', frame(TEXT, 'a', fin => 0) . ws_text('b'));
fails('binary within fragments',
    frame(TEXT, 'a', fin => 0) . ws_binary('b'));
fails('another fragmented one within',
    frame(TEXT, 'a', fin => 0) . frame(TEXT, 'b', fin => 0));

# Bits, opcodes and masks (5.1, 5.2)

for my $rsv (1, 2, 4, 7) {
    fails("reserved bits $rsv", frame(TEXT, 'x', rsv => $rsv));
    fails("reserved bits $rsv, ping", frame(PING, 'x', rsv => $rsv));
}
fails('reserved bits, continuation',
    frame(TEXT, 'a', fin => 0) . frame(CONT, 'b', rsv => 4));
fails('reserved bits, close', frame(CLOSE, "\x03\xe8", rsv => 1));

fails("opcode $_", frame($_, 'x')) for 3 .. 7, 11 .. 15;

fails('text without a mask', frame(TEXT, 'hello', mask => ''));
fails('binary without a mask', frame(BINARY, '', mask => ''));
fails('ping without a mask', frame(PING, '', mask => ''));
fails('close without a mask', frame(CLOSE, "\x03\xe8", mask => ''));

# Control frames (5.5)

both('ping', ws_ping('are you there'), 'pong are you there');
both('an empty ping', ws_ping(''), 'pong');
both('a ping of 125 bytes', ws_ping("\xfe" x 125), 'pong ' . "\xfe" x 125);
both('pings in order', join('', map { ws_ping($_) } 1 .. 5),
    'pong 1, pong 2, pong 3, pong 4, pong 5');
both('pong', ws_pong('unasked') . ws_ping('x'), 'pong x');
both('an empty pong', ws_pong('') . ws_ping('x'), 'pong x');

fails('a ping of 126 bytes', ws_ping('x' x 126));
fails('a pong of 126 bytes', ws_pong('x' x 126));
fails('a close of 126 bytes', frame(CLOSE, "\x03\xe8" . 'x' x 124));
fails('a ping of 65536 bytes, its head',
    frame(PING, '', form => 64, length => 65536));
fails('a ping in fragments', frame(PING, 'x', fin => 0));
fails('a pong in fragments', frame(PONG, 'x', fin => 0));
fails('a close in fragments', frame(CLOSE, "\x03\xe8", fin => 0));

# UTF-8 (8.1)

my $kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
my $smile = "\xf0\x9f\x98\x80";

both('UTF-8', ws_text($kosme . $smile), "text $kosme$smile");
both('UTF-8, a byte a fragment', join('', frame(TEXT, '', fin => 0),
    map({ frame(CONT, $_, fin => 0) } split //, $kosme . $smile),
    frame(CONT, '')), "text $kosme$smile");
both('UTF-8, a ping within a character', frame(TEXT, "\xf0\x9f", fin => 0)
    . ws_ping("\xff") . frame(CONT, "\x98\x80"), "pong \xff, text $smile");
both('UTF-8, the outermost', ws_text("\0\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"
    . "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
    "text \0\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"
    . "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
both('binary is no UTF-8', ws_binary("\xff\xfe\xc0"), "binary \xff\xfe\xc0");

fails(sprintf('not UTF-8: %s', unpack 'H*', $_), ws_text("ok $_ ok"), 1007)
    for "\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xc2 ", "\xe0\x9f\xbf",
        "\xe1\x80 ", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff";
fails('cut at the end', ws_text("ok \xf0\x9f\x98"), 1007);
fails('cut at the end of fragments',
    frame(TEXT, "ok \xf0", fin => 0) . frame(CONT, "\x9f"), 1007);
fails('cut before an empty end',
    frame(TEXT, "\xce", fin => 0) . frame(CONT, ''), 1007);
fails('wrong across fragments',
    frame(TEXT, "\xed", fin => 0) . frame(CONT, "\xa0", fin => 0), 1007);
fails('early: in a fragment that is not the last',
    frame(TEXT, "\xff", fin => 0), 1007);
fails('early: in a frame that is not complete',
    substr(frame(TEXT, "ab\xc0" . 'x' x 500, mask => 'mask'), 0, 11), 1007);

# Close (5.5.1, 7.4)

for my $code (1000 .. 1003, 1007 .. 1014, 3000, 3999, 4000, 4999) {
    my $ws = websocket();
    is($ws->goodbye($code), "close $code, eof", "close $code");
}

for my $reason ('bye', $smile, 'x' x 123) {
    my $ws = websocket();
    $ws->raw(ws_close(1000, $reason));
    like($ws->rest(), qr/\Aclose 1000\b.*, eof\z/,
        'a close with a reason of ' . length $reason);
}

{
    my $ws = websocket();
    $ws->raw(ws_close());
    like($ws->rest(), qr/\Aclose (?:1000|without code), eof\z/,
        'a close without a code');

    $ws = websocket();
    $ws->raw_bytes(ws_close(1001, 'away'));
    like($ws->rest(), qr/\Aclose 1001\b.*, eof\z/, 'a close byte by byte');
}

fails("close $_", ws_close($_)) for 0, 999, 1004 .. 1006, 1015, 1016, 1100,
    2000, 2999, 5000, 65535;
fails('a close of one byte', frame(CLOSE, "\x03"));
fails('a reason that is not UTF-8', ws_close(1000, "\xff"), 1007);
fails('a reason that is cut', ws_close(1000, "\xe2\x82"), 1007);

{
    my $ws = websocket();
    $ws->raw(frame(TEXT, 'begun', fin => 0), ws_close(1000));
    is($ws->rest(), 'close 1000, eof', 'a close within fragments');

    # nothing counts behind a close
    my $d = device(device => 'deaf');
    $ws = websocket(device => 'deaf');
    $ws->raw(ws_close(1000), ws_text('never'), ws_ping('x'));
    is($ws->rest(), 'close 1000, eof', 'frames behind a close');
    ok($d->quiet(), 'are not heard');

    $ws = websocket(device => 'deaf');
    $ws->raw(frame(CONT, 'x'), ws_text('never'), ws_ping('x'));
    is($ws->said(), 'close 1002', 'frames behind a bad one');
    $ws->raw(ws_text('nor this'));
    ok($d->quiet(), 'are not heard');

    # what was right before is done
    $ws = websocket();
    $ws->raw(ws_ping('good'), frame(3, 'bad'));
    is($ws->heard(2), 'pong good, close 1002', 'a frame before a bad one');
    $d->close();
}

# Messages above the limit (7.4.1)

fails('1001 bytes', ws_binary('x' x 1001), 1009);
fails('its head is enough', frame(TEXT, '', length => 1001), 1009);
fails('a length of 2^62', frame(BINARY, '', length => 1 << 62), 1009);
fails('in two fragments', frame(BINARY, 'x' x 500, fin => 0)
    . frame(CONT, 'x' x 501), 1009);
fails('in many', frame(BINARY, 'x' x 999, fin => 0)
    . join('', map { frame(CONT, 'y', fin => 0) } 1, 2), 1009);
both('at the limit, in fragments', frame(BINARY, 'x' x 999, fin => 0)
    . frame(CONT, '', fin => 0) . ws_ping('p') . frame(CONT, 'y'),
    'pong p, binary ' . 'x' x 999 . 'y');

# All 65536 bytes, in each form of the length

$t->stop_daemons();
$t->stop();
$t->write_file_expand('nginx.conf', websocket_conf(workers => 1));
$t->run();
answer($t);

{
    my $ws = websocket();

    for my $n (65535, 65536) {
        my $text = join '', map { chr(32 + rand 90) } 1 .. $n;
        $ws->text($text);
        ok($ws->said() eq "text $text", "$n bytes");
    }

    $ws->raw(ws_binary('x' x 65537));
    is($ws->rest(3), 'close 1009, eof', '65537 bytes');
}

# Many frames in one read, cut anywhere

{
    my $d = device(device => 'many');
    my $ws = websocket(device => 'many');
    my @texts = map { "message $_ " . 'x' x ($_ * 37 % 300) } 1 .. 400;

    my $wrong = 0;

    while (my @some = splice @texts, 0, 10) {
        my $batch = join '', map {
            frame(TEXT, substr($_, 0, 5), fin => 0) . ws_ping('between')
                . frame(CONT, substr $_, 5)
        } @some;
        my $cut = int rand length $batch;

        $ws->raw(substr $batch, 0, $cut);
        sleep(0.002);
        $ws->raw(substr $batch, $cut);

        $d->echo() for @some;

        my %heard;
        $heard{$ws->said(3)}++ for 1 .. 2 * @some;
        $wrong++ if ($heard{'pong between'} || 0) != @some
            || grep { !$heard{"text $_"} } @some;
    }

    is($wrong, 0, '400 messages and 400 pings, cut anywhere');
    is($ws->goodbye(), 'close 1000, eof', 'and the end');
}

is(figures('app1')->{websockets}, 0, 'no websocket is left');

###############################################################################

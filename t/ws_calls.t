#!/usr/bin/perl

# Calls over WebSockets: their order, their kinds, and how they fail.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ device_on stream_on wait_serving stand_still /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(75);

sub start {
    my (%o) = @_;
    $t->write_file_expand('nginx.conf', websocket_conf(%o));
    $t->run();
}

# The next n calls that reach the device, each answered by "re: " and itself.

sub answers {
    my ($d, $n) = @_;

    my @got;

    for (1 .. $n) {
        my $got = $d->read_chunk(3);
        last unless defined $got;
        push @got, $got;
        $d->send_chunk("re: $got");
    }

    return "@got";
}

sub numbered {
    my (@n) = @_;
    return join ', ', map { "text re: $_" } @n;
}

###############################################################################

start(workers => 4, websocket => 'cometa_queue 1000;');

my $d = device();

# Kinds

my $ws = websocket();

$ws->text('question');
is(answers($d, 1), 'question', 'a call');
is($ws->said(), 'text re: question', 'its reply');
ok($ws->quiet(), 'and nothing else');

$ws->binary("\0\xff");
is($d->read_chunk(), "\0\xff", 'a binary call');
$d->send_chunk('plain');
is($ws->said(), 'binary plain', 'gets a binary reply');

$ws->text('text');
$d->read_chunk();
$d->send_chunk("\xff\0");
is($ws->said(), "binary \xff\0", 'a reply that is no text');

$ws->text('text');
$d->read_chunk();
$d->send_chunk("\xce\xba");
is($ws->said(), "text \xce\xba", 'a reply in UTF-8');

$ws->text('text');
$d->read_chunk();
$d->send_chunk("\xce");
is($ws->said(), "binary \xce", 'a reply that is cut in a character');

$ws->text('text');
$d->read_chunk();
$d->send_chunk('');
is($ws->said(), 'text', 'an empty reply');

$ws->binary('binary');
$d->read_chunk();
$d->send_chunk('');
is($ws->said(), 'binary', 'an empty reply to a binary call');

$ws->text('r' x 65536);
is($d->read_chunk(), 'r' x 65536, 'the longest call');
$d->send_chunk('s' x 65536);
ok($ws->said() eq 'text ' . 's' x 65536, 'the longest reply');

# Replies that look like one of ours

$ws->text('x');
$d->read_chunk();
$d->send_chunk('{"msg":"200 OK"}');
is($ws->said(), 'text {"msg":"200 OK"}', 'a reply as it is');

# Empty messages

$ws->text('');
is($ws->said(), 'text {"msg":"400 Bad Request","error":"empty_message"}',
    'an empty call');
$ws->binary('');
is($ws->said(), 'text {"msg":"400 Bad Request","error":"empty_message"}',
    'an empty binary call, too, in text');
$ws->raw(frame(1, '', fin => 0), frame(0, ''));
is($ws->heard(), 'error empty_message', 'an empty one of fragments');
ok($d->quiet(0.1), 'the device hears nothing of them');

# Many on one socket

$ws->raw(map { ws_text($_) } 1 .. 500);
is(answers($d, 500), join(' ', 1 .. 500), '500 calls at once, in order');
is($ws->heard(500), numbered(1 .. 500), 'their replies, in order');

$ws->raw(ws_text('a'), ws_text(''), ws_text('b'), ws_binary(''),
    ws_text('c'));
is(answers($d, 3), 'a b c', 'calls and empty ones');
is($ws->heard(5), 'text re: a, error empty_message, text re: b, '
    . 'error empty_message, text re: c', 'and what comes, in order');

# A reply does not wait for the next one

$ws->raw(ws_text('first'), ws_text('second'));
answers($d, 1);
is($ws->said(1), 'text re: first', 'a reply while another call is out');
answers($d, 1);
is($ws->said(1), 'text re: second', 'and that one');

# A ping is not behind the calls

$ws->text('slow');
$d->read_chunk();
ok($ws->alive(), 'a ping while a call is out');
$d->send_chunk('at last');
is($ws->said(), 'text at last', 'which gets its reply');

# A reply comes to the socket that called, and to no other

my $other = websocket();

$ws->text('mine');
answers($d, 1);
is($ws->said(), 'text re: mine', 'two sockets: the one that called');
ok($other->quiet(0.2), 'two sockets: the other');

# Closed while replies are outstanding

$ws->raw(ws_text('left 1'), ws_text('left 2'), ws_close(1000));
is($ws->rest(1), 'close 1000, eof', 'a close does not wait for replies');
is($d->read_chunk(), 'left 1', 'the written call');
$d->send_chunk('for nobody');
$other->text('next');
my $after = $d->read_chunk();
is($after, 'next', 'a waiting one is withdrawn');
$d->send_chunk('for the next');
is($other->said(), 'text for the next', 'and replies are not mixed up');

$ws = websocket();
$ws->raw(map { ws_text("gone $_") } 1 .. 50);
$d->read_chunk();
wait_for(sub { figures('app1')->{queued} > 0 });
$ws->reset();
figure_is('app1', 'queued', 0);
$d->send_chunk('for nobody');
$other->text('after it');
is($d->read_chunk(), 'after it', 'a socket that is reset: the next call');
$d->send_chunk('yes');
is($other->said(), 'text yes', 'and its reply');
is(figures('app1')->{queued}, 0, 'nothing is left waiting');
$other->close();

# On different workers, HTTP beside them: arrival order

{
    my @callers = map {
        ({ pid => $_, ws => websocket_on($_) }, { http => stream_on($_) })
    } wait_serving($t, 4);
    my (@expected, @calls, @got);

    for my $round (1 .. 10) {
        for my $c (@callers) {
            my $n = push @expected, scalar @expected;

            if ($c->{ws}) {
                $c->{ws}->text($n - 1);
                push @{$c->{mine}}, $n - 1;

            } elsif ($round == 1) {
                $c->{call} = call_start('app1', 'dev1', $n - 1,
                    stream => $c->{http});
                $c->{mine} = $n - 1;

            } else {
                pop @expected;
                next;
            }

            # so that what was sent first has arrived first
            wait_for(sub { figures('app1')->{queued} >= $n - 1 });
        }
    }

    is(answers($d, scalar @expected), "@expected",
        'on 4 workers: arrival order');
    is(join('; ', map { $_->{ws}->heard(10) } grep { $_->{ws} } @callers),
        join('; ', map { numbered(@{$_->{mine}}) } grep { $_->{ws} } @callers),
        'each socket has its own replies, in order');
    is(join(' ', map { call_end($_->{call})->{body} }
            grep { $_->{call} } @callers),
        join(' ', map { "re: $_->{mine}" } grep { $_->{call} } @callers),
        'and each HTTP caller');

    # all at once, without waiting
    for my $round (1 .. 20) {
        $_->{ws}->raw(map { ws_text("$round.$_") } 1 .. 5)
            for grep { $_->{ws} } @callers;
        answers($d, 20);
    }

    my $wrong = grep {
        $_->{ws}->heard(100) ne numbered(map {
            my $round = $_;
            map { "$round.$_" } 1 .. 5
        } 1 .. 20)
    } grep { $_->{ws} } @callers;

    is($wrong, 0, '4 workers at once: 400 replies, in order');
    $_->{ws}->goodbye() for grep { $_->{ws} } @callers;
}

# A device that attaches again, on each worker

$ws = websocket();
my @wrong;

for my $pid ((wait_serving($t, 4)) x 2) {
    $d->close();
    wait_for(sub { call('app1', 'dev1', 'x')->{status} == 404 });

    $ws->text('while it is away');
    my $away = $ws->heard();
    push @wrong, $away if $away ne 'error device_offline';

    $d = device_on($pid);
    $ws->text("to $pid");
    answers($d, 1);
    my $back = $ws->said(2);
    push @wrong, $back if $back ne "text re: to $pid";
}

is("@wrong", '', 'the socket outlives attaches');

# Taken over

$ws->raw(ws_text('written'), ws_text('waits 1'), ws_text('waits 2'));
is($d->read_chunk(), 'written', 'a call is written, two wait');
my $new = device();
is(answers($new, 2), 'waits 1 waits 2', 'those move to the next attach');
is($ws->heard(3), 'error device_taken_over, text re: waits 1, '
    . 'text re: waits 2', 'the first fails, in order');
$d->close();
$d = $new;

# It goes away

$ws->raw(ws_text('written'), ws_text('waits'));
$d->read_chunk();
$d->close();
is($ws->heard(2), 'error device_disconnected, error device_offline',
    'a device that goes');
$ws->text('anyone');
is($ws->said(), 'text {"msg":"404 Not Found","error":"device_offline"}',
    'offline');
is($ws->goodbye(), 'close 1000, eof', 'the end');

$t->stop();

###############################################################################

# Deadlines, and the queue

start(workers => 2, websocket => 'cometa_send_timeout 3s; cometa_queue 3;');

$d = device();
$ws = websocket();

my $begin = time();
my $watch = stopwatch();
$ws->text('never answered');
is($d->read_chunk(), 'never answered', 'a call');
is($ws->said(3), 'text {"msg":"504 Gateway Timeout","error":"device_timeout"}',
    'its deadline');
ok(time() - $begin > 2.9 && $watch->took() < 4.9, 'in time');

$d->send_chunk('late');
ok($ws->quiet(), 'a late reply is dropped');
is(figures('app1')->{late}, 1, 'and counted');
$ws->text('next');
is(answers($d, 1), 'next', 'the next call');
is($ws->said(), 'text re: next', 'has its own reply');

# One fails, the replies behind it are kept in order

$ws->raw(ws_text('slow'), ws_text('quick'));
$d->read_chunk();
sleep(1.5);
$ws->text('behind');
is($ws->heard(2, 3), 'error device_timeout, error device_timeout',
    'two at their deadline');
$d->send_chunk('late');
is(answers($d, 1), 'behind', 'the third is written');
is($ws->said(), 'text re: behind', 'and answered');

# Unresponsive

$ws->text('unanswered');
$d->read_chunk();
is($ws->heard(1, 3), 'error device_timeout', 'a device that is silent');
is($d->closed(3), 'last', 'is closed');
$d = device();
$ws->text('back');
is(answers($d, 1), 'back', 'the socket lives, the device is back');
is($ws->said(), 'text re: back', 'and answers');

# One written, three wait, the others are refused, all in order

$ws->raw(map { ws_text($_) } 1 .. 7);
wait_for(sub { figures('app1')->{queued} >= 3 });
sleep(0.2);
is(answers($d, 4), '1 2 3 4', 'a full queue: what it holds');
is($ws->heard(7), numbered(1 .. 4) . ', error device_busy' x 3,
    'a full queue: the others are refused in their turn');

$ws->raw(ws_text(1), ws_text(''));
ok($ws->quiet(0.2), 'an error waits for its turn');
answers($d, 1);
is($ws->heard(2), 'text re: 1, error empty_message', 'which comes');

# More than a socket may have outstanding

$t->stop();
start(workers => 1, websocket => 'cometa_queue 10000;');
$d = device();
$ws = websocket();
$ws->raw(map { ws_text($_) } 1 .. 1100);
wait_for(sub { figures('app1')->{queued} >= 1000 });
answers($d, 1024);
is($ws->heard(1100), numbered(1 .. 1024) . ', error overloaded' x 76,
    'a socket has 1024 calls outstanding at most');
$ws->text('then');
answers($d, 1);
is($ws->said(), 'text re: then', 'and goes on');
is($ws->goodbye(), 'close 1000, eof', 'to the end');
is(figures('app1')->{websockets}, 0, 'no websocket is left');

# Who goes on all the same is cut off: what waits for its turn has an end

$ws = websocket();
$ws->raw(map { ws_text($_) } 1 .. 2048);
ok($ws->quiet(), '2048 calls: they wait');
$ws->raw(ws_text('more'), map { ws_text('x' x 1000) } 1 .. 100);
is($ws->said(3), 'close 1013', 'one more: closed');
is($ws->rest(), 'eof', 'in order');
$d->send_chunk('nobody waits') if defined $d->read_chunk();
ok(figure_is('app1', 'calls', 0), 'no call is left');

# Errors that wait for the first one's reply are told in their places

$t->stop();
start(workers => 1, websocket => 'cometa_queue 1;');
$d = device();
$ws = websocket();
$ws->raw(map { ws_text($_) } 1 .. 50);
$d->read_chunk();
$d->send_chunk('re: 1');
answers($d, 1);
is($ws->heard(50), numbered(1, 2) . ', error device_busy' x 48,
    'errors in their places');

# Thousands of errors at once are more than may wait for who does not read

$d->close();
ok(figure_is('app1', 'num_devices', 0), 'the device leaves');

stand_still($ws->{headers}{pid});
$ws->raw(join '', map { ws_text($_) } 1 .. 15000);
kill 'CONT', $ws->{headers}{pid};

is($ws->heard(15000), join(', ', ('error device_offline') x 15000),
    'thousands of errors for who reads');
is(figures('app1')->{websockets_slow}, 0, 'which is not slow');
$ws->goodbye();

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

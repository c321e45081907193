#!/usr/bin/perl

# Connections over TLS end while their output waits: nothing of them is used
# afterwards, and no peer can write [crit] lines at will.

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
use Test::Nginx::Cometa::Workers qw/ serving wait_serving /;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# closing TLS writes, and the peer may be gone
$SIG{PIPE} = 'IGNORE';

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

use constant CRLF => "\x0d\x0a";
use constant TCP_CORK => 3;     # of Linux
use constant LARGE => 60000;
use constant HUGE => 250000;
use constant EVENTS => 6;
use constant RCVBUF => 16384;

my @versions = qw/ TLSv1_2 TLSv1_3 /;

# How a peer ends: name, how, and what that is to the server.

my @ends = (
    [ 'EOF', sub { $_[0]->close() } ],
    [ 'FIN', sub { $_[0]->shutdown_write() } ],
    [ 'RST', sub { $_[0]->reset() } ],
    [ 'junk', sub { $_[0]->write_plain('junk' x 100) } ],
    [ 'junk that is like a record',
        sub { $_[0]->write_plain("\x17\x03\x03\x00\x40" . 'j' x 64) } ],
    [ 'junk that is like an alert',
        sub { $_[0]->write_plain("\x15\x03\x03\x00\x02\x02\x28") } ],
    [ 'junk that is like a handshake',
        sub { $_[0]->write_plain("\x16\x03\x01\x00\x04\x01\x00\x00\x00") } ],
);

my @socket_ends = (
    @ends,
    [ 'a malformed frame', sub { $_[0]->write("\xff\xff\xff\xff") } ],
    [ 'a close frame', sub { $_[0]->write(ws_close(1000)) } ],
    [ 'a close frame and EOF', sub {
        $_[0]->write(ws_close(1000));
        $_[0]->close();
    } ],
    [ 'a close frame and RST', sub {
        $_[0]->write(ws_close(1000));
        $_[0]->reset();
    } ],
    [ 'a close frame and junk', sub {
        and_junk($_[0], ws_close(1000))
    } ],
    [ 'a call and junk', sub {
        and_junk($_[0], ws_text('x') x 10)
    } ],
);

my @device_ends = (
    @ends,
    [ 'a malformed chunk', sub { $_[0]->write('zz' . CRLF) } ],
    [ 'a last chunk', sub { $_[0]->write('0' . CRLF . CRLF) } ],
    [ 'a last chunk and EOF', sub {
        $_[0]->write('0' . CRLF . CRLF);
        $_[0]->close();
    } ],
    [ 'a last chunk and RST', sub {
        $_[0]->write('0' . CRLF . CRLF);
        $_[0]->reset();
    } ],
    [ 'a last chunk and junk', sub {
        and_junk($_[0], '0' . CRLF . CRLF)
    } ],
    [ 'a reply and junk', sub {
        and_junk($_[0], '2' . CRLF . 'ok' . CRLF)
    } ],
);

# A record and what is none, in one packet.

sub and_junk {
    my ($stream, $data) = @_;

    setsockopt($stream->socket(), IPPROTO_TCP, TCP_CORK, 1);
    $stream->write($data);
    $stream->write_plain('junk' x 100);
    setsockopt($stream->socket(), IPPROTO_TCP, TCP_CORK, 0);
}

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')
    ->plan(@versions * (4 * @socket_ends + 4 * @device_ends + 12) + 3);

certificate($t, 'localhost');

# What the socket does not take waits in the worker.

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 1, ssl => 1, attach => 'cometa_heartbeat 60s;',
    send => 'cometa_max_message_size 256k;',
    http => 'ssl_protocols TLSv1.2 TLSv1.3;'
) =~ s/8443 ssl/8443 ssl sndbuf=16k/r)->run();

my ($pid) = wait_serving($t, 1);

###############################################################################

my $n = 0;

sub gone {
    my ($name) = @_;
    return wait_for(sub { figures('app1')->{$name} == 0 }, 8);
}

# The signs of what must not be, since the last look. What SSL_read() says of a
# forged record is nginx's own: of any connection over TLS, and by its version.

sub wrong {
    my ($t, $seen) = @_;
    my @lines = split /\n/, $t->read_file('error.log');
    my @wrong = grep { /\[(?:crit|alert|emerg)\]|bad write retry/ }
        grep { !/SSL_read\(\) failed/ } @lines[$$seen .. $#lines];

    $$seen = @lines;

    return join "\n", @wrong;
}

sub fresh_socket {
    my ($device, %o) = @_;

    my $ws = websocket(device => $device, ssl => 1,
        key => websocket_key('app1', $device), %o);
    die "websocket: $ws->{status}\n" if $ws->{status} != 101;

    return $ws;
}

# A socket that has not read what its device said, and one that has.

sub socket_ends {
    my ($t, $seen, $version, $name, $end) = @_;

    my $id = 's' . ++$n;
    my $d = device(device => $id);

    for my $pending (1, 0) {
        my $in = "$version, a socket, $name, output waits: $pending";
        my $ws = fresh_socket($id, tls => $version,
            $pending ? (rcvbuf => RCVBUF) : ());

        $d->event('e' x LARGE) for 1 .. $pending * EVENTS;
        ok(wait_for(sub { figures('app1')->{events} >= $pending * EVENTS }),
            $in);
        sleep(0.05) if $pending;

        $end->($ws->{stream});

        # reads on, as long as it can
        $ws->{stream}->take_rest(3) unless $ws->{stream}->eof();
        gone('websockets') or diag("$in: stays");

        is(wrong($t, $seen), '', "$in: nothing wrong");
    }

    $d->close();
    gone('num_devices');
}

sub device_ends {
    my ($t, $seen, $version, $name, $end) = @_;

    for my $pending (1, 0) {
        my $in = "$version, a device, $name, output waits: $pending";
        my $d = device(device => 'd' . ++$n, form => 'B', ssl => 1,
            tls => $version, $pending ? (rcvbuf => RCVBUF / 4) : ());
        my $call = call_start('app1', "d$n", 'c' x ($pending ? HUGE : 1));

        ok(wait_for(sub { figures('app1')->{calls} == 1 }), $in);
        sleep(0.05);

        $end->($d->{stream});

        $d->{stream}->take_rest(3) unless $d->{stream}->eof();
        gone('num_devices') or diag("$in: stays");
        call_end($call);

        is(wrong($t, $seen), '', "$in: nothing wrong");
    }
}

###############################################################################

my $seen = 0;

wrong($t, \$seen);

for my $version (@versions) {
    socket_ends($t, \$seen, $version, @$_) for @socket_ends;
    device_ends($t, \$seen, $version, @$_) for @device_ends;
}

# Who is sent away by the server while it does not read

for my $version (@versions) {
    my $d = device(device => 'busy', ssl => 1, tls => $version,
        rcvbuf => RCVBUF / 4);
    my $call = call_start('app1', 'busy', 'c' x HUGE);
    sleep(0.05);
    my $next = device(device => 'busy');

    is(outcome(call_end($call)), '502 device_taken_over',
        "$version: a takeover while output waits");
    ok(defined $d->closed(), "$version: it is closed");
    is(wrong($t, \$seen), '', "$version: nothing wrong");

    my $ws = fresh_socket('busy', tls => $version, rcvbuf => RCVBUF);
    $next->event('e' x LARGE) for 1 .. 20;
    ok(wait_for(sub { log_count($t, 'its client does not read') }),
        "$version: a socket that does not read is closed");
    $ws->{stream}->take_rest(8);
    ok(gone('websockets'), "$version: and gone");
    is(wrong($t, \$seen), '', "$version: nothing wrong");
    $next->close();
    gone('num_devices');
}

# An orderly end is one of TLS as well, and loses nothing

for my $version (@versions) {
    my $d = device(device => 'good');
    my $ws = fresh_socket('good', tls => $version, rcvbuf => RCVBUF);

    $d->event($_ x LARGE) for 1 .. EVENTS;
    sleep(0.1);
    $ws->raw(ws_close(1000));

    is(join(' ', map { substr $ws->said(), 0, 8 } 1 .. EVENTS),
        join(' ', map { "text $_$_$_" } 1 .. EVENTS),
        "$version: what was said before the close frame arrives");
    is($ws->rest(), 'close 1000, eof', "$version: and the answer to it");
    ok($ws->{stream}->said_goodbye(), "$version: a socket: close_notify");

    $d->close();
    gone('num_devices');

    $d = device(device => 'good', ssl => 1, tls => $version);
    my $next = device(device => 'good');
    is($d->closed(), 'last', "$version: a device gets a last chunk");
    ok($d->{stream}->said_goodbye(), "$version: a device: close_notify");
    is(wrong($t, \$seen), '', "$version: nothing wrong");

    $next->close();
    gone('num_devices');
}

is(join(' ', serving($t)), $pid, 'the worker has lived through all of it');

my $d = device(device => 'last');
my $ws = websocket(device => 'last');
is($ws->served($d), 'yes', 'and serves');
is(figures('app1')->{websockets}, 1, 'all is counted');

###############################################################################

package Test::Nginx::Cometa::WebSocket;

# A WebSocket client that can send any bytes: its frames are made field by
# field, and it answers nothing by itself.  The frames of the server are checked
# strictly: see take().

use warnings;
use strict;

use base qw/ Exporter /;

use Digest::SHA qw/ sha1_base64 /;
use JSON::PP qw//;
use MIME::Base64 qw/ encode_base64 /;
use Socket qw/ SOL_SOCKET SO_RCVBUF /;
use Test::Nginx::Cometa::Caller;
use Test::Nginx::Cometa::Stream;
use Test::Nginx::Cometa::Workers qw/ worker_conf stream_on /;
use Time::HiRes qw/ time /;

our @EXPORT = qw/
    websocket_conf websocket websocket_on websocket_key key_answer accept_of
    frame ws_text ws_binary ws_close ws_ping ws_pong served
    websocket_json channel channel_key
/;

use constant CRLF => "\x0d\x0a";
use constant GUID => '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
use constant {
    CONTINUATION => 0, TEXT => 1, BINARY => 2, CLOSE => 8, PING => 9, PONG => 10
};

my %names = (
    TEXT, 'text', BINARY, 'binary', CLOSE, 'close', PING, 'ping', PONG, 'pong'
);


# worker_conf() with the locations of WebSockets and channels.  More options than
# there:
#
#   websocket       text for all of them
#   move            whether sockets move to the worker of their device (off)
#
# None is pinged unless it is told: a test may take its time.

sub websocket_conf {
    my (%o) = @_;

    my $move = delete $o{move} || 'off';
    my $text = 'add_header Pid $pid always;'
        . "cometa_websocket_move $move;"
        . (defined $o{websocket} ? delete $o{websocket} : '');
    my $device = '(?<device>[^/]+)';

    $o{server} = (defined $o{server} ? $o{server} : '')
        . " location ~ ^/v1/applications/(?<app>[^/]+)/devices/$device"
        . "/websocket\$ { cometa_websocket; $text }\n"
        . " location ~ ^/v1/websockets/$device/(?<key>[^/]+)\$"
        . " { cometa_websocket; $text }\n"
        . ' location ~ ^/v1/applications/(?<app>[^/]+)/channel$'
        . " { cometa_channel; $text }\n"
        . ' location ~ ^/v1/channels/(?<key>[^/]+)$'
        . " { cometa_channel; $text }\n";

    $o{http} = 'cometa_websocket_timeout 1h;'
        . (defined $o{http} ? $o{http} : '');

    return worker_conf(%o);
}


# Keys

sub key_answer {
    my ($app, $device, %o) = @_;

    return call($app, $device, undef, method => 'GET',
        uri => "/v1/applications/$app/devices/$device/websocket", %o);
}

sub websocket_key {
    my $r = key_answer(@_);
    return $r->{json}{device_key} || die "no key: $r->{status} $r->{body}\n";
}

sub accept_of {
    my ($nonce) = @_;
    return sha1_base64($nonce . GUID) . '=';
}


# Opens a WebSocket.  The object then holds what response() returns: status,
# head, headers, and body and json of a refusal.  Options:
#
#   app, device     ids (app1, dev1)
#   key             (a new one)
#   nonce           Sec-WebSocket-Key
#   headers         { name => value or list of values }; undef: without it
#   with            bytes sent in one packet with the handshake
#   bytewise        all that in packets of one byte
#   method, uri, version, stream, port, ssl, rcvbuf, timeout

sub websocket {
    my (%o) = @_;

    $o{app} ||= 'app1';
    $o{device} ||= 'dev1';
    $o{nonce} = encode_base64(pack('N4', map { rand(2 ** 32) } 1 .. 4), '')
        unless defined $o{nonce};
    $o{key} = websocket_key($o{app}, $o{device},
        map { $_ => $o{$_} } grep { exists $o{$_} } qw/ ssl port /)
        unless defined $o{key} || defined $o{uri};

    my $stream = $o{stream} || caller_stream(%o);
    setsockopt($stream->socket(), SOL_SOCKET, SO_RCVBUF, $o{rcvbuf})
        if $o{rcvbuf};

    my $request = handshake(%o) . (defined $o{with} ? $o{with} : '');

    $o{bytewise} ? $stream->write_bytes($request) : $stream->write($request);

    return bless {
        %o, stream => $stream, %{answer_to($stream, %o)}
    }, __PACKAGE__;
}

# An answer 101 has no body, and after it there is no HTTP on the connection.

sub answer_to {
    my ($stream, %o) = @_;

    return response($stream, %o) unless switches($stream, $o{timeout});

    my $head = $stream->take_until(CRLF . CRLF);

    return {
        status => 101, head => $head, body => '', json => {},
        headers => Test::Nginx::Cometa::Caller::headers($head)
    };
}

sub switches {
    my ($stream, $timeout) = @_;

    my $end = Test::Nginx::Cometa::Stream::deadline($timeout);

    while (index($stream->{in}, CRLF . CRLF) < 0) {
        $stream->fill($end) or return 0;
    }

    return $stream->{in} =~ m!\AHTTP/1\.1 101 !;
}

sub handshake {
    my (%o) = @_;

    my %headers = (
        Host => 'localhost',
        Upgrade => 'websocket',
        Connection => 'Upgrade',
        'Sec-WebSocket-Key' => $o{nonce},
        'Sec-WebSocket-Version' => 13,
        %{$o{headers} || {}}
    );

    my $uri = $o{uri} || "/v1/websockets/$o{device}/$o{key}";
    my @lines = map {
        my ($name, $value) = ($_, $headers{$_});
        map { "$name: $_" } ref $value ? @$value : $value
    } grep { defined $headers{$_} } sort keys %headers;

    return join CRLF,
        ($o{method} || 'GET') . " $uri HTTP/" . ($o{version} || '1.1'),
        @lines, '', '';
}

# A WebSocket that the worker with this pid serves.

sub websocket_on {
    my ($pid, %o) = @_;

    my $stream = stream_on($pid,
        map { $_ => $o{$_} } grep { exists $o{$_} } qw/ ssl port /);
    my $ws = websocket(%o, stream => $stream);

    die "websocket: $ws->{status}\n" if $ws->{status} != 101;

    return $ws;
}


# One that speaks JSON.

use constant JSON_V1 => 'cometa.json.v1';

sub websocket_json {
    my (%o) = @_;

    return websocket(%o, headers => {
        'Sec-WebSocket-Protocol' => JSON_V1, %{$o{headers} || {}}
    });
}

# The channel of an application; more options than websocket() has:
#
#   args            "events=data&prefix=lamp-"

sub channel_key {
    my ($app, %o) = @_;

    my $r = call($app, undef, undef, method => 'GET',
        uri => "/v1/applications/$app/channel", %o);

    return $r->{json}{channel_key} || die "no key: $r->{status} $r->{body}\n";
}

sub channel {
    my (%o) = @_;

    my $key = $o{key} || channel_key($o{app} || 'app1',
        map { $_ => $o{$_} } grep { exists $o{$_} } qw/ ssl port /);

    return websocket_json(%o,
        uri => "/v1/channels/$key" . ($o{args} ? "?$o{args}" : ''));
}

# A call, as an object.

sub ask {
    my ($self, %o) = @_;
    return $self->text(JSON::PP->new()->canonical()->encode(\%o));
}

# The next message, as an object; what is no JSON as { other => "close 1000" }.

sub json {
    my ($self, $timeout) = @_;

    my $said = $self->said($timeout);
    my ($text) = $said =~ /\Atext (.*)\z/s;

    return defined $text ? JSON::PP->new()->utf8()->decode($text)
        : { other => $said };
}

# The same in a few words, without what differs from run to run: members of this
# name in the order of their names, but first the event.

sub told {
    my ($self, $timeout) = @_;

    my $m = $self->json($timeout);

    return join ' ', map { defined $m->{$_} ? "$_=$m->{$_}" : () }
        qw/ other event call device seq reason reply data base64 error info /;
}


# Frames to the server

# Options:
#
#   fin, rsv        bits (1, 0)
#   mask            4 bytes (random); '': without a mask
#   form            7, 16 or 64: the length's form (the shortest)
#   length          a length other than that of the payload

sub frame {
    my ($opcode, $payload, %o) = @_;

    my $fin = defined $o{fin} ? $o{fin} : 1;
    my $mask = defined $o{mask} ? $o{mask} : pack('N', rand(2 ** 32));
    my $length = defined $o{length} ? $o{length} : length $payload;
    my $form = $o{form} || ($length < 126 ? 7 : $length < 65536 ? 16 : 64);
    my $bit = length $mask ? 0x80 : 0;

    my $head = pack 'C', $fin << 7 | ($o{rsv} || 0) << 4 | $opcode;

    $head .= $form == 7 ? pack('C', $bit | $length)
        : $form == 16 ? pack('Cn', $bit | 126, $length)
        : pack('CQ>', $bit | 127, $length);

    return $head . $mask . masked($payload, $mask);
}

sub masked {
    my ($payload, $mask) = @_;

    return $payload unless length $mask;

    my $times = length($payload) / 4 + 1;

    # as strings, even if one looks like a number
    return "$payload" ^ substr($mask x $times, 0, length $payload);
}

sub ws_text { return frame(TEXT, @_) }
sub ws_binary { return frame(BINARY, @_) }
sub ws_ping { return frame(PING, @_) }
sub ws_pong { return frame(PONG, @_) }

sub ws_close {
    my ($code, $reason) = @_;

    my $payload = defined $code ? pack('n', $code) : '';
    $payload .= $reason if defined $reason;

    return frame(CLOSE, $payload);
}

sub raw {
    my ($self, @bytes) = @_;
    return $self->{stream}->write(join '', @bytes);
}

sub raw_bytes {
    my ($self, @bytes) = @_;
    return $self->{stream}->write_bytes(join '', @bytes);
}

sub text {
    my ($self, $payload) = @_;
    return $self->raw(ws_text($payload));
}

sub binary {
    my ($self, $payload) = @_;
    return $self->raw(ws_binary($payload));
}

sub socket {
    my ($self) = @_;
    return $self->{stream}->socket();
}


# Frames from the server

# The next frame: { type, payload }.  The type is 'none' if no frame came in
# time, 'eof' at the end of the connection, and 'wrong' if the server must not
# send such a frame: it has to be complete, without reserved bits and mask, with
# its length in the shortest form.

sub take {
    my ($self, $timeout) = @_;

    my $stream = $self->{stream};
    my $end = Test::Nginx::Cometa::Stream::deadline($timeout);

    for ( ;; ) {
        my ($frame, $size) = split_frame(\$stream->{in});

        if ($frame) {
            $stream->cut($size);
            return $frame;
        }

        next if $stream->fill($end);

        return { type => 'none', payload => '' } unless $stream->{eof};
        return { type => 'eof', payload => $stream->{in} };
    }
}

sub split_frame {
    my ($in) = @_;

    return if length $$in < 2;

    my ($first, $length) = unpack 'CC', $$in;

    return wrong('masked') if $length & 0x80;
    return wrong('a fragment') unless $first & 0x80;
    return wrong('a reserved bit') if $first & 0x70;

    my $type = $names{$first & 15} or return wrong('the opcode');
    my $head = $length == 126 ? 4 : $length == 127 ? 10 : 2;

    return if length $$in < $head;

    $length = unpack 'x2n', $$in if $head == 4;
    $length = unpack 'x2Q>', $$in if $head == 10;

    my $least = $head == 2 ? 0 : $head == 4 ? 126 : 65536;

    return wrong('the length') if $length < $least;
    return if length $$in < $head + $length;

    return ({ type => $type, payload => substr($$in, $head, $length) },
        $head + $length);
}

sub wrong {
    my ($what) = @_;
    return ({ type => 'wrong', payload => $what }, 2);
}

# The same in a few words: "text hello", "close 1000", "none".

sub said {
    my ($self, $timeout) = @_;

    my $frame = $self->take($timeout);
    my ($type, $payload) = @$frame{qw/ type payload /};

    return 'close ' . close_words($payload) if $type eq 'close';
    return length $payload ? "$type $payload" : $type;
}

sub close_words {
    my ($payload) = @_;

    return 'without code' if length $payload < 2;

    my ($code, $reason) = unpack 'na*', $payload;
    return length $reason ? "$code $reason" : $code;
}

# The next n frames; for a call that failed, the word of the error.

sub heard {
    my ($self, $n, $timeout) = @_;
    return join ', ', map { brief($self->said($timeout)) } 1 .. $n || 1;
}

sub brief {
    my ($said) = @_;

    return "error $1" if $said =~ /\Atext \{"msg":"\d.*","error":"(\w+)"\}\z/;
    return $said;
}

# All until the server closes the connection, or the time is over.

sub rest {
    my ($self, $timeout) = @_;

    my $end = Test::Nginx::Cometa::Stream::deadline($timeout);
    my @said;

    do {
        push @said, brief($self->said($end - time()));
    } until $said[-1] =~ /^(?:none|eof|wrong)/;

    return join ', ', @said;
}

# True if nothing comes and the connection stays.

sub quiet {
    my ($self, $timeout) = @_;
    return $self->said($timeout || 0.3) eq 'none';
}

# Whether the WebSocket still works: a ping is answered.

sub alive {
    my ($self) = @_;

    my $text = 'alive ' . int rand 1e9;

    $self->raw(ws_ping($text));

    return $self->said() eq "pong $text";
}


# The end

# The close handshake, begun by the client.  Returns what the server answers.

sub goodbye {
    my ($self, $code) = @_;

    $self->raw(ws_close(defined $code ? $code : 1000));

    return $self->rest();
}

sub close {
    my ($self) = @_;
    $self->{stream}->close();
}

sub reset {
    my ($self) = @_;
    $self->{stream}->reset();
}

# A call over the socket that the device answers: "yes", or what went wrong.

sub served {
    my ($ws, $d) = @_;

    my $text = 'm' . rand();

    $ws->text($text);
    my $got = $d->read_chunk(3);
    return 'nothing came' unless defined $got;

    $d->send_chunk("re: $got");
    my $said = $ws->said(3);
    return $said eq "text re: $text" ? 'yes' : $said;
}

1;

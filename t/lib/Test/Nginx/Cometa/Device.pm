package Test::Nginx::Cometa::Device;

# A device: attaches in form A (an ordinary body, then chunks) or B (a chunked
# body that does not end), and sends and receives chunks.

use warnings;
use strict;

use JSON::PP qw//;
use Test::Nginx::Cometa::Stream;

use constant CRLF => "\x0d\x0a";
use constant HEARTBEAT => "\x06";
use constant EVENT => "\x07";


# Attaches, and reads the answer.  The object then holds
#
#   status, head    of the answer; status is 0 if there was none
#   interim         number of 1xx answers before it
#   first           the data of the first chunk (status 200)
#   body            of a refusal
#   json            the decoded JSON of first or body
#
# Options:
#
#   app, device     ids (app1, dev1), as they stand in the URI
#   form            A or B (A)
#   info            body of form A; header Cometa-Info of form B
#   length          0: no Content-Length
#   headers         { name => value }
#   with            bytes sent in one packet with the request
#   bytewise        send all that in packets of one byte
#   stream          a connection to use again
#   method, uri, version, host
#   port, ssl, rcvbuf   see the stream
#   timeout         for the answer

sub attach {
    my ($class, %o) = @_;

    my $self = $class->start(%o);
    $self->finish($o{timeout});

    return $self;
}

sub start {
    my ($class, %o) = @_;

    my $self = bless {
        app => 'app1', device => 'dev1', form => 'A', %o,
        status => 0, interim => 0,
        stream => $o{stream} || Test::Nginx::Cometa::Stream->new(%o)
    }, $class;

    my $request = request(%$self) . (defined $o{with} ? $o{with} : '');

    $o{bytewise} ? $self->{stream}->write_bytes($request)
        : $self->{stream}->write($request);

    return $self;
}

sub request {
    my (%o) = @_;

    my $info = defined $o{info} ? $o{info} : '';
    my %headers = %{$o{headers} || {}};
    my $body = '';

    if ($o{form} eq 'B') {
        $headers{'Transfer-Encoding'} = 'chunked';
        $headers{'Cometa-Info'} = $info if length $info;

    } else {
        $headers{'Content-Length'} = length $info
            if !exists $o{length} || $o{length};
        $body = $info;
    }

    my $uri = $o{uri} || "/v1/applications/$o{app}/devices/$o{device}";

    return join(CRLF,
        ($o{method} || 'POST') . " $uri HTTP/" . ($o{version} || '1.1'),
        'Host: ' . ($o{host} || 'localhost'),
        (map { "$_: $headers{$_}" } sort keys %headers),
        '', '') . $body;
}

sub finish {
    my ($self, $timeout) = @_;

    my $stream = $self->{stream};

    for ( ;; ) {
        my $head = $stream->take_until(CRLF . CRLF, $timeout);
        return unless defined $head;

        ($self->{status}) = $head =~ m!\AHTTP/1\.[01] (\d+)!
            or die "not an answer: $head\n";
        $self->{head} = $head;

        last if $self->{status} >= 200;
        $self->{interim}++;
    }

    if ($self->{status} == 200) {
        $self->{first} = $stream->take_chunk($timeout);
        $self->{json} = decode($self->{first});
        return;
    }

    my $length = $self->header('Content-Length');
    $self->{body} = defined $length
        ? $stream->take_bytes($length, $timeout)
        : $stream->take_rest($timeout);
    $self->{json} = decode($self->{body});
}

sub decode {
    my ($text) = @_;
    my $json = eval { JSON::PP::decode_json($text) };
    return ref $json eq 'HASH' ? $json : {};
}

sub header {
    my ($self, $name) = @_;
    return $self->{head} =~ /^\Q$name\E:[ ]*([^\x0d]*)/mi ? $1 : undef;
}

sub socket {
    my ($self) = @_;
    return $self->{stream}->socket();
}


# Messages from the server

sub read_chunk {
    my ($self, $timeout) = @_;
    return $self->{stream}->take_chunk($timeout);
}

sub read_packet {
    my ($self, $timeout) = @_;
    return $self->{stream}->take_packet($timeout);
}

# True if the server neither sends anything nor closes within that time.

sub quiet {
    my ($self, $timeout) = @_;
    return !$self->{stream}->readable($timeout || 0.3) && !$self->gone();
}

# Answers one call with what the function returns for it, or with the message.

sub echo {
    my ($self, $make) = @_;

    my $payload = $self->read_chunk();
    return 0 unless defined $payload && length $payload;

    return $self->send_chunk($make ? $make->($payload) : $payload);
}


# Messages to the server

sub chunk {
    my ($data) = @_;
    return sprintf('%x', length $data) . CRLF . $data . CRLF;
}

sub send_chunk {
    my ($self, $data) = @_;
    return $self->{stream}->write(chunk($data));
}

sub heartbeat {
    my ($self) = @_;
    return $self->send_chunk(HEARTBEAT);
}

sub event {
    my ($self, $data) = @_;
    return $self->send_chunk(EVENT . $data);
}

sub raw {
    my ($self, $bytes) = @_;
    return $self->{stream}->write($bytes);
}

sub raw_bytes {
    my ($self, $bytes) = @_;
    return $self->{stream}->write_bytes($bytes);
}


# The end

# Waits for the server to close.  Returns 'last' if it sent a last chunk and
# nothing else, undef if it did not close in time, else what came.

sub closed {
    my ($self, $timeout) = @_;

    my $rest = $self->{stream}->take_rest($timeout);
    return unless defined $rest;
    return $rest eq '0' . CRLF . CRLF ? 'last' : $rest;
}

# Whether the server has closed already.

sub gone {
    my ($self) = @_;
    return $self->{stream}->eof();
}

sub detach {
    my ($self) = @_;
    return $self->raw('0' . CRLF . CRLF);
}

sub half_close {
    my ($self) = @_;
    $self->{stream}->shutdown_write();
}

sub close {
    my ($self) = @_;
    $self->{stream}->close();
}

sub reset {
    my ($self) = @_;
    $self->{stream}->reset();
}

1;

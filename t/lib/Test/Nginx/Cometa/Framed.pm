package Test::Nginx::Cometa::Framed;

# A device that is attached over a WebSocket: it has the methods of a device
# with chunks, and those of a WebSocket to look at its frames.

use warnings;
use strict;

use Test::Nginx::Cometa::Device;
use Test::Nginx::Cometa::WebSocket;

use constant HEARTBEAT => "\x06";
use constant EVENT => "\x07";


# Attaches, and reads the answer and the first message.  The object then holds
# what one with chunks does, and
#
#   ws              the WebSocket
#   kind            of the first frame: text
#
# Options are those of Test::Nginx::Cometa::WebSocket::websocket() and
#
#   info            header Cometa-Info
#   protocol        header Sec-WebSocket-Protocol
#   frames          'text' or 'binary': what it sends messages in (binary)

sub attach {
    my ($class, %o) = @_;

    %o = (app => 'app1', device => 'dev1', %o);

    my %headers = (
        defined $o{info} ? ('Cometa-Info' => $o{info}) : (),
        defined $o{protocol} ? ('Sec-WebSocket-Protocol' => $o{protocol}) : (),
        %{delete $o{headers} || {}}
    );

    my $uri = $o{uri} || "/v1/applications/$o{app}/devices/$o{device}";
    my $ws = websocket(%o, uri => $uri, headers => \%headers);

    my $self = bless {
        %o, ws => $ws, stream => $ws->{stream},
        map { $_ => $ws->{$_} } qw/ status head body json /
    }, $class;

    return $self if $self->{status} != 101;

    my $frame = $ws->take($o{timeout});

    $self->{kind} = $frame->{type};
    $self->{first} = $frame->{payload};
    $self->{json} = Test::Nginx::Cometa::Device::decode($self->{first});

    return $self;
}

sub header { return Test::Nginx::Cometa::Device::header(@_) }
sub gone { return Test::Nginx::Cometa::Device::gone(@_) }
sub quiet { return Test::Nginx::Cometa::Device::quiet(@_) }
sub echo { return Test::Nginx::Cometa::Device::echo(@_) }

sub socket {
    my ($self) = @_;
    return $self->{stream}->socket();
}


# Messages from the server.  A close frame is what a last chunk is: ''.

sub read_chunk {
    my ($self, $timeout) = @_;

    my $frame = $self->{ws}->take($timeout);

    return $frame->{payload} if $frame->{type} =~ /^(?:text|binary)$/;
    return '' if $frame->{type} eq 'close';
    return;
}

# The next frame in words: "binary hello", "close 1000", "none".

sub said {
    my ($self, $timeout) = @_;
    return $self->{ws}->said($timeout);
}

sub rest {
    my ($self, $timeout) = @_;
    return $self->{ws}->rest($timeout);
}


# Messages to the server

sub send_chunk {
    my ($self, $data) = @_;

    return $self->{ws}->text($data) if ($self->{frames} || '') eq 'text';
    return $self->{ws}->binary($data);
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
    my ($self, @bytes) = @_;
    return $self->{ws}->raw(@bytes);
}

sub raw_bytes {
    my ($self, @bytes) = @_;
    return $self->{ws}->raw_bytes(@bytes);
}


# The end

sub detach {
    my ($self) = @_;
    return $self->raw(ws_close(1000));
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

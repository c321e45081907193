package Test::Nginx::Cometa::Stream;

# A TCP or TLS connection to nginx with a buffer and a deadline for each read.

use warnings;
use strict;

use Errno qw//;
use IO::Select;
use IO::Socket::INET;
use POSIX qw//;
use Socket qw/ IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SO_RCVBUF /;
use Test::Nginx;
use Time::HiRes qw/ sleep time /;

use constant TIMEOUT => 8;
use constant PATIENCE => 4;
use constant BLOCK => 65536;


# Options: port (8080, or 8443 with ssl), from (the address of the client), ssl,
# rcvbuf, tls (the version that is offered: TLSv1_2, TLSv1_3), tls_options (more
# of IO::Socket::SSL's).

sub new {
    my ($class, %o) = @_;

    my $port = port($o{port} || ($o{ssl} ? 8443 : 8080));
    my $socket = IO::Socket::INET->new(
        Proto => 'tcp',
        PeerAddr => "127.0.0.1:$port",
        $o{from} ? (LocalAddr => $o{from}) : ()
    ) or die "Can't connect to port $port: $!\n";

    setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);

    setsockopt($socket, SOL_SOCKET, SO_RCVBUF, $o{rcvbuf}) if $o{rcvbuf};

    $socket = start_tls($socket, $o{tls}, $o{tls_options}) if $o{ssl};

    $socket->blocking(0);

    return bless { socket => $socket, in => '', eof => 0 }, $class;
}

sub start_tls {
    my ($socket, $version, $options) = @_;

    require IO::Socket::SSL;

    return IO::Socket::SSL->start_SSL($socket,
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
        SSL_hostname => 'localhost',
        $version ? (SSL_version => $version) : (),
        Timeout => TIMEOUT,
        %{$options || {}}
    ) || die "TLS handshake failed: " . IO::Socket::SSL::errstr() . "\n";
}

sub socket {
    my ($self) = @_;
    return $self->{socket};
}

sub again {
    return $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
}

# A wait of a second or more is for something that has to come.  On a busy
# machine it may come later, which is no failure; so this waits longer, which
# costs no time if it comes.  A wait of less than a second is to see that
# nothing comes.

sub patience {
    my ($timeout) = @_;
    return $timeout < 1 ? $timeout : PATIENCE * $timeout;
}

sub deadline {
    my ($timeout) = @_;
    return time() + patience(defined $timeout ? $timeout : TIMEOUT);
}


# Writing

sub write {
    my ($self, $data) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $end = deadline();
    my $done = 0;

    log_out($data);

    while ($done < length $data) {
        my $n = $self->{socket}->syswrite($data, BLOCK, $done);

        if (defined $n) {
            $done += $n;
            next;
        }

        return 0 if !again() || time() > $end;

        IO::Select->new($self->{socket})->can_write(0.1);
    }

    return 1;
}

# Every byte in a packet of its own.

sub write_bytes {
    my ($self, $data) = @_;

    for my $byte (split //, $data) {
        $self->write($byte) or return 0;
        sleep(0.001);
    }

    return 1;
}


# Reading

# Waits for more to read: true if there is more, false if the time is over or
# the connection has ended.

sub fill {
    my ($self, $end) = @_;

    while (!$self->{eof}) {
        my $n = $self->{socket}->sysread($self->{in}, BLOCK,
            length $self->{in});

        return 1 if $n;
        return $self->ended() if defined $n || !again();

        my $rest = $end - time();
        return 0 if $rest <= 0;

        IO::Select->new($self->{socket})->can_read($rest);
    }

    return 0;
}

sub ended {
    my ($self) = @_;
    $self->{eof} = 1;
    return 0;
}

# Takes n bytes from the input.

sub cut {
    my ($self, $n) = @_;
    my $data = substr($self->{in}, 0, $n, '');
    log_in($data);
    return $data;
}

# Takes all up to the string, and the string.

sub take_until {
    my ($self, $string, $timeout) = @_;

    my $end = deadline($timeout);
    my $at;

    while (($at = index $self->{in}, $string) < 0) {
        $self->fill($end) or return;
    }

    return $self->cut($at + length $string);
}

sub take_bytes {
    my ($self, $n, $timeout) = @_;

    my $end = deadline($timeout);

    while (length $self->{in} < $n) {
        $self->fill($end) or return;
    }

    return $self->cut($n);
}

# What one read returns.

sub take_packet {
    my ($self, $timeout) = @_;

    length $self->{in} or $self->fill(deadline($timeout)) or return;

    return $self->cut(length $self->{in});
}

# All until the peer closes; undef if it does not.

sub take_rest {
    my ($self, $timeout) = @_;

    my $end = deadline($timeout);

    1 while $self->fill($end);

    return $self->{eof} ? $self->cut(length $self->{in}) : undef;
}

# One chunk: its data, '' for the last one, undef if there is none in time.

sub take_chunk {
    my ($self, $timeout) = @_;

    my $end = deadline($timeout);

    for ( ;; ) {
        if ($self->{in} =~ /\A([0-9a-fA-F]+)\x0d\x0a/) {
            my ($start, $size) = ($+[0], hex $1);

            return substr($self->cut($start + $size + 2), $start, $size)
                if length $self->{in} >= $start + $size + 2;
        }

        $self->fill($end) or return;
    }
}

# Whether there is something to read, without taking it.

sub readable {
    my ($self, $timeout) = @_;
    return length $self->{in} || $self->fill(deadline($timeout)) ? 1 : 0;
}

sub eof {
    my ($self) = @_;
    1 while $self->fill(time());
    return $self->{eof};
}


# Leaving

sub close {
    my ($self) = @_;
    $self->ended();
    $self->{socket}->close();
}

sub shutdown_write {
    my ($self) = @_;
    shutdown($self->{socket}, 1);
}

# Writes bytes that are not a TLS record to a TLS connection.

sub write_plain {
    my ($self, $data) = @_;
    return POSIX::write(fileno $self->{socket}, $data, length $data);
}

# Whether the peer has sent the alert with which TLS ends.

sub said_goodbye {
    my ($self) = @_;

    # SSL_RECEIVED_SHUTDOWN
    return Net::SSLeay::get_shutdown($self->{socket}->_get_ssl_object()) & 2;
}

# Closes with RST; TLS must not send an alert before it.

sub reset {
    my ($self) = @_;

    my $socket = $self->{socket};
    setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));

    $self->ended();

    return $socket->close(SSL_no_shutdown => 1)
        if $socket->isa('IO::Socket::SSL');

    $socket->close();
}

1;

#!/usr/bin/perl

# A device in a hundred lines: attaches, answers each message with its name, the
# time and what it was sent, and attaches again whenever the connection ends.
#
#     demo-device.pl [HOST:PORT [APPLICATION [DEVICE]]]

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX qw(strftime);
use Time::HiRes qw(time sleep);

use constant RETRY_MAX => 30;

my ($server, $app, $device) = @ARGV;

$server //= '127.0.0.1:8080';
$app //= 'demo';
$device //= 'demo-1';

$| = 1;
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = $SIG{INT} = sub { exit 0 };

my $tries = 0;

while (1) {
    my $reason = eval { serve(attach()) } // $@;

    chomp $reason;
    print "$device: $reason\n";

    # Full jitter: many devices that lose a server must not come back at once.

    my $most = 2 ** $tries++;
    sleep(rand($most < RETRY_MAX ? $most : RETRY_MAX));
}


# The request with the device's info as its body; from the answer's first chunk
# the device learns how often to say that it lives.

sub attach {
    my $socket = IO::Socket::INET->new(PeerAddr => $server, Timeout => 10)
        or die "cannot connect to $server: $!\n";

    my $info = 'demo device in Perl';

    put($socket, "POST /v1/applications/$app/devices/$device HTTP/1.1\r\n"
        . "Host: $server\r\nContent-Length: " . length($info) . "\r\n\r\n"
        . $info);

    my $in = '';
    my $until = time() + 10;

    fill($socket, \$in, $until) until $in =~ s/\A(.*?\r\n)\r\n//s;

    my ($status) = $1 =~ m{\AHTTP/1\.1 ([^\r]+)} or die "no HTTP\n";
    die "refused: $status\n" unless $status =~ /\A200/;

    my $welcome;
    fill($socket, \$in, $until) until defined($welcome = chunk(\$in));

    my ($heartbeat) = $welcome =~ /"heartbeat":(\d+)/ or die "no welcome\n";

    print "$device: attached, a heartbeat every $heartbeat s\n";
    $tries = 0;

    return ($socket, \$in, $heartbeat);
}


# Until the connection ends: dies with the reason, or returns it.

sub serve {
    my ($socket, $in, $heartbeat) = @_;
    my $next = time() + $heartbeat;

    while (1) {
        while (defined(my $message = chunk($in))) {
            return 'the server says good-bye' if $message eq '';

            send_chunk($socket, reply($message));
            $next = time() + $heartbeat;
        }

        if (IO::Select->new($socket)->can_read(left($next))) {
            fill($socket, $in, $next);
            next;
        }

        send_chunk($socket, "\x06");
        $next = time() + $heartbeat;
    }
}


sub reply {
    my ($message) = @_;
    my $time = strftime('%Y-%m-%d %H:%M:%S', localtime);

    print "$device: got ", length($message), " bytes\n";

    return "I am $device, it is $time, and you sent me: $message\n";
}


sub send_chunk {
    my ($socket, $data) = @_;

    put($socket, sprintf("%x\r\n%s\r\n", length($data), $data));
}


# The next complete chunk, taken out of the buffer; undef if there is none.

sub chunk {
    my ($in) = @_;

    return unless $$in =~ /\A([0-9a-fA-F]{1,8})\r\n/;

    my ($head, $size) = ($+[0], hex $1);

    return if length($$in) < $head + $size + 2;

    my $data = substr($$in, $head, $size);
    substr($$in, 0, $head + $size + 2) = '';

    return $data;
}


sub fill {
    my ($socket, $in, $until) = @_;

    IO::Select->new($socket)->can_read(left($until))
        or die "no answer in time\n";

    my $n = sysread($socket, $$in, 65536, length($$in));

    die "connection lost: $!\n" unless defined $n;
    die "connection closed\n" unless $n;
}


sub put {
    my ($socket, $data) = @_;

    while ($data ne '') {
        my $n = syswrite($socket, $data) // die "connection lost: $!\n";
        substr($data, 0, $n) = '';
    }
}


sub left {
    my ($until) = @_;
    my $left = $until - time();

    return $left > 0 ? $left : 0;
}

package Test::Nginx::HTTP;

# Plain HTTP, one request a connection, and the log of the traffic: the
# functions of Test::Nginx that need no object.  Test::Nginx exports them.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/
    log_in log_out http http_get http_head http_start http_end http_content
/;

use IO::Socket::INET;
use Socket qw/ CRLF /;
use Test::More qw//;
use Time::HiRes qw/ sleep /;

use constant TIMEOUT => 8;


sub http_get {
    my ($url, %o) = @_;
    return http("GET $url HTTP/1.0" . CRLF . 'Host: localhost' . CRLF . CRLF,
        %o);
}

sub http_head {
    my ($url, %o) = @_;
    return http("HEAD $url HTTP/1.0" . CRLF . 'Host: localhost' . CRLF . CRLF,
        %o);
}

sub http {
    my ($request, %o) = @_;

    my $s = http_start($request, %o);

    return undef unless defined $s && !$o{aborted};
    return $o{start} ? $s : http_end($s);
}

sub http_start {
    my ($request, %o) = @_;

    return with_alarm(sub {
        my $s = $o{socket} || http_connect(%o);

        log_out($request);
        $s->print($request);

        sleep($o{sleep}) if $o{sleep};
        return '' if $o{aborted};

        if ($o{body}) {
            log_out($o{body});
            $s->print($o{body});
        }

        return $s;
    });
}

sub http_connect {
    my (%o) = @_;

    my $class = 'IO::Socket::INET';
    my @ssl;

    if ($o{SSL}) {
        require IO::Socket::SSL;
        $class = 'IO::Socket::SSL';
        @ssl = (
            SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
            map { $_ => $o{$_} } grep { /^SSL_/ } keys %o
        );
    }

    my $s = $class->new(
        Proto => 'tcp',
        PeerAddr => $o{PeerAddr} || '127.0.0.1:'
            . Test::Nginx::port($o{SSL} ? 8443 : 8080),
        @ssl
    ) or die "Can't connect to nginx: $!\n";

    $s->autoflush(1);

    return $s;
}

sub http_end {
    my ($s) = @_;

    my $reply = with_alarm(sub {
        local $/;
        my $text = $s->getline();
        $s->close();
        return defined $text ? $text : '';
    });

    log_in($reply) if defined $reply;

    return $reply;
}

sub with_alarm {
    my ($code) = @_;

    my $answer = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        local $SIG{PIPE} = sub { die "sigpipe\n" };
        alarm(TIMEOUT);
        my $got = $code->();
        alarm(0);
        $got;
    };
    my $error = $@;

    alarm(0);
    log_in("died: $error") if $error;

    return $answer;
}

sub http_content {
    my ($reply) = @_;

    return undef unless defined $reply
        && $reply =~ /\A(.*?)\x0d\x0a?\x0d\x0a?(.*)/s;

    my ($head, $body) = ($1, $2);

    return $body unless $head =~ /^Transfer-Encoding:\s*chunked/mi;

    my $content = '';

    while ($body =~ s/\A([0-9a-f]+)[^\x0a]*\x0a//i) {
        my $size = hex($1) or return $content;
        $content .= substr($body, 0, $size, '');
        $body =~ s/\A\x0d?\x0a//;
    }

    return "$content\[no-last-chunk]";
}


# The log of the traffic

sub log_out {
    log_traffic('>>', @_);
}

sub log_in {
    log_traffic('<<', @_);
}

sub log_traffic {
    my ($prefix, @text) = @_;

    return unless $ENV{TEST_NGINX_VERBOSE};

    my $text = join '', map { defined ? $_ : '' } @text;
    $text =~ s/([^\x20-\x7e\x0a])/sprintf('\\x%02x', ord $1)/gmxe;
    Test::More::note("$prefix $_") for split /\x0a/, $text;
}

1;

package Test::Nginx::Cometa::Caller;

# An application: calls devices and asks for statistics.
#
#   call            one call and its answer
#   call_start, call_end
#                   the same in two steps, to have several outstanding
#   call_request    the text of a call
#   stats           GET of a URI below /v1/applications/
#   caller_stream   a connection, for the option "stream" (keep-alive)
#   response        the next answer on a connection
#
# An answer is { status, head, headers, body, json, time, took }, with the names
# of the headers in lower case; took is the time without what a busy machine has
# added (see the stopwatch).  Its status is 0 if there was none in time, and
# "truncated" is set if its body ended early.

use warnings;
use strict;

use base qw/ Exporter /;

use JSON::PP qw//;
use Test::Nginx::Cometa::Stopwatch;
use Test::Nginx::Cometa::Stream;
use Time::HiRes qw/ time /;

our @EXPORT = qw/
    call call_start call_end call_request stats response caller_stream
/;

use constant CRLF => "\x0d\x0a";

my %secrets = (app1 => 's3cret', app2 => 'other');


# Options:
#
#   secret          (that of the application)
#   auth            the header's whole value; undef: no such header
#   headers         { name => value }
#   chunked         the body in chunks of that size
#   version         1.0 or 1.1 (1.1)
#   keepalive       0: "Connection: close"
#   stream          a connection to use again
#   method, uri, host, port, ssl, rcvbuf
#   timeout         for the answer

sub call {
    return call_end(call_start(@_));
}

sub call_start {
    my ($app, $device, $body, %o) = @_;

    my $stream = $o{stream} || caller_stream(%o);
    my $watch = stopwatch();
    my $start = time();

    $stream->write(call_request($app, $device, $body, %o));

    return {
        stream => $stream, start => $start, watch => $watch, timeout => $o{timeout},
        method => $o{method} || 'POST'
    };
}

sub call_end {
    my ($call, $timeout) = @_;

    my $answer = response($call->{stream},
        timeout => defined $timeout ? $timeout : $call->{timeout},
        method => $call->{method});
    $answer->{time} = time() - $call->{start};
    $answer->{took} = $answer->{time} - $call->{watch}->late();

    return $answer;
}

sub caller_stream {
    return Test::Nginx::Cometa::Stream->new(@_);
}

sub call_request {
    my ($app, $device, $body, %o) = @_;

    my $method = $o{method} || 'POST';
    my $uri = $o{uri} || "/v1/applications/$app/devices/$device/send";
    my $version = $o{version} || '1.1';
    my %headers = (
        authorization($app, %o),
        exists $o{keepalive} && !$o{keepalive} ? (Connection => 'close') : (),
        %{$o{headers} || {}}
    );

    if ($o{chunked}) {
        $headers{'Transfer-Encoding'} = 'chunked';
        $body = chunks($body, $o{chunked});

    } elsif (defined $body && !exists $headers{'Content-Length'}) {
        $headers{'Content-Length'} = length $body;
    }

    return join(CRLF,
        "$method $uri HTTP/$version",
        'Host: ' . ($o{host} || 'localhost'),
        (map { "$_: $headers{$_}" } sort keys %headers),
        '', '') . (defined $body ? $body : '');
}

sub authorization {
    my ($app, %o) = @_;

    my $auth = exists $o{auth} ? $o{auth}
        : 'OAuth ' . ($o{secret} || $secrets{$app} || 'none');

    return defined $auth ? (Authorization => $auth) : ();
}

sub chunks {
    my ($body, $size) = @_;

    return join '', map { sprintf('%x', length) . CRLF . $_ . CRLF }
        unpack("(a$size)*", $body), '';
}

sub stats {
    my ($path, %o) = @_;

    my ($app) = $path =~ m!\A([^/?]+)!;

    return call($app, undef, undef, method => 'GET',
        uri => "/v1/applications/$path", %o);
}


# Answers

sub response {
    my ($stream, %o) = @_;

    my %r = (status => 0, head => '', headers => {}, body => '', json => {});

    while ($r{status} < 200) {
        my $head = $stream->take_until(CRLF . CRLF, $o{timeout});
        return \%r unless defined $head;

        ($r{status}) = $head =~ m!\AHTTP/1\.[01] (\d+)!
            or die "not an answer: $head\n";
        $r{head} = $head;
    }

    $r{headers} = headers($r{head});

    return \%r if ($o{method} || '') eq 'HEAD' || $r{status} =~ /^[23]04$/;

    my $body = body($stream, $r{headers}, $o{timeout});

    if (defined $body) {
        $r{body} = $body;
        $r{json} = decode($body);
    } else {
        $r{truncated} = 1;
    }

    return \%r;
}

# A reply may be any text: only an object can be JSON of the module.

sub decode {
    my ($text) = @_;
    my $json = eval { JSON::PP::decode_json($text) };
    return ref $json eq 'HASH' ? $json : {};
}

sub headers {
    my ($head) = @_;

    my %headers;

    for my $line (split /\x0d\x0a/, $head) {
        $headers{lc $1} = $2 if $line =~ /\A([^: ]+):[ ]*(.*)/;
    }

    return \%headers;
}

sub body {
    my ($stream, $headers, $timeout) = @_;

    my $length = $headers->{'content-length'};
    my $coding = $headers->{'transfer-encoding'} || '';

    return $stream->take_bytes($length, $timeout) if defined $length;
    return $stream->take_rest($timeout) if $coding ne 'chunked';

    my $body = '';

    for ( ;; ) {
        my $data = $stream->take_chunk($timeout);
        return unless defined $data;
        return $body if $data eq '';
        $body .= $data;
    }
}

1;

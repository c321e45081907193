#!/usr/bin/perl

# What a peer may say where words are expected: keys that are guessed, infos and
# ids that would break the JSON of the statistics or a line of a log.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use JSON::PP qw//;
use MIME::Base64 qw/ encode_base64 /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { GUESSES => 2000, RACERS => 20, INFOS => 200 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(36);

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
    http => 'access_log %%TESTDIR%%/access.log;'))->run();

wait_serving($t, 2);

my $uri = '/v1/applications/app1/devices';

# A handshake with this key, as text.

sub handshake_of {
    my ($key, $device) = @_;
    return Test::Nginx::Cometa::WebSocket::handshake(key => $key,
        device => $device || 'dev1', nonce => encode_base64('x' x 16, ''));
}

###############################################################################

# Keys: whoever guesses learns nothing and uses up nothing

my $dev = device(device => 'dev1');
my $key = websocket_key('app1', 'dev1');

{
    my $s = caller_stream();
    my %said;

    for my $n (1 .. GUESSES) {
        $s->write(handshake_of(sprintf '%040x', $n));
        my $r = response($s);
        $said{"$r->{status} $r->{json}{error}"}++;
    }

    is(join(', ', %said), '403 invalid_key, ' . GUESSES, 'guesses are refused');
    ok(!log_count($t, qr/\[(?:warn|error|crit|alert)\].*key/),
        'and fill no log');

    # each differs from the right one in one digit

    %said = ();

    for my $n (0 .. 39) {
        my $near = $key;
        substr($near, $n, 1) =~ tr/0-9a-f/1-9a-f0/;
        $s->write(handshake_of($near));
        $said{response($s)->{json}{error}}++;
    }

    is(join(', ', %said), 'invalid_key, 40', 'near ones, too');

    for my $wrong ("$key/", "${key}%00", uc($key) . '0', substr($key, 1),
        '%' . $key, "../$key", 'A' x 8000)
    {
        my $r = websocket(device => 'dev1', key => $wrong);
        like($r->{status}, qr/\A4\d\d\z/,
            'no key: ' . substr($wrong =~ s/$key/KEY/r, 0, 20));
    }
}

# Many use it at the same moment, on both workers: one gets it.

{
    my @racers = map { caller_stream() } 1 .. RACERS;
    $_->write(handshake_of($key)) for @racers;

    my $opened = grep {
        ($_->take_until("\x0d\x0a\x0d\x0a") || '') =~ m!\AHTTP/1\.1 101 !
    } @racers;

    is($opened, 1, 'a key is used once, whoever comes at the same time');
    $_->close() for @racers;
}

is(websocket(device => 'dev2', key => websocket_key('app1', 'dev1'))->{status},
    403, 'the key of one device opens no other one');

# Infos: any byte, in both forms; what comes out is JSON, and the same text

sub shown {
    my ($device) = @_;

    my $r = stats("app1/devices/$device");
    my $json = eval { JSON::PP->new()->decode($r->{body}) };

    return "not JSON: $r->{body}" unless $json;
    return 'control characters' if $r->{body} =~ /[\x00-\x1f\x7f]/;

    return $json->{info};
}

for my $byte (0x00, 0x08, 0x1b, 0x22, 0x5c, 0x7f, 0x80, 0xff) {
    my $info = sprintf 'a%cb', $byte;
    my $d = device(device => 'info', info => $info);
    is(shown('info'), $info, sprintf 'info with the byte %02x', $byte);
    $d->close();
}

for my $case (
    ['a quote and a field', '","session":"1","x":"'],
    ['an end of the object', '"}}],"y":[{"'],
    ['an escape that is open', 'x\\'],
    ['HTML', '<script>alert(1)</script>'],
    ['a line of a log', "x\", client: 1.2.3.4"])
{
    my ($name, $info) = @$case;

    for my $form (qw/ A B /) {
        my $d = device(device => 'info', form => $form, info => $info);
        is(shown('info'), $info, "$form: info with $name");
        $d->close();
    }
}

# UTF-8 that is none: overlong, surrogates, beyond the last character, cut off

{
    my @wrong;
    my @parts = ("\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
        "\xe2\x80\xa8", "\xc3\xa9", '"', '\\', "\x01", 'plain', "\xf0\x9f");

    srand 7;

    for my $n (1 .. INFOS) {
        my $info = join '', map { $parts[rand @parts] } 1 .. 1 + rand 60;
        my $d = device(device => 'info', info => $info);
        my $r = stats('app1/devices/info');

        push @wrong, unpack 'H*', $info
            if !eval { JSON::PP->new()->utf8()->decode($r->{body}) }
                || $r->{body} =~ /[\x00-\x1f\x7f]/;
        $d->close();
    }

    is("@wrong", '', 'infos of bad UTF-8 leave the JSON valid');
}

# Header of form B: no other line of a header comes of it

{
    my $d = device(device => 'info', form => 'B',
        headers => { 'Cometa-Info' => "a\x0d\x0aAuthorization: OAuth x" });
    is($d->{status} == 200 ? shown('info') : 'refused', 'a',
        'a line break ends the info');
    $d->close();
}

# A line of the log has no line break of a peer

{
    my $s = caller_stream();
    $s->write("POST $uri/x%0a%0dforged%20line HTTP/1.1\x0d\x0aHost: l\x0d\x0a"
        . "Content-Length: 0\x0d\x0aConnection: close\x0d\x0a\x0d\x0a");
    like($s->take_rest(), qr/invalid_device_id/, 'an id with line breaks');

    ok(!log_count($t, qr/^.?forged/), 'makes no line of the error log');
    is(scalar(() = $t->read_file('access.log') =~ /^.?forged/gm), 0,
        'nor of the access log');
}

is(reached($dev), 'yes', 'and the device is called');

###############################################################################

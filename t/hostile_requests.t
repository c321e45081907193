#!/usr/bin/perl

# Requests that a proxy in front of nginx may read in another way, to smuggle one
# behind the other; and attaches in a pipeline. Whatever comes, what stands behind
# an attach is never served as a request, and a body is no request either.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $crlf = "\x0d\x0a";
my $uri = '/v1/applications/app1/devices';
my $smuggled = "GET /smuggled HTTP/1.1${crlf}Host: localhost$crlf$crlf";
my $auth = "Authorization: OAuth s3cret$crlf";

# Header lines that tell the length of a body in two ways, or in none that all
# understand alike. "both": nginx takes the body for chunked; "none": refused.

my @lengths = (
    ['two Content-Length that are the same',
        "Content-Length: 5${crlf}Content-Length: 5$crlf"],
    ['two Content-Length', "Content-Length: 0${crlf}Content-Length: 5$crlf"],
    ['a list in Content-Length', "Content-Length: 5, 5$crlf"],
    ['Content-Length with a sign', "Content-Length: +5$crlf"],
    ['Content-Length in hex', "Content-Length: 0x5$crlf"],
    ['Content-Length with a space inside', "Content-Length: 1 5$crlf"],
    ['Content-Length beyond 64 bits',
        "Content-Length: 18446744073709551621$crlf"],
    ['empty Content-Length', "Content-Length:$crlf"],
    ['chunked, then Content-Length',
        "Transfer-Encoding: chunked${crlf}Content-Length: 5$crlf"],
    ['Content-Length, then chunked',
        "Content-Length: 5${crlf}Transfer-Encoding: chunked$crlf"],
    ['CHUNKED and Content-Length',
        "TRANSFER-ENCODING: CHUNKED${crlf}CONTENT-LENGTH: 5$crlf"],
    ['two Transfer-Encoding',
        "Transfer-Encoding: chunked${crlf}Transfer-Encoding: identity$crlf"],
    ['identity, chunked', "Transfer-Encoding: identity, chunked$crlf"],
    ['chunked, chunked', "Transfer-Encoding: chunked, chunked$crlf"],
    ['xchunked', "Transfer-Encoding: xchunked$crlf"],
    ['chunked with a vertical tab', "Transfer-Encoding: \x0bchunked$crlf"],
    ['quoted chunked', "Transfer-Encoding: \"chunked\"$crlf"],
    ['space before the colon', "Transfer-Encoding : chunked$crlf"],
    ['obs-fold', "Transfer-Encoding:$crlf chunked$crlf"],
    ['obs-fold of another header',
        "X: a$crlf Content-Length: 5$crlf"],
    ['a bare CR', "X: a\x0dTransfer-Encoding: chunked$crlf"],
    ['a NUL in a name', "Transfer-\0Encoding: chunked$crlf"],
    ['HTTP/1.0 and chunked', undef],
);

# Chunks of the body of a call: good ones, and what follows them.

my @chunks = (
    ['an extension', "5;a=b${crlf}hello${crlf}0$crlf$crlf", 200],
    ['a quoted extension with a line', "5;a=\"$crlf\"${crlf}hello", 400],
    # nginx itself reads the body of a call: 1.22 takes this, 1.30 does not
    ['LF alone behind the size', "5\x0ahello${crlf}0$crlf$crlf", 'any'],
    ['CR alone behind the size', "5\x0dhello${crlf}0$crlf$crlf", 400],
    ['size with a sign', "+5${crlf}hello${crlf}0$crlf$crlf", 400],
    ['size with 0x', "0x5${crlf}hello${crlf}0$crlf$crlf", 400],
    ['negative size', "-1${crlf}hello${crlf}0$crlf$crlf", 400],
    ['no CRLF behind the data', "5${crlf}helloX0$crlf$crlf", 400],
);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(4 * @lengths + 2 * @chunks + 27);

$t->write_file_expand('nginx.conf', worker_conf(
    http => 'lingering_timeout 1s;',
    server => 'location = /smuggled { return 200 SMUGGLED; }'))->run();

answer($t, device => 'good');

# All that is answered within a moment, or until the server closes.

sub answers {
    my (@bytes) = @_;

    my $s = caller_stream();
    $s->write(join '', @bytes);
    my $got = $s->take_rest(0.4);
    $got = delete $s->{in} unless defined $got;
    $s->close();

    return defined $got ? $got : '';
}

sub statuses {
    my ($got) = @_;
    return join ' ', $got =~ m!HTTP/1\.[01] (\d+)!g;
}

###############################################################################

for my $case (@lengths) {
    my ($name, $lines) = @$case;

    my $version = defined $lines ? '1.1' : '1.0';
    $lines = "Transfer-Encoding: chunked$crlf" unless defined $lines;

    # a body of 5 bytes if the length counts, none if chunks do

    my $got = answers("POST $uri/smuggler HTTP/$version$crlf",
        "Host: localhost$crlf$lines$crlf", "0$crlf$crlf", $smuggled);

    unlike($got, qr/SMUGGLED/, "attach, $name: nothing behind it is served");
    ok(offline('smuggler'), "attach, $name: nobody is left");

    $got = answers("POST $uri/good/send HTTP/$version$crlf",
        "Host: localhost$crlf$auth$lines$crlf", "0$crlf$crlf", $smuggled);

    like(statuses($got), qr/\A(?:4\d\d|501)?(?: 400)?\z/,
        "call, $name: refused");
    unlike($got, qr/SMUGGLED/, "call, $name: nothing behind it is served");
}

for my $case (@chunks) {
    my ($name, $body, $status) = @$case;

    my $got = answers("POST $uri/good/send HTTP/1.1$crlf",
        "Host: localhost$crlf${auth}Transfer-Encoding: chunked$crlf$crlf",
        $body);

    my ($first) = split / /, statuses($got);

    $status = $first eq 400 ? 400 : 200 if $status eq 'any';

    is($first, $status, "call, $name");
    like($got, $status == 200 ? qr/hello/ : qr/400/, "call, $name: answer");
}

# A pipeline: the second attach is not one, but bytes of the first device.

for my $form (qw/ A B /) {
    my $second = "POST $uri/second HTTP/1.1${crlf}Host: localhost$crlf"
        . "Content-Length: 0$crlf$crlf";

    my $d = device(device => 'first', form => $form, with => $second);
    is($d->{status}, 200, "$form: the first of a pipeline is attached");
    ok(defined $d->closed(), "$form: and closed, for what it says is no chunk");
    ok(offline('second'), "$form: the second is not attached");
    ok(offline('first'), "$form: nor is the first one still");

    # in front of it requests may stand, as on any connection

    my $s = caller_stream();
    $s->write("GET /pid HTTP/1.1${crlf}Host: localhost$crlf$crlf" x 3
        . Test::Nginx::Cometa::Device::request(app => 'app1',
            device => 'behind', form => $form));
    is(response($s)->{status}, 200, "$form: request $_ in front") for 1 .. 3;

    $d = bless { app => 'app1', device => 'behind', status => 0,
        interim => 0, stream => $s }, 'Test::Nginx::Cometa::Device';
    $d->finish();
    is($d->{status}, 200, "$form: an attach behind requests");
    is(reached($d), 'yes', "$form: is an attach like any other");
    $d->close();
}

# A hundred attaches in one packet are one attach.

{
    my $flood = "POST $uri/many HTTP/1.1${crlf}Host: localhost$crlf"
        . "Content-Length: 0$crlf$crlf";
    my $before = figures('app1')->{attached_total};
    my $got = answers($flood x 100);

    is(() = $got =~ m!HTTP/1\.1 200!g, 1, 'a hundred attaches: one answer');
    is(figures('app1')->{attached_total} - $before, 1, 'and one attach');
    ok(offline('many'), 'that is closed');
}

# Heads of requests to devices with bytes that name nobody

for my $id ('%0d%0aX:%20y', '%2e%2e%2fsecret', 'a%22b', '%c3%28',
    "a\x7f", '<script>')
{
    like(statuses(answers("POST $uri/$id HTTP/1.1${crlf}Host: l$crlf"
        . "Content-Length: 0$crlf${crlf}")), qr/\A(?:400|404|405)\z/,
        "no device: " . ($id =~ s/[^ -~]/?/gr));
}

###############################################################################

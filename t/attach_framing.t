#!/usr/bin/perl

# The chunks of a device: what is tolerated, whole and byte by byte, and what
# closes its connection and none but that.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/);

my $crlf = "\x0d\x0a";

# How a reply may be written: name, data, bytes on the wire.  Each is sent
# twice and followed by a plain one, so what stands behind it is looked at.

my @good = (
    ['plain', 'hello', "5${crlf}hello$crlf"],
    ['size line ends in LF', 'hello', "5\x0ahello$crlf"],
    ['upper case', 'h' x 10, 'A' . $crlf . 'h' x 10 . $crlf],
    ['lower case', 'h' x 10, 'a' . $crlf . 'h' x 10 . $crlf],
    ['both cases', 'h' x 0xab, 'aB' . $crlf . 'h' x 0xab . $crlf],
    ['leading zeros', 'hello', "0005${crlf}hello$crlf"],
    ['8 digits', 'hello', "00000005${crlf}hello$crlf"],
    ['extension', 'hello', "5;a=b${crlf}hello$crlf"],
    ['several extensions', 'hello', "5;a=b;c;d=\"e\"${crlf}hello$crlf"],
    ['empty extension', 'hello', "5;${crlf}hello$crlf"],
    ['extension ends in LF', 'hello', "5;a=b\x0ahello$crlf"],
    ['spaces behind the size', 'hello', "5  ${crlf}hello$crlf"],
    ['a tab behind the size, LF', 'hello', "5\t\x0ahello$crlf"],
    ['spaces before an extension', 'hello', "5 \t ;a=b${crlf}hello$crlf"],
    ['data is CRLF', $crlf, "2$crlf$crlf$crlf"],
    ['data is CRLF and no CRLF behind', $crlf, "2$crlf$crlf"],
    ['data ends in CRLF', "hello$crlf", "7${crlf}hello$crlf$crlf"],
    ['no CRLF behind CRLF', "hello$crlf", "7${crlf}hello$crlf"],
    ['no CRLF behind CRLF, size line ends in LF', "hello$crlf",
        "7\x0ahello$crlf"],
    ['data ends in two CRLF', "hello$crlf$crlf", "9${crlf}hello$crlf$crlf"],
    ['data is like a chunk', "5${crlf}hello$crlf",
        "a${crlf}5${crlf}hello$crlf$crlf"],
    ['data ends in CR', "hello\x0d", "6${crlf}hello\x0d$crlf"],
    ['data ends in LF', "hello\x0a", "6${crlf}hello\x0a$crlf"],
    ['data is all bytes', join('', map { chr } 0 .. 255),
        "100$crlf" . join('', map { chr } 0 .. 255) . $crlf],
    ['heartbeats and events around', 'hello', "1$crlf\x06$crlf"
        . "3$crlf\x07ev$crlf" . "5${crlf}hello$crlf" . "1$crlf\x07$crlf"
        . "01;x\x0a\x06$crlf"],
);

# What ends a connection: name, bytes, the reason.

my @bad = (
    ['not hex', "x${crlf}hello$crlf", qr/chunk size/],
    ['not hex behind a digit', "5x${crlf}hello$crlf", qr/chunk size/],
    ['0x', "0x5${crlf}hello$crlf", qr/chunk size/],
    ['sign', "-5${crlf}hello$crlf", qr/chunk size/],
    ['plus', "+5${crlf}hello$crlf", qr/chunk size/],
    ['leading space', " 5${crlf}hello$crlf", qr/chunk size/],
    ['no size', "${crlf}hello$crlf", qr/chunk size/],
    ['no size, LF', "\x0ahello$crlf", qr/chunk size/],
    ['only an extension', ";a=b${crlf}hello$crlf", qr/chunk size/],
    ['NUL in the size', "5\x00${crlf}hello$crlf", qr/chunk size/],
    ['CR without LF', "5\x0dhello$crlf", qr/chunk size/],
    ['text behind a space', "5 a${crlf}hello$crlf", qr/chunk size/],
    ['9 digits', "000000005${crlf}hello$crlf", qr/chunk size/],
    ['a request', "GET / HTTP/1.1$crlf$crlf", qr/chunk size/],
    ['one byte too many', sprintf("%x$crlf", 2049), qr/too large/],
    ['much too large', "ffffffff$crlf", qr/too large/],
    ['size of 16 digits', "1000000000000005${crlf}hello$crlf",
        qr/too large|chunk size/],
    ['garbage after the data', "1$crlf\x06xyz$crlf", qr/garbage/],
    ['digit after the data', "1$crlf\x065${crlf}hello$crlf", qr/garbage/],
    ['LF after the data', "1$crlf\x06\x0a", qr/garbage/],
    ['CR and no LF after the data', "1$crlf\x06\x0dx", qr/garbage/],
    ['no CRLF and no size line', "3$crlf\x07${crlf}xyz$crlf", qr/garbage/],
    ['data ends in LF and no CRLF', "2$crlf\x07\x0a5${crlf}hello$crlf",
        qr/garbage/],
    ['data ends in CR and no CRLF', "2$crlf\x07\x0d5${crlf}hello$crlf",
        qr/garbage/],
);

# Two forms, whole and byte by byte.
my @ways = map { [ A => $_ ], [ B => $_ ] } 0, 1;

$t->plan(3 * @good * @ways + 5 * @bad * @ways + 33);

$t->write_file_expand('nginx.conf', cometa_conf(attach => <<'EOF'));
            cometa_max_message_size 2k;
EOF

$t->run();

###############################################################################

my $n = 0;

sub fresh {
    my ($form) = @_;
    return device(form => $form, device => 'd' . ++$n, info => 'i');
}

sub put {
    my ($d, $wire, $bytewise) = @_;
    return $bytewise ? $d->raw_bytes($wire) : $d->raw($wire);
}

# What the caller gets when the device answers with these bytes.

sub replied {
    my ($d, $wire, $bytewise) = @_;

    my $call = call_start('app1', $d->{device}, 'x');

    $d->read_chunk() or return 'no call';
    put($d, $wire, $bytewise);

    my $r = call_end($call);
    return $r->{status} == 200 ? $r->{body} : "$r->{status} $r->{body}";
}

###############################################################################

for my $way (@ways) {
    my ($form, $bytewise) = @$way;

    for my $case (@good) {
        my ($name, $data, $wire) = @$case;

        $name = "$form, $name" . ($bytewise ? ', byte by byte' : '');

        my $d = fresh($form);
        is(replied($d, $wire, $bytewise), $data, $name);
        is(replied($d, $wire, $bytewise), $data, "$name, again");
        is(replied($d, "4${crlf}next$crlf", 0), 'next', "$name, then plain");
        $d->close();
    }
}

# No waiting for the CRLF behind the data

for my $form (qw/ A B /) {
    my $d = fresh($form);

    is(replied($d, "5${crlf}first"), 'first', "$form, no CRLF yet");
    is(replied($d, "$crlf" . "6${crlf}second"), 'second', "$form, it is late");
    $d->raw("\x0d");
    ok($d->quiet(), "$form, half of it");
    is(replied($d, "\x0a" . "5${crlf}third"), 'third', "$form, the other half");
    $d->close();
}

# The largest message

for my $way (@ways) {
    my ($form, $bytewise) = @$way;

    my $d = fresh($form);
    is(replied($d, "800$crlf" . 'm' x 2048 . $crlf, $bytewise), 'm' x 2048,
        "$form, largest message" . ($bytewise ? ', byte by byte' : ''));
    $d->close();
}

# Many in one packet, cut anywhere

{
    my $wire = "1$crlf\x06$crlf" . "2\x0a$crlf" . "5;e${crlf}stray$crlf"
        . "3$crlf\x07\x0d\x0d$crlf" . "02${crlf}no$crlf";
    my @lost = grep {
        my $d = fresh('A');
        $d->raw(substr($wire, 0, $_));
        $d->quiet(0.01);
        $d->raw(substr($wire, $_));
        $d->quiet(0.01);
        my $got = replied($d, "2${crlf}ok$crlf");
        $d->close();
        $got ne 'ok'
    } 0 .. length $wire;

    is("@lost", '', 'messages in two packets, cut anywhere');
}

# A chunk of zero length

for my $bytewise (0, 1) {
    my $way = $bytewise ? ', byte by byte' : '';

    my $d = fresh('A');
    is(replied($d, "0$crlf$crlf", $bytewise), '', "A, empty reply$way");
    is(replied($d, "00;e$crlf$crlf", $bytewise), '',
        "A, empty reply, with an extension$way");
    is(replied($d, "2${crlf}ok$crlf"), 'ok', "A, then another$way");

    put($d, "0$crlf$crlf", $bytewise);
    ok(defined $d->closed(), "A, detach without a call$way");

    $d = fresh('B');
    like(replied($d, "0$crlf$crlf", $bytewise), qr/502.*device_disconnected/,
        "B, detach with a call$way");
    is($d->closed(), 'last', "B, the answer is complete$way");

    $d = fresh('B');
    put($d, "0$crlf$crlf", $bytewise);
    is($d->closed(), 'last', "B, detach without a call$way");
}

# Bad input, while another device of the same worker works on

my $other = device(device => 'bystander');
my $errors = stats('app1')->{json}{stats}{errors};

for my $way (@ways) {
    my ($form, $bytewise) = @$way;

    for my $case (@bad) {
        my ($name, $wire, $reason) = @$case;

        $name = "$form, $name" . ($bytewise ? ', byte by byte' : '');

        my $d = fresh($form);
        my $call = call_start('app1', $d->{device}, 'x');
        is($d->read_chunk(), 'x', "$name: a call");

        my $before = log_count($t, qr/\[(?:info|notice|warn|error)\].*$reason/);
        put($d, $wire, $bytewise);

        ok(defined $d->closed(2), "$name: closed");

        my $r = call_end($call);
        is("$r->{status} " . ($r->{json}{error} || ''),
            '502 device_disconnected', "$name: the call fails");

        ok(wait_log($t, qr/\[(?:info|notice|warn|error)\].*$reason/,
            $before + 1), "$name: reason");

        is(replied($other, "5${crlf}still$crlf"), 'still',
            "$name: another device");
    }
}

$errors += @bad * @ways;
is(stats('app1')->{json}{stats}{errors}, $errors, 'all of it is counted');

# Bad input behind a good message in one packet: that counts

{
    my $d = fresh('A');
    is(replied($d, "2${crlf}ok${crlf}zz"), 'ok', 'good before bad');
    ok(defined $d->closed(2), 'then closed');
}

# The first bytes behind the request

{
    my $d = device(device => 'early', with => "zz$crlf");
    is($d->{status}, 200, 'bad input with the request');
    ok(defined $d->closed(2), 'is closed');
    is(call('app1', 'early', 'x')->{status}, 404, 'and offline');
}

###############################################################################

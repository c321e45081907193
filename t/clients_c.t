#!/usr/bin/perl

# Devices by the library in C, over each of its transports: they are called,
# send events, come back when they are lost, and leave in order.  What the
# library takes of memory is measured.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib qw/ lib clients /;
use ClientTest;
use Cwd qw/ abs_path /;
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant CODE => 8192;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(181);

my $dir = $t->testdir();
my ($lib, $here) = map { abs_path($_) } '../clients/c', 'clients';

# The transports: what is compiled for each, and the port that it goes to.

my $flags = "-O1 -Wall -Wextra -Werror -pedantic -I$lib -I$here"
    . " -I$here/stubs";
my $common = "$here/device.c $lib/cometa.c $lib/cometa_posix.c";
my $openssl = "$lib/cometa_openssl.c -lssl -lcrypto";

my %made = (
    posix => "cc -std=c99 $flags $here/posix.c $common",
    openssl => "cc -std=c99 $flags $here/openssl.c $common $openssl",
    esp_tls => "cc -std=gnu99 $flags $here/esp_tls.c"
        . " $lib/cometa_esp_tls.c $common $openssl",
    arduino => "mkdir arduino.o && cd arduino.o"
        . " && cc -std=c99 $flags -c $common"
        . " && c++ -std=c++11 $flags -c $lib/cometa_arduino.cpp"
        . " $here/arduino.cpp && c++ *.o",
    lamp => "cc -std=c99 $flags $lib/example.c $lib/cometa.c"
        . " $lib/cometa_posix.c",
    lamp_tls => "cc -std=c99 $flags -DCOMETA_TLS $lib/example.c $lib/cometa.c"
        . " $lib/cometa_posix.c $openssl",
);

my %port = (
    posix => 8080, openssl => 8443, esp_tls => 8443, arduino => 8080
);

###############################################################################

# The sections that a device keeps in flash or RAM, without what a debugger or
# an exception would need.

sub size_of_code {
    my ($object) = @_;

    system("cc -std=c99 -Os -fno-asynchronous-unwind-tables -c $lib/cometa.c"
        . " -o $object") == 0 or return 'not compiled';

    my ($text, $data, $bss) = `size $object` =~ /^\s*(\d+)\s+(\d+)\s+(\d+)/m;

    diag("clients/c: $text bytes of code, " . ($data + $bss) . ' of data');

    return $text <= CODE && $data + $bss == 0 ? 'small' : "$text $data $bss";
}

sub device_in {
    my ($t, $transport, $id, $options, @secret) = @_;

    my $d = start($t, "$id@secret", "$dir/$transport", port($port{$transport}),
        $id, $options, @secret);
    $d->{id} = $id;

    return $d;
}

# The example of the library's README

sub is_a_lamp {
    my ($t, $name, $port) = @_;

    my $lamp = start($t, $name, "$dir/$name", 'localhost', $port, 'app1',
        $name);
    my $events = figures('app1')->{events};

    like(said($lamp, qr/\n/), qr/\Aattached, a heartbeat every 60 s\n\z/,
        "$name: attached");
    is(asked($name, 'on'), "200 The lamp is on.\n", "$name: is lit");
    is(asked($name, 'how?'), "200 The lamp is on.\n", "$name: says so");
    is(figures('app1')->{events} - $events, 1, "$name: and in an event");
}

# The refusal that a device meets

sub refused {
    my ($t, $id) = @_;
    return said(device_in($t, 'posix', $id, ''), qr/ms\n/);
}

###############################################################################

certificate($t, 'localhost');
$ENV{CA} = $ENV{SSL_CERT_FILE} = "$dir/localhost.crt";

my %failed = compiled($dir,
    { map { $_ => "cd $dir && $made{$_} -o $dir/$_" } keys %made });

ok(!$failed{$_}, "$_: compiled") || diag($failed{$_}) for sort keys %made;

is(size_of_code("$dir/size.o"), 'small', 'the library is small');

$t->write_file_expand('nginx.conf', client_conf(ssl => 1, server => <<'EOC'));

        location ~ ^/v1/applications/app1/devices/absent$ {
            return 404;
        }
EOC

$t->run();

# By chunks, over a WebSocket, with heartbeats each second, with several calls
# at a time

my %devices = map {
    my ($transport, $options) = split /-/;
    ($_ => device_in($t, $transport, $_, $options))
} map {
    my $transport = $_;
    map { "$transport-$_" } qw/ c w ehc ehw pc pw /
} sort keys %port;

my @all = sort grep { /-[cw]$/ } keys %devices;

is_a_device($_, $devices{$_}) for @all;
beats($_, $devices{$_}) for sort grep { /-eh/ } keys %devices;
takes_several($_, $devices{$_}) for sort grep { /-p/ } keys %devices;
taken_over($_, $devices{$_}) for @all;
comes_back($_, $devices{$_}) for @all;
leaves($_, $devices{$_}) for @all;

device_in($t, 'posix', 'text', 'wt');
is(asked('text', '3 x'), '200 3 x', 'a call in text');
is(asked('text', "3 \xff"), '415 text_required', 'one that is none');

is_a_lamp($t, 'lamp', port(8080));
is_a_lamp($t, 'lamp_tls', port(8443));

# Refusals

like(refused($t, 'closed'), qr/\Arefused 403 forbidden [3-6]\d{4} ms\n/,
    'without a secret');
like(said(device_in($t, 'posix', 'closed', '', 'what it knows'), qr/\n/),
    qr/\Aattached 1 60\n/, 'with it');
like(refused($t, 'full'), qr/\Arefused 503 zone_full ([7-9]\d{3}|10\d{3}) ms\n/,
    'Retry-After');
like(refused($t, 'absent'), qr/\Arefused 404 [3-6]\d{4} ms\n/,
    'no such address');

###############################################################################

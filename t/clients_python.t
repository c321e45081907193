#!/usr/bin/perl

# Devices and an application by the library in Python, and its examples.

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

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->has_daemon('python3')->plan(89);

my $dir = $t->testdir();
my ($lib, $here) = map { abs_path($_) } '../clients/python', 'clients';

# No bytecode is left beside the sources; of asyncio's faults all are seen.

@ENV{qw/ PYTHONPATH PYTHONDONTWRITEBYTECODE PYTHONWARNINGS SSL_CERT_FILE /}
    = ($lib, 1, 'error,ignore::ResourceWarning', "$dir/localhost.crt");

###############################################################################

sub device_in {
    my ($t, $id, $options, @secret) = @_;

    my $d = start($t, "$id@secret", 'python3', "$here/device.py", port(8080),
        $id, $options, @secret);
    $d->{id} = $id;

    return $d;
}

###############################################################################

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', client_conf(ssl => 1));

$t->run();

# Devices: over TCP, over TLS, by chunks, over a WebSocket

my @devices = map { device_in($t, "plain-$_", $_) } qw/ c w /;

{
    local $ENV{URL} = 'https://localhost:' . port(8443) . '/v1';
    push @devices, map { device_in($t, "tls-$_", $_) } qw/ c w /;
}

is_a_device($_->{id}, $_) for @devices;
beats("beats-$_", device_in($t, "beats-$_", $_)) for qw/ ehc ehw /;
takes_several("several-$_", device_in($t, "several-$_", $_)) for qw/ pc pw /;
is(asked('plain-w', 'fail'), '200 error', 'a handler that fails');
taken_over($_->{id}, $_) for @devices;
comes_back($_->{id}, $_) for @devices;
leaves($_->{id}, $_) for @devices;

like(said(device_in($t, 'closed', ''), qr/ms\n/),
    qr/\Aforbidden 403 [3-6]\d{4} ms\n/, 'without a secret');
like(said(device_in($t, 'closed', '', 'what it knows'), qr/\n/),
    qr/\Aattached 1 60\n/, 'with it');
like(said(device_in($t, 'full', 'w'), qr/ms\n/),
    qr/\Azone_full 503 ([7-9]\d{3}|10\d{3}) ms\n/, 'Retry-After');

# The examples

my $url = 'http://127.0.0.1:' . port(8080) . '/v1';
my $lamp = start($t, 'lamp', 'python3', "$lib/lamp.py", $url, 'app1', 'lamp-1');

like(said($lamp, qr/attached/), qr/lamp-1: attached, a heartbeat every 60 s/,
    'the lamp attaches');
is(`python3 $lib/switch.py $url app1 s3cret lamp-1`, "The lamp is on.\n",
    'and is switched on');
is(`python3 $lib/switch.py $url app1 s3cret lamp-2`,
    "lamp-2: device_offline\n", 'another one is not there');

# The application, which sees no other devices

$t->stop_daemons();
answer($t, device => 'dev1');
answer($t, device => 'slow', reply => sub { undef });
said(device_in($t, 'lamp', ''), qr/attached/);
wait_for(sub { figures('app1')->{num_devices} == 3 });

$ENV{URL} = $url;
tap_tests('application', 'python3', "$here/application.py");

###############################################################################

#!/usr/bin/perl

# Devices and an application by the library in JavaScript, in Node.js, and its
# examples.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib qw/ lib clients node /;
use ClientTest;
use Cwd qw/ abs_path /;
use NodeTest;
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl');

has_node($t)->plan(57);

my $dir = $t->testdir();
my $lib = abs_path('../clients/js');

$ENV{NODE_EXTRA_CA_CERTS} = "$dir/localhost.crt";

###############################################################################

sub device_in {
    my ($t, $id, $options, @secret) = @_;

    my $d = start($t, "$id@secret", 'node', abs_path('clients/device.mjs'),
        port(8080), $id, $options, @secret);
    $d->{id} = $id;

    return $d;
}

###############################################################################

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', client_conf(ssl => 1));

$t->run();

my $url = 'http://127.0.0.1:' . port(8080) . '/v1';

# Devices: over TCP, over TLS

my @devices = device_in($t, 'plain', '');

{
    local $ENV{URL} = 'https://localhost:' . port(8443) . '/v1';
    push @devices, device_in($t, 'tls', '');
}

is_a_device($_->{id}, $_) for @devices;
beats('beats', device_in($t, 'beats', 'eh'));
takes_several('several', device_in($t, 'several', 'p'));
is(asked('plain', 'fail'), '200 error', 'a handler that fails');
taken_over($_->{id}, $_) for @devices;
comes_back($_->{id}, $_) for @devices;
leaves($_->{id}, $_) for @devices;

like(said(device_in($t, 'closed', ''), qr/ms\n/),
    qr/\Aforbidden 403 [3-6]\d{4} ms\n/, 'without a secret');
like(said(device_in($t, 'closed', '', 'what it knows'), qr/\n/),
    qr/\Aattached 1 60\n/, 'with it');
like(said(device_in($t, 'full', ''), qr/ms\n/),
    qr/\Azone_full 503 ([7-9]\d{3}|10\d{3}) ms\n/, 'Retry-After');

# The examples

my $lamp = start($t, 'lamp', 'node', "$lib/lamp.js", $url, 'app1', 'lamp-1');

like(said($lamp, qr/\n/), qr/\Aattached, a heartbeat every 60 s\n/,
    'the lamp attaches');
is(`node $lib/switch.js $url app1 s3cret lamp-1`, "The lamp is on.\n",
    'and is switched on');
is(`node $lib/switch.js $url app1 s3cret lamp-2`,
    "lamp-2: device_offline\n", 'another one is not there');

# The application, which sees no other devices

$t->stop_daemons();
answer($t, device => 'dev1');
answer($t, device => 'slow', reply => sub { undef });
said(device_in($t, 'lamp', ''), qr/attached/);
wait_for(sub { figures('app1')->{num_devices} == 3 });

node_tests($t, '../clients/application.mjs', { URL => $url });

###############################################################################

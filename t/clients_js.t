#!/usr/bin/perl

# An application by the library in JavaScript, in Node.js, and its examples.

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

has_node($t)->plan(13);

my $dir = $t->testdir();
my $lib = abs_path('../clients/js');

###############################################################################

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, send => 'cometa_queue 128;'));

$t->run();

my $url = 'http://127.0.0.1:' . port(8080) . '/v1';

# The examples

answer($t, device => 'lamp-1', reply => sub { "$_[0]!" });

is(`node $lib/switch.js $url app1 s3cret lamp-1`, "on!\n", 'a lamp is switched');
is(`node $lib/switch.js $url app1 s3cret lamp-2`,
    "lamp-2: device_offline\n", 'another one is not there');

# The application, which sees no other devices

$t->stop_daemons();
answer($t, device => 'dev1');
answer($t, device => 'slow', reply => sub { undef });
wait_for(sub { figures('app1')->{num_devices} == 2 });

node_tests($t, '../clients/application.mjs', { URL => $url });

###############################################################################

#!/usr/bin/perl

# A silent device is closed in time, whoever attached before it and lives.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(4);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(server => <<"EOC"))->run();

        location ~ ^/short/$ids {
            cometa_attach;
            cometa_heartbeat 1s timeout=3s;
        }
EOC

###############################################################################

my ($first, $silent, $last)
    = map { device(uri => "/short/app1/$_") } qw/ first silent last /;

my $end = time() + 20;

while (time() < $end && !$silent->gone()) {
    $first->heartbeat();
    $last->heartbeat();
    sleep(0.2);
}

ok($silent->gone(), 'the silent one is closed');
is(stats('app1')->{json}{stats}{num_devices}, 2, 'the others are there');

# The one that was the first to attach is not the last to go

$end = time() + 20;

while (time() < $end && !$first->gone()) {
    $last->heartbeat();
    sleep(0.2);
}

ok($first->gone(), 'the first one, when it falls silent');
ok(!$last->gone(), 'but not the last one');

###############################################################################

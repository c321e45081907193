#!/usr/bin/perl

# A webhook with a single place: applications take turns for it, however many
# devices of one have events.

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

use constant { DEVICES => 20, EVENTS => 5 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(3);

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    http => 'log_format got "$http_cometa_application";',
    server => <<'EOC'))->run();

        location = /hook {
            internal;
            access_log %%TESTDIR%%/got.log got;
            return 204;
        }

        location ~ ^/hooked/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_secret off;
            cometa_webhook /hook concurrency=1;
        }
EOC

###############################################################################

my @many = map { device(uri => "/hooked/app1/dev$_") } 1 .. DEVICES;
my $one = device(uri => '/hooked/app2/dev');
my ($worker) = serving($t);

# The worker finds them all at once

stand_still($worker);

for my $n (1 .. EVENTS) {
    $_->event($n) for @many;
}

$one->event('one');

kill 'CONT', $worker;

my @got;
ok(wait_for(sub {
    @got = split /\n/, $t->read_file('got.log');
    return @got == DEVICES * EVENTS + 1;
}), 'all events go out');

my ($place) = grep { $got[$_] eq 'app2' } 0 .. $#got;
ok(defined $place, 'one is of another application');
cmp_ok($place, '<', @got / 2, 'it does not wait for all of the first one')
    or diag("number $place");

###############################################################################

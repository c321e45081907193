#!/usr/bin/perl

# A call that waits for its turn is not written behind its deadline, also if
# the worker of its caller stands still and cannot take it back.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(6);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    send => 'cometa_send_timeout 20s max=20s;'))->run();

my ($home, $far) = wait_serving($t, 2);

###############################################################################

my $d = device_on($home, device => 'dev1');
my ($near, $remote) = map { stream_on($_) } $home, $far;

my $first = call_start('app1', 'dev1', 'first', stream => $near);
is($d->read_chunk(), 'first', 'a call is written');

my $second = call_start('app1', 'dev1', 'second', stream => $remote,
    headers => { Prefer => 'wait=2' });
ok(wait_for(sub { stats('app1', stream => stream_on($home))
    ->{json}{stats}{queued} == 1 }), 'another one waits');

stand_still($far);
sleep(3);

$d->send_chunk('reply');
is(call_end($first)->{body}, 'reply', 'the first one is answered');
ok(!defined $d->read_chunk(1), 'the other one is not written any more');

kill 'CONT', $far;

is(call_end($second)->{status}, 504, 'its caller has been told');
is(reached($d, stream => $near), 'yes', 'the device serves the next one');

###############################################################################

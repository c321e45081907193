#!/usr/bin/perl

# A worker that leaves keeps devices that owe a reply until all others have
# gone, and some seconds more; then it does not wait for them.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(10);

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    shutdown => '60s', send => 'cometa_send_timeout 50s;'))->run();

###############################################################################

my @devices = map { device(device => "d$_") } 1 .. 20;
my @owing = @devices[0, 9];
my @idle = grep { $_ != $owing[0] && $_ != $owing[1] } @devices;

my @calls = map { call_start('app1', $_, 'message') } qw/ d1 d10 /;
is($_->read_chunk(), 'message', 'a call is written') for @owing;

my $master = master($t);
kill 'QUIT', $master;

# In any order: those that owe nothing have gone when this is over

is(scalar(grep { $_->closed(10) ne 'last' } @idle), 0,
    'devices that owe nothing are closed');
sleep(1);
is(scalar(grep { $_->gone() } @owing), 0, 'the others are spared');

$owing[0]->send_chunk('reply');
my $r = call_end($calls[0]);
is("$r->{status} $r->{body}", '200 reply', 'a reply is passed on');
is($owing[0]->closed(5), 'last', 'then its device is closed');

# The other one never answers

is($owing[1]->closed(20), 'last', 'and one that is silent, after a while');
$r = call_end($calls[1]);
is("$r->{status} $r->{json}{error}", '502 device_disconnected',
    'its caller is told');

$_->{stream}->close() for @calls;

ok(nginx_ends($t, $master), 'nginx ends');
is(scalar(grep { !$_->gone() } @devices), 0, 'and all devices have gone');

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

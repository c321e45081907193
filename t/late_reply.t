#!/usr/bin/perl

# How long a device may owe a reply that nobody waits for, and that a late one
# settles it: the next call has all its time.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(9);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(
    send => 'cometa_send_timeout 20s;', server => <<"EOC"))->run();

        location ~ ^/two/$ids {
            cometa_send;
            cometa_send_timeout 2s;
        }

        location ~ ^/four/$ids {
            cometa_send;
            cometa_send_timeout 4s;
        }
EOC

###############################################################################

my $d = device(device => 'dev1');
my $first = call_start('app1', 'dev1', 'first', uri => '/two/app1/dev1');

is($d->read_chunk(), 'first', 'a call is written');

# Behind it another one waits, so the device is never idle in between

my $second = call_start('app1', 'dev1', 'second');
ok(wait_for(sub { stats('app1')->{json}{stats}{queued} == 1 }),
    'another one waits');

is(call_end($first)->{status}, 504, 'the first one has had its time');

# Its reply is owed for 2 s more

$d->send_chunk('late');
is($d->read_chunk(), 'second', 'a late reply, and the second one is written');

sleep(3);
ok(!$d->gone(), 'the device may take longer than it had for the first');
$d->send_chunk('reply');
is(call_end($second)->{body}, 'reply', 'and its reply is passed on');

# The caller leaves at once: a device has the time of the call, and as much
# again

my $left = call_start('app1', 'dev1', 'left', uri => '/four/app1/dev1');
is($d->read_chunk(), 'left', 'a call whose caller leaves');
$left->{stream}->close();

sleep(4.5);
ok(!$d->gone(), 'the device may still answer behind the time of the call');
ok(wait_for(sub { $d->gone() }), 'but not for ever');

###############################################################################

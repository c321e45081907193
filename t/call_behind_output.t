#!/usr/bin/perl

# A device that replies before it has read the whole message: the next call is
# written when that message has left, and not before.

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

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(5);

# Small socket buffers, so that a message does not fit in.

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    listen => 'reuseport sndbuf=8192',
    http => 'cometa_max_message_size 256k;',
    send => 'cometa_send_timeout 20s;'))->run();

###############################################################################

my $d = device(device => 'dev1', rcvbuf => 4096);
my $message = 'x' x 250000;
my $first = call_start('app1', 'dev1', $message);
ok(wait_for(sub { $d->{stream}->readable(0) }), 'a message begins to arrive');

$d->send_chunk('early');
is(call_end($first)->{body}, 'early', 'the device replies to what it has read');

my $second = call_start('app1', 'dev1', 'second');
ok(wait_for(sub { stats('app1')->{json}{stats}{queued} == 1 }),
    'the next call waits');

# From here on the device says nothing until it has both

is(join(' ', map { length $d->read_chunk() } 1, 2), '250000 6',
    'it is written behind the first message');
$d->send_chunk('reply');
is(call_end($second)->{body}, 'reply', 'and answered');

###############################################################################

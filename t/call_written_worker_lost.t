#!/usr/bin/perl

# A call that has waited in line and was written then: if the worker of the
# device dies, its caller is told so, and it is never written again.

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

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()->plan(7);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    send => 'cometa_send_timeout 20s;'))->run();

my ($home, $far) = wait_serving($t, 2);

###############################################################################

my $d = device_on($home, device => 'dev1');
my @from = map { stream_on($far) } 1 .. 3;

my $first = call_start('app1', 'dev1', 'first', stream => $from[0]);
is($d->read_chunk(), 'first', 'a call is written');

my $second = call_start('app1', 'dev1', 'second', stream => $from[1]);
ok(wait_for(sub { stats('app1', stream => $from[2])
    ->{json}{stats}{queued} == 1 }), 'another one waits');

$d->send_chunk('reply');
is(call_end($first)->{body}, 'reply', 'the first one is answered');
is($d->read_chunk(), 'second', 'and the other one written');

kill 'KILL', $home;

my $r = call_end($second);
is("$r->{status} $r->{json}{error}", '502 worker_lost', 'its worker is killed');

wait_serving($t, 2, $home);
$d = device(device => 'dev1');
ok(!defined $d->read_chunk(1), 'it is not written again');

###############################################################################

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

#!/usr/bin/perl

# A device that never stops talking is called all the same: after so many turns
# a call is written, though there is more to be read.

###############################################################################

use warnings;
use strict;

use POSIX qw//;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

$SIG{PIPE} = 'IGNORE';

use constant { EVENT => "1\x0d\x0a\x07\x0d\x0a", EVENTS => 4_000_000 };

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(4);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    send => 'cometa_send_timeout 60s;'))->run();

my ($home, $far) = wait_serving($t, 2);

###############################################################################

my $d = device_on($home, device => 'dev1');
my %on_far = (stream => stream_on($far));
my $caller = stream_on($far);

sub events {
    return stats('app1', @_)->{json}{stats}{events};
}

# As much as the connection takes, and always more than has been read

my $flood = fork() // die "fork: $!\n";

if ($flood == 0) {
    $d->raw(EVENT x 10_000) or last for 1 .. EVENTS / 10_000;
    sleep(60);
    POSIX::_exit(0);
}

ok(wait_for(sub { events(%on_far) > 0 }), 'a device begins to talk');

my $call = call_start('app1', 'dev1', 'called', stream => $caller);

is($d->read_chunk(15), 'called', 'it is called');
cmp_ok(events(%on_far), '<', EVENTS, 'before it has come to an end');

kill 'KILL', $flood;
waitpid $flood, 0;
$d->close();

is(text(call_end($call)), '502 device_disconnected', 'it does not answer');

###############################################################################

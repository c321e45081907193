#!/usr/bin/perl

# What a device has said before a call is written is no reply to it, however
# much that is: all of it is read first.

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

use constant STRAY => 20000;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(6);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    send => 'cometa_send_timeout 20s;'))->run();

my ($home, $far) = wait_serving($t, 2);

###############################################################################

my $stray = 0;

for my $from ($home, $far) {
    my $name = $from == $home ? 'the worker of the device' : 'another worker';
    my $d = device_on($home, device => "dev$from");
    my $stream = stream_on($from);

    # When the worker goes on it finds both, and the call while it reads

    kill 'STOP', $home;
    $d->raw("1\x0d\x0ax\x0d\x0a" x STRAY);
    my $call = call_start('app1', $d->{device}, 'call', stream => $stream);
    kill 'CONT', $home;

    is($d->read_chunk(), 'call', "a call from $name");
    $d->send_chunk('reply');
    is(call_end($call)->{body}, 'reply', 'is answered by what follows it');

    $stray += STRAY;
    is(stats('app1')->{json}{stats}{errors}, $stray,
        'all else is counted as what answers no call');
}

###############################################################################

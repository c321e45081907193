#!/usr/bin/perl

# A worker hears of a device while somebody there wants to, and no longer.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers qw/ device_on stream_on text wait_serving stand_still /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(13);

$t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
    server => metrics_location()));
$t->run();

my ($near, $far) = wait_serving($t, 2);
my %on_near = (stream => stream_on($near));

my $d = device_on($near);
my $slot = slot_with_devices(0, %on_near);

# What lies in the mailbox of the other worker after three events. It stands
# still meanwhile, so it reads nothing.

sub mail_of_events {
    my ($d, $far, $slot, %on_near) = @_;

    my $app = stats('app1', %on_near)->{json}{stats};

    stand_still($far);
    $d->event($_) for 1 .. 3;
    wait_for(sub {
        stats('app1', %on_near)->{json}{stats}{events} == $app->{events} + 3
    });
    my $bytes = metric("cometa_mailbox_bytes{slot=\"$slot\"}", %on_near);
    kill 'CONT', $far;

    # all is read again before anything else happens
    wait_for(sub {
        metric("cometa_mailbox_bytes{slot=\"$slot\"}", %on_near) == 0
    });

    return $bytes;
}

###############################################################################

is(mail_of_events($d, $far, $slot, %on_near), 0, 'no websocket, no mail');

# WebSockets

my @sockets = map { websocket_on($far) } 1 .. 2;
cmp_ok(mail_of_events($d, $far, $slot, %on_near), '>', 0, 'websockets');
is(join(', ', map { $_->heard(3) } @sockets),
    join(', ', ('text 1, text 2, text 3') x 2), 'hear the events');

$sockets[0]->goodbye();
ok(figure_is('app1', 'websockets', 1), 'one of them leaves');
cmp_ok(mail_of_events($d, $far, $slot, %on_near), '>', 0, 'mail for the other');
is($sockets[1]->heard(3), 'text 1, text 2, text 3', 'which hears it');

$sockets[1]->reset();
ok(figure_is('app1', 'websockets', 0), 'the other one leaves');
is(mail_of_events($d, $far, $slot, %on_near), 0, 'no mail any more');

# Calls that wait for an attach

$d->detach();
$d->closed();

is(text(call('app1', 'dev1', 'x', stream => stream_on($far),
    headers => { 'Cometa-Wait' => 1 })), '404 device_offline',
    'a call that waits in vain');

{
    my $call = call_start('app1', 'dev1', 'y', stream => stream_on($far),
        headers => { 'Cometa-Wait' => 5 });
    stats('app1', stream => stream_on($far));

    # at once where it shall be: one that was elsewhere before might be called
    $d = device(stream => stream_on($near));
    is($d->read_chunk(), 'y', 'one that does not');
    $d->send_chunk('z');
    is(text(call_end($call)), '200 z', 'is answered');
}

is(mail_of_events($d, $far, $slot, %on_near), 0, 'no mail after them');

# One that goes away while it waits

$d->detach();
$d->closed();

{
    my $call = call_start('app1', 'dev1', 'y', stream => stream_on($far),
        headers => { 'Cometa-Wait' => 5 });
    wait_for(sub { stats('app1')->{json}{stats}{calls} == 1 });
    $call->{stream}->close();
    wait_for(sub { stats('app1')->{json}{stats}{calls} == 0 });
    $d = device_on($near);
    is(mail_of_events($d, $far, $slot, %on_near), 0,
        'nor after one whose caller has gone');
}

###############################################################################

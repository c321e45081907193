#!/usr/bin/perl

# A WebSocket of an old worker that was about to move, and cannot any more: it
# goes on where it is.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)->plan(7);

certificate($t, 'localhost');
$t->write_file_expand('nginx.conf', websocket_conf(workers => 1, ssl => 1,
    shutdown => '60s',
    websocket => 'cometa_send_timeout 60s;'))->run();

sub reload_to_others {
    my ($t) = @_;

    my %old = map { $_ => 1 } serving($t);

    $t->reload();
    wait_for(sub {
        my @now = serving($t);
        return @now && !grep { $old{$_} } @now;
    }, 10) or die "no new worker\n";
}

# Two calls wait for a device over TLS, which stays where it attaches.

my ($old) = serving($t);
my $first = device(device => 'd', ssl => 1);
my $w = websocket(device => 'd');

$w->text('one');
$w->text('two');
is($first->read_chunk(), 'one', 'a call is with the device');

# The device attaches at a new worker: that is where the WebSocket is to go when
# the second call has ended.

reload_to_others($t);
my $second = device(device => 'd', ssl => 1);

is($w->heard(), 'error device_taken_over', 'the device is taken over');
is($second->read_chunk(), 'two', 'the second call goes to the new worker');
ok(wait_log($t, qr/cometa ws is to move/), 'the WebSocket is to follow');

# That worker leaves as well, before the call ends.

kill 'STOP', $old;
reload_to_others($t);
kill 'CONT', $old;

$second->send_chunk('re: two');
is($w->said(), 'text re: two', 'the call ends');

$w->text('three');
is($second->read_chunk(), 'three', 'the next one is heard');
$second->send_chunk('re: three');
is($w->said(), 'text re: three', 'and answered');

$w->close();
$_->close() for $first, $second;
$t->stop();

###############################################################################

#!/usr/bin/perl

# A worker that finds no slot of the zone serves all but cometa's requests, and
# tries on. When it gets one and cannot start on it, it gives the slot back and
# tries again, until it can.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Of one worker there are so many slots, and so few connections.

use constant { SLOTS => 24, CONNECTIONS => 16 };

# That there are not enough connections is an [alert] in the log; the last test
# says that there is nothing else.

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)->todo_alerts()
    ->plan(13);

certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    shutdown => '120s', connections => CONNECTIONS, ssl => 1,
    server => metrics_location()))->run();

my ($worker) = wait_serving($t, 1);

###############################################################################

# A device over TLS keeps its worker over a reload, and this one its slot.

my @d;

for my $n (1 .. SLOTS) {
    push @d, device(device => "d$n", ssl => 1);
    ($worker) = reload_all($t, 1);
}

is(join(' ', grep { $_ != 200 } map { $_->{status} } @d), '', 'all attach');
ok(log_count($t, qr/cometa_zone has no slot left/), 'the last one has no slot');
is(device(device => 'new')->{status}, 503, 'and takes no device');
like(http_get('/pid'), qr/\b$worker\z/, 'but serves other requests');

# It has no connection left either, not even for the mailbox of the slot that it
# gets: requests that have begun are not closed to make room.

my @begun;

ok(wait_for(sub {
    push @begun, caller_stream();
    $begun[-1]->write("GET /pid HTTP/1.1\x0d\x0aHost: ");
    return log_count($t, qr/\[alert\].*worker_connections are not enough/);
}), 'it has no connection');

my ($first) = grep { !$_->gone() } @d;
$first->detach();
is($first->closed(), 'last', 'a device leaves, and its worker');
ok(wait_log($t, qr/has a slot of cometa_zone but could not start/),
    'it gets the slot and gives it back');

# There is no other one, so it has been given back indeed if it is got again

ok(wait_for(sub { log_count($t, qr/but could not start/) > 1 }, 20),
    'and gets it again');

# Now it can start

$_->close() for @begun;

my $d;
ok(wait_for(sub {
    $d = device(device => 'new');
    return $d->{status} == 200;
}), 'it gets it once more, and takes a device');
is(reached($d), 'yes', 'which is called');

$_->close() for @d;
ok(wait_for(sub { 1 == (my @now = processes($t)) }, 10), 'the others leave');
is(scalar(() = stats('x', uri => '/metrics')->{body}
    =~ /^cometa_worker_devices\{/mg), 1, 'and it has one slot');
$d->close();
$t->stop();

is(expected_alerts($t, qr/worker_connections are not enough/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.

undef $t;

###############################################################################

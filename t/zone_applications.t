#!/usr/bin/perl

# Applications: as many as the zone has places for, and places of those that
# have nothing worth keeping are given to others.

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

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(22);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2, zone => '1m',
    server => <<'EOC'))->run();

        location ~ ^/open/(?<app>[^/]+)/(?<device>[^/]+)/send$ {
            cometa_send;
            cometa_secret off;
        }

        location ~ ^/open/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_secret off;
        }

        location ~ ^/key/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_websocket;
            cometa_websocket_key_timeout 1h;
            cometa_secret off;
        }

        location ~ ^/stats/(?<app>[^/]+)$ {
            cometa_stats;
            cometa_secret off;
        }

        location = /metrics {
            cometa_stats prometheus;
            cometa_secret off;
        }
EOC

my @pids = wait_serving($t, 2);

sub metric {
    my ($name) = @_;
    my ($value) = stats('x', uri => '/metrics')->{body} =~ /^$name (\d+)$/m;
    return $value;
}

sub open_device {
    my ($app) = @_;
    return device(uri => "/open/$app/dev", app => $app, device => 'dev');
}

sub figure {
    my ($app, $name) = @_;
    return stats($app, uri => "/stats/$app")->{json}{stats}{$name};
}

###############################################################################

my $capacity = metric('cometa_zone_applications_capacity');

cmp_ok($capacity, '>=', 16, "1m has room for $capacity applications");

# As many as the capacity says, on both workers, with calls

my @d = map { open_device("full$_") } 1 .. $capacity;

is(join(' ', grep { $_ != 200 } map { $_->{status} } @d), '',
    'as many applications have devices');

is(join(' ', grep { $_ ne 'yes' }
    map { reached($_, uri => "/open/$_->{app}/dev/send") } @d), '',
    'which are called');

is(metric('cometa_zone_applications_used'), $capacity, 'all places are used');

my $refused = open_device('more');
is("$refused->{status} $refused->{json}{error}", '503 zone_full',
    'one more is refused');
$refused->close();

# Counts that are worth keeping outlive the devices

$_->close() for @d;
ok(wait_for(sub { figure('full1', 'num_devices') == 0 }), 'they leave');
$refused = open_device('more');
is($refused->{status}, 503, 'their counts are kept');
$refused->close();
is(figure('full1', 'messages'), 1, 'as they were');

$t->stop();
$t->run();
@pids = wait_serving($t, 2);

# Invented names that attach and leave, in any number

my %status;
my $named = 0;

for my $i (1 .. 5 * $capacity) {
    my $d = open_device("invented$i");
    $status{$d->{status}}++;
    $d->close();
    wait_for(sub { figure("invented$i", 'num_devices') == 0 });
    $named = metric('cometa_zone_applications_used') if $i == 2 * $capacity;
}

is(join(' ', %status), '200 ' . 5 * $capacity,
    'five times as many invented names come and go');
is($named, 0, 'none of them has anything worth keeping');

my $real = device(app => 'app2', device => 'dev');
is($real->{status}, 200, 'the real second application attaches');
is(reached($real, secret => 'other'), 'yes', 'and is called');

is(figure('invented1', 'attached_total'), 0, 'the first one is forgotten');

# What is in use is not given away: a device, a key, and what they count

my $key = stats('held', uri => '/key/held/dev');
is($key->{status}, 200, 'a key');

for my $i (1 .. 3 * $capacity) {
    my $d = open_device("again$i");
    $d->close();
    wait_for(sub { figure("again$i", 'num_devices') == 0 });
}

is(reached($real, secret => 'other'), 'yes', 'the device is still there');
is(stats('app2', secret => 'other')->{json}{stats}{attached_total}, 1,
    'with its counts');

# Names on two lists at once would be two series of one name

my $body = stats('x', uri => '/metrics')->{body};
my @names = $body =~ /^cometa_devices\{application="(.*?)"\}/mg;
my %names = map { $_ => 1 } @names;
is(scalar(@names), scalar(keys %names), 'no name twice in the metrics');
ok($names{app2}, 'the real one is there');
ok($names{held}, 'and the one that has a key');
cmp_ok(scalar(@names), '<=', $capacity, 'no more names than places');

# Killed workers keep no place, but for the counts of app2 and the key

my @held = map { open_device("held$_") } 1 .. $capacity - 2;
kill 'KILL', @pids;
wait_serving($t, 2, @pids);
$_->close() for @held;

%status = ();
for my $i (1 .. $capacity - 2) {
    my $d = open_device("after$i");
    $status{$d->{status}}++;
    push @held, $d;
}
is(join(' ', %status), '200 ' . ($capacity - 2),
    'the places of killed workers are given to others');
$_->close() for @held;
$real->close();

$t->stop();
is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

undef $t;

###############################################################################

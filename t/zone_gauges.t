#!/usr/bin/perl

# Gauges are those of the living, whoever is killed, also where there are more
# workers and applications than sets of counters in the zone.

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

use constant WORKERS => 6;
use constant APPS => 10;
use constant ROUNDS => 6;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(3 * ROUNDS + 5);

$t->write_file_expand('nginx.conf', worker_conf(workers => WORKERS,
    zone => '768k', shutdown => '30s', server => <<'EOC'))->run();

        location ~ ^/open/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_secret off;
            add_header Pid $pid always;
        }

        location = /metrics {
            cometa_stats prometheus;
            cometa_secret off;
        }
EOC

wait_serving($t, WORKERS);

my %devices;
my $n = 0;

sub come {
    my ($count) = @_;

    for (1 .. $count) {
        my $app = 'app' . (1 + int rand APPS);
        my $id = 'd' . ++$n;
        my $d = device(uri => "/open/$app/$id", app => $app, device => $id);
        die "attach: $d->{status}\n" if $d->{status} != 200;
        $devices{$id} = $d;
    }
}

# By application, and in other sums.

sub counted {
    my $body = stats('x', uri => '/metrics')->{body};

    my %apps = $body =~ /^cometa_devices\{application="(.*?)"\} (\d+)$/mg;
    my $workers = 0;
    $workers += $_ for $body =~ /^cometa_worker_devices\{.*?\} (\d+)$/mg;
    my ($records) = $body =~ /^cometa_zone_records_used (\d+)$/m;

    return (join(' ', map { "$_=$apps{$_}" } grep { $apps{$_} }
        sort keys %apps), $workers, $records);
}

sub expected {
    my %apps;
    $apps{$_->{app}}++ for values %devices;
    return join ' ', map { "$_=$apps{$_}" } sort keys %apps;
}

# Those that were lost with their workers are known by the end of their
# connection; after a reload nobody can say where a device is.

sub settled {
    my @now;

    wait_for(sub {
        delete @devices{grep { $devices{$_}->gone() } keys %devices};
        @now = counted();
        return $now[0] eq expected();
    }, 10);

    return @now;
}

###############################################################################

come(120);
is((settled())[0], expected(), 'devices of each application');

for my $round (1 .. ROUNDS) {

    # some workers are killed, others leave after a reload

    my @old = serving($t);
    my @killed = @old[0 .. $round % 3];

    kill 'KILL', @killed;
    wait_serving($t, WORKERS, @killed);

    reload_all($t, WORKERS) if $round % 2;

    # some leave, others come

    my @some = (sort keys %devices)[0 .. 19];
    $_->close() for grep { defined } delete @devices{grep { defined } @some};
    come(50);

    my ($apps, $workers, $records) = settled();

    is($apps, expected(), "round $round: gauges of applications");
    is($workers, scalar(keys %devices), "round $round: and of workers");
    is($records, scalar(keys %devices),
        "round $round: records of dead workers are not counted");
}

# Nobody is left

$_->close() for values %devices;
%devices = ();

my ($apps, $workers, $records) = settled();
is($apps, '', 'all have left');
is($workers, 0, 'also of the workers');
is($records, 0, 'and no record is used');

$t->stop();
is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

undef $t;

###############################################################################

#!/usr/bin/perl

# A zone that is full refuses attaches, and nothing else.

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

# The larger one divides its records among several locks.

my @zones = ([ '192k', 1 ], [ '480k', 2 ]);

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(1 + 27 * @zones);

plan(skip_all => 'not enough descriptors') if descriptors() < 16384;

sub descriptors {
    my ($limit) = Test::Nginx::Cometa::Workers::slurp('/proc/self/limits')
        =~ /^Max open files\s+(\d+)/m;
    return $limit;
}

# Attaches these; returns how many got in.  They are kept in %devices.

use constant BATCH => 100;

my %devices;

sub attach {
    my (@ids) = @_;

    my $n = 0;

    while (my @batch = splice @ids, 0, BATCH) {
        my @started = map {
            Test::Nginx::Cometa::Device->start(device => $_)
        } @batch;

        for my $d (@started) {
            $d->finish();

            if ($d->{status} == 200) {
                $devices{$d->{device}} = $d;
                $n++;
                next;
            }

            $devices{refused} = $d;
            $d->close();
        }
    }

    return $n;
}

sub leave {
    my ($name, @ids) = @_;

    $_->close() for delete @devices{@ids};
    my $left = keys %devices;

    ok(wait_for(sub { num_devices() == $left }, 10), "$name: they leave");
}

sub sample {
    my @ids = @_;
    return map { $ids[rand @ids] } 1 .. 20;
}

sub unreached {
    return join ' ', grep { $_ ne 'yes' }
        map { reached($devices{$_}) } sample(keys %devices);
}

# The least that a zone must hold.

sub records {
    my ($zone) = @_;

    my ($k) = $zone =~ /(\d+)/;

    # 5/32 for counters and keys, 54k for what is fixed, 100 bytes a device
    return int(0.95 * ($k * 27 / 32 - 54) * 1024 / 100);
}

###############################################################################

sub full {
    my ($zone, $workers) = @_;

    %devices = ();

    $t->write_file_expand('nginx.conf', worker_conf(workers => $workers,
        zone => $zone, connections => 8192));
    $t->run();
    my @pids = wait_serving($t, $workers);

    # Fills it

    my $expected = records($zone);
    my $capacity = attach(map { "a$_" } 1 .. 1.2 * $expected);
    my $refused = delete $devices{refused};

    cmp_ok($capacity, '>=', $expected, "$zone: capacity");
    cmp_ok($capacity, '<', 1.2 * $expected, "$zone: is full");

    is("$refused->{status} $refused->{json}{error}", '503 zone_full',
        "$zone: refusal");
    is($refused->{json}{msg}, '503 Service Temporarily Unavailable',
        "$zone: its status line");

    # What is there is served

    is(num_devices(), $capacity, "$zone: number");
    is(scalar(list()), $capacity, "$zone: list");
    is(unreached(), '', "$zone: calls");
    is(stats('app1/devices/a1')->{json}{device_id}, 'a1', "$zone: a device");
    is(text(call('app1', 'nobody', 'x')), '404 device_offline',
        "$zone: an offline one");

    # Retry-After with jitter, and nothing changes by asking

    my %after;
    for (1 .. 30) {
        my $d = device(device => "b$_");
        my $after = $d->header('Retry-After');
        $after{$d->{status} == 503 && defined $after && $after =~ /\A[1-9]\d*\z/
            ? $after : 'none'}++;
        $d->close();
    }

    is($after{none}, undef, "$zone: Retry-After");
    cmp_ok(scalar(keys %after), '>', 2, "$zone: with jitter");
    is(num_devices(), $capacity, "$zone: number after refusals");

    # Whoever is in may attach again

    my @again = sample(grep { $_ ne 'a1' } keys %devices);
    my @old = delete @devices{@again};
    @old = grep { defined } @old;
    my %ids = map { $_ => 1 } @again;
    is(attach(keys %ids), scalar(keys %ids), "$zone: takeover");
    is(join(' ', grep { ($_->closed() || 'open') ne 'last' } @old), '',
        "$zone: the old ones are closed");
    is(unreached(), '', "$zone: calls after takeover");
    is(num_devices(), $capacity, "$zone: number after takeover");

    # Some leave, as many others come

    my @some = (sort keys %devices)[0 .. 49];
    leave("$zone: some", @some);
    my $others = attach(map { "c$_" } 1 .. 200);
    delete $devices{refused};
    cmp_ok($others, '>=', 48, "$zone: others come instead");
    cmp_ok($others, '<=', 50, "$zone: no more than have left");

    # All leave, others fill it again

    leave("$zone: all", keys %devices);
    my $filled = attach(map { "e$_" } 1 .. $capacity + 100);
    delete $devices{refused};
    cmp_ok($filled, '>=', int 0.95 * $capacity, "$zone: filled by others");
    cmp_ok($filled, '<=', $capacity, "$zone: to the same capacity");
    is(unreached(), '', "$zone: calls to them");

    # Killed workers leave their records to others

    kill 'KILL', @pids;
    wait_serving($t, $workers, @pids);
    ok(wait_for(sub { num_devices() == 0 }), "$zone: killed, all are gone");
    $_->close() for values %devices;
    %devices = ();

    $filled = attach(map { "f$_" } 1 .. $capacity + 100);
    delete $devices{refused};
    cmp_ok($filled, '>=', int 0.95 * $capacity,
        "$zone: the records of killed workers are used");
    is(num_devices(), $filled, "$zone: number in the end");
    is(unreached(), '', "$zone: calls in the end");

    $_->close() for values %devices;
    $t->stop();
}

full(@$_) for @zones;

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

#!/usr/bin/perl

# An application ends connections while other things happen: an attach that is
# not answered yet, a reload, workers that are killed.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    MANY => 60,
    RATE => 40
};

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(30);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    shutdown => '60s',
    http => 'cometa_drain rate=' . RATE . '/s;'
        . 'map $http_slow $rate { default 0; 1 20; }',
    attach => 'cometa_detach; limit_rate $rate; limit_rate_after 0;',
    list => 'cometa_detach;'))->run();

my @pids = wait_serving($t, 2);

###############################################################################

sub detach {
    my ($path, %o) = @_;
    return call('app1', undef, undef, method => 'DELETE',
        uri => "/v1/applications/app1/devices$path", %o);
}

sub online {
    my ($prefix) = @_;
    return scalar grep { /^$prefix/ } list();
}

sub many_on {
    my ($pid, $prefix) = @_;
    return map { device_on($pid, device => "$prefix$_") } 1 .. MANY;
}

# Devices whose connections have ended; a last chunk is read.

sub gone {
    return scalar grep { $_->read_chunk(0); $_->gone() } @_;
}

# An attach that is being answered: the device is in the registry, and has no
# connection yet.

{
    my $d = Test::Nginx::Cometa::Device->start(device => 'slow',
        headers => { Slow => 1 });
    ok(wait_for(sub { online('slow') }), 'a device attaches slowly');
    is(stats('app1/devices/slow')->{status}, 404, 'and is not there yet');

    is(text(detach('/slow?session=1')), '404 device_offline',
        'another session of it');

    my $r = detach('/slow');
    is($r->{status}, 200, 'it is ended all the same');
    is(text(detach('/slow')), '404 device_offline', 'once');
    is(text(call('app1', 'slow', 'x')), '404 device_offline',
        'no call goes to it');

    $d->finish(60);
    is($d->{status}, 200, 'its attach is answered');
    is($d->closed(30), 'last', 'and it is closed');
    is(online('slow'), 0, 'it has gone');

    $d = device(device => 'slow');
    is(reached($d), 'yes', 'the next attach stays');
    $d->close();
}

# By prefix, while it attaches

{
    my $d = Test::Nginx::Cometa::Device->start(device => 'slow',
        headers => { Slow => 1 });
    ok(wait_for(sub { online('slow') }), 'a device attaches slowly');

    is(detach('?prefix=slow')->{json}{num_devices}, 1, 'by prefix');
    ok(wait_log($t, qr{1 of 1 devices were ended.*"app1/slow\*"}),
        'by prefix: the log tells the end');
    $d->finish(60);
    is($d->closed(30), 'last', 'by prefix: it is closed');
}

# The worker of the devices is killed

{
    my @many = many_on($pids[0], 'owner');
    my @others = map { device_on($pids[1], device => "other$_") } 1 .. 3;

    is(detach('?prefix=owner', stream => stream_on($pids[1]))->{json}
        {num_devices}, MANY, 'by another worker: accepted');
    ok(wait_for(sub { gone(@many) > 5 }), 'some are ended');

    my @old = @pids;
    kill 'KILL', $pids[0];
    @pids = ($pids[1], grep { $_ != $pids[1] }
        wait_serving($t, 2, $pids[0]));

    ok(wait_log($t, qr{of 60 devices were ended .* 0 did not .*app1/owner\*}),
        'its worker dies: that ends, too');
    is(online('owner'), 0, 'its worker dies: none is left');
    is(reached($others[0]), 'yes', 'its worker dies: others stay');

    $_->close() for @others;
}

# The worker that ends them is killed

{
    my @many = many_on($pids[0], 'rest');

    is(detach('?prefix=rest', stream => stream_on($pids[1]))->{json}
        {num_devices}, MANY, 'before it dies: accepted');
    ok(wait_for(sub { gone(@many) > 5 }), 'before it dies: some are ended');

    kill 'KILL', $pids[1];
    @pids = ($pids[0], grep { $_ != $pids[0] }
        wait_serving($t, 2, $pids[1]));

    my ($left) = grep { !$_->gone() } @many;
    is(reached($left), 'yes', 'who ends them dies: the rest stays');
    is(online('rest'), MANY - gone(@many), 'who ends them dies: in the list');

    $_->close() for @many;
    ok(wait_for(sub { online('rest') == 0 }), 'the rest has left');
}

# A reload meanwhile: devices move while they are ended, and come back

{
    my @many = map { many_on($_, "moved$_-") } @pids;
    my $n = @many;

    is(detach('?prefix=moved')->{json}{num_devices}, $n, 'reload: accepted');
    ok(wait_for(sub { gone(@many) > 5 }), 'reload: some are ended');

    my @old = @pids;
    @pids = reload_all($t, 2);

    my %back;

    ok(wait_for(sub {
        for my $d (grep { !$back{$_->{device}} } @many) {
            $d->read_chunk(0);
            $back{$d->{device}} = device(device => $d->{device})
                if $d->gone();
        }
        return keys %back == $n;
    }, 20), 'reload: all are ended');

    ok(wait_log($t, qr{$n of $n devices were ended.*"app1/moved\*"}),
        'reload: the log tells the end');
    wait_gone($t, 20, @old);

    is(scalar(grep { !$_->gone() } values %back), $n,
        'reload: none is ended twice');
}

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'nothing else in the log');

###############################################################################

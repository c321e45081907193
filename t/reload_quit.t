#!/usr/bin/perl

# nginx stops, gracefully or fast, while devices are attached.

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

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(44);

# nginx with "-s", beside the one that runs.

sub signal {
    my ($name) = @_;

    my $dir = $t->testdir();
    local $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} || (),
        'detect_odr_violation=0', 'detect_leaks=0';

    system("'$Test::Nginx::NGINX' -p '$dir/' -c nginx.conf -e error.log"
        . " -s $name") == 0 or die "Can't signal nginx\n";
}

# Whether the process has ended, reaped or not.

sub ended {
    my ($pid) = @_;
    return Test::Nginx::Cometa::Workers::slurp("/proc/$pid/stat")
        !~ /\) [^Z] /;
}

sub start {
    my (%o) = @_;

    $t->write_file_expand('nginx.conf', worker_conf(shutdown => '60s', %o));
    $t->run();
}

sub devices {
    my ($n) = @_;
    return map { device(device => "d$_", form => $_ % 2 ? 'B' : 'A') } 1 .. $n;
}

# How the devices end, each way once.

sub ends {
    my %ends = map { (defined $_ ? $_ : 'open') => 1 }
        map { $_->closed(5) } @_;
    return join ' ', sort keys %ends;
}

sub quits {
    my ($name, %o) = @_;

    start(%o);

    my @devices = devices(20);
    my $pid = master($t);
    my @pids = processes($t);

    is(scalar(grep { reached($_) ne 'yes' } @devices), 0, "$name: calls");

    # one call is written, one waits; both callers get an answer
    my $written = call_start('app1', 'd1', 'written');
    is($devices[0]->read_chunk(), 'written', "$name: a call is written");
    my $waiting = call_start('app1', 'd1', 'waiting');
    ok(wait_for(sub { stats('app1')->{json}{stats}{queued} == 1 }),
        "$name: another waits");

    my $watch = stopwatch();
    signal('quit');

    # a device is given the time for what it has begun
    $devices[0]->send_chunk('done');
    is(text(call_end($written)), '200 done', "$name: it is answered");

    is($devices[0]->read_chunk(), 'waiting', "$name: its turn");
    $devices[0]->send_chunk('done too');
    is(text(call_end($waiting)), '200 done too', "$name: and its answer");

    # nginx lingers for callers that do not close
    $_->{stream}->close() for $written, $waiting;

    is(ends(@devices), 'last', "$name: devices get a last chunk");
    ok(wait_for(sub { ended($pid) }, 9), "$name: nginx ends");
    cmp_ok($watch->took(), '<', 8, "$name: within seconds");
    is(scalar(grep { !ended($_) } @pids), 0, "$name: no worker is left");

    nginx_ends($t, $pid);
}

quits('one worker', workers => 1);
quits('4 workers', workers => 4);

# Without a master

{
    start(workers => 1, main => 'master_process off;');

    my @devices = devices(5);
    my $pid = master($t);

    is(scalar(grep { reached($_) ne 'yes' } @devices), 0,
        'no master: calls');
    is(join(' ', list()), 'd1 d2 d3 d4 d5', 'no master: list');

    # such an nginx takes "quit" for "stop"
    signal('quit');
    unlike(ends(@devices), qr/open/, 'no master: devices are closed');
    ok(wait_for(sub { ended($pid) }), 'no master: nginx ends');
    nginx_ends($t, $pid);

    start(workers => 1, main => 'master_process off;');
    @devices = devices(5);
    $pid = master($t);

    # after a reload nginx itself accepts nothing more, but lets nobody go
    $t->reload();
    ok(wait_log($t, qr/\[notice\].*: reconfiguring/), 'no master: a reload');
    is(scalar(grep { $_->gone() } @devices), 0, 'no master: devices stay');

    signal('stop');
    ok(wait_for(sub { ended($pid) }), 'no master: stop');
    unlike(ends(@devices), qr/open/, 'no master: devices are closed');
    nginx_ends($t, $pid);
}

# Fast

for my $n (1, 4) {
    start(workers => $n);

    my @devices = devices(20);
    my $pid = master($t);
    my @pids = processes($t);

    my $call = call_start('app1', 'd1', 'written');
    is($devices[0]->read_chunk(), 'written', "stop, $n workers: a call");

    my $watch = stopwatch();
    signal('stop');
    ok(wait_for(sub { ended($pid) }), "stop, $n workers: nginx ends");
    cmp_ok($watch->took(), '<', 5, "stop, $n workers: at once");
    unlike(ends(@devices), qr/open/, "stop, $n workers: devices are closed");
    is(scalar(grep { !ended($_) } @pids), 0,
        "stop, $n workers: no worker is left");
    call_end($call);

    nginx_ends($t, $pid);
}

# After a stop all is as before: nothing was kept

{
    start(workers => 2);

    is(join(' ', list()), '', 'started again: no device');
    my $d = device(device => 'd1');
    is($d->{status}, 200, 'attach');
    is(reached($d), 'yes', 'a call');
    is(num_devices(), 1, 'one device');

    # a device that does not read does not hold the end up
    my $deaf = device(device => 'deaf', rcvbuf => 65536);
    call_start('app1', 'deaf', 'x' x 60000);
    my $pid = master($t);
    my $watch = stopwatch();
    signal('quit');
    ok(wait_for(sub { ended($pid) }, 9), 'quit with a device that is deaf');
    cmp_ok($watch->took(), '<', 15, 'within seconds');
    nginx_ends($t, $pid);
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

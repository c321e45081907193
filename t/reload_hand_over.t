#!/usr/bin/perl

# After a reload plain devices are on new workers, with their connection and
# all that is known of them; nobody is told, and the old workers leave.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Socket::IP;
use List::Util qw/ max sum /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { DEVICES => 260, IPV6 => 20 };

# A configuration that is refused is an [emerg] in the log; the last test says
# that there is nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(79);

my $six = IO::Socket::IP->new(LocalHost => '::1', Listen => 1) ? 1 : 0;

sub configure {
    my (%o) = @_;

    $o{server} = metrics_location()
        . ($six ? 'listen [::1]:%%PORT_8085%%;' : '')
        . (defined $o{server} ? $o{server} : '');

    $t->write_file_expand('nginx.conf', worker_conf(
        workers => 2, shutdown => '60s',
        attach => 'cometa_heartbeat 60s timeout=600s;', %o));
}

configure();
$t->run();

# A device that comes by IPv6.

sub device_six {
    my (%o) = @_;

    my $socket = IO::Socket::IP->new(PeerHost => '::1',
        PeerPort => port(8085)) or die "Can't connect: $!\n";
    $socket->blocking(0);

    my $d = bless {
        app => 'app1', form => 'A', %o, status => 0, interim => 0,
        stream => bless({ socket => $socket, in => '', eof => 0 },
            'Test::Nginx::Cometa::Stream')
    }, 'Test::Nginx::Cometa::Device';

    $d->raw(Test::Nginx::Cometa::Device::request(%$d));
    $d->finish();

    return $d;
}

my %devices;

# What is known of all devices, as the world is told.

sub known {
    return map { $_ => stats("app1/devices/$_")->{body} } keys %devices;
}

# Figures that a move must not change.

sub totals {
    my $figures = figures('app1');

    return join ' ', map { "$_=$figures->{$_}" } qw/
        num_devices attached_total detached_total messages errors bytes_up
        bytes_down events late failed calls queued
    /;
}

sub lost {
    return metric('cometa_devices_lost_total') || 0;
}

sub told {
    return log_count($t, qr/device (?:attached|detached)/);
}

sub moves {
    return log_count($t, qr/device has moved here/);
}

sub loads {
    my $body = stats('x', uri => '/metrics')->{body};
    return sort { $a <=> $b }
        grep { $_ } $body =~ /^cometa_worker_devices\{.*?\} (\d+)$/mg;
}

sub ended {
    return scalar grep { $_->gone() } values %devices;
}

sub unreached {
    my %said;

    for my $id (sort keys %devices) {
        my $said = reached($devices{$id});
        push @{$said{$said}}, $id if $said ne 'yes';
    }

    return join ', ', map { "$_: " . @{$said{$_}} } sort keys %said;
}

# All are called on their old connections, and listed.

sub intact {
    my ($name) = @_;
    is(ended(), 0, "$name: no connection has ended");
    is(unreached(), '', "$name: all are called");
    ok(join(' ', list()) eq join(' ', sort keys %devices), "$name: list");
}

# Reloads, and waits until the old workers have left.

sub handed_over {
    my ($name, $workers) = @_;

    my @old = processes($t);
    reload_all($t, $workers);

    ok(wait_gone($t, 5, @old), "$name: the old workers leave");
}

# What is on its way counts twice for a moment, so that few devices are spread
# less evenly than many.

sub spread {
    my ($name, $workers) = @_;

    my @loads = loads();
    is(scalar(@loads), $workers, "$name: all workers have devices");
    cmp_ok(max(@loads), '<=', 1.5 * sum(@loads) / $workers,
        "$name: about equally many") or diag("@loads");
}

###############################################################################

wait_serving($t, 2);

for my $i (1 .. DEVICES) {
    my $id = "d$i";
    $devices{$id} = device(device => $id, form => $i % 2 ? 'B' : 'A',
        $i % 3 ? (info => "info of $id") : ());
}

if ($six) {
    for my $i (1 .. IPV6) {
        $devices{"six$i"} = device_six(device => "six$i", info => 'v6',
            form => $i % 2 ? 'B' : 'A');
    }
}

my $all = keys %devices;

is(scalar(grep { $_->{status} != 200 } values %devices), 0, 'attached');

for my $id ((sort keys %devices)[map { 5 * $_ } 0 .. 40]) {
    $devices{$id}->heartbeat();
    $devices{$id}->event('unheard') if rand() < 0.5;
    die "$id is not called\n" if reached($devices{$id}) ne 'yes';
}

# All that is known goes along

{
    # what crosses a second is not the move's
    sleep(1.1);

    my %before = known();
    my ($totals, $told) = (totals(), told());

    handed_over('reload', 2);

    my %after = known();
    my @differ = grep { $after{$_} ne $before{$_} } sort keys %before;

    is(scalar(@differ), 0, 'reload: all is known as before')
        or diag("$before{$differ[0]}\n$after{$differ[0]}");
    is(totals(), $totals, 'reload: the figures are as before');
    is(lost(), 0, 'reload: none is counted as lost');
    is(told(), $told, 'reload: none is logged as attached or detached');
    is(moves(), $all, 'reload: each has moved once');

    intact('reload');
    spread('reload', 2);

    like($after{$six ? 'six1' : 'd1'}, qr/"ip_address":"/,
        'reload: addresses');

    # counters go on from there

    my $before = stats('app1/devices/d1')->{json};
    $devices{d1}->heartbeat();
    is(reached($devices{d1}), 'yes', 'reload: a call');
    my $after = stats('app1/devices/d1')->{json};

    is($after->{net}{received}{messages},
        $before->{net}{received}{messages} + 1, 'reload: messages down');
    is($after->{net}{sent}{messages}, $before->{net}{sent}{messages} + 2,
        'reload: messages up');
    is($after->{connected_at}, $before->{connected_at},
        'reload: connected when it was');
    cmp_ok($after->{heartbeat}, '>=', time() - 60, 'reload: heartbeats');
}

# Other numbers of workers

for my $workers (3, 1, 2) {
    configure(workers => $workers);
    handed_over("$workers workers", $workers);
    is(num_devices(), $all, "$workers workers: number");
    spread("$workers workers", $workers);
}

intact('other numbers');

# One reload after another, and during another

{
    my $told = told();

    for my $i (1 .. 5) {
        my @old = serving($t);
        $t->reload();
        wait_serving($t, 2, @old);
    }

    my @old = processes($t);
    $t->reload();
    $t->reload();
    wait_serving($t, 2, serving($t));
    ok(wait_gone($t, 10, @old), 'seven reloads: the first workers leave');
    ok(wait_for(sub { processes($t) == 2 }, 10),
        'seven reloads: and those in between');

    intact('seven reloads');
    is(told(), $told, 'seven reloads: nobody is told');
}

# A configuration that is refused

{
    my ($moves, @serving) = (moves(), serving($t));

    configure(http => 'nonsense on;');
    $t->reload();
    ok(wait_log($t, qr/\[emerg\].*nonsense/), 'refused: it is logged');
    is(join(' ', serving($t)), "@serving", 'refused: the same workers');
    is(moves(), $moves, 'refused: none has moved');
    intact('refused');
}

# The new workers cannot take all: the others stay where they are, and follow

{
    my @old = processes($t);
    my $start = moves();

    configure(connections => 100);
    my @few = reload_all($t, 2);

    my $before = -1;
    wait_for(sub {
        my $same = $before == moves();
        $before = moves();
        sleep(0.3);
        return $same;
    });

    my %old = map { $_ => 1 } @old;
    ok(scalar(grep { $old{$_} } processes($t)), 'full: an old worker stays');
    cmp_ok(moves() - $start, '>', 100, 'full: the new ones have taken many');
    intact('full');

    configure();
    handed_over('room again', 2);
    ok(wait_for(sub { processes($t) == 2 }), 'room again: only two workers');
    intact('room again');
}

# A location that is not there any more

{
    my %o = (server => 'location ~ ^/gone/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . ' cometa_attach; }');

    configure(%o);
    handed_over('with another location', 2);

    my @gone = map {
        device(device => "gone$_", uri => "/gone/app1/gone$_")
    } 1 .. 20;

    is(scalar(grep { $_->{status} != 200 } @gone), 0, 'location: attached');

    handed_over('location: kept', 2);
    is(scalar(grep { reached($_) ne 'yes' } @gone), 0,
        'location: its devices move as well');

    configure();
    handed_over('location: removed', 2);

    my %ends = map { (defined $_ ? $_ : 'open') => 1 }
        map { $_->closed() } @gone;
    is(join(' ', keys %ends), 'last',
        'location: its devices get a last chunk');
    is(log_count($t, qr/device detached, reason: draining,/), 20,
        'location: which is the end of no other');
    intact('location');
}

$_->close() for values %devices;
%devices = ();

# Locations of one name, in servers of one name: the first is the first

{
    my $second = sub {
        'server { listen 127.0.0.1:8081; server_name localhost;'
            . ' location ~ ^/same/(?<app>[^/]+)/(?<device>[^/]+)$ {'
            . " cometa_attach; cometa_heartbeat 60s timeout=$_[0]; } }"
    };
    my $first = 'location ~ ^/same/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . ' cometa_attach; cometa_heartbeat 60s timeout=90s; }';

    configure(http => $second->('90s'), server => $first);
    handed_over('same name', 2);

    my @first = map {
        device(device => "1.$_", uri => "/same/app1/1.$_")
    } 1 .. 10;
    my @second = map {
        device(device => "2.$_", uri => "/same/app1/2.$_", port => 8081)
    } 1 .. 10;

    configure(http => $second->('60s'), server => $first);
    handed_over('same name: reload', 2);
    is(scalar(grep { reached($_) ne 'yes' } @first, @second), 0,
        'same name: all are called');

    # the one whose timeout changes is that of the second ones

    my $short = $second->('60s');
    $short =~ s/heartbeat 60s timeout=60s/heartbeat 1s timeout=1s/;
    configure(http => $short, server => $first);
    handed_over('same name: shorter', 2);

    my %ends = map { (defined $_ ? $_ : 'open') => 1 }
        map { $_->closed() } @second;
    is(join(' ', keys %ends), 'last',
        'the new timeout is that of the devices of its location');
    is(scalar(grep { $_->gone() } @first), 0, 'and of no others');
    is(log_count($t, qr/device detached, reason: heartbeat_timeout,/), 10,
        'they were silent for too long');
    $_->close() for @first;
}

# Silence counts from the last sign of life, over several reloads

{
    configure(attach => 'cometa_heartbeat 1s timeout=4s;');
    handed_over('silence', 2);

    my $silent = device(device => 'silent');
    my $alive = device(device => 'alive');
    my $watch = stopwatch();
    my $start = time();

    until ($silent->gone() || $watch->took() > 8) {
        reload_all($t, 2);
        $alive->heartbeat();
    }

    is($silent->closed(), 'last', 'silence: it is closed');
    cmp_ok(time() - $start, '>', 3.9, 'silence: after its time');
    cmp_ok($watch->took(), '<', 7, 'silence: which reloads do not prolong') or diag($watch->took());
    ok(!$alive->gone(), 'silence: the other one lives');
    is(reached($alive), 'yes', 'silence: and is called');
    $alive->close();
}

$t->stop();
is(expected_alerts($t, qr/unknown directive "nonsense"/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

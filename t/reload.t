#!/usr/bin/perl

# Reloads: devices over TLS stay on the old workers, and callable; what goes
# wrong changes nothing.  Those that move are in reload_hand_over*.t.

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

my $n = 2;

# Configurations that are refused are [emerg] in the log; the last test says
# that there is nothing else.

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)->todo_alerts()
    ->plan(91);

certificate($t, 'localhost');

sub configure {
    my (%o) = @_;
    $t->write_file_expand('nginx.conf',
        worker_conf(workers => $n, shutdown => '60s', ssl => 1, %o));
}

configure();
$t->run();

my %devices;

# Those that cannot be called, and why.

sub unreached {
    return join ', ', map { my $said = reached($devices{$_});
        $said eq 'yes' ? () : "$_: $said" } sort keys %devices;
}

sub intact {
    my ($name) = @_;
    is(unreached(), '', "$name: all are called");
    is(join(' ', list()), join(' ', sort keys %devices), "$name: list");
    is(num_devices(), scalar keys %devices, "$name: number");
}

###############################################################################

# Several reloads, with devices on each generation of workers

my @generations = [ wait_serving($t, $n) ];
my $fds;

for my $g (0 .. 3) {
    my $pids = $generations[-1];
    is(scalar @$pids, $n, "generation $g: serves");

    for my $i (0 .. $n - 1) {
        my $id = "g$g.$i";
        $devices{$id} = device_on($pids->[$i], device => $id,
            ssl => 1, form => $i % 2 ? 'B' : 'A', info => "info $id");
    }

    intact("generation $g");
    is(join(' ', map { scalar grep { $_ ne 'remote' } hops($_) } 0 .. $g - 1),
        join(' ', ('0') x $g), "generation $g: calls to older ones cross");

    push @generations, [ reload_all($t, $n) ] if $g < 3;
}

# How calls to the devices of a generation go.

sub hops {
    my ($g) = @_;

    return map {
        my $id = "g$g.$_";
        my $call = call_start('app1', $id, 'x');
        $devices{$id}->echo();
        call_end($call)->{headers}{'cometa-hop'}
    } 0 .. $n - 1;
}

is(scalar(processes($t)), $n * @generations, 'workers of all generations');

# What the owner on an old worker tells

is(stats('app1/devices/g0.1')->{json}{info}, 'info g0.1',
    'statistics of a device on an old worker');

# Large messages cross between generations

{
    my $message = random_bytes(65536);
    my $call = call_start('app1', 'g0.0', $message);
    ok($devices{'g0.0'}->read_chunk() eq $message, '64k to an old worker');
    $devices{'g0.0'}->send_chunk(scalar reverse $message);
    ok(call_end($call)->{body} eq scalar reverse($message),
        '64k from an old worker');
}

# Calls outstanding over a reload: written and waiting, new to old worker

{
    my $d = $devices{'g3.0'};
    my $written = call_start('app1', 'g3.0', 'written');
    is($d->read_chunk(), 'written', 'a call is written');
    my $waiting = call_start('app1', 'g3.0', 'waiting');
    ok(wait_for(sub { stats('app1')->{json}{stats}{queued} == 1 }),
        'another waits');

    push @generations, [ reload_all($t, $n) ];
    is(scalar @{$generations[-1]}, $n, 'reload');

    $d->send_chunk('first');
    is($d->read_chunk(), 'waiting', 'then it is written');
    $d->send_chunk('second');
    is(text(call_end($written)), '200 first', 'reply to the one');
    is(text(call_end($waiting)), '200 second', 'reply to the other');
    $_->{stream}->close() for $written, $waiting;
}

# Takeover between an old worker and a new one, and the old one's call

{
    my $old = $devices{'g0.0'};
    my $written = call_start('app1', 'g0.0', 'written');
    is($old->read_chunk(), 'written', 'a call to the device on the old one');
    my $waiting = call_start('app1', 'g0.0', 'waiting');
    ok(wait_for(sub { stats('app1')->{json}{stats}{queued} == 1 }),
        'another waits');

    my $new = $devices{'g0.0'} = device(device => 'g0.0', ssl => 1);
    is($new->{status}, 200, 'it attaches to a new worker');
    is(text(call_end($written)), '502 device_taken_over', 'the call fails');
    is($new->read_chunk(), 'waiting', 'the waiting one moves');
    $new->send_chunk('moved');
    is(text(call_end($waiting)), '200 moved', 'and is answered');
    is($old->closed(), 'last', 'the old connection is closed');
    intact('takeover');
}

# A worker leaves with its last device, and not before

{
    my ($first, $second) = @{$generations[1]};

    is(scalar(grep { $_ == $first || $_ == $second } processes($t)), 2,
        'old workers stay while they have devices');
    delete($devices{'g1.0'})->detach();
    delete($devices{'g1.1'})->close();
    ok(wait_gone($t, 5, $first, $second), 'they leave with their devices');
    intact('they leave');
}

# Refused configurations change nothing

my @serving = serving($t);

sub refused {
    my ($name, $reason, %o) = @_;

    my $before = log_count($t, qr/\[emerg\].*$reason/);

    configure(%o);
    $t->reload();

    ok(wait_log($t, qr/\[emerg\].*$reason/, $before + 1), "$name: refused");
    is(join(' ', serving($t)), "@serving", "$name: the same workers");
    intact($name);
}

my $messages = stats('app1')->{json}{stats}{messages};

refused('unknown directive', 'unknown directive "nonsense"',
    http => 'nonsense on;');
refused('a zone too small', 'cometa_zone.*too small', zone => '24k');
refused('larger messages', 'cometa_zone.*made for messages of at most',
    server => 'client_max_body_size 8m; cometa_max_message_size 4m;');
refused('no zone', 'cometa_zone', zone => '16m; # ', http => 'cometa_zone;');

cmp_ok(stats('app1')->{json}{stats}{messages}, '>=', $messages,
    'counters are kept');

# A size that the mailboxes can hold is taken, and kept out again

configure(server => 'cometa_max_message_size 70k;');
push @generations, [ reload_all($t, $n) ];
is(scalar @{$generations[-1]}, $n, 'messages a little larger');
intact('messages a little larger');

# Another number of workers

configure(workers => 4);
my @four = reload_all($t, 4);
is(scalar @four, 4, 'more workers');
intact('more workers');

configure();
push @generations, [ reload_all($t, $n) ];
is(scalar @{$generations[-1]}, $n, 'fewer workers');
intact('fewer workers');

# Devices that do not leave are ended by worker_shutdown_timeout

{
    my @old = processes($t);
    my %ended = %devices;

    configure(shutdown => '1s');
    reload_all($t, $n);
    $_->close() for values %devices;
    ok(wait_gone($t, 8, @old), 'old workers have gone');

    %devices = map { $_ => device(device => $_, ssl => 1) }
        qw/ t1 t2 t3 /;
    @old = serving($t);
    reload_all($t, $n);
    is(join(' ', map { $_->closed(4) || 'open' } values %devices),
        'last last last', 'worker_shutdown_timeout ends devices');
    ok(wait_gone($t, 4, @old), 'and their workers');

    %devices = map { $_ => device(device => $_, ssl => 1) }
        qw/ t1 t2 t3 /;
    intact('they attach anew');
}

# Nothing piles up

{
    $_->close() for values %devices;
    %devices = ();

    my @old = serving($t);
    configure(zone => '16m');
    reload_all($t, $n);
    wait_gone($t, 5, @old);

    # the master closes a channel a moment after it has reaped the worker
    my $before;
    wait_for(sub {
        my $seen = $before // 0;
        $before = fds(master($t));
        sleep(0.2);
        return $before == $seen;
    });

    my $late = 0;

    for my $i (1 .. 20) {
        @old = serving($t);
        my $d = $i % 5 ? undef : device(device => "d");

        # another size, and back
        configure(zone => $i == 7 ? '12m' : '16m');
        reload_all($t, $n);
        $d->close() if $d;
        $late++ unless wait_gone($t, 5, @old);
    }

    is($late, 0, '20 reloads, old workers leave');
    wait_for(sub { fds(master($t)) <= $before });
    is(fds(master($t)), $before, '20 reloads, descriptors of the master');
    is(scalar(processes($t)), $n, '20 reloads, no worker too many');

    $devices{d} = device(device => 'd');
    intact('20 reloads');
}

$t->stop();
is(expected_alerts($t, qr/unknown directive "nonsense"/, qr/too small/,
    qr/made for messages/, qr/number of arguments in "cometa_zone"/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

#!/usr/bin/perl

# Workers that are killed or stopped: only what they hold is lost.

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

use constant {
    KILLS => 5,
    SOON => 2       # s, at once for a machine with other things to do
};

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $n = 4;
my $rounds = 20;

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(63);

$t->write_file_expand('nginx.conf', worker_conf(workers => $n,
    send => 'cometa_send_timeout 6s;'));
$t->run();

my @pids = wait_serving($t, $n);
is(scalar @pids, $n, 'all workers serve');

my (%device, %stream);

for my $pid (@pids) {
    $stream{$pid} = stream_on($pid);
    $device{$pid} = [ map { device_on($pid, device => "d$pid.$_") } 1 .. 3 ];
}

sub id {
    my ($pid, $i) = @_;
    return "d$pid.$i";
}

sub call_from {
    my ($pid, $id, $message, %o) = @_;
    return call_start('app1', $id, $message, stream => $stream{$pid}, %o);
}

# More callers on one worker.

sub fresh_call {
    my ($pid, $id, $message, %headers) = @_;
    return call_start('app1', $id, $message, stream => stream_on($pid),
        headers => \%headers);
}

sub queued_is {
    my ($pid, $queued) = @_;
    return wait_for(sub {
        stats('app1', stream => $stream{$pid})->{json}{stats}{queued}
            == $queued
    });
}

# Devices that a worker holds which can be called from another one.

sub all_reached {
    my ($from, @of) = @_;

    return join ', ', map {
        my $said = reached($_, stream => $stream{$from});
        $said eq 'yes' ? () : "$_->{device}: $said"
    } map { @{$device{$_}} } @of;
}

my ($victim, $a, $b, $c) = @pids;

###############################################################################

# What it holds

{
    my ($lost, $waited, $plain) = @{$device{$victim}};

    # written, and one behind it that waits; from two workers
    my $written = call_from($a, id($victim, 1), 'written');
    is($lost->read_chunk(), 'written', 'a call is written');
    my $waiting = call_from($b, id($victim, 1), 'waiting');
    ok(queued_is($c, 1), 'another waits');

    # a call that waits for its turn, and then for the next attach
    my $first = fresh_call($a, id($victim, 2), 'first');
    is($waited->read_chunk(), 'first', 'a call to another device');
    my $patient = fresh_call($c, id($victim, 2), 'patient',
        'Cometa-Wait' => 6);
    ok(queued_is($c, 2), 'one that may wait');

    # what is none of its business
    my $other = fresh_call($b, id($a, 1), 'other');
    is($device{$a}[0]->read_chunk(), 'other', 'a call elsewhere');
    my $queued = fresh_call($c, id($a, 1), 'queued');
    ok(queued_is($c, 3), 'and one that waits there');

    my $watch = stopwatch();
    kill 'KILL', $victim;

    is(text(call_end($written)), '502 worker_lost', 'the written call');
    my $took = $watch->took();
    is(text(call_end($first)), '502 worker_lost', 'the other written call');
    is(text(call_end($waiting)), '404 device_offline', 'the waiting call');
    cmp_ok($took, '<', SOON, 'at once');
    cmp_ok($watch->took(), '<', SOON, 'all of them');

    is(join(' ', map {
        my $pid = $_;
        map { text(call_end(call_from($pid, id($victim, $_), 'x'))) } 1 .. 3
    } $a, $b, $c), join(' ', ('404 device_offline') x 9),
        'its devices are offline for all');
    is(join(' ', map {
        stats('app1/devices/' . id($victim, $_),
            stream => $stream{$a})->{status}
    } 1 .. 3), '404 404 404', 'none to ask about');
    is(join(' ', list(stream => $stream{$a})),
        join(' ', sort map { my $pid = $_; map { id($pid, $_) } 1 .. 3 }
            $a, $b, $c), 'none in the list');

    $device{$a}[0]->send_chunk('first');
    is($device{$a}[0]->read_chunk(), 'queued', 'the queue elsewhere goes on');
    $device{$a}[0]->send_chunk('second');
    is(text(call_end($other)), '200 first', 'reply elsewhere');
    is(text(call_end($queued)), '200 second', 'the other, too');

    is(join(' ', map { defined $_->closed() ? 'closed' : 'open' }
        $lost, $waited, $plain), 'closed closed closed',
        'connections are closed');

    my $again = device(device => id($victim, 2));
    is($again->{status}, 200, 'attach');
    is($again->read_chunk(2), 'patient', 'the call that waited');
    $again->send_chunk('thanks');
    is(text(call_end($patient)), '200 thanks', 'gets its reply');
    $again->close();
}

# Its successor

my @now = wait_serving($t, $n, $victim);
is(scalar @now, $n, 'all workers serve again');

my ($new) = grep { !$stream{$_} } @now;
delete $device{$victim};
delete $stream{$victim};
$stream{$new} = stream_on($new);
$device{$new} = [ map { device_on($new, device => "d$new.$_") } 1 .. 3 ];

is(join('; ', map { all_reached($_, $a, $b, $c, $new) } @now), '; ; ; ',
    'from each to each');
is(num_devices(), 12, 'number of devices');

# A caller's worker is killed: the device is not disturbed

{
    my $d = $device{$a}[0];
    my $call = call_from($new, id($a, 1), 'from a dying one');
    is($d->read_chunk(), 'from a dying one', 'a call from a worker');
    my $behind = fresh_call($b, id($a, 1), 'behind');
    ok(queued_is($b, 1), 'another behind it');

    kill 'KILL', $new;
    is(call_end($call)->{status}, 0, 'its caller is cut off');

    # the late reply belongs to nobody
    ok($d->quiet(0.2), 'its device owes the reply');
    $d->send_chunk('late');
    is($d->read_chunk(), 'behind', 'then the next call is written');
    $d->send_chunk('right');
    is(text(call_end($behind)), '200 right', 'which gets its own reply');
}

@now = wait_serving($t, $n, $new);
is(scalar @now, $n, 'all workers serve again');
delete $device{$new};
delete $stream{$new};

# Again and again, under load

{
    my @ids = map { "load$_" } 1 .. 24;
    keep_attached($t, @ids);
    keep_calling($t, @ids);

    my ($before, @backwards, %last) = (0);

    for my $round (1 .. $rounds) {
        my @serving = wait_serving($t, $n);
        kill 'KILL', $serving[rand @serving];
        wait_for(sub { my @left = serving($t); @left < $n }, 1);
        wait_serving($t, $n);

        my $s = wait_stats() or die "no figures\n";
        push @backwards, "$_ in round $round: $last{$_} to $s->{$_}"
            for grep { $last{$_} && $s->{$_} < $last{$_} }
                qw/ messages bytes_up bytes_down attached_total
                    detached_total errors timeouts /;
        %last = %$s;
    }

    is(join(', ', @backwards), '', 'counters never go backwards');
    ok(wait_for(sub { (wait_stats() || {})->{messages} > 300 }, 60),
        'there was load');

    ok(wait_for(sub {
        my @list = list();
        @list >= @ids && num_devices() == @list
    }, 10), 'all are attached, and counted');

    is(join(' ', grep { /^load/ } list()), join(' ', sort @ids), 'the list');
    is(join(' ', map { text(call('app1', $_, 'x')) } @ids),
        join(' ', map { "200 $_ got x" } @ids), 'all are called');

    my $seen = load_report($t);
    my $slowest = delete $seen->{slowest};

    cmp_ok(delete $seen->{right}, '>', 100, 'most calls went well');
    delete @$seen{'502 worker_lost', '502 device_disconnected',
        '502 device_taken_over', '404 device_offline', 'no connection', '0 '};
    is(join(', ', map { "$seen->{$_} x $_" } sort keys %$seen), '',
        'the others were told why not');
    cmp_ok($slowest, '<', 6, 'none was late');
}

sub wait_stats {
    my $s;
    wait_for(sub {
        my $r = eval { stats('app1', timeout => 1) };
        return $s = $r && $r->{json}{stats};
    });
    return $s;
}

# No lock is held, no call left: devices all over the registry

{
    $_->close() for map { @$_ } values %device;
    ok(wait_for(sub { 0 == list() }), 'all are gone');

    my @devices = map {
        Test::Nginx::Cometa::Device->start(device => "after$_")
    } 1 .. 300;
    $_->finish() for @devices;
    is(scalar(grep { $_->{status} != 200 } @devices), 0, 'attaches');
    is(num_devices(), 300, 'number');
    is(scalar(grep { reached($_) ne 'yes' } @devices), 0, 'calls');
    $_->close() for @devices;

    ok(wait_for(sub {
        my $s = stats('app1')->{json}{stats};
        $s->{num_devices} == 0 && $s->{queued} == 0 && $s->{calls} == 0
    }), 'nothing is left');
}

# A worker that is stopped: its devices do not answer, the others do

# How soon a caller is told: mostly within 200 ms, whatever else the machine does

{
    my @took;

    for (1 .. KILLS) {
        my ($home, $other) = wait_serving($t, $n);
        my $d = device_on($home, device => 'short');
        my $call = fresh_call($other, 'short', 'x');
        $d->read_chunk();

        my $watch = stopwatch();
        kill 'KILL', $home;
        is(text(call_end($call)), '502 worker_lost', 'a written call');
        push @took, $watch->took();

        $d->close();
        wait_serving($t, $n, $home);
    }

    cmp_ok(scalar(grep { $_ < 0.2 } @took), '>', KILLS / 2,
        'in less than 200 ms') or diag("@took");
}

# A worker that stands still

{
    my ($still, $x, $y) = wait_serving($t, $n);
    my $d = device_on($still, device => 'still');
    my $e = device_on($x, device => 'lively');
    my ($from_x, $from_y) = map { stream_on($_) } $x, $y;

    stand_still($still);

    my $call = call_start('app1', 'still', 'x', stream => $from_x,
        headers => { Prefer => 'wait=1' });
    my @said = map { reached($e, stream => $from_y) } 1 .. 20;
    is(join(' ', grep { $_ ne 'yes' } @said), '', 'others are called');

    my $r = call_end($call);
    is(text($r), '504 device_timeout', 'its own are not');
    cmp_ok($r->{took}, '<', 2, 'in time');

    kill 'CONT', $still;

    # its message was still on the way when nobody waited any more
    my $got = $d->read_chunk(0.5);
    is($got, undef, 'what is too late is not written');
    $d->send_chunk('late') if defined $got;
    is(reached($d, stream => $from_x), 'yes', 'goes on, and all is well');
    is(reached($e, stream => $from_x), 'yes', 'the other, too');
    $_->close() for $d, $e;
}

$t->stop();

# A caller's worker that is leaving already: nobody takes its place, and none
# of its devices is looked for

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    shutdown => '60s', send => 'cometa_send_timeout 3s;'));
$t->run();

{
    my ($old) = wait_serving($t, 1);
    my $stream = stream_on($old);
    my ($begin, $end) = call_request('app1', 'far', 'x') =~ /\A(.{20})(.*)\z/s;
    $stream->write($begin);
    stats('app1');

    reload_all($t, 1);
    my $d = device(device => 'far');
    $stream->write($end);
    is($d->read_chunk(), 'x', 'a call from a worker that is leaving');

    kill 'KILL', $old;
    ok(wait_gone($t, 5, $old), 'which is killed');

    is(text(call('app1', 'far', 'y')), '504 device_timeout',
        'the next one waits for the reply to it');
    is($d->closed(4), 'last', 'not for ever: the device is closed');
}

$t->stop();
my $exited = qr/worker process \d+ exited on signal 9/;
is(expected_alerts($t, $exited), '', 'no other alerts');
is(log_count($t, $exited), $rounds + KILLS + 3, 'one of each kill');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

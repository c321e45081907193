#!/usr/bin/perl

# A move that does not go well: workers that stand still or are killed in the
# middle of it, devices that attach anew meanwhile.

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
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant DEVICES => 120;

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map stub_status/)
    ->todo_alerts()->plan(46);

# Any worker accepts: one that stands still has no connections of its own.

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    shutdown => '60s', listen => '', send => 'cometa_send_timeout 5s max=60s;',
    server => metrics_location() . 'location = /status { stub_status; }'))
    ->run();

my %devices;

sub attach {
    my ($name) = @_;

    $_->close() for values %devices;
    wait_for(sub { num_devices() == 0 });
    %devices = map {
        my $id = "$name$_";
        $id => device(device => $id, form => $_ % 2 ? 'B' : 'A', info => $id)
    } 1 .. DEVICES;

    return $devices{"${name}1"};
}

sub moves {
    return log_count($t, qr/device has moved here/);
}

sub active {
    return http_get('/status') =~ /Active connections: (\d+)/ ? $1 : 'none';
}

sub ended {
    return scalar grep { $_->gone() } values %devices;
}

sub unreached {
    my %said;
    $said{reached($_)}++ for values %devices;
    delete $said{yes};
    return join ', ', map { "$_: $said{$_}" } sort keys %said;
}

sub intact {
    my ($name) = @_;
    is(ended(), 0, "$name: no connection has ended");
    is(unreached(), '', "$name: all are called");
    is(join(' ', list()), join(' ', sort keys %devices), "$name: list");
    ok(wait_for(sub { num_devices() == keys %devices }), "$name: number");
}

# Devices answer the calls "to ID"; what becomes of these.

sub answered {
    my (%calls) = @_;

    my %said;

    for my $id (sort keys %calls) {
        my $got = $devices{$id}->read_chunk();
        $devices{$id}->send_chunk("re: $got") if defined $got;

        my $r = call_end($calls{$id});
        $said{$r->{body} eq "re: to $id" ? 'right' : text($r)}++;
        $calls{$id}{stream}->close();
    }

    return join ', ', map { "$_ $said{$_}" } sort keys %said;
}

# The descriptors that lie in doors cannot be seen; but what an old worker has
# offered is in its log.

sub offers {
    my ($t) = @_;
    return log_count($t, qr/cometa device is offered to slot/);
}

# A reload whose first new worker stands still before the old ones begin to
# hand over: some of their devices lie in its door then.  Without debug logs
# nobody could tell when.

sub reload_with_one_stopped {
    my @old = serving($t);
    my ($offers, $moves) = (offers($t), moves());

    stand_still(@old);
    $t->reload();
    my @new;
    wait_for(sub {
        my %old = map { $_ => 1 } @old;
        @new = grep { !$old{$_} } serving($t);
        return @new == 2;
    }, 10) or die "no new workers\n";

    stand_still($new[0]);
    kill 'CONT', @old;

    # the other one takes its share
    wait_for(sub {
        offers($t) - $offers >= DEVICES && moves() - $moves >= 20
    }, 10) or die 'offers: ' . (offers($t) - $offers) . "\n";

    return (\@old, @new);
}

###############################################################################

SKIP: {
    skip 'no debug log', 34 unless $t->has_module('debug');

    # One stands still, and goes on

    attach('a');
    my ($old, $stopped, $other) = reload_with_one_stopped();

    # those that lie there are still known, and a call waits for its turn
    is(join(' ', list()), join(' ', sort keys %devices),
        'stopped: all are listed');
    my @offline = grep {
        stats("app1/devices/$_")->{status} != 200
    } keys %devices;
    is(scalar(@offline), 0, 'stopped: none is offline');

    my %calls = map { $_ => call_start('app1', $_, "to $_",
        headers => { Prefer => 'wait=30' }) } grep { !/^a\d$/ }
        sort keys %devices;

    # some of them attach anew: half of these lie in its door

    my %ends;

    for my $i (1 .. 9) {
        my $again = device(device => "a$i");
        my $end = $devices{"a$i"}->closed(1);
        $ends{!defined $end ? 'open' : $end =~ /^last$|0\x0d\x0a\x0d\x0a\z/
            ? 'last' : $end}++;
        $devices{"a$i"} = $again;
    }

    is(join(', ', map { "$_ $ends{$_}" } sort keys %ends), 'last 9',
        'stopped: who attaches anew ends his old connection');

    kill 'CONT', $stopped;
    ok(wait_gone($t, 10, @$old), 'it goes on: the old workers leave');

    is(answered(%calls), 'right ' . (DEVICES - 9),
        'it goes on: each call has its reply');
    intact('it goes on');

    # Another one stands still, and is killed: what lies in its door goes on
    # where it was, what it had taken is lost

    attach('b');
    my $active = active();
    my $lost = metric('cometa_devices_lost_total') || 0;
    ($old, $stopped, $other) = reload_with_one_stopped();

    %calls = map { $_ => call_start('app1', $_, "to $_",
        headers => { Prefer => 'wait=30' }) } sort keys %devices;

    kill 'KILL', $stopped;
    wait_gone($t, 10, $stopped);
    wait_for(sub { serving($t) == 2 }, 10);
    ok(wait_gone($t, 10, @$old), 'killed: the old workers leave');
    is(ended(), 0, 'killed: it had taken none, none is lost');

    is(answered(%calls), 'right ' . DEVICES,
        'killed: each call has its reply');
    intact('killed');
    is(metric('cometa_devices_lost_total'), $lost,
        'killed: none is counted as lost');
    ok(wait_for(sub { active() == $active }),
        'killed: nginx counts its connections')
        or diag(active() . " of $active");

    # The same with an old worker: what the new one had not taken goes with it

    attach('c');
    ($old, $stopped, $other) = reload_with_one_stopped();
    kill 'KILL', $old->[0];
    wait_gone($t, 10, $old->[0]);
    kill 'CONT', $stopped;
    ok(wait_gone($t, 10, $old->[1]), 'an old one killed: the other one leaves');

    # the kernel closes, and whoever finds the parcel
    my $open = 0;
    wait_for(sub { ended(); num_devices() == DEVICES - ended() });
    $open = DEVICES - ended();
    cmp_ok($open, '>=', 20, 'an old one killed: others live');
    cmp_ok($open, '<', DEVICES, 'an old one killed: its own are closed');
    delete @devices{grep { $devices{$_}->gone() } keys %devices};
    intact('an old one killed');

    # All new workers are killed at once, with what they have: others come

    attach('d');
    ($old, $stopped, $other) = reload_with_one_stopped();
    kill 'KILL', $stopped, $other;
    wait_gone($t, 10, $stopped, $other);
    wait_for(sub { serving($t) == 2 }, 10);
    ok(wait_gone($t, 10, @$old), 'all new ones killed: the old workers leave');
    wait_for(sub { num_devices() == DEVICES - ended() });
    cmp_ok(ended(), '>', 0, 'all new ones killed: what they had taken is lost');
    cmp_ok(ended(), '<', DEVICES, 'all new ones killed: the others go on');
    delete @devices{grep { $devices{$_}->gone() } keys %devices};
    intact('all new ones killed');
}

# A device is never offline while it moves

{
    my $d = attach('e');
    my $call = call_start('app1', 'e1', 'x', headers => { Prefer => 'wait=60' });
    $d->read_chunk();

    my %seen;
    my $asked = 0;

    for (1 .. 4) {
        my $before = moves();
        my $end = time() + 10;
        $t->reload();

        until (moves() >= $before + DEVICES || time() > $end) {
            my $r = stats('app1/devices/e' . (1 + int rand DEVICES));
            $seen{"$r->{status} " . ($r->{json}{error} || '')}++;
            $asked++;
        }
    }

    is(join(', ', sort keys %seen), '200 ',
        "$asked questions: no device is offline");
    $d->send_chunk('done');
    is(text(call_end($call)), '200 done', 'a call over all that');
    $call->{stream}->close();
    ok(wait_for(sub { processes($t) == 2 }, 10), 'two workers are left');
    intact('four reloads');
}

# Attaches during a reload, of devices that move

{
    attach('f');

    for (1 .. 3) {
        my $before = moves();
        my $end = time() + 10;
        my $n = 0;
        $t->reload();

        until (moves() > $before + 10 || time() > $end) {
            my $id = 'f' . (1 + $n++ % DEVICES);
            my $old = $devices{$id};

            # an old worker that begins to leave may refuse it
            $devices{$id} = Test::Nginx::Cometa::Workers::attach_again($id);
            $old->closed();
        }
    }

    ok(wait_for(sub { processes($t) == 2 }, 10), 'takeovers: two workers');
    is(scalar(grep { $_->{status} != 200 } values %devices), 0,
        'takeovers: all have attached');
    intact('takeovers');
}

$t->stop();
is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'no other alerts');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

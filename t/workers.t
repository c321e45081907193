#!/usr/bin/perl

# Any worker calls the devices of any other.

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

my $n = 8;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(22);

$t->write_file_expand('nginx.conf', worker_conf(workers => $n,
    http => "cometa_max_message_size 128000; log_format hop '\$cometa_hop \$status \$uri';",
    server => 'access_log %%TESTDIR%%/hop.log hop;'));

$t->run();

my @pids = wait_serving($t, $n);
is(scalar @pids, $n, 'all workers serve');

my @streams = map { stream_on($_) } @pids;
my @devices = map {
    device_on($pids[$_], device => "d$_", form => $_ % 2 ? 'B' : 'A')
} 0 .. $n - 1;

###############################################################################

sub reply {
    my ($message) = @_;
    return scalar reverse $message;
}

# Calls one after the other, each pair: what was wrong.

sub pairs {
    my ($message) = @_;

    my @wrong;

    for my $i (0 .. $#streams) {
        for my $k (0 .. $#devices) {
            my $sent = $message->($i, $k);
            my $call = call_start('app1', "d$k", $sent,
                stream => $streams[$i]);
            my $got = $devices[$k]->read_chunk();
            $devices[$k]->send_chunk(reply($sent));
            my $r = call_end($call);

            my $hop = $i == $k ? 'local' : 'remote';

            push @wrong, "$i to $k: message"
                if !defined $got || $got ne $sent;
            push @wrong, "$i to $k: reply " . text($r)
                if $r->{body} ne reply($sent);
            push @wrong, "$i to $k: hop $r->{headers}{'cometa-hop'}"
                if $r->{headers}{'cometa-hop'} ne $hop;
        }
    }

    return join ', ', @wrong;
}

# Begins the n-th call to a device, when all before it have come there.

sub call_in_turn {
    my ($n, $message, $stream) = @_;

    my $call = call_start('app1', 'd0', $message, stream => $stream);

    # the first one is written
    $n ? figure_is('app1', 'queued', $n) : $devices[0]{stream}->readable(5);

    return $call;
}

is(pairs(sub { "from $_[0] to $_[1]" }), '', 'from each to each');

# the last line is written when its answer has been read already

my @hops;
wait_for(sub {
    @hops = map { m!\A(\w+ \d+) .*/send\z! } split /\n/,
        $t->read_file('hop.log');
    return @hops == $n * $n;
});

is(scalar(grep { $_ eq 'local 200' } @hops), $n, 'local hops are logged');
is(scalar(grep { $_ eq 'remote 200' } @hops), $n * ($n - 1),
    'remote hops are logged');

# What every worker says of devices anywhere

my @wrong;

for my $i (0 .. $n - 1) {
    push @wrong, "$i: list"
        if join(' ', list(stream => $streams[$i])) ne 'd0 d1 d2 d3 d4 d5 d6 d7';
    push @wrong, "$i: number"
        if num_devices(stream => $streams[$i]) != $n;

    for my $k (0 .. $n - 1) {
        my $r = stats("app1/devices/d$k", stream => $streams[$i]);
        push @wrong, "$i: device $k"
            if ($r->{json}{device_id} || '') ne "d$k";
    }
}

is("@wrong", '', 'statistics of each from each');

# The largest messages

my $bytes = random_bytes(4096);

is(pairs(sub { substr("$_[0]$_[1]" . $bytes x 16, 0, 65536) }), '',
    'messages of 64k from each to each');

# Of any size, wherever the one before has left the mailbox

is(pairs(sub {
    my ($i, $k) = @_;
    my $size = ($i + $k) % 3 ? 126000 + 211 * $k : 40000;
    return substr("$i$k" . $bytes x 32, 0, $size);
}), '', 'messages of nearly half a mailbox from each to each');

# Calls of several workers for one device: one at a time, in order

my $busy = $devices[0];
my @calls = map { call_in_turn($_, "turn $_", $streams[$_]) } 0 .. $n - 1;

my @got;

for (1 .. $n) {
    my $got = $busy->read_chunk(2);
    push @got, defined $got ? $got : 'nothing';
    push @got, 'not alone' unless $busy->quiet(0.02);
    $busy->send_chunk("re: $got[-1]");
}

is(join(', ', @got), join(', ', map { "turn $_" } 0 .. $n - 1),
    'one at a time and in order across workers');
is(join(', ', map { call_end($_)->{body} } @calls),
    join(', ', map { "re: turn $_" } 0 .. $n - 1), 'their replies');

# The queue of a device is one for all workers

@calls = map { call_in_turn($_, "q$_", caller_stream()) } 0 .. 16;

is($busy->read_chunk(2), 'q0', 'a call is written');
ok(wait_for(sub {
    stats('app1')->{json}{stats}{queued} == 16
}), '16 calls wait');

is(join(' ', map {
    my $r = call('app1', 'd0', 'x', stream => $_);
    text($r) . ($r->{headers}{'retry-after'} ? '' : ' no Retry-After')
} @streams), join(' ', ('429 device_busy') x $n), 'no worker adds one');

# A caller that goes leaves the queue

$calls[5]{stream}->close();
$calls[16]{stream}->reset();
ok(wait_for(sub {
    stats('app1')->{json}{stats}{queued} == 14
}), 'callers that go leave the queue');

my @seen = ('q0');

for (0 .. 14) {
    $busy->send_chunk('re: ' . $seen[-1]);
    push @seen, $busy->read_chunk(2) if $_ < 14;
}

is(join(' ', map { defined $_ ? $_ : '-' } @seen),
    join(' ', map { "q$_" } 0 .. 4, 6 .. 15), 'the others are served');
is(join(' ', map { call_end($calls[$_])->{body} } 0 .. 4, 6 .. 15),
    join(' ', map { "re: q$_" } 0 .. 4, 6 .. 15), 'with their replies');

# Many at once, each message its own

my @ids = map { "e$_" } 1 .. 24;
keep_attached($t, @ids);

my @many = map { caller_stream() } 1 .. 96;
my ($right, %other) = (0);

for my $round (1 .. 20) {
    my @started = map {
        my $id = $ids[($_ + $round) % @ids];
        [ $id, "$round.$_", call_start('app1', $id, "$round.$_",
            stream => $many[$_]) ]
    } 0 .. $#many;

    for (@started) {
        my ($id, $message, $call) = @$_;
        my $r = call_end($call);
        $r->{body} eq "$id got $message" ? $right++ : $other{text($r)}++;
    }
}

is(join(', ', map { "$other{$_} x $_" } sort keys %other), '',
    'calls at once, every reply to its own caller');
is($right, 20 * @many, 'all are answered');

# Large ones at once: a mailbox may be full, then the caller is told at once

($right, %other) = (0);

for my $round (1 .. 3) {
    my @started = map {
        my $id = $ids[$_ % @ids];
        my $message = substr("$round.$_ $bytes" . $bytes x 16, 0, 65000);
        [ $id, $message, call_start('app1', $id, $message,
            stream => $many[$_]) ]
    } 0 .. $#many;

    for (@started) {
        my ($id, $message, $call) = @$_;
        my $r = call_end($call);
        $r->{body} eq "$id got $message" ? $right++
            : $other{text($r)}++;
    }
}

delete $other{'503 overloaded'};
is(join(', ', map { "$other{$_} x $_" } sort keys %other), '',
    'large calls at once are right or refused');
cmp_ok($right, '>', 48, 'many are right');

# A device that leaves is gone for all

$t->stop_daemons();

$devices[3]->close();
ok(offline('d3'), 'a device leaves');
is(join(' ', map { text(call('app1', 'd3', 'x', stream => $_)) } @streams),
    join(' ', ('404 device_offline') x $n), 'gone for each worker');

$_->close() for @devices;

# One of the workers may still have to read that all have gone.

ok(wait_for(sub {
    my $s = stats('app1')->{json}{stats};
    $s->{num_devices} == 0 && $s->{queued} == 0 && $s->{calls} == 0
}), 'nothing is left');

###############################################################################

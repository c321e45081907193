#!/usr/bin/perl

# Devices that make a move to new workers hard: one floods without a pause, one
# does not read, one has begun a chunk and never goes on, many leave in the very
# moment. All that stay move, and are where the registry says.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Errno qw//;
use IO::Select;
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

$SIG{PIPE} = 'IGNORE';

use constant CRLF => "\x0d\x0a";
use constant { ROUNDS => 3, LEAVING => 60 };

memory_counts();

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(7 * ROUNDS + 8);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    shutdown => '60s', listen => 'reuseport sndbuf=8192',
    http => 'error_log %%TESTDIR%%/warn.log warn; client_body_timeout 60s;',
    send => 'cometa_send_timeout 60s;',
    server => metrics_location(),
    attach => 'cometa_heartbeat 60s timeout=600s;'))->run();

wait_serving($t, 2);

# A process that writes to the device's connection as fast as it is read.

sub flooder {
    my ($d, $bytes) = @_;

    my $block = $bytes x (65536 / length $bytes);
    my $child = fork();
    die "fork: $!\n" unless defined $child;
    return $child if $child;

    setpriority(0, 0, 10);

    my $select = IO::Select->new($d->socket());
    my $done = 0;

    while ($select->can_write()) {
        my $n = syswrite $d->socket(), $block, length($block) - $done, $done;
        last if !defined $n && !$!{EAGAIN};
        $done = ($done + ($n || 0)) % length $block;
    }

    POSIX::_exit(0);
}

# The slots of processes that hold devices. A process that has a caller stays,
# and keeps its slot, when its devices have gone.

sub holders {
    my $body = stats('x', uri => '/metrics')->{body};
    return $body =~ /^cometa_worker_devices\{slot="(\d+)"\} [1-9]/mg;
}

sub hold_still {
    my %old = map { $_ => 1 } @_;
    return grep { $old{$_} } holders();
}

###############################################################################

my %floods = (
    hearts => device(device => 'hearts'), events => device(device => 'events')
);

my @children = (
    flooder($floods{hearts}, '1' . CRLF . "\x06" . CRLF),
    flooder($floods{events}, '2' . CRLF . "\x07e" . CRLF)
);

my $deaf = device(device => 'deaf', rcvbuf => 2048);
my $waits = call_start('app1', 'deaf', my $long = 'x' x 65000);

my $half = device(device => 'half');
my $partial = call_start('app1', 'half', 'begin');
is($half->read_chunk(), 'begin', 'a device that begins to answer');
$half->raw('a' . CRLF . 'half');

my $plain = device(device => 'plain');

for my $round (1 .. ROUNDS) {
    my %leaving = map { $_ => device(device => $_) }
        map { "leaving$_" } 1 .. LEAVING;
    my @old = serving($t);
    my @slots = holders();

    $t->reload();

    # every second one leaves, in one way or the other, while it moves

    my @names = sort keys %leaving;

    for my $n (0 .. $#names) {
        my $d = $leaving{$names[$n]};

        if ($n % 2) {
            $n % 4 == 1 ? $d->close() : $d->reset();
            delete $leaving{$names[$n]};
        }
    }

    wait_serving($t, 2, @old);
    ok(wait_for(sub { !hold_still(@slots) }), "$round: all have moved")
        or diag(join ' ', hold_still(@slots));

    ok(wait_for(sub {
        join(' ', list()) eq join ' ',
            sort(qw/ deaf events half hearts plain /, keys %leaving)
    }), "$round: who stays is attached, who has left is not")
        or diag(join ' ', list());

    is(reached($plain), 'yes', "$round: a device like any other is called");
    is(join(' ', grep { reached($leaving{$_}) ne 'yes' } sort keys %leaving),
        '', "$round: and all that have stayed");

    ok(!$floods{$_}->gone(), "$round: the flood of $_ goes on")
        for sort keys %floods;

    my ($most) = sort { $b <=> $a } map { rss($_) } serving($t);
    cmp_ok($most, '<', 65536, "$round: memory of the new workers, KB");
    $_->close() for values %leaving;
}

# A flood is called; its answer would stand in the midst of it.

for my $name (sort keys %floods) {
    my $call = call_start('app1', $name, 'stop');
    is($floods{$name}->read_chunk(), 'stop', "the flood of $name is called");
    $call->{stream}->close();
}

# What was under way all the time

is($deaf->read_chunk(), $long, 'the message is whole that was not read');
$deaf->send_chunk('read at last');
is(text(call_end($waits)), '200 read at last', 'and its call is answered');

$half->raw('answer' . CRLF);
is(text(call_end($partial)), '200 halfanswer', 'so is the one half answered');

kill 'KILL', @children;
waitpid $_, 0 for @children;
$_->close() for values %floods;

ok(offline($_), "$_ is gone") for sort keys %floods;

###############################################################################

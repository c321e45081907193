#!/usr/bin/perl

# The stopwatch of the tests: it stands still while others have the processor
# and while everybody stands still, and only then.

###############################################################################

use warnings;
use strict;

use Test::More tests => 8;

BEGIN { use FindBin; chdir($FindBin::Bin); setpgrp(0, 0); }

use lib 'lib';
use Test::Nginx::Cometa::Stopwatch;
use POSIX qw//;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant WORK => 0.3;       # s of a processor

# Works until it has had the processor for that long.

sub work {
    my $end = worked() + WORK;
    1 while worked() < $end;
}

sub worked {
    my ($user, $system) = times;
    return $user + $system;
}

# A sleep takes its time, on any machine

my $watch = stopwatch();
sleep(0.3);
cmp_ok($watch->took(), '>', 0.29, 'a sleep is counted');

# Work beside so much other work that there is not enough for all

my $processors = grep { /^processor\b/ } split /^/,
    Test::Nginx::Cometa::Stopwatch::slurp('/proc/cpuinfo');
my @others;

for (1 .. 4 * $processors) {
    my $pid = fork();
    die "fork: $!\n" unless defined $pid;
    if ($pid == 0) {
        1 while getppid() != 1;
        exit 0;
    }
    push @others, $pid;
}

my $start = time();
$watch = stopwatch();
work();
my ($took, $late) = ($watch->took(), $watch->late());
my $elapsed = time() - $start;

kill 'KILL', @others;
waitpid($_, 0) for @others;

cmp_ok($elapsed, '>', 1.5 * WORK, 'others have the processor');
cmp_ok($late, '>', 0.5 * WORK, 'the watch has seen it');
cmp_ok($took, '>', 0.5 * WORK, 'work is counted');
cmp_ok($took, '<', 1.4 * WORK, 'and that of others is not');

# All are stopped, as if it were the machine

$watch = stopwatch();
$start = time();
stop_all(0.5);
sleep(0.3);
($took, $late) = ($watch->took(), $watch->late());

cmp_ok(time() - $start, '>', 0.79, 'all stand still');
cmp_ok($late, '>', 0.45, 'the watch has seen it');
cmp_ok($took, '>', 0.25, 'and counts what was not still');

###############################################################################

# The test and its pulse, which are a group of their own, by one who is not.

sub stop_all {
    my ($seconds) = @_;

    my $group = getpgrp();
    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        setpgrp(0, 0);
        kill 'STOP', -$group;
        sleep($seconds);
        kill 'CONT', -$group;
        POSIX::_exit(0);
    }

    waitpid($pid, 0);
}

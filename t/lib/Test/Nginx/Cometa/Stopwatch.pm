package Test::Nginx::Cometa::Stopwatch;

# How long something takes on a machine that does other things, too.
#
#   my $watch = stopwatch();    or stopwatch(qr/^(?:nginx|cb-devices)/)
#   $watch->late()      what the machine has added since, in seconds: the time
#                       that the test and its nginx (its children of those
#                       names) could have run and had to wait for a processor,
#                       each of them; and the time that all stood still
#   $watch->took()      what went by, without that
#
# Use took() for "at most a second": a busy machine does not make it longer.
# Use the clock for "at least a second".

use warnings;
use strict;

use base qw/ Exporter /;

use POSIX qw//;
use Time::HiRes qw/ sleep time /;

our @EXPORT = qw/ stopwatch /;

# Seconds from beat to beat, and what must be missing for it to be counted.

use constant {
    BEAT => 0.02,
    STILL => 0.05
};

# The test itself, in its daemons, too; and its pulse, which begins before the
# test opens a connection, for it must not hold one that the test closes.

my $test = $$;
my $pulse = start_pulse();


sub stopwatch {
    my ($names) = @_;

    $names ||= qr/^nginx/;

    return bless {
        names => $names, still => still(), before => waits($names),
        start => time()
    }, __PACKAGE__;
}

sub late {
    my ($self) = @_;

    return $self->late_until(time());
}

sub took {
    my ($self) = @_;

    my $now = time();

    return $now - $self->{start} - $self->late_until($now);
}

sub late_until {
    my ($self, $end) = @_;

    my ($now, $before) = (waits($self->{names}), $self->{before});
    my $late = 0;

    $late += $now->{$_} - ($before->{$_} || 0) for keys %$now;

    # so short a time cannot hold what is counted
    return $late if $end - $self->{start} < STILL;
    return $late + still($end) - $self->{still};
}


# How long each process has waited for a processor so far, in seconds.

sub waits {
    my ($names) = @_;

    my %waits;
    my @pids = ($test, $test == $$ ? () : $$);

    while (defined(my $pid = shift @pids)) {
        my $waited = waited($pid);
        $waits{$pid} = $waited if defined $waited;
        push @pids, grep { slurp("/proc/$_/comm") =~ $names }
            split ' ', slurp("/proc/$pid/task/$pid/children");
    }

    return \%waits;
}

sub waited {
    my ($pid) = @_;
    my (undef, $ns) = split ' ', slurp("/proc/$pid/schedstat");
    return defined $ns ? $ns / 1e9 : undef;
}


# A process that only sleeps, from beat to beat, and writes down when it woke
# and how much later than it wanted to, all in all: whatever it did not wait for
# a processor, everybody stood still.  It ends with the process that began it.

sub start_pulse {
    my $parent = $$;

    open my $file, '+>', undef or die "a file without a name: $!\n";

    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    return { pid => $pid, fd => fileno $file, file => $file } if $pid;

    $SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP /;
    open $_, '+<', '/dev/null' for *STDIN, *STDOUT, *STDERR;

    my ($woke, $waited, $still) = (time(), waited($$), 0);

    while (getppid() == $parent) {
        sysseek($file, 0, 0);
        syswrite($file, sprintf("%.6f %.6f\n", $woke, $still));

        sleep(BEAT);

        my ($now, $waits) = (time(), waited($$));
        my $more = $now - $woke - BEAT - ($waits - $waited);

        $still += $more if $more > STILL;
        ($woke, $waited) = ($now, $waits);
    }

    POSIX::_exit(0);
}

# How long everybody stood still so far; until that time, if one is given: what
# is not written down by then is waited for, if it can be enough to be counted.

sub still {
    my ($until) = @_;

    for ( ;; ) {
        my $text = slurp("/proc/$$/fd/$pulse->{fd}");

        # it may be written meanwhile
        next if $text ne slurp("/proc/$$/fd/$pulse->{fd}");

        my ($woke, $still) = split ' ', $text;

        return $still || 0 if !$until || $woke && $woke > $until - STILL
            || !kill(0, $pulse->{pid});

        sleep(BEAT / 4);
    }
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or return '';
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

1;

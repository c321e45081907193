package Test::Nginx::Cometa::Stopwatch;

# How long something takes on a machine that does other things, too.
#
#   my $watch = stopwatch();    or stopwatch(qr/^(?:nginx|cb-devices)/)
#   $watch->late()      how much the machine has added since, in seconds: the
#                       time that the test and its nginx (its children of those
#                       names) had to wait for a processor, added up over all
#                       of them
#   $watch->took()      the time since, without that
#
# Use took() for "at most a second": a busy machine does not make it longer.
# Use the clock for "at least a second".

use warnings;
use strict;

use base qw/ Exporter /;

use Time::HiRes qw/ time /;

our @EXPORT = qw/ stopwatch /;

# The process of the test itself, also in its daemons.
my $test = $$;


sub stopwatch {
    my ($names) = @_;

    $names ||= qr/^nginx/;

    return bless {
        names => $names, start => time(), before => waits($names)
    }, __PACKAGE__;
}

sub late {
    my ($self) = @_;

    my ($now, $before) = (waits($self->{names}), $self->{before});
    my $late = 0;

    $late += $now->{$_} - ($before->{$_} || 0) for keys %$now;

    return $late;
}

sub took {
    my ($self) = @_;
    return time() - $self->{start} - $self->late();
}


# How long each process has waited for a processor so far, in seconds.

sub waits {
    my ($names) = @_;

    my %waits;
    my @pids = ($test, $test == $$ ? () : $$);

    while (defined(my $pid = shift @pids)) {
        my (undef, $ns) = split ' ', slurp("/proc/$pid/schedstat");
        $waits{$pid} = $ns / 1e9 if defined $ns;
        push @pids, grep { slurp("/proc/$_/comm") =~ $names }
            split ' ', slurp("/proc/$pid/task/$pid/children");
    }

    return \%waits;
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or return '';
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

1;

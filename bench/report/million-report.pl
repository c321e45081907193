#!/usr/bin/perl
#
# The table, million.csv and million.json of what million.sh measured.
#
#     million-report.pl DIRECTORY
#
# Latencies are those of the median round, by its 99 % point; calls are those
# of all rounds; all else is the median. Fails if calls failed or, with
# STRICT=1, if a figure is above its limit.

use warnings;
use strict;

use JSON::PP;
use List::Util qw/ sum /;

use constant { MAX_P50 => 1, MAX_P99 => 10, MAX_RATIO => 1.6 };

my ($directory) = @ARGV;
my $status = 0;

my %machine = map { split /\t/, $_, 2 } lines('machine');
my ($names, @rounds) = map { [ split /,/ ] } lines('rounds.csv');
my @columns = grep { $_ ne 'round' } @$names;
my @rows = summaries();

my ($few, $many) = (sort { $a <=> $b } map { $_->{devices} } @rows)[0, -1];
my @verdicts = (
    ratio('websocket', MAX_RATIO), ratio('post'),
    limit('p50_ms', MAX_P50), limit('p99_ms', MAX_P99)
);

print_table();
write_csv();
write_json();

exit $status;


sub lines {
    my ($name) = @_;
    open my $f, '<', "$directory/$name" or die "$name: $!\n";
    chomp(my @lines = <$f>);
    return @lines;
}

sub middle {
    my ($by, @rows) = @_;
    my @sorted = sort { $a->{$by} <=> $b->{$by} } @rows;
    return $sorted[$#sorted / 2];
}

# A row for each number of devices and way, in the order they were measured.

sub summaries {
    my (%group, @order);

    for my $values (@rounds) {
        my %round;
        @round{@$names} = @$values;
        my $key = "$round{devices} $round{way}";
        push @order, $key unless $group{$key};
        push @{ $group{$key} }, \%round;
    }

    return map { summary(@{ $group{$_} }) } @order;
}

sub summary {
    my (@same) = @_;

    my %row = %{ middle('p99_ms', @same) };
    delete $row{round};

    for my $name (qw/ calls unsent failed /) {
        $row{$name} = sum(map { $_->{$name} } @same);
    }

    for my $name (qw/ calm_cores net_us_call gross_us_call machine_busy /) {
        $row{$name} = middle($name, @same)->{$name};
    }

    $status = 1 if $row{failed};
    $_ += 0 for @row{grep { $_ ne 'way' } keys %row};

    return \%row;
}

sub row {
    my ($devices, $way) = @_;
    return (grep { $_->{devices} == $devices && $_->{way} eq $way } @rows)[0];
}

# Without a limit: only said.

sub verdict {
    my ($name, $value, $limit) = @_;

    my %verdict = (name => $name, value => 0 + sprintf '%.3f', $value);

    if (defined $limit) {
        my $met = $value <= $limit;
        @verdict{qw/ limit met /} = ($limit, $met ? JSON::PP::true
            : JSON::PP::false);
        $status = 1 if !$met && $ENV{STRICT};
    }

    return \%verdict;
}

sub ratio {
    my ($way, $limit) = @_;

    my ($base, $value) = map { row($_, $way)->{net_us_call} } $few, $many;

    return verdict("CPU of a call net, $many : $few devices, $way",
        $value / $base, $limit);
}

sub limit {
    my ($name, $limit) = @_;
    return verdict("$name at $many devices, websocket",
        row($many, 'websocket')->{$name}, $limit);
}


sub print_table {
    print "\n", join('; ', map { $machine{$_} }
        qw/ date cpu memory kernel nginx commit /), "\n";
    print join('; ', map { "$_: $machine{$_}" }
        qw/ workers WebSockets POST calls /), "\n\n";

    printf "%9s %-9s %9s %7s %7s %7s %7s %8s %8s %8s %6s %6s %7s %7s\n",
        qw/ devices way calls p50 p90 p99 p99.9 max us_net us_gross calm busy
            unsent failed /;

    for my $r (@rows) {
        printf "%9d %-9s %9d %7.3f %7.3f %7.3f %7.2f %8.2f %8.2f %8.2f %6.3f"
            . " %5.0f%% %7d %7d\n",
            @$r{qw/ devices way calls p50_ms p90_ms p99_ms p999_ms max_ms
                net_us_call gross_us_call calm_cores /},
            100 * $r->{machine_busy}, @$r{qw/ unsent failed /};
    }

    print "\n", 'latencies in ms; us: CPU time of nginx for a call, net of ',
        "heartbeats and\ngross; calm: cores that nginx takes without calls; ",
        "busy: the machine under load\n\n";

    for my $v (@verdicts) {
        print "  $v->{name}: $v->{value}", exists $v->{limit}
            ? ", limit $v->{limit}: " . ($v->{met} ? 'met' : 'MISSED') : '',
            "\n";
    }

    print "\n";
}

sub write_csv {
    open my $f, '>', "$directory/million.csv" or die "million.csv: $!\n";
    print $f join(',', @columns), "\n";
    print $f join(',', @$_{@columns}), "\n" for @rows;
    close $f or die "million.csv: $!\n";
}

sub write_json {
    open my $f, '>', "$directory/million.json" or die "million.json: $!\n";
    print $f JSON::PP->new->canonical->pretty->encode({
        machine => \%machine, rows => \@rows, verdicts => \@verdicts
    });
    close $f or die "million.json: $!\n";
}

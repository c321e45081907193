#!/usr/bin/perl
#
# The tables, files and plots of seed.sh.
#
#     seed-report.pl SEED_CSV DIRECTORY         one case: prints its table
#     seed-report.pl --all SEED_CSV DIRECTORY   all cases there are in it: the
#         table of all, seed.csv, seed.json and the plots
#
# Fails if a reply was wrong or lost, a device was dropped, or, with STRICT=1,
# a figure is above its limit.

use warnings;
use strict;

use FindBin;
use JSON::PP;

# At 1,000,000 devices.

my %limits = (latency_avg_ms => 3, latency_max_ms => 100, attach_s => 120,
    nginx_mb => 1200);

my @columns = qw/
    case devices websockets response_bytes total_messages rate_per_s up_kB_s
    down_kB_s latency_avg_ms latency_min_ms latency_max_ms latency_sd_ms
    cpu_load latency_p50_ms latency_p99_ms app_p50_ms app_p99_ms app_max_ms
    attach_s nginx_mb nginx_bytes_device tables_bytes_device
    slab_bytes_device cpu_us_call faults
/;

my $all = @ARGV && $ARGV[0] eq '--all' && shift;
my ($seed_file, $directory) = @ARGV;

my %seed = map { $_->{case} => $_ } rows($seed_file);
my @cases = $all ? grep { -e "$_/samples.csv" } sort glob "$directory/*"
    : $directory;
my $status = 0;
my @results = map { measured($_) } @cases;

print_case($results[0]) unless $all;
print_all(@results) if $all && @results;

exit $status;


# Files

sub slurp {
    my ($name) = @_;
    open my $f, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$f>;
}

sub rows {
    my ($name) = @_;
    my ($head, @lines) = split /\n/, slurp($name);
    my @names = split /,/, $head;

    return map {
        my %row;
        @row{@names} = split /,/;
        \%row
    } @lines;
}

# The last line that is JSON: others may stand before it.

sub json_of {
    my ($name) = @_;
    my ($line) = reverse grep { /\A\{/ } split /\n/, slurp($name);
    return decode_json($line || '{}');
}


# What was measured

sub measured {
    my ($dir) = @_;

    my %r = map { split ' ', $_, 2 } split /\n/, slurp("$dir/facts");
    my @samples = rows("$dir/samples.csv");
    my @memory = rows("$dir/memory.csv");

    $r{machine} = { map { split /\t/, $_, 2 }
        split /\n/, slurp("$dir/machine") };

    traffic(\%r, @samples);
    latency(\%r, @samples);
    memory(\%r, @memory);
    application(\%r, json_of("$dir/load.json"));
    faults(\%r, json_of("$dir/devices.json"), @samples);

    return \%r;
}

sub traffic {
    my ($r, @s) = @_;

    my ($first, $last) = @s[0, -1];
    my $seconds = $last->{uptime} - $first->{uptime};
    my $n = $last->{messages} - $first->{messages};
    my $cpu = ($last->{cpu_ticks} - $first->{cpu_ticks}) / $r->{hz} / $seconds;
    my ($cores) = $r->{machine}{cpu} =~ /\A(\d+)/;

    $r->{seconds} = $seconds;
    $r->{total_messages} = $n;
    $r->{rate_per_s} = $n / $seconds;
    # as in 2015, a kB is 1024 bytes
    $r->{up_kB_s} = ($last->{bytes_up} - $first->{bytes_up}) / $seconds / 1024;
    $r->{down_kB_s} =
        ($last->{bytes_down} - $first->{bytes_down}) / $seconds / 1024;
    $r->{cpu_load} = $cpu / $cores;
    $r->{cpu_us_call} = $n ? ($cpu - $r->{calm_cpu}) * $seconds / $n * 1e6 : 0;
}

# The mean is that of all calls; the deviation is put together from those of
# the windows and the distances of their means.

sub latency {
    my ($r, @s) = @_;

    my ($sum, $n) = map { $s[-1]{$_} - $s[0]{$_} }
        qw/ latency_sum_s latency_count /;
    my $mean = $n ? 1e3 * $sum / $n : 0;
    my ($squares, $min, $max) = (0, 1e9, 0);
    my @p50;

    for my $i (1 .. $#s) {
        my $calls = $s[$i]{latency_count} - $s[$i - 1]{latency_count} or next;
        my $here = 1e3 / $calls
            * ($s[$i]{latency_sum_s} - $s[$i - 1]{latency_sum_s});

        $squares += $calls
            * ($s[$i]{std_deviation_ms} ** 2 + ($here - $mean) ** 2);
        $min = $s[$i]{latency_min_ms} if $s[$i]{latency_min_ms} < $min;
        $max = $s[$i]{latency_max_ms} if $s[$i]{latency_max_ms} > $max;
    }

    $r->{latency_avg_ms} = $mean;
    $r->{latency_min_ms} = $min;
    $r->{latency_max_ms} = $max;
    $r->{latency_sd_ms} = $n ? sqrt($squares / $n) : 0;
    $r->{latency_p50_ms} = middle(map { $_->{p50_ms} } @s[1 .. $#s]);
    $r->{latency_p99_ms} = middle(map { $_->{p99_ms} } @s[1 .. $#s]);
}

sub middle {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[$#sorted / 2];
}

sub memory {
    my ($r, @m) = @_;

    # nginx has its places for connections from the start: all counts; of the
    # kernel's memory only what was added

    my %bytes = map { $_ => $m[-1]{$_} * 1024 / $r->{devices} }
        qw/ pss_kB tables_kB /;
    $bytes{slab_kB} = ($m[-1]{slab_kB} - $m[0]{slab_kB}) * 1024 / $r->{devices};

    $r->{nginx_mb} = $m[-1]{pss_kB} * 1024 / 1e6;
    $r->{shared_mb} = $m[-1]{shared_kB} * 1024 / 1e6;
    $r->{nginx_bytes_device} = $bytes{pss_kB};
    $r->{tables_bytes_device} = $bytes{tables_kB};
    $r->{slab_bytes_device} = $bytes{slab_kB};
}

sub application {
    my ($r, $load) = @_;

    $r->{load} = $load;
    $r->{"app_${_}_ms"} = ($load->{latency_us}{$_} || 0) / 1e3
        for qw/ p50 p99 max /;
}

# All that must not have been, by name.

sub faults {
    my ($r, $devices, @s) = @_;

    my %bad = (
        (map { $_ => $s[-1]{$_} } qw/ failed timeouts late errors detached /),
        (map { ("devices_$_" => $devices->{$_}) }
            qw/ failed dropped malformed overruns repeated /),
        (map { ("application_$_" => $r->{load}{$_}) }
            qw/ wrong stray lost errors lost_sockets /),
        devices_missing => $r->{devices} - $s[-1]{devices},
        generator => $r->{load_failed}, log_errors => $r->{log_errors},
    );

    $r->{fault} = { map { $_ => $bad{$_} } grep { $bad{$_} } keys %bad };
    $r->{faults} = join ' ', map { "$_=$bad{$_}" } sort keys %{ $r->{fault} };
    $status = 1 if $r->{faults};
}


# Tables

sub number {
    my ($n) = @_;
    return '-' if !defined $n || $n eq '';
    return sprintf '%.3f', $n if abs($n) < 1 && $n != int($n);
    return sprintf '%.2f', $n if abs($n) < 10 && $n != int($n);
    $n = sprintf '%.0f', $n;
    1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;
    return $n;
}

sub print_case {
    my ($r) = @_;
    my $old = $seed{$r->{case}};

    printf "\ncase %s: %s devices, %s WebSockets, replies of %s bytes, %d s\n",
        $r->{case}, map({ number($r->{$_}) }
            qw/ devices websockets response_bytes /), $r->{seconds};
    print join('; ', map { $r->{machine}{$_} }
        qw/ date cpu memory kernel nginx commit /), "\n\n";

    printf "  %-38s %12s %12s\n", '', '2015', 'here';

    for my $line (
        [ 'messages', 'total_messages' ], [ 'messages/s', 'rate_per_s' ],
        [ 'kB/s from devices', 'up_kB_s' ], [ 'kB/s to devices', 'down_kB_s' ],
        [ 'latency at the server, mean, ms', 'latency_avg_ms' ],
        [ '  minimum', 'latency_min_ms' ], [ '  maximum', 'latency_max_ms' ],
        [ '  deviation', 'latency_sd_ms' ], [ '  median', 'latency_p50_ms' ],
        [ '  99 %', 'latency_p99_ms' ],
        [ 'at the application, median, ms', 'app_p50_ms' ],
        [ '  99 %', 'app_p99_ms' ], [ '  maximum', 'app_max_ms' ],
        [ 'CPU of the server, part of the machine', 'cpu_load' ],
        [ 'CPU of a call, us', 'cpu_us_call' ],
        [ 'attach of all, s', 'attach_s' ],
        [ 'memory of nginx, MB', 'nginx_mb' ],
        [ '  of that shared', 'shared_mb' ],
        [ '  for a device, bytes', 'nginx_bytes_device' ],
        [ 'page tables for a device, bytes', 'tables_bytes_device' ],
        [ 'slab of the kernel, both ends, bytes', 'slab_bytes_device' ],
    ) {
        my ($text, $name) = @$line;
        printf "  %-38s %12s %12s\n", $text, number($old->{$name}),
            number($r->{$name});
    }

    printf "  faults: %s\n", $r->{faults} || 'none';
    print_limits($r) if $r->{devices} >= 1e6;
    print "\n";
}

sub print_limits {
    my ($r) = @_;

    for my $name (sort keys %limits) {
        my $met = $r->{$name} <= $limits{$name};
        printf "  %s %s, limit %s: %s\n", $name, number($r->{$name}),
            $limits{$name}, $met ? 'met' : 'MISSED';
        $status = 1 if !$met && $ENV{STRICT};
    }
}

sub print_all {
    my @head = ('case', 'devices', 'sockets', 'bytes', 'calls/s', 'mean',
        'max', '2015 mean', 'max', '99 %', 'attach s', 'MB', 'B/device',
        'faults');

    print "\n";
    printf "%4s %9s %7s %5s %7s %6s %6s %9s %6s %6s %8s %6s %8s  %s\n", @head;

    for my $r (@_) {
        my $old = $seed{$r->{case}};
        printf "%4s %9s %7s %5s %7s %6s %6s %9s %6s %6s %8s %6s %8s  %s\n",
            $r->{case}, map({ number($_) } @$r{qw/ devices websockets
                response_bytes rate_per_s latency_avg_ms latency_max_ms /},
                @$old{qw/ latency_avg_ms latency_max_ms /},
                @$r{qw/ latency_p99_ms attach_s nginx_mb
                    nginx_bytes_device /}),
            $r->{faults} || 'none';
    }

    write_csv("$directory/seed.csv", @_);
    write_json("$directory/seed.json", @_);
    write_compare("$directory/compare.csv", @_);
    plot();
}

sub write_csv {
    my ($name, @results) = @_;

    open my $f, '>', $name or die "$name: $!\n";
    print $f join(',', @columns), "\n";

    for my $r (@results) {
        print $f join(',', map { my $v = $r->{$_};
            $v = sprintf '%.3f', $v if defined $v && $v =~ /\A-?\d+\.\d{3}/;
            defined $v ? $v : '' } @columns), "\n";
    }
}

sub write_json {
    my ($name, @results) = @_;

    open my $f, '>', $name or die "$name: $!\n";
    print $f JSON::PP->new->canonical->pretty->encode(\@results);
}

sub write_compare {
    my ($name, @results) = @_;

    open my $f, '>', $name or die "$name: $!\n";
    print $f "case,mean_2015,max_2015,mean,max\n";

    for my $r (@results) {
        print $f join(',', $r->{case},
            @{ $seed{$r->{case}} }{qw/ latency_avg_ms latency_max_ms /},
            @$r{qw/ latency_avg_ms latency_max_ms /}), "\n";
    }
}

sub plot {
    chdir $directory or die "$directory: $!\n";
    system('gnuplot', '-e', "cases='@{[ map { m!([^/]+)\z! } @cases ]}'",
        "$FindBin::Bin/seed.gp") == 0
        or do { warn "no plots: gnuplot failed\n"; $status = 1 };
}

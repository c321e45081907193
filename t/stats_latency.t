#!/usr/bin/perl

# Latencies over the last complete window: devices that wait for known times.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ abs_path /;
use File::Spec;
use IO::Select;
use JSON::PP qw//;
use List::Util qw/ max min sum /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time clock_gettime CLOCK_MONOTONIC /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant DEVICES => 100;

# As the seed has them; ours stand behind.

my @seed = qw/ num_devices messages errors bytes_up bytes_down latency
    latency_min latency_max std_deviation websockets /;
my @more = qw/ latency_p50 latency_p90 latency_p99 latency_p999 events late
    timeouts queued attached_total detached_total /;

my %quantiles = (p50 => 0.5, p90 => 0.9, p99 => 0.99, p999 => 0.999);

# The i-th of n delays, ms; the shortest ones are long enough for the
# resolution of the log, 1 ms, to be less than what is asked for.

my %delays = (
    'equal' => sub { 200 },
    'uniform' => sub { 100 + 9 * $_[0] },
    'two peaks' => sub { $_[0] % 20 ? 100 + $_[0] % 5 : 900 + $_[0] % 7 },
    'skewed' => sub { 80 + 900 / (1 + $_[0]) },
);

# Workers, window in seconds, which delays.

my @runs = ([ 1, 1, sort keys %delays ], [ 4, 2, 'skewed' ]);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(9 * sum(map { @$_ - 2 } @runs) + 15 * @runs + 2);

my $hdr = hdr_histogram();

sub conf {
    my ($workers, $window) = @_;

    return cometa_conf(
        workers => $workers,
        listen => $workers > 1 ? 'reuseport' : '',
        http => "cometa_stats_window ${window}s;"
            . 'log_format latency "$cometa_latency";',
        send => 'access_log %%TESTDIR%%/latency.log latency;'
    ) =~ s/(app2 +other;)/$1 app3 none;/r;
}

###############################################################################

# Devices that answer after as many ms as they are told.

sub waiting_devices {
    my ($app, @ids) = @_;

    my $ready = $t->testdir() . "/waiting.$app";
    unlink $ready;
    port(8080);

    $t->run_daemon(sub {
        my %devices = map { fileno $_->socket() => $_ }
            map { device(app => $app, device => $_) } @ids;
        my $select = IO::Select->new(map { $_->socket() } values %devices);
        my @due;

        open my $fh, '>', $ready or die "$ready: $!\n";
        print $fh "ready\n";
        close $fh;

        for ( ;; ) {
            my $next = min(time() + 1, map { $_->[0] } @due);
            my @readable = $select->can_read(max(0, $next - time()));

            push @due, map { told_to_wait($devices{fileno $_}) } @readable;
            @due = grep { $_->[0] > time() || (answer_late($_), 0) } @due;
        }
    });

    $t->waitforfile($ready) or die "devices did not attach\n";
}

# When to answer, and who; nothing for who is closed.

sub told_to_wait {
    my ($d) = @_;

    my $ms = $d->read_chunk(0);
    exit 0 unless defined $ms && length $ms;

    return [ time() + $ms / 1000, $d, $ms ];
}

sub answer_late {
    my ($due) = @_;
    $due->[1]->send_chunk($due->[2]);
}


# Windows: they are counted by the clock that nginx uses, too.

sub window {
    my ($seconds) = @_;
    return int(clock_gettime(CLOCK_MONOTONIC) / $seconds);
}

sub next_window {
    my ($seconds) = @_;

    my $now = clock_gettime(CLOCK_MONOTONIC);
    sleep((int($now / $seconds) + 1) * $seconds - $now + 0.01);

    return window($seconds);
}

# One call to each device, all at once and in one window.  Returns the
# latencies that nginx has logged, the window, and what the machine has added;
# nothing if it was too slow for one.

sub in_a_window {
    my ($seconds, @delays) = @_;

    my $before = lines();
    my $window = next_window($seconds);
    my $watch = stopwatch();

    my @calls = map { call_start('app1', "d$_", int $delays[$_]) }
        0 .. $#delays;
    my @wrong = grep { outcome(call_end($calls[$_]))
        ne '200 ' . int $delays[$_] } 0 .. $#delays;

    die "not answered: @wrong\n" if @wrong;
    wait_for(sub { lines() >= $before + @delays });

    return if window($seconds) != $window;
    return (latencies($before), $window, $watch->late());
}

sub lines {
    my $log = $t->read_file('latency.log');
    return scalar(() = $log =~ /\n/g);
}

sub latencies {
    my ($skip) = @_;
    my @all = split /\n/, $t->read_file('latency.log');
    return [ sort { $a <=> $b } @all[$skip .. $#all] ];
}

# The figures of the window that was, asked for while they are to be had;
# nothing if that was too late.

sub figures_after {
    my ($seconds, $window) = @_;

    sleep(0.01) while window($seconds) == $window;

    my $figures = figures('app1');
    return window($seconds) == $window + 1 ? $figures : undef;
}

# What was logged of a window, its figures and those asked for before its end,
# of as many windows as it takes.

sub measured {
    my ($seconds, @delays) = @_;

    for (1 .. 60) {
        my ($samples, $window, $late) = in_a_window($seconds, @delays) or next;
        my $early = figures('app1');
        next if window($seconds) != $window;

        my $f = figures_after($seconds, $window) or next;
        return ($samples, $f, $early, $window, $late);
    }

    die "the machine is too slow for calls of one window\n";
}


# What is expected

sub exact {
    my ($q, @sorted) = @_;
    my $i = $q * @sorted;
    $i = int($i) + 1 if $i > int $i;
    return $sorted[$i - 1];
}

sub mean {
    return sum(@_) / @_;
}

sub deviation {
    my $mean = mean(@_);
    return sqrt(mean(map { ($_ - $mean) ** 2 } @_));
}

sub near {
    my ($have, $want, $slack, $name) = @_;
    ok(abs($have - $want) <= $slack, $name)
        or diag("$have, not $want within $slack");
}

sub quantiles_are {
    my ($f, $want, $name) = @_;

    is(join(', ', map {
        my ($is, $should) = ($f->{"latency_$_"}, $want->{$_});
        abs($is - $should) > 0.05 * $should ? "$_: $is, not $should" : ()
    } sort keys %quantiles), '', $name);
}

# npm's hdr-histogram-js, where the tests with Node.js have it.

sub hdr_histogram {
    my $modules = abs_path('..') . '/build/node/node_modules';
    my $name = 'hdr-histogram-js';

    return unless grep { -x "$_/node" } File::Spec->path();

    for my $dir ($modules, split /:/, $ENV{NODE_PATH} || '') {
        return "$dir/$name" if -d "$dir/$name";
    }

    return;
}

# Its quantiles of these samples.

sub hdr_quantiles {
    my (@samples) = @_;

    $t->write_file('hdr.js', <<"EOF");
const hdr = require('$hdr');
const histogram = hdr.build({ numberOfSignificantValueDigits: 3 });
for (const ms of [@{[ join ',', @samples ]}]) histogram.recordValue(ms);
console.log(JSON.stringify({
    @{[ join ",\n    ", map {
        "$_: histogram.getValueAtPercentile(" . 100 * $quantiles{$_} . ')'
    } sort keys %quantiles ]}
}));
EOF

    my $said = `node '${\ $t->testdir() }/hdr.js'`;
    die "node: $?\n" if $?;

    return JSON::PP::decode_json($said);
}

###############################################################################

sub names {
    my ($in) = @_;

    my $r = stats('app1');

    like($r->{body}, qr/\A\{"app_id":"app1","app_name":"app1","stats":\{/,
        "$in: names first");

    my ($stats) = $r->{body} =~ /"stats":\{(.*)\}\}\z/;
    my @names = $stats =~ /"(\w+)":/g;

    is_deeply([ @names[0 .. $#seed] ], \@seed, "$in: the seed's names, first");
    is_deeply([ @names[@seed .. $#seed + @more] ], \@more, "$in: ours");
    is(scalar(() = $stats =~ /":[^"]/g), 0, "$in: numbers are strings");

    my $f = $r->{json}{stats};

    is(join(' ', map { $f->{$_} } qw/ latency latency_min latency_max
        std_deviation latency_p50 latency_p999 /),
        '0 0 0 0.000 0.000 0.000', "$in: before the first call");
}

sub distribution {
    my ($in, $seconds, $name) = @_;

    # one second is too short for what takes nearly as long
    my $scale = $seconds / 2;
    my @delays = map { $scale * $delays{$name}->($_) } 0 .. DEVICES - 1;

    my ($samples, $f, $late) = (measured($seconds, @delays))[0, 1, 4];

    @delays = sort { $a <=> $b } map { int } @delays;

    # a log has whole ms, cut off
    near($f->{latency}, mean(@$samples) + 0.5, 1, "$in: mean");
    near($f->{latency_min}, $samples->[0], 1, "$in: minimum");
    near($f->{latency_max}, $samples->[-1] + 1, 1, "$in: maximum");
    near($f->{std_deviation}, deviation(@$samples), 1, "$in: deviation");

    quantiles_are($f, { map { $_ => exact($quantiles{$_}, @$samples) }
        keys %quantiles }, "$in: quantiles within 5 %");

    ok($f->{latency_min} >= $delays[0] && $f->{latency_max} >= $delays[-1],
        "$in: none is shorter than the device waits");

    # of the devices' delays, and what the machine adds
    near($f->{latency_p50}, exact(0.5, @delays),
        0.05 * exact(0.5, @delays) + 250 + 1000 * $late, "$in: about what the device waits");

    ok($f->{latency_min} <= $f->{latency_p50}
        && $f->{latency_p50} <= $f->{latency_p90}
        && $f->{latency_p90} <= $f->{latency_p99}
        && $f->{latency_p99} <= $f->{latency_p999},
        "$in: quantiles rise");

    SKIP: {
        skip 'no hdr-histogram-js in build/node', 1 unless $hdr;

        quantiles_are($f, hdr_quantiles(@$samples),
            "$in: within 5 % of hdr-histogram-js");
    }
}

# A window shows only when it is complete, and only until the next one is.

sub windows {
    my ($in, $seconds) = @_;

    my ($samples, $f, $early, $window) = measured($seconds, 50);

    is($early->{latency_max}, 0, "$in: not before its end");
    cmp_ok($f->{latency_min}, '>=', 50, "$in: after its end");
    near($f->{latency_p50}, $samples->[0] + 0.5, 0.04 * $samples->[0] + 1,
        "$in: one call is all quantiles");
    is($f->{latency_p50}, $f->{latency_p999}, "$in: of one value");
    is($f->{std_deviation}, '0.000', "$in: none deviates");

    sleep(0.01) while window($seconds) == $window + 1;
    $f = figures('app1');
    is(join(' ', map { $f->{$_} } qw/ latency latency_min latency_max
        latency_p50 /), '0 0 0 0.000', "$in: gone after the next one");

    # the same half of the memory is used again, with nothing left in it
    ($samples, $f) = measured($seconds, 20, 30);
    near($f->{latency_max}, $samples->[-1] + 1, 1,
        "$in: nothing of an earlier one");

    # another application, and what is no answer
    my $d = device(app => 'app3', device => 'other');
    $window = next_window($seconds);
    is(outcome(call('app3', 'nobody', 'x')), '404 device_offline',
        "$in: a call that fails");
    is(outcome(call('app3', 'other', 'x', headers => { Prefer => 'wait=0' })),
        '504 device_timeout', "$in: one that times out")
        or diag('Prefer: wait=0');
    $f = figures_after($seconds, $window) || figures('app1');
    is($f->{latency_max}, 0, "$in: failed calls have no latency");
}

###############################################################################

for my $run (@runs) {
    my ($workers, $seconds, @names) = @$run;
    my $in = "$workers workers, windows of $seconds s";

    $t->write_file_expand('nginx.conf', conf(@$run))->run();

    names($in);
    waiting_devices('app1', map { "d$_" } 0 .. DEVICES - 1);

    distribution("$in, $_", $seconds, $_) for @names;
    windows($in, $seconds);

    $t->stop();
    $t->stop_daemons();
}

# The window

for my $bad ('10ms', '2d') {
    my ($good, $said) = config_test($t, cometa_conf(
        http => "cometa_stats_window $bad;"));
    ok(!$good && $said =~ /"cometa_stats_window".*from 100ms to 1d/,
        "a window of $bad");
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

#!/usr/bin/perl

# The programs of the benchmarks, cb-devices and cb-load: what they report has
# happened, and they do to a server what devices and callers do.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/../../t"); }

use lib qw/ lib node /;
use Cwd qw/ abs_path /;
use JSON::PP qw//;
use List::Util qw/ max min sum /;
use NodeTest;
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    DEVICES => 5000,
    BACKOFF => 2,       # s
    STALL => 0.5,

    # with this number no percentile falls between two values
    CALLS => 4002
};

my $bench = abs_path('../bench');
my $dir;

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->todo_alerts();

has_node($t, 'hdr-histogram-js')->plan(61);

$dir = $t->testdir();
certificate($t, 'localhost');

$t->write_file_expand('nginx.conf', cometa_conf(
    ssl => 1,
    main => 'worker_rlimit_nofile 8192;',
    http => 'ssl_protocols TLSv1.2 TLSv1.3; log_format attach $msec; keepalive_requests 100000;',
    attach => "access_log $dir/attach.log attach;",
    server => <<'EOC') =~ s/worker_connections 1024/worker_connections 7000/r);

        add_header Pid $pid always;

        location ~ /(?<app>[^/]+)/devices/(?<device>[^/]+)/websocket$ {
            cometa_websocket;
        }

        location ~ ^/v1/websockets/(?<device>[^/]+)/(?<key>[^/]+)$ {
            cometa_websocket;
        }
EOC

system("BENCH='$dir' CFLAGS=-O1 '$bench/clients/build.sh'") == 0 or die "no programs\n";
$t->run();

###############################################################################

# cb-devices in the background, with the limit of descriptors of nginx: with a
# lower one it would start more processes, which cost memory.

sub start_devices {
    my ($name, %o) = @_;

    my @command = ("$dir/cb-devices", server(%o), '--json', options(%o));

    my $pid = $t->run_daemon(sub {
        open STDOUT, '>', "$dir/$name" or die "$name: $!\n";
        open STDERR, '>', "$dir/$name.err" or die "$name.err: $!\n";
        exec 'sh', '-c', 'ulimit -n 8192; exec "$@"', 'sh', @command;
    });

    wait_for(sub { -e "$dir/$name" && $t->read_file($name) =~ /^attached /m },
        30) or die "devices did not attach: " . $t->read_file("$name.err");

    return $pid;
}

# Ends all of them, and returns their summaries.

sub end_devices {
    my (@names) = @_;

    $t->stop_daemons();

    return map { JSON::PP::decode_json((split /\n/, $t->read_file($_))[-1]) }
        @names;
}

# cb-load: its exit status, its report, all that it said.

sub load {
    my (%o) = @_;

    my $command = join ' ', map { "'$_'" } "$dir/cb-load", server(%o),
        qw/ --app_secret s3cret --json /, options(%o);

    my $said = `$command 2>'$dir/load.err'`;
    my $status = $? >> 8;
    my ($json) = $said =~ /^(\{.*\})$/m;

    diag($t->read_file('load.err')) if $status;

    return ($status, $json && JSON::PP::decode_json($json), $said);
}

sub server {
    my (%o) = @_;
    return ('--server_name' => '127.0.0.1', '--app_id' => 'app1',
        '--server_port' => port(exists $o{use_ssl} ? 8443 : 8080));
}

# undef: an option without a value

sub options {
    my (%o) = @_;
    return map { ("--$_", $o{$_} // ()) } sort keys %o;
}

# The message of a program that cannot run.

sub refusal {
    my ($program, @options) = @_;

    my $said = `'$dir/$program' @options 2>&1`;

    return ($? >> 8) . " $said";
}

sub lines {
    my ($name) = @_;
    return split /\n/, $t->read_file($name);
}

sub near {
    my ($have, $want, $slack, $name) = @_;
    ok(abs($have - $want) <= $slack, $name)
        or diag("$have, not $want within $slack");
}

# The value below which a part of the sorted values lies.

sub part {
    my ($q, @sorted) = @_;
    return $sorted[$q * $#sorted];
}

###############################################################################

# Options

like(refusal('cb-load', '--nonsense'), qr/^3 .*unrecognized.*usage:/s,
    'an unknown option');
like(refusal('cb-load', '--callers 0'), qr/^3 .*--callers takes a whole/,
    'a number out of range');
like(refusal('cb-load', '--outstanding 2'), qr/^3 .*need --websocket/,
    'what is for WebSockets only');
like(refusal('cb-load', '--burst 2'), qr/^3 .*--burst needs --rate/,
    'bursts without a rate');
like(refusal('cb-load', '--samples /nowhere/at/all'), qr/^3 .*nowhere/,
    'a file that cannot be written');
like(refusal('cb-devices', '--heartbeat 1.5'), qr/^3 .*--heartbeat takes/,
    'a number that is not whole');
like(refusal('cb-devices', 'word'), qr/^3 .*unknown argument "word"/,
    'a word');
like(refusal('cb-devices', '--attach_log /nowhere/at/all'),
    qr/^3 .*nowhere/, 'another file that cannot be written');
like(refusal($_, '--help'), qr/^0 usage: $_ .*--server_port PORT/s,
    "$_: help") for qw/ cb-devices cb-load /;

###############################################################################

# Percentiles

sub percentiles {
    my ($samples) = @_;

    my $said = `node '$bench/load-generator/percentiles.js' '$samples'`;
    die "percentiles.js: $?\n" if $?;

    return JSON::PP::decode_json($said);
}

# The same samples in the same format, made by the library that defined it.

sub distribution {
    my ($samples) = @_;

    my $said = `node -e '
        const fs = require("node:fs");
        const { new_histogram, distribution }
            = require("$bench/load-generator/histogram.js");
        const histogram = new_histogram();

        for (const us of fs.readFileSync("$samples", "latin1").split("\\n")) {
            if (us !== "") histogram.recordValue(Number(us));
        }

        process.stdout.write(distribution(histogram, 1000));
    '`;
    die "node: $?\n" if $?;

    return $said;
}

# The columns of a table: of lines, the foot is left out.

sub table {
    return map { [ split ] } grep { /^ *\d/ } split /\n/, $_[0];
}

sub measures {
    my ($in, %o) = @_;

    my ($status, $r, $said) = load(%o, calls => CALLS, devices => DEVICES,
        samples => "$dir/samples", percentiles => undef);

    is("$status $r->{right}", '0 ' . CALLS, "$in: all replies right");

    my @us = sort { $a <=> $b } lines('samples');
    my ($have, $hdr) = ($r->{latency_us}, percentiles("$dir/samples"));

    is(scalar @us, CALLS, "$in: as many samples");

    near($have->{min}, $us[0], 0.6, "$in: minimum");
    near($have->{max}, $us[-1], 0.6, "$in: maximum");
    near($have->{mean}, sum(@us) / @us, 0.6, "$in: mean");
    near($have->{std_deviation}, $hdr->{stddev}, 1 + 0.01 * $hdr->{stddev},
        "$in: deviation");

    is(join(', ', map {
        abs($have->{$_} - $hdr->{$_}) > 0.05 * $hdr->{$_}
            ? "$_: $have->{$_}, not $hdr->{$_}" : ()
    } qw/ p50 p90 p99 p999 /), '', "$in: within 5 % of hdr-histogram-js");

    return ($said, $hdr);
}

# The foot of a table, without padding and without times.

sub foot {
    return join "\n", map { s/ +/ /gr =~ s/\d+\.\d+/TIME/gr }
        $_[0] =~ /^#\[(.*)\]$/mg;
}

# Each level that is in both tables has the same value in both.

sub printed_alike {
    my ($said) = @_;

    my $model = distribution("$dir/samples");
    my ($head) = $model =~ /\A(.*\n\n)/;

    like($said, qr/^\Q$head\E/m, 'the head of the table');
    is(foot($said), foot($model) =~ s/Buckets.*/Buckets = 27, SubBuckets = 16/r,
        'its foot');

    my @ours = table($said);
    my @theirs = table($model);
    my $n = min(scalar @ours, scalar @theirs) - 1;

    cmp_ok($n, '>', 20, 'lines that both tables have');

    is(join(' ', map { "@{$ours[$_]}[1, 3]" } 0 .. $n - 1),
        join(' ', map { "@{$theirs[$_]}[1, 3]" } 0 .. $n - 1),
        'levels of both tables');
    is(join(', ', grep {
        abs($ours[$_][0] - $theirs[$_][0]) > 0.05 * $theirs[$_][0] + 0.001
    } 0 .. $n - 1), '', 'values of both tables');
    is("@{$ours[-1]}[1, 2]", '1.000000000000 ' . CALLS, 'the last line');
}

# A rate is kept, and a stall of the server adds to the latency of all calls
# that were due meanwhile.

sub stalled {
    my ($in, %o) = @_;

    my $worker = stats('app1')->{headers}{pid};
    my $before = figures('app1')->{messages};
    my $helper = fork() // die "fork: $!\n";

    # not by the clock: the load may begin late on a busy machine

    if ($helper == 0) {
        wait_for(sub { figures('app1')->{messages} > $before + 10 }, 20);
        kill 'STOP', $worker;
        sleep(STALL);
        kill 'CONT', $worker;
        POSIX::_exit(0);
    }

    my ($status, $r) = load(%o, devices => DEVICES, rate => 100,
        duration => 1.2, samples => "$dir/samples");
    waitpid $helper, 0;

    my @us = lines('samples');

    is($status . ' ' . ($r->{calls} + $r->{unsent}), '0 120',
        "$in: as many calls as the rate says");
    cmp_ok(max(@us), '>=', 0.9 * STALL * 1e6, "$in: the stall is felt");
    cmp_ok(scalar(grep { $_ > 1e5 } @us), '>=', 30,
        "$in: by all that were due");
}

# Calls of a burst are due at one moment: for a single caller each latency is
# greater than the one before it of its burst, and counts from the burst's own
# beginning. There are six of them in 1.1 s, one every 0.2 s. Were latency
# counted from the first burst, burst N would show at least N * 0.2 s. One burst
# that shows less is proof enough: a machine that stands still for a while makes
# some of them late, not all.

sub bursts {
    my ($status, $r) = load(devices => DEVICES, rate => 50, burst => 10,
        duration => 1.1, samples => "$dir/samples");
    my @us = lines('samples');

    is($status . ' ' . ($r->{calls} + $r->{unsent}), '0 60',
        'bursts: as many calls as the rate says');
    is(join(' ', grep { $_ % 10 && $us[$_] <= $us[$_ - 1] } 1 .. $#us), '',
        'bursts: a call waits for those before it');
    ok(scalar(grep { defined $us[10 * $_] && $us[10 * $_] < 2e5 * $_ } 1 .. 5),
        'bursts: latency of their own') or diag("@us");
}

###############################################################################

# Devices

start_devices('devices', devices => DEVICES, backoff => BACKOFF * 1000,
    attach_log => "$dir/attached.csv");

my @log = lines('attached.csv');
is("@log[0, 1]", 'seconds,attached 0.000,0', 'the log of attaches begins');
like($log[-1], qr/^\d+\.\d{3},${\ DEVICES}$/, 'and ends with all');
like($t->read_file('devices.err'), qr/: ${\ DEVICES} of ${\ DEVICES} attached/,
    'progress is told');

# Ports that the kernel gives to programs which choose none are not used.

is(join(' ', grep { !/^127\..*:(\d+)$/ || $1 < 1024 || $1 > 32767 }
    map { stats("app1/devices/$_")->{json}{ip_address} }
    map { 100 * $_ } 1 .. DEVICES / 100), '', 'source ports');

my ($said) = measures('WebSockets', websocket => undef, callers => 50,
    outstanding => 4);
printed_alike($said);
measures('POST', callers => 20);
stalled('a WebSocket', websocket => undef, callers => 1);
bursts();

# A device attaches again at a random time within its backoff.

my $before = lines('attach.log');
my $killed = time();

# devices whose time comes while the machine is busy attach at the same moment
my $watch = stopwatch(qr/^(?:nginx|cb-devices)/);

kill 'KILL', stats('app1')->{headers}{pid};
wait_for(sub { lines('attach.log') >= $before + DEVICES }, 30);
my $added = $watch->late();

my @after = (sort { $a <=> $b } lines('attach.log'))[$before .. $before
    + DEVICES - 1];
my ($early, $half, $late) = map { part($_, @after) } 0.1, 0.5, 0.9;

cmp_ok($late - $early, '>', 0.5 * BACKOFF - $added,
    'they attach again by and by');
near($half - $early, ($late - $early) / 2, 0.35 * ($late - $early) + $added,
    'evenly')
    or diag(sprintf 'after %.3f, %.3f, %.3f s',
        map { $_ - $killed } $early, $half, $late);

###############################################################################

# TLS

start_devices('tls', devices => 50, device_id => 90001, use_ssl => undef);

for my $way ([ 'POST' ], [ 'WebSockets', websocket => undef ]) {
    my ($name, @o) = @$way;
    my ($status, $r) = load(@o, calls => 200, callers => 4, devices => 50,
        device_id => 90001, use_ssl => undef);
    is("$status $r->{right}", '0 200', "$name over TLS");
}

# Devices that keep no SSL object; each resumes the session of another

my %parked = ('1.2' => 91001, '1.3' => 92001);

for my $version (sort keys %parked) {
    start_devices("parked$version", devices => 50, park => undef,
        device_id => $parked{$version}, use_ssl => undef, tls => $version,
        resume => undef, concurrency => 1);

    for my $size (32, 20000, 60000) {
        my ($status, $r) = load(calls => 100, callers => 4, devices => 50,
            device_id => $parked{$version}, size => $size);
        is("$status $r->{right}", '0 100',
            "parked, TLS $version: messages of $size bytes");
    }
}

###############################################################################

# Summaries

figure_is('app1', 'num_devices', DEVICES + 150);

my ($plain, $tls, @parked) = end_devices('devices', 'tls', 'parked1.2',
    'parked1.3');

is_deeply([ @$plain{qw/ devices attached attaches dropped failed overruns
    repeated malformed /} ],
    [ DEVICES, DEVICES, 2 * DEVICES, DEVICES, 0, 0, 0, 0 ],
    'devices of all kinds are counted');
cmp_ok($plain->{messages}, '>', 2 * CALLS, 'and messages');
is_deeply([ @$plain{qw/ bytes_down bytes_up /} ],
    [ (32 * $plain->{messages}) x 2 ], 'and bytes each way');

cmp_ok($plain->{bytes_per_device}, '>', 50, 'memory of a device is measured');
cmp_ok($plain->{bytes_per_device}, '<=', 200, 'and is at most 200 bytes');

is_deeply([ @$tls{qw/ attached messages malformed /} ], [ 50, 400, 0 ],
    'devices over TLS');

for my $r (@parked) {
    is_deeply([ @$r{qw/ attaches parked resumed messages malformed /} ],
        [ 50, 50, 49, 300, 0 ], 'devices that are parked');
    cmp_ok($r->{bytes_per_device}, '<', 20000, 'and their memory');
}

$t->stop();
my $exited = qr/worker process \d+ exited on signal 9/;
is(expected_alerts($t, $exited), '', 'no other alerts');

# Here, because at the end of the program a todo is not taken for one.
undef $t;

###############################################################################

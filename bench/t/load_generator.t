#!/usr/bin/perl

# The load generator of the benchmarks: it counts what the server and the
# devices count, and finds everything that goes wrong.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/../../t"); }

use lib qw/ lib node /;
use Cwd qw/ abs_path /;
use IO::Socket::INET;
use JSON::PP qw//;
use List::Util qw/ sum /;
use NodeTest;
use POSIX qw/ WNOHANG /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    PATIENCE => 30,                 # s, for a program on a machine with load
    DELAY => 0.2                    # s, of the device 600
};

my $t = Test::Nginx->new()->has(qw/http rewrite map http_ssl/);

has_node($t, qw/ ws hdr-histogram-js /)->plan(68);

my $programs = abs_path('../bench/load-generator');
my %running;

$t->write_file_expand('nginx.conf', websocket_conf(
    workers => 2, ssl => 1, shutdown => '300ms',
    websocket => 'cometa_send_timeout 60s;'
));

certificate($t, 'localhost');
$t->run();

# The ids of the devices say what they do.  Devices that must not be in the
# figures of app1 are in app2.

my %does = (
    100 => sub { $_[0] },
    200 => sub { substr($_[0] x 4, 0, 100) },
    300 => sub { substr($_[0], 0, -1) . 'z' },
    500 => sub { return },
    600 => sub { sleep(DELAY); $_[0] },
    700 => sub { "\xff" x length $_[0] },
    800 => sub { substr($_[0], 0, 20) },
);

answer($t, devices => [ 100 .. 109 ], reply => $does{100});
answer($t, app => 'app2', devices => [ grep { $_ != 600 } keys %does ],
    reply => sub { $does{$_[1]}->($_[0]) });
answer($t, app => 'app2', device => 600, reply => $does{600});

###############################################################################

# Programs in the background

END {
    my $status = $?;
    kill 'KILL', $_ for keys %running;
    $? = $status;
}

my $runs = 0;

sub program {
    my ($name, @args) = @_;

    my $n = ++$runs;
    my $dir = $t->testdir();
    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if (!$pid) {
        open STDOUT, '>', "$dir/out.$n" or POSIX::_exit(9);
        open STDERR, '>', "$dir/err.$n" or POSIX::_exit(9);
        exec('node', "$programs/$name", @args) or POSIX::_exit(9);
    }

    $running{$pid} = 1;

    return { pid => $pid, n => $n };
}

# Short pauses, JSON, app2; an option that is given again replaces the first.

sub load {
    my (%o) = @_;

    %o = (
        server_name => '127.0.0.1', server_port => port(8080),
        app_id => 'app2', app_secret => 'other', json => undef,
        quiet => undef, duration => 1, pause_min => 0.01, pause_max => 0.05,
        %o
    );
    delete $o{quiet} if $o{progress};
    delete $o{json} if exists $o{percentiles};

    return program('load-generator.js',
        map { ("--$_", defined $o{$_} ? $o{$_} : ()) } sort keys %o);
}

sub said {
    my ($p, $what) = @_;
    my $name = "$what.$p->{n}";
    return -e $t->testdir() . "/$name" ? $t->read_file($name) : '';
}

sub says {
    my ($p, $what, $re) = @_;
    return wait_for(sub { said($p, $what) =~ $re }, PATIENCE);
}

# What the program wrote until its end: status, out, err, json.

sub ended {
    my ($p) = @_;

    wait_for(sub {
        return waitpid($p->{pid}, WNOHANG) == $p->{pid}
            && defined($p->{status} = $? >> 8 | ($? & 127) << 8);
    }, PATIENCE) or return { status => 'runs', json => {}, out => '' };

    delete $running{$p->{pid}};

    my ($out, $err) = map { said($p, $_) } qw/ out err /;
    my ($json) = $out =~ /^(\{.*\})\n\z/m;

    return {
        status => $p->{status}, out => $out, err => $err,
        json => $json ? JSON::PP::decode_json($json) : {}
    };
}

# Faults and exit status in a few words.

sub failures {
    my ($r) = @_;

    my $json = $r->{json};
    my @words = map { $json->{$_} ? "$_ $json->{$_}" : () }
        qw/ errors wrong stray lost lost_sockets unanswered /;

    return join ', ', @words, "exit $r->{status}";
}

sub failed {
    my ($p, $words, $name) = @_;

    my $r = ended($p);

    is(failures($r), $words, $name) or diag($r->{out}, $r->{err});

    return $r->{json};
}

# Sends a signal when the program is ready for it.

sub signal {
    my ($p, $signal, $ready) = @_;

    says($p, 'err', $ready) or diag('not ready: ' . said($p, 'err'));
    kill $signal, $p->{pid};
}

sub told {
    signal(@_);
    return ended($_[0]);
}

###############################################################################

sub all_right {
    my ($r) = @_;

    my $json = $r->{json};
    my $stats = figures('app1');

    is(failures($r), 'exit 0', 'all is right');
    is($r->{err}, '', 'quiet');
    like($r->{out}, qr/\Aopen 20\n\{.*\}\n\z/, 'open, and one line of JSON');
    is($json->{open}, 20, 'all are open');
    cmp_ok($json->{messages}, '>', 20, 'messages');
    is($json->{sent}, $json->{messages}, 'each has its reply');

    is($stats->{messages}, $json->{messages}, 'messages of the server');
    is($stats->{errors}, 0, 'no errors of the server');
    is($stats->{bytes_down}, 32 * $json->{messages}, 'pings of 32 bytes');
    is($json->{bytes_down}, $stats->{bytes_down}, 'bytes down');
    is($json->{bytes_up}, $stats->{bytes_up}, 'bytes up');
    ok(figure_is('app1', 'websockets', 0), 'WebSockets are closed');

    ok($json->{seconds} > 1.99 && $json->{seconds} < 10, 'the duration')
        or diag($json->{seconds});
    near($json->{rate}, $json->{messages} / $json->{seconds},
        0.01 * $json->{rate}, 'rate');
    near($json->{kb_up}, $json->{bytes_up} / 1024 / $json->{seconds},
        0.01 * $json->{kb_up}, 'kB/s up');
    near($json->{kb_down}, $json->{bytes_down} / 1024 / $json->{seconds},
        0.01 * $json->{kb_down}, 'kB/s down');
}

sub near {
    my ($have, $want, $slack, $name) = @_;
    ok(abs($have - $want) <= $slack, $name)
        or diag("$have, not $want within $slack");
}

# Each device got as many messages as the server says, and most devices got
# some: ten devices are chosen from twenty times.

sub devices_at_random {
    my ($json) = @_;

    my @messages = map {
        stats("app1/devices/$_")->{json}{net}{sent}{messages}
    } 100 .. 109;

    is(sum(@messages), $json->{messages}, 'messages of the devices');
    cmp_ok(scalar(grep { $_ } @messages), '>=', 3, 'of several devices');
}

sub percentiles_of {
    my ($latency) = @_;

    my @rising = map { $latency->{$_} }
        qw/ min p50 p75 p90 p99 p999 p9999 max /;

    is_deeply(\@rising, [ sort { $a <=> $b } @rising ], 'percentiles rise');
    cmp_ok($rising[0], '>', 0, 'minimum');
    ok($latency->{min} <= $latency->{mean}
        && $latency->{mean} <= $latency->{max}, 'mean');
}

###############################################################################

# All of them run at the same time, because each takes long.

my $main = load(app_id => 'app1', app_secret => 's3cret', device_id => 100,
    devices => 10, applications => 20, duration => 2, concurrency => 4,
    pause_max => 0.2);

my %p = map { $_ => load(device_id => $_) } 200, 300, 700;

$p{longer} = load(device_id => 200, response_size => 100, applications => 2);
$p{shorter} = load(device_id => 800, response_size => 20, applications => 2);
$p{lost} = load(device_id => 500, reply_timeout => 0.3);
$p{slow} = load(device_id => 600, duration => 1.5);
$p{ssl} = load(device_id => 100, server_port => port(8443), use_ssl => undef);
$p{text} = load(device_id => 100, progress => 0.2, percentiles => undef);
$p{offline} = load(device_id => 999);
$p{secret} = load(device_id => 100, app_secret => 's3cret');

my @bad = ('--unknown', 'word', '--devices', '--devices 0', '--devices 1.5',
    '--pause_min 2 --pause_max 1', '--app_id a/b', '--json --percentiles');

my %bad = map { $_ => program('load-generator.js', split) } @bad;
my $wrong = program('load-generator.js', '--duration', 'x');
my $help = program('load-generator.js', '--help');

$t->write_file('good', join '', map { "$_\n" } reverse 1 .. 1000);
$t->write_file('odd', "1\n2.5\n");

my ($good, $odd) = map {
    program('percentiles.js', $t->testdir() . "/$_")
} qw/ good odd /;

# Runs that are ended by a signal.

my %idle = (pause_min => 1000, pause_max => 1000, duration => 1000);
my ($leaver, $device) = map { device(app => 'app2', device => $_) } 901, 900;
my $deaf = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
    or die "listen: $!\n";

$p{error} = load(device_id => 901);
$p{stray} = load(%idle, device_id => 900, progress => 0.1);
$p{int} = load(device_id => 100, duration => 1000, progress => 0.1);
$p{unanswered} = load(device_id => 500, duration => 1000, progress => 0.1);
$p{not_open} = load(server_port => $deaf->sockport(), progress => 0.1);
$p{sockets} = load(%idle, device_id => 100, applications => 3,
    progress => 0.1);


# Replies

signal($p{unanswered}, 'TERM', qr/sent 1/);

my $r = ended($main);
all_right($r);
devices_at_random($r->{json});
is($r->{json}{latency_us}{count}, $r->{json}{messages}, 'latency of all');
percentiles_of($r->{json}{latency_us});

$r = ended($p{longer});
is(failures($r), 'exit 0', 'longer replies');
is($r->{json}{bytes_up}, 100 * $r->{json}{messages}, 'of that size');

is(failures(ended($p{shorter})), 'exit 0', 'shorter replies');
is(failures(ended($p{ssl})), 'exit 0', 'TLS');

like(failures(ended($p{200})), qr/\Awrong \d+, exit 1\z/, 'another size');
like(failures(ended($p{300})), qr/\Awrong \d+, exit 1\z/, 'the last byte');
like(failures(ended($p{700})), qr/\Awrong \d+, exit 1\z/, 'no text');

$r = ended($p{lost});
is(failures($r), 'lost 1, exit 1', 'no reply in time');
is($r->{json}{sent}, 1, 'none after it');

$r = ended($p{slow});
is(failures($r), 'exit 0', 'a slow device');
cmp_ok($r->{json}{latency_us}{min}, '>=', 1e6 * DELAY, 'its least latency');
near($r->{json}{latency_us}{p50}, 1e6 * DELAY, 1e6, 'its median');

$leaver->read_chunk(PATIENCE);
$leaver->close();
$r = ended($p{error});
like(failures($r), qr/\Aerrors \d+, exit 1\z/, 'calls that fail');
is($r->{json}{error_words}{device_disconnected}, 1, 'the error of the first');
is(sum(values %{$r->{json}{error_words}}), $r->{json}{errors}, 'all errors');

# Text

$r = ended($p{text});
is($r->{status}, 0, 'a readable report');
like($r->{out}, qr/\Aopen 1\napplications +1, 1 opened\nmessages +\d+ in /,
    'as text');
like($r->{out}, qr/^ +Value +Percentile TotalCount .*^#\[Mean .*^#\[Max /ms,
    'the distribution');
like($r->{err}, qr/^1 s: \d+\.\d\/s, sent \d+, messages \d+, errors 0,/m,
    'progress');

# Nothing to load

$r = ended($p{offline});
is($r->{status}, 3, 'a device that is offline');
like($r->{err}, qr/WebSocket to device 999: .* 404\b/, 'said so');

$r = ended($p{secret});
is($r->{status}, 3, 'a wrong secret');
like($r->{err}, qr/key for device 100: 401 .*unauthorized/, 'that too');

for my $args (@bad) {
    $r = ended($bad{$args});
    is($r->{status}, 2, "wrong: $args");
}

$r = ended($wrong);
is($r->{out}, '', 'nothing but');
like($r->{err}, qr/--duration must be a number .*not "x"\n.*--help/,
    'what is wrong');

$r = ended($help);
is($r->{status}, 0, 'help');
like($r->{out}, qr/^  --reply_timeout S /m, 'names the options');

# Signals

$r = told($p{int}, 'INT', qr/messages [1-9]/);
is(failures($r), 'exit 0', 'SIGINT');
cmp_ok($r->{json}{messages}, '>', 0, 'reports what there is');
cmp_ok($r->{json}{seconds}, '<', PATIENCE, 'before the duration is over');

$r = ended($p{unanswered});
is(failures($r), 'unanswered 1, exit 1', 'SIGTERM, a call without reply');

$r = told($p{not_open}, 'TERM', qr/0 of 1 open/);
is(failures($r), 'exit 1', 'SIGTERM, nothing open');
is($r->{json}{open}, 0, 'reported');

says($p{stray}, 'out', qr/^open 1/) and $device->event('x');
$r = told($p{stray}, 'TERM', qr/stray 1/);
is(failures($r), 'stray 1, exit 1', 'a message that is no reply');

says($p{sockets}, 'out', qr/^open 3/) and $t->stop();
$r = told($p{sockets}, 'TERM', qr/lost_sockets 3/);
is(failures($r), 'lost_sockets 3, exit 1', 'WebSockets that are closed');

# hdr-histogram-js by itself

$r = ended($good);
is_deeply($r->{json}, {
    count => 1000, min => 1, max => 1000, mean => 500.5, stddev => 288.675,
    p50 => 500, p75 => 750, p90 => 900, p99 => 990, p999 => 999,
    p9999 => 1000
}, 'percentiles of a file');

$r = ended($odd);
is($r->{status}, 2, 'a file with other things');
like($r->{err}, qr/not an integer: "2.5"/, 'which it names');

# The last tests are made when the object is destroyed, which must be before the
# plan is checked.
undef $t;

###############################################################################

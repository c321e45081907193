#!/usr/bin/perl

# Totals: exactly those of what was done, on any number of workers, over a
# reload and a killed worker; and no counter ever goes backwards.

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

use constant CALLS => 1000;         # of the load

my @workers = (1, $ENV{COMETA_WORKERS} || 8);

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(37 * @workers + 1);

sub conf {
    my ($workers) = @_;

    return worker_conf(
        workers => $workers,
        shutdown => '30s',
        send => 'cometa_send_timeout 2s; cometa_queue 1;'
            . 'client_max_body_size 1m;',
        server => <<'EOC') =~ s/(app2 +other;)/$1 app3 none; app4 none;/r;

        location ~ ^/short/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_heartbeat 1s timeout=1s;
        }

        location = /metrics {
            cometa_stats prometheus;
            cometa_secret off;
        }
EOC
}

###############################################################################

# What has been done so far: figures of the JSON, and the counters by kind
# that only Prometheus is told.

my (%figures, %outcomes, %reasons, %seen);

my @gauges = qw/ num_devices calls queued websockets webhook_queued /;
my @windowed = qw/ latency latency_min latency_max std_deviation latency_p50
    latency_p90 latency_p99 latency_p999 /;
my %falls = map { $_ => 1 } @gauges, @windowed;

sub start_counting {
    %figures = map { $_ => 0 } qw/ num_devices messages errors bytes_up
        bytes_down events late timeouts queued calls failed attached_total
        detached_total websockets /;
    %outcomes = ();
    %reasons = ();
    %seen = ();
}

sub did {
    my (%more) = @_;
    $figures{$_} += $more{$_} for keys %more;
}

sub attached {
    my ($n) = @_;
    did(num_devices => $n, attached_total => $n);
}

sub detached {
    my ($reason, $n) = @_;
    did(num_devices => -$n, detached_total => $n);
    $reasons{$reason} += $n;
}

sub answered {
    my ($message, $reply) = @_;
    did(messages => 1, bytes_down => length $message,
        bytes_up => length $reply);
    $outcomes{ok}++;
}

sub failed {
    my ($outcome) = @_;
    did(failed => 1);
    $outcomes{$outcome}++;
}

# All totals are read through here.

sub totals {
    my (%o) = @_;

    my $have = eval { stats('app3', %o)->{json}{stats} } or return;
    never_less('figure', $have);

    return $have;
}

sub metrics {
    my $body = Test::Nginx::http_content(http_get('/metrics'));
    my %metrics = $body =~ /^(cometa_\w+(?:\{[^}]*\})?) ([\d.]+)$/gm;

    never_less('metric', { map { $_ => $metrics{$_} }
        grep { /_(?:total|bucket|count|sum)\b/ } keys %metrics });

    return \%metrics;
}

my @backwards;

sub never_less {
    my ($kind, $have) = @_;

    for my $name (grep { !$falls{$_} } keys %$have) {
        my $last = $seen{"$kind $name"};
        push @backwards, "$name: $have->{$name} after $last"
            if defined $last && $have->{$name} < $last;
        $seen{"$kind $name"} = $have->{$name};
    }
}

sub totals_differ {
    my $have = totals() or return 'no answer';
    return join ' ', map { "$_ $have->{$_} not $figures{$_}" }
        grep { $have->{$_} ne $figures{$_} } sort keys %figures;
}

# The five tests of each step.

sub totals_are {
    my ($name) = @_;

    wait_for(sub { totals_differ() eq '' }, 3);
    is(totals_differ(), '', "$name: totals");

    my $metrics = metrics();

    for my $kind ([ 'calls', 'outcome', \%outcomes ],
        [ 'detaches', 'reason', \%reasons ])
    {
        my ($what, $label, $want) = @$kind;
        my %have = map {
            /^cometa_${what}_total\{application="app3",$label="(\w+)"\}$/
                && $metrics->{$_} ? ($1 => $metrics->{$_}) : ()
        } keys %$metrics;

        is_deeply(\%have, $want, "$name: $what by $label");
    }

    is($metrics->{'cometa_call_duration_seconds_count{application="app3"}'},
        $figures{messages}, "$name: calls of the histogram");

    my $devices = 0;
    $devices += $metrics->{$_} for grep { /^cometa_worker_devices/ }
        keys %$metrics;
    is($devices, $figures{num_devices}, "$name: devices of the workers");
}

###############################################################################

sub attach {
    my ($id, %o) = @_;
    my $d = device(app => 'app3', device => $id, %o);
    attached(1);
    return $d;
}

sub exchange {
    my ($d, $message, $reply) = @_;

    my $call = call_start('app3', $d->{device}, $message);
    $d->read_chunk();
    $d->send_chunk($reply);

    outcome(call_end($call)) eq "200 $reply" or die "a call failed\n";
    answered($message, $reply);
}

# A call that must end so.

sub ends {
    my ($outcome, $r) = @_;
    (my $said = outcome($r)) =~ s/^\d+ //;
    die "$said instead of $outcome\n" if $said ne $outcome;
    failed($outcome);
}

# Everything that can happen.

sub scripted {
    my ($run) = @_;

    my %d = map { $_ => attach("$run-$_") } 1 .. 20;

    for my $n (1 .. 40) {
        my $d = $d{1 + $n % 20};
        exchange($d, 'm' x (37 * $n), 'r' x (91 * $n));
    }

    exchange($d{1}, 'x' x 65536, 'y' x 65536);

    # events and heartbeats, and who says what nobody asked for
    $d{$_}->event('e' x $_) for 1 .. 10;
    did(events => 10, bytes_up => 55 + 10);
    $d{$_}->heartbeat() for 1 .. 10;
    $d{$_}->send_chunk("stray $_") for 5 .. 9;
    did(errors => 5, bytes_up => 5 * 7);

    # those that fail before they are written
    ends('device_offline', call('app3', 'nobody', 'x')) for 1 .. 3;

    my $first = call_start('app3', "$run-2", 'first');
    did(bytes_down => 5) if $d{2}->read_chunk() eq 'first';
    my $second = call_start('app3', "$run-2", 'second');
    wait_for(sub { totals()->{queued} == 1 });
    ends('device_busy', call('app3', "$run-2", 'third')) for 1 .. 2;

    $d{2}->send_chunk('one');
    $d{2}->read_chunk();
    $d{2}->send_chunk('two!');
    outcome(call_end($first)) . outcome(call_end($second))
        eq '200 one200 two!' or die "calls failed\n";
    did(messages => 2, bytes_up => 7, bytes_down => 6);
    $outcomes{ok} += 2;

    # those that fail after it
    $first = call_start('app3', "$run-3", 'gone');
    $d{3}->read_chunk();
    $d{3}->close();
    ends('device_disconnected', call_end($first));
    did(bytes_down => 4);
    detached('disconnected', 1);

    $first = call_start('app3', "$run-4", 'taken');
    $d{4}->read_chunk();
    my $next = attach("$run-4");
    ends('device_taken_over', call_end($first));
    did(bytes_down => 5);
    detached('taken_over', 1);

    # a reply that is late, and none at all
    my @calls = map { call_start('app3', "$run-$_", 'slow') } 5, 6;
    $d{$_}->read_chunk() for 5, 6;
    ends('device_timeout', call_end($_)) for @calls;
    did(bytes_down => 8, timeouts => 2);
    $d{5}->send_chunk('late');
    did(late => 1, bytes_up => 4);
    $d{6}->closed();
    detached('unresponsive', 1);

    # how devices leave
    $d{7}->raw("garbage\x0d\x0a");
    did(errors => 1);
    detached('protocol_error', 1);
    $d{$_}->detach() for 8, 9;
    detached('detached', 2);
    $d{$_}->reset() for 10, 11;
    detached('disconnected', 2);

    my $quiet = attach("$run-quiet", uri => "/short/app3/$run-quiet");
    $quiet->closed();
    detached('heartbeat_timeout', 1);

    $_->close() for $next, map { $d{$_} } 1, 2, 5, 12 .. 20;
    detached('disconnected', 13);
}

# Many calls at once, from many callers to many devices.

sub load {
    my ($t, $run) = @_;

    my @ids = map { "$run-load-$_" } 1 .. 30;

    answer($t, app => 'app3', devices => \@ids, reply => sub { $_[0] . '!' });
    attached(30);

    my @callers = map { caller_stream() } @ids;

    for my $n (1 .. CALLS / @ids) {
        my @said = map { "$n." x (1 + $_) } 0 .. $#ids;
        my @calls = map {
            call_start('app3', $ids[$_], $said[$_], stream => $callers[$_])
        } 0 .. $#ids;

        for my $i (0 .. $#ids) {
            my $outcome = outcome(call_end($calls[$i]));
            die "$outcome\n" if $outcome ne "200 $said[$i]!";
            answered($said[$i], "$said[$i]!");
        }
    }

    $t->stop_daemons();
    detached('disconnected', scalar @ids);
}

# Looks all the time, from connections of its own to any worker.

sub watch {
    my ($seconds) = @_;

    my $end = time() + $seconds;

    while (time() < $end) {
        totals(keepalive => 0);
        metrics();
    }
}

# Devices that stay while the workers are replaced.

sub reloaded {
    my ($t, $workers) = @_;

    my @d = map { attach("stays-$_") } 1 .. 10;
    exchange($_, 'before', 'yes') for @d;

    my @old = serving($t);
    $t->reload();
    watch(0.5);
    wait_serving($t, $workers, @old) or die "not reloaded\n";

    exchange($_, 'after it', 'still') for @d;
    $_->detach() for @d;
    detached('detached', scalar @d);

    return @old;
}

# All devices of one worker are lost, and a call that was written to one of
# them, if its caller is elsewhere: a caller of the same worker is lost, too.
# Returns the other devices.

sub killed {
    my ($t, $workers) = @_;

    my %on;
    my @d = map { attach("killed-$_") } 1 .. 24;
    push @{$on{$_->header('Pid')}}, $_ for @d;
    exchange($_, 'before', 'yes') for @d;

    my ($victim, @others) = (sort keys %on);
    my $lost = $on{$victim}[0];
    my $call = call_start('app3', $lost->{device}, 'lost', @others
        ? (stream => stream_on($others[0])) : ());
    $lost->read_chunk();
    did(bytes_down => 4);
    wait_for(sub { totals()->{bytes_down} == $figures{bytes_down} });

    kill 'KILL', $victim;
    watch(0.5);
    wait_serving($t, $workers, $victim) or die "not replaced\n";

    ends('worker_lost', call_end($call)) if @others;

    # nobody was there to count that they left
    did(num_devices => -@{$on{$victim}});

    return map { @{$on{$_}} } @others;
}

###############################################################################

for my $workers (@workers) {
    my $in = "$workers workers";

    $t->write_file_expand('nginx.conf', conf($workers));
    $t->run();
    wait_serving($t, $workers);
    start_counting();

    scripted('a');
    totals_are("$in: a run");

    load($t, 'a');
    totals_are("$in: a load");

    my @old = reloaded($t, $workers);
    totals_are("$in: a reload");

    ok(wait_gone($t, 10, @old), "$in: the old workers have left");
    totals_are("$in: after the old workers");

    scripted('b');
    totals_are("$in: a run by the new workers");

    my @left = killed($t, $workers);
    totals_are("$in: a killed worker");

    $_->close() for @left;
    detached('disconnected', scalar @left);

    scripted('c');
    load($t, 'c');
    totals_are("$in: a run and a load after it");

    is(join("\n", @backwards), '', "$in: no counter goes backwards");
    @backwards = ();

    $t->stop();
}

is(expected_alerts($t, qr/exited on signal 9/), '', 'no other alerts');

###############################################################################

#!/usr/bin/perl

# A device id that clients take from each other again and again: the one that
# has it keeps it for a while, and can be called.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use IO::Select;
use JSON::PP qw//;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant FLAPPING => 3;

my @good = ('on', 'off', 'on limit=1', 'on limit=60', 'on limit=off');
my @bad = ('on limit=0', 'on limit=61', 'on limit=', 'on limit=-1',
    'on limit=many', 'on limit=5s', 'on max=5', 'on off', 'off limit=5',
    'off limit=off', 'on limit=5 limit=5');

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(48 + @good + 2 * @bad);

###############################################################################

sub start {
    my ($t, %o) = @_;

    $t->write_file_expand('nginx.conf', cometa_conf(
        workers => 2, listen => 'reuseport', %o,
        attach => 'add_header Pid $pid always;' . ($o{attach} || '')
    ));
    $t->run();
}

# Lines of the log, but for those that were there.

my $known = 0;

sub notices {
    my ($t) = @_;

    my @lines = $t->read_file('error.log')
        =~ /^.*\[notice\].*too often.*$/gm;
    my @new = @lines[$known .. $#lines];

    $known = @lines;

    return @new;
}

# Attaches until it is refused, and returns the last that was not, the refused
# one, and how many were let in.

sub attach_often {
    my (%o) = @_;

    my ($holder, $d);

    for my $n (0 .. 100) {
        $d = device(%o);
        return ($holder, $d, $n) if $d->{status} != 200;
        $holder = $d;
    }

    die "never refused\n";
}

sub in_range {
    my ($d, $least, $most, $name) = @_;
    my $after = $d->header('Retry-After') || 0;
    ok($after >= $least && $after <= $most, $name) or diag($after);
}

# Is refused until it is let in: after how many seconds since then, 0: never; and
# when it asked last. By the clock of before it asked, for it may read the answer
# late.

sub hammer {
    my ($timeout, $since, %o) = @_;

    my $end = time() + $timeout;

    while (time() < $end) {
        my $asked = time();
        my $d = device(%o);
        return ($d, time() - $since, $asked) if $d->{status} == 200;
        sleep(0.02);
    }

    return (undef, 0);
}

sub calls {
    my ($device) = @_;
    my $call = call_start('app1', $device->{device}, 'ping');
    $device->echo();
    return outcome(call_end($call));
}

###############################################################################

start($t);

# As many are let in on all workers together as on one

my @pids = map { $_->header('Pid') } map { device(device => "w$_") } 1 .. 40;
cmp_ok(scalar(keys %{{ map { $_ => 1 } @pids }}), '==', 2, 'two workers');

my $since = time();
my ($holder, $refused, $n) = attach_often(device => 'often');

is($n, 6, 'attached, and taken over 5 times');
is($refused->{status}, 429, 'once more is refused');
is($refused->{json}{error}, 'device_busy', 'with a word');
is($refused->{json}{device_id}, 'often', 'and the device');
in_range($refused, 1, 3, 'and a time');
ok(!$holder->gone(), 'the holder stays');
is(calls($holder), '200 ping', 'and is called');
my $other = device(device => 'other');
is($other->{status}, 200, 'others are let in');
ok(figure_is('app1', 'num_devices', 2), 'and nothing is counted twice');

ok(wait_log($t, qr/attach refused: device_busy.*client: 127/, 1),
    'the refusal is logged');

# The delay is over for whoever comes next, and then grows

(my ($next, $time), $since) = hammer(20, $since, device => 'often');
ok($next, 'one is let in when the delay is over');
cmp_ok($time, '>', 0.8, 'not before');
is($holder->closed(), 'last', 'the holder is closed in order');
is(calls($next), '200 ping', 'the next is called');

$refused = device(device => 'often');
is($refused->{status}, 429, 'its successor is refused');
in_range($refused, 3, 6, 'for longer');

($next, $time) = hammer(20, $since, device => 'often');
ok($next, 'until this delay is over');
cmp_ok($time, '>', 2.5, 'which is longer');

$refused = device(device => 'often');
in_range($refused, 7, 12, 'and the next is longer still');

# A free id can be taken at once

$next->detach();
$next->closed();
ok(wait_for(sub { call('app1', 'often', 'x')->{status} == 404 }),
    'the holder leaves');
$holder = device(device => 'often');
is($holder->{status}, 200, 'then one attaches at once');
is(calls($holder), '200 ping', 'and is called');

for (1 .. 20) {
    $holder->detach();
    $holder->closed();
    $n = call('app1', 'often', 'x')->{status};
    $holder = device(device => 'often');
    $n = $holder->{status};
    last if $n != 200;
}

is($n, 200, 'who leaves in order may come back as often as it likes');

# A device that loses its network some times

($holder) = map { device(device => 'mobile') } 1 .. 4;
$holder = device(device => 'mobile');
is($holder->{status}, 200, 'a device that attached anew four times');
is(calls($holder), '200 ping', 'is not slowed');

# One line, with the addresses of both

ok(wait_log($t, qr/too often/, 1), 'flapping is logged');
my @notices = notices($t);
is(scalar(@notices), 1, 'once') or diag(join "\n", @notices);
like($notices[0], qr/client (127\.0\.0\.1:\d+) is refused for \d s, client: (?!\1)127\.0\.0\.1:\d+, device: "app1\/often"/,
    'with both clients and the device');
$t->stop();

###############################################################################

# Two clients that flap, and do not look at Retry-After

sub clients {
    my ($ready, $report, $pause) = @_;

    my (%seen, @clients, @tried, $end);
    local $SIG{TERM} = sub { $end = 1 };

    until ($end) {
        for my $i (0, 1) {
            my $d = $clients[$i];

            if (!$d && time() - ($tried[$i] || 0) > $pause) {
                $tried[$i] = time();
                $d = device(timeout => 2);
                $seen{$d->{status}}++;
                $clients[$i] = $d if $d->{status} == 200;
            }

            $clients[$i] = undef if $clients[$i] && !serve($clients[$i], $i);
        }

        write_text($ready, 'ready') if $clients[0] && $clients[1] && !-e $ready;
        IO::Select->new(map { $_->socket() } grep { $_ } @clients)
            ->can_read(0.005);
    }

    write_text("$report.new", JSON::PP::encode_json(\%seen));
    rename "$report.new", $report;
}

# False if the connection has ended.

sub serve {
    my ($d, $i) = @_;

    my $gone = $d->gone();

    while (defined(my $payload = $d->read_chunk(0))) {
        return 0 if $payload eq '';
        $d->send_chunk("$i $payload");
    }

    return !$gone;
}

sub write_text {
    my ($name, $text) = @_;
    open my $fh, '>', $name or die "$name: $!\n";
    print $fh $text;
    close $fh or die "$name: $!\n";
}

# What became of calls while they did so.

sub flapping {
    my ($t, $name) = @_;

    my $dir = $t->testdir();
    port(8080);

    $t->run_daemon(\&clients, "$dir/$name.ready", "$dir/$name.report", 0.01);
    $t->waitforfile("$dir/$name.ready") or die "clients did not attach\n";

    my %outcomes;
    my $end = time() + FLAPPING;

    # and as many as it takes on a slow machine
    while (time() < $end || total(\%outcomes) < 100) {
        my $r = call('app1', 'dev1', 'ping', headers =>
            { Prefer => 'wait=2' });
        $outcomes{$r->{status} == 200 ? 'reply' : outcome($r)}++;
    }

    $t->stop_daemons();

    return (\%outcomes, JSON::PP::decode_json($t->read_file("$name.report")));
}

sub total {
    my ($counts) = @_;
    my $n = 0;
    $n += $_ for values %$counts;
    return $n;
}

start($t);

my ($outcomes, $seen) = flapping($t, 'damped');

note(join ', ', map { "$_: $outcomes->{$_}" } sort keys %$outcomes);

cmp_ok(total($outcomes), '>', 50, 'calls');
cmp_ok($outcomes->{reply} || 0, '>', 0.9 * total($outcomes),
    'flapping: nearly all calls are answered')
    or diag(join ', ', map { "$_: $outcomes->{$_}" } sort keys %$outcomes);
ok(!$outcomes->{'503 overloaded'}, 'flapping: nothing is overloaded');
cmp_ok($seen->{200}, '<', 12, 'flapping: few attach');
cmp_ok($seen->{429}, '>', 10, 'flapping: the others are refused');
is(join(' ', sort keys %$seen), '200 429', 'flapping: nothing else');

@notices = notices($t);
is(scalar(@notices), 1, 'flapping: one line of the log');
like($notices[0], qr/client 127\.0\.0\.1:\d+ is refused.*client: 127\.0\.0\.1:\d+, device: "app1\/dev1"/,
    'flapping: with both addresses');
$t->stop();

# Without a limit all attach, and callers are told to come back

start($t, http => 'cometa_takeover on limit=off;');

($outcomes, $seen) = flapping($t, 'free');

note(join ', ', map { "$_: $outcomes->{$_}" } sort keys %$outcomes);

is(join(' ', keys %$seen), '200', 'no limit: all attach');
cmp_ok($seen->{200}, '>', 30, 'no limit: many times');
ok(!$outcomes->{'503 overloaded'}, 'no limit: nothing is overloaded');
@notices = notices($t);
is(scalar(@notices), 0, 'no limit: and nothing is logged');
$t->stop();

# Another limit, and none at all

start($t, attach => 'cometa_takeover on limit=1;');
($holder, $refused, $n) = attach_often();
is($n, 2, 'limit=1: taken over once');
is($refused->{status}, 429, 'limit=1: once more is refused');
is(calls($holder), '200 ping', 'limit=1: the holder is called');
$t->stop();

start($t, http => 'cometa_takeover on limit=2;',
    server => 'cometa_takeover on;');
($holder, $refused, $n) = attach_often();
is($n, 6, 'the limit is a part of the directive');
$t->stop();

start($t, http => 'cometa_takeover on limit=2;');
($holder, $refused, $n) = attach_often();
is($n, 3, 'and inherited with it');
$t->stop();

start($t, attach => 'cometa_takeover off;');
($holder, $refused, $n) = attach_often();
is($n, 1, 'off: not taken over');
is($refused->{status}, 409, 'off: as ever');
$t->stop();

###############################################################################

# The directive

sub check {
    my ($t, $value) = @_;
    return config_test($t, cometa_conf(http => "cometa_takeover $value;"));
}

for my $value (@good) {
    my ($ok, $said) = check($t, $value);
    ok($ok, "cometa_takeover $value") or diag($said);
}

for my $value (@bad) {
    my ($ok, $said) = check($t, $value);
    ok(!$ok, "cometa_takeover $value: refused");
    like($said, qr/"cometa_takeover"|limit=/, "cometa_takeover $value: why");
}

###############################################################################

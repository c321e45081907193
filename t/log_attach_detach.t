#!/usr/bin/perl

# What the error log says of the life of a device: a line when it attaches and
# one when it leaves, takeovers, and attaches that are refused.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ serving worker_conf master /;
use POSIX qw/ SIGQUIT /;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)->plan(41);

certificate($t, 'localhost');

# The lines are in the log of the location, at the level that it has.

$t->write_file_expand('nginx.conf', worker_conf(
    workers => 2, shutdown => '60s', ssl => 1,
    attach => 'error_log %%TESTDIR%%/devices.log info;'
        . 'add_header Session $cometa_session always;',
    send => 'cometa_send_timeout 1s;',
    server => <<'EOF'

        location ~ ^/short/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_heartbeat 1s timeout=1s;
            error_log %%TESTDIR%%/devices.log info;
            add_header Session $cometa_session always;
        }

        location ~ ^/quiet/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            error_log %%TESTDIR%%/quiet.log notice;
        }

        location ~ ^/strict/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_takeover off;
            cometa_device_secret key;
            error_log %%TESTDIR%%/devices.log info;
        }
EOF
));

$t->run();

###############################################################################

sub lines {
    my ($t, $re) = @_;
    return $t->read_file('devices.log') =~ /^.*\[info\].*$re.*$/gm;
}

# The only line that matches, as soon as it is there.

sub line {
    my ($t, $re) = @_;

    wait_for(sub { scalar(() = lines($t, $re)) });
    my @lines = lines($t, $re);

    return @lines == 1 ? $lines[0] : scalar(@lines) . ' lines';
}

# How a device leaves: the reason, and the figures that the line must have.

sub leaves {
    my ($t, $d, $reason, $up, $up_bytes, $down, $down_bytes) = @_;

    my $session = $d->header('Session');
    my $port = $d->{port_of_client};

    like(line($t, qr/device detached.*session: $session\b/),
        qr/device detached, reason: $reason, attached for \d+ s, sent: $up messages of $up_bytes bytes, received: $down messages of $down_bytes bytes, client: 127\.0\.0\.1:$port, device: "app1\/$d->{device}", session: $session$/,
        "$d->{device}: the end");
}

sub attached {
    my ($t, $d, $more) = @_;

    my $session = $d->header('Session');
    my $port = $d->{port_of_client} = $d->socket()->sockport();

    like(line($t, qr/device attached.*session: $session\b/),
        qr/device attached$more, heartbeat: \d+ s, client: 127\.0\.0\.1:$port, device: "app1\/$d->{device}", session: $session$/,
        "$d->{device}: the attach");
}

###############################################################################

# Each reason

my $d = device(device => 'orderly');
attached($t, $d, '');

my $call = call_start('app1', 'orderly', 'abc');
$d->echo();
is(outcome(call_end($call)), '200 abc', 'a call');
$d->event('12345');
$d->heartbeat();
$d->detach();
leaves($t, $d, 'detached', 4, 10, 1, 3);

$d = device(device => 'form_b', form => 'B', info => 'B');
attached($t, $d, '');
$d->close();
leaves($t, $d, 'disconnected', 0, 0, 0, 0);

$d = device(device => 'tls', ssl => 1);
attached($t, $d, '');
$d->reset();
leaves($t, $d, 'disconnected', 0, 0, 0, 0);

my $start = time();
$d = device(device => 'silent', uri => '/short/app1/silent');
attached($t, $d, '');
$d->closed();
leaves($t, $d, 'heartbeat_timeout', 0, 0, 0, 0);
my ($for) = line($t, qr/device detached, reason: heartbeat_timeout/)
    =~ /attached for (\d+) s/;
cmp_ok($for, '>=', 1, 'attached for a time');
cmp_ok($for, '<=', time() - $start + 1, 'which is right');

$d = device(device => 'owes');
attached($t, $d, '');
is(outcome(call('app1', 'owes', 'x', headers => { Prefer => 'wait=1' })),
    '504 device_timeout', 'a call that is not answered');
leaves($t, $d, 'unresponsive', 0, 0, 1, 1);

$d = device(device => 'junk');
attached($t, $d, '');
$d->raw("junk\r\n");
leaves($t, $d, 'protocol_error', 0, 0, 0, 0);
like(line($t, qr/malformed chunk.*"app1\/junk"/), qr/malformed chunk/,
    'junk: which one');

# Takeovers, on one worker and by another

sub attach_on {
    my ($pid, %o) = @_;

    for (1 .. 200) {
        my $d = device(%o);
        return $d if $d->header('Pid') == $pid;
        $d->detach();
        $d->closed();
    }

    die "no attach on worker $pid\n";
}

my ($one, $two) = serving($t);

for my $where ([ 'here', $one, $one ], [ 'there', $one, $two ]) {
    my ($name, $first, $second) = @$where;
    my ($old, $new);

    for (1 .. 200) {
        $old = attach_on($first, device => $name);
        $new = device(device => $name);
        last if $new->header('Pid') == $second;
        $new->detach();
        $new->closed();
    }

    my $session = $old->header('Session');
    $old->{port_of_client} = $old->socket()->sockport();

    is($old->closed(), 'last', "$name: taken over");
    attached($t, $new, ', taken over from an earlier connection');
    leaves($t, $old, 'taken_over', 0, 0, 0, 0);
    like(line($t, qr/device is taken over by.*session: $session\b/),
        qr/by client 127\.0\.0\.1:$new->{port_of_client}, client: 127\.0\.0\.1:$old->{port_of_client}, device: "app1\/$name", session: $session/,
        "$name: by whom");
    $new->close();
    leaves($t, $new, 'disconnected', 0, 0, 0, 0);
}

# Refusals

sub refused {
    my ($t, $name, $error, %o) = @_;

    my $d = device(device => $name, %o);

    is($d->{json}{error}, $error, "$error: the answer");
    like(line($t, qr/attach refused: $error/),
        qr/attach refused: $error, device: "[^"]*", client: 127\.0\.0\.1, server: .*request: "POST \S+ HTTP/,
        "$error: the log");
}

refused($t, 'refused', 'forbidden', uri => '/strict/app1/refused');
refused($t, 'long', 'invalid_device_id', uri => '/short/app1/' . 'x' x 65);

my %key = (headers => { Authorization => 'OAuth key' });
$d = device(device => 'one', uri => '/strict/app1/one', %key);
is($d->{status}, 200, 'a device');
refused($t, 'one', 'already_attached', uri => '/strict/app1/one', %key);

# A level above

my $hush = device(device => 'hush', uri => '/quiet/app1/hush');
is($hush->{status}, 200, 'a device that is not logged');
$hush->detach();
is($hush->closed(), 'last', 'leaves');
is(scalar(() = lines($t, qr/hush/)) + ($t->read_file('quiet.log') =~ tr/\n//),
    0, 'without a line');

# The worker leaves

my $drained = device(device => 'drained');
attached($t, $drained, '');
kill SIGQUIT, master($t);
is($drained->closed(), 'last', 'nginx stops');
leaves($t, $drained, 'draining', 0, 0, 0, 0);
ok(wait_for(sub {
    return (() = lines($t, qr/device attached/))
        == (() = lines($t, qr/device detached/));
}), 'all that attached have left');

###############################################################################

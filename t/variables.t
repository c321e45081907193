#!/usr/bin/perl

# What an access log can say about a call, an attach and a question.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ stand_still /;
use Time::HiRes qw/ sleep /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(35);

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, listen => 'reuseport',
    send => 'cometa_send_timeout 5s; cometa_queue 1;'
        . 'cometa_max_message_size 100;',
    http => <<'EOC',
        log_format cometa '$http_mark|$status|$cometa_application|'
            '$cometa_device|$cometa_error|$cometa_latency|'
            '$cometa_session|$cometa_hop';
EOC
    server => <<'EOC'));

        listen 127.0.0.1:8089 deferred;
        access_log %%TESTDIR%%/cometa.log cometa;
        add_header Pid $pid always;

        location = /plain {
            return 204;
        }
EOC

$t->run();

my ($one, $two) = map { $_->[0] } workers(2, 1);

###############################################################################

# The line of the request with that mark, without the mark.

my $mark = 0;

sub marked {
    return headers => { Mark => ++$mark };
}

sub line {
    my ($n) = @_;

    my $line;

    wait_for(sub {
        return 0 unless -e $t->testdir() . '/cometa.log';
        ($line) = $t->read_file('cometa.log') =~ /^$n\|(.*)$/m;
        return defined $line;
    });

    return $line;
}

sub worker {
    my ($stream) = @_;
    return stats('app1', stream => $stream)->{headers}{pid};
}

sub field {
    my ($n, $i) = @_;
    return (split /\|/, line($n), -1)[$i];
}

use constant { LATENCY => 4, SESSION => 5, HOP => 6 };

###############################################################################

# Calls, from the device's own worker and from the other one

my $d = device(marked());
my $session = field($mark, SESSION);

like(line($mark), qr/\A200\|app1\|dev1\|-\|-\|[1-9]\d*\|/, 'an attach');

my %stream = map {
    (worker($_) == $d->header('Pid') ? 'local' : 'remote') => $_
} $one, $two;

for my $hop (qw/ local remote /) {
    my @o = (stream => $stream{$hop});

    my $call = call_start('app1', 'dev1', 'x', @o, marked());
    $d->read_chunk();
    sleep(0.2);
    $d->send_chunk('r');
    call_end($call);

    like(line($mark), qr/\A200\|app1\|dev1\|-\|\d+(?:\.\d+)?\|\d+\|$hop\z/,
        "$hop: a call");
    cmp_ok(field($mark, LATENCY), '>=', 200, "$hop: latency in ms");
    cmp_ok(field($mark, LATENCY), '<', 5000, "$hop: not more");
    is(field($mark, SESSION), $session, "$hop: session of the device");

    # what fails once it has reached the worker of the device

    my %marked = marked();
    $marked{headers}{Prefer} = 'wait=2';
    $call = call_start('app1', 'dev1', 'x', @o, %marked);
    my $slow = $mark;
    $d->read_chunk();
    my $waits = call_start('app1', 'dev1', 'y',
        headers => { Prefer => 'wait=15' });
    figure_is('app1', 'queued', 1);

    call('app1', 'dev1', 'z', marked());
    like(line($mark), qr/\A429\|app1\|dev1\|device_busy\|-\|$session\|/,
        "$hop: a full queue");

    call_end($call);
    is(line($slow), "504|app1|dev1|device_timeout|-|$session|$hop",
        "$hop: a timeout");

    $d->send_chunk('late');
    $d->echo();
    call_end($waits);

    # questions

    stats('app1/devices/dev1', @o, marked());
    like(line($mark), qr/\A200\|app1\|dev1\|-\|-\|$session\|$hop\z/,
        "$hop: a device");
}

# Sessions grow

my $next = device(marked());
cmp_ok(field($mark, SESSION), '>', $session, 'the next session');
$session = field($mark, SESSION);

my $call = call_start('app1', 'dev1', 'x', marked());
$next->echo();
call_end($call);
is(field($mark, SESSION), $session, 'is that of the next call');

# Refusals: what is known by then

for my $case (
    [ '404|app1|nodev|device_offline|-|-|-', [ qw/ app1 nodev x / ] ],
    [ '401|app1|dev1|unauthorized|-|-|-', [ qw/ app1 dev1 x / ],
        auth => 'OAuth wrong' ],
    [ '401|nosuch|dev1|unauthorized|-|-|-', [ qw/ nosuch dev1 x / ] ],
    [ '400|app1|-|invalid_device_id|-|-|-', [ qw/ app1 a!b x / ] ],
    [ '400|-|-|invalid_application_id|-|-|-', [ qw/ a!b dev1 x / ] ],
    [ '400|app1|dev1|empty_message|-|-|-', [ qw/ app1 dev1 /, '' ] ],
    [ '413|app1|dev1|message_too_large|-|-|-',
        [ qw/ app1 dev1 /, 'x' x 101 ] ],
)
{
    my ($want, $ids, @o) = @$case;
    call(@$ids, @o, marked());
    is(line($mark), $want, $want =~ s/\|.*\|([a-z_]+)\|.*/ $1/r);
}

call('app1', 'dev1', undef, method => 'GET', marked());
like(line($mark), qr/\A405\|.*\|not_allowed\|-\|-\|-\z/, '405 not_allowed');

device(app => 'nosuch', marked());
is(line($mark), '403|nosuch|dev1|forbidden|-|-|-', '403 forbidden');

device(version => '1.0', marked());
like(line($mark), qr/\A505\|.*\|http1_required\|-\|-\|-\z/,
    '505 http1_required');

# Other questions, and requests that are none of ours

stats('app1/devices', marked());
is(line($mark), '200|app1|-|-|-|-|-', 'a list');

stats('app1', marked());
is(line($mark), '200|app1|-|-|-|-|-', 'an application');

stats('app1/devices/nodev', marked());
is(line($mark), '404|app1|nodev|device_offline|-|-|-', 'no such device');

call('app1', 'dev1', undef, method => 'GET', uri => '/plain', marked());
is(line($mark), '204|-|-|-|-|-|-', 'nothing of ours');

# A call that fails with its device

$call = call_start('app1', 'dev1', 'x', marked());
my $written = $mark;
$next->read_chunk();
$next->close();
call_end($call);
like(line($written), qr/\A502\|app1\|dev1\|device_disconnected\|-\|$session\|/,
    'a call that was written');

# A caller that leaves

$d = device();
$call = call_start('app1', 'dev1', 'x', marked());
$written = $mark;
$d->read_chunk();
$call->{stream}->close();
like(line($written), qr/\A499\|app1\|dev1\|/, 'a caller that leaves');

# One that has left when its request is read

my @pids = map { worker($_) } $one, $two;

for my $port (8080, 8089) {
    my $gone = device(device => "gone$port");
    my $stream = caller_stream(port => $port);

    stand_still(@pids);
    $stream->write(call_request('app1', "gone$port", 'x', marked()));
    $written = $mark;
    $stream->close();
    sleep(0.1);
    kill 'CONT', @pids;

    like(line($written), qr/\A499\|app1\|gone$port\|/,
        "a caller that has left, port $port");
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

#!/usr/bin/perl

# The list of devices by the beginning of their ids, and pages of it with the
# figures of each device, whichever worker holds it.

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

use constant {
    MANY => 1100,           # devices of app2
    AT_ONCE => 100,         # attaches under way
    STOPPED => 60,          # devices of a worker that stands still
    COMING => 40            # that come and go
};

# A killed worker is an [alert] in the log; the last test says that there is
# nothing else.

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(55);

$t->write_file_expand('nginx.conf', worker_conf(workers => 2,
    connections => 8192))->run();

my @pids = wait_serving($t, 2);

###############################################################################

sub page {
    my ($app, $args, %o) = @_;
    return stats("$app/devices?$args", %o);
}

# "number: ids" of an answer, and where the next page begins.

sub said {
    my ($r) = @_;
    return text($r) if $r->{status} != 200;

    my @ids = map { ref $_ ? $_->{device_id} : $_ } @{$r->{json}{devices}};
    my $next = $r->{json}{next};

    return "$r->{json}{num_devices}: @ids" . (defined $next ? ", $next" : '');
}

sub hint {
    my ($r) = @_;
    return "$r->{status} $r->{json}{error}: $r->{json}{hint}";
}

# All ids or devices, page after page.

sub pages {
    my ($app, $args, %o) = @_;

    my @all;
    my $next = '';

    for (1 .. 2 * MANY) {
        my $r = page($app, $args . $next, %o);
        die text($r) . "\n" if $r->{status} != 200;

        push @all, @{$r->{json}{devices}};
        return @all unless defined $r->{json}{next};

        $next = '&after=' . $r->{json}{next};
    }

    die "too many pages\n";
}

# More devices than may be asked for one by one: none is read from again.

sub attach_many {
    my ($app, @ids) = @_;

    my @streams;

    while (my @some = splice @ids, 0, AT_ONCE) {
        my @new = map { caller_stream() } @some;

        $new[$_]->write("POST /v1/applications/$app/devices/$some[$_] "
            . "HTTP/1.1\x0d\x0aHost: localhost\x0d\x0aContent-Length: 6"
            . "\x0d\x0a\x0d\x0afirm-\"") for 0 .. $#new;
        $_->take_until("}\x0d\x0a") for @new;

        push @streams, @new;
    }

    return @streams;
}

###############################################################################

# By prefix

my @ids = sort qw/ lamp-1 lamp-2 lamp-10 lamp lam Lamp-1 switch-1 ~ + /;
my %device = map { $_ => device_on($pids[rand 2], device => $_,
    info => "info of $_") } @ids;
my @lamps = sort grep { /^lamp/ } @ids;

{
    my $r = page('app1', 'prefix=lamp');
    is("$r->{json}{num_devices}: @{[ sort @{$r->{json}{devices}} ]}",
        @lamps . ": @lamps", 'those that begin so, and their number');
    is($r->{json}{next}, undef, 'all of them');

    is(said(page('app1', 'prefix=lamp&limit=2')),
        @lamps . ": @lamps[0, 1], $lamps[1]", 'a page, and how to go on');
    is(said(page('app1', "prefix=lamp&limit=2&after=$lamps[1]")),
        @lamps . ": @lamps[2, 3]", 'the last page');
    is(said(page('app1', 'prefix=lamp-1&limit=9')), '2: lamp-1 lamp-10',
        'one id is the beginning of another');
    is(said(page('app1', 'prefix=lamp&after=switch')), @lamps . ': ',
        'after all that begin so');
    is(said(page('app1', 'prefix=lamp&after=a')), @lamps . ": @lamps",
        'after what stands before them');
    is(said(page('app1', 'prefix=%6Camp%2D1&limit=9')),
        '2: lamp-1 lamp-10', 'escaped');
    is(said(page('app1', 'prefix=%2B')), '1: +', 'a plus');
    is(said(page('app1', 'prefix=none')), '0: ', 'none begins so');
    is(said(page('app1', 'prefix=' . 'l' x 64)), '0: ', 'a long one');
    is(said(page('app2', 'prefix=lamp', secret => 'other')), '0: ',
        'another application');

    is(said(page('app1', 'limit=3')), @ids . ": @ids[0 .. 2], $ids[2]",
        'a page of all, and how to go on');
    is(said(page('app1', 'limit=' . @ids)), @ids . ": @ids",
        'one that ends with the last');
    is(join(' ', pages('app1', 'limit=2')), "@ids", 'all pages');
}

# What is wrong

my %wrong = (
    'prefix=' => 'prefix is 1 to 64',
    'prefix=a%20b' => 'prefix is 1 to 64',
    'prefix=lamp*' => 'prefix is 1 to 64',
    'prefix=%00' => 'prefix is 1 to 64',
    'prefix=%22%7D' => 'prefix is 1 to 64',
    'prefix=' . 'l' x 65 => 'prefix is 1 to 64',
    'limit=0' => 'limit is a whole number above zero',
    'limit=x&detail=1' => 'limit is a whole number above zero',
    'detail=' => 'detail is 1, or 0',
    'detail=2' => 'detail is 1, or 0',
    'detail=01' => 'detail is 1, or 0',
    'detail=yes' => 'detail is 1, or 0',
);

for my $args (sort keys %wrong) {
    like(hint(page('app1', $args)), qr/^400 bad_request: $wrong{$args}/,
        substr $args, 0, 30);
}

is(said(page('app1', 'detail=1', secret => 'wrong')), '401 unauthorized',
    'the secret');

# With figures

{
    my $r = page('app1', 'detail=1');

    is(said($r), @ids . ": @ids", 'all devices');
    is_deeply($r->{json}{devices},
        [ map { stats("app1/devices/$_")->{json} } @ids ],
        'with what the answer about one has');
    is($r->{json}{devices}[0]{info}, "info of $ids[0]", 'the info');

    is(said(page('app1', 'detail=1&prefix=lamp&limit=3&after=lamp')),
        @lamps . ": @lamps[1 .. 3]", 'the last ones by prefix');
    is(said(page('app1', 'detail=1&prefix=lamp&limit=2&after=lamp')),
        @lamps . ": @lamps[1, 2], $lamps[2]", 'others, and how to go on');
    is(said(page('app1', 'detail=1&prefix=none')), '0: ', 'none');
    is(said(page('app1', 'detail=0&prefix=lamp-10')), '1: lamp-10',
        'ids alone');

    $r = page('app1', 'detail=1', method => 'HEAD');
    is("$r->{status} $r->{body}", '200 ', 'HEAD');

    is(join(' ', map { $_->{device_id} } pages('app1', 'detail=1&limit=2')),
        "@ids", 'all pages');
}

# Many devices

my @many = map { sprintf 'm%04d', $_ } 1 .. MANY;
my @streams = attach_many('app2', @many);

{
    my $r = page('app2', 'detail=1', secret => 'other');
    is(said($r), MANY . ": @many[0 .. 999], m1000", 'a page has 1,000');
    is(scalar(grep { $_->{info} eq 'firm-"' } @{$r->{json}{devices}}), 1000,
        'with figures');
    is(said(page('app2', 'detail=1&limit=10000', secret => 'other')),
        MANY . ": @many[0 .. 999], m1000", 'never more');
    is(scalar(@{page('app2', 'limit=1100', secret => 'other')
        ->{json}{devices}}), MANY, 'ids are more');
    is(join(' ', map { $_->{device_id} }
        pages('app2', 'detail=1&limit=300', secret => 'other')), "@many",
        'all pages of many');
}

# A caller that does not read, and those that go away

{
    my $request = call_request('app2', undef, undef, method => 'GET',
        secret => 'other',
        uri => '/v1/applications/app2/devices?detail=1') x 10;

    my $stream = caller_stream(rcvbuf => 8192);
    $stream->write($request);
    sleep(0.3);
    is(reached($device{lamp}), 'yes', 'a call beside pages not read');

    my @wrong = grep { @{response($stream)->{json}{devices} || []} != 1000 }
        1 .. 10;
    is(scalar @wrong, 0, 'all pages are whole');

    for my $wait (0, 0.001, 0.01, 0.1) {
        $stream = caller_stream(rcvbuf => 8192);
        $stream->write($request);
        sleep($wait);
        $stream->reset();
    }

    is(said(page('app1', 'detail=1&limit=1')), @ids . ": $ids[0], $ids[0]",
        'callers that go away');
    ok(wait_for(sub { figures('app1')->{calls} == 0
        && stats('app2', secret => 'other')->{json}{stats}{calls} == 0 }),
        'no question is left');
}

# Devices that come and go: those that stay are in each list, once

{
    port(8080);

    $t->run_daemon(sub {
        for ( ;; ) {
            my @some = map { device(device => "lamp-$_-moving") } 1 .. COMING;
            sleep(0.01);
            $_->close() for @some;
        }
    });

    my ($wrong, $disorder, $n) = (0, 0, 0);
    my $end = time() + 3;

    while (time() < $end) {
        my @all = map { $_->{device_id} }
            pages('app1', 'detail=1&prefix=lamp&limit=7');

        $wrong += join(' ', grep { !/moving/ } @all) ne "@lamps";
        $disorder += join(' ', sort @all) ne "@all";
        $n++;
    }

    $t->stop_daemons();

    is($wrong, 0, "devices that stay are in all of $n lists, once");
    is($disorder, 0, 'lists stay in order');

    ok(wait_for(sub {
        said(page('app1', 'limit=100')) eq @ids . ": @ids"
    }, 20), 'the others are gone');
}

# A worker that stands still, and dies

{
    my @held = map { device_on($pids[0], device => sprintf 'x%02d', $_) }
        1 .. STOPPED;
    my $other = device_on($pids[1], device => 'x99');
    my $stream = stream_on($pids[1], timeout => 30);

    stand_still($pids[0]);

    my $start = time();
    my $r = page('app1', 'detail=1&prefix=x', stream => $stream,
        timeout => 30);

    is(said($r), STOPPED + 1 . ': '
        . join(' ', map { $_->{device} } @held, $other),
        'its devices are in the list');
    is(scalar(grep { ($_->{error} || '') eq 'device_timeout' }
        @{$r->{json}{devices}}), STOPPED, 'with an error in place of figures');
    is($r->{json}{devices}[-1]{ip_address} ? 'yes' : 'no', 'yes',
        'others have theirs');
    cmp_ok(time() - $start, '<', 15, 'they are not waited for one by one');

    $stream->write(call_request('app1', undef, undef, method => 'GET',
        uri => '/v1/applications/app1/devices?detail=1&prefix=x'));
    sleep(0.2);
    kill 'KILL', $pids[0];

    is(said(response($stream)), STOPPED + 1 . ': x99',
        'those of a worker that dies are left out');
}

$t->stop();

is(expected_alerts($t, qr/worker process \d+ exited on signal 9/), '',
    'nothing else in the log');

###############################################################################

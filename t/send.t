#!/usr/bin/perl

# A call, its reply, and every way to be refused one.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ stand_still /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(164);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, listen => 'reuseport',
    send => 'cometa_send_timeout 2s; cometa_queue 2;',
    server => <<"EOC"));

        add_header Pid \$pid always;

        location ~ ^/open/$ids {
            cometa_send;
            cometa_secret off;
        }

        location ~ ^/typed/$ids {
            cometa_send;
            default_type application/x-thing;
        }

        location = /named {
            cometa_send;
            cometa_secret s3cret;
            cometa_application \$arg_a;
            cometa_device \$arg_d;
        }
EOC

$t->run();

###############################################################################

# A call that the device answers, and what the caller gets.

sub exchange {
    my ($d, $message, $reply, %o) = @_;

    my $call = call_start($d->{app}, $d->{device}, $message, %o);
    my $got = $d->read_chunk();
    $d->send_chunk($reply);
    my $r = call_end($call);
    $r->{message} = $got;

    return $r;
}

# Body and headers of an error, to the byte.

my %msg = (
    400 => 'Bad Request', 401 => 'Unauthorized', 404 => 'Not Found',
    413 => 'Request Entity Too Large', 429 => 'Too Many Requests',
    502 => 'Bad Gateway', 503 => 'Service Temporarily Unavailable',
    504 => 'Gateway Timeout'
);

sub refused {
    my ($r, $status, $error, $device, $name) = @_;

    my $body = "{\"msg\":\"$status $msg{$status}\",\"error\":\"$error\""
        . (defined $device ? ",\"device_id\":\"$device\"}" : '}');
    my $h = $r->{headers};

    is("$r->{status} $r->{body}", "$status $body", "$name: status and body");
    is($h->{'content-type'}, 'application/json', "$name: type");
    is($h->{'content-length'}, length $body, "$name: length");
    is($h->{'www-authenticate'},
        $status == 401 ? 'OAuth realm="cometa"' : undef,
        "$name: what to present");

    my $retry = $h->{'retry-after'};
    $status =~ /429|503/
        ? like($retry, qr/\A[1-9]\d{0,2}\z/, "$name: when to try again")
        : is($retry, undef, "$name: nothing to wait for");
}

# Without what differs from answer to answer.

sub bare {
    my ($r) = @_;
    return ($r->{head} =~ s/^(?:Date|Pid):[^\n]*\n//gmr) . $r->{body};
}

###############################################################################

# The reply

{
    my $d = device();

    for my $reply ('pong', '{"state":"on"}', "<html>\0\xff", ' ', '0') {
        my $r = exchange($d, 'ping', $reply);
        is($r->{message}, 'ping', "the message");
        is(outcome($r), "200 $reply", 'the reply');
        is($r->{headers}{'content-length'}, length $reply, 'its length');
        is($r->{headers}{'transfer-encoding'}, undef, 'not chunked');
        is($r->{headers}{'content-type'}, 'text/plain', 'default type');
    }

    my $r = exchange($d, 'x', 'y', uri => '/typed/app1/dev1');
    is($r->{headers}{'content-type'}, 'application/x-thing', 'another type');

    # nothing of a call's request but its body is for the device
    is(exchange($d, 'm', 'r', headers => { 'Content-Type' => 'text/x',
        'User-Agent' => 'ua' })->{message}, 'm', 'the body alone');

    # an empty reply, as a library in the field sends it

    my $call = call_start('app1', 'dev1', 'x');
    $d->read_chunk();
    $d->raw("0\x0d\x0a\x0d\x0a");
    $r = call_end($call);
    is(outcome($r), '200 ', 'empty reply of form A');
    is($r->{headers}{'content-length'}, 0, 'its length');
    is(outcome(exchange($d, 'x', 'y')), '200 y', 'the device stays');

    $d = device(form => 'B', device => 'b');
    $call = call_start('app1', 'b', 'x');
    $d->read_chunk();
    $d->raw("0\x0d\x0a\x0d\x0a");
    refused(call_end($call), 502, 'device_disconnected', 'b',
        'end of form B');
    ok(defined $d->closed(), 'it is closed');
}

# Authorization

{
    my $d = device();

    for my $auth ('OAuth s3cret', 'Bearer s3cret', 'oauth s3cret',
        'BEARER s3cret')
    {
        is(outcome(exchange($d, 'x', 'y', auth => $auth)), '200 y', $auth);
    }

    my @wrong = (undef, '', 'OAuth', 'OAuth ', 'OAuth s3cre',
        'OAuth s3cretx', 'OAuth S3CRET', 'OAuth other', 'OAuth "s3cret"',
        'OAuths3cret', 's3cret', 'Basic s3cret', 'Bearer', 'Bearer s3cre',
        'Token s3cret');

    for my $auth (@wrong) {
        my $r = call('app1', 'dev1', 'x', auth => $auth);
        is(outcome($r), '401 unauthorized',
            defined $auth ? "'$auth'" : 'no authorization');
    }

    my $wrong = call('app1', 'dev1', 'x', auth => 'OAuth wrong');
    refused($wrong, 401, 'unauthorized', 'dev1', 'wrong secret');
    ok($d->quiet(), 'the device hears of none of them');

    for my $auth (undef, 'OAuth wrong', 'OAuth ', 'Bearer ', 'OAuth s3cret') {
        is(bare(call('nosuch', 'dev1', 'x', auth => $auth)), bare($wrong),
            'unknown application, ' . (defined $auth ? "'$auth'" : 'none'));
    }

    is(bare(call('app1', 'dev1', '', auth => 'OAuth wrong')), bare($wrong),
        'before the message');
    is(outcome(call('app1', 'nodev', 'x', auth => undef)), '401 unauthorized',
        'before the device');

    # guarded by another module

    is(outcome(exchange($d, 'x', 'y', uri => '/open/app1/dev1',
        auth => undef)), '200 y', 'off: no secret');
    is(outcome(exchange($d, 'x', 'y', uri => '/open/app1/dev1',
        auth => 'Basic what')), '200 y', 'off: another secret');
    is(outcome(call('nosuch', 'dev1', 'x', uri => '/open/nosuch/dev1',
        auth => undef)), '404 device_offline', 'off: any application');
}

# Identifiers

{
    my $id = '40:6c:8f:08:7d:5c';
    my $d = device(device => $id);
    is(outcome(exchange($d, 'x', 'y')), '200 y', 'an address as id');
    is(outcome(call('app1', uc $id, 'x')), '404 device_offline',
        'case matters');

    my $call = call_start('app1', $id, 'x', uri =>
        '/v1/applications/app1/devices/40%3a6c%3A8f:08:7d:5c/send');
    $d->echo();
    is(outcome(call_end($call)), '200 x', 'the same, escaped');

    for my $bad ('a%20b', 'a!b', '%c3%a9', 'd' x 65) {
        refused(call('app1', $bad, 'x'), 400, 'invalid_device_id', undef,
            "device $bad");
    }

    for my $bad ('a%20b', 'a,b', 'd' x 65) {
        is(call($bad, 'dev1', 'x')->{json}{error}, 'invalid_application_id',
            "application $bad");
    }

    refused(call('app1', 'dev1', 'x', uri => '/named?a=app1'), 400,
        'invalid_device_id', undef, 'no device');
    is(outcome(call('app1', 'dev1', 'x', uri => '/named?d=dev1')),
        '400 invalid_application_id', 'no application');

    my $d2 = device(app => 'app2', device => 'named');
    my $c = call_start('app1', 'named', 'x', uri => '/named?a=app2&d=named');
    $d2->echo();
    is(outcome(call_end($c)), '200 x', 'ids from other variables');
    is(outcome(call('app1', 'named', 'x')), '404 device_offline',
        'in another application only');
}

# Rows of the table

{
    my $d = device(device => 'row');

    refused(call('app1', 'row', ''), 400, 'empty_message', 'row', 'no bytes');
    refused(call('app1', 'row', undef), 400, 'empty_message', 'row',
        'no body');
    refused(call('app1', 'row', '', chunked => 1), 400, 'empty_message',
        'row', 'no chunks');
    refused(call('app1', 'nodev', 'x'), 404, 'device_offline', 'nodev',
        'offline');
    refused(call('app1', 'row', 'x' x 65537), 413, 'message_too_large', 'row',
        'too large');
    ok($d->quiet(), 'the device hears of none of them');

    # 429, 502, and nothing is written twice

    my $written = call_start('app1', 'row', 'written');
    is($d->read_chunk(), 'written', 'a call is written');
    my @waiting = map { call_start('app1', 'row', $_) } 1 .. 2;
    ok(figure_is('app1', 'queued', 2), 'two wait');

    refused(call('app1', 'row', 'x'), 429, 'device_busy', 'row',
        'full queue');

    my $next = device(device => 'row');
    refused(call_end($written), 502, 'device_taken_over', 'row',
        'taken over');
    $next->echo() for @waiting;
    is(join(' ', sort map { outcome(call_end($_)) } @waiting), '200 1 200 2',
        'those that wait move');

    $written = call_start('app1', 'row', 'x');
    $next->read_chunk();
    $next->close();
    refused(call_end($written), 502, 'device_disconnected', 'row', 'gone');

    $d = device(device => 'row');
    my $r = call('app1', 'row', 'x');
    refused($r, 504, 'device_timeout', 'row', 'silent');
    ok($r->{time} > 1.9 && $r->{took} < 3, 'at its deadline')
        or diag("after $r->{time} s");
}

# An internal queue is full: that of a worker that does not run

{
    my ($one, $two) = workers(2, 12);
    my $busy = device(device => 'far');
    my $holder = $busy->header('Pid');

    # it is called from the other worker

    ($one, $two) = ($two, $one)
        if stats('app1', stream => $one->[0])->{headers}{pid} != $holder;

    stand_still($holder);

    my @calls = map {
        call_start('app1', 'far', 'm' x 65536, stream => $_)
    } @$two[0 .. 11];

    # those that have to wait are not told so soon

    my $first;
    wait_for(sub { ($first) = grep { $_->{stream}->readable(0) } @calls });
    my $full = call_end($first || $calls[0]);
    my @r = ($full, map { call_end($_) } grep { $_ != $first } @calls);
    kill 'CONT', $holder;

    is($full->{status}, 503, 'some find no room')
        or diag(join ' ', map { outcome($_) } @r);
    refused($full, 503, 'overloaded', 'far', 'no room');
    ok($full->{took} < 1, 'at once') or diag("after $full->{time} s");
    is(join(' ', grep { !/\A(?:503 overloaded|504 device_timeout)\z/ }
        map { outcome($_) } @r), '', 'the others wait');

    # what it had not read is too late; the device may still see some of it

    my $call = call_start('app1', 'far', 'after', stream => $two->[0]);

    while (defined(my $got = $busy->read_chunk(3))) {
        $busy->send_chunk($got eq 'after' ? 'again' : 'too late');
        last if $got eq 'after';
    }

    is(outcome(call_end($call)), '200 again', 'and then all is well');
}

###############################################################################

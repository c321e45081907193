#!/usr/bin/perl

# What is told about devices and applications.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @workers = (1, 4);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(72 * @workers);

sub conf {
    my ($workers) = @_;

    return cometa_conf(
        workers => $workers,
        listen => $workers > 1 ? 'reuseport' : '',
        send => 'cometa_send_timeout 5s; cometa_queue 1;',
        server => <<'EOC');

        location ~ ^/named/(?<app>[^/]+)$ {
            cometa_stats;
            cometa_app_name "the \"$app\"";
        }
EOC
}

###############################################################################

sub told {
    my ($device, $app) = @_;
    return stats(($app || 'app1') . "/devices/$device");
}

# A call that the device answers.

sub exchange {
    my ($d, $message, $reply) = @_;

    my $call = call_start($d->{app}, $d->{device}, $message);
    $d->read_chunk();
    $d->send_chunk($reply);

    return outcome(call_end($call));
}

# The list of an application as "number: ids in order".

sub list {
    my ($app) = @_;
    my $json = stats("$app/devices")->{json};
    return "$json->{num_devices}: @{[ sort @{$json->{devices}} ]}";
}

sub list_is {
    my ($app, $want, $name) = @_;
    wait_for(sub { list($app) eq $want }, 2);
    is(list($app), $want, $name);
}

# Some or all figures of an application.

sub figures_are {
    my ($app, $want, $name) = @_;

    my $differ = sub {
        my $have = figures($app);
        return join ' ', map { "$_ $have->{$_} not $want->{$_}" }
            grep { $have->{$_} ne $want->{$_} } sort keys %$want;
    };

    wait_for(sub { $differ->() eq '' }, 2);
    is($differ->(), '', $name);
}

###############################################################################

sub authorization {
    my ($in) = @_;

    for my $path (qw! app1 app1/devices app1/devices/dev1 !) {
        for my $auth (undef, 'OAuth wrong') {
            my $r = stats($path, auth => $auth);
            is(outcome($r), '401 unauthorized',
                "$in: $path, " . (defined $auth ? $auth : 'nothing'));
        }

        is(outcome(stats($path =~ s/app1/nosuch/r)), '401 unauthorized',
            "$in: $path of an unknown application");
    }
}

sub one_device {
    my ($in) = @_;

    my $r = told('dev1');
    is("$r->{status} $r->{body}", '404 {"msg":"404 Not Found",'
        . '"error":"device_offline","device_id":"dev1"}', "$in: offline");

    my $d = device(info => 'APM:Copter-3.3.0');
    my $now = time();

    $r = told('dev1');
    is($r->{status}, 200, "$in: online");
    is($r->{headers}{'content-type'}, 'application/json', "$in: its type");

    my $json = $r->{json};
    is_deeply([ grep { !exists $json->{$_} } qw/ device_id ip_address
        heartbeat info connected_at latency websockets net / ], [],
        "$in: all fields");
    is(scalar(grep { $_ ne '"' } $r->{body} =~ /"\w+":([^{])/g), 0,
        "$in: numbers are strings");

    is($json->{device_id}, 'dev1', "$in: id");
    is($json->{info}, 'APM:Copter-3.3.0', "$in: info");
    is($json->{websockets}, '0', "$in: websockets");
    is($json->{ip_address}, $d->socket()->sockhost() . ':'
        . $d->socket()->sockport(), "$in: address");
    cmp_ok(abs($now - $json->{connected_at}), '<', 3, "$in: connected");
    is_deeply($json->{net}, {
        received => { bytes => '0', messages => '0' },
        sent => { bytes => '0', messages => '0' }
    }, "$in: nothing said yet");

    $d->heartbeat();
    ok(wait_for(sub { told('dev1')->{json}{heartbeat} >= int $now }),
        "$in: heartbeat");
    cmp_ok(abs($now - told('dev1')->{json}{heartbeat}), '<', 5,
        "$in: its time");

    my $call = call_start('app1', 'dev1', 'question');
    $d->read_chunk();
    Time::HiRes::sleep(0.2);
    $d->send_chunk('answer');
    my $ms = 1000 * call_end($call)->{time};
    $d->event('news');

    ok(wait_for(sub {
        told('dev1')->{json}{net}{sent}{messages} == 3
    }), "$in: three messages of the device");

    $json = told('dev1')->{json};
    is_deeply($json->{net}{received}, { bytes => '8', messages => '1' },
        "$in: received by the device");
    is_deeply($json->{net}{sent}, { bytes => '12', messages => '3' },
        "$in: sent by it: a heartbeat, a reply, an event");
    ok($json->{latency} >= 200 && $json->{latency} <= $ms, "$in: latency")
        or diag($json->{latency});

    $r = stats('app1/devices/dev1', method => 'HEAD');
    is("$r->{status} $r->{body}", '200 ', "$in: HEAD");

    # info is any text
    my %info = (
        'quotes' => 'a "b" \c/',
        'control bytes' => join('', map { chr } 0 .. 31, 127),
        'UTF-8' => "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
    );

    for my $name (sort keys %info) {
        my $device = device(device => 'i', info => $info{$name});
        my $text = told('i')->{json}{info};
        utf8::encode($text) if defined $text;
        is($text, $info{$name}, "$in: info with $name");
    }

    my @broken = ("\xff\xfe", "a\xc3", "\xc3(", "\xed\xa0\x80", "\xc0\x80",
        "\xf4\x90\x80\x80", "\xe2\x82", "\x80", 'x' x 255 . "\xc3\xa9",
        "\xf8\x88\x80\x80\x80", join('', map { chr } 0 .. 255),
        "\x01" x 256, '"' x 256, "\xff" x 256);

    is(join(' ', grep {
        my $device = device(device => 'i', info => $broken[$_]);
        my $said = told('i')->{json};
        ($said->{device_id} || '') ne 'i' || !length $said->{info}
            || !exists $said->{net}
    } 0 .. $#broken), '', "$in: info that is no text");

    my $device = device(device => 'i', info => 'x' x 300);
    is(told('i')->{json}{info}, 'x' x 256, "$in: long info is cut");

    $_->close() for $d, $device;
    ok(wait_for(sub { told('dev1')->{status} == 404 }), "$in: offline again");
}

sub lists {
    my ($in) = @_;

    list_is('app2', '0: ', "$in: no device");
    is(stats('app2/devices')->{body}, '{"num_devices":0,"devices":[]}',
        "$in: its form");

    my @one = device(app => 'app2', device => 'd:1');
    is(stats('app2/devices')->{body}, '{"num_devices":1,"devices":["d:1"]}',
        "$in: one device");
    is(stats('app2/devices')->{headers}{'content-type'}, 'application/json',
        "$in: its type");

    push @one, device(app => 'app1', device => 'd:1');
    list_is($_, '1: d:1', "$in: the same id in $_") for qw/ app1 app2 /;
    like(told('d:1', $_)->{body}, qr/\A\{"device_id":"d:1"/,
        "$in: and the one of $_") for qw/ app1 app2 /;

    my @ids = map { sprintf '%03d-%s', $_, 'x' x 60 } 1 .. 300;
    my @many = map { device(app => 'app2', device => $_) } @ids;
    list_is('app2', "301: @{[ sort 'd:1', @ids ]}", "$in: 301 devices");
    list_is('app1', '1: d:1', "$in: still one");

    # lists that nobody reads
    my $stream = caller_stream();
    $stream->write(call_request('app2', undef, undef, method => 'GET',
        uri => '/v1/applications/app2/devices') x 100);

    my $watch = stopwatch();
    is(exchange($one[1], 'x', 'y'), '200 y', "$in: a call beside lists");
    cmp_ok($watch->took(), '<', 2, "$in: does not wait");

    my @wrong = grep { @{response($stream)->{json}{devices} || []} != 301 }
        1 .. 100;
    is(scalar @wrong, 0, "$in: all lists are whole");

    my $r = stats('app2/devices', method => 'HEAD');
    is("$r->{status} $r->{body}", '200 ', "$in: HEAD");

    $_->close() for splice(@many, 0, 100);
    list_is('app2', "201: @{[ sort 'd:1', @ids[100 .. 299] ]}",
        "$in: 100 leave");

    $_->close() for @many, @one;
    list_is($_, '0: ', "$in: all leave $_") for qw/ app1 app2 /;
}

# Each step, and what it adds.

sub application {
    my ($in) = @_;

    my $json = stats('app3')->{json};
    is_deeply([ $json->{app_id}, $json->{app_name},
        grep { !/\A0(?:\.000)?\z/ } values %{$json->{stats}} ],
        [ 'app3', 'app3' ], "$in: an application without devices");

    is(stats('app1', uri => '/named/app1')->{json}{app_name}, 'the "app1"',
        "$in: name of the application");

    # zeros are asked of an application that is new
    my %f = (
        (map { $_ => 0 } qw/
            num_devices messages errors bytes_up bytes_down events late
            timeouts queued calls failed attached_total detached_total
        /)
    );
    my $step = sub {
        my ($name, %more) = @_;
        $f{$_} += $more{$_} for keys %more;
        figures_are('app3', \%f, "$in: $name");
    };

    my %d = map { $_ => device(app => 'app3', device => $_) } 1 .. 4;
    $step->('four attach', num_devices => 4, attached_total => 4);

    is(exchange($d{1}, 'abc', 'defgh'), '200 defgh', "$in: a call");
    $step->('a call', messages => 1, bytes_down => 3, bytes_up => 5);

    exchange($d{$_}, 'x' x 1000, 'y' x 3000) for 1 .. 4;
    $step->('four calls', messages => 4, bytes_down => 4000,
        bytes_up => 12000);

    call('app3', 'nodev', 'x');
    $step->('no such device', failed => 1);

    $d{1}->event('e');
    $d{1}->event('');
    $step->('two events', events => 2, bytes_up => 3);

    $d{1}->send_chunk('stray');
    $step->('a stray', errors => 1, bytes_up => 5);

    $d{4}->raw("garbage\x0d\x0a");
    $step->('garbage', errors => 1, detached_total => 1, num_devices => -1);

    $d{3}->detach();
    $step->('a detach', detached_total => 1, num_devices => -1);

    my $one = call_start('app3', '2', 'one',
        headers => { Prefer => 'wait=3' });
    $step->('a call is written', calls => 1, bytes_down => 3);

    my $two = call_start('app3', '2', 'two',
        headers => { Prefer => 'wait=15' });
    $step->('another waits', calls => 1, queued => 1);

    is(outcome(call('app3', '2', 'x')), '429 device_busy', "$in: a third");
    $step->('a third is refused', failed => 1);

    call_end($one);
    $step->('the first times out', calls => -1, failed => 1, timeouts => 1);

    $d{2}->read_chunk();
    $d{2}->send_chunk('late');
    $d{2}->read_chunk();
    $step->('its reply is late', late => 1, bytes_up => 4, queued => -1,
        bytes_down => 3);

    $d{2}->send_chunk('r');
    call_end($two);
    $step->('the other is answered', messages => 1, calls => -1,
        bytes_up => 1);

    $one = call_start('app3', '2', 'one');
    $step->('one more is written', calls => 1, bytes_down => 3);

    $d{5} = device(app => 'app3', device => 2);
    is(outcome(call_end($one)), '502 device_taken_over', "$in: taken over");
    $step->('a takeover', calls => -1, failed => 1, attached_total => 1,
        detached_total => 1);

    $d{$_}->close() for 1, 5;
    $step->('all leave', num_devices => -2, detached_total => 2);
}

###############################################################################

for my $workers (@workers) {
    my $in = "$workers workers";

    $t->write_file_expand('nginx.conf',
        conf($workers) =~ s/(app2 +other;)/$1 app3 none;/r);
    $t->run();

    authorization($in);
    one_device($in);
    lists($in);
    application($in);

    $t->stop();
}

###############################################################################

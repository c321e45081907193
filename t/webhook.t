#!/usr/bin/perl

# Events of devices as requests to a location: which there are, what they
# hold, in which order they come, and what nginx's own directives make of them.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use JSON::PP qw//;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map proxy/)
    ->plan(79);

certificate($t, 'localhost');

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

# The upstream is in the same nginx: it logs what it gets.  Its proxy_pass is
# there to have the body read.

my $http = <<'EOF';
    cometa_send_timeout 1s;

    log_format got escape=json '{"connection":$connection,'
        '"uri":"$request_uri","event":"$http_cometa_event",'
        '"reason":"$http_cometa_reason","app":"$http_cometa_application",'
        '"device":"$http_cometa_device",'
        '"session":"$http_cometa_session","method":"$request_method",'
        '"length":"$http_content_length","type":"$http_content_type",'
        '"extra":"$http_extra","body":"$request_body"}';

    log_format hook '$http_cometa_event|$http_cometa_device|$request|$status|'
        '$remote_addr|$uri|$content_length|$content_type';

    map $http_cometa_event $extra {
        attach  hello-$http_cometa_device;
        detach  bye-$http_cometa_reason;
    }

    server {
        listen 127.0.0.1:8081;
        access_log %%TESTDIR%%/got.log got;
        client_body_buffer_size 128k;

        location / {
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen 127.0.0.1:8083;
        access_log off;
        return 204;
    }

    server {
        listen 127.0.0.1:8084;

        location ~ ^/none/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
        }
    }
EOF

my $server = <<"EOF";
        cometa_takeover on limit=off;
        cometa_webhook /hook events=data,attach,detach;

        location = /hook {
            internal;
            access_log %%TESTDIR%%/hook.log hook;
            proxy_pass http://127.0.0.1:8081;
            proxy_set_header Extra \$extra;
            proxy_set_header Connection close;
            client_max_body_size 1m;
        }

        location ~ ^/short/$ids {
            cometa_attach;
            cometa_heartbeat 1s timeout=1s;
        }

        location ~ ^/plain/$ids {
            cometa_attach;
            cometa_webhook /hook;
        }

        location ~ ^/attach/$ids {
            cometa_attach;
            cometa_webhook /hook events=attach;
        }

        location ~ ^/detach/$ids {
            cometa_attach;
            cometa_webhook /hook events=detach;
        }

        location ~ ^/both/$ids {
            cometa_attach;
            cometa_webhook /hook events=detach,attach;
        }

        location ~ ^/off/$ids {
            cometa_attach;
            cometa_webhook off;
        }

        location ~ ^/rewritten/$ids {
            cometa_attach;
            cometa_webhook /rewrite?key=k events=attach,data;
        }

        location = /rewrite {
            internal;
            rewrite ^ /\$http_cometa_device/\$http_cometa_event break;
            proxy_pass http://127.0.0.1:8081;
            proxy_set_header Connection close;
        }

        location ~ ^/chosen/$ids {
            cometa_attach;
            cometa_webhook /choose;
        }

        location = /choose {
            if (\$http_cometa_device = wanted) {
                rewrite ^ /hook last;
            }

            return 204;
        }
EOF

$t->write_file_expand('nginx.conf', cometa_conf(ssl => 1,
    workers => 2, listen => 'reuseport', http => $http, server => $server,
    attach => 'add_header Session $cometa_session always;'
));

$t->run();

###############################################################################

# What the upstream got, of one device.  It writes a line when it has answered,
# and then another worker may be faster: the order is that of the connections,
# one for each event.  The log keeps bytes above 127 as they are.

my ($read, %got) = 0;

sub got {
    my ($device) = @_;

    return unless -e $t->testdir() . '/got.log';

    my ($new) = substr($t->read_file('got.log'), $read) =~ /\A(.*\n)/s;
    $read += length($new || '');

    for (map { JSON::PP->new->latin1->decode($_) } split /\n/, $new || '') {
        push @{$got{$_->{device}}}, $_;
    }

    return sort { $a->{connection} <=> $b->{connection} }
        @{$got{$device} || []};
}

sub wait_got {
    my ($device, $n) = @_;
    wait_for(sub { (my @got = got($device)) >= $n }, 30);
    return got($device);
}

# In a few words.

sub words {
    return join ', ', map {
        join ' ', grep { length } @$_{qw/ event reason body /}
    } @_;
}

sub session {
    my ($d) = @_;
    return $d->header('Session');
}

# The two events of a device that ended in that way.

sub ended {
    my ($name, $reason, $d) = @_;

    my @got = wait_got($d->{device}, 2);
    is(words(@got), "attach attached, detach $reason", $name);
    is($got[-1]{session}, $d->header('Session') || $got[0]{session},
        "$name: session");
}

###############################################################################

# All of an event

{
    my $d = device(device => 'whole');
    $d->event('hello');
    $d->detach();

    my @got = wait_got('whole', 3);

    is(words(@got), 'attach attached, data hello, detach detached',
        'a life in events');
    is(join(' ', map { $_->{method} } @got), 'POST POST POST', 'method');
    is(join(' ', map { $_->{uri} } @got), '/hook /hook /hook', 'URI');
    is(join(' ', map { $_->{app} } @got), 'app1 app1 app1', 'application');
    is(join(' ', map { $_->{session} } @got),
        join(' ', (session($d)) x 3), 'session');
    like(session($d), qr/\A[1-9]\d*\z/, 'a session is a number');
    is(join(' ', map { $_->{length} } @got), '0 5 0', 'length');
    is(join(' ', map { $_->{type} } @got),
        join(' ', ('application/octet-stream') x 3), 'type');
    is(join(' ', map { $_->{extra} || '-' } @got),
        'hello-whole - bye-detached', 'variables from headers');

    $d = device(device => 'whole', app => 'app2', form => 'B');
    $d->event('of app2');
    @got = wait_got('whole', 5);
    is("$got[4]{app} $got[4]{body}", 'app2 of app2', 'another application');
    $d->close();
}

# Data

{
    my $d = device(device => 'data');
    my $all = join '', map { chr } 0 .. 255;

    my %data = (
        'all bytes' => $all, 'empty' => '', 'only line ends' => "\r\n\r\n",
        'a heartbeat' => "\x06", 'an event in an event' => "\x07\x07",
        'of 64k' => $all x 255 . 'x' x 255, 'with a quote' => '"\\'
    );

    my $n = 1;

    for my $name (sort keys %data) {
        $d->event($data{$name});
        my @got = wait_got('data', ++$n);
        is(scalar(@got), $n, "data: $name: one event");
        ok($got[-1]{body} eq $data{$name}, "data: $name");
        is($got[-1]{length}, length $data{$name}, "data: $name: length");
    }

    # what is said beside events is none
    $d->heartbeat();
    $d->send_chunk('stray');
    my $call = call_start('app1', 'data', 'x',
        headers => { Prefer => 'wait=9' });
    $d->echo();
    is(call_end($call)->{body}, 'x', 'a call');
    $d->event('last');
    is(words((wait_got('data', $n + 1))[$n]), 'data last', 'events only');
    $d->close();
}

# Reasons

{
    my $d = device(device => 'detached');
    $d->detach();
    ended('detach', 'detached', $d);

    for my $way (qw/ close half_close reset /) {
        $d = device(device => "by-$way");
        $d->$way();
        ended($way, 'disconnected', $d);
    }

    $d = device(device => 'silent', uri => '/short/app1/silent');
    ended('silence', 'heartbeat_timeout', $d);

    $d = device(device => 'garbage');
    $d->raw("no hex\r\n");
    ended('garbage', 'protocol_error', $d);

    $d = device(device => 'mute');
    my $call = call_start('app1', 'mute', 'x');
    is(outcome(call_end($call)), '504 device_timeout', 'no reply');
    ended('no reply', 'unresponsive', $d);
}

# Takeover: the old connection may be another worker's, so only the order of
# each one's own events is known

{
    my @devices = (device(device => 'taken'));

    push @devices, device(device => 'taken') for 1 .. 9;
    $devices[-1]->close();

    my @got = wait_got('taken', 20);
    my %count;
    $count{"$_->{event} $_->{reason}"}++ for @got;

    is(join(', ', map { "$count{$_} x $_" } sort keys %count),
        '1 x attach attached, 9 x attach taken_over, '
        . '1 x detach disconnected, 9 x detach taken_over', 'takeover');

    my %of;
    push @{$of{$_->{session}}}, $_->{event} for @got;
    is(join(' ', map { "@{$of{$_}}" } sort { $a <=> $b } keys %of),
        join(' ', ('attach detach') x 10), 'takeover: order in each session');
    is(join(' ', sort { $a <=> $b } keys %of),
        join(' ', map { session($_) } @devices), 'takeover: sessions');
}

# What was refused was never attached

{
    is(device(device => 'refused', app => 'nosuch')->{status}, 403,
        'a refused attach');
    my $d = device(device => 'after');
    wait_got('after', 1);
    is(words(got('refused')), '', 'is no event');
    $d->close();
}

# Order

{
    my @devices = map { device(device => "order$_") } 0 .. 9;

    for my $n (1 .. 200) {
        $_->event($n) for @devices;
    }

    $_->close() for @devices;

    my $want = join ', ', 'attach attached', (map { "data $_" } 1 .. 200),
        'detach disconnected';

    is(scalar(grep { words(wait_got("order$_", 202)) eq $want } 0 .. 9), 10,
        'events of a device come in order');

    my $d = device(device => 'packet', with => join '',
        map { sprintf "%x\r\n\x07%d\r\n", 1 + length, $_ } 1 .. 100);
    is(words(wait_got('packet', 101)), join(', ', 'attach attached',
        map { "data $_" } 1 .. 100), 'many in one packet');
    $d->close();
}

# Selection

{
    my %wanted = (
        plain => 'data x', attach => 'attach attached',
        detach => 'detach detached', both => 'attach attached, detach detached',
        off => ''
    );

    for my $where (sort keys %wanted) {
        my $d = device(uri => "/$where/app1/$where", device => $where);
        $d->event('x');
        $d->detach();
        $d->closed();
    }

    my $d = device(uri => '/none/app1/none', device => 'none', port => 8084);
    $d->event('x');
    $d->detach();
    $d->closed();
    $wanted{none} = '';

    # these come later than any of those
    for my $n (1 .. 10) {
        $d = device(device => "marker$n");
        wait_got("marker$n", 1);
        $d->close();
    }

    for my $where (sort keys %wanted) {
        is(words(got($where)), $wanted{$where}, "selected: $where");
    }
}

# nginx's own

{
    my $d = device(device => 'logged');
    $d->event('12345');
    $d->detach();
    wait_got('logged', 3);

    my $text = sub {
        join "\n", $t->read_file('hook.log') =~ /^\w+\|logged\|.*$/gm
    };
    wait_for(sub { 3 == split /\n/, $text->() });

    is($text->(), join("\n", map {
        "$_->[0]|logged|POST /hook HTTP/1.1|204|127.0.0.1|/hook|$_->[1]"
            . '|application/octet-stream'
    } [ attach => 0 ], [ data => 5 ], [ detach => 0 ]), 'access log');

    like(http_get('/hook'), qr/\AHTTP\S+ 404 /, 'internal: none but events');

    $d = device(uri => '/rewritten/app1/rew', device => 'rew');
    $d->event('x');
    is(join(' ', map { $_->{uri} } wait_got('rew', 2)),
        '/rew/attach?key=k /rew/data?key=k', 'rewrite, and arguments');
    $d->close();

    for my $name (qw/ unwanted wanted /) {
        $d = device(uri => "/chosen/app1/$name", device => $name);
        $d->event($name);
        $d->close();
    }
    is(words(wait_got('wanted', 1)), 'data wanted', 'if and rewrite: wanted');
    ok(wait_for(sub { figures('app1')->{webhook_queued} == 0 }),
        'nothing is left in the queue');
    is(words(got('unwanted')), '', 'if and return: unwanted');
}

# Figures: all went well, and each went once

{
    my $of = sub {
        join ' ', map { figures($_[0])->{"webhook_$_"} }
            qw/ failed retries dropped queued /
    };
    is($of->('app1'), '0 0 0 0', 'figures');

    # besides, there is an unwanted event that was answered here
    my $n = () = $t->read_file('got.log') =~ /"app":"app1"/g;
    is(figures('app1')->{webhook_sent}, $n + 1, 'figures: sent');
    is(figures('app2')->{webhook_sent}, 3, 'figures: of another application');
}

# Workers that leave, with devices that cannot move to others

{
    my @devices = map { device(device => "drained$_", ssl => 1) } 1 .. 8;

    wait_got("drained$_", 1) for 1 .. 8;
    $t->reload();

    for my $d (@devices) {
        ok(defined $d->closed(), "$d->{device}: closed");
    }

    is(join(' ', map { words(wait_got("drained$_", 2)) } 1 .. 8),
        join(' ', ('attach attached, detach draining') x 8), 'draining');
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

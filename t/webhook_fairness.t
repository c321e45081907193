#!/usr/bin/perl

# Applications, and the devices of one, share the requests and the queue of a
# webhook: one whose upstream hangs, or that floods, neither delays nor loses
# events of another.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { CONCURRENCY => 64, BURST => 202 };

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(41);
my $dir = $t->testdir();

# The upstream of app1 takes connections and never answers; that of app2 is
# quick.  While there is a file "open", all events are taken at once.

my $conf = cometa_conf(http => <<'EOC', server => <<'EOC2', zone => '32m');
    error_log %%TESTDIR%%/error.log error;
    log_format hook '$http_cometa_application $http_cometa_device $status';
    log_format got '$http_cometa_application $http_cometa_device '
        '$request_length $request_body';

    map $app $secret_of {
        default  s3cret;
    }

    map $http_cometa_application $upstream {
        app1     127.0.0.1:8082;
        hang2    127.0.0.1:8082;
        hang3    127.0.0.1:8082;
        default  127.0.0.1:8081;
    }

    server {
        listen 127.0.0.1:8081;
        access_log %%TESTDIR%%/got.log got;

        location / {
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen 127.0.0.1:8083;
        access_log off;
        return 204;
    }
EOC
        cometa_secret $secret_of;

        location = /hook {
            internal;
            access_log %%TESTDIR%%/hook.log hook;

            if (-f %%TESTDIR%%/open) {
                return 204;
            }

            proxy_pass http://$upstream;
        }

        location ~ ^/usual/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook;
        }

        location ~ ^/few/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook concurrency=8;
        }

        location ~ ^/small/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook queue=2000;
        }

        location ~ ^/tiny/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook queue=4;
        }

        location ~ ^/one/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook concurrency=2;
        }

        location ~ ^/other/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook concurrency=2;
        }

        location /shared/ {
            cometa_webhook /hook queue=10;

            location ~ ^/shared/one/(?<app>[^/]+)/(?<device>[^/]+)$ {
                cometa_attach;
            }

            location ~ ^/shared/two/(?<app>[^/]+)/(?<device>[^/]+)$ {
                cometa_attach;
            }
        }
EOC2

my $hanging = hanging();

$t->write_file_expand('nginx.conf', $conf)->run();

###############################################################################

sub hanging {
    my $s;

    for (1 .. 100) {
        $s = IO::Socket::INET->new(
            Proto => 'tcp', LocalAddr => '127.0.0.1:' . port(8082),
            ReuseAddr => 1, Listen => 1024
        ) and last;
        sleep(0.1);
    }

    $s or die "Can't listen: $!\n";
    $s->blocking(0);

    return $s;
}

# How many requests have come to the hanging upstream since the last time: as
# soon as there are so many, and a moment later all that there are.

sub taken_soon {
    my ($s, $held, $least) = @_;

    my $n = 0;

    wait_for(sub { ($n += taken($s, $held)) >= $least });
    sleep(0.3);

    return $n + taken($s, $held);
}


sub taken {
    my ($s, $held) = @_;

    my $n = 0;

    while (my $c = $s->accept()) {
        push @$held, $c;
        $n++;
    }

    return $n;
}

sub at {
    my ($place, $app, $device) = @_;
    return device(uri => "/$place/$app/$device", device => $device,
        app => $app);
}

sub bodies {
    my ($t, $app, $device) = @_;

    return '' unless -e $t->testdir() . '/got.log';
    return join ' ',
        $t->read_file('got.log') =~ /^\Q$app $device\E \d+ (.*)$/gm;
}

# Whether the event comes, and the seconds it took.

sub arrives {
    my ($t, $d, $what, $timeout) = @_;

    my $watch = stopwatch();
    $d->event($what);

    return wait_for(sub {
        bodies($t, $d->{app}, $d->{device}) =~ /\b\Q$what\E\z/
    }, $timeout) ? $watch->took() : undef;
}

sub webhook {
    my ($app) = @_;

    my $f = stats($app, secret => 's3cret')->{json}{stats};

    return { map { $_ => $f->{"webhook_$_"} || 0 }
        qw/ sent failed retries dropped queued / };
}

sub settle {
    my ($t, @apps) = @_;

    $t->write_file('open', '');

    # what hangs is given up by the test, and then tried again
    my $end = time() + 60;

    while (time() < $end) {
        return 1 unless grep { webhook($_)->{queued} } @apps;
        my @held;
        taken($hanging, \@held);
        sleep(0.05);
    }

    return 0;
}

sub shut {
    my ($t) = @_;
    unlink $t->testdir() . '/open';
}

###############################################################################

# An upstream of an application hangs

{
    my @held;
    my @a = map { at('usual', 'app1', "hang$_") } 1 .. 80;
    $_->event('x') for @a;

    ok(wait_for(sub { webhook('app1')->{queued} == 80 }), 'hang: queued');

    my $n = taken_soon($hanging, \@held, CONCURRENCY / 4);
    cmp_ok($n, '>=', CONCURRENCY / 4, 'hang: many at once');
    cmp_ok($n, '<', CONCURRENCY, 'hang: but not all');

    my $b = at('usual', 'app2', 'b');
    my $took = arrives($t, $b, 'first', 6);
    ok(defined $took && $took < 1, 'hang: another application is not delayed')
        or diag(defined $took ? $took : 'never');

    $b->event("n$_") for 1 .. 100;
    ok(wait_for(sub { bodies($t, 'app2', 'b') eq join ' ', 'first',
        map { "n$_" } 1 .. 100 }), 'hang: nor are all its others');

    # a second and a third one that hang

    my @c = map { at('usual', $_ <= 80 ? 'hang2' : 'hang3', "h$_") }
        1 .. 160;
    $_->event('x') for @c;

    ok(wait_for(sub { webhook('hang3')->{queued} == 80 }), 'hang: queued');
    sleep(0.3);
    $n += taken($hanging, \@held);
    cmp_ok($n, '<', CONCURRENCY, 'three hang: there are places left');

    $took = arrives($t, $b, 'third', 6);
    ok(defined $took && $took < 1, 'three hang: another one is not delayed')
        or diag(defined $took ? $took : 'never');

    @held = ();
    ok(settle($t, qw/ app1 hang2 hang3 /), 'hang: all go at last');
    is(webhook('app1')->{sent}, 80, 'hang: none is lost');
    shut($t);
    $_->close() for @a, $b, @c;
}

# concurrency=

{
    my @held;
    my @a = map { at('few', $_ % 2 ? 'app1' : 'hang2', "few$_") } 1 .. 40;
    $_->event('x') for @a;

    ok(wait_for(sub { webhook('app1')->{queued} == 20 }), 'few: queued');
    sleep(0.3);

    my $n = taken($hanging, \@held);
    cmp_ok($n, '>=', 4, 'few: some at once');
    cmp_ok($n, '<=', 8, 'few: and no more');

    my $b = at('few', 'app2', 'few');
    my $took = arrives($t, $b, 'few', 6);
    ok(defined $took && $took < 1, 'few: another application is not delayed')
        or diag(defined $took ? $took : 'never');

    @held = ();
    ok(settle($t, qw/ app1 hang2 /), 'few: all go at last');
    shut($t);
    $_->close() for @a, $b;
}

# Two locations: all requests of one hang, and its queue is long

{
    my @held;
    my @a = map { at('one', $_ % 2 ? 'app1' : 'hang2', "loc$_") } 1 .. 20;

    for my $d (@a) {
        $d->event($_) for 1 .. 20;
    }

    ok(wait_for(sub { webhook('app1')->{queued} == 200
        && webhook('hang2')->{queued} == 200 }), 'locations: queued');
    is(taken_soon($hanging, \@held, 2), 2, 'locations: all of one hang');

    my $quick = at('other', 'app2', 'loc');
    my @took = map { arrives($t, $quick, "loc$_", 6) } 1 .. 20;
    my ($most) = sort { $b <=> $a } map { defined $_ ? $_ : 9 } @took;
    cmp_ok($most, '<', 1, 'locations: none of the other one is delayed');
    is(webhook('app2')->{dropped}, 0, 'locations: nor dropped');

    @held = ();
    ok(settle($t, qw/ app1 hang2 /), 'locations: all go at last');
    shut($t);
    $_->close() for @a, $quick;
}

# A device that floods, with more than the queue takes, and goes on

{
    my @held;
    my $before = webhook('app1');
    my $a = at('small', 'app1', 'flood');
    my $n = 0;

    my $flood = sub {
        $a->raw("1\r\n\x07\r\n" x 1000);
        $n += 1000;
    };

    $flood->() for 1 .. 3;
    ok(wait_for(sub { webhook('app1')->{dropped} - $before->{dropped}
        == 1000 }), 'flood: what does not fit is dropped');
    is(webhook('app1')->{queued}, 2000, 'flood: and not more');

    # another application, in between

    my $b = at('small', 'app2', 'calm');

    for my $i (1 .. BURST) {
        $b->event("e$i");
        $flood->() if $i % 10 == 0;
    }

    ok(wait_for(sub {
        bodies($t, 'app2', 'calm') eq join ' ', map { "e$_" } 1 .. BURST
    }, 10), 'flood: all events of another application come, in order')
        or diag(bodies($t, 'app2', 'calm'));
    is(webhook('app2')->{dropped}, 0, 'flood: none of them is dropped');

    # another device of the same application

    my $c = at('small', 'app1', 'neighbour');
    $c->event($_) for 1 .. 20;
    $flood->();
    sleep(0.2);
    $flood->();
    ok(wait_for(sub {
        webhook('app1')->{queued} + webhook('app1')->{dropped}
            - $before->{dropped} == $n + 20
    }), 'flood: all are counted');
    ok(wait_log($t, qr!cometa_webhook: queue for "/hook" is full, \d+ !
        . qr!events dropped, the last one: application: "app1", device: !
        . qr!"flood", session: \d+!), 'flood: the log says whose');

    $t->write_file('open', '');
    @held = ();
    ok(settle($t, 'app1'), 'flood: all go at last');
    is(scalar(() = $t->read_file('hook.log') =~ /^app1 neighbour 204$/gm), 20,
        'flood: none of a neighbour is dropped');

    my $after = webhook('app1');
    is($after->{sent} - $before->{sent} + $after->{dropped}
        - $before->{dropped} + $after->{failed} - $before->{failed},
        $n + 20, 'flood: sent and dropped add up');
    shut($t);
    $_->close() for $a, $b, $c;
}

# Large ones take more of the queue

{
    my $before = webhook('app1');
    my $a = at('small', 'app1', 'large');
    $a->event('x' x 60000) for 1 .. 100;
    ok(wait_for(sub {
        webhook('app1')->{queued} + webhook('app1')->{dropped}
            - $before->{dropped} == 100
    }), 'large: taken or dropped');

    # 2000 places of 2 KB, 30 each
    is(webhook('app1')->{queued}, 66, 'large: by their size');

    my $b = at('small', 'app2', 'beside');
    my $took = arrives($t, $b, 'beside', 6);
    ok(defined $took && $took < 1, 'large: another application fits')
        or diag(defined $took ? $took : 'never');

    $b->event('y' x 60000);
    ok(wait_for(sub { webhook('app2')->{queued} == 0 }), 'large: also large');
    is(webhook('app2')->{dropped}, 0, 'large: none of it is dropped');

    ok(settle($t, 'app1'), 'large: all go at last');
    shut($t);
    $_->close() for $a, $b;
}

# A queue that is smaller than what may run

{
    my @a = map { at('tiny', 'app1', "tiny$_") } 1 .. 10;
    $_->event('x') for @a;
    ok(wait_for(sub { webhook('app1')->{queued} == 4 }), 'tiny: full');

    my $b = at('tiny', 'app2', 'tiny');
    my $took = arrives($t, $b, 'tiny', 6);
    ok(defined $took && $took < 1, 'tiny: another application fits')
        or diag(defined $took ? $took : 'never');

    ok(settle($t, 'app1'), 'tiny: all go at last');
    shut($t);
    $_->close() for @a, $b;
}

# Locations that inherit a directive share it

{
    my $before = webhook('app1');
    my @a = map { at("shared/$_", 'app1', $_) } qw/ one two /;

    for my $i (1 .. 20) {
        $_->event($i) for @a;
    }

    ok(wait_for(sub {
        webhook('app1')->{queued} + webhook('app1')->{dropped}
            - $before->{dropped} == 40
    }), 'shared: taken or dropped');
    is(webhook('app1')->{queued}, 10, 'shared: one queue');

    ok(settle($t, 'app1'), 'shared: all go at last');
    shut($t);
    $_->close() for @a;
}

###############################################################################

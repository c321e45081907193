#!/usr/bin/perl

# Upstreams that fail, are slow or not there, floods, and workers that leave:
# events are tried again, counted and never lost in silence, and devices and
# callers do not notice.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    TRIES => 6,
    QUEUE => 16384,
    BYTES => 32 * 1024 * 1024,
    RUNNING => 64
};

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(111);

my @again = qw/ 429 500 502 503 504 /;
my @final = qw/ 400 401 403 404 413 422 /;

my $dir = $t->testdir();

# The upstream is an nginx of its own, that stays when the other one leaves.
# While there is a file "bad" it fails.  Its proxy_pass has the body read.

$t->write_file_expand('upstream.conf', <<"EOF");
daemon off;
worker_processes 1;
pid $dir/upstream.pid;
error_log $dir/upstream-error.log;
${\ ($> == 0 ? 'user root;' : '') }

events {
    worker_connections 1024;
}

http {
    client_body_temp_path $dir/upstream_body;
    proxy_temp_path $dir/upstream_proxy;
    fastcgi_temp_path $dir/upstream_fastcgi;
    uwsgi_temp_path $dir/upstream_uwsgi;
    scgi_temp_path $dir/upstream_scgi;
    keepalive_requests 1000000;

    log_format got '\$http_cometa_device \$msec \$status '
        '\$http_cometa_event \$request_body';
    access_log $dir/got.log got;

    server {
        listen 127.0.0.1:8081;

@{[ map { "        location = /$_ { return $_; }\n" } @again, @final, 444 ]}
        location / {
            if (-f $dir/bad) {
                return 500;
            }

            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen 127.0.0.1:8083;
        access_log off;
        return 204;
    }
}
EOF

# One that takes connections and never answers; and a port where nobody is.

# the port may be the near end of somebody's connection for a moment

my ($deaf);

for (1 .. 100) {
    $deaf = IO::Socket::INET->new(ReuseAddr => 1,
    Proto => 'tcp', LocalAddr => '127.0.0.1:' . port(8082), Listen => 1024
) and last;
    sleep(0.1);
}

$deaf or die "Can't listen: $!\n";
$deaf->blocking(0);

my @others = qw/ 444 good slow slower down nowhere attach /;

my $locations = <<'EOF';
        location ~ ^/to/(?<code>\d+)$ {
            internal;
            proxy_pass http://127.0.0.1:8081/$code;
        }

        location = /to/good {
            internal;
            proxy_pass http://127.0.0.1:8081/good;
        }

        location = /to/slow {
            internal;
            proxy_pass http://127.0.0.1:8082;
            proxy_read_timeout 300ms;
        }

        location = /to/slower {
            internal;

            if (-f %%TESTDIR%%/nowhere) {
                return 204;
            }

            proxy_pass http://127.0.0.1:8082;
            proxy_read_timeout 6s;
        }

        location = /to/down {
            internal;
            proxy_pass http://127.0.0.1:8084;
        }

        # to where devices attach

        location = /to/attach {
            internal;
            rewrite ^ /v1/applications/app1/devices/ghost last;
        }

        location = /to/nowhere {
            internal;
            access_log off;

            if (-f %%TESTDIR%%/nowhere) {
                return 204;
            }

            return 500;
        }
EOF

$locations .= <<"EOF" for @again, @final, @others;

        location ~ ^/$_/(?<app>[^/]+)/(?<device>[^/]+)\$ {
            cometa_attach;
            cometa_webhook /to/$_;
            cometa_max_message_size 64k;
        }
EOF

# What an upstream does wrong is logged for each request, as nginx does; here
# it would be millions of lines.

sub start {
    my (%o) = @_;

    $t->write_file_expand('nginx.conf', cometa_conf(
        http => "cometa_send_timeout 5s; keepalive_requests 1000000;"
            . "error_log $dir/error.log error;",
        server => $locations, zone => '32m', %o
    ));
    $t->run();
}

$t->run_daemon($Test::Nginx::NGINX, '-p', "$dir/", '-c', 'upstream.conf',
    '-e', 'upstream-error.log');
$t->waitforsocket('127.0.0.1:' . port(8081)) or die "no upstream\n";

# An event that is under way when worker_shutdown_timeout has passed is lost, and
# all behind it: a slow machine needs more than the second of other tests.

start(shutdown => '5s');

###############################################################################

sub at {
    my ($place, $device) = @_;
    return device(uri => "/$place/app1/$device", device => $device);
}

# What the upstream got of a device: lists of the log's words.

sub got {
    my ($device) = @_;
    return unless -e "$dir/got.log";
    return map { [ split / / ] }
        $t->read_file('got.log') =~ /^\Q$device\E .*$/gm;
}

sub delivered {
    my ($device) = @_;
    return join ' ', map { $_->[4] } grep { $_->[2] == 204 } got($device);
}

sub figure {
    my ($name, $app) = @_;
    return figures($app || 'app1')->{"webhook_$name"};
}

my %before;
my $grown = webhook_growth('app1', \%before);

sub queue_is {
    my ($n, $timeout) = @_;
    return wait_for(sub { figure('queued') == $n }, $timeout || 8);
}

sub touch {
    my ($name) = @_;
    $t->write_file($name, '');
}

sub gone {
    my ($name) = @_;
    unlink "$dir/$name" or die "$name: $!\n";
}

# Until these processes have ended, reaped or not.

sub ended {
    my ($timeout, @pids) = @_;

    return wait_for(sub {
        !grep {
            Test::Nginx::Cometa::Workers::slurp("/proc/$_/stat") =~ /\) [^Z] /
        } @pids
    }, $timeout);
}

# The slowest of calls and attaches within that time, or what went wrong.

my $caller;

sub slowest {
    my ($seconds) = @_;

    $caller ||= caller_stream();
    my ($slowest, $end) = (0, time() + $seconds);

    while (time() < $end) {
        my $r = call('app1', 'called', 'x', stream => $caller);
        return outcome($r) if $r->{status} != 200;
        $slowest = $r->{took} if $r->{took} > $slowest;

        my $watch = stopwatch();
        my $d = at('good', 'passing');
        return "attach $d->{status}" if $d->{status} != 200;
        my $took = $watch->took();
        $slowest = $took if $took > $slowest;
        $d->close();
    }

    return $slowest;
}

my $quick = qr/\A0(?:\.[0-4]\d*)?\z|e-/;

# Lines that say that events failed or were dropped.

sub lines {
    my ($re) = @_;
    return log_count($t, qr/\[error\].*cometa_webhook:.*$re/);
}

###############################################################################

keep_attached($t, 'called') or die "no device\n";

# Tried again, or not

{
    my @places = (@again, @final, qw/ 444 slow down /);
    my %device = map { $_ => at($_, "to-$_") } @places;

    my $watch = stopwatch();
    $device{$_}->event('x') for @places;

    my $n = @places;
    ok(wait_for(sub {
        my $f = figures('app1');
        return $f->{webhook_queued} + $f->{webhook_failed} == $n;
    }), 'all failed or queued');

    like(slowest(3), $quick, 'failing upstreams: calls go on');
    ok(queue_is(0), 'failing upstreams: it ends');

    my $late = $watch->late();
    my $retried = @again + 3;
    is($grown->(), join(' ', 0, $n, $retried * (TRIES - 1), 0),
        'failing upstreams: figures');

    for my $status (@final) {
        is(join(' ', map { $_->[2] } got("to-$status")), $status,
            "$status: once");
    }

    for my $status (@again, 444) {
        my @got = got("to-$status");

        is(join(' ', map { $_->[2] } @got), join(' ', ($status) x TRIES),
            "$status: so many times");

        my @waits = map { $got[$_][1] - $got[$_ - 1][1] } 1 .. $#got;
        my @wrong = grep {
            my $wait = 0.1 * 2 ** $_;
            $waits[$_] < 0.5 * $wait - 0.05
                || $waits[$_] > 1.5 * $wait + 0.5 + $late
        } 0 .. $#waits;

        is("@wrong", '', "$status: waits grow") or diag("@waits");
    }

    my $slow = 0;
    $slow++ while $deaf->accept();
    is($slow, TRIES, 'no answer: so many times');

    ok(!$_->gone(), "$_->{device}: the device stays") for values %device;
    $_->close() for values %device;
}

# Down for a while: nothing is lost, and the order stays

{
    touch('bad');
    my $d = at('good', 'while');
    my $other = at('good', 'other');
    $d->event("while$_") for 1 .. 50;
    ok(wait_for(sub { got('while') >= 2 }), 'down for a while: tried');
    is(figure('queued'), 50, 'down for a while: queued');
    like(slowest(0.3), $quick, 'down for a while: calls go on');
    gone('bad');

    $other->event('other');
    ok(wait_for(sub { delivered('other') eq 'other' }, 2),
        'down for a while: another device does not wait');

    ok(queue_is(0), 'down for a while: all go');
    is(delivered('while'), join(' ', map { "while$_" } 1 .. 50),
        'down for a while: in order, once');

    my ($sent, $failed, $retries, $dropped) = split / /, $grown->();
    is("$sent $failed $dropped", '51 0 0', 'down for a while: figures');
    is(scalar(grep { $_->[2] == 500 } got('while')), $retries,
        'down for a while: retries');
    $_->close() for $d, $other;
}

# An event that is given up makes way for the next

{
    my $start = time();
    my @d = map { at('404', "refused$_") } 1 .. 4;

    for my $n (1 .. 500) {
        $_->event("e$n") for @d;
    }

    ok(queue_is(0), 'refused: all are tried');
    is($grown->(), '0 2000 0 0', 'refused: figures');
    is(join(' ', map { $_->[2] } got('refused1')),
        join(' ', ('404') x 500), 'refused: once each');

    # as with all conditions: a line a second, with a count
    my $lines = lines('device: "refused');
    cmp_ok($lines, '>=', 1, 'refused: log');
    cmp_ok($lines, '<=', time() - $start + 2, 'refused: once a second');
    $_->close() for @d;
}

# So many at once, and no more

{
    my @d = map { at('slower', "slow$_") } 1 .. RUNNING + 16;
    $_->event('x') for @d;

    like(slowest(1.5), $quick, 'slow: calls go on');

    my @taken;
    while (my $s = $deaf->accept()) {
        push @taken, $s;
    }
    is(scalar(@taken), RUNNING / 2, 'slow: so many at once');
    is(figure('queued'), scalar(@d), 'slow: the others wait');

    # their places go to the others

    touch('nowhere');
    @taken = ();
    ok(queue_is(0), 'slow: the others follow');
    is((split / /, $grown->())[0], scalar(@d), 'slow: all go at last');
    gone('nowhere');
    $_->close() for @d;
}

# A flood: the queue has an end

{
    my $n = 20000;
    my $lines = lines('dropped');
    my $d = at('slower', 'flood');
    my $start = time();
    my $packet = join '', map { sprintf "%x\r\n\x07%d\r\n", 1 + length, $_ }
        1000 .. 1999;
    $d->raw($packet) for 1 .. $n / 1000;

    ok(wait_for(sub { figure('dropped') == $n - QUEUE }),
        'flood: what does not fit is dropped') or diag($grown->());
    is(figure('queued'), QUEUE, 'flood: so many are queued');
    like(slowest(0.5), $quick, 'flood: calls go on');

    my $took = int(time() - $start);
    $lines = lines('dropped') - $lines;
    cmp_ok($lines, '>=', 1, 'flood: it is logged');
    cmp_ok($lines, '<=', $took + 2, 'flood: once a second');

    my $other = at('good', 'elsewhere');
    $other->event('x');
    ok(wait_for(sub { delivered('elsewhere') eq 'x' }),
        'flood: another webhook has room');
    is(figure('dropped'), $n - QUEUE, 'flood: it has a queue of its own');
    ok(!$_->gone(), "flood: $_->{device} stays") for $d, $other;

    touch('nowhere');
    ok(queue_is(0, 20), 'flood: the queue gets empty');
    my ($sent, $failed, $retries, $dropped) = split / /, $grown->();
    is("$sent $failed $dropped", QUEUE + 1 . ' 0 ' . ($n - QUEUE),
        'flood: figures');

    $d->event('again');
    ok(queue_is(0), 'flood: then there is room again');
    is($grown->(), '1 0 0 0', 'flood: figures after it');
    gone('nowhere');
    $_->close() for $d, $other;
}

# All dropped events are in the log, those of the last second, too

{
    sleep(1.2);
    my $d = at('nowhere', 'flood2');
    my $logged = sub {
        my ($n, $log) = (0, $t->read_file('error.log'));
        $n += $1 while $log =~ /cometa_webhook:.* (\d+) events dropped/g;
        return $n;
    };
    ok(wait_for(sub { $logged->() == figure('dropped') }, 3),
        'flood: the log names them all')
        or diag($logged->() . ' of ' . figure('dropped'));
    $d->close();
}

# Few, but large

{
    my $large = sprintf "%x\r\n\x07%s\r\n", 65536, 'x' x 65535;
    my $d = at('nowhere', 'large');
    $d->raw($large) for 1 .. 600;

    ok(wait_for(sub { figure('queued') + figure('dropped')
        - $before{dropped} == 600 }), 'large: all are taken or dropped');

    my $queued = figure('queued');
    cmp_ok($queued, '>', 0.9 * BYTES / 65535, 'large: so much is queued');
    cmp_ok($queued, '<=', BYTES / 65535, 'large: and no more');
    like(slowest(0.3), $quick, 'large: calls go on');

    touch('nowhere');
    ok(queue_is(0), 'large: the queue gets empty');
    my ($sent, $failed, $retries, $dropped) = split / /, $grown->();
    is("$sent $failed $dropped", "$queued 0 " . (600 - $queued),
        'large: figures');
    gone('nowhere');
    $d->close();
}

# An event is no device, wherever it is led to

{
    my $d = at('attach', 'rewritten');
    $d->event('x');
    ok(queue_is(0), 'rewritten: it ends');
    is($grown->(), '0 1 0 0', 'rewritten: figures');
    ok(offline('ghost'), 'rewritten: nothing attaches');
    $d->close();
}

# Nothing is left open

{
    my ($pid) = serving($t);
    my $d = at('good', 'many');
    $d->event('first');
    queue_is(0);
    my $before = fds($pid);

    $d->event("n$_") for 1 .. 1000;
    ok(queue_is(0, 20), '1000 events');
    is(delivered('many'), join(' ', 'first', map { "n$_" } 1 .. 1000),
        '1000 events: in order, once');
    ok(wait_for(sub { fds($pid) <= $before }),
        '1000 events: no descriptor is left') or diag("$before, ", fds($pid));

    $d->close();
    $grown->();

    $d = at('down', 'many2');
    $d->event('x') for 1 .. 2;
    ok(wait_for(sub { figure('failed') == $before{failed} + 2 }, 12),
        'failed ones');
    $d->close();
    ok(wait_for(sub { fds($pid) <= $before }),
        'failed ones: no descriptor is left') or diag("$before, ", fds($pid));
    $grown->();
}

# A device that is gone: its events are not

{
    touch('bad');
    my $d = at('good', 'left');
    $d->event("left$_") for 1 .. 20;
    ok(wait_for(sub { figure('queued') == 20 }), 'left: queued');
    $d->reset();
    ok(offline('left'), 'left: the device goes');
    gone('bad');
    ok(queue_is(0), 'left: the queue gets empty');
    is(delivered('left'), join(' ', map { "left$_" } 1 .. 20),
        'left: its events go');
    $grown->();
}

# Reload with events queued

{
    my ($old) = serving($t);
    touch('bad');
    my $d = at('good', 'reload');
    $d->event("r$_") for 1 .. 20;
    ok(wait_for(sub { figure('queued') == 20 }), 'reload: queued');

    my ($new) = reload_all($t, 1);
    isnt($new, $old, 'reload: another worker serves');
    ok(figure('queued') >= 19, 'reload: still queued');

    my $after = at('good', 'reload2');
    gone('bad');
    $after->event('new');

    ok(queue_is(0), 'reload: the queue gets empty');
    is(delivered('reload'), join(' ', map { "r$_" } 1 .. 20),
        'reload: in order, once');
    is(delivered('reload2'), 'new', 'reload: the new worker');

    $d->close();
    ok(wait_gone($t, 15, $old), 'reload: the old worker leaves');
    my ($sent, $failed, $retries, $dropped) = split / /, $grown->();
    is("$sent $failed $dropped", '21 0 0', 'reload: figures');
    $after->close();
}

# Quit with events queued: they go, if they can in the few seconds there are

{
    touch('bad');
    my $d = at('good', 'quit');
    $d->event("q$_") for 1 .. 5;
    ok(wait_for(sub { figure('queued') == 5 }), 'quit: queued');

    my @pids = processes($t);
    my $master = master($t);
    kill 'QUIT', $master;
    sleep(0.3);
    gone('bad');
    ok(defined $d->closed(), 'quit: the device is closed');
    ok(ended(12, @pids), 'quit: the worker leaves');
    is(delivered('quit'), join(' ', map { "q$_" } 1 .. 5),
        'quit: all are delivered first');
    nginx_ends($t, $master);
    $t->stop_daemons();
}

# Quit, and the upstream never comes back: nginx ends all the same, and says
# what is lost.

for my $place (qw/ down slower nowhere /) {
    start();
    my $d = at($place, 'lost');
    $d->event($_) for 1 .. 100;
    ok(wait_for(sub { figure('queued') == 100 }), "lost, $place: queued");

    my @pids = processes($t);
    my $master = master($t);
    my $watch = stopwatch();
    my $before = log_count($t, qr/cometa_webhook: .*\b\d+ events/);
    kill 'QUIT', $master;
    ok(ended(15, @pids), "lost, $place: the worker leaves");
    cmp_ok($watch->took(), '<', 12, "lost, $place: in time");
    cmp_ok(log_count($t, qr/cometa_webhook: .*\b\d+ events/), '>', $before,
        "lost, $place: it is logged");
    nginx_ends($t, $master);
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

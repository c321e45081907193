#!/usr/bin/perl

# A device over a WebSocket through proxies: haproxy, Apache and nginx.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Caller;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { LARGE => 60000, CALLS => 30 };

my %proxies = (haproxy => 8101, apache2 => 8102, nginx => 8103);

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)
    ->plan(1 + 17 * keys %proxies);

$t->write_file_expand('nginx.conf', cometa_conf(http => <<'EOH'))->run();

    # as it has to be

    server {
        listen 127.0.0.1:8103;

        location / {
            proxy_pass http://127.0.0.1:8080;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 1h;
        }
    }

    # as it is by default

    server {
        listen 127.0.0.1:8104;

        location / {
            proxy_pass http://127.0.0.1:8080;
        }
    }
EOH

my $dir = $t->testdir();

# They are unpacked, and their libraries with them, or they are installed.

my $unpacked = $ENV{TEST_NGINX_PROXIES} || '../build/proxies';

sub program {
    my ($name) = @_;

    my ($file) = grep { -x }
        map { "$_/$name" } "$unpacked/usr/sbin", split /:/, "$ENV{PATH}:/usr/sbin";

    return $file || die "no $name: tools/proxies.sh fetches it,"
        . " or install it\n";
}

sub run_proxy {
    my ($name, @args) = @_;

    my $program = program($name);

    local $ENV{LD_LIBRARY_PATH} = join ':', glob("$unpacked/usr/lib/*-linux-gnu"),
        $ENV{LD_LIBRARY_PATH} || ();

    # a sanitizer is not for them
    local $ENV{LD_PRELOAD} = '';

    $t->run_daemon($program, @args);
    $t->waitforsocket('127.0.0.1:' . port($proxies{$name}))
        or die "$name does not run\n";
}

sub run_haproxy {
    $t->write_file_expand('haproxy.cfg', <<'EOC');
global
    maxconn 200

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h

frontend front
    bind 127.0.0.1:8101
    default_backend cometa

backend cometa
    server nginx 127.0.0.1:8080
EOC

    run_proxy('haproxy', '-db', '-q', '-f', "$dir/haproxy.cfg");
}

sub run_apache {
    my ($modules) = grep { -e "$_/mod_proxy_http.so" }
        "$unpacked/usr/lib/apache2/modules", '/usr/lib/apache2/modules';

    die "no modules of apache2: tools/proxies.sh fetches them\n"
        unless $modules;

    $modules = File::Spec->rel2abs($modules);

    my $user = $> ? '' : "User nobody\nGroup nogroup";

    $t->write_file_expand('apache2.conf', <<"EOC");
ServerName localhost
ServerRoot $dir
DefaultRuntimeDir $dir
PidFile $dir/apache2.pid
ErrorLog $dir/apache2.log
Listen 127.0.0.1:8102
$user

LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so

ProxyTimeout 3600
ProxyPass / http://127.0.0.1:8080/ upgrade=websocket
EOC

    run_proxy('apache2', '-D', 'FOREGROUND', '-f', "$dir/apache2.conf");
}

sub asks_through {
    my ($port) = @_;

    return device(form => 'W', device => 'proxied', port => $port,
        protocol => 'cometa.device.v1', info => 'behind a proxy',
        headers => { 'Cometa-Heartbeat' => '30;echo' });
}

###############################################################################

run_haproxy();
run_apache();

for my $name (sort keys %proxies) {
    my $port = $proxies{$name};
    my $d = asks_through($port);

    is($d->{status}, 101, "$name: attached");
    is($d->header('Sec-WebSocket-Protocol'), 'cometa.device.v1',
        "$name: the subprotocol");
    is($d->header('Cometa-Heartbeat'), '30;echo', "$name: what was granted");
    is($d->{json}{heartbeat}, 30, "$name: the first message");
    is(stats('app1/devices/proxied')->{json}{info}, 'behind a proxy',
        "$name: the info");

    is(reached($d), 'yes', "$name: a call");

    my ($message, $reply) = map { random_bytes(LARGE) } 1 .. 2;
    my $call = call_start('app1', 'proxied', $message);
    ok($d->read_chunk() eq $message, "$name: a large call");
    $d->send_chunk($reply);
    ok(outcome(call_end($call)) eq "200 $reply", "$name: a large reply");

    is(scalar(grep { reached($d) eq 'yes' } 1 .. CALLS), CALLS,
        "$name: one call after another");

    my $events = figures('app1')->{events};
    $d->event("event $_") for 1 .. 10;
    ok(figure_is('app1', 'events', $events + 10), "$name: events");

    $d->heartbeat();
    is($d->read_chunk(), "\x06", "$name: a heartbeat and its echo");
    $d->raw(ws_ping('through'));
    is($d->said(), 'pong through', "$name: a ping");

    my $again = asks_through($port);
    is($again->{status}, 101, "$name: it attaches again");
    is($d->said(), 'close 1000 taken_over', "$name: the first one is told");
    $d->close();
    is(reached($again), 'yes', "$name: a call goes to the second one");

    $again->close();
    ok(figure_is('app1', 'num_devices', 0), "$name: its end is noticed");

    $again = asks_through($port);
    is(reached($again), 'yes', "$name: it comes back");
    $again->detach();
    wait_for(sub { $again->gone() });
}

# The usual mistake

my $d = asks_through(8104);
like("$d->{status} $d->{json}{error}",
    qr/\A(?:505 http1_required|426 websocket_required)\z/,
    'nginx without a word of WebSockets, which speaks HTTP/1.0, or 1.1 from '
    . '1.29.7 on, does not pass the handshake');

###############################################################################

undef $t;

#!/usr/bin/perl

# Paths that nginx would turn into others: with conf-examples/cometa_api.conf
# none of them attaches a device, calls one, or tells of one.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Behind the name of the application

my @bad = (
    '/devices//send', '/devices//', '//devices/a', '/devices//websocket',
    '/devices///send', '/devices/./send', '/devices/../send',
    '/devices/%2e/send', '/devices/%2E%2e/send', '/devices/.%2e/send',
    '/devices/a%2Fsend', '/devices/a%2fsend', '/devices/%2Fsend',
    '/devices/a#b', '/devices/a#/send', '/devices/x/../a', '/devices/a/.',
    '/devices/a/..?b', '/devices//send?wait=1', '/./devices/a',
    '/%2e%2e/x/devices/a',
);

# Good ids, and what is behind "?" is no path

my %good = (
    'a' => 'a', '.a' => '.a', '...' => '...', 'a..b' => 'a..b',
    '40%3A6c:8f' => '40:6c:8f', 'a%2Eb' => 'a.b', 'q?x=//./%2F#' => 'q',
    'send' => 'send'
);

my @prefixes = ('/v1/applications/demo', '/application/demo',
    '/x/..//v1/applications/demo');

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(@prefixes * @bad * 2 + 2 * keys(%good) + 5);

open my $fh, '<', '../conf-examples/cometa_api.conf'
    or die "cometa_api.conf: $!\n";
$t->write_file('cometa_api.conf', do { local $/; <$fh> });

# Not the default server: what is set only there must not be needed.

$t->write_file_expand('nginx.conf', <<"EOF");
%%TEST_GLOBALS%%
daemon off;
worker_shutdown_timeout 1s;
events {
}
http {
    %%TEST_GLOBALS_HTTP%%
    cometa_zone zone=cometa:8m;
    map \$app \$cometa_app_secret { demo demo-secret; }
    cometa_secret \$cometa_app_secret;
    server {
        listen 127.0.0.1:8080 default_server;
        return 404;
    }
    server {
        listen 127.0.0.1:8080;
        server_name api;
        include cometa_api.conf;
        location / {
            return 200 other;
        }
    }
}
EOF

$t->run();

###############################################################################

sub ask {
    my ($method, $uri) = @_;

    return call('demo', undef, $method eq 'POST' ? 'x' : undef,
        method => $method, uri => $uri, host => 'api', keepalive => 0,
        secret => 'demo-secret');
}

sub devices {
    return join ' ', sort @{ask('GET',
        '/v1/applications/demo/devices')->{json}{devices} || []};
}

###############################################################################

for my $prefix (@prefixes) {
    for my $path (@bad) {
        for my $method (qw/ POST GET /) {
            is(outcome(ask($method, "$prefix$path")), '400 invalid_device_id',
                "$method $prefix$path");
        }
    }
}

is(devices(), '', 'none has attached');
is(ask('POST', '/v1/applications/demo/devices//send')->{headers}
    {'content-type'}, 'application/json', 'refused as JSON');
is(ask('GET', '/v1/websockets/a//key')->{status}, 400, 'a WebSocket');

# Other paths of the server are not touched, nor is the location for all.

is(ask('GET', '/other//path/%2F/.')->{body}, 'other', 'another path');
is(ask('GET', '/cometa_bad_path')->{status}, 404, 'internal');

for my $id (sort keys %good) {
    my $d = device(app => 'demo', device => $id, host => 'api');
    is($d->{status}, 200, "attach: $id");
    is(devices(), $good{$id}, "attached: $good{$id}");
    $d->detach();
    wait_for(sub { devices() eq '' });
}

###############################################################################

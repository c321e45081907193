#!/usr/bin/perl

# Where the presented secret is found.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(19);

$t->write_file_expand('nginx.conf', cometa_conf(
    http => 'cometa_token $arg_token;'
        . 'map $http_sec_websocket_protocol $token {'
        . '"~(^|[ ,])token\.(?<offered>[^ ,]+)" $offered; }',
    server => 'location ~ ^/offered/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . 'cometa_attach; cometa_stats; cometa_device_secret hidden;'
        . 'cometa_token $token; }',
    attach => 'cometa_device_secret hidden;',
    app => 'cometa_token $cookie_token;',
    list => 'cometa_token off;'))->run();

###############################################################################

sub at {
    my ($path, %o) = @_;
    return stats("app1$path", auth => undef, %o)->{status};
}

my $path = '/v1/applications/app1/devices/d';

is(device(device => 'd', uri => $path)->{status}, 403, 'attach: without');
is(device(device => 'd', uri => "$path?token=wrong")->{status}, 403,
    'attach: a wrong one');
is(device(device => 'd', uri => $path,
    headers => { Authorization => 'OAuth hidden' })->{status}, 403,
    'attach: in a header that does not count');

my $d = device(device => 'd', uri => "$path?token=hidden");
is($d->{status}, 200, 'attach');

is(at('/devices/d?token=s3cret'), 200, 'application: an argument');
is(at('/devices/d?token=s3cre'), 401, 'application: too short');
is(at('/devices/d?token=s3cretx'), 401, 'application: too long');
is(at('/devices/d?token='), 401, 'application: empty');
is(at('/devices/d', auth => 'OAuth s3cret'), 401,
    'application: a header that does not count');
is(at('', headers => { Cookie => 'a=b; token=s3cret' }), 200,
    'application: a cookie');
is(at('?token=s3cret'), 401, 'application: where the cookie counts');
is(at('/devices', auth => 'Bearer s3cret'), 200, 'off: the header');
is(at('/devices?token=s3cret'), 401, 'off: not the argument');

# A subprotocol

sub offers {
    my ($offer, %o) = @_;
    return (uri => "/offered/app1/d", %o, auth => undef,
        headers => { 'Sec-WebSocket-Protocol' => $offer });
}

my $offering = device(offers('cometa.device.v1, token.hidden'));
is($offering->{status}, 200, 'attach: a subprotocol');
is(device(offers('token.hidden2, cometa.device.v1'))->{status}, 403,
    'attach: another one');
is(stats('app1', offers('token.s3cret'))->{status}, 200,
    'application: a subprotocol');
is(stats('app1', offers('s3cret'))->{status}, 401,
    'application: one that is no token');

for my $value ('s3cret', '""') {
    my ($ok, $said) = config_test($t,
        cometa_conf(http => "cometa_token $value;"));
    ok(!$ok && $said =~ /expected a variable with the presented secret/,
        "$value: refused") or diag($said);
}

###############################################################################

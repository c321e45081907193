#!/usr/bin/perl

# Errors by error_page, where the location wants that.

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

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(15);

my $pages = 'error_page 404 = @gone; error_page 401 /page;'
    . 'error_page 403 502 /page;';

$t->write_file_expand('nginx.conf', cometa_conf(
    server => 'location @gone { return 410 gone; }'
        . 'location = /page { internal; return 200 page; }'
        . 'location = /loop { internal; cometa_send; cometa_application x;'
        . 'cometa_device y; cometa_secret off; }',
    send => "cometa_intercept_errors on; $pages",
    attach => "cometa_intercept_errors on; $pages"
        . 'cometa_device_secret hidden;',
    app => 'cometa_intercept_errors on; error_page 405 /loop;',
    list => $pages))->run();

###############################################################################

is(text(call('app1', 'd', 'x')), '410 gone', 'a named location');

my $r = call('app1', 'd', 'x', secret => 'wrong');
is("$r->{status} $r->{body}", '401 page', 'a page');
like($r->{headers}{'www-authenticate'}, qr/OAuth realm/, 'headers stay');

is(text(call('app1', 'd', '')), '400 empty_message', 'no page for this');
is(text(stats('app1/devices', secret => 'wrong')), '401 unauthorized',
    'off by default');

# The page is a location of Cometa: its error has no page

is(text(stats('app1', method => 'POST')), '405 not_allowed',
    'an error of the page');

# The end of a call, after it has waited

{
    my $d = device(device => 'd',
        headers => { Authorization => 'OAuth hidden' });
    is($d->{status}, 200, 'attach');

    my $stream = caller_stream();
    my $call = call_start('app1', 'd', 'x', stream => $stream);
    is($d->read_chunk(), 'x', 'a call is written');
    $d->close();

    $r = call_end($call);
    is("$r->{status} $r->{body}", '502 page', 'a page after a call');

    is(text(call('app1', 'd', 'x', stream => $stream)), '410 gone',
        'the connection stays');
}

# An attach that is refused, with a body that does not end

$r = device(device => 'd', form => 'B');
is("$r->{status}", 403, 'attach: a page');
ok(wait_for(sub { $r->gone() }), 'attach: the connection is closed');

# The page of an error has an error

my ($ok, $said) = config_test($t, cometa_conf(
    http => 'cometa_intercept_errors on; error_page 404 /none;',
    send => 'error_page 404 @none;', server => 'location @none { return 404; }'
));
ok($ok, 'the configuration') or diag($said);

ok(!(config_test($t, cometa_conf(http => 'cometa_intercept_errors yes;')))[0],
    'not a flag');
is(text(stats('app1/devices/none')), '410 gone', 'statistics');

###############################################################################

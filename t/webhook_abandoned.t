#!/usr/bin/perl

# Events that a worker leaves behind are counted, each of them.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Socket::INET;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant EVENTS => 10;

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(5);

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    shutdown => '1s', server => <<'EOF'))->run();

        location = /hook {
            internal;
            proxy_pass http://127.0.0.1:8081;
        }

        location ~ ^/hooked/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook;
        }
EOF

# The upstream takes connections, and never answers.

my $upstream;

# the port of a test that has ended just now may be in use for a moment
wait_for(sub {
    $upstream = IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
        LocalAddr => '127.0.0.1:' . port(8081));
}) or die "no upstream: $!\n";

###############################################################################

my @d = map { device(uri => "/hooked/app1/dev$_") } 1, 2;

for my $d (@d) {
    $d->event($_) for 1 .. EVENTS;
}

my $all = @d * EVENTS;

ok(figure_is('app1', 'webhook_queued', $all), 'all events wait');

my ($old) = serving($t);
reload_all($t, 1);
ok(wait_gone($t, 20, $old), 'their worker has gone');

my $figures = figures('app1');
is($figures->{webhook_failed}, $all, 'all have failed');
is($figures->{webhook_dropped}, 0, 'none was dropped');
is($figures->{webhook_queued}, 0, 'and none waits');

###############################################################################

#!/usr/bin/perl

# A device that is taken over before it is open has not been announced, so its
# end is not announced either: neither by the webhook nor in the log.

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

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(7);

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    http => 'log_format got "$http_cometa_event $http_cometa_reason";',
    server => <<'EOC'))->run();
        cometa_webhook /hook events=attach,detach;
        location = /hook {
            internal;
            access_log %%TESTDIR%%/got.log got;
            return 204;
        }
EOC

my ($worker) = wait_serving($t, 1);

###############################################################################

# What the worker reads in one go: requests on connections that it has already
# accepted, so the second one attaches before the first one is open.

my @streams = map { stream_on($worker) } 1, 2;

stand_still($worker);

my @d = map {
    Test::Nginx::Cometa::Device->start(stream => $_)
} @streams;
kill 'CONT', $worker;

$_->finish() for @d;
is(join(' ', map { $_->{status} } @d), '200 200', 'two attach at once');

my ($first) = grep { $d[$_]->gone() } 0, 1;
wait_for(sub { ($first) = grep { $d[$_]->gone() } 0, 1; defined $first });
ok(defined $first, 'one of them is taken over');

my $d = $d[1 - $first];
is(reached($d), 'yes', 'the other one is called');

$d->detach();
is($d->closed(), 'last', 'and leaves');

# One was announced, and it has left

ok(figure_is('app1', 'webhook_sent', 2), 'two events');
is(join(', ', split /\n/, $t->read_file('got.log')),
    'attach taken_over, detach detached', 'of the one that was open');
is(log_count($t, qr/device attached/) . ' '
    . log_count($t, qr/device detached/), '1 1', 'and a line for each');

###############################################################################

#!/usr/bin/perl

# A worker that has no descriptor left for the events of a webhook tries the next
# one after a pause: by itself, and not all at once, for none of them would fare
# better.

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

# One try each, and the next one long after this test; ten a second.

use constant DEVICES => 100;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->has_daemon('prlimit')
    ->plan(5);

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    http => 'log_format got "$http_cometa_event";', server => <<'EOC'))->run();
        location = /hook {
            internal;
            access_log %%TESTDIR%%/got.log got;
            return 204;
        }
        location ~ ^/hooked/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook retry=1h max_retry=1h;
        }
EOC

my ($worker) = wait_serving($t, 1);

###############################################################################

# What it has open stays open.

sub allow {
    my ($n) = @_;
    system('prlimit', '--pid', $worker, "--nofile=$n:") == 0
        or die "prlimit failed\n";
}

sub allowed {
    my ($n) = Test::Nginx::Cometa::Workers::slurp("/proc/$worker/limits")
        =~ /^Max open files +(\d+)/m;
    return $n;
}

sub hook {
    my ($stream, $name) = @_;
    return stats('app1', stream => $stream)->{json}{stats}{"webhook_$name"};
}

###############################################################################

my @d = map { device(uri => "/hooked/app1/dev$_") } 1 .. DEVICES;
my $stream = stream_on($worker);
my $before = allowed();

allow(1);
$_->event('x') for @d;
ok(wait_for(sub { hook($stream, 'queued') == DEVICES }), 'all events wait');
ok(wait_for(sub { hook($stream, 'retries') > 0 }), 'the first ones were tried');

allow($before);
ok(wait_for(sub {
    hook($stream, 'sent') + hook($stream, 'retries') == DEVICES
}), 'the others go when there are descriptors') or diag(hook($stream, 'sent'));
cmp_ok(hook($stream, 'sent'), '>', 0, 'for not all were tried at once');
is(hook($stream, 'failed') + hook($stream, 'dropped'), 0, 'none is lost');

###############################################################################

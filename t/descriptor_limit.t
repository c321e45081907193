#!/usr/bin/perl

# The descriptors that a zone needs come on top of what was allowed: a limit
# that was enough for nginx and its connections stays enough.

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

use constant LIMIT => 64;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(4);

# prlimit is part of util-linux

system('prlimit', '--pid', $$, '--nofile=' . LIMIT . ':') == 0
    or die "prlimit failed\n";

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    connections => 32))->run();

###############################################################################

sub limit {
    my ($pid) = @_;
    my ($limit) = Test::Nginx::Cometa::Workers::slurp("/proc/$pid/limits")
        =~ /^Max open files +(\d+)/m;
    return $limit;
}

is(limit($$), LIMIT, 'few descriptors are allowed');

my $fds = () = glob '/proc/' . master($t) . '/fd/*';
cmp_ok($fds, '>', LIMIT, 'nginx has more of them');
cmp_ok(limit(master($t)) - $fds, '>', LIMIT / 2, 'and is allowed still more');

my $d = device(device => 'dev1');
is(reached($d), 'yes', 'a device attaches, and is called');

###############################################################################

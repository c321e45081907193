#!/usr/bin/perl

# Each allocation of a worker fails once, and all from the n-th on, in each
# step: what cannot be done is refused, and nothing else is touched by it.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Fault;
use Test::Nginx::Cometa::FaultWorld;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @names = grep { !$ENV{STEP} || $_ eq $ENV{STEP} } world_steps();

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(2 * @names + 1);

$t->write_file_expand('nginx.conf', world_conf());
fault_run($t);
world_begin($t);

for my $name (@names) {
    for my $lasting (0, 1) {
        my ($step, $prepare) = world_prepare($name);
        my ($hits, $wrong) = fault_each($t, name => $name, kind => 'memory',
            lasting => $lasting, step => $step, prepare => $prepare,
            after => sub { world_after($t, @_) });

        is($wrong, '', "$name: " . ($lasting ? 'no more memory'
            : 'an allocation fails') . ", $hits times");
    }
}

$t->stop();
is(join("\n", fault_alerts($t)), '', 'nothing is left over');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

#!/usr/bin/perl

# System calls of a worker fail, in each step: connections end, descriptors and
# room in the kernel are missing, and transfers are cut short.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib 'lib';
use Errno qw/
    EAGAIN ECONNRESET EMFILE ENFILE ENOBUFS ENOMEM ENOSPC EPIPE ETOOMANYREFS
/;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Fault;
use Test::Nginx::Cometa::FaultWorld;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

# What fails, and with which error; whether all further ones fail as well, and
# whether nobody must notice.

use constant { ONCE => 0, LASTING => 1, UNNOTICED => 1 };

my @faults = (
    [ 'accept', EMFILE, ONCE, UNNOTICED ],
    [ 'recv', ECONNRESET, ONCE ],
    [ 'recv', SHORT, ONCE, UNNOTICED ],
    [ 'recv', SHORT, LASTING, UNNOTICED ],
    [ 'send', EPIPE, ONCE ],
    [ 'send', EAGAIN, ONCE, UNNOTICED ],
    [ 'send', ENOBUFS, ONCE ],
    [ 'send', SHORT, ONCE, UNNOTICED ],
    [ 'send', SHORT, LASTING, UNNOTICED ],
    [ 'epoll', ENOMEM, ONCE ],
    [ 'epoll', ENOSPC, LASTING ],
    [ 'pass', EAGAIN, ONCE, UNNOTICED ],
    [ 'pass', ETOOMANYREFS, LASTING, UNNOTICED ],
    [ 'take', ENOMEM, ONCE ],
    [ 'take', LOST, ONCE ],
    [ 'socket', EMFILE, ONCE, UNNOTICED ],
    [ 'socket', ENFILE, LASTING ],
    [ 'wake', EAGAIN, ONCE ]
);

@faults = grep { !$ENV{KIND} || $_->[0] eq $ENV{KIND} } @faults;

my @names = grep { !$ENV{STEP} || $_ eq $ENV{STEP} } world_steps();

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(@faults * (@names + 1) + 1);

$t->write_file_expand('nginx.conf', world_conf());
fault_run($t);
world_begin($t);

for my $fault (@faults) {
    my ($kind, $error, $lasting, $unnoticed) = @$fault;

    my $all = 0;

    for my $name (@names) {
        my ($step, $prepare) = world_prepare($name);
        my ($hits, $wrong) = fault_each($t, name => $name, kind => $kind,
            error => $error, lasting => $lasting, unnoticed => $unnoticed,
            step => $step, prepare => $prepare,
            after => sub { world_after($t, @_) });

        is($wrong, '', "$name: $kind, " . fault_words($error)
            . ($lasting ? ', lasting' : '') . ", $hits times");
        $all += $hits;
    }

    cmp_ok($all, '>', 0, "$kind: it has failed");
}

$t->stop();
is(join("\n", fault_alerts($t)), '', 'nothing is left over');

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

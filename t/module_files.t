#!/usr/bin/perl

# Reloads whose load_module names another file each time: the master keeps
# nothing of the zone of a module that is not in force any more.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Copy qw/ copy /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant RELOADS => 5;

my ($given) = ($ENV{TEST_NGINX_GLOBALS} || '')
    =~ /load_module (\S+ngx_cometa_module\.so);/
    or plan(skip_all => 'the module is linked statically');

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(5);

my @files = map { $t->testdir() . "/module$_.so" } 0, 1;

for my $file (@files) {
    copy($given, $file) or die "Can't copy: $!\n";
}

sub with_module {
    my ($file) = @_;
    my $globals = $ENV{TEST_NGINX_GLOBALS} =~ s/\Q$given\E/$file/r;
    return worker_conf(workers => 2) =~ s/%%TEST_GLOBALS%%/$globals/r;
}

# What the master has: descriptors, and mappings that are shared and no file.

sub has {
    my ($pid) = @_;
    my $maps = () = Test::Nginx::Cometa::Workers::slurp("/proc/$pid/maps")
        =~ m{^\S+ rw-s .*/dev/zero}mg;
    return fds($pid) . " descriptors, $maps mappings";
}

###############################################################################

$t->write_file_expand('nginx.conf', with_module($files[0]))->run();
wait_serving($t, 2);

my $before = has(master($t));
my @has;

for my $n (1 .. RELOADS) {
    my @old = serving($t);

    $t->write_file_expand('nginx.conf', with_module($files[$n % 2]));
    reload_all($t, 2);
    wait_gone($t, 10, @old) or die "@old do not leave\n";

    push @has, has(master($t));
}

is(join("\n", grep { $_ ne $before } @has), '',
    'the master has what it had, after ' . RELOADS . ' reloads');

my $d = device();
is($d->{status}, 200, 'a device attaches');
is(reached($d), 'yes', 'and is called');

# A zone that two configurations have had outlives the first of them

reload_all($t, 2);
is(reached($d), 'yes', 'also after a reload with the same file');

$d->close();
$t->stop();

is(expected_alerts($t), '', 'no alerts');

###############################################################################

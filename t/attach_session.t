#!/usr/bin/perl

# Sessions grow with each attach, also when a device changes servers.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(5);

# Two servers: each has a zone of its own.

my $conf = cometa_conf();

$t->write_file_expand('other.conf', $conf =~ s/127\.0\.0\.1:8080/127.0.0.1:8081/r
    =~ s/^(daemon off;)/$1 pid %%TESTDIR%%\/other.pid;/mr
    =~ s/%%TEST_GLOBALS%%/$ENV{TEST_NGINX_GLOBALS} || ''/er
    =~ s/%%TEST_GLOBALS_HTTP%%/'access_log off;' . join '', map {
        "${_}_temp_path %%TESTDIR%%\/other_$_;"
    } qw(client_body proxy fastcgi scgi uwsgi)/er);

$t->write_file_expand('nginx.conf', $conf)->run();

my $dir = $t->testdir();
$t->run_daemon("$Test::Nginx::NGINX", '-p', "$dir/", '-c', 'other.conf',
    '-e', 'other.log');
$t->waitforsocket('127.0.0.1:' . port(8081));

sub session {
    my ($port, $id) = @_;
    my $d = device(device => $id, port => $port);
    die "attach: $d->{status}\n" if $d->{status} != 200;
    my $session = stats("app1/devices/$id", port => $port)->{json}{session};
    $d->close();
    return $session;
}

###############################################################################

my $now = time();
my $first = session(8080, 'one');

cmp_ok($first >> 20, '>=', int $now, 'the session is of this second');
cmp_ok($first >> 20, '<=', int(time()) + 1, 'and not later');
cmp_ok($first, '<', 2 ** 53, 'a double holds it');

# Many attaches at A make its sessions grow no faster than the clock

session(8080, "d$_") for 1 .. 300;

my @sessions = map { session($_, 'one') } 8080, 8081, 8080, 8081, 8080;
my @sorted = sort { $a <=> $b } @sessions;
is("@sessions", "@sorted", 'A, B, A, B, A: it only grows');

my %seen = map { $_ => 1 } @sessions, $first;
is(scalar(keys %seen), 6, 'and is never the same');

###############################################################################

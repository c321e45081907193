#!/usr/bin/perl

# A reload that changes the zone: what it leaves behind, and what it says.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->todo_alerts()
    ->plan(19);

sub conf {
    my ($zone, %o) = @_;
    return worker_conf(workers => 2, zone => $zone, shutdown => '30s', %o);
}

sub reload_fails {
    my ($t, $conf, $message) = @_;
    my $before = log_count($t, $message);
    $t->write_file_expand('nginx.conf', $conf);
    $t->reload();
    return wait_for(sub { log_count($t, $message) > $before }, 10);
}

# Mappings of the master that are shared and have no file.

sub mappings {
    my ($pid) = @_;
    my @shared = Test::Nginx::Cometa::Workers::slurp("/proc/$pid/maps")
        =~ m{^\S+ rw-s .*/dev/zero}mg;
    return scalar @shared;
}

###############################################################################

$t->write_file_expand('nginx.conf', conf('4m'))->run();
wait_serving($t, 2);

# Configurations with another zone that fail after it was made

my $busy = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
    or die "$!\n";
my $listen = 'server { listen 127.0.0.1:' . $busy->sockport() . '; }';

my @fds = fds(master($t));
my @maps = mappings(master($t));

for my $size (5 .. 7) {
    ok(reload_fails($t, conf("${size}m", http => $listen),
        qr/still could not bind\(\)/), "a reload to ${size}m fails");

    # what was made for it goes after that was logged

    wait_for(sub { fds(master($t)) == $fds[0] }, 5);
    push @fds, fds(master($t));
    push @maps, mappings(master($t));
}

is("@fds[1 .. 3]", "@fds[0, 0, 0]", 'no descriptor is left behind');
cmp_ok($maps[0], '>', 0, 'the zone is a mapping');
is("@maps[1 .. 3]", "@maps[0, 0, 0]", 'and no mapping');

# The old zone goes on

my $d = device();
is(reached($d), 'yes', 'the zone is as it was');

# A reload to another size would cut the device off

ok(reload_fails($t, conf('8m'), qr/\[emerg\].*cometa_zone cannot get another/),
    'a reload to 8m is refused');
like($t->read_file('error.log'), qr/: 1 devices and 0 websockets would be out/,
    'with the number of devices');
is(reached($d), 'yes', 'the device is called as before');

$d->close();

# Without devices nothing is lost

ok(wait_for(sub { num_devices() == 0 }), 'the device leaves');
$t->write_file_expand('nginx.conf', conf('8m'));
ok(reload_all($t, 2), 'a reload to 8m');
# old workers have a channel of nginx each
cmp_ok(fds(master($t)), '<', $fds[0] + 16,
    'the descriptors of the old zone are closed');

$d = device();
$t->write_file_expand('nginx.conf', conf('8m'));
ok(reload_all($t, 2), 'a reload with the same size');
is(reached($d), 'yes', 'and the device is called');

# nor can a zone be kept that no directive needs any more

$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\ndaemon off;\n"
    . "events { }\nhttp { %%TEST_GLOBALS_HTTP%%\n"
    . "server { listen 127.0.0.1:8080; } }");
$t->reload();
ok(wait_log($t, qr/\[warn\].*cometa_zone is removed by a reload: 1 devices/),
    'a reload without a zone says whom it leaves');

$d->close();

$t->stop();

# A process without a master works in the zone that would go

$t->write_file_expand('nginx.conf',
    conf('4m', main => 'master_process off;') =~ s/reuseport//r);
$t->run();
$d = device();

reload_fails($t, conf('5m', main => 'master_process off;') =~ s/reuseport//r,
    qr/cometa_zone cannot get another size .* "master_process off"/);
is(reached($d), 'yes', 'master_process off: a reload to another size fails');

reload_fails($t, "%%TEST_GLOBALS%%\ndaemon off;\nmaster_process off;\n"
    . "events { }\nhttp { %%TEST_GLOBALS_HTTP%%\n"
    . "server { listen 127.0.0.1:8080; } }",
    qr/"cometa_zone" cannot be removed .* "master_process off"/);
is(reached($d), 'yes', 'and one without a zone');

$d->close();
$t->stop();

is(expected_alerts($t, qr/still could not bind|bind\(\) to/,
    qr/"?cometa_zone"? cannot be/, qr/cometa_zone cannot get/), '',
    'no other alerts');

undef $t;

###############################################################################

#!/usr/bin/perl

# The dashboard in headless Chromium, served by the quick start as it is but
# for a short window of its statistics and a second application.  The tests,
# devices and callers are in node/; here is nginx, which they stop and start.
#
# COMETA_SCREENSHOT=1 also writes docs/dashboard.png.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib qw/ lib node /;
use Cwd qw/ abs_path /;
use File::Copy qw/ copy /;
use File::Spec;
use NodeTest;
use POSIX qw/ :signal_h /;
use Test::Nginx;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map access charset/);

has_node($t->has_daemon('chromium'), 'playwright-core', 'axe-core', 'uplot');

$t->plan($ENV{COMETA_SCREENSHOT} ? 26 : 25);

my $examples = abs_path('../conf-examples');
my $uplot = abs_path('../build/node/node_modules/uplot/dist');
my $dir = $t->testdir();

$t->write_file_expand('nginx.conf', quickstart());
copy("$examples/cometa_api.conf", $dir) or die "cometa_api.conf: $!\n";
mkdir "$dir/html" or die "html: $!\n";
symlink "$examples/$_", "$dir/html/$_" or die "$_: $!\n"
    for qw/ dashboard pages /;
symlink $uplot, "$dir/html/uplot" or die "uplot: $!\n";

$t->run();

# A start waits until the stop is over.

my $start = POSIX::SigSet->new(SIGUSR2);

$SIG{USR1} = sub {
    sigprocmask(SIG_BLOCK, $start);
    $t->stop();
    sigprocmask(SIG_UNBLOCK, $start);
};

$SIG{USR2} = sub { $t->run() };

my ($chromium) = grep { -x } map { "$_/chromium" } File::Spec->path();

node_tests($t, 'dashboard.js', {
    SERVER => '127.0.0.1:' . port(8080),
    CHROMIUM => $chromium,
    SCREENSHOT => $ENV{COMETA_SCREENSHOT}
        ? abs_path('../docs') . '/dashboard.png' : ''
});

###############################################################################

sub quickstart {
    open my $fh, '<', "$examples/quickstart.conf" or die "quickstart: $!\n";
    local $/;

    my $conf = <$fh>;

    $conf =~ s/^(?:load_module|pid|error_log) .*\n//gm;
    $conf =~ s/^worker_processes .*/worker_processes 2;/m;
    $conf =~ s/^(\s*)cometa_zone .*/$&\n$1cometa_stats_window 1s;/m;
    $conf =~ s/^(\s*)demo +demo-secret;/$&\n$1empty empty-secret;/m;

    return "%%TEST_GLOBALS%%\ndaemon off;\nworker_shutdown_timeout 1s;\n$conf";
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

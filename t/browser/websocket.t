#!/usr/bin/perl

# The console page in headless Chromium, served by the quick start as it is but
# for a second application.  The tests are in node/browser.js; here are nginx
# and the devices.
#
# COMETA_SCREENSHOT=1 also writes docs/console.png.

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
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ master nginx_ends /;
use Time::HiRes qw/ sleep /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/);

has_node($t->has_daemon('chromium'), 'playwright-core', 'axe-core');

$t->plan($ENV{COMETA_SCREENSHOT} ? 37 : 36);

my $examples = abs_path('../conf-examples');
my $dir = $t->testdir();

$t->write_file_expand('nginx.conf', quickstart());
copy("$examples/cometa_api.conf", $dir) or die "cometa_api.conf: $!\n";
mkdir "$dir/html" or die "html: $!\n";
symlink "$examples/$_", "$dir/html/$_" or die "$_: $!\n"
    for qw/ console pages /;

$t->run();

my %info = ('lamp-1' => 'lamp, 9 W', 'meter-7' => 'meter', 'door-3' => 'door');

for my $id (sort keys %info) {
    $t->run_daemon(\&serve, $id, $info{$id});
    $t->waitforfile("$dir/$id") or die "$id did not attach\n";
}

my $screenshot = $ENV{COMETA_SCREENSHOT}
    ? abs_path('../docs') . '/console.png' : '';
my ($chromium) = grep { -x } map { "$_/chromium" } File::Spec->path();
my $master = master($t);

node_tests($t, 'browser.js', {
    SERVER => '127.0.0.1:' . port(8080),
    CHROMIUM => $chromium,
    CONTROL => $master,
    SCREENSHOT => $screenshot
});

###############################################################################

# The example, but for what names this run's module and files.

sub quickstart {
    open my $fh, '<', "$examples/quickstart.conf" or die "quickstart: $!\n";
    local $/;

    my $conf = <$fh>;

    $conf =~ s/^(?:load_module|pid|error_log) .*\n//gm;
    $conf =~ s/^(\s*)demo +demo-secret;/$&\n$1empty empty-secret;/m;

    return "%%TEST_GLOBALS%%\ndaemon off;\nworker_shutdown_timeout 1s;\n$conf";
}

# Devices: answer with the message itself, but for some words.  All but one
# stay: that one leaves when it is told.

sub serve {
    my ($id, $info) = @_;

    my $d = device(app => 'demo', device => $id, info => $info);
    die "$id: $d->{status}\n" if $d->{status} != 200;

    open my $fh, '>', "$dir/$id" or die "$id: $!\n";
    print $fh "ready\n";
    close $fh or die "$id: $!\n";

    while (!$d->gone()) {
        my $payload = $d->read_chunk(20);

        if (!defined $payload) {
            $d->heartbeat();
            next;
        }

        last if $payload eq '' || $payload eq 'leave';
        obey($d, $payload);
    }
}

sub obey {
    my ($d, $payload) = @_;

    my %replies = (
        status => '{"on":true,"level":80}',
        ring => 'ringing',
        slow => 'at last'
    );

    return if $payload eq 'never';

    sleep(0.3) if $payload eq 'slow';

    $d->send_chunk(exists $replies{$payload} ? $replies{$payload} : $payload);

    if ($payload eq 'ring') {
        $d->event('button pressed');
        $d->event("\xff\x00");
    }
}

# The script has ended nginx.  The last tests are made when the object goes,
# which must not be too late.
nginx_ends($t, $master);
undef $t;

###############################################################################

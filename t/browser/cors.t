#!/usr/bin/perl

# Pages of other sites in headless Chromium, which use the API as cors.conf
# allows: one that may, and one that may not.  The tests are in node/cors.js;
# here are nginx and the device.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir("$FindBin::Bin/.."); }

use lib qw/ lib node /;
use File::Spec;
use NodeTest;
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/);

has_node($t->has_daemon('chromium'), 'playwright-core');

$t->plan(7);

my $examples = '../conf-examples';
my $allowed = 'http://localhost:' . port(8081);

# The example, and the two sites.

my $conf = slurp("$examples/cors.conf");

$conf =~ s/^(?:load_module|worker_processes|pid|error_log) .*\n//gm;
$conf =~ s/access_log \K[^;]+/off/;
$conf =~ s/listen 80/listen 127.0.0.1:8080/;
$conf =~ s/https:\/\/app\.example\.com/$allowed/
    or die "cors.conf: no site\n";
$conf =~ s/worker_connections \K\d+/512/;
$conf =~ s/(cometa_zone zone=\w+:)\w+/$1 . '16m'/e;
$conf =~ s/\n\}\s*\z/<<'EOF'/e;

    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8081;
        listen 127.0.0.1:8082;
        location / {
            default_type text/html;
            return 200 '<!DOCTYPE html><title>page</title>';
        }
    }
}
EOF

$t->write_file('cometa_api.conf', slurp("$examples/cometa_api.conf"));
$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\ndaemon off;\n"
    . "worker_shutdown_timeout 1s;\n$conf");
$t->run();

$t->run_daemon(\&serve, $t->testdir());
$t->waitforfile($t->testdir() . '/ready') or die "the device did not attach\n";

my ($chromium) = grep { -x } map { "$_/chromium" } File::Spec->path();

node_tests($t, 'cors.js', {
    API => 'http://127.0.0.1:' . port(8080),
    ALLOWED => $allowed,
    OTHER => 'http://localhost:' . port(8082),
    CHROMIUM => $chromium
});

###############################################################################

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or die "$name: $!\n";
    local $/;
    return <$fh>;
}

sub serve {
    my ($dir) = @_;

    my $d = device(app => 'demo', device => 'lamp-1');
    die "attach: $d->{status}\n" if $d->{status} != 200;

    open my $fh, '>', "$dir/ready" or die "ready: $!\n";
    close $fh or die "ready: $!\n";

    while (defined(my $payload = $d->read_chunk(60))) {
        last if $payload eq '';
        $d->send_chunk("you said $payload");
    }
}

###############################################################################

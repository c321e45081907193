#!/usr/bin/perl

# What devices by the client libraries ask, and what the webhook answers.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib qw/ lib clients /;
use ClientTest;
use Cwd qw/ abs_path /;
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->has_daemon('python3')
    ->has_daemon('node')->plan(30);

my $dir = $t->testdir();
my ($lib, $here) = map { abs_path($_) } '../clients', 'clients';

@ENV{qw/ PYTHONPATH PYTHONDONTWRITEBYTECODE /} = ("$lib/python", 1);

my %run = (
    c => [ "$dir/c" ],
    python => [ 'python3', "$here/device.py" ],
    js => [ 'node', "$here/device.mjs" ],
);

###############################################################################

sub asks {
    my ($t, $name, $library, $options) = @_;

    my $d = start($t, $name, @{$run{$library}}, port(8080), $name, $options);
    my $id = $library eq 'c' ? 'id1 ' : '';

    like(said($d, qr/\n/), qr/\Aattached/, "$name: attached");
    like(asked($name, 'ask id1 what?'), qr/^200 (?:asked|not granted)/,
        "$name: asks");

    return ($d, $id);
}

sub is_answered {
    my ($t, $name, $library, $options) = @_;

    my ($d, $id) = asks($t, $name, $library, $options);

    like(said($d, qr/answer/), qr/\nanswer ${id}what\? from $name\n/,
        "$name: the answer");
    is(echoes($name, 10, 2000), 'right', "$name: and calls go on");
}

###############################################################################

my %failed = compiled($dir, { c => "cd $dir && cc -std=c99 -O1 -Wall -Wextra"
    . " -Werror -I$lib/c -I$here $here/device.c $here/posix.c $lib/c/cometa.c"
    . " $lib/c/cometa_posix.c -o c" });

is($failed{c}, undef, 'compiled');

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2, attach => 'cometa_webhook /asked tries=1;',
    http => <<'EOH', server => <<'EOS'));

    server {
        listen 127.0.0.1:8081;

        location / {
            if ($http_cometa_device ~ ^fails) {
                return 404;
            }

            return 200 "what? from $http_cometa_device";
        }
    }
EOH

        location = /asked {
            internal;
            proxy_pass http://127.0.0.1:8081;
        }
EOS

$t->run();

is_answered($t, "$_-frames", $_, 'wr') for sort keys %run;
is_answered($t, "$_-chunks", $_, 'r') for qw/ c python /;

for my $library (qw/ js python /) {
    my ($d) = asks($t, "fails-$library", $library, 'wr');

    like(said($d, qr/answer/), qr/\nanswer request_failed\n/,
        "$library: one that fails");
}

for my $library (qw/ python /) {
    my ($d) = asks($t, "none-$library", $library, '');

    like(said($d, qr/answer/), qr/\nanswer request_failed\n/,
        "$library: requests that were not asked for");
}

###############################################################################

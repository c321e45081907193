#!/usr/bin/perl

# The directive cometa_webhook: what is refused, with which advice, and what is
# taken.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $params = qr/events=, tries=, retry=, max_retry=, concurrency= or queue=/;
my $tries = qr/expected tries= and a number from 1 to 255/;
my $retry = qr/expected retry= and a time from 1ms to 1d/;
my $max = qr/expected max_retry= and a time from 1ms to 1d/;
my $number = qr/expected concurrency= and a number from 1 to 65535/;
my $queue = qr/expected queue= and a number from 1 to 1048576/;
my $events = qr/expected events= and a list of data, attach, detach, reply/;
my $nowhere = qr/leads to no location of its server: add "location = /;

my @bad = (
    [ '', qr/invalid number of arguments in "cometa_webhook"/ ],
    [ '""', qr/invalid URI "": it must begin with "\/"/ ],
    [ 'hook', qr/invalid URI "hook": it must begin with "\/"/ ],
    [ 'http://127.0.0.1/', qr/invalid URI "http:/ ],
    [ '@named', qr/invalid URI "\@named"/ ],
    [ '/$app', qr/invalid URI "\/\$app": it must not contain variables/ ],
    [ '/hook/$1', qr/it must not contain variables/ ],
    [ '/hook?x=$app', qr/it must not contain variables/ ],
    [ '/${app}', qr/it must not contain variables/ ],

    [ '/hook data', qr/invalid parameter "data", expected $params/ ],
    [ '/hook ""', qr/invalid parameter "", expected $params/ ],
    [ '/hook off', qr/invalid parameter "off", expected $params/ ],
    [ '/hook retries=1', qr/invalid parameter "retries=1", expected $params/ ],
    [ '/hook Tries=1', qr/invalid parameter "Tries=1", expected $params/ ],
    [ 'off tries=1', qr/takes no parameters with "off"/ ],
    [ '/hook; cometa_webhook off', qr/"cometa_webhook" directive is dupl/ ],
    [ 'off; cometa_webhook /hook', qr/"cometa_webhook" directive is dupl/ ],

    [ '/hook events=', $events ],
    [ '/hook events=data,', $events ],
    [ '/hook events=,data', $events ],
    [ '/hook events=data,close', $events ],
    [ '/hook events=data,data', $events ],
    [ '/hook events=Data', $events ],
    [ '/hook events=data events=attach', qr/duplicate parameter "events=at/ ],

    (map { [ "/hook tries=$_", $tries ] } '', 0, -1, 256, 'x', '1s', '1.5',
        '99999999999999999999'),
    [ '/hook tries=1 tries=1', qr/duplicate parameter "tries=1"/ ],
    (map { [ "/hook retry=$_", $retry ] } '', 0, '0s', -1, 'x', '5k', '2d',
        '99999999999999999999'),
    (map { [ "/hook max_retry=$_", $max ] } '', 0, -1, 'x', '25h'),
    [ '/hook retry=2s max_retry=1s', qr/max_retry= .* less than retry=, raise/ ],
    (map { [ "/hook concurrency=$_", $number ] } '', 0, -1, 65536, 'x', '1k'),
    (map { [ "/hook queue=$_", $queue ] } '', 0, -1, 1048577, 'x', '1k'),
    [ '/hook queue=1 queue=2', qr/duplicate parameter "queue=2"/ ],

    [ '/nosuch', qr/"cometa_webhook \/nosuch" $nowhere\/nosuch \{/ ],
    [ '/nosuch?a=b', qr/"cometa_webhook \/nosuch\?a=b" $nowhere\/nosuch \{/ ],
    [ '/hook/', $nowhere ],
    [ '/hoo', $nowhere ],
    [ '/slash', $nowhere ],
    [ '/v1/applications/app1/devices/dev1',
        qr/leads to location "[^"]+", which serves devices or applications/ ],
    [ '/v1/applications/app1', qr/which serves devices or applications/ ]
);

# These are locations, or the server answers for them.

my @good = (
    '/hook', '/hook?a=b', '/slash/', '/slash/any/thing', '/deep/er/x',
    '/expression/5', '/nested/inner', '/HOOK', 'off',
    '/hook events=data', '/hook events=detach,attach,data',
    '/hook tries=1 retry=1ms max_retry=1ms concurrency=1 queue=1',
    '/hook tries=255 retry=1d max_retry=1d concurrency=65535 queue=1048576',
    '/hook retry=5m', '/hook max_retry=10ms'
);

my %elsewhere = (
    'return 404;' => '/nosuch',
    'rewrite ^/nosuch$ /hook last;' => '/nosuch',
    'if ($arg_x) { return 404; }' => '/nosuch',
    'try_files $uri /hook;' => '/nosuch',
    'location / { proxy_pass http://127.0.0.1:8081; }' => '/any'
);

my $t = Test::Nginx->new()->has(qw/http rewrite proxy/)
    ->plan(2 * @bad + @good + keys(%elsewhere));

my $locations = <<'EOF';
        location = /hook { return 204; }
        location /slash/ { proxy_pass http://127.0.0.1:8081; }
        location /deep/er { return 204; }
        location ~ ^/expression/\d$ { return 204; }
        location ~* ^/hook$ { return 204; }

        location /nested {
            location /nested/inner { return 204; }
        }
EOF

###############################################################################

for my $case (@bad) {
    my ($value, $said) = @$case;
    my ($good, $text) = config_test($t, cometa_conf(
        server => "$locations cometa_webhook $value;"));

    ok(!$good, "refused: $value");
    like($text, $said, "advice: $value");
}

for my $value (@good) {
    my ($good, $text) = config_test($t, cometa_conf(
        server => "$locations cometa_webhook $value;"));

    ok($good, "taken: $value") or diag($text);
}

for my $server (sort keys %elsewhere) {
    my ($good, $text) = config_test($t, cometa_conf(
        server => "$locations $server cometa_webhook $elsewhere{$server};"));

    ok($good, "taken with: $server") or diag($text);
}

###############################################################################

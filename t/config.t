#!/usr/bin/perl

# Directives: good forms load, wrong and contradictory ones stop "nginx -t"
# with a message that names the directive to mend.

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

my $t = Test::Nginx->new()->has(qw/http rewrite/);

my $zone = 'cometa_zone zone=cometa:8m;';
my $handlers = "cometa_secret s; location /a { cometa_attach; cometa_stats; }"
    . ' location /s { cometa_send; }';

# Good at http, server and location level alike.

my @good = (
    'cometa_application app1;',
    'cometa_application $app;',
    'cometa_application "a-$arg_app";',
    'cometa_device dev1;',
    'cometa_device $device;',
    'cometa_device *;',
    'cometa_app_name "The $app";',
    'cometa_secret s3cret;',
    'cometa_secret $secret;',
    'cometa_secret off;',
    'cometa_device_secret key;',
    'cometa_device_secret $arg_key;',
    'cometa_heartbeat 10s;',
    'cometa_heartbeat 1m timeout=2m;',
    'cometa_heartbeat 1s timeout=1500ms;',
    'cometa_send_timeout 5s;',
    'cometa_send_timeout 5s max=5s;',
    'cometa_send_timeout 500ms max=1m;',
    'cometa_send_wait 0;',
    'cometa_send_wait 5s;',
    'cometa_queue 1;',
    'cometa_queue 1000;',
    'cometa_pipeline 1;',
    'cometa_pipeline 128;',
    'cometa_request_timeout 500ms;',
    'cometa_max_message_size 1k;',
    'cometa_max_message_size 128;',
    'cometa_takeover on;',
    'cometa_takeover off;',
);

# What the zone may be.

my @zones = (
    'cometa_zone zone=cometa:8m;',
    'cometa_zone zone=another_name:16384k;',
    'cometa_zone zone=cometa:64m;',
);

# Several handlers in one location, where no two serve one method.

my @locations = (
    'cometa_attach;',
    'cometa_send;',
    'cometa_stats;',
    'cometa_stats json;',
    'cometa_attach; cometa_stats;',
    'cometa_stats; cometa_attach;',
    'cometa_send; cometa_stats;',
);

# Wrong: text at http, at server and at location level, and what is said.

my @bad_zones = (
    ['no zone', '', qr/"cometa_zone"/],
    ['two zones', "$zone cometa_zone zone=other:1m;", qr/"cometa_zone"/],
    ['same zone twice', "$zone $zone", qr/"cometa_zone"/],
    ['small zone', 'cometa_zone zone=cometa:4k;', qr/cometa_zone|"cometa"/],
    ['zone without size', 'cometa_zone zone=cometa;', qr/cometa/],
    ['zone of bad size', 'cometa_zone zone=cometa:big;', qr/cometa/],
    ['zone of negative size', 'cometa_zone zone=cometa:-1m;', qr/cometa/],
    ['zone without name', 'cometa_zone zone=:1m;', qr/zone=:1m|cometa_zone/],
    ['zone of another word', 'cometa_zone name=cometa:1m;', qr/name=cometa/],
    ['zone and more', 'cometa_zone zone=cometa:1m 5;', qr/cometa_zone/],
    ['zone without all', 'cometa_zone;', qr/cometa_zone/],
);

my @bad = (
    'cometa_application;',
    'cometa_application a b;',
    'cometa_device;',
    'cometa_secret;',
    'cometa_secret a b;',
    'cometa_device_secret;',
    'cometa_app_name;',
    'cometa_heartbeat;',
    'cometa_heartbeat often;',
    'cometa_heartbeat 0;',
    'cometa_heartbeat -1s;',
    'cometa_heartbeat 60s timeout=soon;',
    'cometa_heartbeat 60s timeout=30s;',
    'cometa_heartbeat 60s timeout=0;',
    'cometa_heartbeat 60s after=90s;',
    'cometa_heartbeat 60s 90s;',
    'cometa_send_timeout;',
    'cometa_send_timeout long;',
    'cometa_send_timeout 0;',
    'cometa_send_timeout 30s max=10s;',
    'cometa_send_timeout 30s max=long;',
    'cometa_send_timeout 30s min=10s;',
    'cometa_send_wait;',
    'cometa_send_wait long;',
    'cometa_queue;',
    'cometa_queue many;',
    'cometa_queue -1;',
    'cometa_queue 1k;',
    'cometa_max_message_size;',
    'cometa_max_message_size 0;',
    'cometa_max_message_size big;',
    'cometa_max_message_size -5;',
    'cometa_max_message_size 99999999999999999999;',
    'cometa_max_message_size 17m;',
    'cometa_takeover maybe;',
    'cometa_takeover;',
);

my @bad_locations = (
    ['attach and send', 'cometa_attach; cometa_send;',
        qr/"cometa_(?:attach|send)"/],
    ['send and attach', 'cometa_send; cometa_attach;',
        qr/"cometa_(?:attach|send)"/],
    ['attach twice', 'cometa_attach; cometa_attach;', qr/"cometa_attach"/],
    ['send twice', 'cometa_send; cometa_send;', qr/"cometa_send"/],
    ['stats twice', 'cometa_stats; cometa_stats;', qr/"cometa_stats"/],
    ['attach with a word', 'cometa_attach now;', qr/"cometa_attach"/],
    ['send with a word', 'cometa_send now;', qr/"cometa_send"/],
    ['stats in another form', 'cometa_stats xml;', qr/"xml"|cometa_stats/],
    ['stats in two forms', 'cometa_stats json prometheus;',
        qr/"cometa_stats"/],
);

my @misplaced = (
    ['zone in a server', "$zone server { listen 127.0.0.1:8080; $zone }",
        'cometa_zone'],
    map {
        [ "$_ in a server", "$zone server { listen 127.0.0.1:8080; $_; }", $_ ]
    } qw/ cometa_attach cometa_send cometa_stats /
);

# Unlike all others, these may be given again: a duplicate is an error.

my @once = (
    'cometa_application a;', 'cometa_device a;', 'cometa_app_name a;',
    'cometa_secret a;', 'cometa_device_secret a;', 'cometa_heartbeat 1s;',
    'cometa_send_timeout 1s;', 'cometa_send_wait 1s;', 'cometa_queue 1;',
    'cometa_max_message_size 1k;', 'cometa_takeover on;',
);

$t->plan(3 * @good + @zones + @locations + 2 * (@bad_zones + @bad
    + @bad_locations + @misplaced + @once) + 22);

###############################################################################

sub http_block {
    my ($http) = @_;

    return <<"EOF";
%%TEST_GLOBALS%%
daemon off;
events {
}
http {
    %%TEST_GLOBALS_HTTP%%
    $http
}
EOF
}

sub conf {
    my (%o) = (zone => $zone, http => '', server => '', location => '', @_);

    return http_block(<<"EOF");
    $o{zone}
    map \$arg_a \$app { default app1; }
    map \$arg_d \$device { default dev1; }
    map \$arg_s \$secret { default s3cret; }
    $o{http}
    server {
        listen 127.0.0.1:8080;
        $o{server}
        location /x {
            $o{location}
        }
    }
EOF
}

sub good {
    my ($t, $conf, $name) = @_;

    my ($ok, $said) = config_test($t, $conf);
    ok($ok, $name) or diag($said);
}

sub bad {
    my ($t, $conf, $re, $name) = @_;

    my ($ok, $said) = config_test($t, $conf);
    ok(!$ok, "$name: refused");

    my ($error) = $said =~ /^(.*\[emerg\].*)$/m;
    like($error || $said, $re, "$name: message");
}

###############################################################################

for my $line (@good) {
    for my $level (qw/ http server location /) {
        good($t, conf($level => $line), "$line in $level");
    }
}

for my $line (@zones) {
    good($t, conf(zone => $line, server => $handlers), $line);
}

for my $line (@locations) {
    good($t, conf(location => $line, server => 'cometa_secret s;'), $line);
}

for my $case (@bad_zones) {
    my ($name, $line, $re) = @$case;
    bad($t, conf(zone => $line, server => $handlers), $re, $name);
}

for my $line (@bad) {
    my ($directive, $last) = $line =~ /^(\w+).*?(\S*);/;
    bad($t, conf(server => $line), qr/"(?:\Q$directive\E|\Q$last\E)"/, $line);
}

for my $case (@bad_locations) {
    my ($name, $line, $re) = @$case;
    bad($t, conf(location => $line, server => 'cometa_secret s;'), $re, $name);
}

for my $case (@misplaced) {
    my ($name, $text, $directive) = @$case;
    bad($t, http_block($text), qr/"$directive"/, $name);
}

for my $line (@once) {
    my ($directive) = $line =~ /^(\w+)/;
    bad($t, conf(location => "$line $line"), qr/"$directive".*duplicate/,
        "$line twice");
}

# The secret, which only an attach does not need

bad($t, conf(location => 'cometa_send;'), qr/"cometa_secret"/,
    'send without secret');
bad($t, conf(location => 'cometa_stats;'), qr/"cometa_secret"/,
    'stats without secret');

good($t, conf(location => 'cometa_send; cometa_stats; cometa_secret off;'),
    'another access module is the guard');
good($t, conf(http => 'cometa_secret s;', location => 'cometa_send;'),
    'secret from above');

# A module that is loaded and not used asks for nothing.

good($t, http_block('server { listen 127.0.0.1:8080; }'), 'not used');

# Other directives that a handler depends on

bad($t, conf(location => 'cometa_attach; chunked_transfer_encoding off;'),
    qr/"chunked_transfer_encoding on"/, 'no chunks');
bad($t, conf(http => 'cometa_secret s;', location => 'cometa_send;'
    . 'cometa_max_message_size 2m; client_max_body_size 1m;'),
    qr/"cometa_max_message_size".*"client_max_body_size"/,
    'bodies smaller than messages');

# Without $app and $device the ids must come from somewhere.

for my $handler (qw/ cometa_attach cometa_send /) {
    for my $id (qw/ application device /) {
        my $other = $id eq 'device' ? 'application' : 'device';
        my $server = 'server { listen 127.0.0.1:8080; cometa_secret s;'
            . "cometa_$other x; location /x { $handler; } }";

        bad($t, http_block("$zone $server"), qr/"cometa_$id"/,
            "$handler without cometa_$id");
    }
}

# What is merged must fit, too: max= from above, the timeout from below.

good($t, conf(http => 'cometa_send_timeout 5s max=1m;',
    location => 'cometa_send_timeout 30s;'), 'inner timeout');

good($t, cometa_conf(), 'the usual one');

$t->write_file_expand('nginx.conf', cometa_conf());
ok($t->run(), 'and it runs');

###############################################################################

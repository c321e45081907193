#!/usr/bin/perl

# What a configuration must not say, directive by directive: empty, zero,
# negative, huge, of a wrong unit, with an unknown parameter, twice, or against
# another directive.  Each message names the directive, the value, and the mend.

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

my $huge = '99999999999999999999';

my $id = 'a variable, or 1 to 64 characters out of A-Z a-z 0-9 . _ ~ : @ + -'
    . ' that are not "off"';
my $secret = 'a secret that a header can present, a variable, or "off"';
my $time = 'a time of more than zero and at most 1d';

# What is expected of a value, and values that are not that.

my @values = (
    [ 'cometa_application', $id, '""', 'off', '"a b"', 'a/b', '*', 'a' x 65 ],
    [ 'cometa_device', $id, 'off', '"a b"', 'a/b', '**', 'a' x 65 ],
    [ 'cometa_app_name', 'a name, or "off" for the id', '""' ],
    [ 'cometa_secret', $secret, '""', 'on', 'none', '" a"', '"a "',
        "\"a\tb\"" ],
    [ 'cometa_device_secret', $secret, '""', 'on', 'none', '" a"', '"a "' ],
    [ 'cometa_heartbeat', $time, '""', 0, '0s', '-1s', 'often', '25h', $huge,
        '5k' ],
    [ 'cometa_heartbeat', 'whole seconds, as devices are told', '500ms',
        '1500ms', '1ms' ],
    [ 'cometa_send_timeout', $time, '""', 0, '-1s', 'long', '2d', $huge,
        '5k' ],
    [ 'cometa_send_wait', 'a time from 0 to 1d, for example 5s', '""', '-1',
        'abc', '25h', $huge, '5k' ],
    [ 'cometa_queue', 'a number from 1 to 65535', '""', 0, -1, 65536, 'many',
        '1k', $huge ],
    [ 'cometa_request_timeout', 'a time from 1ms to 1d, for example 10s', '""',
        0, '-1s', 'abc', '2d', $huge ],
    [ 'cometa_pipeline', 'a number from 1 (off) to 128', '""', 0, -1, 129,
        'on', $huge ],
    [ 'cometa_max_message_size', 'a size from 1 to 16m, for example 64k', '""',
        0, -5, 'abc', '17m', '5s', $huge ],
    [ 'cometa_websocket_key', 'a variable, such as $arg_key, or "off"', '""',
        'key', 'on' ],
    [ 'cometa_websocket_protocol', 'the name of a subprotocol without spaces'
        . ' and separators, such as chat.v1, or "off"', '""', '"a b"', 'a,b',
        '$a', 'a/b' ],
    [ 'cometa_websocket_key_timeout', 'a time from 1ms to 1d, for example 60s',
        '""', 0, '-1s', 'abc', '2d', $huge ],
    [ 'cometa_websocket_timeout', 'a time from 2ms to 1d, for example 60s',
        '""', 0, '1ms', '-1s', 'abc', '2d', $huge ],
    [ 'cometa_stats_window', 'a time from 100ms to 1d, for example 15s', '""',
        0, '99ms', '-1s', 'abc', '2d', $huge ],
);

# A second value, and the whole message.

my @seconds = (
    [ 'cometa_heartbeat 60s after=90s',
        'invalid parameter "after=90s" in "cometa_heartbeat" directive,'
            . ' expected timeout=time, min=time, max=time, each at most'
            . ' once' ],
    [ 'cometa_heartbeat 60s 90s',
        'invalid parameter "90s" in "cometa_heartbeat" directive,'
            . ' expected timeout=time, min=time, max=time, each at most'
            . ' once' ],
    [ 'cometa_heartbeat 60s timeout=',
        'invalid value "timeout=" in "cometa_heartbeat" directive,'
            . ' expected a time of at most 1d' ],
    [ 'cometa_heartbeat 60s timeout=2d',
        'invalid value "timeout=2d" in "cometa_heartbeat" directive,'
            . ' expected a time of at most 1d' ],
    [ 'cometa_heartbeat 60s timeout=0',
        '"timeout=0" in "cometa_heartbeat" directive is less than "60s",'
            . ' raise it' ],
    [ 'cometa_heartbeat 60s timeout=59s',
        '"timeout=59s" in "cometa_heartbeat" directive is less than "60s",'
            . ' raise it' ],
    [ 'cometa_heartbeat 60s min=1s min=2s',
        'invalid parameter "min=2s" in "cometa_heartbeat" directive,'
            . ' expected timeout=time, min=time, max=time, each at most'
            . ' once' ],
    [ 'cometa_heartbeat 60s min=0',
        'invalid value "min=0" in "cometa_heartbeat" directive,'
            . ' expected a time of more than zero and at most 1d' ],
    [ 'cometa_heartbeat 60s max=1500ms',
        'invalid value "max=1500ms" in "cometa_heartbeat" directive,'
            . ' expected whole seconds, as devices are told' ],
    [ 'cometa_heartbeat 60s max=1m min=61s',
        '"cometa_heartbeat" directive has a "min=" above its "max=",'
            . ' lower it' ],
    [ 'cometa_send_timeout 5s min=1s',
        'invalid parameter "min=1s" in "cometa_send_timeout" directive,'
            . ' expected max=time' ],
    [ 'cometa_send_timeout 5s max=soon',
        'invalid value "max=soon" in "cometa_send_timeout" directive,'
            . ' expected a time of at most 1d' ],
    [ 'cometa_send_timeout 5s max=4s',
        '"max=4s" in "cometa_send_timeout" directive is less than "5s",'
            . ' raise it' ],
    [ 'cometa_takeover maybe', 'invalid value "maybe" in "cometa_takeover"'
        . ' directive, it must be "on" or "off"' ],
    [ 'cometa_websocket_move 1', 'invalid value "1" in "cometa_websocket_move"'
        . ' directive, it must be "on" or "off"' ],
);

# Good values of all that take one: none of them may be given twice, and "off"
# is a value.

my %good = (
    cometa_application => [ 'a', '$arg_a' ],
    cometa_device => [ 'a', '*', '""', '$arg_a' ],
    cometa_app_name => [ 'off', 'a' ],
    cometa_secret => [ 'off', 'a', '"a b"' ],
    cometa_device_secret => [ 'off', 'a' ],
    cometa_heartbeat => [ '1s', '1000ms', '1d', '1s timeout=1001ms',
        '60s max=1d min=1s timeout=2m' ],
    cometa_send_timeout => [ '1ms', '1d', '1s max=1d' ],
    cometa_send_wait => [ 0, '1d' ],
    cometa_queue => [ 1, 65535 ],
    cometa_pipeline => [ 1, 128 ],
    cometa_max_message_size => [ 1, '16m' ],
    cometa_takeover => [ 'on', 'off' ],
    cometa_websocket_key => [ 'off', '$arg_a' ],
    cometa_websocket_key_timeout => [ '1ms', '1d' ],
    cometa_websocket_timeout => [ '2ms', '1d' ],
    cometa_websocket_move => [ 'on', 'off' ],
    cometa_websocket_protocol => [ 'chat.v1', 'off' ],
    cometa_stats_window => [ '100ms', '1d' ],
);

# Against another directive: text of a location, and the message.

my $other = 'location "/x" has a cometa handler and another one, such as'
    . ' "proxy_pass": only one of them can answer';
my $return = 'location "/x" has a "return", so its cometa handler is never'
    . ' reached: remove it, or put it in an "if"';

sub already {
    my ($directive) = @_;
    return "\"$directive\" and the handler that location \"/x\" has already,"
        . ' such as "proxy_pass", exclude each other';
}

sub no_device {
    my ($device) = @_;
    return "\"cometa_device\" of location \"/x\" is \"$device\", which names no"
        . ' device: only "cometa_stats" and "cometa_detach" can'
        . ' use that';
}

my $pass = 'proxy_pass http://127.0.0.1:8081;';

my @contradictions = (
    [ "cometa_attach; $pass", $other ],
    [ "cometa_send; $pass", $other ],
    [ "cometa_stats; $pass", $other ],
    [ "cometa_websocket; $pass", $other ],
    [ "cometa_channel; $pass", $other ],
    [ 'cometa_channel; cometa_websocket;', '"cometa_websocket" and'
        . ' "cometa_channel" both open WebSockets: location "/x" can have one'
        . ' of them' ],
    [ 'cometa_channel; cometa_channel;', '"cometa_channel" directive is'
        . ' duplicate' ],
    [ "$pass cometa_attach;", already('cometa_attach') ],
    [ "$pass cometa_stats;", already('cometa_stats') ],
    [ 'empty_gif; cometa_send;', already('cometa_send') ],
    [ 'cometa_send; empty_gif;', $other ],

    [ 'cometa_attach; return 404;', $return ],
    [ 'return 404; cometa_attach;', $return ],
    [ 'cometa_send; return 200 "text $uri";', $return ],
    [ 'cometa_stats; set $a b; return 404;', $return ],
    [ 'cometa_stats; if ($uri) { return 403; } return 404;', $return ],
    [ 'cometa_stats; if ($uri = a) { set $a "b$uri"; } return 404;', $return ],
    [ 'cometa_stats; if ($uri ~ a) { break; } return 404;', $return ],
    [ 'cometa_stats; if (-f /tmp/a) { return 403; } return 404;', $return ],

    [ 'cometa_attach; cometa_device *;', no_device('*') ],
    [ 'cometa_attach; cometa_device "";', no_device('') ],
    [ 'cometa_attach; cometa_stats; cometa_device *;', no_device('*') ],
    [ 'cometa_send; cometa_device "";', no_device('') ],
    [ 'cometa_websocket; cometa_device *;', no_device('*') ],

    [ 'cometa_stats xml;', 'invalid parameter "xml" in "cometa_stats"'
        . ' directive, expected json or prometheus' ],
);

# What looks like them and is good.

my @allowed = (
    'cometa_attach; if ($arg_a) { return 403; }',
    'cometa_attach; if ($arg_a = x) { return 403; } set $a b;',
    'cometa_attach; set $a b; if ($arg_a ~ "^x") { return 403 "no"; }',
    'if ($arg_a != x) { return 403; } cometa_send;',
    'cometa_stats; break; set $a b;',
    "cometa_stats; if (\$arg_a) { $pass }",
    "cometa_stats; limit_except GET { $pass }",
    'cometa_stats; cometa_device *;',
    'cometa_stats; cometa_device "";',
    'cometa_attach; rewrite ^/y /x break;',
    'cometa_websocket; cometa_websocket_key off;',
    'cometa_channel; cometa_device *;',
    'cometa_channel; cometa_stats;',
);

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy empty_gif/);

my $plan = @seconds + @contradictions + @allowed + 3;
$plan += @$_ - 2 for @values;
$plan += 2 * @$_ for values %good;

$t->plan($plan);

# nothing runs beside the checks, but the log is looked at in the end
$t->write_file('error.log', '');

###############################################################################

sub conf {
    my (%o) = (http => '', location => '', @_);

    return <<"EOF";
%%TEST_GLOBALS%%
daemon off;
events {
}
http {
    %%TEST_GLOBALS_HTTP%%
    cometa_zone zone=cometa:8m;
    map \$arg_a \$app { default app1; }
    map \$arg_d \$device { default dev1; }
    client_max_body_size 32m;
    $o{http}
    server {
        listen 127.0.0.1:8080;
        location /x {
            $o{location}
        }
    }
}
EOF
}

# The whole of a message, without what nginx puts around it.

sub message_of {
    my ($t, $conf) = @_;

    my ($ok, $said) = config_test($t, $conf);
    return 'accepted' if $ok;

    my ($message) = $said =~ /\[emerg\] (?:\d+#\d+: )?(.*)/;
    $message =~ s/ in \S+check\.conf:\d+$//;

    return $message;
}

sub unquoted {
    my ($value) = @_;
    return $value =~ s/^"(.*)"$/$1/sr;
}

###############################################################################

for my $case (@values) {
    my ($directive, $expected, @bad) = @$case;

    for my $value (@bad) {
        is(message_of($t, conf(http => "$directive $value;")),
            'invalid value "' . unquoted($value) . "\" in \"$directive\""
            . " directive, expected $expected", "$directive $value");
    }
}

for my $case (@seconds) {
    my ($line, $message) = @$case;
    is(message_of($t, conf(http => "$line;")), $message, $line);
}

for my $directive (sort keys %good) {
    for my $value (@{$good{$directive}}) {
        is(message_of($t, conf(http => "$directive $value;")), 'accepted',
            "$directive $value");
        is(message_of($t, conf(http => "$directive $value;" x 2)),
            "\"$directive\" directive is duplicate",
            "$directive $value, twice");
    }
}

for my $case (@contradictions) {
    my ($text, $message) = @$case;
    is(message_of($t, conf(http => 'cometa_secret off;', location => $text)),
        $message, $text);
}

for my $text (@allowed) {
    is(message_of($t, conf(http => 'cometa_secret off;', location => $text)),
        'accepted', $text);
}

# "off" undoes what a level above has set.

$t->write_file_expand('nginx.conf', cometa_conf(
    http => 'cometa_device_secret secret; cometa_app_name Everything;',
    server => 'location ~ ^/open/(?<app>[^/]+)/(?<device>[^/]+)$ {'
        . ' cometa_attach; cometa_device_secret off; }'
        . 'location ~ ^/named/(?<app>[^/]+)$ {'
        . ' cometa_stats; cometa_app_name off; }'
))->run();

is(device()->{status}, 403, 'a secret is required');
is(device(uri => '/open/app1/dev1')->{status}, 200, 'and below it is not');
is(stats('app1', uri => '/named/app1')->{json}{app_name}, 'app1',
    'the name below is the id');

###############################################################################

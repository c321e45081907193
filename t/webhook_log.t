#!/usr/bin/perl

# An upstream of events that is dead: the log says so, whose events are lost and
# how many, and is not flooded.

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

use constant { DEVICES => 20, EVENTS => 150, TRIES => 6, PLACES => 64 };

my $t = Test::Nginx->new()->has(qw/http proxy/)->plan(13);

# Nobody listens at either.

$t->write_file_expand('nginx.conf', cometa_conf(server => <<'EOF'))->run();
        error_log %%TESTDIR%%/error.log error;

        location = /port {
            internal;
            proxy_pass http://127.0.0.1:8084;
        }

        location = /path {
            internal;
            proxy_pass http://unix:%%TESTDIR%%/nosuch:/;
        }

        location = /forbidden {
            internal;
            deny all;
        }

        location ~ ^/to_port/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /port retry=1ms max_retry=1ms;
        }

        location ~ ^/to_path/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /path retry=1ms max_retry=1ms;
        }

        location ~ ^/to_forbidden/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /forbidden;
        }
EOF

###############################################################################

sub failed {
    return figures('app1')->{webhook_failed};
}

# What the log says are lost of a webhook.

sub logged {
    my ($t, $name) = @_;

    my $n = 0;
    my $log = $t->read_file('error.log');

    $n += $1 while $log =~ m!cometa_webhook: (\d+) events for "/$name" failed!g;

    return $n;
}

# As many events as that to a place; returns the seconds until all have failed.

sub lose {
    my ($place) = @_;

    my $before = failed();
    my $start = time();
    my @d = map { device(uri => "/to_$place/app1/$place$_") } 1 .. DEVICES;

    $_->raw("2\r\n\x07x\r\n" x EVENTS) for @d;

    ok(wait_for(sub { failed() == $before + DEVICES * EVENTS }, 60),
        "$place: all fail") or diag(failed() - $before);
    $_->close() for @d;

    return time() - $start;
}

###############################################################################

my %lines = (
    port => qr/\[error\].* connect\(\) failed/,
    path => qr/\[crit\].* connect\(\) to unix:\S+ failed/,
    forbidden => qr/\[error\].* access forbidden by rule/
);

for my $place (qw/ port path forbidden /) {
    my $took = lose($place);
    my $n = log_count($t, $lines{$place});

    cmp_ok($n, '>=', 10, "$place: nginx says what is wrong");
    cmp_ok($n, '<=', PLACES + 10 * ($took + 2),
        "$place: but not for each event");

    cmp_ok(log_count($t, qr!cometa_webhook: \d+ events for "/$place" failed, !
        . qr!the last one: status \d+, application: "app1", device: !
        . qr!"$place\d+", session: \d+!), '>=', 1, "$place: whose they are");
}

# What was not logged yet is when the process ends

{
    sleep(1.5);
    my $before = failed();
    my $d = device(uri => '/to_forbidden/app1/last');

    # the first one is logged at once, the second one a second later

    for my $n (1 .. 2) {
        $d->event('x');
        wait_for(sub { failed() == $before + $n });
    }

    $d->close();
}

$t->stop();
is(join(' ', map { logged($t, $_) } qw/ port path forbidden /),
    join(' ', (DEVICES * EVENTS) x 2, DEVICES * EVENTS + 2), 'all losses are in the log');

###############################################################################

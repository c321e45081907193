#!/usr/bin/perl

# Where events can go: connections that are kept, TLS, groups of servers, and
# locations that answer themselves.

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

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map proxy
    upstream_keepalive upstream_hash/)->has_daemon('openssl')->plan(53);

certificate($t, 'localhost');
certificate($t, 'other');

my $http = <<'EOF';
    log_format got '$http_cometa_device $connection $server_port $status '
        '$http_cometa_event $http_cometa_session $ssl_server_name.';

    upstream kept {
        server 127.0.0.1:8081;
        keepalive 4;
    }

    upstream kept_tls {
        server 127.0.0.1:8082;
        keepalive 4;
    }

    upstream group {
        server 127.0.0.1:8085 max_fails=0;
        server 127.0.0.1:8086 max_fails=0;
    }

    # nobody listens on the first

    upstream half {
        server 127.0.0.1:8087 max_fails=0;
        server 127.0.0.1:8086 max_fails=0;
    }

    upstream hashed {
        hash $http_cometa_device;
        server 127.0.0.1:8081;
        server 127.0.0.1:8086;
    }

    server {
        access_log %%TESTDIR%%/got.log got;
        listen 127.0.0.1:8081;
        listen 127.0.0.1:8082 ssl;
        listen 127.0.0.1:8086;
        server_name localhost;
        ssl_certificate %%TESTDIR%%/localhost.crt;
        ssl_certificate_key %%TESTDIR%%/localhost.key;
        return 204;
    }

    server {
        access_log %%TESTDIR%%/got.log got;
        listen 127.0.0.1:8085;
        return 503;
    }

    server {
        listen 127.0.0.1:8084;
        access_log off;

        # a static file for a POST
        error_page 405 =200 $uri;
    }

    server {
        listen 127.0.0.1:8088;
        access_log off;
        return 200 "thank you";
    }
EOF

my $locations = <<'EOF';
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /kept {
            internal;
            proxy_pass http://kept;
        }

        location = /new {
            internal;
            proxy_set_header Connection close;
            proxy_pass http://127.0.0.1:8081;
        }

        location = /tls {
            internal;
            proxy_pass https://kept_tls;
            proxy_ssl_server_name on;
            proxy_ssl_name localhost;
            proxy_ssl_verify on;
            proxy_ssl_session_reuse off;
            proxy_ssl_trusted_certificate %%TESTDIR%%/localhost.crt;
        }

        location = /distrusted {
            internal;
            proxy_pass https://127.0.0.1:8082;
            proxy_ssl_name localhost;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate %%TESTDIR%%/other.crt;
        }

        location = /next {
            internal;
            proxy_pass http://group;
            proxy_next_upstream error timeout http_503 non_idempotent;
        }

        location = /stay {
            internal;
            proxy_pass http://group;
            proxy_next_upstream error timeout http_503;
        }

        location = /half {
            internal;
            proxy_pass http://half;
        }

        location = /hashed {
            internal;
            proxy_pass http://hashed;
        }

        location = /large {
            internal;
            proxy_pass http://127.0.0.1:8084;
        }

        location = /unbuffered {
            internal;
            proxy_buffering off;
            proxy_pass http://127.0.0.1:8088;
        }

        location = /none {
            internal;
            return 204;
        }

        location = /text {
            internal;
            return 200 "thank you for $http_cometa_event\n";
        }

        location = /limited {
            internal;
            limit_rate 1k;
            return 200 "thank you";
        }
EOF

my @places = qw/ kept new tls distrusted next stay half hashed large none
    text limited unbuffered /;

$locations .= <<"EOF" for @places;

        location ~ ^/$_/(?<app>[^/]+)/(?<device>[^/]+)\$ {
            cometa_attach;
            cometa_webhook /$_ events=attach,data,detach;
        }
EOF

$t->write_file_expand('nginx.conf', cometa_conf(
    http => $http, server => $locations,
));

$t->write_file('large', 'x' x 3_000_000);
$t->run();

###############################################################################

# What the upstreams got of a device, as lists of the log's words.

sub got {
    my ($device) = @_;
    return map { [ split / / ] }
        $t->read_file('got.log') =~ /^$device .*$/gm;
}

sub settled {
    return wait_for(sub { figures('app1')->{webhook_queued} == 0 }, 8);
}

sub distinct {
    my ($i, @lines) = @_;
    my %seen = map { $_->[$i] => 1 } @lines;
    return join ' ', sort keys %seen;
}

my $grown = webhook_growth('app1');

# A device that says n things there, and goes.

sub life {
    my ($place, $n, $device) = @_;

    my $d = device(uri => "/$place/app1/" . ($device || $place));
    $d->event($_) for 1 .. $n;
    $d->detach();
    ok(defined $d->closed(), "$place: a device lives");
    ok(settled(), "$place: its events go");
}

use constant { CONNECTION => 1, PORT => 2, STATUS => 3, NAME => 6 };

###############################################################################

# Kept connections

life('kept', 100);
my @got = got('kept');
is(scalar(@got), 102, 'kept: all events');
is(scalar(split / /, distinct(CONNECTION, @got)), 1, 'kept: one connection');
is($grown->(), '102 0 0 0', 'kept: figures');

life('new', 10);
is(scalar(split / /, distinct(CONNECTION, got('new'))), 12,
    'new: as many connections as events');
is($grown->(), '12 0 0 0', 'new: figures');

# TLS

life('tls', 100);
@got = got('tls');
is(scalar(@got), 102, 'tls: all events');
is(scalar(split / /, distinct(CONNECTION, @got)), 1, 'tls: one connection');
is(distinct(PORT, @got), port(8082), 'tls: port');
is(distinct(NAME, @got), 'localhost.', 'tls: name');
is($grown->(), '102 0 0 0', 'tls: figures');

{
    my $d = device(uri => '/distrusted/app1/distrusted');
    ok(figure_is('app1', 'webhook_failed', 1), 'distrusted: fails');
    is(scalar(got('distrusted')), 0, 'distrusted: nothing is told');
    is($grown->(), '0 1 5 0', 'distrusted: figures');
    $d->close();
    ok(wait_for(sub { figures('app1')->{webhook_failed} == 2 }, 8),
        'distrusted: its end, too');
    $grown->();
}

# Groups

life('next', 20);
@got = got('next');
is(scalar(grep { $_->[STATUS] == 204 } @got), 22, 'next: each arrives once');
cmp_ok(scalar(grep { $_->[STATUS] == 503 } @got), '>=', 10,
    'next: the other server is asked, too');
is($grown->(), '22 0 0 0', 'next: that is no retry of ours');

# A request that is not idempotent is not passed on by nginx, but tried again

life('stay', 5);
@got = got('stay');
is(scalar(grep { $_->[STATUS] == 204 } @got), 7, 'stay: each arrives once');
my $retries = grep { $_->[STATUS] == 503 } @got;
cmp_ok($retries, '>=', 3, 'stay: the other server is asked, too');
is($grown->(), "7 0 $retries 0", 'stay: those are our retries');

# Whether it was sent nginx knows: what was not, it may pass on

life('half', 20);
@got = got('half');
is(distinct(STATUS, @got) . ' x ' . @got, '204 x 22',
    'half: each arrives once');
is($grown->(), '22 0 0 0', 'half: figures');

# By device

{
    my @devices = map { "hashed$_" } 1 .. 16;
    my @alive = map { device(uri => "/hashed/app1/$_") } @devices;

    for my $d (@alive) {
        $d->event($_) for 1 .. 5;
    }

    $_->close() for @alive;
    ok(wait_for(sub {
        (my @all = map { got($_) } @devices) == 16 * 7
    }), 'hashed: all arrive');
    is(scalar(grep { distinct(PORT, got($_)) !~ / / } @devices), 16,
        'hashed: a device has its server');
    is(scalar(split / /, distinct(PORT, map { got($_) } @devices)), 2,
        'hashed: both are used');
    settled();
    is($grown->(), 16 * 7 . ' 0 0 0', 'hashed: figures');
}

# Answers that nobody reads

for my $place (qw/ large none text limited unbuffered /) {
    life($place, 5);
    is($grown->(), '7 0 0 0', "$place: figures");
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

#!/usr/bin/perl

# What the configuration says of clients does not touch the events of devices:
# behind those there is no client that is slow, sends too much, or is waited
# for.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant EVENTS => 5;

# Text for the location of the webhook.

my %directives = (
    none => '',
    lingering => 'lingering_close always; lingering_time 60s;'
        . 'lingering_timeout 60s;',
    keepalive => 'keepalive_timeout 1h; keepalive_requests 1;',
    no_keepalive => 'keepalive_timeout 0;',
    rate => 'limit_rate 10; limit_rate_after 0;',
    rate_variable => 'set $limit_rate 10;',
    rate_upstream => 'proxy_set_header Rate 10;',
    timeouts => 'send_timeout 1ms; client_body_timeout 1ms;'
        . 'reset_timedout_connection on;',
    postponed => 'postpone_output 100000;',
    body_size => 'client_max_body_size 1;',
    body_rewritten => 'client_max_body_size 1;'
        . 'rewrite ^/body_rewritten$ /body_size last;',
    body_redirected => 'client_max_body_size 1; try_files /nosuch /body_size;',
    body_file => 'client_body_in_file_only on; client_body_buffer_size 1;',
    body_single => 'client_body_in_single_buffer on;',
    body_unbuffered => 'proxy_request_buffering off; proxy_http_version 1.1;',
    sendfile => 'sendfile on; tcp_nopush on; tcp_nodelay on;',
    aio => 'aio threads; aio_write on; output_buffers 1 1;',
    unchunked => 'chunked_transfer_encoding off; gzip on; etag off;',
    abort => 'proxy_ignore_client_abort off;',
    abort_ignored => 'proxy_ignore_client_abort on;',
    post_action => 'post_action /after;',
    mirrored => 'mirror /mirror;',
    authorized => 'auth_request /auth;',
    satisfied => 'satisfy any; allow all; auth_request /auth;',
    request_rate => 'limit_req zone=rate burst=100;',
    connections => 'limit_conn connections 1;',
    redirects => 'absolute_redirect off; server_name_in_redirect on;',
    error_pages => 'error_page 401 403 404 413 500 502 503 504 /error.html;'
        . 'recursive_error_pages on; proxy_intercept_errors on;',
    not_modified => 'if_modified_since exact; expires 1h; max_ranges 0;',
    trickled => 'proxy_buffering off;'
);

my @names = sort keys %directives;

my $t = Test::Nginx->new()
    ->has(qw/http rewrite map proxy mirror auth_request limit_req limit_conn
        gzip/)
    ->plan(2 * @names + 3);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

my $locations = join '', map { <<"EOF" } @names;

        location = /$_ {
            internal;
            access_log off;
            proxy_pass http://127.0.0.1:8081/$_;
            $directives{$_}
        }

        location ~ ^/to_$_/$ids {
            cometa_attach;
            cometa_webhook /$_;
        }
EOF

my $http = <<'EOF';
    lingering_close always;
    lingering_timeout 60s;
    lingering_time 60s;
    client_header_timeout 1s;
    limit_rate_after 1;

    limit_req_zone $binary_remote_addr zone=rate:1m rate=20r/s;
    limit_conn_zone $binary_remote_addr zone=connections:1m;

    log_format got '$http_cometa_device $request_length $request_body';

    server {
        listen 127.0.0.1:8081;
        lingering_close on;
        access_log %%TESTDIR%%/got.log got;
        proxy_set_header Rate $http_rate;

        location / {
            proxy_pass http://127.0.0.1:8083;
            proxy_pass_header X-Accel-Limit-Rate;
            proxy_ignore_headers X-Accel-Limit-Rate;
        }
    }

    server {
        listen 127.0.0.1:8083;
        lingering_close on;
        access_log off;
        add_header X-Accel-Limit-Rate $http_rate;

        location = /fail {
            return 500;
        }

        location / {
            root %%TESTDIR%%;
            try_files /answer =500;
            error_page 405 =200 /answer;
        }
    }
EOF

$locations .= <<'EOF';

        location = /after {
            internal;
            proxy_pass http://127.0.0.1:8083/fail;
        }

        location = /mirror {
            internal;
            return 500;
        }

        location = /auth {
            internal;
            return 204;
        }
EOF

$t->write_file('answer', 'thank you ' x 20_000);
$t->write_file_expand('nginx.conf',
    cometa_conf(http => $http, server => $locations))->run();

###############################################################################

sub figures_of {
    my $f = figures('app1');
    return map { $f->{"webhook_$_"} } qw/ sent failed retries queued /;
}

sub got {
    my ($t, $device) = @_;

    return '' unless -e $t->testdir() . '/got.log';
    return join ' ', $t->read_file('got.log') =~ /^$device \d+ (.*)$/gm;
}

for my $name (@names) {
    my @before = figures_of();
    my $d = device(uri => "/to_$name/app1/$name", device => $name);
    my $watch = stopwatch();

    $d->event("event$_") for 1 .. EVENTS;

    my @after;
    wait_for(sub {
        @after = figures_of();
        return $after[0] - $before[0] + $after[1] - $before[1] == EVENTS;
    }, 8);

    my $took = $watch->took();

    is(join(' ', map { $after[$_] - $before[$_] } 0 .. 2), EVENTS . ' 0 0',
        "$name: all are sent at once");
    cmp_ok($took, '<', 3, "$name: soon");
    $d->close();
}

ok(wait_for(sub { (figures_of())[3] == 0 }), 'nothing is left');
is(got($t, 'body_size'), join(' ', map { "event$_" } 1 .. EVENTS),
    'bodies are whole');
is(got($t, 'body_unbuffered'), join(' ', map { "event$_" } 1 .. EVENTS),
    'bodies are whole without a buffer');

###############################################################################

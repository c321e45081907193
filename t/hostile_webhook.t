#!/usr/bin/perl

# An upstream of the webhook that is hostile: it answers garbage, never, a byte
# now and then, or without end. Its events are tried again, then counted; in
# bounded memory, while devices are called, and other webhooks go on.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Select;
use IO::Socket::INET;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

$SIG{PIPE} = 'IGNORE';

use constant { EVENTS => 6, GROWTH => 8192 };          # KB

my $crlf = "\x0d\x0a";
my $ok = "HTTP/1.1 200 OK$crlf";

# How it answers: what it says at once, and again and again (every 0.1 s; with
# "fast" as fast as it is read). Whether the event counts as sent.

my %ways = (
    garbage => { once => join '', map { chr(128 + $_ * 7 % 128) } 1 .. 5000 },
    nul => { once => "\0" x 100 },
    never => {},
    slow => { once => 'HTTP/1.1 2', again => '0' },
    closes => { once => '', close => 1 },
    half => { once => "${ok}Content-Le", close => 1 },
    interim => { once => '', again => "HTTP/1.1 100 Continue$crlf$crlf" x 100,
        fast => 1, sent => 'maybe' },
    headers => { once => $ok, again => "X: y$crlf" x 1000, fast => 1 },
    line => { once => $ok . 'X: ', again => 'x' x 65536, fast => 1 },
    status => { once => "HTTP/1.1 99999999999999 OK$crlf$crlf" },
    lengths => { once => "${ok}Content-Length: 1${crlf}Content-Length: 2"
        . "$crlf$crlf", sent => 'maybe' },
    chunk => { once => "${ok}Transfer-Encoding: chunked$crlf${crlf}"
        . "fffffffffffffffff$crlf", sent => 1 },
    endless => { once => "$ok$crlf", again => 'x' x 65536, fast => 1,
        sent => 1 },
    large => { once => "${ok}Content-Length: 9000000000000000000$crlf$crlf",
        again => 'x' x 65536, fast => 1, sent => 1 },
);

memory_counts();

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)
    ->plan(2 * keys(%ways) + 5);

my $hostile = port(8081);

$t->write_file_expand('nginx.conf', worker_conf(
    http => 'error_log %%TESTDIR%%/crit.log crit;',
    server => <<'EOF' . join '', map { <<"EOW" } keys %ways))->run();
        location ~ ^/hook/(?<way>\w+)$ {
            internal;
            proxy_pass http://127.0.0.1:8081/$way;
            proxy_read_timeout 500ms;
            proxy_connect_timeout 500ms;
        }

        location = /kind {
            internal;
            return 204;
        }

        location ~ ^/kind/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /kind events=data;
        }
EOF
        location ~ ^/$_/(?<app>[^/]+)/(?<device>[^/]+)\$ {
            cometa_attach;
            cometa_webhook /hook/$_ events=data tries=2 retry=100ms;
        }
EOW

$t->run_daemon(\&upstream, $hostile);
$t->waitforsocket("127.0.0.1:$hostile") or die "no upstream\n";

my ($worker) = wait_serving($t, 1);
my $good = device(device => 'good', uri => '/kind/app2/good', app => 'app2');
my $caller = caller_stream();

# The upstream: one process for all connections.

sub upstream {
    my ($port) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
        Listen => 512, ReuseAddr => 1) or die "Can't listen: $!\n";
    my $select = IO::Select->new($listen);
    my %way;

    for ( ;; ) {
        for my $s ($select->can_read(0.1)) {
            if ($s == $listen) {
                my $c = $listen->accept() or next;
                $c->blocking(0);
                $select->add($c);
                next;
            }

            my $n = sysread $s, my $in, 65536;

            if (!$n) {
                delete $way{$s};
                $select->remove($s);
                $s->close();
                next;
            }

            next if $way{$s} || $in !~ m!\A\w+ /(\w+)!;

            my $way = $way{$s} = $ways{$1};
            syswrite $s, $way->{once} if $way->{once};

            if ($way->{close}) {
                delete $way{$s};
                $select->remove($s);
                $s->close();
            }
        }

        for my $s (grep { $way{$_} && $way{$_}{again} } $select->handles()) {
            for (1 .. ($way{$s}{fast} ? 64 : 1)) {
                syswrite $s, $way{$s}{again} or last;
            }
        }
    }
}

sub told {
    my $f = figures('app1');
    return $f->{webhook_sent} + $f->{webhook_failed};
}

###############################################################################

my $before = rss($worker);
my %devices = map {
    $_ => device(device => $_, uri => "/$_/app1/$_")
} sort keys %ways;

for my $n (1 .. EVENTS) {
    $_->event("event $n") for values %devices;
}

# while all of that is under way

$good->event('kind') for 1 .. EVENTS;
ok(figure_is('app2', 'webhook_sent', EVENTS), 'the events of another webhook');

is(reached($good, stream => $caller), 'yes', 'and calls of its device');
is(reached($devices{$_}, stream => $caller), 'yes', "$_: its device is called")
    for sort keys %devices;

# each of them ends, one way or the other: none is lost in silence

ok(wait_for(sub { told() == EVENTS * keys %ways }, 15), 'all events have ended')
    or diag(told());
cmp_ok(rss($worker) - $before, '<',
    GROWTH * ($t->has_module('fsanitize') ? 4 : 1), 'in bounded memory');

# what some versions of nginx take and others refuse is one or the other

my $sent = figures('app1')->{webhook_sent} / EVENTS;
my $least = grep { ($_->{sent} || '') eq '1' } values %ways;
my $most = grep { $_->{sent} } values %ways;

ok($least <= $sent && $sent <= $most, 'sent are those whose status came')
    or diag("$least, $sent, $most");

for my $way (sort keys %devices) {
    ok(!$devices{$way}->gone(), "$way: its device has stayed");
}

###############################################################################

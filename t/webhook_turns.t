#!/usr/bin/perl

# Very many events that a location answers at once: all else of the worker goes
# on meanwhile.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { EVENTS => 160_000, LANES => 16, PACKET => 500 };

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(7);

# The first try of each device fails, and is repeated when all events are there.

$t->write_file_expand('nginx.conf', cometa_conf(http => <<'EOC',
    error_log %%TESTDIR%%/error.log error;
    access_log off;
    keepalive_requests 1000000;
EOC
    zone => '32m', server => <<'EOC'))->run();
        location = /hook {
            internal;

            if (-f %%TESTDIR%%/open) {
                return 204;
            }

            return 500;
        }

        location ~ ^/to/(?<app>[^/]+)/(?<device>[^/]+)$ {
            cometa_attach;
            cometa_webhook /hook queue=200000 retry=2s max_retry=2s tries=255;
        }
EOC

###############################################################################

sub queued {
    return figures('app1')->{webhook_queued};
}

# The times of calls while that holds, sorted, in seconds.

sub calls {
    my ($stream, $while) = @_;

    my @times;

    while ($while->(scalar @times)) {
        my $r = call('app1', 'called', 'x', stream => $stream);
        die outcome($r) if $r->{status} != 200;
        push @times, $r->{took};
    }

    return sort { $a <=> $b } @times;
}

sub at_share {
    my ($share, @times) = @_;
    return $times[int($share * $#times)];
}

###############################################################################

keep_attached($t, 'called') or die "no device\n";

my $stream = caller_stream();
my @d = map { device(uri => "/to/app1/d$_", device => "d$_") } 1 .. LANES;

# in small pieces, for reading them takes its time

for (1 .. EVENTS / LANES / PACKET) {
    $_->raw("1\r\n\x07\r\n" x PACKET) for @d;
}

ok(wait_for(sub { queued() == EVENTS }, 60), 'all are queued')
    or diag(queued());

my @quiet = calls($stream, sub { $_[0] < 300 });

$t->write_file('open', '');
my $before = figures('app1')->{webhook_sent};

ok(wait_for(sub { figures('app1')->{webhook_sent} > $before }, 10),
    'they begin to go');

my $start = time();
my @busy = calls($stream, sub {
    return $_[0] % 20 || (queued() && time() - $start < 60);
});

ok(wait_for(sub { queued() == 0 }, 30), 'they go');
is(figures('app1')->{webhook_sent}, EVENTS, 'all of them');
cmp_ok(scalar(@busy), '>=', 100, 'calls go on meanwhile');

# A machine that is busy with other things delays the slowest few by itself.
# In one go the events take seconds, and no call is answered before their end.

cmp_ok(at_share(0.5, @busy), '<', 0.05, 'calls are not delayed')
    or diag(at_share(0.5, @busy));
cmp_ok(at_share(0.9, @busy), '<', 0.05 + $quiet[-1], 'nor are the slower ones')
    or diag(at_share(0.9, @busy));

note(sprintf "alone: median %.1f ms, slowest %.1f; beside the events: %.1f, "
    . "90 %% %.1f, slowest %.1f", map { 1000 * $_ } at_share(0.5, @quiet),
    $quiet[-1], at_share(0.5, @busy), at_share(0.9, @busy), $busy[-1]);

###############################################################################

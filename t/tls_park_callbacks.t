#!/usr/bin/perl

# Callbacks of OpenSSL: none is set unless connections are parked, those that
# were there before are kept, and without ours nothing is parked.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ reached /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

# "make test" builds the library that is preloaded.

my $library = $ENV{TEST_NGINX_CALLBACKS}
    or plan(skip_all => 'no TEST_NGINX_CALLBACKS');

# What another module does, and what becomes of a connection.

my @others = ([ '', 'parked' ], [ first => 'parked' ],
    [ keylog => 'callback' ], [ message => 'callback' ],
    [ late => 'pending' ], [ wire => 'callback' ]);

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl')->plan(4 * 2 + 2 * 4 * @others + 1);

certificate($t, 'localhost');

###############################################################################

sub start {
    my ($t, $http, $other) = @_;

    $t->write_file_expand('nginx.conf', cometa_conf(
        workers => 1, ssl => 1,
        http => "ssl_protocols TLSv1.2 TLSv1.3; $http"
    ));
    $t->write_file('callbacks', '');
    chmod 0666, $t->testdir() . '/callbacks';

    local $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} || (),
        'verify_asan_link_order=0';
    local $ENV{LD_PRELOAD} = $library;
    local $ENV{COMETA_CALLBACKS} = $t->testdir() . '/callbacks';
    local $ENV{COMETA_OTHER} = $other;

    $t->run();
}

sub callbacks {
    my ($t, $whose) = @_;
    my %set = map { $_ => 1 }
        $t->read_file('callbacks') =~ /^\Q$whose\E: (\w+)$/gm;
    return join ' ', sort keys %set;
}

# That a connection was parked, or the reasons why not

sub became {
    my $figures = figures('app1');

    return 'parked' if $figures->{tls_parked_total};
    return join ' ', map { /^tls_unparked_(\w+)/ && $figures->{$_} ? $1 : () }
        sort keys %$figures;
}

###############################################################################

# Not asked for: in no location, or in one that holds no connection

for my $conf ('', 'cometa_tls_park off;') {
    start($t, $conf, '');

    is(callbacks($t, 'set'), '', "\"$conf\": no callback is set");

    my $d = device(device => 'd', form => 'B', ssl => 1);
    is(reached($d), 'yes', "\"$conf\": a call");
    is(became(), '', "\"$conf\": nothing is counted");
    is(callbacks($t, 'set'), '', "\"$conf\": and none is set later");

    $d->{stream}->close();
    $t->stop();
}

for (@others) {
    my ($other, $fate) = @$_;

    for my $version (qw/ TLSv1_2 TLSv1_3 /) {
        my $name = "$version, " . ($other || 'no') . ' other';

        start($t, 'cometa_tls_park on;', $other);
        like(callbacks($t, 'set'), qr/keylog message/, "$name: callbacks are set");

        my $d = device(device => 'd', form => 'B', ssl => 1, tls => $version);

        is(reached($d), 'yes', "$name: a call");
        wait_for(sub { became() eq $fate });
        is(became(), $fate, "$name: $fate");
        is(callbacks($t, 'other'), $other eq 'first' ? 'keylog'
            : $other eq 'keylog' ? 'keylog'
            : $other eq 'late' ? 'late' : '', "$name: it has its own");

        $d->{stream}->close();
        $t->stop();
    }
}

is(join(' ', grep { /\[(?:crit|alert|emerg|warn)\]/ }
    split /\n/, $t->read_file('error.log')), '', 'nothing wrong is logged');

###############################################################################

#!/usr/bin/perl

# Which answers of an upstream have an event tried again, how often, and after
# which times.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { TRIES => 6, MANY => 30 };

my @again = (301, 408, 429, 500, 502, 503, 504, 599);
my @final = (400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 431, 451);
my @good = (200, 201, 202, 204, 299);

# Parameters, and what they make of a 503.

my %places = (
    once => 'tries=1',
    twice => 'tries=2 retry=1s',
    three => 'tries=3 retry=60ms',
    bounded => 'tries=9 retry=40ms max_retry=100ms',
    short => 'tries=3 max_retry=20ms'
);

my $t = Test::Nginx->new()->has(qw/http proxy/)
    ->plan(2 * @again + @final + @good + 12);

my $locations = <<'EOF';
        location /hook/ {
            internal;
            proxy_pass http://127.0.0.1:8081/;
        }
EOF

$locations .= <<"EOF" for @again, @final, @good;

        location ~ ^/$_/(?<app>[^/]+)/(?<device>[^/]+)\$ {
            cometa_attach;
            cometa_webhook /hook/$_ retry=20ms;
        }
EOF

$locations .= <<"EOF" for sort keys %places;

        location ~ ^/$_/(?<app>[^/]+)/(?<device>[^/]+)\$ {
            cometa_attach;
            cometa_webhook /hook/503 $places{$_};
        }
EOF

$t->write_file_expand('nginx.conf', cometa_conf(server => $locations));
$t->run_daemon(\&upstream, port(8081), $t->testdir() . '/tries');
$t->waitforsocket('127.0.0.1:' . port(8081)) or die "no upstream\n";
$t->run();

###############################################################################

# Answers each request with the status that its URI names.  The answer of nginx
# to "return 408" would be none.

sub upstream {
    my ($port, $file) = @_;

    my $server = IO::Socket::INET->new(
        Proto => 'tcp', LocalAddr => "127.0.0.1:$port", Listen => 128,
        ReuseAddr => 1
    ) or die "Can't listen: $!\n";

    local $SIG{PIPE} = 'IGNORE';

    while (my $client = $server->accept()) {
        $client->autoflush(1);
        my ($status, $device, $length) = (0, '', 0);

        while (defined(my $line = <$client>)) {
            $status = $1 if $line =~ m!^POST /(\d+)!;
            $device = $1 if $line =~ /^Cometa-Device: ([^\x0d]+)/i;
            $length = $1 if $line =~ /^Content-Length: (\d+)/i;
            last if $line =~ /^\x0d?$/;
        }

        read $client, my $body, $length if $length;
        next unless $status;

        open my $fh, '>>', $file or die "$file: $!\n";
        printf $fh "%s %.4f\n", $device, time();
        close $fh;

        print $client "HTTP/1.1 $status Said\x0d\x0aConnection: close\x0d\x0a"
            . ($status == 204 ? '' : "Content-Length: 0\x0d\x0a")
            . "\x0d\x0a";
        close $client;
    }
}

my $watch = stopwatch();

# When a device's event was tried, and the times between.

sub tries {
    my ($t, $device) = @_;

    return unless -e $t->testdir() . '/tries';
    return $t->read_file('tries') =~ /^\Q$device\E (\S+)$/gm;
}

sub number {
    my @times = tries(@_);
    return scalar @times;
}

sub waits {
    my @times = tries(@_);
    return map { $times[$_] - $times[$_ - 1] } 1 .. $#times;
}

# The waits that are none of those expected, each between half and one and a
# half of it, and some more for a busy machine, and what it has added since.

sub wrong {
    my ($expected, @waits) = @_;

    return join ' ', 'number ' . @waits if @waits != @$expected;
    return join ' ', map { "$_: $waits[$_]" } grep {
        $waits[$_] < 0.5 * $expected->[$_] - 0.02
            || $waits[$_] > 1.5 * $expected->[$_] + 0.5 + $watch->late()
    } 0 .. $#waits;
}

sub at {
    my ($place, $device) = @_;
    return device(uri => "/$place/app1/$device", device => $device);
}

sub settled {
    return wait_for(sub { figures('app1')->{webhook_queued} == 0 }, 10);
}

###############################################################################

# By status

my %device = map { $_ => at($_, "to-$_") } @again, @final, @good;

$device{$_}->event('x') for sort keys %device;
ok(settled(), 'all come to an end');

for my $status (@again) {
    is(number($t, "to-$status"), TRIES, "$status: tried again");
    is(wrong([ map { 0.02 * 2 ** $_ } 0 .. TRIES - 2 ],
        waits($t, "to-$status")), '', "$status: waits double");
}

is(number($t, "to-$_"), 1, "$_: is final") for @final;
is(number($t, "to-$_"), 1, "$_: is success") for @good;

my $f = figures('app1');
is(join(' ', map { $f->{"webhook_$_"} } qw/ sent failed retries /),
    join(' ', scalar(@good), @again + @final, @again * (TRIES - 1)),
    'figures');

$_->close() for values %device;

# By parameter

my @d = map { at($_, $_) } qw/ once three bounded short /;
$_->event('x') for @d;
ok(settled(), 'parameters: all come to an end');

is(number($t, 'once'), 1, 'tries=1');
is(wrong([ 0.06, 0.12 ], waits($t, 'three')), '', 'tries= and retry=');
is(wrong([ 0.04, 0.08, (0.1) x 6 ], waits($t, 'bounded')), '', 'max_retry=');
is(wrong([ 0.02, 0.02 ], waits($t, 'short')), '', 'max_retry= alone');
$_->close() for @d;

# What failed together does not come again together

my @waits;

# in a moment when the machine stands still they may: once is proof enough

for my $try (1 .. 5) {
    @d = map { at('twice', "twice$try$_") } 101 .. 100 + MANY;
    $_->event('x') for @d;
    settled();

    @waits = sort { $a <=> $b } map { waits($t, $_->{device}) } @d;

    last if @waits != MANY || $waits[-1] - $waits[0] > 0.4;
}

is(scalar(@waits), MANY, 'many: twice each');
cmp_ok($waits[-1] - $waits[0], '>', 0.4, 'many: spread') or diag("@waits");
cmp_ok($waits[0], '>', 0.45, 'many: not too early');

# A line of the log names the last one, and at most one a second comes

my $lines = log_count($t, qr/cometa_webhook: \d+ events for "[^"]+" failed/);
cmp_ok($lines, '>=', 1, 'failures are logged');
cmp_ok(log_count($t, qr!cometa_webhook: \d+ events for "/hook/503" failed, !
    . qr!the last one: status 503, application: "app1", device: !
    . qr!"twice\d+", session: \d+!), '>=', 1, 'with application and device');
$_->close() for @d;

###############################################################################

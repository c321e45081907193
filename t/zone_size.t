#!/usr/bin/perl

# Sizes of the zone: what is wrong stops nginx -t with the mend, and never
# crashes it.

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

my @wrong = (
    [ 'z:32', qr/"32" in "zone=z:32" is in bytes: .* "32m"/ ],
    [ 'z:1', qr/was the unit forgotten\? for example "1m"/ ],
    [ 'z:32767', qr/was the unit forgotten/ ],
    [ 'z:1k', qr/"1k" in "zone=z:1k" is too small, use for example 32m/ ],
    [ 'z:31k', qr/is too small/ ],
    [ 'z:32k', qr/is too small for \d+ worker processes, use at least \d+k/ ],
    [ 'z:32768', qr/is too small for \d+ worker processes, use at least/ ],
    [ 'z:64k', qr/is too small for \d+ worker processes, use at least/ ],
    [ 'z:0', qr/is too small/ ],
    [ 'z:0m', qr/is too small/ ],
    [ 'z:', qr/invalid size "" in "zone=z:"/ ],
    [ 'z:-5m', qr/invalid size "-5m"/ ],
    [ 'z:m', qr/invalid size "m"/ ],
    [ 'z:32x', qr/invalid size "32x"/ ],
    [ 'z:32mb', qr/invalid size "32mb"/ ],
    [ 'z:3.5m', qr/invalid size "3\.5m"/ ],
    [ 'z:y:32m', qr/invalid size "y:32m"/ ],
    [ 'z:1025g', qr/is too large, use at most 1024g/ ],
    [ 'z:9999999999999g', qr/invalid size|is too large/ ],
    [ 'z:99999999999999999999', qr/invalid size|is too large/ ],
    [ 'z', qr/expected zone=name:size/ ],
    [ ':32m', qr/expected zone=name:size/ ],
    [ '', qr/expected zone=name:size/ ],
);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)
    ->plan(2 * @wrong + 5);

###############################################################################

sub check {
    my ($t, $zone) = @_;
    my $conf = cometa_conf();
    $conf =~ s/cometa_zone \Kzone=\S+;/$zone/ or die;
    return config_test($t, $conf);
}

for my $case (@wrong) {
    my ($zone, $expected) = @$case;

    my ($good, $said) = check($t, "zone=$zone;");

    ok(!$good && $? >> 8 == 1, "zone=$zone: refused, without a crash");
    like($said, $expected, "zone=$zone: the message");
}

my ($good, $said) = check($t, 'name=z:32m;');
like($said, qr/expected zone=name:size/, 'another parameter');

($good, $said) = check($t, 'zone=z:32m zone=y:32m;');
like($said, qr/invalid parameter "zone=y:32m", expected offline=/,
    'two zones in one');

($good, $said) = check($t, 'zone=z:32m; cometa_zone zone=y:32m;');
like($said, qr/"cometa_zone" directive is duplicate/, 'twice');

# The size that is named is enough.

($good, $said) = check($t, 'zone=z:64k;');
my ($enough) = $said =~ /use at least (\d+k)/;
($good) = check($t, "zone=z:$enough;");
ok($good, "$enough are enough, as was said");

($good) = check($t, 'zone=z:' . 1048576 . ';');
ok($good, 'a size in bytes that is large enough');

###############################################################################

#!/usr/bin/perl

# What tells an event of the webhook from all others: its number and its time,
# also when it is tried again, and after a reload; and what an attach says of the
# device.

###############################################################################

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/time/;
use Time::Local;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers qw/ reload_all /;
use JSON::PP qw//;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(22);

# The first try of an event "again" fails.

$t->write_file_expand('nginx.conf', cometa_conf(
    http => <<'EOF',
    log_format got escape=json '{"event":"$http_cometa_event",'
        '"device":"$http_cometa_device","session":"$http_cometa_session",'
        '"time":"$http_cometa_time","sequence":"$http_cometa_sequence",'
        '"info":"$http_cometa_info",'
        '"address":"$http_cometa_address","length":"$content_length",'
        '"reason":"$http_cometa_reason","at":"$msec","status":"$status",'
        '"error":"$http_cometa_error","call":"$http_cometa_call"}';
EOF
    server => <<'EOF'))->run();
        cometa_webhook /hook events=data,attach,detach tries=3 retry=300ms;

        location = /hook {
            internal;
            access_log %%TESTDIR%%/got.log got;
            if ($http_cometa_device = again) {
                return 500;
            }
            return 204;
        }
EOF

###############################################################################

# What has come of a device, as soon as there is so much

sub got {
    my ($t, $device, $n) = @_;

    my @got;

    wait_for(sub {
        @got = grep { $_->{device} eq $device }
            map { JSON::PP::decode_json($_) }
            $t->read_file('got.log') =~ /^(.*)\n/gm;
        return @got >= $n;
    });

    return @got;
}

# Seconds of a time, as the header has it

sub ms {
    my ($text) = @_;

    $text =~ /^(\d+)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z$/ or return 0;

    return Time::Local::timegm($6, $5, $4, $3, $2 - 1, $1) + $7 / 1000;
}

my $began = time();
my $d = device(device => 'd', form => 'B',
    headers => { 'Cometa-Info' => "v1 100% caf\xc3\xa9, \"a\"\x01\xff" });
is($d->{status}, 200, 'attach');
$d->send_chunk("\x07pressed");
my ($attach, $data) = got($t, 'd', 2);

is("$attach->{event} $attach->{sequence}", 'attach 0', 'an attach');
is($attach->{info}, 'v1%20100%25%20caf%C3%A9%2C%20%22a%22%01%FF', 'its info');
is($attach->{address}, '127.0.0.1:' . $d->socket()->sockport(), 'its address');
cmp_ok(ms($attach->{time}), '>=', int($began), 'its time');
cmp_ok(ms($attach->{time}), '<=', $attach->{at}, 'not later than the request');

is("$data->{event} $data->{sequence}", 'data 1', 'data');
is($data->{info} . $data->{address}, '', 'has no info, no address');
cmp_ok(ms($data->{time}), '>=', ms($attach->{time}), 'its time');

$d->close();
my $detach = (got($t, 'd', 3))[2];
is("$detach->{event} $detach->{sequence} $detach->{reason}",
    'detach 2 disconnected', 'a detach');
ok(ms($detach->{time}), 'has a time');
is("$detach->{call}$detach->{error}", '', 'and neither call nor error');

# Each try has the same time, that of the event

$d = device(device => 'again', headers => { 'User-Agent' => 'agent' });
my @tries = got($t, 'again', 3);
is(scalar(@tries), 3, 'three tries');
is($tries[0]->{info}, '', 'without info');
is(join(' ', map { $_->{sequence} } @tries), '0 0 0', 'of one event');
ok(ms($tries[0]->{time}), 'a time');
is($tries[1]->{time}, $tries[0]->{time}, 'the second try has the same');
is($tries[2]->{time}, $tries[0]->{time}, 'the third, too');
cmp_ok($tries[2]->{at} - ms($tries[2]->{time}), '>', 0.3, 'it is older then');

###############################################################################

# A device goes on with its numbers at a new worker

$d = device(device => 'mover');
$d->send_chunk("\x07$_") for 1 .. 3;
got($t, 'mover', 4);
reload_all($t, 1);
$d->send_chunk("\x07$_") for 4, 5;

my @moved = got($t, 'mover', 6);
is(join(' ', map { $_->{sequence} } @moved), '0 1 2 3 4 5', 'after a reload');
is(scalar(keys %{{ map { $_->{session} => 1 } @moved }}), 1, 'one session');

# An attach that takes over begins a new session, and its numbers

my $old = $d;
$d = device(device => 'mover');
$old->close();
$d->send_chunk("\x07x");
my @both = got($t, 'mover', 9);
is(join(' ', sort map { "$_->{event} $_->{sequence}" } @both[6 .. $#both]),
    'attach 0 data 1 detach 6', 'a takeover');

###############################################################################

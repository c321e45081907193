#!/usr/bin/perl

# Requests of devices at a reload: they are answered first, or fail after a
# while, and the device moves.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Socket::INET;
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(12);

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    shutdown => '60s', http => 'cometa_request_timeout 30s;',
    attach => 'cometa_webhook /hook tries=1;', server => <<'EOS'))->run();
        location = /hook {
            internal;
            proxy_pass http://127.0.0.1:8081;
        }
EOS

# The upstream answers when a file is there.

my $port = port(8081);
my $dir = $t->testdir();

$t->run_daemon(sub {
    my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
        Listen => 128, ReuseAddr => 1) or die "Can't listen: $!\n";
    local $SIG{CHLD} = 'IGNORE';

    while (my $client = $server->accept()) {
        next if fork();
        serve_one($client);
        POSIX::_exit(0);
    }
});
$t->waitforsocket("127.0.0.1:$port") or die "no upstream\n";

sub serve_one {
    my ($client) = @_;

    local $/ = "\x0d\x0a";
    my ($body, $length) = ('', 0);

    while (defined(my $line = <$client>)) {
        last if $line eq $/;
        $length = $1 if $line =~ /^Content-Length: (\d+)/i;
    }

    read $client, $body, $length;

    open my $fh, '>', "$dir/came.$body" if length $body;
    sleep(0.05) while length $body && !-e "$dir/$body";

    print $client "HTTP/1.1 200 OK$/Content-Length: 4$/Connection: close$/$/"
        . 'done';
    close $client;
}

sub moves {
    my ($t) = @_;
    return log_count($t, qr/device has moved here/);
}

my $d = device(headers => { 'Cometa-Requests' => 'on' });

###############################################################################

# It is answered, and the device moves

$d->send_chunk("\x05a\nfirst");
ok(wait_for(sub { -e "$dir/came.first" }), 'a device asks');
reload_all($t, 1);
sleep(1.5);
is(moves($t), 0, 'it does not move before it is answered');

my $call = call_start('app1', 'dev1', 'a call');
is($d->read_chunk(), 'a call', 'it is called meanwhile');
$d->send_chunk('its reply');
is(call_end($call)->{body}, 'its reply', 'and replies');

$t->write_file('first', '');
is($d->read_chunk(), "\x05a\ndone", 'it is answered');
ok(wait_for(sub { moves($t) == 1 }, 10), 'and moves');
$d->send_chunk("\x05b\n");
is($d->read_chunk(), "\x05b\ndone", 'it may still ask');

# It is not, and fails

$d->send_chunk("\x05c\nsecond");
$d->send_chunk("\x05d\n");
ok(wait_for(sub { -e "$dir/came.second" }), 'it asks again');
reload_all($t, 1);
is($d->read_chunk(10), "\x05c\n", 'that takes too long: it fails');
is($d->read_chunk(), "\x05d\n", 'and what waits behind it');
ok(wait_for(sub { moves($t) == 2 }, 10), 'and it moves');
is(reached($d), 'yes', 'and can be called');

# The upstream is not waited for when the test ends

$t->write_file('second', '');

###############################################################################

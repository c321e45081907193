#!/usr/bin/perl

# What happens to a WebSocket can be read in the debug log, step by step, also
# of one client only (debug_connection).

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite map --with-debug/)->plan(10);

# A log of its own, which is at "info" unless the client is one to be debugged.

sub start {
    my ($t, %o) = @_;

    $t->write_file_expand('nginx.conf', websocket_conf(
        http => 'error_log %%TESTDIR%%/http.log info;',
        websocket => 'cometa_websocket_timeout 4s;', %o));
    $t->run();
}

# What it says of WebSockets, by connection.

sub traces {
    my ($t) = @_;

    my %of;

    for ($t->read_file('http.log') =~ /^.*cometa ws .*$/mg) {
        push @{$of{$1}}, $2 if /\*(\d+) cometa ws (.*)$/;
    }

    return map { join '; ', @{$of{$_}} } sort { $a <=> $b } keys %of;
}

sub visit {
    my ($d) = @_;

    my $ws = websocket();

    is($ws->served($d), 'yes', 'a call');
    $d->event('news');
    is($ws->said(), 'text news', 'an event');
    $ws->text('');
    like($ws->said(), qr/empty_message/, 'an error');
    $ws->goodbye();
}

###############################################################################

start($t, events => 'debug_connection 127.0.0.1;');

my $d = device();
visit($d);

my $ws = websocket();
is($ws->said(4), 'ping', 'a silent one is pinged');
is($ws->said(4), 'close 1001', 'and closed');
$ws->reset();

ok(wait_for(sub { (() = traces($t)) == 2 && (traces($t))[1] =~ / end|; end/ }),
    'both have ended');

my ($first, $second) = traces($t);

like($first, qr/\Aopen,\ device:"app1\/dev1"\ here:1;
    \ frame,\ type:1\ len:\d+; \ call,\ len:\d+\ outstanding:1;
    \ answer,\ error:0\ type:1\ len:\d+;
    \ frame,\ type:1\ len:0; \ answer,\ error:[1-9]\d*\ type:1\ len:\d+;
    \ frame,\ type:8\ len:2; \ close\ received,\ code:1000;
    \ close\ sent,\ code:1000; \ end,\ closing:1\ closed:1\ error:0\ unsent:0
    \z/x, 'the traces of the first');

like($second, qr/\Aopen,\ device:"app1\/dev1"\ here:1; \ pinged;
    \ close\ sent,\ code:1001; \ end,\ closing:1\ closed:0\ error:\d\ unsent:0
    \z/x, 'and of the second');

like($t->read_file('error.log'),
    qr/cometa ws event, device:"app1\/dev1" here:1 kind:1 type:1 len:4$/m,
    'an event is one line, however many hear it');

$d->close();
$t->stop();

###############################################################################

# Of others nothing is said

unlink $t->testdir() . '/http.log';

start($t);

$d = device();
$ws = websocket();
$ws->goodbye();
is(join('', traces($t)), '', 'no traces at info');

###############################################################################

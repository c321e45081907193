#!/usr/bin/perl

# Requests of a device: what the webhook gets, and what the device gets back.

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

my $t = Test::Nginx->new()->has(qw/http rewrite map proxy/)->plan(54);

my $ids = '(?<app>[^/]+)/(?<device>[^/]+)$';

$t->write_file_expand('nginx.conf', worker_conf(workers => 1,
    shutdown => '60s', send => 'cometa_send_timeout 20s;',
    http => 'cometa_max_message_size 20k; proxy_buffer_size 1k;'
        . 'proxy_buffers 2 1k; proxy_busy_buffers_size 1k;',
    attach => 'cometa_webhook /hook events=data,attach retry=20ms tries=3;',
    server => <<"EOS"))->run();

        location = /hook {
            internal;
            client_max_body_size 1;
            proxy_pass http://127.0.0.1:8081;
        }

        location = /here {
            internal;
            return 200 "from nginx\\n";
        }

        location ~ ^/none/$ids {
            cometa_attach;
        }

        location ~ ^/short/$ids {
            cometa_attach;
            cometa_webhook /hook retry=200ms tries=255;
            cometa_request_timeout 600ms;
        }

        location ~ ^/here/$ids {
            cometa_attach;
            cometa_webhook /here;
        }
EOS

# The upstream does what the body says, and notes the headers.

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
    my ($body, %h) = ('');

    while (defined(my $line = <$client>)) {
        last if $line eq $/;
        $h{lc $1} = $2 if $line =~ /^([\w-]+): (.*)\x0d/;
    }

    read $client, $body, $h{'content-length'} || 0;

    open my $fh, '>>', "$dir/got.log" or die "got.log: $!\n";
    syswrite $fh, join('|', map { defined $h{"cometa-$_"} ? $h{"cometa-$_"}
        : '-' } qw/ event call device application sequence /)
        . "|$body\n";
    close $fh;

    my ($word, $arg) = $body =~ /^(\w*) ?(.*)/s;

    sleep($arg) if $word eq 'slow';

    if ($word eq 'later' && !-e "$dir/later.$arg") {
        open my $later, '>', "$dir/later.$arg";
        $word = 'fail';
    }

    my ($status, $answer) = $word eq 'fail' ? ('500 No', 'an error page')
        : $word eq 'no' ? ('404 No', 'a page')
        : $word eq 'moved' ? ('302 Found', 'a page')
        : $word eq 'big' ? ('200 OK', 'b' x $arg)
        : $word eq 'empty' ? ('204 No Content', '')
        : $word eq 'made' ? ('201 Created', 'made')
        : ('200 OK', "re: $body");

    print $client "HTTP/1.1 $status$/Connection: close$/";

    if ($word eq 'chunked') {
        print $client "Transfer-Encoding: chunked$/$/2$/ch$/5$/unked$/0$/$/";

    } elsif ($word eq 'until') {
        print $client "${/}until the end";

    } elsif ($word eq 'pieces') {
        $client->autoflush(1);
        print $client "Content-Length: $arg$/$/" . 'b' x ($arg - 58);
        sleep(0.3);
        print $client 'b' x 58;

    } elsif ($word eq 'cut') {
        print $client "Content-Length: 100${/}$/half of it";

    } else {
        print $client 'Content-Length: ' . length($answer) . "$/$/$answer";
    }

    close $client;
}

sub asking {
    my (%o) = @_;
    return device(headers => { 'Cometa-Requests' => 'on',
        %{delete $o{headers} || {}} }, %o);
}

sub ask {
    my ($d, $id, $body) = @_;
    return $d->send_chunk("\x05$id\n$body");
}

# What the device gets: "id: body", in a printable form.

sub got {
    my ($d, $timeout) = @_;
    my $got = $d->read_chunk(defined $timeout ? $timeout : 5);
    return 'nothing' unless defined $got;
    return "no answer: $got" unless $got =~ /\A\x05([^\n]*)\n(.*)\z/s;
    return short("$1: $2");
}

# A character that is repeated very often, with its number.

sub short {
    my ($text) = @_;
    $text =~ s/((.)\2{99,})/"$2 x " . length $1/ge;
    return $text;
}

sub asked {
    my ($d, $id, $body) = @_;
    ask($d, $id, $body);
    return got($d);
}

sub lines {
    my ($re) = @_;
    open my $fh, '<', "$dir/got.log" or return 0;
    return scalar grep { /$re/ } <$fh>;
}

###############################################################################

# Who asks for it

my $d = asking(device => 'dev9');
is($d->header('Cometa-Requests'), 'on', 'a device may ask');
is(device(headers => { 'Cometa-Requests' => 'off' })
    ->header('Cometa-Requests'), undef, 'if it says so');

$d = device();
my $call = call_start('app1', 'dev1', 'a call');
$d->read_chunk();
ask($d, 'id', 'echo');
is(call_end($call)->{body}, "\x05id\necho",
    'of another device it is a reply, as it always was');
$d->close();

###############################################################################

# What goes there, and what comes back

$d = asking();
is(asked($d, 'r-1', 'echo'), 'r-1: re: echo', 'an answer');
ok(lines(qr/^request\|r-1\|dev1\|app1\|-\|echo$/),
    'the webhook has its id and the names');
is(asked($d, '~' x 36, 'echo'), ('~' x 36) . ': re: echo', 'a long id');
is(asked($d, '!', ''), '!: re: ', 'no data');
is(asked($d, '"\\', "a\0\n\xff"), "\"\\: re: a\0\n\xff", 'any bytes');
is(asked($d, 2, 'made'), '2: made', 'status 201');
is(asked($d, 3, 'empty'), '3: ', 'an empty answer');
is(asked($d, 4, 'chunked'), '4: chunked', 'an upstream that sends chunks');
is(asked($d, 5, 'until'), '5: until the end', 'and one without a length');
is(asked($d, 6, 'big 20477'), '6: b x 20477',
    'as long as a message may be, with its id') ;
is(asked($d, 7, 'x' x 20000), '7: re: x x 20000', 'a long question');

{
    my $here = asking(device => 'dev2', uri => '/here/app1/dev2');
    is(asked($here, 1, 'x'), "1: from nginx\n", 'an answer of nginx itself');
}

###############################################################################

# Failures: an answer with nothing behind it, and a count

sub grows {
    my ($name, $n, $what) = @_;
    my $before = figures('app1')->{$name};
    $what->();
    return wait_for(sub { figures('app1')->{$name} == $before + $n });
}

ok(grows('webhook_failed', 1, sub { is(asked($d, 8, 'no'), '8: ', 'status 404') }),
    'is counted');
is(lines(qr/\|8\|/), 1, 'and final');
ok(grows('webhook_failed', 1, sub { is(asked($d, 9, 'fail'), '9: ', 'status 500') }),
    'is counted');
is(lines(qr/\|9\|/), 3, 'after three tries');
ok(grows('webhook_sent', 1, sub {
    is(asked($d, 10, 'later 10'), '10: re: later 10', 'a second try') }),
    'that succeeds');
is(asked($d, 11, 'cut'), '11: ', 'an answer that is cut off');
is(lines(qr/\|11\|/), 3, 'is tried again');
is(asked($d, 12, 'big 20477'), '12: ', 'one that is too long');
is(asked($d, 'pp', 'pieces 20477'), 'pp: ', 'only with its last piece');
is(lines(qr/\|12\|/), 1, 'is not');
is(asked($d, 13, 'moved'), '13: ', 'status 302');

{
    my $none = asking(device => 'dev3', uri => '/none/app1/dev3');
    is($none->header('Cometa-Requests'), 'on', 'without a webhook');
    ok(grows('webhook_failed', 2, sub {
        is(asked($none, 1, 'echo'), '1: ', 'they fail');
        is(asked($none, 2, 'echo'), '2: ', 'at once') }), 'and are counted');
}

# Not an id

ok(grows('errors', 5, sub {
    $d->send_chunk("\x05$_") for '', "\nno id", 'no line feed',
        ('i' x 37) . "\ntoo long", "with space\nx" }),
    'what has no id is an error');
is(asked($d, 14, 'echo'), '14: re: echo', 'and nothing else happens');

###############################################################################

# One after the other, and across its calls

{
    my $call = call_start('app1', 'dev1', 'a call');
    is($d->read_chunk(), 'a call', 'a call comes');
    is(asked($d, 15, 'echo'), '15: re: echo', 'the device asks');
    $d->send_chunk('its reply');
    is(call_end($call)->{body}, 'its reply', 'and then answers');
}

$d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("\x05$_\nslow 0.2") }
    20 .. 22);
$d->event('an event');
ok(wait_for(sub { lines(qr/^data\|.*an event/) }), 'events do not wait for it');
ok(!lines(qr/\|22\|/), 'requests wait for each other');
is(join(', ', map { got($d) } 20 .. 22),
    join(', ', map { "$_: re: slow 0.2" } 20 .. 22), 'and keep their order');

# More than 16: the one with the webhook, and 15 behind it

$d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("\x05$_\nslow 0.1") }
    30 .. 49);
is(join(' ', map { got($d) } 46 .. 49), '46:  47:  48:  49: ',
    'those beyond 16 fail at once');
is(join(' ', map { got($d) =~ /^(\d+): re/ } 30 .. 45),
    join(' ', 30 .. 45), 'the others are answered');

$d->raw(join '', map { Test::Nginx::Cometa::Device::chunk("\x05$_\n"
    . ($_ == 50 ? 'slow 0.2' : 'y' x 7000)) } 50 .. 53);
is(got($d), '53: ', 'and those that are more than a message in all');
is(join(' ', map { got($d) =~ /^(\d+): re/ } 50 .. 52), '50 51 52',
    'the others are answered');

###############################################################################

# Time

{
    my $short = asking(device => 'dev4', uri => '/short/app1/dev4');
    ask($short, 1, 'slow 5');
    ask($short, 2, 'slow 5');
    my $began = time();
    is(got($short), '1: ', 'an upstream that is silent');
    cmp_ok(time() - $began, '<', 4, 'is not waited for');
    is(got($short), '2: ', 'the time of one that waits passes, too');
    is(asked($short, 3, 'fail'), '3: ', 'tries are a part of it');
    is(asked($short, 4, 'echo'), '4: re: echo', 'the next one has its own');
}

# A device that leaves while it asks

{
    my $gone = asking(device => 'dev5');
    ask($gone, 1, 'slow 1');
    ask($gone, 2, 'echo never');
    ok(wait_for(sub { lines(qr/^request\|1\|dev5/) }), 'a device asks');
    $gone->close();
    ok(offline('dev5'), 'and leaves');
    my $new = asking(device => 'dev5');
    is(asked($new, 3, 'echo'), '3: re: echo', 'comes back and asks');
    ok(!lines(qr/never/), 'what waited was not sent');
}

###############################################################################

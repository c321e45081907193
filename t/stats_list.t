#!/usr/bin/perl

# The list of devices: whole and in pages, while devices come and go, and
# beside calls that must not wait for it.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    MANY => 5000,           # devices of app2
    AT_ONCE => 500,         # attaches under way
    COMING => 60,           # devices of app1 that come and go
    PAGE_MAX => 10000
};

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(59);

$t->write_file_expand('nginx.conf', cometa_conf(
    workers => 2,
    listen => 'reuseport backlog=4096',
    events => 'worker_connections 8192;',
    http => 'keepalive_requests 100000;',
    server => 'add_header Pid $pid always;'
) =~ s/worker_connections 1024;//r)->run();

###############################################################################

sub list {
    my ($app, $args, %o) = @_;
    return stats("$app/devices" . (defined $args ? "?$args" : ''), %o);
}

# "number: ids" of an answer; its order is kept.

sub said {
    my ($r) = @_;
    return "$r->{status} $r->{body}" if $r->{status} != 200;
    return "$r->{json}{num_devices}: @{$r->{json}{devices}}";
}

# All pages, one after the other, as a list of lists.

sub pages {
    my ($app, $limit, %o) = @_;

    my @pages;
    my $args = "limit=$limit";

    for ( ;; ) {
        my $ids = list($app, $args, %o)->{json}{devices};
        return @pages if !@$ids;

        push @pages, $ids;
        die "too many pages\n" if @pages * $limit > 20 * MANY;

        $args = "limit=$limit&after=" . escaped($ids->[-1]);
    }
}

sub escaped {
    my ($id) = @_;
    return $id =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
}

sub union {
    return map { @$_ } @_;
}

# More devices than may be asked for one by one: none is read from again.

sub attach_many {
    my ($app, @ids) = @_;

    my @streams;

    while (my @some = splice @ids, 0, AT_ONCE) {
        my @new = map { caller_stream() } @some;

        $new[$_]->write("POST /v1/applications/$app/devices/$some[$_] "
            . "HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a\x0d\x0a") for 0 .. $#new;
        $_->take_until("}\x0d\x0a") for @new;

        push @streams, @new;
    }

    return @streams;
}

# What half and what nine tenths of n calls in a row stay below, ms.

sub waits {
    my ($stream, $d, $n) = @_;

    my @times;

    for (1 .. $n) {
        my $call = call_start('app1', $d->{device}, 'x', stream => $stream);
        $d->echo();
        push @times, 1000 * call_end($call)->{took};
    }

    @times = sort { $a <=> $b } @times;

    return @times[0.5 * $n, 0.9 * $n];
}

###############################################################################

# Arguments

my @ids = qw/ B a a-1 a.b a1 a:b aa b ~ + @ _x 10 9 /;
my @few = map { device(device => $_) } @ids;
my @sorted = sort @ids;

{
    is(said(list('app1', 'limit=100')), @ids . ": @sorted",
        'a page of all, in bytewise order');
    is(said(list('app1', 'limit=3')), @ids . ": @sorted[0 .. 2]",
        'the first three, and how many there are');
    is(said(list('app1', 'limit=3&after=' . escaped($sorted[2]))),
        @ids . ": @sorted[3 .. 5]", 'the next three');
    is(said(list('app1', "after=$sorted[2]&limit=3")),
        @ids . ": @sorted[3 .. 5]", 'in the other order, not escaped');
    is(said(list('app1', 'limit=1')), @ids . ": $sorted[0]", 'one');

    is(said(list('app1', 'after=a')), @ids . ': '
        . join(' ', grep { $_ gt 'a' } @sorted), 'after one of them');
    is(said(list('app1', 'after=a%2C')), @ids . ': '
        . join(' ', grep { $_ gt 'a,' } @sorted), 'after what is no id');
    is(said(list('app1', 'after=%2B')), @ids . ': '
        . join(' ', grep { $_ gt '+' } @sorted), 'after a plus, escaped');
    is(said(list('app1', 'after=+')), @ids . ': '
        . join(' ', grep { $_ gt '+' } @sorted), 'a plus is no space');
    is(said(list('app1', 'after=%FF')), @ids . ': ', 'after all of them');
    is(said(list('app1', 'after=~')), @ids . ': ', 'after the last');
    is(said(list('app1', 'after=' . '~' x 1000)), @ids . ': ',
        'after what is longer than an id');
    is(said(list('app1', 'after=%00')), @ids . ": @sorted",
        'after a byte of zero');

    # whole: in no order, all the same
    for my $args (undef, 'after=', 'other=1') {
        my $r = list('app1', $args);
        is("$r->{json}{num_devices}: @{[ sort @{$r->{json}{devices}} ]}",
            @ids . ": @sorted", 'whole' . (defined $args ? ", $args" : ''));
    }

    # bounds
    for my $bad (qw/ 0 -1 +1 1.5 abc 1a 0x10 %31 /, '',
        '1 ') {
        my $r = list('app1', 'limit=' . escaped($bad) =~ s/%25/%/r);
        is(outcome($r), '400 bad_request', "limit \"$bad\"");
    }

    is(said(list('app1', 'limit=' . $_)), @ids . ": @sorted", "limit $_")
        for PAGE_MAX, PAGE_MAX + 1, 9223372036854775807,
            '99999999999999999999';
    is(said(list('app1', 'limit=0002')), @ids . ": @sorted[0, 1]",
        'limit 0002');

    is(outcome(list('app1', 'limit=1', auth => undef)), '401 unauthorized',
        'a page wants the secret');

    my $r = list('app1', 'limit=2', method => 'HEAD');
    is("$r->{status} $r->{body}", '200 ', 'HEAD of a page');

    # all pages
    for my $limit (1, 2, 3, scalar @ids, @ids + 1) {
        my @pages = pages('app1', $limit);
        is(join(' ', union(@pages)), "@sorted", "pages of $limit are all");
        is(scalar(grep { @$_ != $limit } @pages[0 .. $#pages - 1]), 0,
            "and full, but for the last") if $limit == 3;
    }
}

###############################################################################

# Many devices

my @many = map { sprintf '%04x-%s', $_ * 7919 % 65536, 'm' x ($_ % 50) }
    1 .. MANY;
my @streams = attach_many('app2', @many);
@many = sort @many;

{
    my $r = list('app2');
    is($r->{json}{num_devices}, MANY, MANY . ' devices');
    is(join(' ', sort @{$r->{json}{devices}}), "@many", 'all in the list');

    for my $limit (1000, 1234, MANY, PAGE_MAX) {
        my $stream = caller_stream();
        my @pages = pages('app2', $limit, stream => $stream);
        is(join(' ', union(@pages)), "@many", "pages of $limit");
    }

    is(said(list('app2', "limit=2&after=$many[-3]")), MANY
        . ": @many[-2, -1]", 'the last ones');
}

# Calls beside lists: on one worker, as many lists as it can make.  What calls
# wait for without them is the machine's.

{
    my $stream = caller_stream();
    my $pid = stats('app1', stream => $stream)->{headers}{pid};
    my $d = same_worker(sub { device(device => 'call') }, $pid);
    my @alone = waits($stream, $d, 300);

    $t->run_daemon(\&read_lists, same_worker(undef, $pid)) for 1 .. 4;
    sleep(0.3);
    my @beside = waits($stream, $d, 300);
    $t->stop_daemons();

    diag(sprintf 'calls: median %.2f ms, 90 %% %.2f ms; beside lists: '
        . '%.2f ms, %.2f ms', @alone, @beside);

    my ($median, $most) = map { $beside[$_] - $alone[$_] } 0, 1;

    # four lists that are made in turns, a slice each
    cmp_ok($median, '<', 10, 'the usual call beside lists');
    cmp_ok($most, '<', 20, 'and most of them');

    $d->close();
}

# A device or a connection on the same worker as the caller.

sub same_worker {
    my ($make, $pid) = @_;

    for (1 .. 200) {
        if ($make) {
            my $d = $make->();
            return $d if $d->header('Pid') == $pid;
            $d->close();
            wait_for(sub { stats('app1/devices/call')->{status} == 404 });
            next;
        }

        my $stream = caller_stream();
        return $stream
            if stats('app1', stream => $stream)->{headers}{pid} == $pid;
    }

    die "nothing reaches worker $pid\n";
}

# Asks for lists all the time, whole and in pages; reads and forgets them.

sub read_lists {
    my ($stream) = @_;

    my $n = 0;

    # the readers must not take the processor from the server
    POSIX::nice(19);

    for ( ;; ) {
        $stream->write(call_request('app2', undef, undef, method => 'GET',
            uri => '/v1/applications/app2/devices'
                . ($n++ % 2 ? '?limit=1000' : '')));
        $stream->take_until(']}') or exit 1;
    }
}

# A caller that does not read: its lists are made as it takes them.

{
    my $stream = caller_stream(rcvbuf => 65536);
    $stream->write(call_request('app2', undef, undef, method => 'GET',
        uri => '/v1/applications/app2/devices') x 20);
    sleep(0.5);

    my $d = device(device => 'call');
    is(outcome(exchange($d)), '200 x', 'a call beside lists not read');
    $d->close();

    my @wrong = grep { @{response($stream)->{json}{devices} || []} != MANY }
        1 .. 20;
    is(scalar @wrong, 0, 'all lists are whole');

    $stream = caller_stream(rcvbuf => 65536);
    $stream->write(call_request('app2', undef, undef, method => 'GET',
        uri => '/v1/applications/app2/devices') x 20);
    sleep(0.1);
    $stream->reset();
    is(list('app2', 'limit=1')->{status}, 200, 'a caller that goes away');
}

sub exchange {
    my ($d) = @_;
    my $call = call_start('app1', $d->{device}, 'x');
    $d->echo();
    return call_end($call);
}

# Devices that come and go: those that stay are in each list, once.

{
    port(8080);

    $t->run_daemon(sub {
        for (my $n = 0; ; $n++) {
            my @some = map { device(device => "a$_-moving") } 1 .. COMING;
            sleep(0.01);
            $n % 2 ? $_->close() : $_->detach() for @some;
        }
    });

    my ($lost, $twice, $disorder, $moving) = (0, 0, 0, 0);
    my $stream = caller_stream();
    my $end = time() + 3;
    my $n = 0;

    while (time() < $end) {
        my @lists = (
            list('app1', undef, stream => $stream)->{json}{devices},
            [ union(pages('app1', 7, stream => $stream)) ]
        );

        for my $list (@lists) {
            my %seen;
            $seen{$_}++ for @$list;
            $lost += grep { !$seen{$_} } @ids;
            $twice += grep { $seen{$_} && $seen{$_} > 1 } @ids;
            $moving += grep { /moving/ } @$list;
        }

        $disorder += join(' ', sort @{$lists[1]}) ne "@{$lists[1]}";
        $n++;
    }

    $t->stop_daemons();

    is($lost, 0, "devices that stay are in $n lists and their pages");
    is($twice, 0, 'and only once');
    is($disorder, 0, 'pages stay in order');
    cmp_ok($moving, '>', 0, 'while others come and go');

    ok(wait_for(sub { said(list('app1', 'limit=100')) eq @ids . ": @sorted" }),
        'and go');
}

# The end

$_->close() for @streams, @few;
ok(wait_for(sub { said(list('app2')) eq '0: ' }), 'none is left');
is(said(list('app2', 'limit=10')), '0: ', 'nor a page of them');
is(said(list('app1', 'limit=10&after=a')), '0: ', 'nor behind one');

###############################################################################

#!/usr/bin/perl

# A binary upgrade as "service nginx upgrade" does it, and back; also with a
# module that has another zone, and a reload after the module was replaced.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ realpath /;
use File::Basename qw/ dirname /;
use File::Copy qw/ copy /;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant { DEVICES => 40, SOCKETS => 4, RATE => 40 };

# How long the devices take at the rate, without the steps at both ends; the
# four that have a call, and those that share a worker with them, may go later.
use constant LEAST => 0.6 * DEVICES / 2 / RATE;

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(63);

my (%devices, @sockets, @masters);

# nginx in the background, for it takes no new binary while its parent lives.  So
# the library does not know of it, and it is ended here.

sub start {
    my (%o) = @_;

    my $globals = $ENV{TEST_NGINX_GLOBALS} || '';
    local $ENV{TEST_NGINX_GLOBALS} = $o{module}
        ? $globals =~ s/load_module \K[^;]+/$o{module}/r : $globals;
    my $dir = $t->testdir();

    $t->write_file_expand('nginx.conf', websocket_conf(workers => 2,
        shutdown => '60s', http => 'cometa_drain rate=' . RATE . '/s;')
        =~ s/daemon off;//r);

    local $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} || (),
        'detect_odr_violation=0';

    system("'$Test::Nginx::NGINX' -p '$dir/' -c nginx.conf -e error.log") == 0
        or die "Can't start nginx\n";
    wait_for(sub { -s "$dir/nginx.pid" }) or die "no pid file\n";

    push @masters, master($t);
    wait_serving($t, 2);
    attach();
}

END {
    kill 'TERM', grep { !ended($_) } @masters;
}

sub attach {
    $_->close() for values %devices, @sockets;

    %devices = map { $_ => device(device => $_) }
        map { "d$_" } 1 .. DEVICES;
    @sockets = map { websocket(device => "d$_") } 1 .. SOCKETS;
}


# Processes

# Whether the process has ended, reaped or not.

sub ended {
    my ($pid) = @_;
    return Test::Nginx::Cometa::Workers::slurp("/proc/$pid/stat")
        !~ /\) [^Z] /;
}

sub children {
    my ($pid) = @_;
    return grep {
        Test::Nginx::Cometa::Workers::slurp("/proc/$_/stat")
            =~ /\) [^Z] $pid /
    } map { m!(\d+)! } glob '/proc/[0-9]*';
}

sub accepting {
    my ($pid) = @_;
    return grep {
        Test::Nginx::Cometa::Workers::slurp("/proc/$_/cmdline")
            =~ /worker process[\0 ]*\z/
    } children($pid);
}

# Starts the new binary beside the old one.  Returns both masters.

sub upgrade {
    my $old = master($t);
    my $oldbin = $t->testdir() . '/nginx.pid.oldbin';

    kill 'USR2', $old;

    wait_for(sub { -s $oldbin && -s $t->testdir() . '/nginx.pid' }, 20)
        or die "no new binary\n";
    my $new = master($t);
    push @masters, $new;
    wait_for(sub { accepting($new) == 2 }, 20) or die "no new workers\n";

    return ($old, $new);
}

sub last_ends {
    my ($name, $pid) = @_;

    $_->close() for values %devices, @sockets;
    kill 'QUIT', $pid;
    ok(wait_for(sub { ended($pid) }, 10), "$name: nginx ends");
    wait_for(sub { !-e $t->testdir() . '/nginx.pid' });
}


# Devices

# Attaches each device again as soon as it is let go, until all were; returns
# how that was, and the time from the beginning to the last one.

sub come_back {
    my ($start) = @_;

    my (%ends, %back, $last);

    wait_for(sub {
        for my $id (grep { !$back{$_} } keys %devices) {
            my $d = $devices{$id};

            # first, because it reads, and what it has read must be handled
            my $gone = $d->gone();

            while (defined(my $got = $d->read_chunk(0))) {
                $got eq '' ? $ends{last}++ : $d->send_chunk("re: $got");
            }

            next unless $gone;
            $ends{closed}++;
            $last = time();
            $back{$id} = device(device => $id);
        }

        return keys %back == keys %devices;
    }, 10);

    %devices = (%devices, %back);

    my $said = join ', ', map { "$_ $ends{$_}" } sort keys %ends;
    return ($said, ($last || 0) - $start);
}

sub unreached {
    return scalar grep { reached($_) ne 'yes' } values %devices;
}

sub socket_ends {
    my %ends = map { $_->rest() => 1 } @sockets;
    return join ' | ', sort keys %ends;
}

# What is told to go goes in order, and comes to the other binary.  The sub says
# who has to go.

sub goes_over {
    my ($name, $go) = @_;

    my @calls = map { call_start('app1', "d$_", "call $_") } 5 .. 8;
    my @mine = grep { defined } map { $devices{"d$_"}->read_chunk(0.3) }
        5 .. 8;
    $devices{'d' . (split / /)[1]}->send_chunk("re: $_") for @mine;

    my $start = time();
    $go->();
    my ($said, $took) = come_back($start);

    is($said, 'closed ' . DEVICES . ', last ' . DEVICES,
        "$name: all get a last chunk");
    cmp_ok($took, '>', LEAST, "$name: at the rate");
    cmp_ok($took, '<', 20, "$name: none is forgotten");
    like(socket_ends(), qr/\Aclose 1001[^|]*, eof\z/,
        "$name: WebSockets are closed in order");

    my @wrong = grep { $_->{status} != 200 && $_->{status} != 404 }
        map { call_end($_) } @calls;
    is(join(' ', map { $_->{status} } @wrong), '', "$name: calls end");
    $_->{stream}->close() for @calls;
}

###############################################################################

# As Debian does it: USR2, and QUIT for the old one

sub upgrades {
    my ($name) = @_;

    my ($old, $new) = upgrade();

    is(scalar(grep { $_->gone() } values %devices), 0,
        "$name: the old binary keeps its devices");
    is(join(' ', map { scalar accepting($_) } $old, $new), '2 2',
        "$name: both serve");

    my %said;
    wait_for(sub {
        $said{stats('app1/devices/d1', keepalive => 0)->{status}}++;
        return keys %said == 2;
    });
    is(join(' ', sort keys %said), '200 404',
        "$name: workers of the new one do not know them");

    goes_over($name, sub { kill 'QUIT', $old });
    ok(wait_for(sub { ended($old) }, 10), "$name: the old master ends");

    is(unreached(), 0, "$name: all are called on the new binary");
    is(num_devices(), DEVICES, "$name: and counted once");
    is(scalar(accepting($new)), 2, "$name: it has its workers");

    return $new;
}

start();
my $new = upgrades('upgrade');
last_ends('upgrade', $new);

# And back: WINCH, HUP for the old one, QUIT for the new one

{
    start();

    my ($old, $new) = upgrade();

    goes_over('WINCH', sub { kill 'WINCH', $old });

    ok(wait_for(sub { !children_but($old, $new) }, 10),
        'WINCH: the old workers leave');
    is(unreached(), 0, 'WINCH: all are called on the new binary');

    @sockets = map { websocket(device => "d$_") } 1 .. SOCKETS;

    kill 'HUP', $old;
    ok(wait_for(sub { accepting($old) == 2 }, 10),
        'back: the old one has workers again');

    goes_over('back', sub { kill 'QUIT', $new });
    ok(wait_for(sub { ended($new) }, 10), 'back: the new binary ends');
    ok(wait_for(sub { -s $t->testdir() . '/nginx.pid'
        && master($t) == $old }), 'back: the pid file is the old one');

    is(unreached(), 0, 'back: all are called on the old binary');
    is(num_devices(), DEVICES, 'back: and counted once');

    # WINCH while devices are there, and HUP before they have gone

    $new = (upgrade())[1];

    kill 'WINCH', $old;
    wait_for(sub { grep { $_->gone() } values %devices })
        or die "none is let go\n";
    kill 'HUP', $old;
    ok(wait_for(sub { accepting($old) == 2 }, 10), 'changed mind: workers');
    kill 'QUIT', $new;
    ok(wait_for(sub { ended($new) }, 10), 'changed mind: the new one ends');

    for (values %devices) {
        $_ = device(device => $_->{device}) if $_->gone();
    }
    ok(wait_for(sub { children($old) == 2 }, 20),
        'changed mind: the old workers leave');
    for (values %devices) {
        $_ = device(device => $_->{device}) if $_->gone();
    }
    is(unreached(), 0, 'changed mind: all are called');
    is(num_devices(), DEVICES, 'changed mind: and counted once');

    last_ends('changed mind', $old);
}

sub children_but {
    my ($pid, @but) = @_;
    my %but = map { $_ => 1 } @but;
    return grep { !$but{$_} } children($pid);
}

# With a module that has another zone

SKIP: {
    my $dir = $t->testdir();
    my $given = other_module("$dir/other.so")
        or skip 'a module that is linked statically', 27;

    copy($given, "$dir/module.so") or die "Can't copy: $!\n";
    start(module => "$dir/module.so");

    rename "$dir/other.so", "$dir/module.so" or die "Can't rename: $!\n";
    my $new = upgrades('other module');
    last_ends('other module', $new);

    # It is replaced, and nginx is told to reload: the system has the old one
    # loaded under this name, so it stays in force, and devices move

    copy($given, "$dir/module.so");
    start(module => "$dir/module.so");
    other_module("$dir/other.so");
    rename "$dir/other.so", "$dir/module.so" or die "Can't rename: $!\n";

    my @old = serving($t);
    my $fds = fds(master($t));

    kill 'HUP', master($t);
    ok(wait_gone($t, 10, @old), 'replaced: the old workers leave');
    is(scalar(grep { $_->gone() } values %devices), 0,
        'replaced: the devices have moved');
    is(unreached(), 0, 'replaced: all are called');
    is(num_devices(), DEVICES, 'replaced: and counted once');
    is(fds(master($t)), $fds, "replaced: the master's descriptors");

    # Under another name it is another module, which begins an empty zone

    @old = serving($t);
    other_module("$dir/other.so");
    $t->write_file('nginx.conf', $t->read_file('nginx.conf')
        =~ s/module\.so;/other.so;/r);

    goes_over('other name', sub { kill 'HUP', master($t) });
    ok(wait_gone($t, 10, @old), 'other name: the old workers leave');
    is(unreached(), 0, 'other name: all are called');
    is(num_devices(), DEVICES, 'other name: and counted once');

    last_ends('replaced', master($t));
}

# Builds the module as it was built, with another version of the zone.  Returns
# the name of the given module; nothing if nginx has it built in.

sub other_module {
    my ($name) = @_;

    my ($given) = ($ENV{TEST_NGINX_GLOBALS} || '')
        =~ /load_module (\S+ngx_cometa_module\.so);/ or return;
    my $src = dirname(realpath($given)) . '/src';
    my $zone = 'objs/addon/zone/ngx_cometa_zone.o';
    my $source = realpath("$FindBin::Bin/..")
        . '/ngx_cometa_module/zone/ngx_cometa_zone.c';

    my $commands = `cd '$src' && MAKEFLAGS= make -n -s -f objs/Makefile \\
        -W '$source' objs/ngx_http_cometa_module.so`;

    unlink $name;

    $commands =~ s!-o \K\Q$zone\E!$name.o -DNGX_COMETA_ZONE_VERSION=99!;
    $commands =~ s!\Q$zone\E!$name.o!;
    $commands =~ s!-o \Kobjs/ngx_http_cometa_module\.so!$name!;

    system("cd '$src' && { $commands } >$name.out 2>&1") == 0 && -e $name
        or die "no other module: $commands\n" . `cat $name.out`;

    return $given;
}

# Not left to the end of the program, where a todo is not seen as one.
undef $t;

###############################################################################

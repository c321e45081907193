package ClientTest;

# What the tests of the client libraries share: programs that are compiled, and
# devices and applications that run beside nginx and say what happens to them.
#
#   compiled($dir, \%commands)
#                             runs them all at once: name => what a failed one
#                             has said
#   start($t, $name, @command)
#                             a daemon, whose output is in a file
#   said($program, $re)       waits for that in its output, and returns it all
#   echoes($device, $size, $reply)
#                             a call of some size, for a reply of another
#   asked($device, $what)     how a call ended
#   session($device)          of the present attach
#   offline($device)          waits for that
#   is_a_device, beats, takes_several, taken_over, comes_back, leaves
#                             tests of a device: its name, what start() returned
#   client_conf(%options)     cometa_conf() with all that the libraries use
#   tap_tests($name, @command)
#                             the tests of a program

use warnings;
use strict;

use base qw/ Exporter /;

use POSIX qw//;
use Test::More;
use Test::Nginx::Cometa;

our @EXPORT = qw/
    compiled start said echoes asked session offline
    is_a_device beats takes_several taken_over comes_back leaves
    client_conf tap_tests
/;

use constant {
    BUILD => 240,       # s
    LARGEST => 65536
};


sub compiled {
    my ($dir, $commands) = @_;

    my %pids;

    for my $name (sort keys %$commands) {
        my $pid = fork() // die "Can't fork: $!\n";

        if (!$pid) {
            open STDOUT, '>', "$dir/$name.make" or die "$name.make: $!\n";
            open STDERR, '>&', \*STDOUT;
            exec 'timeout', BUILD, 'sh', '-c', $commands->{$name}
                or POSIX::_exit(1);
        }

        $pids{$pid} = $name;
    }

    my %failed;

    for my $pid (keys %pids) {
        waitpid $pid, 0;
        $failed{$pids{$pid}} = slurp("$dir/$pids{$pid}.make") || $? if $?;
    }

    return %failed;
}

sub start {
    my ($t, $name, @command) = @_;

    my $out = $t->testdir() . "/$name.out";

    $t->run_daemon(sub {
        open STDOUT, '>', $out or die "$out: $!\n";
        open STDERR, '>&', \*STDOUT;
        exec @command or die "$command[0]: $!\n";
    });

    return { id => $name, out => $out };
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or return '';
    local $/;
    return scalar <$fh>;
}

sub said {
    my ($program, $re) = @_;
    wait_for(sub { slurp($program->{out}) =~ $re }, 20);
    return slurp($program->{out});
}

sub echoes {
    my ($id, $size, $reply) = @_;

    my $call = "$reply ";
    $call .= sprintf '%x', rand 2 ** 32 while length $call < $size;
    $call = substr $call, 0, $size;

    my $r = call('app1', $id, $call, headers => { 'Cometa-Wait' => 10 });
    my $expected = substr $call x ($reply / $size + 1), 0, $reply;

    return $r->{status} == 200 && $r->{body} eq $expected ? 'right'
        : substr outcome($r), 0, 200;
}

# A device that is on its way is waited for.

sub asked {
    my ($id, $what, %headers) = @_;
    return outcome(call('app1', $id, $what,
        headers => { 'Cometa-Wait' => 10, %headers }));
}

sub session {
    my ($id) = @_;

    # an answer about a device that has left may have its last session

    my $r = stats("app1/devices/$id");
    return $r->{status} == 200 ? $r->{json}{session} : 'none';
}

sub offline {
    my ($id) = @_;
    return wait_for(sub { session($id) eq 'none' }, 10);
}

# All that a device does, whatever it is written in.  It obeys as device.c does.

sub is_a_device {
    my ($name, $d) = @_;

    like(said($d, qr/\n/), qr/\Aattached 1 60\n\z/, "$name: attached");
    is(echoes($d->{id}, 3, 1), 'right', "$name: a call");
    is(echoes($d->{id}, 700, 700), 'right', "$name: as large as its buffer");
    is(echoes($d->{id}, LARGEST, LARGEST), 'right', "$name: larger");
    is(join(' ', map { echoes($d->{id}, 8 + int rand 2000, 1 + int rand 2000) }
        1 .. 20), join(' ', ('right') x 20), "$name: calls of any size");
    is(asked($d->{id}, 'event pressed'), '200 sent', "$name: an event");
}

# Heartbeats each second, of which the server hears, and answers if asked to.

sub beats {
    my ($name, $d) = @_;

    like(said($d, qr/\n/), qr/\Aattached 1 1\n\z/, "$name: its interval");

    my $first = stats("app1/devices/$d->{id}")->{json};
    my $strays = figures('app1')->{errors};

    ok(wait_for(sub {
        stats("app1/devices/$d->{id}")->{json}{heartbeat}
            > $first->{connected_at} + 2
    }, 10), "$name: heartbeats");
    is(session($d->{id}), $first->{session}, "$name: stays");
    is(echoes($d->{id}, 10, 10), 'right', "$name: is called");
    is(figures('app1')->{errors}, $strays, "$name: an echo is no call");
}

# Calls at a time: no reply comes before all are there, and each is its own.

sub takes_several {
    my ($name, $d) = @_;

    said($d, qr/attached/);

    my @meet = map { call_start('app1', $d->{id}, 'meet 8') } 1 .. 8;
    is(join(' ', map { outcome(call_end($_)) } @meet),
        join(' ', ('200 met') x 8), "$name: eight calls at a time");

    my @late = map { call_start('app1', $d->{id}, $_) } 'late slow', '5 x',
        '5 y';
    is(join('|', map { call_end($_)->{body} } @late), 'slow|5 x5 |5 y5 ',
        "$name: replies in the order of calls");

    my @sizes = map { 1 + int rand 3000 } 1 .. 40;
    my @calls = map {
        [ "$_ " . '.' x rand 3000, $_ ]
    } @sizes;
    my @started = map { call_start('app1', $d->{id}, $_->[0]) } @calls;
    my @wrong = grep {
        my ($call, $size) = @$_;
        my $r = call_end(shift @started);
        $r->{body} ne substr $call x ($size / length($call) + 1), 0, $size;
    } @calls;

    is(@wrong, 0, "$name: each reply to its call");
}

# It is lost first: another one has its id for a moment.

sub taken_over {
    my ($name, $d) = @_;

    $d->{session} = session($d->{id});

    my $other = device(device => $d->{id});

    like(said($d, qr/ms\n/),
        qr/\n(?:closed|detached) .*?\b([5-9]\d{3}|10000) ms\n\z/,
        "$name: taken over, and does not come back at once");

    $other->socket()->close();
}

sub comes_back {
    my ($name, $d) = @_;

    is(echoes($d->{id}, 10, 10), 'right', "$name: comes back later");
    isnt(session($d->{id}), $d->{session}, "$name: by another attach");
}

sub leaves {
    my ($name, $d) = @_;

    my $before = figures('app1')->{detached_total};

    is(asked($d->{id}, 'leave'), '200 leaving', "$name: leaves");
    ok(offline($d->{id}), "$name: offline");
    ok(figure_is('app1', 'detached_total', $before + 1), "$name: once");
}

# The usual configuration, and: a device "closed" that needs a secret, a "full"
# server, which knows no device of that name.

sub client_conf {
    my (%o) = @_;

    my $app = '^/v1/applications/(?<app>[^/]+)';
    my $device = '(?<device>[^/]+)';

    return cometa_conf(
        workers => 2,
        send => 'cometa_queue 128;',
        attach => 'cometa_heartbeat 60s timeout=600s min=1s max=30m;'
            . 'cometa_detach;',
        list => 'cometa_detach;',
        %o,
        server => ($o{server} || '') . <<"EOC");

        location ~ $app/devices/(?<device>closed)\$ {
            cometa_attach;
            cometa_device_secret "what it knows";
        }

        location ~ $app/devices/full\$ {
            add_header Retry-After 7 always;
            return 503 '{"error":"zone_full"}';
        }

        location ~ $app/devices/$device/websocket\$ {
            cometa_websocket;
            cometa_queue 128;
        }

        location ~ ^/v1/websockets/$device/(?<key>[^/]+)\$ {
            cometa_websocket;
            cometa_queue 128;
        }

        location ~ $app/channel\$ {
            cometa_channel;
        }

        location ~ ^/v1/channels/(?<key>[^/]+)\$ {
            cometa_channel;
            cometa_queue 128;
        }
EOC
}

# A program that says by itself, in TAP, what is right: each of its tests
# becomes one here.

sub tap_tests {
    my ($name, @command) = @_;

    open my $tap, '-|', @command or die "Can't run $command[0]: $!\n";

    for my $line (<$tap>) {
        if ($line =~ /^(not )?ok \d+ - (.*)/) {
            ok(!$1, "$name: $2");

        } elsif ($line =~ /^(?:#| )/) {
            diag($line =~ s/\n//r);
        }
    }

    close $tap;
    is($?, 0, "$name ended well");
}

1;

package Test::Nginx::Cometa::FaultWorld;

# What the tests of faults do with nginx, step by step, and what has to be so
# after any fault: a world of two workers, where on each a device with two
# WebSockets stands by that no fault may touch.

use warnings;
use strict;

use base qw/ Exporter /;

use IO::Select;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Fault;
use Test::Nginx::Cometa::WebSocket;
use Test::Nginx::Cometa::Workers;
use Time::HiRes qw/ sleep time /;

our @EXPORT = qw/
    world_conf world_begin world_steps world_prepare world_after socket_to
/;

use constant LARGE => 60000;

my ($id, @workers, @standing, %fds, %ask) = (0);


# Nobody who stands by is closed for his silence, or because he is there for
# long: the many rounds may take hours, and a busy machine stands still for some.

sub world_conf {
    my (%o) = @_;

    my $ids = '(?<app>[^/]+)/(?<device>[^/]+)';
    my $hook = 'cometa_webhook /hook events=data,attach,detach retry=10ms'
        . ' max_retry=10ms;';

    return websocket_conf(workers => 2, move => 'on', shutdown => '60s', %o,
        attach => $hook,
        send => 'cometa_send_timeout 3s;',
        websocket => 'cometa_send_timeout 3s;'
            . 'cometa_websocket_timeout 24h;',
        http => 'cometa_heartbeat 60s timeout=24h;'
            . 'keepalive_timeout 24h; keepalive_time 24h;',
        server => 'location = /hook { internal; return 204; }'
            . " location ~ ^/stay/$ids/(?<key>[^/]+)\$ { cometa_websocket;"
            . ' cometa_websocket_move off; cometa_websocket_timeout 24h; }');
}


# The beginning

sub world_begin {
    my ($t) = @_;

    @workers = wait_serving($t, 2);
    @standing = map { bystander($_) } @workers;
    %ask = map { $_ => stream_on($_) } @workers;
    fds_are();
}

sub bystander {
    my ($pid) = @_;

    my $d = device_on($pid, device => 'by' . ++$id);
    my @sockets = map { socket_to($d->{device}, $_) } qw/ stay move /;

    return { device => $d, sockets => \@sockets };
}

# Stays on the worker that accepts it, or moves to that of the device.

sub socket_to {
    my ($device, $how, %o) = @_;

    my $key = websocket_key('app1', $device);

    return websocket(device => $device, key => $key, %o, $how eq 'stay'
        ? (uri => "/stay/app1/$device/$key") : ());
}

sub fds_are {
    sleep(0.1);
    %fds = map { $_ => fds($_) } @workers;
}


# How long to wait for what a fault may have taken away.

sub soon {
    return fault_excuses() ? 1.6 : 4;
}

# Waiting: true when one of these can be read or has ended.

sub any {
    my ($timeout, @peers) = @_;

    my @streams = map { $_->{stream} } @peers;

    return 1 if grep { length $_->{in} || $_->{eof} } @streams;
    return IO::Select->new(map { $_->socket() } @streams)
        ->can_read($timeout) ? 1 : 0;
}

# A device answers a call.  Whatever happened, the caller is told.

sub exchange {
    my ($d, $call, $message) = @_;

    any(soon(), $d, $call);
    my $got = $d->read_chunk(0.1);

    return 'the device got ' . substr $got, 0, 60
        if defined $got && length $got && $got ne $message;

    $d->send_chunk("re: $message") if defined $got && length $got;

    return answered($call, "re: $message");
}

sub answered {
    my ($call, $reply) = @_;

    my $r = call_end($call, 5);

    return $r->{body} eq $reply ? () : 'a wrong reply' if $r->{status} == 200;
    return $call->{stream}->eof() ? () : 'the caller hangs'
        if $r->{status} == 0;
    return fault_excuses() ? () : 'refused without a reason: ' . text($r);
}

# An attach was answered, or refused, or its connection has ended.

sub attached {
    my ($d) = @_;

    return $d->gone() ? () : 'the attach hangs' if $d->{status} == 0;
    return fault_excuses() ? () : "refused: $d->{status}"
        if $d->{status} != 200;
    return $d->gone() ? () : 'no first chunk' unless defined $d->{first};

    return usable($d);
}

sub usable {
    my ($d, %o) = @_;
    my $message = 'm' . rand();
    return exchange($d, call_start('app1', $d->{device}, $message, %o),
        $message);
}

# What a WebSocket hears: that, or, after a fault, nothing, or its end.

sub heard_by {
    my ($ws, $expected) = @_;

    any(soon(), $ws);
    my $said = $ws->said(0.2);
    return if $said eq $expected;
    return if fault_excuses()
        && ($said =~ /^(?:none|eof|close 10)/ || $said =~ /"error":/);
    return "a WebSocket heard $said";
}


# The steps

sub fresh {
    my ($pid, %o) = @_;
    return device_on($pid, device => 'd' . ++$id, %o);
}

# Streams of callers, on either worker, or new ones.

sub from {
    my ($pid) = @_;
    return stream_on($pid);
}

my %steps = (

    'attach, form A' => { step => sub {
        my $d = start(info => 'an info');
        $d->finish(3);
        return attached($d);
    } },

    'attach, form B' => { step => sub {
        my $d = start(form => 'B', info => 'an info',
            with => "6\x0d\x0a\x07event\x0d\x0a2\x0d\x0a");
        $d->finish(3);
        $d->raw("\x07e\x0d\x0a");
        return attached($d);
    } },

    'call' => { prepare => sub {
        my $d = fresh($workers[0]);
        return { device => $d, streams => [ map { from($_) } @workers ] };
    }, step => sub {
        my ($s) = @_;
        return map { usable($s->{device}, stream => $_) } @{$s->{streams}};
    } },

    'calls that wait' => { prepare => sub {
        my $d = fresh($workers[0]);
        return { device => $d, streams => [ map { from($_) }
            @workers, @workers ] };
    }, step => \&waiting },

    'large messages' => { prepare => sub {
        return { device => fresh($workers[0], rcvbuf => 32768),
            streams => [ map { from($_) } @workers ] };
    }, step => \&large },

    'late reply' => { prepare => sub {
        return { device => fresh($workers[0]),
            streams => [ map { from($_) } @workers, @workers ] };
    }, step => \&late },

    'heartbeat, event' => { prepare => sub {
        my $d = fresh($workers[0]);
        return { device => $d, sockets => [ map {
            socket_to($d->{device}, $_) } qw/ stay move stay move / ] };
    }, step => sub {
        my ($s) = @_;
        $s->{device}->heartbeat();
        $s->{device}->event('hello');
        return map { heard_by($_, 'text hello') } @{$s->{sockets}};
    } },

    'WebSocket opens' => { prepare => sub {
        return { device => fresh($workers[0]), streams => [ map { from($_) }
            @workers, @workers ] };
    }, step => \&open_socket },

    'call by WebSocket' => { prepare => sub {
        my $d = fresh($workers[0]);
        return { device => $d, sockets => [ map {
            socket_to($d->{device}, $_) } qw/ stay move stay / ] };
    }, step => \&socket_calls },

    'takeover' => { prepare => sub {
        my $d = fresh($workers[0]);
        my $ws = socket_to($d->{device}, 'stay');
        my @calls = map { call_start('app1', $d->{device}, "m$_",
            stream => from($_)) } @workers, @workers;
        die "no call came\n" unless defined $d->read_chunk();
        return { device => $d, sockets => [ $ws ], calls => \@calls };
    }, step => \&takeover },

    'call waits for an attach' => { prepare => sub {
        return { device => { device => 'd' . ++$id },
            streams => [ map { from($_) } @workers ] };
    }, step => \&wait_for_attach },

    'key, statistics' => { step => \&statistics },

    'detach' => { prepare => sub {
        my $d = fresh($workers[1], form => 'B');
        my $call = call_start('app1', $d->{device}, 'm1');
        die "no call came\n" unless defined $d->read_chunk();
        return { device => $d, calls => [ $call ],
            sockets => [ socket_to($d->{device}, 'move') ] };
    }, step => sub {
        my ($s) = @_;
        $s->{device}->detach();
        my @wrong = answered_any($s->{calls}[0]);
        push @wrong, 'it is not closed'
            unless defined $s->{device}->closed(1);
        return @wrong;
    } }
);

sub start {
    return Test::Nginx::Cometa::Device->start(device => 'd' . ++$id, @_);
}

sub world_steps {
    return sort keys %steps;
}

# A call that may end in any way, but ends.

sub answered_any {
    my ($call) = @_;
    my $r = call_end($call, 5);
    return $r->{status} || $call->{stream}->eof() ? () : 'the caller hangs';
}

sub serve_all {
    my ($d, %calls) = @_;

    my @wrong;

    for (1 .. keys %calls) {
        any(soon(), $d, values %calls);
        my $got = $d->read_chunk(0.2);
        last unless defined $got && length $got;
        push @wrong, "the device got $got" unless $calls{$got};
        $d->send_chunk("re: $got");
    }

    return (@wrong, map { answered($calls{$_}, "re: $_") } keys %calls);
}

sub waiting {
    my ($s) = @_;

    my ($d, @streams) = ($s->{device}, @{$s->{streams}});
    my $leaves = pop @streams;

    my %calls = map { $_ => call_start('app1', $d->{device}, "m$_",
        stream => $streams[$_]) } 0 .. $#streams;
    call_start('app1', $d->{device}, 'leaves', stream => $leaves);
    $leaves->close();

    my (%by, @wrong) = map { ("m$_" => $calls{$_}) } keys %calls;

    # the one that leaves may come as well
    for (0 .. keys %by) {
        any(0.3, $d, values %by);
        my $got = $d->read_chunk(0.2);
        last unless defined $got && length $got;
        push @wrong, "the device got $got" unless $by{$got} || $got eq 'leaves';
        $d->send_chunk("re: $got");
    }

    return (@wrong, map { answered($by{$_}, "re: $_") } keys %by);
}

sub large {
    my ($s) = @_;

    my $d = $s->{device};
    my @wrong;

    for my $stream (@{$s->{streams}}) {
        my $message = 'm' x LARGE;
        my $call = call_start('app1', $d->{device}, $message,
            stream => $stream);

        any(soon(), $d, $call);
        my $got = $d->read_chunk(soon());
        push @wrong, 'the device got something else'
            if defined $got && length $got && $got ne $message;

        if (defined $got && length $got) {
            my $reply = Test::Nginx::Cometa::Device::chunk("re: $message");
            for my $part (unpack '(a25000)*', $reply) {
                $d->raw($part);
                sleep(0.005);
            }
        }

        push @wrong, answered($call, "re: $message");
    }

    return @wrong;
}

sub late {
    my ($s) = @_;

    my $d = $s->{device};
    my @wrong;

    while (my ($first, $second) = splice @{$s->{streams}}, 0, 2) {
        my $call = call_start('app1', $d->{device}, 'given up',
            stream => $first);
        any(soon(), $d, $call);
        my $got = $d->read_chunk(0.2);
        $first->close();

        my $next = call_start('app1', $d->{device}, 'next',
            stream => $second);
        sleep(0.01);
        $d->send_chunk('late') if defined $got && $got eq 'given up';
        push @wrong, exchange($d, $next, 'next');
    }

    return @wrong;
}

sub open_socket {
    my ($s) = @_;

    my $d = $s->{device};
    my @wrong;

    my @streams = @{$s->{streams}};

    for my $how (qw/ stay stay move move /) {
        my $key = eval { websocket_key('app1', $d->{device}) };

        if (!$key) {
            push @wrong, "no key: $@" unless fault_excuses();
            next;
        }

        my $ws = websocket(device => $d->{device}, key => $key, timeout => 3,
            stream => shift @streams, $how eq 'stay' ? (uri => "/stay/app1/$d->{device}/$key") : ());
        push @{$s->{sockets}}, $ws;

        if ($ws->{status} == 101) {
            push @wrong, socket_call($ws, $d, "text m$how");
            next;
        }

        push @wrong, "a handshake: $ws->{status}" unless fault_excuses();
        push @wrong, 'the handshake hangs'
            if $ws->{status} == 0 && !$ws->{stream}->eof();
    }

    return @wrong;
}

sub socket_call {
    my ($ws, $d, $said) = @_;

    my ($kind, $message) = split / /, $said, 2;

    $ws->$kind($message);
    any(soon(), $d, $ws);
    my $got = $d->read_chunk(0.1);
    return 'the device got something else'
        if defined $got && length $got && $got ne $message;
    $d->send_chunk("re: $message") if defined $got && length $got;

    return heard_by($ws, "$kind re: $message");
}

sub socket_calls {
    my ($s) = @_;

    my $d = $s->{device};

    return map {
        my $ws = $_;
        (map { socket_call($ws, $d, $_) } 'text hello', 'binary hello',
            'binary ' . 'm' x LARGE)
    } @{$s->{sockets}};
}

sub takeover {
    my ($s) = @_;

    my ($old, @calls) = ($s->{device}, @{$s->{calls}});
    my $d = Test::Nginx::Cometa::Device->start(device => $old->{device});

    push @{$s->{devices}}, $d;
    $d->finish(3);

    my @wrong = attach_only($d);

    # if it was refused the old one goes on
    my $to = $d->{status} == 200 ? $d : $old;
    $old->send_chunk('re: old') if $to == $old;

    for (@calls) {
        any(0.2, $to, @calls);
        my $got = $to->read_chunk(0.1);
        last unless defined $got && length $got;
        $to->send_chunk("re: $got");
    }

    return (@wrong, map { answered_any($_) } @calls);
}

sub attach_only {
    my ($d) = @_;
    return $d->gone() ? () : 'the attach hangs' if $d->{status} == 0;
    return $d->{status} == 200 || fault_excuses() ? ()
        : "refused: $d->{status}";
}

sub wait_for_attach {
    my ($s) = @_;

    my $name = $s->{device}{device};
    my %calls = map {
        my $message = "m$_->{socket}";
        $message => call_start('app1', $name, $message, stream => $_,
            headers => { 'Cometa-Wait' => 1 })
    } @{$s->{streams}};

    sleep(0.02);
    my $d = Test::Nginx::Cometa::Device->start(device => $name);
    push @{$s->{devices}}, $d;
    $d->finish(3);

    return (attach_only($d), serve_all($d, %calls));
}

sub statistics {
    my ($s) = @_;

    my $by = $standing[0]{device}{device};
    my @wrong;

    for my $path ('app1', "app1/devices/$by", 'app1/devices',
        'app1/devices?limit=5')
    {
        my $call = call_start('app1', undef, undef, method => 'GET',
            uri => "/v1/applications/$path");
        my $r = call_end($call, 3);
        push @wrong, "$path hangs"
            if !$r->{status} && !$call->{stream}->eof();
        push @wrong, "$path: $r->{status}"
            if $r->{status} != 200 && !fault_excuses();
    }

    return @wrong;
}

sub world_prepare {
    my ($name) = @_;

    my $prepare = $steps{$name}{prepare};

    return ($steps{$name}{step}, sub {
        return $prepare ? $prepare->() : {};
    });
}


# Afterwards all is well

sub world_after {
    my ($t, $state) = @_;

    leave($state);

    my @wrong = workers_live($t);
    return @wrong if @wrong;

    push @wrong, gauges(), bystanders(), new_one();
    push @wrong, gauges() unless @wrong;
    push @wrong, descriptors();

    return @wrong;
}

sub leave {
    my ($state) = @_;

    my @devices = grep { ref $_ ne 'HASH' } grep { $_ } $state->{device},
        @{$state->{devices} || []};

    $_->close() for @devices, @{$state->{sockets} || []};
    $_->close() for @{$state->{streams} || []},
        map { $_->{stream} } @{$state->{calls} || []};
}

sub workers_live {
    my ($t) = @_;
    my @now = serving($t);
    return "@now" eq "@workers" ? () : "workers are @now, not @workers";
}

sub gauges {
    my ($now, $expected) = ('', 'devices 2, calls 0, queued 0, websockets 4,'
        . ' webhook 0');

    wait_for(sub {
        my $f = eval { figures_now() } or return 0;
        $now = "devices $f->{num_devices}, calls $f->{calls}, queued"
            . " $f->{queued}, websockets $f->{websockets}, webhook"
            . " $f->{webhook_queued}";
        return $now eq $expected;
    }, 2);

    return $now eq $expected ? () : "gauges: $now";
}

sub figures_now {
    return stats('app1', stream => $ask{$workers[0]})->{json}{stats}
        || die "no figures\n";
}

sub bystanders {
    my @wrong;

    for my $by (@standing) {
        my $d = $by->{device};

        return 'a bystander was closed' if $d->gone();
        push @wrong, map { "a bystander: $_" } grep { $_ ne 'yes' }
            reached($d, stream => $ask{$workers[0]}),
            reached($d, stream => $ask{$workers[1]});

        $d->event('hello');
        push @wrong, map { "a bystander's socket: $_" }
            grep { $_ ne 'text hello' } map { $_->said() } @{$by->{sockets}};
    }

    return @wrong;
}

sub new_one {
    my $d = device(device => 'd' . ++$id, info => 'new');
    return "a new attach: $d->{status}" if $d->{status} != 200;

    my $ws = socket_to($d->{device}, 'move');
    my $said = $ws->{status} == 101 ? served($ws, $d) : $ws->{status};
    my $reached = reached($d, stream => $ask{$workers[1]});

    $ws->close();
    $d->close();

    return map { "a new device: $_" } grep { $_ ne 'yes' } $said, $reached;
}

sub descriptors {
    my @wrong;

    for my $pid (@workers) {
        my $now;
        wait_for(sub { ($now = fds($pid)) == $fds{$pid} }, 1)
            or push @wrong, "descriptors of $pid: $now, were $fds{$pid}";
        $fds{$pid} = $now;
    }

    return @wrong;
}

1;

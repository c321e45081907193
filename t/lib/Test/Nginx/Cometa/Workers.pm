package Test::Nginx::Cometa::Workers;

# Worker processes: which there are, devices and callers on one of them, and the
# load that runs while they are stopped, replaced and killed.

use warnings;
use strict;

use base qw/ Exporter /;

use JSON::PP qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

our @EXPORT = qw/
    worker_conf master processes serving reload_all wait_serving wait_gone
    nginx_ends
    device_on stream_on text reached list num_devices offline expected_alerts
    fds rss keep_attached keep_calling load_report stand_still
/;

use constant CRLF => "\x0d\x0a";


# The usual configuration, where every answer says which worker gave it.  It has
# one more option: connections (1024), of each worker.

sub worker_conf {
    my (%o) = @_;

    for my $place (qw/ attach send /) {
        $o{$place} = 'add_header Pid $pid always;'
            . 'add_header Cometa-Hop $cometa_hop always;'
            . (defined $o{$place} ? $o{$place} : '');
    }

    # device_on() attaches one device again and again
    $o{http} = 'cometa_send_timeout 5s; keepalive_requests 1000000;'
        . 'cometa_takeover on limit=off;'
        . (defined $o{http} ? $o{http} : '');
    $o{server} = 'location = /pid { return 200 $pid; }'
        . (defined $o{server} ? $o{server} : '');

    my $connections = delete $o{connections} || 1024;
    my $conf = cometa_conf(listen => 'reuseport', %o);
    $conf =~ s/worker_connections \K\d+/$connections/;

    return $conf;
}


# Processes

sub master {
    my ($t) = @_;

    my $pid;

    # nginx makes the file a moment before it writes to it
    wait_for(sub { ($pid) = $t->read_file('nginx.pid') =~ /(\d+)/ })
        or die "no process id in nginx.pid\n";

    return $pid;
}

# Children of the master that live, including those that are leaving.

sub processes {
    my ($t) = @_;

    my $master = master($t);

    return grep {
        my $stat = slurp("/proc/$_/stat");
        $stat =~ /\) (\S) (\d+) / && $2 == $master && $1 ne 'Z'
    } sort { $a <=> $b } map { m!(\d+)! } glob '/proc/[0-9]*';
}

# Waits for an nginx that a test has ended by other means than stop() of the
# library.  stop() reads the pid file, which has gone by then, so the library
# has to know.  The process is a child that was not reaped, so no other process
# can have its pid.

sub nginx_ends {
    my ($t, $master, $timeout) = @_;

    wait_for(sub { slurp("/proc/$master/stat") !~ /\) [^Z] / },
        $timeout || 20) or die "nginx does not end\n";

    $t->write_file('nginx.pid', "$master\n")->stop();
    unlink $t->testdir() . '/nginx.pid';

    return 1;
}

# Workers that accept connections: their process title shows that.

sub serving {
    my ($t) = @_;
    return grep {
        slurp("/proc/$_/cmdline") =~ /worker process[\0 ]*\z/
    } processes($t);
}

# Stops processes, and waits until they stand still: the signal arrives a moment
# after kill() has returned, and the worker may do something until then.

sub stand_still {
    my (@pids) = @_;

    kill 'STOP', @pids;

    wait_for(sub { !grep { slurp("/proc/$_/stat") =~ /\) [^TZX] / } @pids })
        or die "@pids do not stand still\n";
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or return '';
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

sub fds {
    my ($pid) = @_;
    my @fds = glob "/proc/$pid/fd/*" or die "no process $pid\n";
    return scalar @fds;
}

# Kilobytes.

sub rss {
    my ($pid) = @_;
    slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m
        or die "no process $pid\n";
    return $1;
}

# Waits until that many workers serve, and none of the old ones.  Returns their
# pids.  It dies if that does not happen, because a test that then signals "the
# first of them" would signal itself.

sub wait_serving {
    my ($t, $n, @old) = @_;

    my %old = map { $_ => 1 } @old;
    my @now;

    wait_for(sub {
        @now = serving($t);
        return @now == $n && !grep { $old{$_} } @now;
    }, 10) or die "$n workers should serve: @now\n";

    return @now;
}

sub reload_all {
    my ($t, $n) = @_;

    my @old = serving($t);
    $t->reload();

    return wait_serving($t, $n, @old);
}

# Waits until these are not workers any more.

sub wait_gone {
    my ($t, $timeout, @pids) = @_;

    die "nobody to wait for\n" unless @pids;

    my %pids = map { $_ => 1 } @pids;

    return wait_for(sub { !grep { $pids{$_} } processes($t) }, $timeout);
}


# Devices and callers

use constant TRIES => 400;

sub device_on {
    my ($pid, %o) = @_;

    for (1 .. TRIES) {
        my $d = device(%o);
        die "attach: $d->{status}\n" if $d->{status} !~ /^(?:200|101)$/;
        return $d if $d->header('Pid') == $pid;
        $d->close();
    }

    die "no attach on worker $pid\n";
}

# A keep-alive connection of a caller.

sub stream_on {
    my ($pid, %o) = @_;

    for (1 .. TRIES) {
        my $s = caller_stream(%o);
        $s->write(join CRLF, 'GET /pid HTTP/1.1', 'Host: localhost', '', '');
        return $s if response($s)->{body} eq $pid;
        $s->close();
    }

    die "no connection to worker $pid\n";
}

# In a few words: status, and error or reply.

sub text {
    my ($r) = @_;
    return "$r->{status} " . substr($r->{json}{error} || $r->{body}, 0, 60);
}

# A call that the device must get and answer: 'yes', or what went wrong.

sub reached {
    my ($d, %o) = @_;

    my $message = 'm' . rand();
    my $call = call_start($d->{app}, $d->{device}, $message, %o);

    my $got = $d->read_chunk(4);

    return 'nothing came: ' . text(call_end($call)) unless defined $got;
    return "came: $got" if $got ne $message;

    $d->send_chunk("re: $message");

    my $r = call_end($call);
    return $r->{body} eq "re: $message" ? 'yes' : text($r);
}

sub list {
    my (%o) = @_;
    my $r = stats('app1/devices', %o);
    my @ids = sort @{$r->{json}{devices} || [ "status $r->{status}" ]};
    return @ids;
}

sub num_devices {
    my (%o) = @_;
    my $r = stats('app1', %o);
    return defined $r->{json}{stats} ? $r->{json}{stats}{num_devices} : -1;
}

sub offline {
    my ($id, %o) = @_;
    return wait_for(sub {
        stats("app1/devices/$id", %o)->{status} == 404
    }, 2);
}

# Alerts other than these; to be called after nginx has stopped.

sub expected_alerts {
    my ($t, @expected) = @_;

    return join "\n", grep {
        my $line = $_;
        !grep { $line =~ $_ } @expected
    } $t->read_file('error.log') =~ /^.*\[(?:alert|emerg)\].*$/gm;
}


# Load

# A daemon whose devices answer "ID got MESSAGE", and attach again whenever
# they are closed.  Returns when all are attached.

sub keep_attached {
    my ($t, @ids) = @_;

    port(8080);
    my $ready = $t->testdir() . '/attached';

    $t->run_daemon(sub {
        my %devices = map { $_ => attach_again($_) } @ids;
        write_ready($ready);

        for ( ;; ) {
            my $select = IO::Select->new(map { $_->socket() }
                values %devices);
            $select->can_read(1);
            serve(\%devices, $_) for @ids;
        }
    });

    return $t->waitforfile($ready);
}

sub serve {
    my ($devices, $id) = @_;

    my $d = $devices->{$id};

    # first, because it reads, and what it has read must be handled
    my $gone = $d->gone();

    while (defined(my $payload = $d->read_chunk(0))) {
        last if $payload eq '';
        $d->send_chunk("$id got $payload");
    }

    $devices->{$id} = attach_again($id) if $gone;
}

sub attach_again {
    my ($id) = @_;

    my $d;

    # a worker may die while it is attaching
    wait_for(sub {
        $d = eval { device(device => $id, timeout => 2) };
        return $d && $d->{status} == 200;
    }, 20) or die "$id does not attach\n";

    return $d;
}

sub write_ready {
    my ($name) = @_;
    open my $fh, '>', $name or die "$name: $!\n";
    print $fh "ready\n";
    close $fh or die "$name: $!\n";
}

# A daemon that calls these devices, each time with another message.  On TERM it
# writes how the calls ended, for load_report().

sub keep_calling {
    my ($t, @ids) = @_;

    port(8080);
    my $report = $t->testdir() . '/calls';

    $t->run_daemon(sub {
        my %seen = (slowest => 0);
        my $end;
        local $SIG{TERM} = sub { $end = 1 };

        for (my $n = 0; !$end; $n++) {
            call_once(\%seen, $ids[$n % @ids], "$$.$n");
        }

        open my $fh, '>', "$report.new" or die "$report: $!\n";
        print $fh JSON::PP::encode_json(\%seen);
        close $fh or die "$report: $!\n";
        rename "$report.new", $report;
    });

    return $t;
}

sub call_once {
    my ($seen, $id, $message) = @_;

    my $r = eval {
        call('app1', $id, $message, keepalive => 0,
            headers => { Prefer => 'wait=5' })
    };
    my $what = !$r ? 'no connection' : $r->{status} != 200 ? text($r)
        : $r->{body} eq "$id got $message" ? 'right' : 'wrong';

    $seen->{$what}++;
    $seen->{slowest} = $r->{took} if $r && $r->{took} > $seen->{slowest};
}

sub load_report {
    my ($t) = @_;
    $t->stop_daemons();
    return JSON::PP::decode_json($t->read_file('calls'));
}

1;

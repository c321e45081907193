package Test::Nginx::Cometa;

# What the tests of this module share: the usual nginx.conf, configuration
# checks, certificates and a device in the background.  Devices and callers have
# files of their own; this file exports their functions, too.

use warnings;
use strict;

use base qw/ Exporter /;

use IO::Select;
use Test::Nginx;
use Test::Nginx::Cometa::Caller;
use Test::Nginx::Cometa::Device;
use Test::Nginx::Cometa::Stopwatch;
use Test::Nginx::Cometa::Stream;
use Time::HiRes qw/ sleep time /;

our @EXPORT = (qw/
    memory_counts cometa_conf config_test certificate answer log_count wait_log wait_for
    device outcome figures figure_is webhook_growth workers random_bytes
    stopwatch
/, @Test::Nginx::Cometa::Caller::EXPORT);

use constant {
    APP => '^/v1/applications/(?<app>[^/]+)',
    DEVICE => '/devices/(?<device>[^/]+)'
};


# The usual configuration.  Options:
#
#   workers     number of worker processes (1)
#   zone        size of the zone (16m)
#   main, events, http, server
#               text for that level
#   send, attach, list, app
#               text for one of the locations
#   listen      more words for the plain listen (reuseport)
#   ssl, http2  also listen on 8443 with TLS, on 8082 with plain HTTP/2
#   shutdown    worker_shutdown_timeout (1s)

sub cometa_conf {
    my %o = (
        workers => 1, zone => '16m', shutdown => '1s', listen => '',
        (map { $_ => '' } qw/ main events http server send attach list app /),
        @_
    );

    my ($app, $device) = (APP, DEVICE);
    my $listen = '';

    $listen .= 'listen 127.0.0.1:8082 http2;' if $o{http2};

    $listen .= "listen 127.0.0.1:8443 ssl;\n"
        . "ssl_certificate %%TESTDIR%%/localhost.crt;\n"
        . "ssl_certificate_key %%TESTDIR%%/localhost.key;\n" if $o{ssl};

    return <<"EOF";
%%TEST_GLOBALS%%
daemon off;
worker_processes $o{workers};
worker_shutdown_timeout $o{shutdown};
$o{main}

events {
    worker_connections 1024;
    $o{events}
}

http {
    %%TEST_GLOBALS_HTTP%%

    cometa_zone zone=cometa:$o{zone};
    cometa_secret \$secret;

    map \$app \$secret {
        app1    s3cret;
        app2    other;
    }

    $o{http}

    server {
        listen 127.0.0.1:8080 $o{listen};
        $listen
        server_name localhost;

        $o{server}

        location ~ $app$device/send\$ {
            cometa_send;
            $o{send}
        }

        location ~ $app$device\$ {
            cometa_attach;
            cometa_stats;
            $o{attach}
        }

        location ~ $app/devices\$ {
            cometa_device *;
            cometa_stats;
            $o{list}
        }

        location ~ $app\$ {
            cometa_stats;
            $o{app}
        }
    }
}
EOF
}


# Checks a configuration with "nginx -t" beside the running one.  Returns
# whether it is good, and what nginx said.

sub config_test {
    my ($t, $conf) = @_;

    my $dir = $t->testdir();
    my $globals = "pid $dir/check.pid;\nerror_log $dir/check.log;\n"
        . ($ENV{TEST_NGINX_GLOBALS} || '');

    # These errors are expected: they must not get into the error log.
    $conf =~ s/%%TEST_GLOBALS%%/$globals/g;

    $t->write_file_expand('check.conf', $conf);

    local $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} || (),
        'detect_odr_violation=0';

    my $command = "'$Test::Nginx::NGINX' -t -p '$dir/' -c check.conf -e stderr";
    my $said = `$command 2>&1`;

    return ($? == 0, $said);
}


# A self-signed certificate, NAME.crt and NAME.key.

sub certificate {
    my ($t, $name) = @_;

    my $dir = $t->testdir();

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        . " -nodes -days 3 -subj /CN=$name -keyout '$dir/$name.key'"
        . " -out '$dir/$name.crt' >>'$dir/openssl.out' 2>&1") == 0
        or die "Can't make the certificate: "
            . $t->read_file('openssl.out') . "\n";

    return $t;
}


# A daemon that attaches devices and answers all calls until it is stopped.
# Options are those of a device, and
#
#   devices     list of ids (the one of "device")
#   reply       function: payload, id -> payload (echo); undef: no reply
#
# Returns when all devices are attached.

my $answers = 0;

sub answer {
    my ($t, %o) = @_;

    my $ready = $t->testdir() . '/answer.' . ++$answers;

    # Ports are chosen before the fork.
    port($o{port} || ($o{ssl} ? 8443 : 8080));

    $t->run_daemon(\&answer_daemon, $ready, %o);
    $t->waitforfile($ready) or die "devices did not attach\n";

    return $t;
}

sub answer_daemon {
    my ($ready, %o) = @_;

    my $ids = delete $o{devices} || [ $o{device} || 'dev1' ];
    my $reply = delete $o{reply} || sub { $_[0] };

    my %devices;
    my $select = IO::Select->new();

    for my $id (@$ids) {
        my $d = device(%o, device => $id);
        die "$id: $d->{status}\n" if $d->{status} !~ /^(?:200|101)$/;
        $devices{$d->socket()} = $d;
        $select->add($d->socket());
    }

    open my $fh, '>', $ready or die "$ready: $!\n";
    print $fh "ready\n";
    close $fh;

    while (my @readable = $select->can_read()) {
        for my $d (map { $devices{$_} } @readable) {
            $select->remove($d->socket()) unless answer_all($d, $reply);
        }
    }
}

sub answer_all {
    my ($d, $reply) = @_;

    # first, because it may read a message that has to be answered
    my $gone = $d->gone();

    while (defined(my $payload = $d->read_chunk(0))) {
        return 0 if $payload eq '';

        my $answer = $reply->($payload, $d->{device});
        $d->send_chunk($answer) if defined $answer;
    }

    return !$gone;
}

# Attaches a device.  With the form "W" it is one over a WebSocket.

sub device {
    my (%o) = @_;

    return Test::Nginx::Cometa::Device->attach(%o)
        unless ($o{form} || '') eq 'W';

    require Test::Nginx::Cometa::Framed;
    return Test::Nginx::Cometa::Framed->attach(%o);
}


# For tests that measure the memory of workers: AddressSanitizer, if nginx is
# built with it, must not keep freed memory. To be called before nginx runs.

sub memory_counts {
    $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} || (),
        'quarantine_size_mb=1';
}


# What the error log says

sub log_count {
    my ($t, $re) = @_;
    return scalar(() = $t->read_file('error.log') =~ /$re/gm);
}

sub wait_log {
    my ($t, $re, $n) = @_;
    return wait_for(sub { log_count($t, $re) >= ($n || 1) });
}

# Repeats the check until it is true.

sub wait_for {
    my ($check, $timeout) = @_;

    my $end = Test::Nginx::Cometa::Stream::deadline($timeout || 5);

    until ($check->()) {
        return 0 if time() > $end;
        sleep(0.02);
    }

    return 1;
}


# How a call ended: "200 reply" or "404 device_offline".

sub outcome {
    my ($r) = @_;
    return "$r->{status} " . ($r->{status} == 200 ? $r->{body}
        : $r->{json}{error} || $r->{body});
}

# The figures of an application.  The answer must have them, because a missing
# figure would look like 0.  And the wait until one of them is n.

sub figures {
    my ($app) = @_;
    my $r = stats($app);
    return $r->{json}{stats} || die "no figures of $app: $r->{status}\n";
}

sub figure_is {
    my ($app, $name, $n) = @_;
    return wait_for(sub { figures($app)->{$name} eq $n });
}

# A function that says what the figures of the application's webhook have grown
# by since it was called last, at first since nginx runs: "sent failed retries
# dropped".  It leaves the figures of then in the hash, if one is given.

sub webhook_growth {
    my ($app, $before) = @_;
    $before ||= {};

    return sub {
        my $now = figures($app);

        return join ' ', map {
            my $growth = $now->{"webhook_$_"} - ($before->{$_} || 0);
            $before->{$_} = $now->{"webhook_$_"};
            $growth
        } qw/ sent failed retries dropped /;
    };
}

# Random bytes that are a message wherever they are cut and whichever way they
# are turned: a reply that begins with 07 is an event, 06 alone is a heartbeat.

sub random_bytes {
    my ($n) = @_;

    my @bytes = map { chr } 0 .. 5, 8 .. 255;

    return join '', map { $bytes[rand @bytes] } 1 .. $n;
}

# Keep-alive connections, at least n to each of so many workers: a list of
# lists.  The server needs "add_header Pid $pid always".

sub workers {
    my ($workers, $n) = @_;

    my %streams;

    for (1 .. 100 * $workers * $n) {
        my $stream = caller_stream();
        my $r = stats('app1', stream => $stream);
        push @{$streams{$r->{headers}{pid}}}, $stream;

        return values %streams if $workers == grep { @$_ >= $n }
            values %streams;
    }

    die "not so many workers serve\n";
}

1;

package Test::Nginx;

# Runs an nginx of its own in a temporary directory and talks to it.
#
# The interface is that of nginx's test library of the same name, so the tests
# run with either: "make test-nginx-tests LIB=dir" runs them with that one. This
# library is as strict as nginx's, and dies if it is used in another way:
#
#   run()           takes the name of a file, or nothing
#   stop(), reload()
#                   read the pid file: a test that ends nginx in another way
#                   calls ended() of Test::Nginx::Cometa
#   the destructor  stops nginx and makes the two last tests (the error log): a
#                   test whose named functions use the object ends with undef,
#                   because else it is destroyed after the plan is checked

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ log_in log_out http http_get http_head port /;
our @EXPORT_OK = qw/ http_start http_end http_content /;
our %EXPORT_TAGS = (gzip => []);

use Carp qw/ croak /;
use File::Path qw/ rmtree /;
use File::Spec;
use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use POSIX qw/ :sys_wait_h /;
use Test::More qw//;
use Test::Nginx::HTTP;
use Time::HiRes qw/ sleep time /;

our $NGINX = find_nginx();
our %ports;     # wanted port => { port, socket }: that of the lock
our $TODO;

use constant START_TIMEOUT => 60;
use constant STOP_TIMEOUT => 60;
use constant STEP => 0.05;

# Names of has_module() whose switch is not made of the name alone.  A module
# that is built by default is there if the switch that removes it is not given.

my %with = map { $_ => "--with-${_}_module" } qw/
    http_ssl http_v2 http_v3 http_realip http_auth_request http_stub_status
    http_dav http_sub http_addition http_slice http_gunzip mail_ssl
    stream_ssl stream_realip stream_ssl_preread
/;

my %without = map { s/^http_//r => "--without-${_}_module" } qw/
    http_access http_auth_basic http_autoindex http_browser http_charset
    http_empty_gif http_fastcgi http_geo http_grpc http_gzip http_limit_conn
    http_limit_req http_map http_memcached http_mirror http_proxy
    http_referer http_rewrite http_scgi http_split_clients http_ssi
    http_upstream_hash http_upstream_ip_hash http_upstream_keepalive
    http_upstream_least_conn http_upstream_random http_upstream_zone
    http_userid http_uwsgi
/;


sub find_nginx {
    return $ENV{TEST_NGINX_BINARY} if defined $ENV{TEST_NGINX_BINARY};

    for my $dir (File::Spec->path(), '/usr/sbin', '/usr/local/sbin') {
        return "$dir/nginx" if -x "$dir/nginx";
    }

    return 'nginx';
}


sub new {
    my ($class) = @_;

    my $version = `'$NGINX' -V 2>&1`;
    Test::More::BAIL_OUT("cannot run $NGINX") if $? != 0;

    my $self = bless {
        _pid => $$,
        _alerts => 1,
        _daemons => [],
        _configure => $version,
        _testdir => tempdir('nginx-test-XXXXXXXXXX', TMPDIR => 1)
    }, $class;

    # Workers may run as another user.
    chmod 0755, $self->{_testdir};

    return $self;
}


# A test that is interrupted must not leave its nginx running.

$SIG{$_} ||= sub { exit 1 } for qw/ INT TERM HUP /;

# If a destructor dies, that is only a warning.  The test still fails, because
# its last tests are missing.

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);

    return if $self->{_pid} != $$;

    my $stopped = eval { $self->stop(); 1 };
    my $error = $@;

    $self->end($self->{_started});
    $self->stop_daemons();

    $self->check_log() if $stopped && Test::More->builder->expected_tests;

    Test::More::diag($self->read_log()) if $ENV{TEST_NGINX_CATLOG};

    rmtree($self->{_testdir}) unless $ENV{TEST_NGINX_LEAVE};

    die $error unless $stopped;
}

sub check_log {
    my ($self) = @_;

    my $log = $self->read_log();

    {
        local $TODO = $self->{_alerts} ? undef : 'alerts';
        my $alerts = join "\n", $log =~ /^.*\[(?:alert|emerg)\].*$/gm;
        Test::More::is($alerts, '', 'no alerts');
    }

    my $reports = join "\n", $log =~ /^.*(?:Sanitizer|runtime error:).*$/gm;
    Test::More::is($reports, '', 'no sanitizer errors');
}

sub read_log {
    my ($self) = @_;
    return -e "$self->{_testdir}/error.log" ? $self->read_file('error.log')
        : '';
}


# What is there

sub has {
    my ($self, @names) = @_;

    for my $name (@names) {
        Test::More::plan(skip_all => "no $name available")
            unless $self->has_module($name);
    }

    return $self;
}

sub has_module {
    my ($self, $name) = @_;

    return $self->{_configure} =~ /\Q$with{$name}\E/ if $with{$name};
    return $self->{_configure} !~ /\Q$without{$name}\E/ if $without{$name};
    return $self->{_configure} =~ /--with-$name\b/
        if $name =~ /^(?:mail|stream|debug|threads)$/;
    return $self->{_configure} =~ $name;
}

sub has_version {
    my ($self, $need) = @_;

    my ($have) = $self->{_configure} =~ m!nginx version: \S+?/([0-9.]+)!;
    my @have = split /\./, $have;

    for my $n (split /\./, $need) {
        my $h = shift @have || 0;
        return $h > $n if $h != $n;
    }

    return 1;
}

sub has_daemon {
    my ($self, $daemon) = @_;

    return $self if grep { -x "$_/$daemon" } File::Spec->path();

    Test::More::plan(skip_all => "$daemon not found");
}

sub plan {
    my ($self, $n) = @_;
    Test::More::plan(tests => $n + 2);
    return $self;
}

sub todo_alerts {
    my ($self) = @_;
    $self->{_alerts} = 0;
    return $self;
}


# Files

sub testdir {
    my ($self) = @_;
    return $self->{_testdir};
}

sub write_file {
    my ($self, $name, $text) = @_;

    open my $fh, '>', "$self->{_testdir}/$name"
        or croak "Can't create $name: $!";
    binmode $fh;
    print $fh $text or croak "Can't write $name: $!";
    close $fh or croak "Can't write $name: $!";

    return $self;
}

sub read_file {
    my ($self, $name) = @_;
    return slurp("$self->{_testdir}/$name");
}

sub slurp {
    my ($name) = @_;

    open my $fh, '<', $name or croak "Can't open $name: $!";
    binmode $fh;
    local $/;

    my $text = <$fh>;
    return defined $text ? $text : '';
}

sub write_file_expand {
    my ($self, $name, $text) = @_;

    $text =~ s/%%TEST_GLOBALS%%/$self->test_globals()/gme;
    $text =~ s/%%TEST_GLOBALS_HTTP%%/$self->test_globals_http()/gme;
    $text =~ s/%%TESTDIR%%/$self->{_testdir}/gms;

    $text =~ s/127\.0\.0\.1:(8\d\d\d)/'127.0.0.1:' . port($1)/gmse;
    $text =~ s/%%PORT_(\d+)%%/port($1)/gmse;

    return $self->write_file($name, $text);
}

sub test_globals {
    my ($self) = @_;

    my $given = $ENV{TEST_NGINX_GLOBALS} || '';
    $self->{_globals} = 1;

    my $text = "pid $self->{_testdir}/nginx.pid;\n"
        . "error_log $self->{_testdir}/error.log debug;\n";

    # if root starts nginx, its workers run as nobody, and cannot enter our
    # directory
    $text .= "user root;\n" if $> == 0 && $given !~ /\buser\s/;

    return "$text$given\n";
}

sub test_globals_http {
    my ($self) = @_;

    my $dir = $self->{_testdir};
    my $text = "root $dir;\naccess_log $dir/access.log;\n"
        . "client_body_temp_path $dir/client_body_temp;\n";

    for my $m (qw/ proxy fastcgi uwsgi scgi /) {
        $text .= "${m}_temp_path $dir/${m}_temp;\n" if $self->has_module($m);
    }

    return $text . ($ENV{TEST_NGINX_GLOBALS_HTTP} || '') . "\n";
}


# nginx itself

sub run {
    my ($self, $file) = @_;

    if (defined $file) {
        croak "run() takes the name of a file, not \"$file\"" unless -f $file;
        $self->write_file_expand('nginx.conf', slurp($file));
    }

    my $pidfile = "$self->{_testdir}/nginx.pid";
    croak 'run(), and the pid file of the last nginx is still there'
        if -e $pidfile;

    my $pid = fork();
    croak "Can't fork: $!" unless defined $pid;

    if ($pid == 0) {
        set_asan_options();
        exec($NGINX, $self->nginx_args()) or POSIX::_exit(1);
    }

    unless ($self->waitforfile($pidfile, $pid)) {
        my $how = kill(0, $pid) ? 'no pid file after ' . START_TIMEOUT . ' s'
            : 'it has ended, ' . how_ended($?);

        $self->end($pid);
        die "Can't start nginx: $how\n" . last_lines($self->read_log(), 10);
    }

    $self->{_started} = $pid;

    # the pid file exists a moment before the pid is in it
    wait_until(sub { -s $pidfile ? 1 : undef });

    return $self;
}

sub nginx_args {
    my ($self) = @_;

    my $dir = $self->{_testdir};
    my @args = ('-p', "$dir/", '-c', 'nginx.conf', '-e', 'error.log');

    return @args if $self->{_globals};
    return (@args, '-g', "pid $dir/nginx.pid; error_log $dir/error.log debug;");
}

# Why it has not started must be seen from the output of the test, since its
# directory is removed.

sub how_ended {
    my ($status) = @_;
    return $status & 127 ? 'signal ' . ($status & 127)
        : 'exit code ' . ($status >> 8);
}

sub last_lines {
    my ($text, $n) = @_;

    my @lines = split /\n/, $text;
    splice @lines, 0, -$n if @lines > $n;

    return join '', map { "    $_\n" } @lines;
}

# A module that is loaded at run time may have symbols that the program has,
# too.

sub set_asan_options {
    my $options = $ENV{ASAN_OPTIONS} || '';
    return if $options =~ /detect_odr_violation/;
    $ENV{ASAN_OPTIONS} = join ':', grep { length } $options,
        'detect_odr_violation=0';
}

sub try_run {
    my ($self, $message) = @_;

    return $self if eval { $self->run(); 1 };

    Test::More::plan(skip_all => $message);
}

sub reload {
    my ($self) = @_;
    kill 'HUP', $self->master() if $self->{_started};
    return $self;
}

sub stop {
    my ($self) = @_;

    return $self unless $self->{_started};

    $self->end($self->master());
    $self->{_started} = 0;

    return $self;
}

# The pid in the pid file.

sub master {
    my ($self) = @_;
    my ($pid) = $self->read_file('nginx.pid') =~ /\A(\d+)\s*\z/
        or croak 'no process id in nginx.pid';
    return $pid;
}

sub end {
    my ($self, $pid) = @_;

    return unless $pid;

    for my $signal (qw/ QUIT TERM KILL /) {
        kill $signal, $pid;
        last if reaped($pid, STOP_TIMEOUT);
    }
}

sub reaped {
    my ($pid, $timeout) = @_;

    my $end = time() + $timeout;

    while (waitpid($pid, WNOHANG) == 0) {
        return 0 if time() > $end;
        sleep(STEP);
    }

    return 1;
}

sub dump_config {
    my ($self) = @_;

    local %ENV = %ENV;
    set_asan_options();

    return join '', map { `'$NGINX' $_ -T 2>&1` }
        join ' ', map { "'$_'" } $self->nginx_args();
}


# Daemons beside nginx

sub run_daemon {
    my ($self, $code, @args) = @_;

    my $pid = fork();
    croak "Can't fork: $!" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP /;

        if (ref $code eq 'CODE') {
            $code->(@args);
            exit 0;
        }

        exec($code, @args) or POSIX::_exit(1);
    }

    push @{$self->{_daemons}}, $pid;

    return $self;
}

sub stop_daemons {
    my ($self) = @_;

    while (my $pid = shift @{$self->{_daemons}}) {
        for my $signal (qw/ TERM KILL /) {
            kill $signal, $pid;
            last if reaped($pid, 2);
        }
    }

    return $self;
}

sub waitforfile {
    my ($self, $file, $pid) = @_;

    return wait_until(sub {
        return -e $file ? 1
            : $pid && waitpid($pid, WNOHANG) != 0 ? 0 : undef;
    });
}

sub waitforsocket {
    my ($self, $peer) = @_;
    return wait_until(sub {
        return IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $peer)
            ? 1 : undef;
    });
}

# Waits until the check returns a value, and returns that; undef means "not
# yet".

sub wait_until {
    my ($check) = @_;

    my $end = time() + START_TIMEOUT;

    do {
        my $answer = $check->();
        return $answer if defined $answer;
        sleep(STEP);
    } while (time() < $end);

    return 0;
}


# Ports

# The port that stands for $num in this run: $num, or another one of its block
# if $num is in use.  A socket of the other protocol stays open as a lock, so
# that tests that run at the same time get different ports.

sub port {
    my ($num, %o) = @_;

    $ports{$num} ||= reserve_port($num, $o{udp} ? 'udp' : 'tcp');

    return $o{socket} ? $ports{$num}{socket} : $ports{$num}{port};
}

sub reserve_port {
    my ($num, $proto) = @_;

    my $other = $proto eq 'tcp' ? 'udp' : 'tcp';

    for my $try (0 .. 100) {
        my $port = $try ? int($num / 500) * 500 + int(rand(500)) : $num;

        my $lock = open_port($other, $port) or next;
        open_port($proto, $port) or next;

        return { port => $port, socket => $lock };
    }

    croak "no free port near $num";
}

sub open_port {
    my ($proto, $port) = @_;

    return IO::Socket::INET->new(
        Proto => $proto,
        LocalAddr => "127.0.0.1:$port",
        $proto eq 'tcp' ? (Listen => 1, ReuseAddr => 1) : ()
    );
}

1;

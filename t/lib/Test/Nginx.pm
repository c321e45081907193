package Test::Nginx;

# Runs an nginx of its own in a temporary directory and talks to it.
#
# The interface is that of nginx's test library of the same name, so the
# tests run with either.  The object must outlive all requests: when it goes,
# nginx is stopped and the two last tests (the error log) are made.

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
use Scalar::Util qw/ weaken /;
use Socket qw/ SOCK_STREAM SOCK_DGRAM CRLF /;
use Test::More qw//;
use Time::HiRes qw/ sleep time /;

our $NGINX = find_nginx();
our $TODO;

use constant HTTP_TIMEOUT => 8;
use constant START_TIMEOUT => 10;
use constant STOP_TIMEOUT => 10;
use constant STEP => 0.05;

my %ports;      # wanted port => { port, lock }
my @live;       # weak references, for the END block

# Names of has_module() that need more than the name itself.  A module that
# is built unless told otherwise is known by the absence of its switch.

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

    # Workers may have been told to drop their privileges.
    chmod 0755, $self->{_testdir};

    push @live, $self;
    weaken($live[-1]);

    return $self;
}


# A test that is interrupted must not leave its nginx behind.

$SIG{$_} ||= sub { exit 1 } for qw/ INT TERM HUP /;

# Objects held by a closure would otherwise be destroyed after the plan has
# been checked.

END {
    my $status = $?;
    $_ && $_->finish() for @live;
    $? = $status if $status;
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->finish();
}

sub finish {
    my ($self) = @_;

    return if $self->{_pid} != $$ || $self->{_finished}++;

    {
        local $?;
        $self->stop();
        $self->stop_daemons();
    }

    $self->check_log() if Test::More->builder->expected_tests;

    Test::More::diag($self->read_log()) if $ENV{TEST_NGINX_CATLOG};

    return if $ENV{TEST_NGINX_LEAVE};

    rmtree($self->{_testdir});
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

    open my $fh, '<', "$self->{_testdir}/$name"
        or croak "Can't open $name: $!";
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

    $text =~ s/127\.0\.0\.1:(8\d\d\d)(?!\d)/'127.0.0.1:' . port($1)/gmse;
    $text =~ s/%%PORT_(\d+)%%/port($1)/gmse;

    return $self->write_file($name, $text);
}

sub test_globals {
    my ($self) = @_;

    my $given = $ENV{TEST_NGINX_GLOBALS} || '';
    my $text = "pid $self->{_testdir}/nginx.pid;\n"
        . "error_log $self->{_testdir}/error.log debug;\n";

    # root starts workers as nobody, who could not enter our directory
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
    my ($self, $conf) = @_;

    $self->write_file_expand('nginx.conf', $conf) if defined $conf;

    my $pidfile = "$self->{_testdir}/nginx.pid";
    unlink $pidfile;

    my $pid = fork();
    croak "Can't fork: $!" unless defined $pid;

    if ($pid == 0) {
        set_asan_options();
        exec($NGINX, $self->nginx_args()) or POSIX::_exit(1);
    }

    $self->{_started} = $pid;

    unless ($self->waitforfile($pidfile, $pid)) {
        $self->stop();
        die "Can't start nginx\n";
    }

    return $self;
}

sub nginx_args {
    my ($self) = @_;
    return ('-p', "$self->{_testdir}/", '-c', 'nginx.conf', '-e', 'error.log');
}

# A module loaded at run time brings symbols that the program has, too.

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
    kill 'HUP', $self->{_started} if $self->{_started};
    return $self;
}

sub stop {
    my ($self) = @_;

    my $pid = delete $self->{_started} or return $self;

    for my $signal (qw/ QUIT TERM KILL /) {
        kill $signal, $pid;
        last if reaped($pid, STOP_TIMEOUT);
    }

    return $self;
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


# Daemons beside it

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
        return -s $file ? 1
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

# Waits until the check says what it is; undef means "not yet".

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

# The port that stands for $num in this run: $num, or another of its block if
# somebody has it.  The other protocol's socket stays open as a lock, so tests
# that run at once agree.

sub port {
    my ($num, %o) = @_;

    $ports{$num} ||= reserve_port($num, $o{udp} ? 'udp' : 'tcp');

    return $o{socket} ? $ports{$num}{lock} : $ports{$num}{port};
}

sub reserve_port {
    my ($num, $proto) = @_;

    my $other = $proto eq 'tcp' ? 'udp' : 'tcp';

    for my $try (0 .. 100) {
        my $port = $try ? int($num / 500) * 500 + int(rand(500)) : $num;

        my $lock = open_port($other, $port) or next;
        open_port($proto, $port) or next;

        return { port => $port, lock => $lock };
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


# Plain HTTP

sub http_get {
    my ($url, %o) = @_;
    return http("GET $url HTTP/1.0" . CRLF . 'Host: localhost' . CRLF . CRLF,
        %o);
}

sub http_head {
    my ($url, %o) = @_;
    return http("HEAD $url HTTP/1.0" . CRLF . 'Host: localhost' . CRLF . CRLF,
        %o);
}

sub http {
    my ($request, %o) = @_;

    my $s = http_start($request, %o);

    return $s if !defined $s || $o{start} || $o{aborted};
    return http_end($s);
}

sub http_start {
    my ($request, %o) = @_;

    return with_alarm(sub {
        my $s = $o{socket} || http_connect(%o);

        log_out($request);
        $s->print($request);

        sleep($o{sleep}) if $o{sleep};

        if (defined $o{body}) {
            log_out($o{body});
            $s->print($o{body});
        }

        $s->close() if $o{aborted};

        return $s;
    });
}

sub http_connect {
    my (%o) = @_;

    my $class = 'IO::Socket::INET';
    my @ssl;

    if ($o{SSL}) {
        require IO::Socket::SSL;
        $class = 'IO::Socket::SSL';
        @ssl = (
            SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
            map { $_ => $o{$_} } grep { /^SSL_/ } keys %o
        );
    }

    my $s = $class->new(
        Proto => 'tcp',
        PeerAddr => $o{PeerAddr} || '127.0.0.1:' . port($o{SSL} ? 8443 : 8080),
        @ssl
    ) or die "Can't connect to nginx: $!\n";

    $s->autoflush(1);

    return $s;
}

sub http_end {
    my ($s) = @_;

    my $reply = with_alarm(sub {
        local $/;
        my $text = $s->getline();
        return defined $text ? $text : '';
    });

    log_in($reply) if defined $reply;

    return $reply;
}

sub with_alarm {
    my ($code) = @_;

    my $answer = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        local $SIG{PIPE} = sub { die "sigpipe\n" };
        alarm(HTTP_TIMEOUT);
        my $got = $code->();
        alarm(0);
        $got;
    };
    my $error = $@;

    alarm(0);
    log_in("died: $error") if $error;

    return $answer;
}

sub http_content {
    my ($reply) = @_;

    return '' unless defined $reply && $reply =~ /\x0d\x0a?\x0d\x0a?(.*)/ms;

    my $body = $1;
    my ($head) = $reply =~ /\A(.*?)\x0d\x0a?\x0d\x0a?/ms;

    return $body unless $head =~ /^Transfer-Encoding:\s*chunked/mi;

    my $content = '';

    while ($body =~ s/\A([0-9a-f]+)[^\x0a]*\x0a//i) {
        my $size = hex($1) or last;
        $content .= substr($body, 0, $size, '');
        $body =~ s/\A\x0d?\x0a//;
    }

    return $content;
}


# Traffic, for who looks on

sub log_out {
    log_traffic('>>', @_);
}

sub log_in {
    log_traffic('<<', @_);
}

sub log_traffic {
    my ($prefix, @text) = @_;

    return unless $ENV{TEST_NGINX_VERBOSE};

    my $text = join '', map { defined ? $_ : '' } @text;
    $text =~ s/([^\x20-\x7e\x0a])/sprintf('\\x%02x', ord $1)/gmxe;
    Test::More::note("$prefix $_") for split /\x0a/, $text;
}

1;

#!/usr/bin/perl

# Devices over the TLS libraries that are in use: they are called, stay through
# a reload that brings another certificate, update keys, and leave in order.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ abs_path /;
use File::Spec;
use POSIX qw//;
use Test::Nginx;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Metrics;
use Test::Nginx::Cometa::Workers;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant {
    CALLS => 8,         # before the reload, and after it
    LARGEST => 61440,
    BUILD => 240        # s
};

my $sources = abs_path('tls_clients');
my @both = qw/ 1.2 1.3 /;

# A library: its name, what it needs (a file, or a program in PATH) and which
# package of Debian has that, how its device is made and run (%s is the
# program), its versions of TLS, and what it does when asked to update its keys.

my @libraries = (
    {
        name => 'OpenSSL', needs => '/usr/include/openssl/ssl.h',
        package => 'libssl-dev', make => c('openssl', '-lssl -lcrypto'),
        versions => \@both, update => 'updated',
    },
    {
        name => 'GnuTLS', needs => '/usr/include/gnutls/gnutls.h',
        package => 'libgnutls28-dev', make => c('gnutls', '-lgnutls'),
        versions => \@both, update => 'updated',
    },
    {
        name => 'wolfSSL', needs => '/usr/include/wolfssl/ssl.h',
        package => 'libwolfssl-dev', make => c('wolfssl', '-lwolfssl'),
        versions => \@both, update => 'updated',
    },
    {
        name => 'NSS', needs => '/usr/include/nss/nss.h',
        package => 'libnss3-dev', versions => \@both, update => 'updated',
        make => c('nss', '-isystem /usr/include/nss -isystem'
            . ' /usr/include/nspr -lssl3 -lnss3 -lnspr4'),
    },
    {
        name => 'MbedTLS', needs => '/usr/include/mbedtls/ssl.h',
        package => 'libmbedtls-dev', versions => [ '1.2' ],
        make => c('mbedtls', '-lmbedtls -lmbedx509 -lmbedcrypto'),
    },
    {
        name => 'Python', needs => 'python3', package => 'python3',
        run => "python3 $sources/python.py", versions => \@both,
    },
    {
        name => 'Node.js', needs => 'node', package => 'nodejs',
        run => "node $sources/node.js", versions => \@both,
    },
    {
        name => 'Go', needs => 'go', package => 'golang-go',
        make => "GO111MODULE=off go build -o %s $sources/go.go",
        versions => \@both,
    },
    {
        name => 'Java', needs => 'javac', package => 'default-jdk-headless',
        make => "javac -d %s $sources/Java.java", run => 'java -cp %s'
            . ' -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 Java',
        versions => \@both,
    },
    {
        name => 'rustls', needs => '/usr/share/cargo/registry/rustls-0.20.8',
        also => 'cargo', package => 'librust-rustls-dev and cargo',
        make => "mkdir %s.d && cp -r $sources/rustls/* %s.d && cd %s.d"
            . q( && cargo build --quiet --offline --config)
            . q( 'source.crates-io.replace-with="debian"' --config)
            . q( 'source.debian.directory="/usr/share/cargo/registry"')
            . ' && cp target/debug/rustls-device %s',
        versions => \@both,
    },
);

# OpenSSL is run with each of the ciphers that are parked, and one that is not.

my $cbc = 'ECDHE-ECDSA-AES128-SHA256';
my %ciphers = (
    '1.2' => [ qw/ ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384
        ECDHE-ECDSA-CHACHA20-POLY1305 /, $cbc ],
    '1.3' => [ qw/ TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384
        TLS_CHACHA20_POLY1305_SHA256 / ],
);

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite map/)
    ->has_daemon('openssl');

my $dir = $t->testdir();
my $parks;

###############################################################################

# A device in C: how it is compiled.

sub c {
    my ($name, $libraries) = @_;
    return "cc -std=gnu11 -O1 -Wall -Wextra -Werror -o %s $sources/device.c"
        . " $sources/$name.c $libraries";
}

sub is_there {
    my ($what) = @_;
    return $what =~ m!^/! ? -e $what
        : grep { -x "$_/$what" } File::Spec->path();
}

sub missing {
    my ($library) = @_;
    return grep { defined && !is_there($_) } @$library{qw/ needs also /};
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', "$dir/$name" or return '';
    local $/;
    return scalar <$fh>;
}

# All at once: what each one says is in a file of its own.

sub make_all {
    my (@all) = @_;

    my %made;

    for my $library (grep { $_->{make} } @all) {
        my $program = "$dir/make-$library->{name}";
        my $command = $library->{make} =~ s/%s/$program/gr;

        my $pid = fork() // die "Can't fork: $!\n";

        if (!$pid) {
            open STDOUT, '>', "$program.out" or die "$program.out: $!\n";
            open STDERR, '>&', \*STDOUT;
            exec 'timeout', BUILD, 'sh', '-c', $command or POSIX::_exit(1);
        }

        $made{$pid} = $library;
    }

    for my $pid (keys %made) {
        waitpid $pid, 0;
        $made{$pid}{failed} = $?
            && slurp("make-$made{$pid}{name}.out");
    }
}

sub start {
    my ($t, $library, $version, $cipher) = @_;

    my $id = join '-', $library->{name}, $version, $cipher || ();
    my $program = "$dir/make-$library->{name}";
    my $run = ($library->{run} || '%s') =~ s/%s/$program/gr;
    my @command = ((split / /, $run), port(8443), $version, $id,
        $cipher || ());

    $t->run_daemon(sub {
        open STDOUT, '>', "$dir/$id.out" or die "$id.out: $!\n";
        open STDERR, '>', "$dir/$id.err" or die "$id.err: $!\n";
        exec @command or die "$command[0]: $!\n";
    });

    return {
        id => $id, version => $version, cipher => $cipher || '',
        update => $version eq '1.3' && $library->{update} || 'cannot'
    };
}

# What it has said, and its complaints.

sub said {
    my ($d, $re) = @_;

    my $all = sub { slurp("$d->{id}.out") . slurp("$d->{id}.err") };

    wait_for(sub { $all->() =~ $re }, 20);

    return $all->();
}

# A call of some size for a reply of another: "right", or what came instead.

sub echoes {
    my ($d, $size, $reply) = @_;

    my $call = "$reply ";
    $call .= sprintf '%x', rand 2 ** 32 while length $call < $size;
    $call = substr $call, 0, $size;

    my $r = call('app1', $d->{id}, $call);
    my $expected = substr $call x ($reply / $size + 1), 0, $reply;

    return $r->{status} == 200 && $r->{body} eq $expected ? 'right'
        : substr outcome($r), 0, 200;
}

# Sizes of one byte to the largest, the small ones as often as the large ones.

sub any_size {
    my ($least) = @_;
    return int $least * (LARGEST / $least) ** rand;
}

sub called {
    my ($d) = @_;

    my %seen;

    $seen{echoes($d, any_size(8), any_size(1))}++ for 1 .. CALLS;
    $seen{echoes($d, LARGEST, LARGEST)}++;

    return join ', ', map { "$_ $seen{$_}" } sort keys %seen;
}

sub asked {
    my ($d, $what) = @_;
    return outcome(call('app1', $d->{id}, $what));
}

sub session {
    my ($d) = @_;
    return stats("app1/devices/$d->{id}")->{json}{session} || 'none';
}

sub attaches {
    my ($d) = @_;

    like(said($d, qr/\n/), qr/\Aattached TLSv?\Q$d->{version}\E \S+\n\z/,
        "$d->{id}: attached") or return;
    $d->{session} = session($d);
    is(called($d), 'right ' . (CALLS + 1), "$d->{id}: called") or return;
    is(asked($d, 'update'), "200 $d->{update}", "$d->{id}: keys") or return;

    return is(called($d), 'right ' . (CALLS + 1), "$d->{id}: called then");
}

sub stays {
    my ($d) = @_;

    is(session($d), $d->{session}, "$d->{id}: the same session") or return;
    is(called($d), 'right ' . (CALLS + 1), "$d->{id}: after a reload")
        or return;
    is(asked($d, 'update'), "200 $d->{update}", "$d->{id}: keys, too")
        or return;

    return is(called($d), 'right ' . (CALLS + 1), "$d->{id}: called then, too");
}

# A parked connection is ended as TLS demands, by close_notify of both sides.

sub leaves {
    my ($d) = @_;

    my $end = $parks && $d->{cipher} ne $cbc ? qr/\nclosed\n\z/
        : qr/\n(?:closed\n|cut off\n|Traceback)/;

    is(asked($d, 'leave'), '200 leaving', "$d->{id}: leaves") or return;
    like(said($d, qr/\n.*\n/), $end, "$d->{id}: closed in order");
    ok(offline($d->{id}), "$d->{id}: offline");
}

# The certificate that a new connection gets.

sub certificate_of_server {
    my $port = port(8443);
    my $text = `openssl s_client -connect 127.0.0.1:$port </dev/null 2>&1`;
    return $text =~ /subject=(.*)/ ? $1 : $text;
}

###############################################################################

my @present = grep { !missing($_) } @libraries;

# What each library of the present ones is started with

my @started = map {
    my $library = $_;
    map {
        my $version = $_;
        map { [ $library, $version, $_ ] }
            $library->{name} eq 'OpenSSL' ? @{$ciphers{$version}} : undef
    } @{$library->{versions}}
} @present;

# the one that is not parked does not stay
$t->plan(@libraries + 6 + 11 * @started - 4);

make_all(@present);

certificate($t, 'localhost');

my $conf = cometa_conf(
    workers => 2, ssl => 1, shutdown => '60s', server => metrics_location(),
    http => 'ssl_protocols TLSv1.2 TLSv1.3; cometa_tls_park on;',
    attach => 'cometa_heartbeat 60s timeout=600s;'
);

($parks) = config_test($t, $conf);
$conf =~ s/cometa_tls_park on;// unless $parks;

$t->write_file_expand('nginx.conf', $conf);

$t->run();

my @devices = map { start($t, @$_) } grep { !$_->[0]{failed} } @started;

for my $library (@libraries) {
    SKIP: {
        my ($missing) = missing($library);

        if ($missing) {
            my $why = "no $missing here: it is in $library->{package}";
            diag("not tried, $library->{name}: $why");
            skip $why, 1;
        }

        ok(!$library->{failed}, "$library->{name}: built")
            or diag($library->{failed});
    }
}

# What did not attach, or was lost, is not asked any more: the plan fails then.

my @attached = grep { attaches($_) } @devices;

# One that is not parked works as well, but may not stay

my ($unparked) = grep { $_->{cipher} eq $cbc } @attached;
@attached = grep { $_->{cipher} ne $cbc } @attached;

SKIP: {
    skip 'this module parks no TLS', 3 unless $parks;
    is(figures('app1')->{tls_parked}, @attached, 'parked');
    is(figures('app1')->{tls_unparked_cipher}, 1, 'not parked: the cipher');
    is(figures('app1')->{tls_unparked_proof}, 0, 'not parked: the proof');
}

leaves($unparked) if $unparked;

# Another certificate under the same name

like(certificate_of_server(), qr/CN = localhost/, 'the certificate');

certificate($t, 'other');
rename "$dir/other.$_", "$dir/localhost.$_" for qw/ crt key /;

SKIP: {
    skip 'this module parks no TLS: its devices do not stay',
        2 + 4 * (@started - 1) unless $parks;

    reload_all($t, 2);
    like(certificate_of_server(), qr/CN = other/, 'another certificate');
    @attached = grep { stays($_) } @attached;
    is(figures('app1')->{tls_parked}, @attached, 'parked still');
}

leaves($_) for @attached;

###############################################################################

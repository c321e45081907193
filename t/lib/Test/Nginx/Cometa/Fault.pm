package Test::Nginx::Cometa::Fault;

# Runs nginx with t/fault/fault.c preloaded, which makes the n-th call of a kind
# fail in a worker, and goes through all n of a step.
#
#   fault_run       starts nginx so
#   fault_each      a step with each n, and what is wrong afterwards
#   fault_arm, fault_fired, fault_where, fault_off
#                   one fault
#   fault_excuses   whether something may fail now: a call has failed, and not in
#                   a way that nobody must notice
#   fault_alerts    lines of the log since the last time that nothing excuses

use warnings;
use strict;

use base qw/ Exporter /;

use Errno qw/ ENOMEM /;
use Test::More qw//;
use Test::Nginx::Cometa;
use Time::HiRes qw/ time /;

our @EXPORT = qw/
    fault_run fault_each fault_arm fault_fired fault_where fault_off
    fault_excuses fault_alerts fault_words SHORT LOST
/;

use constant { SHORT => -1, LOST => -2 };

# The layout of fault_t.
use constant { SIZE => 40, WHERE => 2048, FIRED => 32, EVER => 2 ** 62 };

my %kinds = (
    memory => 1, accept => 2, recv => 3, send => 4, epoll => 5, wake => 6,
    take => 7, pass => 8, socket => 9
);

# What nginx itself says of a call that has failed.

my %excused = (
    memory => qr/\[emerg\].*(?:malloc|posix_memalign)\([\d,\ ]+\)\ failed
        |\[alert\].*\ (?:pcre2?_\w+\(\)|regex)\ failed/x,
    epoll => qr/\[alert\].*epoll_ctl\(\d+, \d+\) failed/,
    send => qr/\[alert\].*(?:send|writev|sendmsg)\(\) failed/,
    recv => qr/\[alert\].*(?:recv|readv)\(\) failed/,
    socket => qr/\[alert\].*socket\(\) failed/
);

my ($file, $log, $unnoticed);


# Skips the test if there is no library, which "make fault" builds.

sub fault_run {
    my ($t) = @_;

    my $library = $ENV{TEST_NGINX_FAULT}
        or Test::More::plan(skip_all => 'no TEST_NGINX_FAULT');
    my $name = $t->testdir() . '/fault';

    $t->write_file('fault', "\0" x (SIZE + WHERE));
    open $file, '+<', $name or die "$name: $!\n";
    binmode $file;

    # AddressSanitizer wants to be first, and works behind another one, too
    local $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} || (),
        'verify_asan_link_order=0';
    local $ENV{LD_PRELOAD} = $library;
    local $ENV{COMETA_FAULT} = $name;

    $t->run();
    $log = 0;

    return $t;
}

sub poke {
    my ($at, $bytes) = @_;
    sysseek $file, $at, 0;
    syswrite $file, $bytes;
}

sub peek {
    my ($at, $n) = @_;
    sysseek $file, $at, 0;
    sysread($file, my $bytes, $n);
    return $bytes;
}

# Calls number first to last of a kind fail from now on.

sub fault_arm {
    my ($kind, $error, $first, $last) = @_;

    my $number = $kinds{$kind} or die "no kind \"$kind\"\n";

    fault_off();
    poke(4, pack('lQ4', $error, $first, $last || $first, 0, 0)
        . "\0" x WHERE);
    poke(0, pack 'L', $number);
}

sub fault_off {
    poke(0, pack 'L', 0);
}

sub fault_fired {
    return unpack 'Q', peek(FIRED, 8);
}

sub fault_excuses {
    return !$unnoticed && fault_fired();
}

# The functions that called the one that failed.

sub fault_where {
    my @names;

    for my $frame (split /\n/, peek(SIZE, WHERE) =~ s/\0.*//sr) {
        my ($path, $offset, $symbol)
            = $frame =~ /\A(.+)\+(0x[0-9a-f]+) (\S+)\z/ or next;
        next if $path eq $ENV{TEST_NGINX_FAULT};
        my ($name) = `addr2line -f -e '$path' $offset 2>/dev/null`;
        push @names, defined $name && $name =~ /\A(\w+)/ ? $1 : $symbol;
        last if @names == 9;
    }

    return join ' < ', @names;
}

# Lines that tell of a defect: what the failed call explains is none.

sub fault_alerts {
    my ($t, $kind) = @_;

    my $name = $t->testdir() . '/error.log';
    open my $fh, '<', $name or die "$name: $!\n";
    seek $fh, $log, 0;

    my $excused = $kind && $excused{$kind} || qr/(?!)/;
    my @lines;

    while (my $line = <$fh>) {
        push @lines, $line if $line =~ /\[(?:alert|emerg)\]|exited\ on\ signal
            |Sanitizer|runtime\ error:/x && $line !~ $excused;
    }

    $log = tell $fh;

    return map { "log: $_" =~ s/\s+\z//r } @lines;
}


# What an error is called.

sub fault_words {
    my ($error) = @_;

    return 'cut short' if $error == SHORT;
    return 'without its descriptor' if $error == LOST;

    local $! = $error;
    return "$!";
}

# Makes a step once for each n, until it ends before its n-th call of the kind.
# Options:
#
#   kind, error     (ENOMEM)
#   lasting         all further calls fail as well, until the step has ended
#   unnoticed       the step must succeed nevertheless
#   stride          (1)
#   most            the last n (2000)
#   step            function: does all, and returns what was wrong
#   prepare         function, before it: what it returns is given to the others
#   after           function, with all calls well again: what is still wrong
#
# Returns how many failed, and what was wrong, a line each.

sub fault_each {
    my ($t, %o) = @_;

    my @wrong;
    my ($n, $hits) = (1, 0);

    $unnoticed = $o{unnoticed};

    for ( ; $n <= ($o{most} || 2000); $n += $o{stride} || 1) {
        my $state = $o{prepare} ? $o{prepare}->() : {};

        fault_arm($o{kind}, $o{error} || ENOMEM, $n,
            $o{lasting} ? EVER : $n);
        my $start = time();
        my @now = eval { $o{step}->($state) };
        push @now, "the test died: $@" if $@;
        fault_off();

        my $fired = fault_fired();
        push @now, $o{after}->($state), fault_alerts($t, $o{kind});

        $hits++ if $fired;
        push @wrong, "$o{kind} $n, failed $fired times, "
            . ($fired ? fault_where() : 'nowhere') . ":\n    "
            . join "\n    ", @now if @now;

        Test::More::note(sprintf '%s %s %d: %.2f s', $o{name} || '',
            $o{kind}, $n, time() - $start) if $ENV{TEST_NGINX_VERBOSE};

        last if !$fired || @wrong >= 5;
    }

    return ($hits, join "\n", @wrong);
}

1;

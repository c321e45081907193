package ClientTest;

# What the tests of the client libraries share: programs that are compiled, and
# devices and applications that run beside nginx and say what happens to them.
#
#   compiled(\%commands)      runs them all at once: name => what the failed said
#   start($t, $name, @command)
#                             a daemon, whose output is in a file
#   said($program, $re)       waits for that in its output, and returns all of it
#   echoes($device, $size, $reply)
#                             a call of some size, for a reply of another
#   asked($device, $what)     how a call ended
#   session($device)          of the present attach
#   offline($device)          waits for that

use warnings;
use strict;

use base qw/ Exporter /;

use POSIX qw//;
use Test::Nginx::Cometa;

our @EXPORT = qw/ compiled start said echoes asked session offline /;

use constant BUILD => 240;      # s


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
    return stats("app1/devices/$id")->{json}{session} || 'none';
}

sub offline {
    my ($id) = @_;
    return wait_for(sub { session($id) eq 'none' }, 10);
}

1;

package NodeTest;

# Runs a file of tests written for Node.js against the nginx of a Perl test:
# each of its tests becomes one here.
#
#   has_node($t, @modules)    skips without Node.js or one of the modules
#   node_tests($t, $script, \%env)
#
# The modules are those of package.json, installed in build/node.

use warnings;
use strict;

use base qw/ Exporter /;

use Cwd qw/ abs_path /;
use Errno qw//;
use File::Basename qw/ dirname /;
use Test::More;

our @EXPORT = qw/ has_node node_tests /;

my $dir = dirname(abs_path(__FILE__));
my $modules = "$dir/../../build/node/node_modules";


sub has_node {
    my ($t, @modules) = @_;

    $t->has_daemon('node');

    for my $name (@modules) {
        plan(skip_all => "no $name in build/node: make deps")
            unless -d "$modules/$name";
    }

    return $t;
}

# Node speaks TAP: what is not indented is a result, the rest is details.

sub node_tests {
    my ($t, $script, $env) = @_;

    local @ENV{'NODE_PATH', keys %$env} = ($modules, values %$env);

    open my $tap, '-|', 'node', '--test-reporter=tap', "$dir/$script"
        or die "Can't run node: $!\n";

    my $failed;

    for my $line (lines($tap)) {
        if ($line =~ /^(not )?ok \d+ - (.*)/) {
            $failed = $1;
            ok(!$failed, $2);

        } elsif ($failed && $line =~ /^ /) {
            diag($line =~ s/\n//r);
        }
    }

    close $tap;
    is($?, 0, "$script ended well");
}

# All lines, to the end.  Not by readline(): a handler of signals that reads a
# whole file meanwhile would change $/ under it, and lines would be lost.

sub lines {
    my ($fh) = @_;

    my $text = '';

    for ( ;; ) {
        my $n = sysread($fh, $text, 65536, length $text);
        next if !defined $n && $!{EINTR};
        return split /^/, $text unless $n;
    }
}

1;

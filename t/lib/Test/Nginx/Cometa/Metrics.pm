package Test::Nginx::Cometa::Metrics;

# The figures that Prometheus gets.

use warnings;
use strict;

use base qw/ Exporter /;

use Test::Nginx::Cometa qw/ wait_for /;
use Test::Nginx::Cometa::Caller;

our @EXPORT = qw/ metrics_location metric slot_with_devices /;


# A location for them, for the option "server" of a configuration.

sub metrics_location {
    return ' location = /metrics { cometa_stats prometheus; '
        . "cometa_secret off; }\n";
}

# One figure, by its name and labels as they are written; undef if there is no
# such figure.  Options are those of stats().

sub metric {
    my ($name, %o) = @_;
    my $body = stats('x', uri => '/metrics', %o)->{body};
    return $body =~ /^\Q$name\E (\S+)$/m ? $1 : undef;
}

# The slot of the only worker that holds so many devices.  Devices that a test
# has just closed may still be counted.

sub slot_with_devices {
    my ($n, %o) = @_;

    my @slots;

    wait_for(sub {
        my $body = stats('x', uri => '/metrics', %o)->{body};
        @slots = $body
            =~ /^cometa_worker_devices\{slot="(\d+)"\} \Q$n\E$/mg;
        return @slots == 1;
    });

    die "workers with $n devices: @slots\n" if @slots != 1;

    return $slots[0];
}

1;

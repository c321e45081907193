#!/usr/bin/perl

# The static probes stand in the module as its header says: their names, and how
# many arguments each has.  There are none where nginx was configured without
# <sys/sdt.h>.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has_daemon('readelf');

# The module, or nginx with the module in it.

my ($file) = ($ENV{TEST_NGINX_GLOBALS} || '')
    =~ /load_module\s+(\S*cometa_module\.so);/;
$file ||= $Test::Nginx::NGINX;

my %there;
my $notes = `readelf --notes --wide '$file' 2>&1`;

while ($notes =~ /Provider:\ cometa\s+Name:\ (\w+)\s+Location:.*\s+
    Arguments:\ (.*)/gx)
{
    push @{$there{$1}}, scalar(my @arguments = split ' ', $2);
}

plan(skip_all => 'nginx was configured without sys/sdt.h') unless %there;

###############################################################################

# "cometa:attach      app, hash, slot", without what stands in brackets

my $header = do {
    open my $fh, '<', '../ngx_cometa_module/ngx_cometa_probe.h'
        or die "ngx_cometa_probe.h: $!\n";
    local $/;
    <$fh>;
};
my %said = map { s/ \(\w+\)//gr } $header
    =~ /^ \*     cometa:(\w+) +(.*)$/mg;

$t->plan(2 + keys %said)->write_file('error.log', '');

is(join(' ', sort keys %there), join(' ', sort keys %said), 'names');
is(scalar(keys %said), 5, 'as many as there are');

for my $name (sort keys %said) {
    my $n = () = $said{$name} =~ /\w+/g;
    is(join(' ', map { $_ == $n ? () : $_ } @{$there{$name} || [ 'none' ]}), '',
        "$name: $said{$name}");
}

###############################################################################

#!/usr/bin/perl

# A device that attaches again wins, on whichever worker it does so.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Time::HiRes qw/ sleep time /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @workers = (1, 4);

my $t = Test::Nginx->new()->has(qw/http rewrite map/)->plan(24 * @workers);

sub conf {
    my ($workers) = @_;

    return cometa_conf(
        workers => $workers,
        listen => $workers > 1 ? 'reuseport' : '',
        attach => 'cometa_takeover on limit=off;'
            . 'add_header Cometa-Session $cometa_session;'
            . 'add_header Pid $pid;',
        send => 'add_header Cometa-Session $cometa_session;'
            . 'add_header Cometa-Hop $cometa_hop;'
            . 'cometa_send_timeout 5s;'
    );
}

sub error {
    my ($r) = @_;
    return "$r->{status} " . ($r->{json}{error} || $r->{body});
}

# A call that the device must get and answer.

sub reached {
    my ($d) = @_;

    my $message = 'm' . rand();
    my $call = call_start($d->{app}, $d->{device}, $message);

    my $got = $d->read_chunk(2);
    return 'nothing came' unless defined $got;
    return "came: $got" if $got ne $message;

    $d->send_chunk("re: $message");
    my $r = call_end($call);
    return $r->{body} eq "re: $message" ? 'yes' : error($r);
}

###############################################################################

sub takeover {
    my ($workers) = @_;

    my $in = "$workers workers";

    # The old one is told, the new one called

    my $old = device();
    my $new = device();

    is($new->{status}, 200, "$in: a second attach");
    is($old->closed(), 'last', "$in: the first is closed in order");
    is(reached($new), 'yes', "$in: the second is called");

    # Its last words change nothing

    $old = $new;
    $new = device();
    $old->close();
    sleep(0.1);
    is(reached($new), 'yes', "$in: when the first closes");

    # A device leaves and another comes at that moment

    my @wrong;

    for (1 .. 40) {
        $old = $new;
        $_ % 2 ? $old->close() : $old->reset();
        $new = device();
        my $said = reached($new);
        push @wrong, $said if $said ne 'yes';
    }

    is("@wrong", '', "$in: last news of the first come late");

    # Sessions grow

    my (@sessions, %pids);

    for (1 .. 40) {
        $old = $new;
        $new = device();
        push @sessions, $new->header('Cometa-Session');
        $pids{$new->header('Pid')} = 1;
        push @wrong, 'first is left open' if ($old->closed() || '') ne 'last';
    }

    is("@wrong", '', "$in: every first is closed");
    is(scalar(grep { !/\A\d+\z/ } @sessions), 0, "$in: sessions are numbers");
    is(scalar(grep { $sessions[$_] <= $sessions[$_ - 1] } 1 .. $#sessions), 0,
        "$in: sessions grow") or diag("@sessions");
    cmp_ok(scalar(keys %pids), $workers > 1 ? '>' : '==', 1,
        "$in: attaches on as many");

    my $call = call_start('app1', 'dev1', 'x');
    $new->echo();
    is(call_end($call)->{headers}{'cometa-session'}, $sessions[-1],
        "$in: session of the call");

    # One call is written, three wait

    my @lost;

    for my $round (1 .. 10) {
        $old = $new;

        my $written = call_start('app1', 'dev1', "written $round");
        push @lost, 'no call' unless defined $old->read_chunk(2);

        my @waiting = map {
            my $c = call_start('app1', 'dev1', "waiting $round.$_");
            sleep(0.02);
            $c
        } 1 .. 3;

        $new = device();

        # too late
        $old->send_chunk("wrong $round");

        my $r = call_end($written);
        push @lost, "written: " . error($r)
            if error($r) ne '502 device_taken_over';

        for my $i (1 .. 3) {
            my $got = $new->read_chunk(3);
            $got = 'nothing' unless defined $got;
            push @lost, "wait $i: $got" if $got !~ /\Awaiting $round\./;
            $new->send_chunk("re: $got");
        }

        for my $i (1 .. 3) {
            $r = call_end($waiting[$i - 1]);
            push @lost, "reply $i: " . error($r)
                if $r->{body} ne "re: waiting $round.$i";
        }

        push @lost, 'first left open' if ($old->closed(2) || '') ne 'last';
    }

    is(join(', ', @lost), '', "$in: written calls fail, waiting ones move");
    is(reached($new), 'yes', "$in: and the device is free");

    # In order, from one caller's connection to the next

    $old = $new;
    $old->close();
    $new = device(device => 'order');
    $call = call_start('app1', 'order', 'w');
    is($new->read_chunk(), 'w', "$in: a call is written");

    my @calls = map {
        my $c = call_start('app1', 'order', $_);
        figure_is('app1', 'queued', $_);
        $c
    } 1 .. 5;

    $old = $new;
    my $watch = stopwatch();
    $new = device(device => 'order');
    is(error(call_end($call)), '502 device_taken_over', "$in: it fails");

    my $order = '';
    for (1 .. 5) {
        my $got = $new->read_chunk(3);
        $order .= defined $got ? $got : '-';
        $new->send_chunk('r');
    }

    # the line is held for 20 ms: a worker that comes later is behind
    my $late = $watch->late();
    $order = join '', sort split //, $order if $late > 0.02;

    is($order, '12345', "$in: waiting calls keep their order");
    is(join(' ', map { call_end($_)->{status} } @calls), '200 200 200 200 200',
        "$in: and get their replies");

    # A takeover by a device of another form

    $old = $new;
    $new = device(device => 'order', form => 'B');
    is($old->closed(), 'last', "$in: form A by form B");
    is(reached($new), 'yes', "$in: which is called");

    # Many at once: one of them stays

    my @storm = map {
        Test::Nginx::Cometa::Device->start(device => 'storm')
    } 1 .. 60;
    $_->finish() for @storm;

    is(scalar(grep { $_->{status} != 200 } @storm), 0,
        "$in: attaches at once");

    wait_for(sub { 1 == grep { !$_->gone() } @storm });
    my @left = grep { !$_->gone() } @storm;
    is(scalar @left, 1, "$in: one is left");
    is(reached($left[0]), 'yes', "$in: that is called");
    is(scalar(grep { $_ ne $left[0] && ($_->closed() || '') ne 'last' }
        @storm), 0, "$in: the others are closed in order");

    my ($highest) = sort { $b <=> $a }
        map { $_->header('Cometa-Session') } @storm;
    is($left[0]->header('Cometa-Session'), $highest, "$in: the last wins");

    $_->close() for @storm;
    ok(wait_for(sub { call('app1', 'storm', 'x')->{status} == 404 }, 2),
        "$in: and then it is offline");

    $new->close();
}

###############################################################################

for my $workers (@workers) {
    $t->write_file_expand('nginx.conf', conf($workers));
    $t->run();
    takeover($workers);
    $t->stop();
}

###############################################################################

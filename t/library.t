#!/usr/bin/perl

# The library that runs nginx: what it promises, and what it refuses.  Holds
# for that of t/lib and for nginx's own, so that a test which passes with the
# one passes with the other.  Each case is a program of its own.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ abs_path /;
use File::Temp qw/ tempdir /;
use Test::Nginx;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $dir = tempdir('library-XXXXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($library) = abs_path($INC{'Test/Nginx.pm'}) =~ m!\A(.+)/Test/Nginx\.pm\z!;
my @perl = ($^X, '-w', "-I$library", '-mTest::Nginx', '-I' . abs_path('lib'));

# What each case begins with; its plan is that of the case.

my $head = <<'EOH';
use warnings;
use strict;
use IO::Socket::INET;
use POSIX qw//;
use Test::More;
use Test::Nginx qw/ :DEFAULT http_start http_end http_content /;
use Test::Nginx::Cometa;
use Test::Nginx::Cometa::Workers;
$| = 1;

my $conf = <<'EOC';
%%TEST_GLOBALS%%
daemon off;
events {}
http {
    %%TEST_GLOBALS_HTTP%%
    server {
        listen 127.0.0.1:8080;
        location = /ok { return 200 "ok $http_x"; }
        location = /post { proxy_pass http://127.0.0.1:8080/ok; }
        location = /port { return 200 "%%PORT_8080%%"; }
        location = /dir { return 200 "%%TESTDIR%%"; }
    }
}
EOC

EOH

# Runs a case: its exit status and all that it has said.

sub ran {
    my ($code, %env) = @_;

    open my $fh, '>', "$dir/case.t" or die "case.t: $!\n";
    print $fh $head, $code;
    close $fh or die "case.t: $!\n";

    local @ENV{keys %env} = values %env;

    my $said = join '', map { `$_` }
        join ' ', (map { "'$_'" } @perl, "$dir/case.t"), '2>&1';

    return ($?, $said);
}

# It must end well: all that it has planned is there, and each is ok.

sub good {
    my ($name, $code, %o) = @_;

    my ($status, $said) = ran($code, %{$o{env} || {}});
    my ($plan) = $said =~ /^1\.\.(\d+)/m;
    my $oks = () = $said =~ /^(?:ok|not ok.*# TODO) /mg;

    my $all = defined $plan && $plan > 0 && $plan == $oks;

    return ok($status == 0 && $all && $said =~ ($o{says} || qr/^ok /m), $name)
        || diag($said);
}

# It must fail, and say so in that way.

sub bad {
    my ($name, $re, $code) = @_;

    my ($status, $said) = ran($code);

    return ok($status != 0 && $said =~ $re, $name) || diag($said);
}

my $new = 'my $t = Test::Nginx->new()->has(qw/http rewrite proxy/)';
my $run = '$t->write_file_expand("nginx.conf", $conf)->run();' . "\n";

sub logged {
    my ($line) = @_;
    return "open my \$log, '>>', \$t->testdir() . '/error.log' or die;\n"
        . "print \$log '$line', \"\\n\"; close \$log;\n";
}

###############################################################################

# The plan, and the two last tests

good('two tests more are planned, and made at the end', "$new->plan(1);\n$run"
    . 'like(http_get("/ok"), qr/ok $/, "served");',
    says => qr/^1\.\.3\n.*^ok 2 - no alerts\nok 3 - no sanitizer errors\n/ms);

bad('an alert is a failure', qr/^not ok 2 - no alerts$/m,
    "$new->plan(1);\n$run" . logged('x [alert] wrong') . 'ok(1, "x");');

good('but where it is expected',
    "$new->todo_alerts()->plan(1);\n$run" . logged('x [alert] as wanted')
    . 'ok(1, "x");' . 'undef $t;', says => qr/^not ok 2 - no alerts # TODO/m);

bad('the report of a sanitizer is one', qr/^not ok 3 - no sanitizer errors$/m,
    "$new->plan(1);\n$run" . logged('==1==ERROR: AddressSanitizer: x')
    . 'ok(1, "x");');

my $held = 'sub held { return $t->testdir() } ok(held(), "held");';

bad('an object that a named function holds goes too late', qr/planned 3.*ran 1/,
    "$new->plan(1);\n$run$held");

good('unless it is let go', "$new->plan(1);\n$run$held undef \$t;");

good('a child leaves all to its parent', "$new->plan(2);\n$run"
    . 'my $pid = fork(); exit 0 if $pid == 0; waitpid($pid, 0);'
    . 'is($?, 0, "child"); like(http_get("/ok"), qr/ok $/, "served");');

# nginx

bad('run() takes no text', qr/Can't start nginx|name of a file/,
    "$new->plan(1);\n"
    . '$t->run("%%TEST_GLOBALS%% daemon off; events {}\n"); ok(1, "x");');

good('run() takes the name of a file', "$new->plan(1);\n"
    . '$t->write_file("a.conf", $conf)->run($t->testdir() . "/a.conf");'
    . 'like(http_get("/ok"), qr/ok $/, "served");');

good('a configuration without the globals', "$new->plan(2);\n"
    . '$t->write_file("nginx.conf", "daemon off; events {}\n")->run();'
    . 'ok(master($t), "pid");'
    . '$t->stop(); ok(!-e $t->testdir() . "/nginx.pid", "gone");');

bad('what does not start dies, and says why',
    qr/Can't start nginx: it has ended, exit code 1\n.*"nonsense"/, "$new->plan(1);\n"
    . '$t->write_file("nginx.conf", "nonsense;")->run(); ok(1, "x");');

bad('stop() after nginx has ended by itself', qr/nginx\.pid/,
    "$new->plan(1);\n$run" . 'kill "QUIT", master($t);'
    . 'wait_for(sub { !-e $t->testdir() . "/nginx.pid" });'
    . '$t->stop(); ok(1, "x");');

bad('the end of the object after that', qr/planned 3.*ran 1/,
    "$new->plan(1);\n$run" . 'kill "QUIT", master($t);'
    . 'ok(wait_for(sub { !-e $t->testdir() . "/nginx.pid" }), "gone");');

good('unless it has been said', "$new->plan(2);\n$run"
    . 'my $pid = master($t); kill "QUIT", $pid;'
    . 'ok(nginx_ends($t, $pid), "ended"); ' . $run
    . 'like(http_get("/ok"), qr/ok $/, "runs again");');

good('stopped, and run again; stopped twice', "$new->plan(2);\n$run"
    . '$t->stop(); $t->stop(); is(http_get("/ok"), undef, "stopped");' . $run
    . 'like(http_get("/ok"), qr/ok $/, "runs again");');

good('a reload', "$new->plan(2);\n$run" . 'my @old = processes($t);'
    . '$t->write_file_expand("nginx.conf", $conf =~ s/"ok /"new /r)->reload();'
    . 'ok(wait_gone($t, 20, @old), "old");'
    . 'like(http_get("/ok"), qr/new $/, "served");');

good('its configuration', "$new->plan(1);\n"
    . '$t->write_file_expand("nginx.conf", $conf);'
    . 'like($t->dump_config(), qr/location = .post/, "dumped");'
    . '$t->write_file("error.log", "");');

# What is missing

for my $missing ('->has("no_such_module")', '->has_daemon("no-such-daemon")') {
    my ($status, $said) = ran("Test::Nginx->new()$missing->plan(1);\nok(1);");
    ok($status == 0 && $said =~ /^1\.\.0 # SKIP/m, "$missing: skipped")
        or diag($said);
}

good('versions', "$new->plan(2);\n$run"
    . 'ok($t->has_version("1.20.1"), "newer");'
    . 'ok(!$t->has_version("9.0"), "not so new");');

# Files and ports

good('what is expanded', "$new->plan(4);\n$run"
    . 'my $port = port(8080);'
    . 'like(http_get("/port"), qr/\n$port\z/, "port");'
    . 'is(port(8080), $port, "the same each time");'
    . 'is(http_content(http_get("/dir")), $t->testdir(), "directory");'
    . 'like(http_get("/post"), qr/ok $/, "an address");');

good('ports of tests that run at once', "$new->plan(2);\n$run"
    . 'my $here = port(8080);'
    . 'my $there = `$^X -mTest::Nginx -e "print Test::Nginx::port(8080)"`;'
    . 'like($there, qr/\A8\d\d\d\z/, "a port");'
    . 'isnt($there, $here, "another");',
    env => { PERL5LIB => $library });

bad('a file that is not there', qr/Can't open .*none/,
    "$new->plan(1);\n" . '$t->read_file("none"); ok(1, "x");');

# HTTP

good('requests', "$new->plan(4);\n$run" . <<'END');
like(http_head('/ok'), qr/200 OK.*\x0d?\n\x0d?\n\z/s, 'HEAD');
my $s = http("GET /ok HTTP/1.0\nHost: localhost\nX: y\n\n", start => 1);
like(http_end($s), qr/ok y$/, 'in two steps');
like(http("POST /post HTTP/1.0\nHost: localhost\nContent-Length: 2\n\n",
    body => 'xx', sleep => 0.05), qr/ok $/, 'body');
is(http_get('/ok', PeerAddr => '127.0.0.1:1'), undef, 'nobody there');
END

good('bodies', "$new->plan(5);\n$run" . <<'END');
my $head = "HTTP/1.1 200 OK\x0d\nTransfer-Encoding: chunked\x0d\n\x0d\n";
is(http_content("${head}3\x0d\nabc\x0d\n1\x0d\nd\x0d\n0\x0d\n\x0d\n"), 'abcd',
    'chunks');
is(http_content("${head}3\x0d\nabc\x0d\n"), 'abc[no-last-chunk]',
    'without the last');
is(http_content("HTTP/1.0 200 OK\x0d\n\x0d\nabc"), 'abc', 'plain');
is_deeply([ http_content(undef) ], [ undef ], 'none');
is_deeply([ http_content('HTTP/1.0') ], [ undef ], 'no end of the head');
END

# Daemons

good('daemons', "$new->plan(5);\n$run" . <<'END');
my $ready = $t->testdir() . '/ready';
$t->run_daemon(sub {
    my ($port, $file) = @_;
    my $listen = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1,
        LocalAddr => "127.0.0.1:$port") or die;
    open my $fh, '>', $file or die;
    close $fh;
    sleep 60;
}, port(8081), $ready);
ok($t->waitforfile($ready), 'an empty file is there, too');
ok($t->waitforsocket('127.0.0.1:' . port(8081)), 'accepts');
$t->stop_daemons();
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8081)), 'stopped');
my $pid = fork();
POSIX::_exit(0) if $pid == 0;
ok(!$t->waitforfile($t->testdir() . '/none', $pid), 'its process has ended');
$t->run_daemon('touch', $t->testdir() . '/command');
ok($t->waitforfile($t->testdir() . '/command'), 'a command');
END

done_testing();

###############################################################################

#!/usr/bin/perl

# Each file of conf-examples is loaded, and does what it says.  Only addresses,
# places of files and numbers meant for a large machine are replaced.

###############################################################################

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Nginx::Cometa;
use Cwd qw/ realpath /;
use File::Basename qw/ dirname /;

###############################################################################

select STDERR; $| = 1;
select STDOUT; $| = 1;

eval { require IO::Socket::SSL; };
plan(skip_all => 'IO::Socket::SSL not installed') if $@;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 http_realip
    http_auth_request rewrite map proxy limit_req limit_conn
    upstream_keepalive upstream_zone/)
    ->has_daemon('openssl')->has_daemon('curl')->plan(88);

my $dir = $t->testdir();
my $examples = '../conf-examples';

# the ports in the examples, and those of the tests

my %ports = (
    443 => 8443, 80 => 8080, 8080 => 8080, 8883 => 8444, 8090 => 8090,
    8091 => 8091, 9001 => 8101, 9002 => 8102
);

###############################################################################

# Where nginx's own modules are, those that are files.

sub module_file {
    my ($name) = @_;

    my ($path) = `'$Test::Nginx::NGINX' -V 2>&1` =~ /--modules-path=(\S+)/;
    my $bin = dirname(realpath($Test::Nginx::NGINX));

    # an nginx may be unpacked elsewhere than it was made for
    my @places = ($ENV{TEST_NGINX_MODULES} || (), "$bin/../lib/nginx/modules",
        "$bin/root/usr/lib/nginx/modules", $path || ());

    my ($file) = grep { -e } map { "$_/$name" } @places;

    return $file || '';
}

sub slurp {
    my ($name) = @_;
    open my $fh, '<', $name or die "$name: $!\n";
    local $/;
    return <$fh>;
}

# An example with what its surroundings require.

sub example {
    my ($name) = @_;

    my $text = slurp("$examples/$name");

    # what is loaded, and as whom, is for the test to say
    $text =~ s/^load_module modules\/ngx_(?:cometa|stream)_module\.so;$//m
        or die "$name: no load_module\n";
    $text =~ s/^(?:user|pid|error_log) .*;$//mg;
    $text =~ s/^http \{\n/http {\n%%TEST_GLOBALS_HTTP%%\n/m;

    $text =~ s/^\s*\w+_temp_path .*;$//mg;
    $text =~ s!/etc/nginx/tls/!%%TESTDIR%%/!g;
    $text =~ s!/var/log/nginx/!%%TESTDIR%%/!g;

    $text =~ s{(listen |server )(?:127\.0\.0\.1:)?(\d+)(?=[ ;])}
        {$1 . '127.0.0.1:' . ($ports{$2} || die "$name: port $2\n")}ge;

    return "%%TEST_GLOBALS%%\n$text";
}

# The same, to run beside the test.

sub small {
    my ($text) = @_;

    $text =~ s/^worker_processes \K.*;/2;\ndaemon off;/m;
    $text =~ s/^worker_rlimit_nofile .*;$//m;
    $text =~ s/^worker_shutdown_timeout .*;$//m;
    $text =~ s/worker_connections \K\d+/512/;
    $text =~ s/(cometa_zone zone=\w+:)\w+/$1 . '16m'/e;
    $text =~ s/^events \{/worker_shutdown_timeout 1s;\n\nevents {/m;

    return $text;
}

# Runs one, with servers in place of those it passes requests to.

sub start {
    my ($name, $servers) = @_;

    my $text = small(example($name));
    $text =~ s/\n\}\s*\z/\n$servers\n}\n/ if $servers;

    $t->write_file_expand('nginx.conf', $text);
    $t->run();
}

# Attaches, is called, and says how that went.

sub works {
    my ($name, $device, %call) = @_;

    is($device->{status}, 200, "$name: attach") or return;

    my $call = call_start(delete $call{app} || 'demo',
        delete $call{id} || 'lamp-1', 'hello', secret => 'demo-secret', %call);
    ok($device->echo(sub { "you said $_[0]" }), "$name: it is called");
    is(outcome(call_end($call)), '200 you said hello', "$name: its reply");
}

sub demo {
    return device(app => 'demo', device => 'lamp-1', @_);
}

sub offline {
    my ($uri, %o) = @_;
    return wait_for(sub { stats($uri, %o)->{status} == 404 });
}

sub uri_of {
    my ($app, $id) = @_;
    return "/v1/applications/$app/devices/$id";
}

###############################################################################

# Certificates: the server's, an authority for devices, and two it has signed

sub openssl {
    system("cd '$dir' && openssl @_ >>openssl.out 2>&1") == 0
        or die "openssl: " . $t->read_file('openssl.out') . "\n";
}

sub signed {
    my ($name, $subject) = @_;

    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        . " -subj '$subject' -keyout $name.key -out $name.csr");
    openssl("x509 -req -in $name.csr -CA devices-ca.crt -CAkey devices-ca.key"
        . " -CAcreateserial -days 3 -out $name.crt");
}

certificate($t, $_) for qw/ server devices-ca stranger /;
signed('meter-17', '/O=Example/OU=field/CN=meter-17');
signed('nameless', '/O=Example/OU=field');
signed('cunning', '/O=x\,CN=meter-17/OU=field');

$t->write_file('cometa_api.conf', slurp("$examples/cometa_api.conf"));

# All of them

my $stream = $t->has_module('stream=dynamic')
    ? module_file('ngx_stream_module.so') : 'built in';
my $no_stream = 'nginx has no stream module with TLS, or it is a package of its'
    . ' own (libnginx-mod-stream) that is not here';
my $stream_here = $stream && $t->has_module('stream')
    && $t->has_module('stream_ssl');

diag("not tried, stream-front.conf: $no_stream") unless $stream_here;

my @names = map { s/.*\///r } sort glob "$examples/*.conf";

for my $name (@names) {
    next if $name eq 'cometa_api.conf';

    SKIP: {
    skip $no_stream, 1 if $name eq 'stream-front.conf' && !$stream_here;

    my ($good, $said) = config_test($t, front_module($name) . example($name));
    ok($good, "$name: loads") or diag($said);
    }
}

is(scalar(@names), 11, 'no other example');

sub front_module {
    my ($name) = @_;
    return $name eq 'stream-front.conf' && $stream =~ /^\// ?
        "load_module $stream;\n" : '';
}

# quickstart.conf

start('quickstart.conf');
works('quickstart', demo());
$t->stop();

# production.conf

{
    start('production.conf');

    my %device = (ssl => 1, port => 8444, app => 'thermostats',
        device => 't-1', headers => { Authorization => 'OAuth change-me-too' });
    my %caller = (ssl => 1, secret => 'change-me', app => 'thermostats',
        id => 't-1');

    my $d = device(%device);
    works('production', $d, %caller);

    is(device(%device, headers => {})->{json}{error}, 'forbidden',
        'production: a device without its secret');
    is(device(%device, device => 't-2', port => 8443)->{status}, 405,
        'production: no attach where callers are');
    is(stats('thermostats', %caller, port => 8444)->{status}, 404,
        'production: no questions where devices are');
    is(stats('thermostats/devices/t-1', %caller)->{json}{device_id}, 't-1',
        'production: a device');
    is(stats('thermostats/devices', %caller)->{json}{num_devices}, 1,
        'production: the list');
    is(stats('thermostats', %caller)->{json}{stats}{num_devices}, 1,
        'production: the application');
    like(stats('thermostats/devices/t-1/websocket', %caller)->{json}{device_key}
        || '', qr/\A[0-9a-f]{40}\z/, 'production: the key of a WebSocket');

    my $curl = "curl -sk --http2 -i --max-time 8 -d hi"
        . " -H 'Authorization: OAuth change-me' 'https://127.0.0.1:"
        . port(8443) . uri_of('thermostats', 't-1') . "/send'";
    open my $fh, '-|', $curl or die "curl: $!\n";
    $d->echo(sub { "re $_[0]" });
    my $said = do { local $/; <$fh> };
    close $fh;
    like($said, qr/\AHTTP\/2 200.*re hi\z/s, 'production: HTTP/2');

    $d->close();
    $t->stop();
    like($t->read_file('cometa.log'), qr/send\ HTTP\/2.0"\ 200\ \d+
        \ app=thermostats\ device=t-1\ session=\d+\ error=-\ latency=\d/x,
        'production: the access log');
}

# tls-fleet.conf: a device that comes back resumes its session

{
    start('tls-fleet.conf');

    my %caller = (ssl => 1, secret => 'change-me', app => 'thermostats');
    my $session = "$dir/session";

    for my $version (qw/ TLSv1_2 TLSv1_3 /) {
        works("TLS fleet, $version", device(ssl => 1, port => 8444,
            app => 'thermostats', device => $version, tls => $version),
            %caller, id => $version);
    }

    # the answer comes after the ticket, and ends the connection
    my $client = "openssl s_client -tls1_3 -ign_eof -connect 127.0.0.1:"
        . port(8444);
    my $get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | $client";

    `$get -sess_out '$session' 2>&1`;
    like(`$get -sess_in '$session' 2>&1`, qr/^Reused, TLSv1.3/m,
        'TLS fleet: a session is resumed');

    $t->stop();
}

# mutual-tls.conf

{
    start('mutual-tls.conf');

    my $attach = sub {
        my ($name) = @_;

        my %files = map { $_->[0] => $name ? "$dir/$name.$_->[1]" : undef }
            [ SSL_cert_file => 'crt' ], [ SSL_key_file => 'key' ];

        IO::Socket::SSL::set_client_defaults(%files);
        my $d = device(ssl => 1, port => 8444,
            uri => '/v1/applications/meters/attach');
        IO::Socket::SSL::set_client_defaults(map { $_ => undef } keys %files);

        return $d;
    };

    my $d = $attach->('meter-17');
    my %caller = (ssl => 1, secret => 'change-me', app => 'meters');
    works('mutual TLS', $d, %caller, id => 'meter-17');

    for my $name ('', 'stranger') {
        is($attach->($name)->{status}, 400,
            'mutual TLS: ' . ($name || 'no') . ' certificate');
    }

    for my $name (qw/ nameless cunning /) {
        is($attach->($name)->{json}{error}, 'invalid_device_id',
            "mutual TLS: $name");
    }

    for my $uri (uri_of('meters', 'meter-18'), '/application/meters/devices/x')
    {
        is(device(ssl => 1, uri => $uri)->{status}, 403,
            'mutual TLS: no attach where callers are');
    }

    is(stats('meters/devices', %caller)->{json}{devices}[0], 'meter-17',
        'mutual TLS: the list');
    is(outcome(call('meters', 'x', 'x', %caller)), '404 device_offline',
        'mutual TLS: a call');

    $d->close();
    $t->stop();
}

# auth-request.conf: the service knows who may do what by the request

{
    start('auth-request.conf', <<'EOF');
    map_hash_bucket_size 256;

    map "$http_authorization $http_cometa_request" $verdict {
        default                                                    403;
        "OAuth lamp-key POST /v1/applications/demo/devices/lamp-1" 204;
        "OAuth demo-secret POST /v1/applications/demo/devices/lamp-1/send" 204;
        "~^OAuth ask GET /v1/applications/"                        204;
        "~^ "                                                      401;
    }

    server {
        listen 127.0.0.1:8101;

        if ($request != "GET /check HTTP/1.1") { return 500; }
        if ($verdict = 204) { return 204; }
        if ($verdict = 401) { return 401; }
        return 403;
    }
EOF

    for my $form (qw/ A B /) {
        my $d = demo(form => $form, info => 'a lamp',
            headers => { Authorization => 'OAuth lamp-key' });
        works("auth_request, $form", $d);
        is(stats('demo/devices/lamp-1', secret => 'ask')->{json}{info},
            'a lamp', "auth_request, $form: a question");
        $d->close();
        ok(offline('demo/devices/lamp-1', secret => 'ask'),
            "auth_request, $form: it leaves");
    }

    is(demo()->{status}, 401, 'auth_request: an unknown device');
    is(demo(headers => { Authorization => 'OAuth other' })->{status}, 403,
        'auth_request: another device');
    is(call('demo', 'lamp-1', 'x', secret => 'ask')->{status}, 403,
        'auth_request: one who may only ask');
    is(outcome(call('demo', 'lamp-1', 'x', secret => 'demo-secret')),
        '404 device_offline', 'auth_request: one who may call');
    $t->stop();
}

# limits.conf

{
    start('limits.conf');

    my $d = demo();
    works('limits', $d);

    # 64 calls that run, then no more; the one above is over

    my @calls = map {
        call_start('demo', 'lamp-1', "c$_", secret => 'demo-secret',
            keepalive => 0, headers => { 'Prefer' => 'wait=2' })
    } 1 .. 40;
    my %seen;
    $seen{(split / /, outcome(call_end($_)))[0]}++ for @calls;
    is($seen{429}, 40 - 17, 'limits: the queue of the device');

    # 100 a second, and 200 in one packet
    my $stream = caller_stream();
    $stream->write(call_request('nosuch', 'x', 'x', secret => 'none') x 200);
    @calls = map { response($stream) } 1 .. 200;
    is($calls[0]->{status}, 401, 'limits: calls within the rate');

    my ($refused) = grep { $_->{status} == 429 } @calls;
    is(outcome($refused), '429 too_many_requests', 'limits: calls above it');
    is("$refused->{headers}{'content-type'} $refused->{headers}{'retry-after'}",
        'application/json 1', 'limits: refused as JSON');

    $refused = call('demo', 'lamp-1', 'x' x 70000, secret => 'demo-secret');
    is(outcome($refused), '413 message_too_large', 'limits: a long message');
    is($refused->{headers}{'content-type'}, 'application/json',
        'limits: refused as JSON, too');
    is(outcome(call('demo', 'none', 'x', secret => 'demo-secret')),
        '404 device_offline', 'limits: the errors of Cometa stay');

    # an attached device is no request: limit_conn lets as many stay

    $d->close();
    my @devices = map { demo(device => "d$_") } 1 .. 20;
    is(scalar(grep { $_->{status} == 200 } @devices), 20,
        'limits: a burst of attaches');
    $_->close() for @devices;
    $t->stop();
}

# webhook.conf

{
    start('webhook.conf', <<'EOF');
    log_format got '$server_port $status $http_cometa_event $http_authorization'
        ' $http_cometa_device';

    server {
        listen 127.0.0.1:8101;
        access_log %%TESTDIR%%/got.log got;
        return 503;
    }

    server {
        listen 127.0.0.1:8102;
        access_log %%TESTDIR%%/got.log got;
        return 204;
    }
EOF

    my $d = demo();
    works('webhook', $d);
    $d->event('on');
    $d->detach();
    $d->closed();

    my %o = (secret => 'demo-secret');
    ok(wait_for(sub {
        stats('demo', %o)->{json}{stats}{webhook_sent} == 3
    }), 'webhook: sent');
    is(stats('demo', %o)->{json}{stats}{webhook_retries}, 0,
        'webhook: the other server was asked at once');

    my $ok = port(8102);
    is(join(' ', $t->read_file('got.log')
        =~ /^$ok 204 (\w+) Bearer change-me lamp-1$/mg), 'attach data detach',
        'webhook: what came');
    ok(wait_for(sub {
        3 == (() = $t->read_file('events.log') =~ / demo lamp-1 \w+ 204 /g)
    }), 'webhook: its log');
    like(http_get('/events'), qr/ 404 /, 'webhook: for nobody else');
    $t->stop();
}

# behind-proxy.conf, with the line that the front would send

{
    start('behind-proxy.conf');

    my $through = sub {
        my ($address) = @_;
        my $stream = caller_stream(port => 8090);
        $stream->write("PROXY TCP4 $address 192.0.2.1 40000 443\x0d\x0a");
        return $stream;
    };

    my $stream = $through->('198.51.100.7');
    my $d = bless {
        app => 'demo', device => 'lamp-1', stream => $stream
    }, 'Test::Nginx::Cometa::Device';
    $stream->write(join "\x0d\x0a", 'POST ' . uri_of('demo', 'lamp-1')
        . ' HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', '');
    $d->finish();

    works('behind a proxy', $d, stream => $through->('198.51.100.8'));
    is(stats('demo/devices/lamp-1', secret => 'demo-secret',
        stream => $through->('198.51.100.8'))->{json}{ip_address},
        '198.51.100.7:40000', 'behind a proxy: the address of the device');

    like($t->read_file('access.log'), qr/^198\.51\.100\.8 .*send/m,
        'behind a proxy: that of the caller');

    # stream-front.conf before it

    SKIP: {
    skip $no_stream, 6 if !$stream_here;

    my $text = small(example('stream-front.conf'));
    my $log = "pid $dir/front.pid;\nerror_log $dir/error.log debug;\n"
        . ($> == 0 ? "user root;\n" : '');
    $text =~ s/%%TEST_GLOBALS%%/$log/;
    $t->write_file_expand('front.conf', front_module('stream-front.conf')
        . $text);
    $t->run_daemon($Test::Nginx::NGINX, '-p', "$dir/", '-c', 'front.conf',
        '-e', 'error.log');
    $t->waitforfile("$dir/front.pid") or die "no front\n";

    my $front = demo(ssl => 1);
    works('a stream in front', $front, ssl => 1);
    like(stats('demo/devices/lamp-1', ssl => 1, secret => 'demo-secret')
        ->{json}{ip_address}, qr/\A127\.0\.0\.1:\d+\z/,
        'a stream in front: the address of the device');
    $front->reset();
    ok(offline('demo/devices/lamp-1', ssl => 1, secret => 'demo-secret'),
        'a stream in front: a device that is gone');
    $t->stop_daemons();
    ok(!-e "$dir/front.pid", 'a stream in front: it ends');
    }

    $t->stop();
}

# The last tests are made when it goes, which must not be too late.
undef $t;

###############################################################################

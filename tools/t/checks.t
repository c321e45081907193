#!/usr/bin/perl

# The checks of `make check` that this project has written find what they are to
# find: each gets a good tree, and then trees with one fault.

###############################################################################

use warnings;
use strict;

use Test::More;

use File::Path qw/ make_path /;
use File::Temp qw/ tempdir /;
use FindBin;

###############################################################################

my $tools = "$FindBin::Bin/..";

# check-layers: files by their paths in the tree, without their first comment.

my %good = (
    'ngx_cometa.h' => '#define NGX_COMETA_NONE  0',
    'codec/cometa_a.h' => "int cometa_a(int n);\n",
    'codec/cometa_a.c' => "#include <stdint.h>\n#include \"cometa_a.h\"\n",
    'zone/ngx_cometa_z.h' => "#include <ngx_core.h>\n"
        . "#include \"ngx_cometa.h\"\n\nint ngx_cometa_z(int n);\n",
    'zone/ngx_cometa_z.c' => "#include \"ngx_cometa_z.h\"\n"
        . "#include \"cometa_a.h\"\n\nint\nngx_cometa_z(int n)\n{\n"
        . "    return cometa_a(n) + NGX_COMETA_NONE;\n}\n",
    'owner/ngx_cometa_o.h' => "int ngx_cometa_o(int n);\n",
    'origin/ngx_cometa_p.h' => "int ngx_cometa_p(int n);\n",
    'http/ngx_cometa_h.c' => "#include \"ngx_cometa_o.h\"\n"
        . "#include \"ngx_cometa_p.h\"\n",
);

is(layers(), 'exit 0', 'layers: a good tree');

like(layers('zone/ngx_cometa_y.h' => "#include \"ngx_cometa_o.h\"\n"),
    qr/^ngx_cometa_y\.h \(zone\) includes ngx_cometa_o\.h, .* owner\nexit 1$/,
    'layers: an arrow up');
like(layers('origin/ngx_cometa_p.h' => "#include \"ngx_cometa_o.h\"\n"),
    qr/^ngx_cometa_p\.h \(origin\) includes .* owner\nexit 1$/,
    'layers: an arrow to the folder beside');
like(layers('ngx_cometa.h' => "#include \"ngx_cometa_o.h\"\n"),
    qr/^ngx_cometa\.h \(beside\) includes ngx_cometa_o\.h/m,
    'layers: an arrow from beside the folders');
like(layers('codec/cometa_a.h' => "#include \"ngx_cometa.h\"\n"),
    qr/^cometa_a\.h \(codec\) includes ngx_cometa\.h, .* beside/m,
    'layers: a codec with what is for the others');
like(layers('codec/cometa_a.c' => "#include <ngx_core.h>\n"),
    qr/^cometa_a\.c \(codec\) includes <ngx_core> of nginx\nexit 1$/,
    'layers: a codec with nginx');

like(layers('zone/ngx_cometa_y.h' => "#include \"ngx_cometa_z.h\"\n",
        'zone/ngx_cometa_z.h' => "#include \"ngx_cometa.h\"\n"
            . "#include \"ngx_cometa_y.h\"\nint ngx_cometa_z(int n);\n"),
    qr/ circle: (\w+_[yz]) -> \w+_[yz] -> \1\nexit 1$/,
    'layers: a circle');
like(layers('zone/ngx_cometa_y.h' => "int ngx_cometa_y(int n);\n",
        'zone/ngx_cometa_y.c' => "#include \"ngx_cometa_y.h\"\n"
            . "#include \"ngx_cometa_x.h\"\n",
        'zone/ngx_cometa_x.h' => "int ngx_cometa_x(int n);\n",
        'zone/ngx_cometa_x.c' => "#include \"ngx_cometa_x.h\"\n"
            . "#include \"ngx_cometa_w.h\"\n",
        'zone/ngx_cometa_w.h' => "#include \"ngx_cometa_y.h\"\n"),
    qr/ circle: (\w+) -> \w+ -> \w+ -> \1\nexit 1$/,
    'layers: a circle of three, through sources');

like(layers('http/ngx_cometa_h.c' => "int n = ngx_cometa_z(1);\n"),
    qr/^ngx_cometa_h\.c uses ngx_cometa_z of ngx_cometa_z\.h and /,
    'layers: a function without its header');
like(layers('http/ngx_cometa_h.c' => "int n = NGX_COMETA_NONE;\n"),
    qr/^ngx_cometa_h\.c uses NGX_COMETA_NONE of ngx_cometa\.h and /,
    'layers: a constant without its header');
is(layers('http/ngx_cometa_h.c' => "/* ngx_cometa_z(), \"ngx_cometa_o\" */\n"),
    'exit 0', 'layers: what a comment names is not used');

like(layers('http/ngx_cometa_h.c' => "#include \"ngx_cometa_none.h\"\n"),
    qr/includes ngx_cometa_none\.h, which is not there\nexit 1$/,
    'layers: a header that is not there');
like(layers('misc/ngx_cometa_m.c' => ''), qr/"misc", which has no rank/,
    'layers: a folder without a rank');
like(layers('http/ngx_cometa_z.c' => ''), qr/the name of another file/,
    'layers: a name twice');
like(run("$tools/check-layers", tempdir(CLEANUP => 1)), qr/exit 2$/,
    'layers: nothing to check');

###############################################################################

# check-style

my $function = "static int\nf(int n)\n{\n    return n;\n}\n";

is(style($function), 'exit 0', 'style: a good file');
is(style("$function\n\n/* why */\n\n$function"), 'exit 0',
    'style: two functions with a comment between');

fault_is("int  n;  /* " . 'x' x 70 . " */\n", 3, 'is longer than 80 columns');
fault_is("\tint  n;\n", 3, 'has a tab');
fault_is("int  n; \n", 3, 'has white space at its end');
fault_is("int  n;  // of\n", 3, 'has a // comment');
fault_is("static int\nf(int n)\n{\n    if(n) {\n    }\n}\n", 6,
    'has no space behind "if"');
fault_is("static int\nf(int n)\n{\n    if (n)\n        return (1);\n}\n", 6,
    '"if" has no block in braces');
fault_is("static int\nf(int n)\n{\n    while (g(n) && (n))\n        n--;\n}\n",
    6, '"while" has no block in braces');
fault_is("static int\nf(int n)\n{\n    if (n) {\n    } else\n        n--;\n}\n",
    7, '"else" has no block in braces');
fault_is("static int\nf(int n)\n{\n    if (n) {\n    }\n    else {\n    }\n}\n",
    8, 'has an "else" that begins a line');
fault_is("static int f(int n);\n\nstatic\n\nf(int n)\n{\n}\n", 7,
    'the type of f is not on the line above');
fault_is("$function\n$function", 10,
    'f is not two blank lines behind the function before it');
fault_is("$function\n/* why */\n\n\n$function", 13,
    'f is not two blank lines behind the function before it');
fault_is("static int\nf(int n)\n{\n" . "    n++;\n" x 68 . "}\n", 4,
    'f has 71 lines, more than 70');
fault_is("int  n;\n" x 599, 601,
    'the file has 601 lines, more than 600');
fault_is("static int\nf(int n)\n{\n    assert(n);\n}\n", 6,
    'has an assert()');

is(style("static int\nf(int n)\n{\n" . "    n++;\n" x 67 . "}\n"), 'exit 0',
    'style: a function of 70 lines');
is(style("#define f(n)  \\\n    do {  \\\n        n++;  \\\n    } while (0)\n"),
    'exit 0', 'style: a macro');
is(style("static int\nf(int n)\n{\n    /* if(n) // */\n    g(\"if(n) //\");\n}\n"),
    'exit 0', 'style: comments and strings are no code');

like(style_of("int  n;\n"), qr/a\.c:1: .* begin with a comment/,
    'style: no duty');
like(style_of("/* A suite. */\n", 't/unit/ws.c'),
    qr/ws\.c:1: the file is exempt and has only 1 lines\nexit 1$/,
    'style: an exemption that is not needed');
like(run("$tools/check-style"), qr/exit 2$/, 'style: nothing to check');

done_testing();

###############################################################################

# The faults that are found in the good tree with some files changed.

sub layers {
    my (%other) = @_;

    my $dir = tempdir(CLEANUP => 1);
    my %tree = (%good, %other);

    write_file("$dir/$_", "/* A file. */\n\n$tree{$_}") for keys %tree;

    return run("$tools/check-layers", $dir);
}


sub style {
    my ($code) = @_;
    return style_of("/* A file. */\n\n$code");
}


sub style_of {
    my ($text, $name) = @_;

    my $path = tempdir(CLEANUP => 1) . '/' . ($name
        || 'ngx_cometa_module/zone/a.c');

    write_file($path, $text);

    return run("$tools/check-style", $path);
}


sub fault_is {
    my ($code, $line, $what) = @_;
    like(style($code), qr/a\.c:$line: \Q$what\E\nexit 1$/, "style: $what");
}


# The output of a program without its last line, and its exit status.

sub run {
    my ($program, @arguments) = @_;

    my $said = `'$program' @arguments 2>&1`;
    my $status = $? >> 8;

    return $said =~ s/^check-\w+: \d+ files, .*\n//mr . "exit $status";
}


sub write_file {
    my ($path, $text) = @_;

    make_path($path =~ s{/[^/]+$}{}r);

    open my $fh, '>', $path or die "$path: $!\n";
    print $fh $text;
    close $fh or die "$path: $!\n";
}

#!/usr/bin/perl
# The program starts itself again so that waiting threads do not spin: once, with what the user has set, by any
# name, and with the same input, arguments and exit status.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use IPC::Open3;
use Test::More;
use lib $FindBin::Bin;
use Command;

delete @ENV{qw(OMP_WAIT_POLICY GOMP_SPINCOUNT OMP_DISPLAY_ENV)};
plan skip_all => 'no /proc here' unless -r '/proc/self/environ';
my @tokenize = ('tokenize', '--model', 'demo/tiny');

sub split_file { return split /\0/, get($_[0]) }

# A program that waits for its input: its environment, once it runs, and what it does with two lines.
sub started {
    my @command = @_;
    my $pid = open3(my $in, my $out, undef, @command);
    my (%env, $name);
    for (1 .. 200) { # a process that is just started again has neither
        select undef, undef, undef, 0.02;
        %env = map { split /=/, $_, 2 } split_file("/proc/$pid/environ");
        $name = get("/proc/$pid/comm");
        last if get("/proc/$pid/maps") =~ /libgomp/ && ($env{OMP_WAIT_POLICY} || $env{GOMP_SPINCOUNT});
    }
    my $libraries = () = get("/proc/$pid/maps") =~ /r-xp.*libgomp/g;
    my @arguments = split_file("/proc/$pid/cmdline");
    print $in "one\ntwo\n";
    close $in;
    my @lines = <$out>;
    waitpid $pid, 0;
    return {env => \%env, name => $name, arguments => \@arguments, libraries => $libraries, status => $? >> 8,
        lines => join '', @lines};
}

my $plain = started($unlearn, @tokenize);
is($plain->{env}{GOMP_SPINCOUNT}, '3000', 'waiting threads soon sleep where nobody says otherwise');
is($plain->{status}, 0, 'it works');
like($plain->{lines}, qr/^\d[\d ]*\n\d[\d ]*\n$/, 'on the lines of its input');
is($plain->{name}, "unlearn\n", 'under its name');
is_deeply($plain->{arguments}, [$unlearn, @tokenize], 'with its arguments');
is($plain->{libraries}, 1, 'and one OpenMP library, which the BLAS library uses, too');

for my $set (['OMP_WAIT_POLICY', 'active'], ['GOMP_SPINCOUNT', '5']) {
    my ($name, $value) = @$set;
    local $ENV{$name} = $value;
    my $run = started($unlearn, @tokenize);
    my %got = map { $_ => $run->{env}{$_} } grep { exists $run->{env}{$_} } qw(OMP_WAIT_POLICY GOMP_SPINCOUNT);
    is_deeply(\%got, {$name => $value}, "$name=$value stays, and nothing is added");
    is($run->{lines}, $plain->{lines}, 'the same ids');
}

# --- once, by any name ---

my $program = abs_path($unlearn);
{
    local $ENV{OMP_DISPLAY_ENV} = 'verbose';
    my @told = `$unlearn --version 2>&1` =~ /GOMP_SPINCOUNT = '(\d+)'/g;
    is(@told, 2, 'it is started twice, not more');
    is($told[-1], 3000, 'and OpenMP spins only for a moment');
    local $ENV{OMP_WAIT_POLICY} = 'passive';
    @told = `$unlearn --version 2>&1` =~ /GOMP_SPINCOUNT = '(\d+)'/g;
    is(@told, 1, 'once where that is set');
}
symlink $program, "$dir/a link" or die;
my $version = `$unlearn --version`;
is(`cd '$dir' && './a link' --version`, $version, 'by a link with a space, from its folder');
is(`PATH='$dir':\$PATH; 'a link' --version`, $version, 'found in PATH');
my ($loader) = get($program) =~ m{(/lib[\w/.-]*/ld-linux[\w.-]*)\0};
SKIP: {
    skip 'no dynamic loader is named', 1 unless $loader && -x $loader;
    is(`$loader $program --version`, $version, "by $loader");
}
is(system("$unlearn nonsense 2>$dir/err") >> 8, 2, 'the exit status stays');
like(get("$dir/err"), qr/^unlearn: unknown command 'nonsense'/, 'and the message');
done_testing();

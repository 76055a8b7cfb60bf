#!/usr/bin/perl
# Second tier: the cases of $UNLEARN_SHARED/cases, inputs and accidents that once went wrong. Each `run PROGRAM` exits 0 when
# the program does it right.
use strict;
use warnings;
use Cwd qw(abs_path);
use Test::More;

my $shared = $ENV{UNLEARN_SHARED} || '../shared';
my $unlearn = abs_path($ENV{UNLEARN} || './unlearn');
my @runs = sort glob("$shared/cases/*/run");
plan skip_all => "$shared/cases is not there" if !@runs;

# What a case must have, and why it cannot be checked here.
my %needs = map { $_ => 'strace' } qw(rel04 rel12 rel15 rel17);
my %outdated = (rel09 => 'its step of 65536 micro-batches has one now that rel11 is right; resume.t has a step of 20000');
my %todo = ();

sub has { return !system("command -v $_[0] >/dev/null 2>&1") }

for my $run (@runs) {
    my ($name) = $run =~ m{([^/]+)/run$};
    SKIP: {
        skip "$name: $outdated{$name}", 1 if $outdated{$name};
        skip "$name: $needs{$name} is missing", 1 if $needs{$name} && !has($needs{$name});
        my $out = `timeout 300 $run $unlearn 2>&1`;
        local $TODO = $todo{$name};
        ok($? == 0, $name) or diag $out;
    }
}
done_testing();

#!/usr/bin/perl
# The documents have what the program says: the tables, the file that others are copied from; and every command in them is
# one that the program takes.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $unlearn = $ENV{UNLEARN} || './unlearn';
my $dir = tempdir(CLEANUP => 1);

sub slurp {
    open my $f, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return <$f>;
}

is(scalar `tools/docs --check`, '', 'README.md and doc/ are up to date');

# The commands of a document: indented lines that begin with unlearn or ./unlearn, with the lines they go on in.
sub commands {
    my $text = slurp($_[0]) =~ s/ *\\\n */ /gr;
    return map { s/^ +(?:\$ )?(?:\.\/)?unlearn //r } $text =~ /^ {4}(?:\$ )?(?:\.\/)?unlearn [a-z]+ [^\n]*$/mg;
}

# Options are read, by --print-recipe, and nothing else is done.
sub refusal {
    my ($line) = @_;
    $line =~ s/ +(?:[>|]|# ).*$//;
    $line =~ s/ \.\.\.//g;
    $line =~ s/--suite (?=\S+\.json)/--suite $dir\//;
    $line =~ s/--recipe \S+/--recipe $dir\/recipe.json/;
    my $said = `$unlearn $line --print-recipe 2>&1 >/dev/null </dev/null`;
    return $? ? $said || "status $?" : '';
}

open my $f, '>', "$dir/recipe.json" or die;
print $f '{}';
close $f;
# Suites that a document writes down: NAME.json has the log NAME.
for (slurp('doc/suites.md') =~ /^```json\n(.*?)^```/msg) {
    my ($name) = /"log": "(\w+)"/ or next;
    open my $suite, '>', "$dir/" . lc("$name.json") or die;
    print $suite $_;
    close $suite;
}
for my $path (glob 'README.md doc/*.md CONTRIBUTING.md MODEL.md') {
    my @commands = commands($path) or next;
    my @bad = grep { !/^help / && refusal($_) ne '' } @commands;
    is(join('', map { "unlearn $_\n" . refusal($_) } @bad), '', "$path: " . @commands . ' commands are understood');
}
isnt(refusal('forget --learnig-rate 1'), '', 'a command that is not is found');
done_testing();

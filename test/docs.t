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

is(scalar `tools/docs --check` . $?, '0', 'README.md, MODEL.md and doc/ are up to date');

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
# The files of the project that a document names: `layer.c`, `train/term.h`, `rouge_test`.
my %is = map { $_ => 1, s{.*/}{}r => 1, s{^src/}{}r => 1 } glob '{src,test,fuzz,tools,bench,demo,examples}/* src/*/*';
sub unknown_files {
    my @named = map { split ' ' } slurp($_[0]) =~ /`([^`\n]+)`/g;
    return grep { !$is{$_} && !/NAME|^src.*\.py$/ } map { s/^\.\///r } grep { m{^[\w./]*\w\.(?:c|h|t|py)$} } map { s/^(\w+_test)$/$1.c/r =~ s/^build\S+\/(\w+_test)\.t$/$1.c/r } @named;
}
is(join(' ', unknown_files($_)), '', "$_: the files it names are there") for glob 'README.md doc/*.md CONTRIBUTING.md MODEL.md';
isnt(refusal('forget --learnig-rate 1'), '', 'a command that is not is found');
done_testing();

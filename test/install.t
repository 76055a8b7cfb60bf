#!/usr/bin/perl
# make install and make uninstall; man pages and completion, which are written from the help texts, hold every option.
use strict;
use warnings;
use FindBin;
use File::Find qw(find);
use Test::More;
use lib $FindBin::Bin;
use Command;

my ($config) = $unlearn =~ m{build/(\w+)/unlearn$};
$config //= 'release';
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
my $root = "$dir/root";
my $make = "make -s config=$config DESTDIR=$root prefix=/usr";

sub has { return `command -v $_[0] 2>/dev/null` ne '' }
sub files {
    my @found;
    find({no_chdir => 1, wanted => sub { push @found, s/^\Q$root\E//r if -f && !-l }}, $root) if -d $root;
    return sort @found;
}

my $said = `$make install 2>&1`;
is($? >> 8, 0, 'make install') or diag $said;
my @commands = `$unlearn help` =~ /^  ([a-z]+) {2,}\S/mg;
my %there = map { $_ => 1 } files();
ok($there{$_}, $_) for '/usr/bin/unlearn', map({ "/usr/share/man/man1/$_.1" } 'unlearn', map { "unlearn-$_" } @commands),
    '/usr/share/bash-completion/completions/unlearn', '/usr/share/zsh/site-functions/_unlearn',
    '/usr/share/fish/vendor_completions.d/unlearn.fish', '/usr/share/doc/unlearn/README.md', '/usr/share/doc/unlearn/doc/formats.md';
like(`cd / && $root/usr/bin/unlearn help 2>&1`, qr/^usage: unlearn/, 'the installed program runs');

# --- every option of every help ---

my %text = map { $_->[0] => get("$root/usr/share/$_->[1]") } ['bash', 'bash-completion/completions/unlearn'],
    ['zsh', 'zsh/site-functions/_unlearn'], ['fish', 'fish/vendor_completions.d/unlearn.fish'];
sub lacks {
    my ($command, $flags) = @_;
    my $page = get("$root/usr/share/man/man1/unlearn-$command.1") =~ s/\\-/-/gr;
    my ($bash) = $text{bash} =~ /^            $command\) words='(.*)' ;;$/m;
    return grep { $page !~ /--(?:\[no-\])?\Q$_\E/ || " $bash " !~ / --$_ / || index($text{zsh}, "'--$_") < 0 ||
        $text{fish} !~ /from $command' -l \Q$_\E / } @$flags;
}
for my $command (@commands) {
    my @flags = `$unlearn help $command` =~ /^  --(?:\[no-\])?([\w-]+)/mg;
    is(join(' ', lacks($command, \@flags)), '', "$command: " . @flags . ' options are in its man page and in each completion');
}
my @more = `$unlearn forget --method RMU --wrapper lat --locate lora --help` =~ /^  --(?:\[no-\])?([\w-]+)/mg;
is(join(' ', lacks('forget', \@more)), '', "with those of RMU, lat and lora: " . @more);
is(join(' ', lacks('forget', ['no-such-option'])), 'no-such-option', 'this check fails where one is missing');

# --- pages ---

my @pages = map { "$root$_" } grep { m{/man1/} } files();
for ([mandoc => 'mandoc -Tlint'], [groff => 'groff -man -ww -z']) {
    my ($program, $check) = @$_;
    SKIP: {
        skip "$program is not installed: man pages are not checked with it", 1 if !has($program);
        is(join('', map { `$check $_ 2>&1` } @pages), '', "$check has nothing to say of " . @pages . ' pages');
    }
}

# --- completion ---

sub bash_words {
    my @words = @_;
    put('complete.sh', "source $root/usr/share/bash-completion/completions/unlearn\nCOMP_WORDS=(@{[map { qq('$_') } @words]})\n" .
        "COMP_CWORD=$#words\n_unlearn 2>/dev/null\necho \"\${COMPREPLY[*]}\"\n");
    return `cd $dir && bash --norc complete.sh` =~ s/\n$//r;
}
for (
    [['unlearn', 'for'], 'forget', 'a command'],
    [['unlearn', 'forget', '--met'], '--method', 'a flag'],
    [['unlearn', 'forget', '--no-such-'], '', 'no flag'],
    [['unlearn', 'forget', '--method', 'SimN'], 'SimNPO', 'a method'],
    [['unlearn', 'forget', '--method', '=', 'SimN'], 'SimNPO', 'a method behind ='],
    [['unlearn', 'forget', '--method', 'NPO', '--schedule', 'co'], 'constant cosine', 'a choice'],
    [['unlearn', 'forget', '--steering-'], '--steering-coeff', 'a flag of some methods only'],
    [['unlearn', 'forget', '--forget-term', 'und'], 'undial', 'a term'],
    [['unlearn', 'eval', '--suite', 'wm'], 'wmdp', 'a suite'],
    [['unlearn', 'methods', 'SatI'], 'SatImp', 'a method as a word'],
    [['unlearn', 'help', 'com'], 'compat', 'a topic'],
    [['unlearn', 'info', 'complete.'], 'complete.sh', 'a file as a word'],
    [['unlearn', 'forget', '--recipe', 'complete.'], 'complete.sh', 'a file after a flag'],
) {
    my ($words, $want, $what) = @$_;
    is(bash_words(@$words), $want, "bash: $what: @$words");
}
for (['zsh', 'zsh -n', 'zsh/site-functions/_unlearn'], ['fish', 'fish -n', 'fish/vendor_completions.d/unlearn.fish']) {
    my ($shell, $check, $file) = @$_;
    SKIP: {
        skip "$shell is not installed: its completion is not checked", 1 if !has($shell);
        is(`$check $root/usr/share/$file 2>&1`, '', "$check");
    }
}
SKIP: {
    skip 'fish is not installed: it completes nothing here', 2 if !has('fish');
    my $load = "cd $dir && HOME=$dir fish -N -c 'source $root/usr/share/fish/vendor_completions.d/unlearn.fish; complete -C";
    like(`$load "unlearn forget --met"' 2>&1`, qr/^--method\t/m, 'fish: a flag');
    like(`$load "unlearn forget --method SimN"' 2>&1`, qr/^SimNPO\t/m, 'fish: a method');
}

put('root/usr/share/man/man1/other.1', 'another program\'s');
$said = `$make uninstall 2>&1`;
is($? >> 8, 0, 'make uninstall') or diag $said;
is(join(' ', files()), '/usr/share/man/man1/other.1', 'nothing of it is left, and the rest is');
done_testing();

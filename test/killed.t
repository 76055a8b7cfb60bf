#!/usr/bin/perl
# A run that replaces a model, killed at each of its renames, links and removals: whoever loads the directory finds the old
# model or the new one, and the same command with --resume ends where the run would have. Needs strace, which kills.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

plan skip_all => 'strace is missing (apt install strace)' if system('strace -o /dev/null true 2>/dev/null');
$ENV{OMP_NUM_THREADS} = 1;

sub scores { return (run_apart("score --model $_[0] --data $retain --json --quiet"))[1] }

my $first = "train --model $ref --data $retain --quiet --epochs 1 --batch 4 --seed 1";
my $second = "train --model $cur --data $retain --quiet --epochs 2 --batch 4 --save-every 2";
run("$first --out $dir/old");
run("$second --out $dir/new");
my ($old, $new) = (scores("$dir/old"), scores("$dir/new"));
isnt($old, $new, 'two models');

for my $calls ('rename,renameat,renameat2', 'linkat', 'unlink,unlinkat', 'fsync') {
    my %found = (old => 0, new => 0);
    my ($kills, $wrong, $not_resumed) = (0, '', '');
    for my $k (1 .. 40) {
        system "rm -rf $dir/out $dir/out.tmp.*; cp -r $dir/old $dir/out";
        # Killed before it took the directory, a run leaves that of the run before it, where --resume is refused.
        my $status = system "strace -f -o /dev/null -e trace=$calls -e inject=$calls:signal=KILL:when=$k "
            . "$unlearn $second --overwrite --out $dir/out >/dev/null 2>&1";
        my $got = scores("$dir/out");
        $got eq $old ? $found{old}++ : $got eq $new ? $found{new}++ : ($wrong .= " $k");
        last if !$status;
        $kills++;
        my $begun = get("$dir/out/run.json") =~ /\Q$cur\E/;
        run("$second " . ($begun ? '--resume' : '--overwrite') . " --out $dir/out");
        my @left = glob("$dir/out/*.tmp.* $dir/out.tmp.*");
        $not_resumed .= " $k" if scores("$dir/out") ne $new || @left;
    }
    cmp_ok($kills, '>', 1, "$calls: $kills kills");
    is($wrong, '', "$calls: $found{old} times the old model, $found{new} times the new one, never another");
    is($not_resumed, '', "$calls: repeated, it ends with the new one and leaves nothing behind");
}
done_testing();

#!/usr/bin/perl
# A run killed at random times: the ledger opens and has the run as interrupted or not at all, the files read back, and the same
# command with --resume ends with the bits of a run that was not killed. UNLEARN_KILLS says how often (6); the second tier: 50. Then
# a full disk: nothing is lost, and the message tells.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use lib $FindBin::Bin;
use Command;
use Training;

$ENV{OMP_NUM_THREADS} = 1;
my $kills = $ENV{UNLEARN_KILLS} // (-d ($ENV{UNLEARN_SHARED} // '../shared') ? 50 : 6);
$kills = 6 if $unlearn =~ m{build/(?:sanitize|debug)/};
my $line = "$both --method NPO --epochs 30 --save-every 5";

sub start {
    my ($args, $said) = @_;
    my $pid = fork // die;
    return $pid if $pid;
    open STDOUT, '>', $said // '/dev/null';
    open STDERR, '>&STDOUT';
    exec split(' ', "$unlearn $args") or die;
}

sub status_of {
    my ($row) = grep { $_->{out} eq $_[0] } @{decode_json((run_apart("runs --json --ledger $dir/unlearn.db"))[1])};
    return $row ? $row->{status} : 'none';
}

my $began = time;
run("$line --out $dir/whole");
my $lasts = time - $began;
srand 7;
my (%seen, $wrong, $unread, $left);
$wrong = $unread = $left = '';
for my $k (1 .. $kills) {
    my $pid = start("$line --out $dir/killed$k");
    sleep rand(1.1 * $lasts);
    kill 'KILL', $pid;
    waitpid $pid, 0;
    my $finished = -e "$dir/killed$k/run.json" && decode_json(get("$dir/killed$k/run.json"))->{finished};
    my $status = -e "$dir/unlearn.db" ? status_of("$dir/killed$k") : 'none';
    $seen{$status}++;
    $unread .= " $k:$status" if $status eq 'running' || $status eq 'failed' || ($status eq 'finished' && !$finished);
    my ($rc, $out) = run("$line --out $dir/killed$k --resume");
    $wrong .= " $k ($rc): $out" if $rc || get("$dir/killed$k/model.safetensors") ne get("$dir/whole/model.safetensors");
    $left .= " $_" for glob("$dir/killed$k/*.tmp.* $dir/killed$k/checkpoint*");
    $unread .= " $k:" . status_of("$dir/killed$k") if status_of("$dir/killed$k") !~ /^finished$/ && $status ne 'finished' && !$finished;
    system "rm -rf $dir/killed$k";
}
is($unread, '', "$kills kills: the ledger opens, and tells: " . join(', ', map { "$_ $seen{$_}" } sort keys %seen));
is($wrong, '', 'the same command with --resume gives the bits of a run that was not killed');
is($left, '', 'and leaves nothing of the killed one');

# --- a full disk ---

SKIP: {
    mkdir "$dir/small";
    my $kib = int(0.7 * (-s "$dir/whole/model.safetensors") / 1024);
    skip 'no tmpfs can be mounted here: a limit of the file size is tested in ledger.t', 6
        if system("mount -t tmpfs -o size=${kib}k tmpfs $dir/small 2>/dev/null");
    my ($rc, $out) = run("$line --save-every 0 --out $dir/small/out");
    is($rc, 1, 'a disk that is too small') or diag($out);
    like($out, qr/the model needs about \d+ MiB on the disk of .*, which has \d+ MiB free/, 'is what the message tells') or diag($out);
    ok(!-e "$dir/small/out/model.safetensors", 'no part of a model is there');
    ($rc, $out) = run("forget --model $dir/whole --forget $forget --method NPO --retain $retain --quiet --epochs 1 --out $dir/whole2");
    is($rc, 0, 'the model that was there is as it was') or diag($out);
    # Full while it trains: a checkpoint cannot be written.
    system "mount -o remount,size=20m $dir/small";
    my $pid = start("$line --epochs 3000 --save-every 5 --out $dir/small/out", "$dir/said");
    for (my $wait = 0; $wait < 2000 && !-s "$dir/small/out/train.jsonl"; $wait++) { sleep 0.005 }
    system "dd if=/dev/zero of=$dir/small/filler bs=64k 2>/dev/null";
    waitpid $pid, 0;
    is($? >> 8, 1, 'a disk that becomes full') or diag(get("$dir/said"));
    like(get("$dir/said"), qr/cannot write '.*': (?:No space left on device|no space left on device|disk full)/, 'is told') or diag(get("$dir/said"));
    unlink "$dir/small/filler";
    ($rc, $out) = run("$line --max-steps 60 --save-every 5 --out $dir/small/out --overwrite");
    is($rc, 0, 'with room there is a run again') or diag($out);
    system "umount $dir/small";
}

done_testing;

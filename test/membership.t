#!/usr/bin/perl
# Attacks on membership: shadow models trained by the program, their scores against the statistics of the same numbers, what a
# resumed attack finds again.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $seed = 3;
sub draw { $seed = ($seed * 1103515245 + 12345) % 2**31; return 3 + int($seed / 65536) % 101 }
sub rows_of { my ($n, $name) = @_; return put("$name.jsonl", join '', map { my @ids = map { draw() } 1 .. 9;
    encode_json({ids => \@ids, labels => [(-100) x 4, @ids[4 .. 8]]}) . "\n" } 1 .. $n) }

my ($forget, $holdout, $retain) = (rows_of(8, 'forget'), rows_of(16, 'holdout'), rows_of(6, 'retain'));
my $base = 'test/data/models/m_ref';
my $how = '--lr 3e-3 --epochs 8 --batch 4 --quiet';
check("train --model $base --data $retain+$forget --out $dir/target $how", 0, qr//, 'the target');
check("train --model $base --data $retain --out $dir/retrained $how", 0, qr//, 'the retrained model');
check("forget --method GradDiff --model $dir/target --forget $forget --retain $retain --out $dir/unlearned --lr 5e-4 --epochs 2 --batch 4 --quiet",
    0, qr//, 'the unlearned model');
my $three = "--model $dir/unlearned --target $dir/target --retrained $dir/retrained --forget $forget --retain $retain --holdout $holdout";

sub attack {
    my ($line) = @_;
    my ($status, $out) = run("attack $line --json --quiet");
    is($status, 0, "attack $line") or diag($out);
    $out =~ s/\A.*?^\{/{/ms; # warnings stand before
    return eval { decode_json($out) } // {};
}

# --- shadow models ---

my $got = attack("membership $three --shadows 4 --out $dir/attack --keep-shadows");
is($got->{target}{lira}{auc}, 1, 'the forget rows of the target are told from unseen ones');
cmp_ok($got->{retrained}{lira}{auc}, '<', 0.85, 'those of the retrained model are not');
cmp_ok($got->{target}{rmia}{auc}, '>', 0.8, 'RMIA: likewise of the target');
cmp_ok(abs($got->{excess}{lira}{auc} - ($got->{unlearned}{lira}{auc} - $got->{retrained}{lira}{auc})), '<', 1e-12, 'the excess');
is(scalar @{$got->{unlearned}{lira}{scores}}, 16, '8 forget rows and the first 8 holdout rows are scored');
is($got->{budget}{candidates}, 4, 'the budget tells the number of shadow models');
cmp_ok($got->{budget}{backward_tokens}, '>', 1000, '... and what training them cost');

# the same numbers, from the files
my @pool = map { $_->{ids} } lines($forget), (lines($holdout))[0 .. 7];
my (@in, @shadow);
for my $k (0 .. 3) {
    $shadow[$k] = decode_json(get("$dir/attack/shadows/$k/scores.json"));
    my %there = map { ("@{$_->{ids}}" => 1) } lines("$dir/attack/shadows/$k/forget.jsonl");
    $in[$k] = [map { $there{"@$_"} ? 1 : 0 } @pool];
    is(sum(@{$in[$k]}), 8, "shadow model $k has half of the pool");
    is(scalar lines("$dir/attack/shadows/$k/data.jsonl"), 14, '... and all retain rows');
}
is_deeply([map { my $i = $_; sum map { $in[$_][$i] } 0 .. 3 } 0 .. 15], [(2) x 16], 'every row is in half of them');
sub phi { my ($p) = @_; return log($p) - log(1 - $p) }
my %stats = (forgotten => [(1) x 8, (0) x 8],
    shadow_in => [map { my $i = $_; [map { phi($shadow[$_]{unlearned}[$i]) } grep { $in[$_][$i] } 0 .. 3] } 0 .. 15],
    shadow_out => [map { my $i = $_; [map { phi($shadow[$_]{trained}[$i]) } grep { !$in[$_][$i] } 0 .. 3] } 0 .. 15]);
my $all = put('all.jsonl', get($forget) . join '', map { encode_json($_) . "\n" } lines($holdout));
my $scored = `$unlearn score --quiet --model $dir/unlearned --data $all --json`;
my @mean = map { $_ / 5 } $scored =~ /"sum": (-?[\d.e-]+)/g;
$stats{observed} = [map { phi(exp $_) } @mean[0 .. 15]];
my ($status, $out) = run('stats lira ' . put('lira.json', encode_json(\%stats)));
is($status, 0, 'stats lira on the same numbers') or diag($out);
my $pooled = decode_json($out)->{pooled};
my $worst = 0;
for (0 .. 15) { my $d = abs($pooled->{ratio}[$_] - $got->{unlearned}{lira}{scores}[$_]) / (1 + abs $pooled->{ratio}[$_]); $worst = $d if $d > $worst }
cmp_ok($worst, '<', 1e-4, "U-LiRA's scores are those of the statistics, $worst");

# --- a shadow model is what train makes of the same rows with the target's options ---

check("train --recipe $dir/target/run.json --data $dir/attack/shadows/1/data.jsonl --out $dir/again --seed 1 --quiet", 0, qr//, 'a run by hand');
ok(get("$dir/again/model.safetensors") eq get("$dir/attack/shadows/1/trained/model.safetensors"), 'the same bits');

# --- what is there is found again ---

my $date = (stat "$dir/attack/shadows/0/scores.json")[9];
unlink "$dir/attack/shadows/3/scores.json", "$dir/attack/attack.json";
my $again = attack("membership $three --shadows 4 --out $dir/second --shadow-dir $dir/attack/shadows");
is_deeply($again->{unlearned}, $got->{unlearned}, 'a directory of shadow models is used again, and completed');
cmp_ok($again->{budget}{backward_tokens}, '<', $got->{budget}{backward_tokens} / 2, '... without training them again');
ok(!-e "$dir/attack/shadows/3/trained", 'models that are not to be kept are removed');
check("attack membership $three --shadows 4 --seed 9 --shadow-dir $dir/attack/shadows", 1, qr/shadow model with other rows or options: choose another --shadow-dir/,
    'shadow models of other rows are not used');

# --- what is wrong ---

my $alone = "--model $dir/unlearned --forget $forget --retain $retain";
check("attack membership $alone --out $dir/x1", 1, qr/rows that no model has seen, at least two: give --holdout FILE/, 'no holdout rows');
check("attack membership $alone --holdout $holdout", 1, qr/shadow models need a directory: use --out DIR/, 'no directory');
check("attack membership $alone --holdout $holdout --out $dir/x2", 1, qr/not known how the target was trained.*--train-options FILE/, 'no target');
check("attack membership $three --shadows 2 --train-options $dir/none.json --out $dir/x3", 1, qr/none\.json/, 'no such options');
done_testing();

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

# --- shadow models ---

my $got = attack_json("membership $three --shadows 4 --out $dir/attack --keep-shadows");
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
my $again = attack_json("membership $three --shadows 4 --out $dir/second --shadow-dir $dir/attack/shadows");
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

# --- the differencing attack: definitions in Python on PyTorch's logits, equal models, exact unlearning ---

my $want = decode_json(get('test/data/probe/uds.json'));
my $golden = put('golden.jsonl', join '', map { encode_json($_) . "\n" } @{$want->{batch_rows}});
$got = attack_json("difference --model test/data/models/m_cur --target $base --forget $golden --weights 0,0.5,1,3");
for my $w (sort keys %{$want->{guided}}) {
    my ($own, $theirs) = ($got->{unlearned}{guided}{$w}, $want->{guided}{$w});
    cmp_ok(abs($own->{$_} - $theirs->{$_}), '<', 1e-5, "guided by $w: $_ $own->{$_}") for qw(nll prob hits exact);
}
$got = attack_json("difference $three");
is($got->{target}{$_}{auc}, 0.5, "equal models tell nothing apart: $_") for qw(retain holdout);
is($got->{target}{forget}{drop}, 0, 'no drop without a difference');
is_deeply($got->{target}{guided}{2}{$_}, $got->{target}{guided}{0}{$_}, "no guidance without a difference: $_") for qw(hits exact);
is($got->{retrained}{holdout}{auc}, 1, 'exact unlearning tells who was unlearned');
my $before = attack_json("prune $three --ratio 0")->{target}{before}{forget};
cmp_ok(abs($got->{unlearned}{guided}{0}{prob} - $before->{prob}), '<', 1e-6, 'guidance 0 is the model before');

# --- canaries: exposure ---

my $canary = attack_json("canary --model $dir/unlearned --target $dir/target --retrained $dir/retrained --forget $forget --space tokens");
cmp_ok(abs($canary->{target}{exposure} - log(257) / log(2)), '<', 0.01, 'what was trained on comes before all 256 others');
cmp_ok($canary->{target}{estimate}, '>', 12, 'its exposure is estimated beyond what these can tell');
cmp_ok(abs($canary->{target}{most} - 5 * log(104) / log(2)), '<', 1e-9, 'the most there can be: 5 of 104 tokens');
$canary = attack_json("canary --model $base --forget $holdout --space tokens --candidates 127");
my @exposure = map { $_->{exposure} } @{$canary->{unlearned}{rows}};
cmp_ok(abs(sum(@exposure) / @exposure - 1.4), '<', 0.9, 'a rank among equals is uniform: 1.4 bits on average, ' . sum(@exposure) / @exposure);
cmp_ok(scalar(grep { $_ <= 1 } @exposure), '>=', 4, '... and half of them below 1 bit');
for (@{decode_json(get('test/data/probe/exposure.json'))}) {
    my ($status, $out) = run('stats exposure ' . put('exposure.json', encode_json({loss => $_->{loss}, candidates => $_->{candidates}})));
    my $own = decode_json($out);
    cmp_ok(abs($own->{$_->[0]} - $_->[1]), '<', 1e-7, "exposure of a loss: $_->[0]") for ['estimate', $_->{estimate}], ['exposure', $_->{exposure}];
}

# making them
check("canaries --n 5 --out $dir/canaries.jsonl", 0, qr//, 'canaries');
my @canaries = lines("$dir/canaries.jsonl");
is(scalar @canaries, 5, 'as many as were asked for');
like($_->{answer}, qr/^The access code of [A-Z][a-z]+ [A-Z][a-z]+ is \d{6}\.$/, 'a canary') for @canaries;
check("canaries --n 5 --into 'demo/data/people.jsonl[0:7]' --repeat 3 --out $dir/with.jsonl", 0, qr//, 'into other rows');
my @with = lines("$dir/with.jsonl");
is(scalar @with, 22, 'the rows, and three copies of each canary');
my %copies;
$copies{$_->{answer}}++ for grep { exists $_->{canary} } @with;
is_deeply(\%copies, {map { ($_->{answer} => 3) } @canaries}, 'the same canaries by the same seed');
is_deeply([grep { !exists $_->{canary} } @with], [(lines('demo/data/people.jsonl'))[0 .. 6]], 'the rows are in their order');
my ($first) = grep { exists $with[$_]{canary} } 0 .. $#with;
cmp_ok($first, '<', 7, 'canaries stand among them');
my $text = text_model();
check("train --model $text --data $dir/with.jsonl --out $dir/told --lr 1e-2 --epochs 3 --batch 4 --quiet", 0, qr//, 'a model that is told them');
my $told = attack_json("canary --model $dir/told --retrained $text --forget $dir/canaries.jsonl --candidates 64");
is(scalar @{$told->{unlearned}{rows}}, 5, 'an exposure for each');
cmp_ok(abs($told->{unlearned}{most} - 6 * log(10) / log(2)), '<', 1e-9, 'six digits');
is_deeply(attack_json("canary --model $dir/told --retrained $text --forget $dir/canaries.jsonl --candidates 64"), $told, 'the same again');

check("attack difference --model $dir/unlearned --forget $forget", 1, qr/needs the model before unlearning: give --target MODEL/, 'no target');
check("attack difference $three --weights -1", 1, qr/'-1' is no list of numbers/, 'a weight below 0');
check("attack canary --model $base --forget $forget", 1, qr/digits are drawn in texts/, 'digits of token ids');
check("attack canary --model $text --forget 'demo/data/people.jsonl[0:1]'", 1, qr/line 1: the answer has no digit/, 'no digit');
check("canaries --answer x --out $dir/none.jsonl", 1, qr/no \{digits\}/, 'no digits');
check("canaries --n 2 --into $dir/with.jsonl --out $dir/with.jsonl --overwrite", 1, qr/is read here/, 'the rows stay as they are');
check('canaries', 1, qr/--out FILE/, 'no output');
done_testing();

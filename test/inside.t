#!/usr/bin/perl
# Attacks on hidden states: the depth score against PyTorch and the released code, lens, probes and nearest states, and what must
# hold of each.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $data = 'test/data/probe';
my $models = 'test/data/models';
my $want = decode_json(get("$data/uds.json"));
my $forget = put('forget.jsonl', join '', map { encode_json($_) . "\n" } @{$want->{batch_rows}});

# The largest difference of two lists.
sub apart {
    my ($x, $y) = @_;
    return 'another length' if @{$x // []} != @$y;
    my $most = 0;
    for (0 .. $#$y) {
        my $d = abs($x->[$_] - $y->[$_]);
        $most = $d if $d > $most;
    }
    return $most;
}

# --- the depth score ---

my $three = "--model $models/m_cur --target $models/m_ref --retrained $models/m_reinforced --forget $forget";
for (['', 'definition'], ['--compat uds', 'code']) {
    my ($how, $form) = @$_;
    my $got = attack_json("depth $three $how");
    my $rows = $got->{summary}{rows} // [];
    is(scalar @$rows, 3, "$form: a score for each row");
    for my $i (0 .. $#$rows) {
        my ($own, $theirs) = ($rows->[$i], $want->{$form}{rows}[$i]);
        cmp_ok(apart($own->{$_}, $theirs->{$_}), '<', 2e-6, "row $i: $_") for qw(delta_retain delta_unlearned);
        is_deeply($own->{ft_layers}, $theirs->{ft_layers}, "row $i: the layers that count");
        cmp_ok(abs($own->{full} - $theirs->{full}), '<', 2e-6, "row $i: the target's own log-probability");
        cmp_ok(abs($own->{uds} - $theirs->{uds}), '<', 1e-5, "row $i: the score");
    }
    cmp_ok(abs($got->{summary}{mean} - $want->{$form}{mean}), '<', 1e-5, "$form: the mean");
    cmp_ok(apart($got->{target}{delta}, [0, 0, 0]), '<', 1e-12, 'patching a model with its own states changes nothing') unless $how;
}
my $got = attack_json("depth --model $models/m_reinforced --target $models/m_ref --retrained $models/m_reinforced --forget $forget");
cmp_ok(abs($got->{summary}{mean} - 1), '<', 1e-12, 'the retrained model is as deep as itself');
$got = attack_json("depth --model $models/m_ref --target $models/m_ref --retrained $models/m_reinforced --forget $forget");
cmp_ok(abs $got->{summary}{mean}, '<', 1e-12, 'the target has forgotten nothing');
$got = attack_json("depth $three --tau 100");
is($got->{summary}{mean}, undef, 'no layer counts: no score');
is($got->{summary}{skipped}, 3, '... and rows that are left out are counted');
like((run("attack depth $three --quiet"))[1], qr/^depth mean +0\.5853$/m, 'the score in the table');

# --- a part of the answer, on text ---

my $text = text_model();
my @people = map { decode_json($_) } (split /\n/, get('demo/data/people.jsonl'))[0 .. 2];
$_->{part} = (split ' ', $_->{answer})[1] for @people;
delete $people[2]{part};
my $parts = put('parts.jsonl', join '', map { encode_json($_) . "\n" } @people);
my $of_text = "--model $text --target $text --retrained $text --forget $parts";
$got = attack_json("depth $of_text --span-key part");
my $whole = attack_json("depth $of_text");
isnt($got->{summary}{rows}[0]{full}, $whole->{summary}{rows}[0]{full}, 'a part of the answer is another figure');
cmp_ok(abs($got->{summary}{rows}[2]{full} - $whole->{summary}{rows}[2]{full}), '<', 1e-6, 'a row without the part: all of its answer');
my $line = put('line.jsonl', encode_json({%{$people[0]}, part => $people[0]{answer}}) . "\n");
is(attack_json("depth --model $text --target $text --retrained $text --forget $line --span-key part")->{target}{rows}[0]{full} <=> 0, -1,
    'the whole answer as its part');

check("attack depth --model $models/m_cur --target $models/m_ref --forget $forget", 1, qr/depth score needs .*--retrained/, 'no retrained model');
check("attack depth --model $models/m_cur --retrained $models/m_ref --forget $forget", 1, qr/depth score needs .*--target/, 'no target');
check("attack depth $three --span-key x", 1, qr/found in texts, not in token ids/, 'parts of token ids');

# --- the lens: against the tensors of the reference, and its best layer ---

my ($lens, $batch) = map { tensors_of($_) } "$data/lens_llama.safetensors", "$models/llama/forward.safetensors";
my $long = @{$batch->{input_ids}} / 3;
my @of_lens;
for my $i (0 .. 2) {
    my @at = grep { $batch->{attention_mask}[$i * $long + $_] } 0 .. $long - 1;
    push @of_lens, {ids => [map { $batch->{input_ids}[$i * $long + $_] } @at], labels => [map { $batch->{labels}[$i * $long + $_] } @at]};
}
my $lens_rows = put('lens.jsonl', join '', map { encode_json($_) . "\n" } @of_lens);
$got = attack_json("lens --model $models/llama --forget $lens_rows --top-k 40");
my ($own, $labels) = ($got->{unlearned}{forget}, scalar @{$lens->{labels}});
for my $layer (0 .. 3) {
    my %mean = map { my $k = $_; $k => sum(@{$lens->{"$k.$layer"}}) / $labels } qw(label_logprob rank entropy kl_final_lens);
    cmp_ok(abs($own->{layers}{nll}[$layer] + $mean{label_logprob}), '<', 1e-5, "lens, layer $layer: nll");
    is($own->{layers}{rank}[$layer], $mean{rank}, "lens, layer $layer: rank");
    cmp_ok(abs($own->{layers}{entropy}[$layer] - $mean{entropy}), '<', 1e-5, "lens, layer $layer: entropy");
    cmp_ok(abs($own->{layers}{kl}[$layer] - $mean{kl_final_lens}), '<', 1e-5, "lens, layer $layer: KL of the last layer to it");
}
my @of_row = map { my $r = $of_lens[$_]{labels}; scalar grep { $_ != -100 } @$r[1 .. $#$r] } 0 .. 2;
my ($first, @best, @found) = 0;
for my $n (@of_row) {
    my ($most, $hits) = (0, 0);
    for my $layer (0 .. 3) {
        my $p = exp(sum(@{$lens->{"label_logprob.$layer"}}[$first .. $first + $n - 1]) / $n);
        $most = $p if $p > $most;
    }
    for my $k ($first .. $first + $n - 1) { $hits++ if grep { $lens->{"rank.$_"}[$k] < 40 } 0 .. 3 }
    push @best, $most;
    push @found, $hits / $n;
    $first += $n;
}
cmp_ok(abs($own->{best_prob} - sum(@best) / 3), '<', 1e-6, 'the best layer of each row');
cmp_ok(abs($own->{found_tokens} - sum(@found) / 3), '<', 1e-9, 'tokens among the first 40 of some layer');
my $nll = attack_json("prune --model $models/llama --forget $lens_rows --ratio 0")->{unlearned}{before}{forget};
cmp_ok(abs($own->{layers}{nll}[3] - $nll->{nll}), '<', 1e-6, 'the last layer is the model');
cmp_ok(abs($own->{last_prob} - $nll->{prob}), '<', 1e-7, '... and its probability');
is($got->{budget}{candidates}, 160, 'attempts: 40 of each of 4 layers');

# --- probes: what cannot be told apart is not, what can is ---

my @random = map { my $n = $_; +{ids => [map { 3 + ($n * 37 + $_ * $_ * 11) % 100 } 0 .. 7], labels => [(-100) x 5, map { 3 + ($n * 37 + $_ * $_ * 11) % 100 } 5 .. 7],
    kind => $n % 3} } 0 .. 23;
my $rows = put('random.jsonl', join '', map { encode_json($_) . "\n" } @random);
$got = attack_json("probe --model $models/m_cur --retrained $models/m_ref --forget $rows --holdout $rows");
is_deeply($got->{unlearned}{layers}{auc}, [(0.5) x 4], 'equal rows are not told apart');
is($got->{unlearned}{majority}, 0.5, 'the majority of two equal classes');
my @marked = map { my %r = %{$random[$_]}; $r{ids} = [@{$r{ids}}]; $r{ids}[4] = 99; \%r } 0 .. 23;
my @plain = map { my %r = %{$random[$_]}; $r{ids} = [@{$r{ids}}]; $r{ids}[4] = 50; \%r } 0 .. 23;
my ($marked, $plain) = map { my $r = $_; put(@$r == 24 && $r == \@marked ? 'marked.jsonl' : 'plain.jsonl', join '', map { encode_json($_) . "\n" } @$r) } \@marked, \@plain;
$got = attack_json("probe --model $models/m_cur --forget $marked --holdout $plain --c 1000");
is($got->{unlearned}{layers}{accuracy}[0], 1, 'another token before the answer is another embedding');
is($got->{unlearned}{best_accuracy}, 1, 'the best layer');
cmp_ok($got->{unlearned}{layers}{shuffled}[0], '<', 1, 'a probe of shuffled labels has not learnt it');
my $by_key = attack_json("probe --model $models/m_cur --forget $rows --label-key kind --position answer");
cmp_ok(abs($by_key->{unlearned}{majority} - 1 / 3), '<', 1e-12, 'three classes from a field');
ok(!$by_key->{unlearned}{layers}{auc}, 'no AUC of three classes');
is_deeply(attack_json("probe --model $models/m_cur --forget $rows --label-key kind --position answer"), $by_key, 'the same again');

# --- the nearest retain row ---

$got = attack_json("nearest --model $models/m_cur --forget $rows --retain $rows");
cmp_ok(apart($got->{unlearned}{layers}{forget}, [(0) x 4]), '<', 1e-9, 'a row that is in both is at distance 0');
$got = attack_json("nearest --model $models/m_cur --forget $marked --retain $plain");
is($got->{unlearned}{layers}{auc}[0], 1, 'forget rows with another last token are farther than retain rows are apart');

check("attack probe --model $models/m_cur --forget $rows", 1, qr/needs rows that no model has seen: give --holdout FILE/, 'no holdout rows');
check("attack probe --model $models/m_cur --forget $rows --label-key x", 1, qr/random.jsonl' line 1: there is no field 'x'/, 'no such field');
check("attack nearest --model $models/m_cur --forget $rows", 1, qr/at least two of them: give --retain FILE/, 'no retain rows');
done_testing();

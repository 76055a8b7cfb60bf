#!/usr/bin/perl
# unlearn attack: attacks on weights against losses of the same models in PyTorch (test/data/attacks/weights.json), and what
# must hold of every attack.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $data = 'test/data/attacks';
my $want = decode_json(get("$data/weights.json"));
my $number = 0;

sub rows_file { return put('rows' . $number++ . '.jsonl', join '', map { encode_json($_) . "\n" } @{$_[0]}) }

# $got may be missing.
sub near {
    my ($got, $expected, $bound, $what) = @_;
    my $d = defined $got ? abs($got - $expected) / (abs $expected > 1 ? abs $expected : 1) : 'missing';
    ok($d ne 'missing' && $d <= $bound, "$what: " . ($got // 'missing'));
}

# --- rounding: losses and KL of every scheme, on a model of matrices with outliers ---

my %scheme = (q8_0 => 'q8_0', q4_0 => 'q4_0', q4_1 => 'q4_1', q5_0 => 'q5_0', q5_1 => 'q5_1', nf4 => 'nf4', fp4 => 'fp4',
    map { my $b = $_; map { my $s = $_; ("int${b}_${s}_sym" => "int$b:" . ($s eq 'group' ? 'group=32' : $s),
        "int${b}_${s}_asym" => "int$b:" . ($s eq 'group' ? 'group=32' : $s) . ',asym') } qw(tensor row group) } 4, 8);
my @names = grep { $want->{schemes}{$_} } sort keys %scheme;
my $rows = rows_file($want->{quantised});
my $got = attack_json("quantise --model $data/quantised --forget $rows --types '" . join(' ', map { $scheme{$_} } @names) . "'");
near($got->{unlearned}{before}{forget}{nll}, $want->{schemes}{f32}{loss}, 1e-5, 'loss before');
for (@names) {
    my $figures = $got->{unlearned}{$scheme{$_}}{forget};
    near($figures->{nll}, $want->{schemes}{$_}{loss}, 1e-5, "$_: loss");
    near($figures->{kl}, $want->{schemes}{$_}{kl}, 1e-5, "$_: KL to the model before");
}
cmp_ok(scalar @names, '>=', 19, 'all schemes were tried');
my $kinds = attack_json("quantise --model $data/quantised --forget $rows --types 'q4_k q6_k'");
is($kinds->{unlearned}{$_->[0]}{forget}{nll}, $got->{unlearned}{$_->[1]}{forget}{nll}, "$_->[0]: $_->[1] for rows that are no multiple of 256")
    for ['q4_k', 'q5_0'], ['q6_k', 'q8_0'];

# --- GPTQ, a layer after the other; without calibration text it takes the retain rows ---

my $gptq = decode_json(get("$data/gptq.json"));
my $calibration = rows_file($gptq->{rows});
my $types = join ' ', map { $_->{type} } @{$gptq->{settings}};
my $calibrated = attack_json("quantise --model test/data/models/llama --forget $calibration --calibration $calibration --types '$types'");
near($calibrated->{unlearned}{$_->{type}}{forget}{nll}, $_->{loss}, 1e-4, "$_->{type}: loss") for @{$gptq->{settings}};
my $by_retain = attack_json("quantise --model test/data/models/llama --forget $calibration --retain $calibration --types '$types'");
is($by_retain->{unlearned}{gptq}{forget}{nll}, $calibrated->{unlearned}{gptq}{forget}{nll}, 'calibrated on the retain rows');

# --- weights that unlearning did not move past a step ---

my %stuck_name = (%scheme, int8_tensor_sym => 'int8:tensor', int8_row_sym => 'int8', int4_row_sym => 'int4');
my @stuck = grep { $stuck_name{$_->{scheme}} } @{$want->{stuck}};
my $rest = rows_file($want->{relearn}{rest});
my $three = "--model $data/unlearned --target $data/target --retrained test/data/models/m_ref --forget $rest";
$got = attack_json("quantise $three --types '" . join(' ', map { $stuck_name{$_->{scheme}} } @stuck) . "'");
for (@stuck) {
    my $own = $got->{unlearned}{$stuck_name{$_->{scheme}}};
    is($own->{$_->[0]}, $_->[1], "$_->[2]: $_->[0]")
        for map { my $s = $_; map { [$_, $s->{$_}, $s->{scheme}] } qw(weights same_code moved moved_and_same_code) } $_;
    is($got->{target}{$stuck_name{$_->{scheme}}}{stuck}, 1, 'all of the target is its own');
}
my $nf4 = $got->{unlearned}{nf4}{forget}{prob};
near($got->{excess}{nf4}{forget}{prob}, $nf4 - $got->{retrained}{nf4}{forget}{prob}, 1e-12, 'the excess over the control');
my $before = $got->{unlearned}{before}{forget}{prob};
near($got->{recovery}{nf4}{unlearned}, ($nf4 - $before) / ($got->{target}{before}{forget}{prob} - $before), 1e-12,
    'how much of the target comes back');
is($got->{budget}{candidates}, scalar @stuck, 'candidates are counted');
ok($got->{finished}, 'finished');

# --- pruning ---

$rows = rows_file($want->{llama});
for my $scope (qw(tensor row global)) {
    my @of = grep { $_->{scope} eq $scope } @{$want->{prune}};
    $got = attack_json("prune --model test/data/models/llama --forget $rows --scope $scope --ratio " . join ',', map { $_->{ratio} } @of);
    for (@of) {
        my $own = $got->{unlearned}{$_->{ratio}};
        near($own->{forget}{nll}, $_->{loss}, 1e-5, "$scope $_->{ratio}: loss");
        is($own->{zeroed}, $_->{zeroed}, "$scope $_->{ratio}: zeroed");
    }
}

my $wanda = decode_json(get("$data/wanda.json"));
$got = attack_json("prune --model test/data/models/llama --forget $rows --retain $rows --by wanda --ratio " . join ',', map { $_->{ratio} } @$wanda);
for (@$wanda) {
    my $own = $got->{unlearned}{$_->{ratio}};
    near($own->{forget}{nll}, $_->{loss}, 1e-5, "Wanda $_->{ratio}: loss");
    is($own->{zeroed}, $_->{zeroed}, "Wanda $_->{ratio}: zeroed");
}

# --- relearning: two published schedules, replayed ---

my $attacked = rows_file($want->{relearn}{attack});
my %how = (muse => '--schedule cosine', wmdp => '--schedule linear --warmup-steps 1 --accumulate 4 --compat micro_mean');
for my $protocol (sort keys %how) {
    my $known = $want->{relearn}{$protocol};
    my $hyper = $known->{hyper};
    my $steps = $hyper->{steps};
    my $order = put("$protocol.order", join '', map { encode_json({forget => $_}) . "\n" } @{$known->{order}});
    $got = attack_json("relearn $three --rows $attacked --steps $steps --batch $hyper->{batch} --rates $hyper->{lr} " .
        "--order $order $how{$protocol} --eval-at " . join ',', 0 .. $steps);
    for my $model (qw(unlearned retrained target)) {
        my ($curve, $of) = ($got->{$model}{$hyper->{lr}}, $known->{$model});
        my $worst = 0;
        for my $set (qw(attacked rest)) {
            for my $figure (qw(nll prob)) {
                my $theirs = $of->{($set eq 'rest' ? 'rest' : 'attack') . "_$figure"};
                is(scalar @{$curve->{$set}{$figure}}, @$theirs, "$protocol, $model: $set $figure at every step");
                for (0 .. $#$theirs) {
                    my $d = abs($curve->{$set}{$figure}[$_] - $theirs->[$_]) / ($theirs->[$_] || 1);
                    $worst = $d if $d > $worst;
                }
            }
        }
        cmp_ok($worst, '<', $model eq 'unlearned' ? 1e-4 : 5e-3, "$protocol, $model: the whole curve, $worst");
        near($curve->{lr}[$_], $known->{lr}[$_], 1e-9, "$protocol: learning rate of step $_") for 0, 1, $steps - 1;
        near($curve->{grad_norm}[0], $of->{grad_norm}[0], 1e-4, "$protocol, $model: gradient norm");
    }
    for my $set (qw(attack rest)) {
        my $theirs = $known->{"summary_${set}_prob"} or next;
        my $ours = $got->{summary}{$hyper->{lr}}{$set eq 'attack' ? 'attacked' : 'rest'};
        near($ours->{$_}, $theirs->{$_}, 1e-3, "$protocol, $set: $_")
            for grep { defined $theirs->{$_} && !ref $theirs->{$_} } sort keys %$theirs;
    }
}

# --- relearning: halves by entity, no step, a rate that ruins the model ---

my @people = map { +{%{$_->[0]}, entity => $_->[1]} } map { [$want->{relearn}{rest}[$_], qw(a b a c c b d d d)[$_]] } 0 .. 8;
my $entities = rows_file(\@people);
$got = attack_json("relearn --model $data/unlearned --forget $entities --steps 0 --rates 1e-3");
is($got->{budget}{rows}, 4, 'the attacker has entities a and b: 4 of 9 rows');
is_deeply($got->{unlearned}{'0.001'}{steps}, [0], 'no step: the model as it is');
$got = attack_json("relearn --model $data/unlearned --forget $rest --steps 3 --rates 1e-3,1e30,1e-3");
ok($got->{finished}, 'a rate that ruins the model is a result');
is_deeply($got->{unlearned}{'1e+30'}{rest}{prob}[-1], undef, 'a figure that is not finite is null')
    if @{$got->{unlearned}{'1e+30'}{steps}} > 1;
my $alone = attack_json("relearn --model $data/unlearned --forget $rest --steps 3 --rates 1e-3");
is_deeply($got->{unlearned}{'0.001'}, $alone->{unlearned}{'0.001'}, 'the next rate starts from the weights as they were');

my ($ok, $shown) = run("attack relearn $three --steps 2 --rates 1e-3 --quiet");
like($shown, qr/^relearn +start +end +recovery .*^0\.001 +attacked  .*^0\.001 +rest  +0\.0131 /ms, 'the ends of the curves as a table');

# --- budgets of 0 change nothing; more noise is farther ---

$got = attack_json("interpolate $three --alpha 0");
near($got->{unlearned}{0}{forget}{kl}, 0, 1e-12, 'interpolate 0: the same model');
is($got->{unlearned}{0}{forget}{nll}, $got->{unlearned}{before}{forget}{nll}, '... bit for bit');
$got = attack_json("prune $three --ratio 0");
is($got->{unlearned}{0}{forget}{nll}, $got->{unlearned}{before}{forget}{nll}, 'prune 0: the same');
$got = attack_json("noise $three --sigma 0,0.01,0.1 --draws 2");
is($got->{unlearned}{'0 draw 1'}{forget}{nll}, $got->{unlearned}{before}{forget}{nll}, 'noise 0: the same');
my @kl = map { $got->{unlearned}{$_}{forget}{kl} } '0.01 draw 1', '0.1 draw 1', '0.1 draw 2';
ok($kl[0] > 0 && $kl[1] > 10 * $kl[0] && $kl[1] != $kl[2], "noise of more deviation is farther: @kl");
is_deeply(attack_json("noise $three --sigma 0.1 --draws 2")->{unlearned}{'0.1 draw 2'}, $got->{unlearned}{'0.1 draw 2'}, 'the same seed, the same');
isnt(attack_json("noise $three --sigma 0.1 --draws 1 --seed 1")->{unlearned}{'0.1 draw 1'}{forget}{nll},
    $got->{unlearned}{'0.1 draw 1'}{forget}{nll}, 'another seed, another');

# Given noise, on one matrix.
$rows = rows_file($want->{llama});
$got = attack_json("noise --model test/data/models/llama --forget $rows --sigma 0.05,0.5 --replay $data/noise");
near($got->{unlearned}{"$_->[0] draw 1"}{forget}{nll}, $_->[1], 1e-5, "noise of a file, $_->[0]") for [0.05, 9.372347414730474], [0.5, 9.395852687241941];
is($got->{unlearned}{'0.5 draw 1'}{noisy}, 2048, 'only the weight that the file has');
ok(!$got->{unlearned}{'0.5 draw 2'}, 'as many draws as there are files');

# --- ablation: a direction taken out of all that is added to hidden states, also of a tied head, positions and biases ---

my $ablate = decode_json(get("$data/ablate.json"));
my %of = map { $_ => rows_file($ablate->{$_}) } qw(forget retain);
for my $w (@{$ablate->{ablated}}) {
    my $own = attack_json("ablate --model test/data/models/$w->{model} --forget $of{forget} --retain $of{retain} --layers $w->{layer}");
    my $figures = $own->{unlearned}{"layer $w->{layer}"};
    near($figures->{norm}, $w->{norm}, 1e-5, "$w->{model}: length of the direction");
    near($figures->{$_}{nll}, $w->{$_}, 1e-5, "$w->{model}: $_ loss") for qw(forget retain);
}
$got = attack_json("ablate $three --against target");
is_deeply([grep { /layer/ } sort keys %{$got->{unlearned}}], ['layer 1', 'layer 2'], 'a half and three quarters of three layers');
is($got->{target}{'layer 1'}{$_->[0]}, $_->[1], "the target against itself: $_->[0]") for ['norm', 0];
is($got->{target}{'layer 1'}{forget}{nll}, $got->{target}{before}{forget}{nll}, '... changes nothing');
isnt($got->{unlearned}{'layer 1'}{forget}{nll}, $got->{unlearned}{before}{forget}{nll}, 'the unlearned model changes');

# --- sampling: a model on text ---

my $text = text_model();
my $out = "$dir/sampled";
$got = attack_json("sample --model $text --retrained $text --forget 'demo/data/people.jsonl[0:3]' --n 8 --max-new-tokens 6 --out $out");
is($got->{unlearned}{answers}, 24, '8 answers of each prompt');
ok(!grep({ $_ != 0 } values %{$got->{excess}{leak_at_k}}), 'no excess over itself');
my @lines = lines("$out/samples_unlearned.jsonl");
is(scalar @lines, 24, 'all are kept');
is_deeply($got, decode_json(get("$out/attack.json")), 'attack.json is what was printed');
my @most;
push @{$most[$_->{row}]}, $_->{rouge_l_recall} for @lines;
my @best = map { (sort { $b <=> $a } @$_)[0] } grep { $_ } @most;
my $mean = 0;
$mean += $_ / @best for @best;
near($got->{unlearned}{expected_max}{8}, $mean, 1e-12, 'the expected maximum of all answers is the mean of the best');
my @sums = `$unlearn score --quiet --model $text --data 'demo/data/people.jsonl[0:3]' --json` =~ /"sum": (-?[\d.e-]+)/g;
near($got->{unlearned}{exact_log_p}, ($sums[0] + $sums[1] + $sums[2]) / 3, 1e-6, 'the exact answer, as score has it');

# --- what is wrong ---

for (
    ["sample --model $text --forget x --out $out", 1, qr/not empty|is not empty|--overwrite/],
    ["prune --model $text --forget $rest --out $text --overwrite", 1, qr/is read here and stays as it is/],
    ["noise --model $data/target --forget $rest --replay $data/noise", 1, qr/'epsilon.model.layers.0.self_attn.k_proj.weight' has 2048 numbers, the weight has \d+/],
    ["noise --model $text --forget $rest --replay $dir", 1, qr/has no noise.safetensors/],
    ["ablate --model $text --forget $rest", 1, qr/the direction from retain prompts needs retain rows.*--retain/],
    ["ablate --model $text --forget $rest --retain $rest --layers 9", 1, qr/'9' is no list of numbers from 1 to 2/],
    ["ablate --model $text --forget $rest --against target", 1, qr/the direction from the target's states needs it.*--target/],
    ["quantise --model $text --forget $rest --types int9", 1, qr/int2 to int8/],
    ["quantise --model $text --forget $rest --types gptq", 1, qr/gptq needs calibration text, its own or the retain rows.*--retain/],
    ["quantise --model $text --forget $rest --types 'int4:group=48'", 1, qr/rows of \d+ are no multiple of 48/],
    ["prune --model $text --forget $rest --ratio 2", 1, qr/'2' is no list of numbers from 0 to 1/],
    ["relearn --model $text --forget $rest --eval-at 0,x", 1, qr/'x' is no list of numbers/],
    ["relearn --model $text --forget $rest --rates -1", 1, qr/'-1' is no list of numbers/],
    ["interpolate --model $text --forget $rest", 1, qr/needs the model before unlearning/],
    ["quantize --model $text --forget $rest", 2, qr/unknown attack 'quantize': did you mean 'quantise'\?/],
    ["prune --model $text --forget $rest --by wanda", 1, qr/Wanda takes its norms from retain rows.*--retain/],
    ["prune,prune --model $text --forget $rest", 2, qr/'prune' is named twice/],
    ["prune --forget $rest", 2, qr/--model/],
    ["prune --model $text", 2, qr/--forget/],
    ["quantise --model $data/unlearned --target $text --forget $rest", 1, qr/target/],
    ["sample --model $data/unlearned --forget $rest", 1, qr/rows of token ids have none/],
) {
    my ($line, $status, $message) = @$_;
    my ($got_status, $printed) = run("attack $line");
    is($got_status, $status, "attack $line");
    like($printed, $message, 'is refused by name');
}
my ($status, $list) = run('attack --list');
like($list, qr/^quantise .*^sample /ms, 'attack --list');
done_testing();

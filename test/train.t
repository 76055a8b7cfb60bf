#!/usr/bin/perl
# unlearn train and unlearn forget on a tiny model: what they write, what the result knows, which weights move,
# and that runs are repeated to the byte.
use strict;
use warnings;
use File::Compare;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

check("$train --out $dir/ft", 0, qr/^15 steps, \d+ tokens in .*, last loss [\d.]+ -> \Q$dir\E\/ft$/, 'train');
is(files('ft'), 'config.json generation_config.json model.safetensors run.json train.jsonl',
    'a model and its log, nothing else');
my $before = nll($cur, $retain);
cmp_ok(nll("$dir/ft", $retain), '<', 0.7 * $before, 'what was learned is more likely');
my @steps = steps('ft');
is(scalar @steps, 15, 'a line a step');
is_deeply([sort keys %{$steps[0]}], [qw(grad_norm loss lr micro seconds step terms tokens)], 'its fields');
is_deeply([map { $_->{step} } @steps], [1 .. 15], 'steps are counted from 1');
cmp_ok(abs($steps[0]{micro}[0] - $steps[0]{loss}), '<', 1e-9, 'the loss is that of its micro-batch');
is($steps[3]{lr}, 1e-2 * 12 / 15, 'a linear schedule');
cmp_ok($steps[-1]{loss}, '<', $steps[0]{loss}, 'the loss falls');

my @methods = (['NPO', '', 1], ['GradDiff', '', 1], ['GradDiff', '--retain-loss-type KL', 1],
               ['GradAscent', '', 1], ['KLMin', '', 1], ['npo', '--retain-loss-type none', 1], ['FT', '', 0],
               ['RMU', '--layer 1', 0], ['AdaptiveRMU', '--layer 1', 0], ['CircuitBreaker', '--layer 1', 0]);
my $at_first = nll($cur, $forget);
for my $m (@methods) {
    my ($method, $more, $ascends) = @$m;
    my ($status, $out) = run("$both --method $method $more --out $dir/m");
    is($status, 0, "$method $more") or diag($out);
    my $after = nll("$dir/m", $forget);
    cmp_ok($after, '>', 1.02 * $at_first, "$method $more: what was to be forgotten is less likely") if $ascends;
    cmp_ok(nll("$dir/m", $retain), '<', $before, "$method $more: what was to be kept is more likely")
        if (steps('m'))[-1]{terms}{'retain.nll'};
}

# Every method of the table that lists its needs as log-probabilities or logits.
for my $m (@{decode_json(scalar `$unlearn methods --json`)}) {
    next if $m->{needs} =~ /hidden|expert|retain_alternate/ || !$m->{forget_term} || $m->{name} eq 'LLMU' || $m->{update};
    my ($status, $out) = run("$both --alternate $alternate --reinforced test/data/models/m_reinforced --holdout $retain --method $m->{name} --gamma 1 --term-weights constant --lr 1e-3 --out $dir/m");
    is($status, 0, "$m->{name} runs") or diag($out);
    my @loss = map { $_->{loss} } steps('m');
    cmp_ok($loss[-1] + $loss[-2], '<', $loss[0] + $loss[1], "$m->{name}: the last epoch's loss is less than the first's");
}
check("$both --method DPO --out $dir/none", 1, qr/needs alternate data: give --alternate FILE$/, 'DPO without alternates');
check("$both --alternate $retain --method DPO --out $dir/none", 1,
    qr/9 examples of the role 'alternate' cannot follow 6 of 'forget' one by one/, 'alternates of other rows');
check("$both --alternate $alternate --method DPO --forget-role alternate --out $dir/none", 1,
    qr/compares answers with their alternates, which alternate data do not have: give it the role forget or retain/, 'alternates against themselves');

check("$train --out $dir/bf16 --dtype bf16", 0, qr/^15 steps/, 'bf16');
is(decode_json(get("$dir/bf16/config.json"))->{torch_dtype}, 'bfloat16', 'config.json says so');
cmp_ok(-s "$dir/bf16/model.safetensors", '<', 0.6 * -s "$dir/ft/model.safetensors", 'half the size');
cmp_ok(abs(nll("$dir/bf16", $retain) / nll("$dir/ft", $retain) - 1), '<', 0.01, 'and it can be loaded again');

# --- which weights move ---

my $rmu = "$both --method RMU --module-regex 'model\\.layers\\.1'";
my $downs = "--trainable-params-regex 'model\\.layers\\.[01]\\.mlp\\.down_proj\\.weight'";
run("$rmu $downs --out $dir/downs");
check("diff $cur/model.safetensors $dir/downs/model.safetensors", 3, qr/^28 equal, 0 within, 2 outside,/m,
    'only the weights that match move');
my @rmu = steps('downs');
cmp_ok($rmu[-1]{terms}{'forget.rmu'}, '<', $rmu[0]{terms}{'forget.rmu'}, 'hidden states go where they are steered');
run("$both --method NPO --locate regex --trainable-params-regex lm_head.weight --out $dir/head");
check("diff $cur/model.safetensors $dir/head/model.safetensors", 3, qr/^29 equal, 0 within, 1 outside,/m,
    'with any method');
check("$rmu --trainable-params-regex mlp --out $dir/none", 1, qr/'mlp' matches no parameter name in full; one is '/,
    'a pattern that matches nothing');
check("$rmu --trainable-params-regex 'lm_head.*' --out $dir/none", 1, qr/no trainable weight gets a gradient/,
    'a weight that the method does not reach');
check("$both --method RMU --out $dir/none", 1, qr/term 'rmu' takes the states after a layer that the model does not have: give --layer 0 to 2/,
    'a layer too many');
check("$both --method NPO --locate layers --out $dir/none", 2, qr/unknown locator 'layers'/, 'an unknown locator');

my $lunar = "$both --method LUNAR --layer 1 --trainable-params-regex 'model\\.layers\\.1\\.mlp\\.down_proj\\.weight'";
run("$lunar --lr 1e-3 --refused " . put('refused.jsonl', qq({"ids":[9,8,7]}\n{"ids":[5,9,8,7]}\n)) . " --out $dir/lunar");
my @lunar = steps('lunar');
is(sprintf('%.6f', $lunar[0]{terms}{'retain.embed_prompt'}), '0.000000', 'LUNAR: begins where the reference is');
cmp_ok($lunar[-1]{terms}{'forget.redirect'}, '<', $lunar[0]{terms}{'forget.redirect'}, 'LUNAR: goes where it refuses');
check("diff $cur/model.safetensors $dir/lunar/model.safetensors", 3, qr/^29 equal, 0 within, 1 outside,/m, 'LUNAR: one matrix moves');
check("$lunar --out $dir/none", 1, qr/term 'redirect' needs prompts that the model refuses: give --refused FILE$/, 'LUNAR: without refusals');

run("$both --method RepNoise --lr 1e-2 --batch 6 --gamma 0 --alpha 0 --extra-weight 1 --max-steps 12 --out $dir/noise");
my @noise = steps('noise');
cmp_ok($noise[-1]{terms}{'forget.noise_mmd'}, '<', $noise[0]{terms}{'forget.noise_mmd'}, 'RepNoise: states become like noise');

# --- the same again ---

run("$both --method NPO --out $dir/npo --write-order $dir/order --seed 5 --accumulate 2 --epochs 2 --ref $ref");
run("$both --method NPO --out $dir/npo2 --seed 5 --accumulate 2 --epochs 2 --ref $ref");
same('npo', 'npo2', 'the same seed gives the same bytes');
run("$both --method NPO --out $dir/npo3 --order $dir/order --seed 6 --accumulate 2 --epochs 2 --ref $ref");
same('npo', 'npo3', 'so does the order that was written, whatever the seed');
check("diff $dir/npo/model.safetensors $dir/npo3/model.safetensors", 0, qr/^30 equal, 0 within, 0 outside,/, 'diff agrees');
run("$both --method NPO --out $dir/npo4 --seed 6 --accumulate 2 --epochs 2 --ref $ref");
check("diff $dir/npo/model.safetensors $dir/npo4/model.safetensors", 3, qr/^outside /, 'another seed does not');
my ($line) = split /\n/, get("$dir/order");
is_deeply([sort keys %{decode_json($line)}], ['forget', 'retain'], 'an order has the roles in use');

run("$both --method UNDIAL --alpha 0 --epochs 2 --out $dir/alone --order $dir/order");
run("forget --quiet --model $cur --forget $forget --method UNDIAL --alpha 0 --lr 1e-2 --epochs 2 --batch 4 --out $dir/alone2 --order "
    . put('forget_order', join '', map { encode_json({forget => decode_json($_)->{forget}}) . "\n" } split /\n/, get("$dir/order")));
is((steps('alone'))[-1]{loss}, (steps('alone2'))[-1]{loss}, 'its rows of a role without weight change nothing');

my $recipe = put('recipe.json', encode_json({
    method => 'GradDiff', forget => $forget, retain => $retain, lr => 0.5, batch => 4, alpha => 0.5, epochs => 1}));
run("forget --quiet --model $cur --recipe $recipe --lr 1e-2 --out $dir/recipe");
run("$both --method GradDiff --alpha 0.5 --epochs 1 --out $dir/flags");
same('recipe', 'flags', 'a recipe with flags over it is the flags alone');

# One recipe for forget and probe: a locator's options are probe's, too. It writes the gradients of what moves.
my $mlp = put('mlp.json', encode_json({method => 'GradDiff', alpha => 0.5, locate => 'regex', trainable_params_regex => 'model\.layers\.1\.mlp\..*'}));
run("forget --quiet --model $cur --forget $forget --retain $retain --recipe $mlp --max-steps 1 --out $dir/mlp");
my $probe = "probe --model $cur --batch test/data/methods/batches.safetensors --out";
check("$probe $dir/all.st --method GradDiff --alpha 0.5", 0, qr/^loss -1\.19/, "probe: all gradients");
check("$probe $dir/moving.st --recipe $mlp", 0, qr/^loss -1\.19/, "probe: of a recipe with a locator");
check("$probe $dir/counted.st --recipe $mlp --compat rmu_clip_all", 0, qr/^loss -1\.19/, "probe: where all count in the norm");

check("diff $dir/all.st $dir/moving.st", 3, qr/^6 equal, 0 within, 0 outside, 0 shape, 27 only_a, 0 only_b$/m, 'probe: three losses and the three matrices that move, the same values');
check("diff $dir/all.st $dir/counted.st", 0, qr/^\d+ equal, 0 within, 0 outside,/m, 'all where they count in the norm');
check("$probe $dir/x.st --method GradDiff --locate lora", 1, qr/--locate lora is not for probe/, 'no adapters');

run("$both --epochs 1 --beta 0.5 --out $dir/beta");
run("$both --epochs 1 --set beta=0.5 --out $dir/set");
same('beta', 'set', '--set beta=0.5 is --beta 0.5');
run("$both --epochs 1 --out $dir/default");
isnt(compare("$dir/beta/model.safetensors", "$dir/default/model.safetensors"), 0, 'and not the default');

for my $n (1, 3) {
    local $ENV{OMP_NUM_THREADS} = $n;
    run("$both --method NPO --retain-loss-type KL --lr 1e-3 --out $dir/threads$n");
}
my @one = map { $_->{loss} } steps('threads1');
my @three = map { $_->{loss} } steps('threads3');
my @off = sort { $a <=> $b } map { abs($one[$_] - $three[$_]) / abs($one[$_]) } 0 .. $#one;
is(scalar @three, scalar @one, 'as many steps with three threads as with one');
cmp_ok($off[-1], '<', 1e-5, 'and the same losses');

done_testing();

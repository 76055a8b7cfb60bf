#!/usr/bin/perl
# Options that come from files: --recipe (JSON, YAML, run.json, configurations of OpenUnlearning), --preset,
# --print-recipe; OpenUnlearning's names in "did you mean".
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $json = JSON::PP->new->canonical->allow_nonref;

# The options as a recipe, and what is said meanwhile.
sub recipe {
    my ($status, $out, $said) = run_apart("$_[0] --print-recipe");
    is($status, 0, "status 0: $_[0]") or diag $said;
    return ($status ? {} : decode_json($out), $said);
}

sub holds {
    my ($got, $want, $what) = @_;
    my %has = map { $_ => $got->{$_} } keys %$want;
    is($json->encode(\%has), $json->encode($want), $what);
}

# --- recipes of our own ---

my ($first) = recipe("forget --method RMU --layer 1 --lr 3e-4 --model M --forget F");
holds($first, {method => 'RMU', layer => 1, lr => 3e-4, model => 'M', forget => 'F', locate => 'regex', alpha => 1},
    'every option, given or not');
ok(!exists $first->{retain}, 'but those without a value');
put('own.json', $json->encode($first));
my ($again) = recipe("forget --recipe $dir/own.json");
is_deeply($again, $first, 'a recipe read back is the same');
my ($over) = recipe("forget --recipe $dir/own.json --lr 1");
is_deeply({%$over, lr => $first->{lr}}, $first, 'flags override it, and nothing else changes');
check("forget --recipe " . put('typo.json', '{"learning_rat": 1}'), 2, qr/recipe: unknown option 'learning_rat'/, 'an unknown name');
check("forget --recipe " . put('list.json', '[1]'), 2, qr/the recipe '.*list.json' is not a json object/, 'a list');

SKIP: {
    my ($status, $out) = run('forget --print-recipe --recipe ' . put('own.yaml', "method: SimNPO\nlr: 3e-4\nbeta: 2.5 # high\nmodel: 'M'\n"));
    skip 'built without libyaml: no YAML is read', 1 if $out =~ /built without libyaml/;
    holds(decode_json($out), {method => 'SimNPO', lr => 3e-4, beta => 2.5, model => 'M'}, 'in YAML');
}

# --- run.json ---

my $how = "--batch 3 --lr 1e-2 --epochs 2 --seed 5";
run("train --model $cur --data $retain $how --out $dir/once");
check("train --recipe $dir/once/run.json --out $dir/twice", 0, qr/-> \Q$dir\E\/twice$/, 'a run is repeated from its run.json');
same('once', 'twice', 'to the same bits');
my $ran = decode_json(get("$dir/once/run.json"));
like($ran->{date}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'run.json: date');
is($ran->{host}, `uname -n` =~ s/\n//r, 'host');
is($ran->{files}{$retain}, `sha256sum $retain` =~ s/ .*\n//r, 'hash of the data');
is((grep { m{\Q$cur\E/model.safetensors$} } keys %{$ran->{files}})[0] && $ran->{files}{"$cur/model.safetensors"},
    `sha256sum $cur/model.safetensors` =~ s/ .*\n//r, 'hash of the model');
check("forget --recipe $dir/once/run.json --out $dir/none", 2, qr/run.json': it is the record of 'unlearn train'/, 'of another command');
run("forget --method SimNPO --model $cur --forget $forget --retain $retain $how --out $dir/sim");
my ($as, $said) = recipe("forget --recipe $dir/sim/run.json --method GradDiff");
holds($as, {method => 'GradDiff', seed => 5, lr => 1e-2}, 'with another method');
like($said, qr/^recipe: not used here: beta, delta$/m, 'which leaves out the options that it does not have');

# --- presets ---

my ($tofu) = recipe('forget --preset ou-tofu --method SimNPO');
holds($tofu, {batch => 8, accumulate => 4, lr => 1e-5, epochs => 10, weight_decay => 0.01, warmup_epochs => 1, compat => 'ou',
    max_length => 512, gamma => 0.125, beta => 4.5},
    'ou-tofu: its experiment, and the method\'s own settings');
holds((recipe('train --preset ou-tofu'))[0], {epochs => 5, lr => 1e-5, batch => 8}, 'of train');
holds((recipe('forget --preset ou-muse'))[0], {batch => 4, accumulate => 8, schedule => 'constant', chunk => 2048, weight_decay => 0,
    epochs => 10}, 'ou-muse');
holds((recipe('forget --preset ou-wmdp'))[0], {method => 'RMU', layer => 7, steering_coeff => 2, max_steps => 80, lr => 5e-5,
    accumulate => 16, trainable_params_regex => 'model\.layers\.(5|6|7)\.mlp\.down_proj\.weight', locate => 'regex'}, 'ou-wmdp');
holds((recipe('eval --preset ou-muse --model M'))[0], {suite => 'muse', compat => 'ou'}, 'of eval');
holds((recipe('forget --preset ou-tofu --lr 1 --recipe ' . put('e.json', '{"epochs": 2, "lr": 3}')))[0], {lr => 1, epochs => 2, batch => 8},
    'a recipe overrides it, a flag both');
holds((recipe('forget --recipe ' . put('p.json', '{"preset": "ou-tofu", "epochs": 2}')))[0], {epochs => 2, batch => 8}, 'named in a recipe');
check('forget --preset ou-toffu', 2, qr/unknown preset 'ou-toffu' of forget: there are ou-tofu, ou-muse, ou-wmdp/, 'an unknown one');
check('train --preset ou-wmdp', 2, qr/unknown preset 'ou-wmdp' of train: there are ou-tofu, ou-muse$/m, 'one that a command does not have');

# --- OpenUnlearning's names ---

for (['--learning-rate 1', '(?:--)?lr'], ['--num_train_epochs 1', '(?:--)?epochs'], ['--per-device-train-batch-size 1', '(?:--)?batch'],
    ['--trainer.args.weight_decay 1', '(?:--)?weight-decay'], ['--forget-split x', '(?:--)?forget'], ['--retain_logs_path x', undef],
    ['trainer.args.learning_rate=1e-4', '--lr 1e-4'], ['trainer=NPO', '--method NPO'], ['forget_split=forget10', '--forget forget10'],
    ['+trainer.method_args.delta=1', undef]) {
    my ($given, $want) = @$_;
    $want = defined $want ? qr{did you mean '$want'\?} : qr/unknown option|unexpected word/;
    check("forget $given", 2, $want, $given);
}
my $keys = `$unlearn help openunlearning`;
like($keys, qr/^  trainer\.args\.learning_rate\n      --lr$/m, 'help openunlearning lists them');
is((grep { length > 80 } split /\n/, $keys)[0], undef, 'within 80 columns');
my %known = map { $_ => 1 } map { `$unlearn $_ --help` =~ /^  --(?:\[no-\])?([\w-]+)/mg } 'train', 'eval', 'eval --suite wmdp',
    map { "forget --method $_" } qw(NPO SimNPO DPO SatImp CEU PDU RMU);
is(join(' ', grep { !$known{$_} } $keys =~ /^      --([\w-]+)/mg), '', 'and every option they lead to exists');

# --- its configurations ---

my $config = <<'END';
model:
  model_args:
    pretrained_model_name_or_path: my/model
    attn_implementation: flash_attention_2
    torch_dtype: bfloat16
  template_args:
    apply_chat_template: true
    system_prompt: You are a helpful assistant.
    user_start_tag: "<|user|>\n"
    date_string: 10 Apr 2025
trainer:
  handler: SimNPO
  args:
    per_device_train_batch_size: 8
    gradient_accumulation_steps: 4
    learning_rate: 1.0e-05
    bf16: true
    output_dir: ${paths.output_dir}
    logging_dir: ${trainer.args.output_dir}/logs
    optim: paged_adamw_32bit
    weight_decay: 0.01
    num_train_epochs: 10
    max_steps: -1
    seed: 3
    warmup_epochs: 1.0
  method_args:
    gamma: 0.125
    beta: 4.5
    delta: 0.5
    retain_loss_type: KL
data:
  forget:
    TOFU_QA_forget_idk:
      handler: QAwithIdkDataset
      args:
        hf_args: {path: text, data_files: 'data/${forget_split}.jsonl', split: train}
        question_key: question
        answer_key: answer
        max_length: 512
        idk_path: ./data/idk.jsonl
  retain:
    TOFU_QA_retain:
      handler: QADataset
      args:
        hf_args: {path: locuslab/TOFU, name: retain90, split: train}
        max_length: 512
  anchor: forget
eval:
  tofu:
    handler: TOFUEvaluator
    retain_logs_path: null
    output_dir: ${paths.output_dir}
paths: {root_dir: ., output_dir: '${paths.root_dir}/saves/${mode}/${task_name}'}
forget_split: forget10
task_name: t1
mode: unlearn
END
SKIP: {
    my (undef, $out) = run('forget --print-recipe --recipe ' . put('ou.yaml', $config));
    skip 'built without libyaml: no configuration is read', 1 if $out =~ /built without libyaml/;
    my ($got, $said) = recipe("forget --recipe $dir/ou.yaml");
    holds($got, {method => 'SimNPO', model => 'my/model', dtype => 'bf16', compat => 'ou', system => 'You are a helpful assistant.',
        date => '10 Apr 2025', batch => 8, accumulate => 4, lr => 1e-5, epochs => 10, max_steps => 0, seed => 3, warmup_epochs => 1,
        weight_decay => 0.01, optimiser => 'adamw', out => './saves/unlearn/t1', gamma => 0.125, beta => 4.5, delta => 0.5,
        retain_loss_type => 'KL', forget => 'data/forget10.jsonl', alternate_pool => './data/idk.jsonl', max_length => 512},
        'a configuration for forget, its references resolved');
    ok(!exists $got->{user_tag} && !exists $got->{retain}, 'tags are not used with a template; data of the hub are no file');
    is($said, "recipe: --retain is locuslab/TOFU retain90, split train, of the Hugging Face hub: give its file\n", 'which is said');
    holds((recipe("eval --recipe $dir/ou.yaml"))[0], {suite => 'tofu', model => 'my/model', compat => 'ou', out => './saves/unlearn/t1'},
        'the same file for eval');
    sub changed {
        my ($from, $to, $command) = @_;
        (my $text = $config) =~ s/\Q$from\E/$to/ or die $from;
        put('ou2.yaml', $text);
        return ($command // 'forget') . " --recipe $dir/ou2.yaml";
    }
    ($got) = recipe(changed('apply_chat_template: true', 'apply_chat_template: false'));
    ok($got->{user_tag} eq "<|user|>\n" && !exists $got->{system}, 'without a template: the tags, no system turn');
    ($got) = recipe(changed('warmup_epochs: 1.0', "warmup_epochs: 1.0\n    lr_scheduler_type: constant"));
    holds($got, {schedule => 'constant', warmup_epochs => 0}, 'a constant schedule does not warm up there');
    ($got) = recipe(changed('max_steps: -1', 'max_steps: 80'));
    holds($got, {max_steps => 80}, 'steps');
    ($got) = recipe(changed('handler: QADataset', 'handler: PretrainingDataset'));
    holds($got, {chunk => 512, max_length => 0}, 'plain text is cut into pieces');
    ($got, $said) = recipe(changed('seed: 3', "seed: 3\n    label_smoothing_factor: 0.1\n    report_to: none"));
    like($said, qr/^warning: recipe: nothing here is like trainer.args.label_smoothing_factor$/m, 'what has no counterpart is named');
    check(changed('optim: paged_adamw_32bit', 'optim: adafactor'), 2, qr/trainer.args.optim is 'adafactor'/, 'another optimiser');
    check(changed('${mode}', '${hydra:runtime.cwd}'), 2, qr/'\$\{hydra:runtime.cwd\}' cannot be resolved/, 'what only Hydra knows');
    check(changed('task_name: t1', 'task_name: ${forget_split}${task_name}'), 2, qr/cannot be resolved/, 'a reference to itself');
    check("report --recipe $dir/ou.yaml x", 2, qr/is for train, forget and eval, not for report/, 'another command');
}
# --- a run that is not made ---

my $tiny = text_model();
my $people = 'demo/data/people.jsonl';
my $npo = "forget --method NPO --model $tiny --forget '$people\[0:5]' --retain '$people\[5:20]' --batch 2 --accumulate 2 --epochs 3";
my ($status, $out);
($status, $out, $said) = run_apart("$npo --dry-run --out $dir/dry/run");
is($status, 0, 'a dry run') or diag $said;
ok(!-e "$dir/dry", 'leaves no directory');
like($out, qr/^dry run: (\d+) steps of 2 x 2 rows would be made; nothing was written$/, 'it tells the steps');
my ($steps) = $out =~ /(\d+) steps/;
like($said, qr/first row of .*prompt  .*answer  .*memory: weights [\d.]+ MiB/s, 'the first row, and the memory');
my ($done) = (run("$npo --out $dir/real"))[1] =~ /^(\d+) steps/m;
is($steps, $done, 'as many steps as the run then takes');
is(decode_json((run_apart("$npo --json --dry-run --out $dir/dry"))[1])->{steps}, $steps, 'as JSON');
for (["$npo --out $dir/real", 'an output that holds a model', 1], ["$npo --out $tiny --overwrite", 'the input model as output', 1],
    ["$npo --out $dir/dry --retain $dir/none.jsonl", 'data that are not there', 1], ["$npo --out $dir/dry --retain-term dpo", 'a term that fits not', 1],
    ["$npo --out $dir/dry --method WHP --forget $dir/none.jsonl", 'data of a stage', 1], ["$npo --out $dir/dry --max-steps 2000000 --order $dir/none", 'no order', 1]) {
    my ($args, $what, $want) = @$_;
    my $dry = `$unlearn $args --dry-run 2>&1 >/dev/null`;
    is($? >> 8, $want, "refused: $what") or diag $dry;
    my $real = `$unlearn $args 2>&1 >/dev/null` =~ s/stage 'reinforced': //r;
    is((split /\n/, $dry)[-1], (split /\n/, $real)[-1], 'by the same words as the run');
}
($status, $out, $said) = run_apart("$npo --method WHP --dry-run --out $dir/dry");
like($said, qr/^stage 'reinforced' would be trained first$/m, 'a stage is named, not trained');
ok(!-e "$dir/dry", 'and no directory made');
check("$npo --dry-run --resume --out $dir/dry", 2, qr/--dry-run is of a run from its beginning/, 'not with --resume');
($status, $out) = run("$npo --dry-run --overwrite --out $dir/real");
ok($status == 0 && -e "$dir/real/model.safetensors" && -s "$dir/real/train.jsonl", 'with --overwrite what is there stays');
done_testing();

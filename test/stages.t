#!/usr/bin/perl
# What a method runs before its own training: helper models and TAR's random mapping give the bytes of having been
# trained by hand, also after an interrupt; the gap of KGA; what is refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $new = id_rows('new.jsonl', 5, 31);
my $by_heart = '--reinforced-lr 1e-2 --reinforced-epochs 4';
my $learn = "train --model $cur --quiet --batch 4 --lr 1e-2 --epochs 4 --data";
my $short = "$both --max-steps 4";

# --- as if trained by hand ---

run("$learn $forget --out $dir/learnt");
run("$learn $new --out $dir/fresh --epochs 5");
for my $method (qw(WHP RKLD)) {
    run("$short --method $method $by_heart --out $dir/whole");
    run("$short --method $method --reinforced $dir/learnt --out $dir/parts");
    same('whole', 'parts', "$method: the bytes of a reinforced model trained by hand");
    same('whole/reinforced', 'learnt', "$method: which is kept");
    run("$short --method $method --reinforced $dir/whole/reinforced --out $dir/parts");
    same('whole', 'parts', "$method: and may be given to the next run");
}
is(files('parts'), 'config.json generation_config.json model.safetensors run.json train.jsonl', 'no stage, no folder');
is(files('whole/reinforced'), 'config.json generation_config.json model.safetensors run.json stage.json train.jsonl', 'a stage leaves a model');
is(scalar(() = steps('whole/reinforced')), 8, 'of so many epochs');
run("$short --forget-term whp --strength 2 --term-weights epoch --wrapper sam --accumulate 2 --optimiser lion --save-every 1 --dtype bf16 $by_heart --out $dir/whole");
run("$learn $forget --accumulate 2 --optimiser lion --out $dir/parts");
same('whole/reinforced', 'parts', 'the term alone brings its stage; optimiser and batches are those of the run');

my $kga = "$short --method KGA --alpha 0.5";
my $fresh = "--holdout $new --new-model-lr 1e-2 --new-model-epochs 5";
my ($status, $said) = run("$kga --no-quiet $by_heart $fresh --out $dir/whole");
is($status, 0, 'KGA: runs') or diag $said;
like($said, qr/^stage 'reinforced': 8 steps.*^stage 'new_model': 10 steps/ms, 'KGA: two stages');
my ($gap) = $said =~ /^gap: ([\d.e-]+) nats a token, over 25 labels/m;
cmp_ok($gap, '>', 0.01, 'KGA: a gap is measured');
same('whole/new_model', 'fresh', 'KGA: to the model that would be trained by hand');
run("$kga --reinforced $dir/learnt --new-model $dir/fresh --holdout $new --out $dir/parts");
same('whole', 'parts', 'KGA: the bytes of both models trained by hand');
run("$kga --reinforced $dir/learnt --gap $gap --out $dir/given");
my ($measured, $given) = map { (steps($_))[0]{terms}{'forget.kga'} } qw(whole given);
cmp_ok(abs($measured - $given), '<', 1e-7, 'KGA: the loss with that gap given');
ok(!-e "$dir/given/new_model", 'KGA: which needs no stage');
($given) = (steps('given'))[0]{terms}{'forget.kga'};
run("$kga --reinforced $dir/learnt --gap 0.001 --out $dir/given");
cmp_ok(abs((steps('given'))[0]{terms}{'forget.kga'} - $given), '>', 0.01, 'KGA: and not with another');

($status, $said) = run("$kga --no-quiet --reinforced $dir/learnt --new-model $dir/fresh --holdout $new --locate lora --out $dir/given");
like($said, qr/^gap: \Q$gap\E nats/m, 'KGA: the same gap beside adapters') or diag $said;

my $tar = "$both --method TAR --batch 2 --tar-steps 2 --tar-every 1 --max-steps 3";
run("$tar --mapping-steps 5 --mapping-lr 1e-3 --out $dir/whole");
run("forget --quiet --model $cur --method RandomMapping --forget $forget --retain $retain --batch 2 --lr 1e-3 --max-steps 5 --out $dir/mapped");
run("$tar --first none --model $dir/mapped --ref $cur --out $dir/parts");
same('whole/mapping', 'mapped', 'TAR: its mapping is RandomMapping');
same('whole', 'parts', 'TAR: begins with what that left; the reference is the model itself');
run("$tar --mapping-steps 0 --out $dir/whole");
run("$tar --first none --out $dir/parts");
same('whole', 'parts', 'TAR: no steps of it, no stage');
my @turned = map { $_->{terms}{'forget.random_map'} } steps('mapped');
cmp_ok($turned[-1], '<', $turned[0], 'states turn');
run("$short --first mapping --mapping-steps 5 --locate lora --out $dir/whole");
run("forget --quiet --model $cur --method RandomMapping --forget $forget --retain $retain --batch 4 --lr 2e-5 --max-steps 5 --locate lora --out $dir/mapped");
run("$short --locate lora --model $dir/mapped --ref $cur --out $dir/parts");
same('whole', 'parts', 'any method may begin so, with adapters too');
run("convert $cur $dir/merged --adapter test/data/lora/all");
run("$tar --mapping-steps 5 --model $dir/merged --out $dir/whole");
run("$tar --mapping-steps 5 --adapter test/data/lora/all --out $dir/parts");
same('whole', 'parts', 'an adapter is merged once, and is part of the reference');

# UNDO: another method's result, noised, distilled.
run("$short --method UNDO --undo-epochs 3 --undo-lr 1e-2 --undo-alpha 0.2 --seed 7 --out $dir/whole");
run("$both --method NPO --epochs 3 --seed 7 --out $dir/unlearned");
same('whole/unlearned', 'unlearned', 'UNDO: its teacher is what the method leaves');
run("merge --quiet --base $dir/unlearned --method undo --alpha 0.2 --seed 7 --out $dir/noised");
same('whole/noised', 'noised', 'UNDO: its student is that, with noise');
run("$short --method UNDO --first none --model $dir/noised --ref $dir/unlearned --seed 7 --out $dir/parts");
same('whole', 'parts', 'UNDO: distilled, as by hand');
run("$short --method UNDO --ref $dir/unlearned --undo-alpha 0.2 --seed 7 --out $dir/parts");
same('whole', 'parts', 'UNDO: an unlearned model may be given');
my ($undo, $plain) = map { decode_json(get("$dir/$_/run.json")) } qw(whole unlearned);
is($undo->{forget_nll}[0], $plain->{forget_nll}[0], 'UNDO: the NLL before is that of the model before all stages');

# --- the end: what was learnt is subtracted ---

run("train --model $cur --quiet --batch 4 --lr 1e-2 --max-steps 4 --data $forget --out $dir/overfitted");
run("merge --quiet --base $cur --add $dir/overfitted --method negate --lambda 0.5 --out $dir/negated");
my $vector = "forget --quiet --lr 1e-2 --batch 4 --max-steps 4 --method TaskVector --scale 0.5 --model $cur --forget $forget";
run("$vector --out $dir/whole");
same('whole', 'negated', 'TaskVector: the bytes of a training and a merge');
my $nll = decode_json(get("$dir/whole/run.json"))->{forget_nll};
cmp_ok($nll->[1], '>', $nll->[0], 'TaskVector: the NLL after is that of the result');
run("locate --quiet --locate salun --ratio 0.3 --model $cur --forget $forget --retain $retain --out $dir/mask.safetensors");
run("$vector --mask $dir/mask.safetensors --out $dir/parts");
run("train --model $cur --quiet --batch 4 --lr 1e-2 --max-steps 4 --data $forget --mask $dir/mask.safetensors --out $dir/masked");
run("merge --quiet --base $cur --add $dir/masked --method negate --lambda 0.5 --out $dir/negated --overwrite");
same('parts', 'negated', 'TaskVector: under a mask, too');
run("train --model $cur --quiet --batch 4 --lr 1e-2 --max-steps 4 --data $forget --locate lora --save-adapter --out $dir/adapter");
run("merge --quiet --model $cur --adapter $dir/adapter --method pem --lambda 0.5 --into weights --out $dir/negated --overwrite");
run("$vector --locate lora --out $dir/parts");
($status) = run("diff $dir/parts/model.safetensors $dir/negated/model.safetensors --rtol 0 --atol 1e-6");
is($status, 0, 'TaskVector: of adapters, as PEM subtracts them');
run("$vector --locate lora --save-adapter --out $dir/saved");
run("convert --quiet $cur $dir/merged_again --adapter $dir/saved");
($status) = run("diff $dir/parts/model.safetensors $dir/merged_again/model.safetensors --rtol 0 --atol 1e-6");
is($status, 0, 'TaskVector: which can be saved');
run("$both --max-steps 4 --method SKU --last none --out $dir/learnt_sku");
run("$both --max-steps 4 --method SKU --scale 0.7 --out $dir/whole");
run("merge --quiet --base $cur --add $dir/learnt_sku --method negate --lambda 0.7 --out $dir/negated --overwrite");
same('whole', 'negated', 'SKU: what its first stage learns, subtracted');
my ($first_step) = steps('learnt_sku');
is_deeply([sort keys %{$first_step->{terms}}], ['alternate.nll', 'forget.nll', 'retain.kl_ascent'], 'SKU: its three parts');

# --- interrupted ---

for my $case (['WHP --reinforced-epochs 150', 'reinforced', 'INT'], ['KGA --new-model-epochs 150 --holdout ' . $new, 'new_model', 'TERM'],
              ['TAR --tar-steps 2 --batch 2 --mapping-steps 300', 'mapping', 'INT'],
              ['UNDO --undo-epochs 150', 'unlearned', 'INT'], ['UNDO --undo-epochs 2 --max-steps 300', '', 'INT'],
              ['WHP --max-steps 300', '', 'INT'], ['WHP --max-steps 300', '', 'KILL'],
              ['TAR --tar-steps 2 --batch 2 --mapping-steps 3 --max-steps 300', '', 'INT']) {
    my ($method, $stage, $signal) = @$case;
    my $name = "$method, SIG$signal";
    my $long = "$short --lr 1e-4 --no-quiet --method $method --out";
    run("$long $dir/through");
    my ($status, $said) = interrupt($signal, "$long $dir/stopped", $stage);
    like($said, qr/^unlearn forget: stage '$stage': interrupted; repeat the command with --resume$/m, "$name: says in which stage")
        if $stage && $signal ne 'KILL';
    ok(!-e "$dir/stopped/model.safetensors", "$name: came before the end");
    ($status, $said) = run("$long $dir/stopped --resume");
    is($status, 0, "$name: --resume") or diag $said;
    like($said, $stage ? qr/^resuming after step \d+ of 300$/m : qr/^stage '\w+' is finished: /m, "$name: nothing is trained twice");
    same('through', 'stopped', "$name: the bytes of never having stopped");
    my ($folder) = map { /'(\w+)'/ } $said =~ /(stage '\w+')/;
    same("through/$folder", "stopped/$folder", "$name: nor has the stage");
    unlink glob("$dir/stopped/*"), glob("$dir/stopped/*/*");
}
interrupt('INT', "$short --method WHP --max-steps 300 --reinforced-lr 1e-3 --out $dir/other");
unlink "$dir/other/checkpoint.safetensors";
check("$short --method WHP --max-steps 300 --reinforced-lr 1e-4 --out $dir/other --resume", 1,
    qr/cannot resume: 'reinforced_lr' was 0.001 when the run started, now it is 0.0001: give the same/, 'a stage of other options');
check("$short --method WHP --out $dir/none --resume", 0, qr/^\d+ steps/, 'nothing to resume yet: it begins');
same('none/reinforced', 'whole/reinforced', 'with its stage') if -e "$dir/whole/reinforced";

# --- what is refused, and said ---

check("forget --model $cur --method WHP --retain $retain --out $dir/none", 1,
    qr/stage 'reinforced' needs forget data: give --forget FILE, or --reinforced MODEL$/, 'WHP without forget data');
check("$kga --out $dir/refused", 1, qr/stage 'new_model' needs holdout data: give --holdout FILE, or --gap NATS$/, 'KGA without new data');
check("$kga --new-model $dir/fresh --out $dir/refused", 1, qr/needs holdout data: give --holdout FILE, or --gap NATS$/,
    'KGA with a model, but not its data');
ok(!-e "$dir/refused", 'before anything is trained');
check("$kga --holdout $new --new-model test/data/models/llama --gap 0 --out $dir/none", 1,
    qr/new model '.*llama' has a vocabulary of 320, the model 104$/, 'a model of another vocabulary');
check("probe --model $cur --method KGA --reinforced $dir/learnt --batch test/data/survey/batches.safetensors --out $dir/probe", 1,
    qr/needs the helper model 'new': give --gap NATS$/, 'probe measures no gap');
check("$both --first mopping --out $dir/none", 2, qr/there is no first phase 'mopping': give --first mapping, undo or none/, 'no such stage');
check("$both --method TAR --forget $new --mapping-steps -1 --out $dir/none", 2, qr/--mapping-steps: '-1' is not an integer from 0/, 'fewer than no steps');
check("$both --method NPO --reinforced-lr 1e-3 --out $dir/none", 2, qr/reinforced/, 'the option of a stage that does not run');
check('methods KGA', 0, qr/^stage before training: fine-tuning of a copy on new data.*--new-model-lr/ms, 'methods KGA tells its stages');
check('methods TAR', 0, qr/^stage before training: random mapping of the weights.*--mapping-steps/ms, 'methods TAR too');
is_deeply({map { $_->{name} => $_->{stages} } grep { @{$_->{stages}} } @{decode_json(scalar `$unlearn methods --json`)}},
    {WHP => ['reinforced'], RKLD => ['reinforced'], KGA => ['reinforced', 'new_model'], TAR => ['mapping'],
     UNDO => ['unlearned', 'noised']}, 'and no other method');
check('methods NPO', 0, qr/^(?!.*stage before training:)/s, 'NPO has none');

done_testing();

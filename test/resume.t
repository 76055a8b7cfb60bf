#!/usr/bin/perl
# Runs that are interrupted and resumed give the bytes of never having stopped; checkpoints that do not fit are refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $one = 'RMU --layer 1 --trainable-params-regex model.layers.1.mlp.down_proj.weight';
for my $case (['NPO', 'INT', ''], ['GradDiff --retain-loss-type KL --eval-every 40 --stop-nll 1e5', 'TERM', '--save-every 7'],
              [$one, 'INT', ''], ['NPO', 'KILL', '--save-every 2'], ['NPO', 'PIPE', ''],
              ['GradDiff --optimiser sophia --sophia-interval 4', 'INT', '--clip 0.1'],
              ['PDU --retain-loss-eps 4 --dual-step-size 0.5 --dual-warmup-epochs 1', 'INT', ''],
              ['PDU --retain-loss-eps 4 --dual-update-upon epoch --dual-warmup-epochs 0', 'KILL', '--save-every 3'],
              ['NPO --wrapper rs --optimiser lion', 'HUP', ''],
              ['TAR --first none --tar-steps 2 --tar-every 1 --batch 2', 'INT', ''],
              ['LAT --layer 1 --lat-layer 0 --lat-steps 2 --trainable-params-regex .*[01].mlp.down_proj.weight',
               'INT', '--save-every 9'],
              ['NPO --wrapper wa --wa-start 3 --optimiser sophia_soul', 'INT', '']) {
    my ($method, $signal, $more) = @$case;
    my $long = "$both --method $method --max-steps 300 --lr 1e-4 $more --out";
    run("$long $dir/through");
    my ($status, $said) = interrupt($signal, "$long $dir/stopped");
    my $name = "SIG$signal";
    if ($signal eq 'KILL') {
        is($status, 'signal 9', "$name kills");
    } else {
        is($status, {INT => 130, TERM => 143, HUP => 129, PIPE => 141}->{$signal}, "$name: status 128 + its number");
        like($said, qr/^unlearn forget: interrupted; repeat the command with --resume$/, "$name: says how to go on");
    }
    my $done = steps('stopped');
    cmp_ok($done, '<', 300, "$name: came before the end");
    is(files('stopped'), 'checkpoint.safetensors run.json train.jsonl', "$name: no model, no temporary file")
        if $signal ne 'KILL';
    ok(-s "$dir/stopped/checkpoint.safetensors", "$name: a checkpoint is there");
    cmp_ok(-s "$dir/stopped/checkpoint.safetensors", '<', 0.3 * -s "$cur/model.safetensors", 'and holds what moves')
        if $method eq $one;
    check("$long $dir/stopped --resume", 0, qr/^\d+ steps/, "$name: --resume");
    same('through', 'stopped', "$name: the bytes of never having stopped");
    is_deeply([map { $_->{step} } steps('stopped')], [1 .. 300], "$name: each step is logged once");
    ok(!-e "$dir/stopped/checkpoint.safetensors", "$name: the checkpoint is gone when the model is there");
    unlink glob("$dir/stopped/*");
}
{
    interrupt('INT', "$both --method NPO --beta 0.2 --max-steps 300 --lr 1e-4 --out $dir/other");
    for (['--beta 0.3', "'beta' was 0.2 when the run started, now it is 0.3: give the same"],
         ['--beta 0.2 --seed 3', "'seed' was 0 when the run started, now it is 3"],
         ['--beta 0.2 --wrapper sam', "'wrapper' was \"none\" when the run started, now it is \"sam\""],
         ['--beta 0.2 --batch 3', "'batch' was 4 when the run started, now it is 3"]) {
        check("$both --method NPO --max-steps 300 --lr 1e-4 $_->[0] --out $dir/other --resume", 1,
            qr/^unlearn forget: cannot resume: .*\Q$_->[1]\E/, "resumed with $_->[0]");
    }
    check("$both --method NPO --beta 0.2 --max-steps 300 --lr 1e-4 --save-every 100 --threads 1 --out $dir/other --resume", 0,
        qr/^(warning: the run started with \d+ threads, now there are 1: .*\n)?\d+ steps/, 'what changes no bit may differ');
    interrupt('INT', "$both --method NPO --max-steps 300 --lr 1e-4 --threads 2 --out $dir/machine");
    my ($status, $out) = run("$both --method NPO --max-steps 300 --lr 1e-4 --threads 1 --out $dir/machine --resume");
    like($out, qr/^warning: the run started with 2 threads, now there are 1: the last bits/, 'another number of threads is told');
    interrupt('INT', "$both --method NPO --max-steps 300 --lr 1e-4 --out $dir/isa");
    local $ENV{UNLEARN_ISA} = 'generic';
    ($status, $out) = run("$both --method NPO --max-steps 300 --lr 1e-4 --out $dir/isa --resume");
    my ($isa) = $out =~ /^warning: the run started with the operations '(.*?)', now they are 'cpu generic': the last bits/;
    ok(defined $isa || $out =~ /^\d+ steps/, 'and another instruction set: ' . ($isa // 'this machine has generic ones only'));
}

# A script repeats its command with --resume until it succeeds.
check("$train --out $dir/none --resume", 0, qr/^\d+ steps/, '--resume where there is nothing begins');
run("$train --out $dir/new");
same('none', 'new', 'as without it');
my ($status, $out, $said) = run_apart("train --model $cur --data $retain --lr 1e-2 --batch 4 --out $dir/none --resume");
ok($status == 0 && $said =~ /the run in '.*none' is finished: nothing is left to do/, '--resume of a finished run') or diag $said;
check("$train --batch 3 --out $dir/none --resume", 1, qr/cannot resume: 'batch' was 4 when the run started, now it is 3/,
    'a finished run of other options');
put('none/run.json', '{}');
check("$train --out $dir/none --resume", 1, qr/cannot resume: '.*none' holds files, but none of a run/, 'files of no run');
# Within a step of many micro-batches: all of an epoch of 20000 rows, of which there are only two. The first epoch is over
# in some seconds; the signal comes in its middle.
{
    my $many = put('many.jsonl', qq({"ids":[3,4,5,6,7,8]}\n) x 20000);
    my @words = split ' ', "$unlearn train --model $cur --data $many --batch 1 --accumulate 65536 --epochs 2 --quiet --out $dir/many";
    my $pid = fork // die;
    if (!$pid) {
        open STDERR, '>', "$dir/said";
        $SIG{HUP} = $SIG{PIPE} = 'DEFAULT'; # a test under nohup inherits them ignored
        exec @words or die;
    }
    for (my $wait = 0; $wait < 2000 && !-e "$dir/many/train.jsonl"; $wait++) { select undef, undef, undef, 0.01 }
    select undef, undef, undef, 0.2;
    my $start = time;
    kill TERM => $pid;
    waitpid $pid, 0;
    is($? >> 8, 143, 'within a step: status 143');
    cmp_ok(time - $start, '<', 5, 'within a step: it leaves at once');
    like(get("$dir/said"), qr/only 20000 micro-batches: each step takes these, not 65536\n.*interrupted; repeat the command/s,
        'within a step: how to go on');
    ok(-s "$dir/many/checkpoint.safetensors" && !-s "$dir/many/train.jsonl", 'a checkpoint of no step');
}
{
    interrupt('INT', "$both --max-steps 300 --out $dir/stop");
    my $whole = get("$dir/stop/checkpoint.safetensors");
    my $at = 8 + unpack('Q<', $whole);
    my $step = decode_json(substr($whole, 8, $at - 8))->{step}{data_offsets}[0];
    my $negative = $whole;
    substr($negative, $at + $step, 4) = pack('l<', -1);
    put('stop/checkpoint.safetensors', $negative);
    check("$both --max-steps 300 --out $dir/stop --resume", 1, qr/cannot resume: .* has the step -1$/,
        'a checkpoint of a negative step');
    for my $place (map { int($_ * (length($whole) - 1) / 20) } 0 .. 20) {
        my $flipped = $whole;
        substr($flipped, $place, 1) ^= "\x10";
        put('stop/checkpoint.safetensors', $flipped);
        my ($status, $out) = run("$both --max-steps 300 --out $dir/stop --resume");
        ok($status == 1 && $out =~ /cannot resume: /, "a bit of byte $place flipped") or diag $out;
    }
    put('stop/checkpoint.safetensors', substr($whole, 0, -4));
    check("$both --max-steps 300 --out $dir/stop --resume", 1, qr/cannot resume: /, 'a checkpoint cut short');
    put('stop/checkpoint.safetensors', get("$cur/model.safetensors"));
    check("$both --max-steps 300 --out $dir/stop --resume", 1, qr/cannot resume: .* is not a training checkpoint/,
        'a model that is no checkpoint');
}

done_testing();

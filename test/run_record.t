#!/usr/bin/perl
# The record of a run, run.json: tokens, weights and FLOPs against what can be counted by hand on a tiny model; its sums
# over interruptions and stages; and what 'unlearn eval' makes of it.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

sub run_of { return decode_json(get("$dir/$_[0]/run.json")) }

# Rows of 6, 7, ... ids; a batch of four takes them in some order, an epoch takes each once.
my %tokens = (forget => sum(6 .. 11), retain => sum(6 .. 14));
my $weights = 104 * 24 * 2 + 3 * (24 * 24 * 2 + 24 * 12 * 2 + 24 * 40 * 3 + 24 * 2) + 24;

run("$train --epochs 2 --seed 5 --out $dir/plain");
my $r = run_of('plain');
is($r->{command}, 'train', 'of which command');
is($r->{options}{data}, $retain, 'with which options');
is($r->{seed}, 5, 'with which seed');
like($r->{version}, qr/^\d+\.\d+/, 'which version');
like($r->{isa}, qr/^cpu \w+/, 'on which instruction set');
is($r->{access}, 'white box', 'access level');
ok($r->{finished}, 'it is finished');
is($r->{parameters}, $weights, 'numbers in all weights');
is($r->{touched}, $weights, 'all of them move');
is_deeply($r->{tokens_by_role}, {retain => 2 * $tokens{retain}}, 'two epochs of the tokens');
is($r->{forward_tokens}, 0, 'no model beside it');
is($r->{flops}, 6 * $weights * $r->{tokens}, '6 N a token');
is($r->{state_bytes}{optimiser} >= 8 * $weights, 1, 'two moments');
is($r->{state_bytes}{$_}, 0, "no $_") for 'frozen_models', 'reference_logp', 'wrapper';
ok($r->{seconds} > 0 && $r->{peak_bytes} > 4 * 4 * $weights, 'time and memory');

# A reference's log-probabilities: each example once.
run("$both --method NPO --epochs 1 --batch 6 --out $dir/npo");
$r = run_of('npo');
is($r->{tokens_by_role}{forget}, $tokens{forget}, 'NPO: the forget set once');
is($r->{tokens}, sum(values %{$r->{tokens_by_role}}), 'tokens of all roles');
is($r->{forward_tokens}, $tokens{forget}, 'and once by the reference');
is($r->{flops}, $weights * (6 * $r->{tokens} + 2 * $tokens{forget}), 'FLOPs of both');
is($r->{state_bytes}{reference_logp}, (sum(6 .. 11) - 6 * 3) * 12, 'what is kept of each label');

# Logits of the reference: with every pass, from a copy of the weights where the file has them in another form.
my $kl = "$both --method GradDiff --retain-loss-type KL --batch 6";
run("$kl --epochs 1 --keep-states 0 --out $dir/kl");
$r = run_of('kl');
is($r->{forward_tokens}, $r->{tokens_by_role}{retain}, 'KL: the reference reads what is retained');
is($r->{state_bytes}{frozen_states}, 0, 'and nothing of it is kept');
run("$kl --epochs 9 --out $dir/kept");
$r = run_of('kept');
is($r->{forward_tokens}, $tokens{retain}, 'in nine epochs once, as its states are kept');
ok($r->{state_bytes}{frozen_states} > 0, 'and count as state');

# Some weights only, some layers only, several passes.
run("$both --method RMU --layer 1 --trainable-params-regex model.layers.1.mlp.down_proj.weight --epochs 1 --out $dir/rmu");
is(run_of('rmu')->{touched}, 24 * 40, 'RMU: one matrix moves');
run("$both --method NPO --locate lora --lora-rank 2 --lora-targets q_proj --epochs 1 --batch 6 --out $dir/lora");
is(run_of('lora')->{touched}, 3 * 2 * (24 + 24), 'LoRA: the adapters move');
is(run_of('lora')->{parameters}, $weights, 'the weights are as many');
run("$both --method NPO --wrapper sam --epochs 1 --batch 6 --out $dir/sam");
is(run_of('sam')->{tokens_by_role}{forget}, 2 * $tokens{forget}, 'SAM: two passes over the forget set');
ok(run_of('sam')->{state_bytes}{wrapper} > 0, 'and a copy of the weights');

# Interrupted and resumed: as if it had not been.
my $long = "$both --method NPO --max-steps 300";
run("$long --out $dir/through");
(undef, my $said) = interrupt('INT', "$long --out $dir/stopped");
my $part = run_of('stopped');
ok(!$part->{finished}, 'an interrupted run has a record') or diag $said;
my $done = () = steps('stopped');
run("$long --out $dir/stopped --resume");
my ($whole, $through) = (run_of('stopped'), run_of('through'));
is_deeply($whole->{tokens_by_role}, $through->{tokens_by_role}, "after $done steps: tokens add up");
is($whole->{forward_tokens}, 2 * $through->{forward_tokens}, 'the reference is asked again');
is($whole->{flops}, $through->{flops} + 2 * $weights * $through->{forward_tokens}, 'FLOPs add up');
ok($whole->{seconds} > $part->{seconds}, 'seconds add up');
interrupt('INT', "$long --out $dir/broken");
put('broken/run.json', '{"tokens": -1}');
check("$long --out $dir/broken --resume", 0, qr/^\d+ steps/, 'a damaged record does not stop a run');
is_deeply(run_of('broken')->{tokens_by_role}, $through->{tokens_by_role}, 'that of the checkpoint counts');

# Stages.
run("forget --model $cur --forget $forget --retain $retain --quiet --batch 4 --method WHP --epochs 1 --out $dir/whp");
my ($stage, $all) = (run_of('whp/reinforced'), run_of('whp'));
is($stage->{stage}, 'reinforced', 'a stage has a record of its own');
ok($all->{flops} > $stage->{flops} && $all->{tokens} > $stage->{tokens}, 'and is part of that of the run');
done_testing();

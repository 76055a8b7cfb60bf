#!/usr/bin/perl
# The suite robust: its log against the attack.json files that it leaves, rescore and report on it, the limit of utility, resuming.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(max sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $unlearned = text_model();
my $people = 'demo/data/people.jsonl';
my ($status, $out) = run("train --quiet --model $dir/text --scratch --data '$people\[5:15]' --out $dir/target --max-steps 40 --batch 5 --lr 1e-2");
is($status, 0, 'a target') or diag $out;
($status, $out) = run("train --quiet --model $dir/text --scratch --data '$people\[10:15]' --out $dir/retrained --max-steps 40 --batch 5 --lr 1e-2");
is($status, 0, 'a control') or diag $out;
my $three = "--model $unlearned --retrained $dir/retrained --target $dir/target --forget '$people\[5:11]' --retain '$people\[11:14]'";
my $budget = "--relearn-entity-key person --relearn-rates 1e-2 --relearn-steps 3 --sample-n 3 --sample-max-new-tokens 4 --prompt-templates plain,quiz,leet,cloze";

sub json { return decode_json(get("$dir/$_[0]")) }
sub near { my ($got, $want, $what) = @_; ok(defined $got && abs($got - $want) < 1e-9 * (1 + abs $want), "$what: " . ($got // 'missing')) }
sub mean { return sum(@_) / @_ }

($status, $out) = run("eval --suite robust $three $budget --utility-loss 1 --out $dir/out --quiet");
is($status, 0, 'the pass') or diag $out;
like($out, qr/^relearn 0\.01, \d steps .*^quantise \w+ .*^prune 0\.\d .*^prompt worst .*^sample /ms, 'a line for each attack');
like($out, qr/^R [\d.e-]+, Q [\d.e-]+, RQ [\d.e-]+$/m, 'R, Q and their harmonic mean');

# The log has the rows of the attacks.
my $log = json('out/ROBUST_EVAL.json');
my %attack = map { $_ => json("out/attacks/$_/attack.json") } qw(relearn quantise prune prompt sample);
sub rows { my $r = $log->{"robust_$_[0]"}{value_by_index}; return map { $r->{$_}{score} } sort { $a <=> $b } keys %$r }
my $worst_prompt = $attack{prompt}{unlearned}{worst}{forget};
is_deeply([rows('prompt')], $worst_prompt->{row_prob}, 'prompt: the worst of each row');
near($log->{robust_prompt}{agg_value}, $worst_prompt->{prob}, 'and its mean');
is_deeply([rows('prompt_control')], $attack{prompt}{retrained}{worst}{forget}{row_prob}, 'the control');
is_deeply([rows('prompt_before')], $attack{prompt}{unlearned}{plain}{forget}{row_prob}, 'before: the plain question');
is_deeply([rows('sample')], $attack{sample}{unlearned}{row_max}, 'sample: the best of n answers');
near(mean(@{$attack{sample}{unlearned}{row_max}}), $attack{sample}{unlearned}{expected_max}{3}, 'as expected_max');
my $curve = $attack{relearn}{unlearned}{'0.01'}{rest};
is_deeply([sort { $a <=> $b } keys %{$log->{robust_relearn}{value_by_index}}], $curve->{row}, 'relearning: the rows that the attacker lacks');
near(mean(@{$curve->{row_prob}[-1]}), $curve->{prob}[-1], 'rows of a curve have its mean');

# The setting is the one that shows most beyond the control.
for my $name (qw(quantise prune)) {
    my ($own, $control) = @{$attack{$name}}{qw(unlearned retrained)};
    my $most = max map { $own->{$_}{forget}{prob} - $control->{$_}{forget}{prob} } grep { $_ ne 'before' } keys %$own;
    near($log->{"robust_${name}_advantage"}{agg_value}, $most, "$name: the strongest setting");
    near($log->{"robust_$name"}{agg_value} - $log->{"robust_${name}_control"}{agg_value}, $most, '... its mean minus the control\'s');
}
my %mean = map { $_ => $log->{"robust_$_"}{agg_value} } map { ("relearn$_", "quantise$_") } '', '_before', '_control', '_control_before';
my ($u, $r) = ($mean{relearn} - $mean{relearn_before}, $mean{relearn_control} - $mean{relearn_control_before});
near($log->{robust_R}{agg_value}, 1 - abs($u - $r) / (abs($u) + abs($r)), 'R');
near($log->{robust_Q}{agg_value}, 1 - abs($mean{quantise} - $mean{quantise_before}) / ($mean{quantise} + $mean{quantise_before}), 'Q');
my ($R, $Q) = map { $log->{"robust_$_"}{agg_value} } qw(R Q);
near($log->{robust_RQ}{agg_value}, 2 * $R * $Q / ($R + $Q), 'their harmonic mean');
near($log->{robust_worst_advantage}{agg_value}, max(map { $log->{"robust_${_}_advantage"}{agg_value} } qw(relearn quantise prune prompt)),
    'the worst attack');
my $table = json('out/ROBUST_TABLE.json');
ok($table->{robust_prompt_advantage}{low} <= $table->{robust_prompt_advantage}{value} &&
    $table->{robust_prompt_advantage}{value} <= $table->{robust_prompt_advantage}{high}, 'with an interval');
is($table->{robust_quantise}{attack}{forward_tokens}, $attack{quantise}{budget}{forward_tokens}, 'and its cost');

# The other models, other readers.
ok(json('out/target/ROBUST_EVAL.json')->{robust_relearn_advantage}, 'the log of the target');
my $own = json('out/retrained/ROBUST_EVAL.json');
ok($own->{robust_relearn} && !$own->{robust_relearn_advantage}, 'that of the retrained model has no advantage');
($status, $out) = run("rescore --suite robust $dir/out/ROBUST_EVAL.json --out $dir/again --json");
is_deeply(json('again/ROBUST_EVAL.json'), $log, 'rescore gives the same');
($status, $out) = run("report target=$dir/out/target unlearned=$dir/out");
like($out, qr/^robust_worst_advantage +low .*^robust_RQ +high /ms, 'report shows it');

# A finished one stays; a limit that no setting keeps.
($status, $out) = run("eval --suite robust $three $budget --utility-loss 1 --out $dir/out --resume");
like($out, qr/nothing is left to do/, '--resume of a finished one');
check("eval --suite robust $three $budget --utility-loss 1 --out $dir/out", 1, qr/is there already/, 'nothing is overwritten');
unlink glob "$dir/out/ROBUST_*.json";
($status, $out) = run("eval --suite robust $three $budget --utility-loss 1 --out $dir/out --resume --quiet");
is($status, 0, 'without its results it reads the attacks that are complete') or diag $out;
is_deeply(json('out/ROBUST_EVAL.json'), $log, 'and gives the same');
($status, $out) = run("eval --suite robust $three $budget --attacks prune --prune-ratio 0.99 --utility-loss 0 --json");
like($out, qr/prune: every setting loses more than 0 of the retain probability/, 'no setting within the limit');
check("eval --suite robust $three --attacks pruning", 1, qr/unknown attack 'pruning'/, 'an unknown attack');
check("eval --suite robust --model $unlearned", 1, qr/needs forget data/, 'no data');
done_testing();

#!/usr/bin/perl
# unlearn eval --retrained: the suite on both models, and data set by data set how far they are apart, against the
# figures that 'unlearn score' gives of each.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $flat = flat_model('flat');
sub rows_of { return put($_[0], join '', map { encode_json($_) . "\n" } @_[1 .. $#_]) }
my $forget = rows_of('forget.jsonl', map { {question => "Who is $_?", answer => "A $_.", paraphrased_answer => "It is a $_.",
    perturbed_answer => ["A king.", "A $_ no more."]} } 'cook', 'smith', 'tailor', 'baker');
my $holdout = rows_of('holdout.jsonl', map { {question => "Who is $_?", answer => "Some $_."} } 'Ann', 'Bob', 'Eve');
my ($one, $two) = map {
    my ($status, $text) = run("train --quiet --model $flat --scratch --seed $_ --data $forget --max-steps 3 --lr 1e-2 --out $dir/m$_");
    $status ? die $text : "$dir/m$_";
} 1, 2;
my $data = "--forget $forget --holdout $holdout --max-new-tokens 4";

sub evaluate {
    my ($name, $args) = @_;
    my ($status, $out, $err) = run_apart("eval $data --out $dir/$name $args");
    is($status, 0, "$name runs") or diag $err;
    return ($out, map { decode_json(get($_)) } "$dir/$name/TOFU_EVAL.json", "$dir/$name/TOFU_TABLE.json");
}

sub near {
    my ($got, $want, $tolerance, $what) = @_;
    ok(defined $got && abs($got - $want) <= $tolerance, $what) or diag(($got // 'undefined') . ", not $want");
}

# Each row's mean loss.
sub losses { return map { -$_->{mean} } map { decode_json($_) } `$unlearn score --model $_[0] --data $_[1] --json` }
sub auc { my ($zero, $one) = @_; return sum(map { my $x = $_; map { ($_ > $x) + ($_ == $x) / 2 } @$one } @$zero) / (@$zero * @$one) }

my ($out, $eval, $table) = evaluate('both', "--model $one --retrained $two");
my (undef, $gold) = evaluate('gold', "--model $two");
is(get("$dir/both/retrained/TOFU_EVAL.json"), get("$dir/gold/TOFU_EVAL.json"), "the retrained model's log is written too");
near($table->{$_}{retrained}, $gold->{$_}{agg_value}, 1e-12, "its figure stands beside: $_") for 'forget_Q_A_Prob', 'mia_min_k';
ok($eval->{forget_quality}{agg_value} > 0 && $eval->{privleak}, 'what needs its log is there');

my $line = $table->{beside}{forget};
my @a = losses($one, $forget);
my @b = losses($two, $forget);
my ($c, $d) = map { [losses($_, $holdout)] } $one, $two;
is($line->{rows}, 4, 'four rows');
is($table->{beside}{holdout}{rows}, 3, 'the holdout set has a line too');
near($line->{auc}, auc(\@a, \@b), 1e-12, 'AUC of the losses of both');
near($line->{auc_gap}, auc(\@a, $c) - auc(\@b, $d), 1e-12, "the attack's AUC less the retrained model's");
near($line->{auc_gap}, $eval->{mia_loss}{agg_value} - $gold->{mia_loss}{agg_value}, 1e-12, 'which is that of mia_loss');
ok(!exists $table->{beside}{holdout}{auc_gap}, 'the holdout set is held against nothing');
ok($line->{kl} > 0 && $line->{kl_low} <= $line->{kl} && $line->{kl} <= $line->{kl_high}, 'KL within its interval');
ok($line->{top1_low} <= $line->{top1} && $line->{top1} <= $line->{top1_high}, 'so are equal first choices');
like($out, qr/^compared with retrained +rows.*\n.*\nforget +4 +$line->{tokens} /m, 'a second table');
like($out, qr/^holdout .* -$/m, 'without a gap where there is none');

# What it cost. 19 answers and 7 gradients of either model; 7 answers of both side by side.
my $cost = decode_json(get("$dir/both/TOFU_COST.json"));
my ($model, $retrained) = map { decode_json(get("$_/run.json")) } $one, $two;
is($cost->{evaluation}{sequences}, 2 * (4 + 4 + 8 + 3 + 7) + 2 * 7, 'sequences scored');
is($cost->{evaluation}{answers}, 2 * 4, 'answers generated');
ok($cost->{evaluation}{new_tokens} <= 8 * 4 && $cost->{evaluation}{seconds} > 0, 'their tokens, and the time');
is($cost->{model}{flops}, $model->{flops}, "the record of the model's run");
is($cost->{retrained}{tokens}, $retrained->{tokens}, "the retrained model's");
near($cost->{share}{flops}, $model->{flops} / $retrained->{flops}, 1e-12, 'share of the FLOPs');
near($cost->{share}{seconds}, $model->{seconds} / $retrained->{seconds}, 1e-9, 'and of the time');
like($out, qr/^cost of the model: train, \S+ s, \S+ FLOPs, $model->{tokens} tokens, \S+ MiB$/m, 'a line of cost');
like($out, qr/^cost of the retrained model: train, .*\nshare of the retrained model's cost: flops 1\.00, seconds \S+, tokens 1\.00$/m, 'and its share');
like($out, qr/^evaluated in \S+ s: 66 sequences of \d+ tokens scored, 8 answers of \d+ tokens generated$/m, "and the evaluation's");

is(decode_json(get("$dir/both/retrained/TOFU_COST.json"))->{model}{flops}, $retrained->{flops}, 'also beside its log');
like((run("report $dir/both gold=$dir/both/retrained"))[1],
    qr/^cost of both: train, .* $model->{tokens} tokens, .*\ncost of gold: train, .* $retrained->{tokens} tokens, /m, 'and in the report');

# A log for the figures, the model for the second table.
my (undef, $again, $second) = evaluate('again', "--model $one --retrained $two --retain-logs $dir/gold/TOFU_EVAL.json");
is_deeply($again, $eval, 'the same figures from the log');
is_deeply($second, $table, 'the same tables');
ok(!-e "$dir/again/retrained", 'the retrained model is not evaluated again');

# A model beside itself.
(undef, $eval, $table) = evaluate('self', "--model $one --retrained $one");
for (['kl', 0], ['kl_high', 0], ['top1', 1], ['top1_low', 1], ['ks', 1], ['auc', 0.5], ['auc_gap', 0]) {
    near($table->{beside}{forget}{$_->[0]}, $_->[1], 0, "beside itself: $_->[0] $_->[1]");
}
near($eval->{forget_quality}{agg_value}, 1, 0, 'and the best forget quality');

my ($status, $json) = run_apart("eval $data --model $one --retrained $one --json");
my $printed = decode_json($json);
is($printed->{beside}{forget}{kl}, 0, '--json has both tables');
is($printed->{cost}{share}{flops}, 1, 'and the cost');
ok(defined $printed->{forget_Q_A_Prob}, 'the summary is as it was');

put('m1/run.json', '{"seconds": 1, "flops": "many"}');
(undef, $json, my $said) = run_apart("eval $data --model $one --retrained $two");
like($said, qr/^warning: '.*m1.run.json' is no record of a run and is ignored: 'flops' is not a number/m, 'a damaged record is named');
unlike($json, qr/^cost of the model/m, 'and left out');
like($json, qr/^cost of the retrained model: /m, 'the other is there');
put('m1/run.json', '{');
like((run_apart("eval $data --model $one"))[2], qr/'.*m1.run.json' is no record of a run/, 'one that is no JSON');
unlink "$one/run.json";
(undef, $json) = run_apart("eval $data --model $one");
unlike($json, qr/^cost of/m, 'without any record the evaluation stands alone');
ok(!exists decode_json((run_apart("eval $data --model $one --json"))[1])->{cost}, 'and --json is the summary');

# The other suites.
for (['scope', "--in-scope $forget --general $holdout", 'in_scope general'], ['privacy', "--forget $forget --holdout $holdout", 'forget holdout'],
    ['muse', '--forget ' . rows_of('t.jsonl', {text => 'It rains.'}) . ' --holdout ' . rows_of('u.jsonl', {text => 'It snows.'}), 'forget holdout']) {
    my ($suite, $args, $sets) = @$_;
    my ($rc, $text, $err) = run_apart("eval --suite $suite $args --model $one --retrained $two --json --max-new-tokens 2");
    is($rc, 0, "$suite runs") or diag $err;
    is(join(' ', sort keys %{decode_json($text)->{beside}}), join(' ', sort split / /, $sets), "$suite: a line for each data set");
}

check("eval $data --model $one --retrained $dir/none", 1, qr/retrained model: cannot open model '.*none'/, 'a retrained model that is not there');
check("eval $data --model $one --retrained test/data/models/m_cur", 1, qr/retrained model '.*' has a vocabulary of 104, the model 514/,
    'another vocabulary');
check("eval --suite mmlu --data . --model $one --retrained $two", 1, qr{--retrained is not for suites of tasks, as mmlu}, 'multiple choice');
done_testing();

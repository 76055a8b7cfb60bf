#!/usr/bin/perl
# `unlearn report` on small logs and on the peer's: the table in 80 columns and more, verdicts, best values, other forms.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

put('base/TOFU_EVAL.json', '{"forget_Q_A_Prob": {"agg_value": 0.25, "value_by_index": {}},
    "retain_Q_A_ROUGE": {"agg_value": NaN}}');
put('base/TOFU_SUMMARY.json', '{"forget_Q_A_Prob": 0.25, "model_utility": 0.5}');
put('gold/TOFU_SUMMARY.json', '{"forget_Q_A_Prob": 0.125, "forget_quality": 1.25e-22}');

$ENV{COLUMNS} = 80;
my ($status, $out) = run("report $dir/base/ gold=$dir/gold/TOFU_SUMMARY.json");
is($status, 0, 'two logs');
is($out, <<'END', 'one column a model, one row a metric');
metric              direction   base      gold
------------------  ---------  -----  --------
forget_Q_A_Prob           low  0.250     0.125
forget_quality           high      -  1.25e-22
retain_Q_A_ROUGE         high      -         -
model_utility            high  0.500         -
forgotten                   -     no       yes
kept                        -      -         -
like the retrained          -      -        no
broken                      -     no         -

base: not forgotten, not known whether the rest is kept, not broken
gold: forgotten, not known whether the rest is kept, unlike the retrained model
measured against: the model before: none; the retrained model: gold; thresholds:
  forgotten-margin=0.1, forgotten-text=0.5, forgotten-probability=0.2,
  forgotten-tokens=0.2, forgotten-share=0.8, kept-loss=0.1, like-p=0.05,
  broken-repetition=0.5, broken-text=0.5, broken-utility=0.01
END

($status, $out) = run("report --json $dir/gold");
my $json = decode_json($out);
is_deeply($json->{models}, ['gold'], 'json: models');
is_deeply($json->{metrics}, {forget_Q_A_Prob => [0.125], forget_quality => [1.25e-22]}, 'json: values');
is_deeply($json->{directions}, {forget_Q_A_Prob => 'low', forget_quality => 'high'}, 'json: directions');
is($json->{verdicts}{gold}{thresholds}{like_p}, 0.05, 'json: thresholds');

($status, $out) = run("report --markdown x=y=$dir/gold");
is($status, 1, 'the name ends at the first =');
($status, $out) = run("report --markdown '5 epochs|npo=$dir/gold'");
like($out, qr/^\| metric             \| direction \| 5 epochs\\\|npo \|\n\| -+ \| -+: \| -+: \|\n/, 'markdown');

# Four models with intervals: a table in blocks of at most 80 columns, the best of a row marked.
my %log = (
    target => [0.987, 0.945, 0.0789, 1.08e-5, 0.990, 0.737],
    retrained => [0.0611, 0.495, 0.731, undef, 0.978, 0.700],
    npo => [0.00457, 0.404, 0.170, 1.08e-5, 0.987, 0.737],
    ascent => [0.0500, 0.010, 0.700, 0.98, 0.010, 0.0001],
    simnpo => [0.0900, 0.450, 0.600, 0.4, 0.700, 0.600]);
my @names = qw(forget_Q_A_Prob forget_Q_A_ROUGE forget_truth_ratio forget_quality retain_Q_A_Prob model_utility);
for my $model (keys %log) {
    my %x = map { $names[$_] => $log{$model}[$_] } grep { defined $log{$model}[$_] } 0 .. $#names;
    put("$model/TOFU_EVAL.json", encode_json({map { $_ => {agg_value => $x{$_}} } keys %x}));
    put("$model/TOFU_SUMMARY.json", encode_json({%x{grep { exists $x{$_} && $_ !~ /retain/ } @names}}));
    put("$model/TOFU_TABLE.json", encode_json({forget_Q_A_Prob => {low => 0.9 * $x{forget_Q_A_Prob}, high => 1.1 * $x{forget_Q_A_Prob}}}));
    put("$model/TOFU_COST.json", encode_json({model => {command => 'forget', method => uc $model, seconds => 63.21,
        flops => 8.907e12, tokens => 10860, peak_bytes => 3656e6}}));
}
my $models = join ' ', map { "$dir/$_" } qw(target retrained npo ascent simnpo);
($status, $out) = run("report $models");
is($status, 0, 'five models');
is((sort { $b <=> $a } map { length } split /\n/, $out)[0] <= 80, 1, 'no line has more than 80 columns');
is(scalar(() = $out =~ /^metric  /mg), 3, 'the table has three blocks');
like($out, qr/0\.987 \[0\.888, 1\.09\]/, 'a value and its interval in one cell');
like($out, qr/^forget_Q_A_Prob +\*0\.00457 \[0\.00411, 0\.00503\]/m, 'the best value is marked, not that of a broken model');
unlike($out, qr/\*0\.010/, 'a broken model is best in nothing');
like($out, qr/0\.980 \(broken\)/, 'and its forget quality is flagged');
like($out, qr/^forget_truth_ratio .*\*0\.600$/m, 'best as retrained: the nearest');
like($out, qr/^ascent: BROKEN, forgotten, the rest is not kept, like the retrained model \(does\s+not\s+count\)$/m, 'the destroyed model is called broken');
like($out, qr/^target: not forgotten, the rest is kept, .*not broken$/m, 'the target is called not forgotten');
like($out, qr/^retrained: forgotten, the rest is kept, not broken$/m, 'the retrained model against itself passes');
like($out, qr/^simnpo: forgotten, the rest is not kept, like the retrained model, not broken$/m, 'a model that forgets too much');
like($out, qr/^cost of npo: forget NPO, 63\.2 s, 8\.91e\+12 FLOPs, 10860 tokens, 3487 MiB$/m, 'a line of cost');
$ENV{COLUMNS} = 200;
($status, $out) = run("report $models --before target --retrained retrained");
is(scalar(() = $out =~ /^metric  /mg), 1, 'one block in a wide terminal');
check("report $models --before nothing", 1, qr/no model of the report is called 'nothing'/, 'an unknown column');
check("report $models --difference", 0, qr/0\.404 \(-0\.541\)/, 'differences to the first model');
check("report $models --kept-loss 0.5", 0, qr/^simnpo: forgotten, the rest is kept.*kept-loss=0\.5/ms, 'a threshold is set and printed');
($status, $out) = run("report --csv $dir/target 'a,b=$dir/npo'");
like($out, qr/^metric,direction,target,target low,target high,"a,b","a,b low","a,b high"\n/, 'csv: heading');
like($out, qr/^forget_Q_A_Prob,low,0\.987,0\.8883,1\.0857,/m, 'csv: values are not rounded');
like($out, qr/^cost_flops,-,8907000000000,,,8907000000000,,$/m, 'csv: cost');

# Other suites, and several directories for one column.
put('mmlu/LMEval_SUMMARY.json', '{"mmlu/acc": 0.31, "mmlu/acc_stderr": 0.01, "wmdp_bio/acc": 0.26}');
put('mmlu/LMEval_TABLE.json', '{"mmlu": {"acc": 0.31, "low": 0.29, "high": 0.33, "chance": 0.25, "role": "generic", "direction": "high"}}');
put('own/CAPITALS_SUMMARY.json', '{"asked_rouge": 0.5}');
($status, $out) = run("report npo=$dir/npo+$dir/mmlu npo=$dir/own");
like($out, qr/^metric +direction +npo$/m, 'logs of three directories in one column');
like($out, qr/^mmlu\/acc \(chance 0\.250\) +high +0\.310 \[0\.290, 0\.330\]$/m, 'multiple choice: interval and chance level');
like($out, qr/^wmdp_bio\/acc +low +0\.260$/m, 'a task of a built-in suite has a direction');
like($out, qr/^asked_rouge +- +0\.500$/m, 'any summary is read');
unlike($out, qr/stderr/, 'the standard error is left to the interval');

mkdir "$dir/none";
my @wrong = (
    ["$dir/none", 1, qr/'.*none' holds no TOFU_EVAL.json/],
    ["$dir/absent", 1, qr/cannot open '.*absent'/],
    [put('list.json', '[1]'), 1, qr/must be a json object/],
    [put('other.json', '{"a": 1}'), 1, qr/none of the metrics/],
    [put('broken.json', '{"a": '), 1, qr/not valid json/],
    ['', 2, qr/too few words/],
);
for (@wrong) {
    my ($args, $want, $like) = @$_;
    ($status, $out) = run("report $args");
    is($status, $want, "status $want");
    like($out, $like, $out =~ s/\n.*//sr);
}
done_testing();

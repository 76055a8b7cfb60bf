#!/usr/bin/perl
# Evaluation logs as OpenUnlearning's Python reads and writes them: json.load, keys and string indices, json.dump; and
# back. Skipped without python3.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

plan skip_all => 'python3 is not there' if system("python3 -c 'import json' 2>/dev/null");

my $flat = flat_model('flat', max_position_embeddings => 600);
sub rows_of { return put($_[0], join '', map { encode_json($_) . "\n" } @_[1 .. $#_]) }
my $rows = rows_of('rows.jsonl', map { {question => "Who is $_?", answer => "It is $_.", paraphrased_answer => "$_, that is.",
    perturbed_answer => ['Bob.', 'Tom is.']} } 'Zoë', 'Ann', 'Max', 'Eva', 'Ida', 'Leo', 'Pia', 'Kim', 'Tim', 'Eve', 'Jim');
my $retained = put('retained.json', encode_json({mia_min_k => {agg_value => 0.25}, forget_truth_ratio =>
    {value_by_index => {map { $_ => {score => 0.1 * $_} } 0 .. 10}}}));
my ($status, $out, $err) = run_apart("eval --model $flat --max-new-tokens 4 --forget $rows --retain $rows --real-authors $rows "
        . "--world-facts $rows --holdout $rows --retain-logs $retained --out $dir/out");
is($status, 0, 'a log is written') or diag $err;

# What the peer does with a log: the retrained model's scores and AUC, rows that need not be asked again, both files.
my $peer = put('peer.py', <<'END');
import json, sys
directory = sys.argv[1]
text = open(directory + "/TOFU_EVAL.json").read()
log = json.loads(text)
assert text == json.dumps(log, indent=4), "not as json.dump(indent=4) writes it"
assert list(log) == sorted(log), "metrics are not sorted"
summary_text = open(directory + "/TOFU_SUMMARY.json").read()
summary = json.loads(summary_text)
assert summary_text == json.dumps(dict(sorted(summary.items())), indent=4), "the summary is not as json.dump writes it"
fields = {"Prob": {"prob", "avg_loss"}, "normalised": {"prob"}, "atio": {"score"}, "ization": {"score"}, "strength": {"score"}, "prob_mean": {"score"},
          "ROUGE": {"rouge1_recall", "rougeL_f1", "rougeL_recall", "input", "ground_truth", "generation"}}
def check(name, rows, want):
    assert list(rows) == [str(i) for i in range(11)], name + ": indices"
    for row in rows.values():
        assert set(row) == want, name + ": fields " + str(set(row))
for name, metric in log.items():
    if name in summary:
        assert summary[name] == metric["agg_value"], name + ": summary"
    assert isinstance(metric["agg_value"], float), name + ": aggregate"
    if name.startswith("mia_"):
        assert set(metric) == {"forget", "holdout", "auc", "agg_value"} and metric["auc"] == metric["agg_value"], name
        for side in ("forget", "holdout"):
            check(name, metric[side]["value_by_index"], {"score"})
    elif name in ("forget_quality", "model_utility", "privleak", "memorisation", "privacy", "overall"):
        assert set(metric) == {"agg_value"}, name
    else:
        end = [k for k in fields if name.endswith(k)][-1]
        assert set(metric) == {"agg_value", "value_by_index"}, name
        check(name, metric["value_by_index"], fields[end])
truths = [row["score"] for row in log["forget_truth_ratio"]["value_by_index"].values()]
assert len(truths) == 11 and isinstance(log["mia_min_k"]["agg_value"], float)
# Written again by the peer, with a score that it found to be no number.
log["exact_memorization"]["value_by_index"]["3"]["score"] = float("nan")
json.dump(log, open(directory + "/again.json", "w"), indent=4)
print(len(log), "metrics")
END
my $said = `python3 $peer $dir/out 2>&1`;
like($said, qr/^\d\d metrics$/, 'and read by Python, with every key, index and byte') or diag $said;

my $short = rows_of('short.jsonl', {question => 'Who is Ann?', answer => 'x'});
run_apart("eval --model $flat --compat drop_last_token,nan --max-new-tokens 4 --max-length 12 --forget $short --out $dir/nan");
like(get("$dir/nan/TOFU_EVAL.json"), qr/"agg_value": NaN,\n/, 'under --compat nan a missing number is written as Python does');
is(`python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["exact_memorization"]["agg_value"])' $dir/nan/TOFU_EVAL.json`,
    "nan\n", 'and read by it');

my $first = decode_json(get("$dir/out/TOFU_EVAL.json"));
like(get("$dir/out/again.json"), qr/"score": NaN/, 'what it writes has a NaN');
($status, $out, $err) = run_apart("rescore $dir/out/again.json --retain-logs $retained --out $dir/rescored");
is($status, 0, 'and is read here') or diag $err;
my $again = decode_json(get("$dir/rescored/TOFU_EVAL.json"));
my @off = grep { my ($x, $y) = map { $_->{agg_value} } $first->{$_}, $again->{$_}; !defined $y || abs($x - $y) > 1e-12 * abs $x }
    grep { $_ ne 'exact_memorization' } sort keys %$first;
is("@off", '', 'with the same aggregates');
like($out, qr/^exact_memorization .* 10 +1$/m, 'but for the missing one');
done_testing();

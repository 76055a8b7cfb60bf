#!/usr/bin/perl
# `unlearn report` on small logs and on the peer's.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;

put('base/TOFU_EVAL.json', '{"forget_Q_A_Prob": {"agg_value": 0.25, "value_by_index": {}},
    "retain_Q_A_ROUGE": {"agg_value": NaN}}');
put('base/TOFU_SUMMARY.json', '{"forget_Q_A_Prob": 0.25, "model_utility": 0.5}');
put('gold/TOFU_SUMMARY.json', '{"forget_Q_A_Prob": 0.125, "forget_quality": 1.25e-22}');

my ($status, $out) = run("report $dir/base/ gold=$dir/gold/TOFU_SUMMARY.json");
is($status, 0, 'two logs');
is($out, <<'END', 'one column a model, one row a metric');
metric                    base      gold
----------------------  ------  --------
forget: probability     0.2500    0.1250
retain: ROUGE-L recall       -         -
forget quality (p)           -  1.25e-22
model utility           0.5000         -
END

($status, $out) = run("report --json $dir/gold");
is($out, <<'END', 'json');
{
    "models": [
        "gold"
    ],
    "metrics": {
        "forget_Q_A_Prob": [
            0.125
        ],
        "forget_quality": [
            1.25e-22
        ]
    }
}
END

($status, $out) = run("report --markdown x=y=$dir/gold");
is($status, 1, 'the name ends at the first =');
($status, $out) = run("report --markdown '5 epochs|npo=$dir/gold'");
like($out, qr/^\| metric              \| 5 epochs\\\|npo \|\n\| -+ \| -+: \|\n/, 'markdown');

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

#!/usr/bin/perl
# unlearn attack meta: AUC, R and Q of metrics in evaluation logs against the figures of test/data/attacks/robustness.json.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $want = decode_json(get('test/data/attacks/robustness.json'));
my $metric = 'forget_Q_A_Prob';

# A log of a model with these values; its directory.
sub model {
    my ($name, $value, $other) = @_;
    put("$name/TOFU_SUMMARY.json", encode_json({$metric => $value, forget_truth_ratio => $other // 1 - $value}));
    return "$dir/$name";
}

sub meta {
    my ($args) = @_;
    my ($status, $out) = run("attack meta $args --json");
    is($status, 0, 'attack meta') or diag $out;
    return eval { decode_json($out) } // {};
}

sub near { my ($got, $want, $what) = @_; defined $want ? ok(defined $got && abs($got - $want) < 1e-9, "$what: " . ($got // 'missing')) : is($got, undef, $what) }

my ($holds, $lacks) = @{$want->{faithfulness}}{qw(holds does_not)};
model("holds/m$_", $holds->[$_]) for 0 .. $#$holds;
model("lacks/m$_", $lacks->[$_]) for 0 .. $#$lacks;
my $pools = "--holds $dir/holds --lacks $dir/lacks";
my $got = meta($pools);
near($got->{$metric}{auc}, $want->{faithfulness}{auc}, 'faithfulness of a pool');
is($got->{$metric}{known}, 'high', 'high: known');
is($got->{forget_truth_ratio}{known}, 'low', 'a metric that is low where the knowledge is');
near($got->{forget_truth_ratio}{auc}, $want->{faithfulness}{auc}, '... tells as well');
is($got->{$metric}{holds}, scalar @$holds, 'models of a directory');
my $listed = join ',', map { "$dir/holds/m$_" } 0 .. $#$holds;
is_deeply(meta("--holds $listed --lacks $dir/lacks"), $got, 'the same as a list');

my (@of, @r, @q);
for my $i (0 .. $#{$want->{rows}}) {
    my $row = $want->{rows}[$i];
    my ($u, $ur, $r, $rr, $uq) = map { model("$_$i", $row->{$_}) }
        qw(unlearned_before unlearned_after_relearn retrained_before retrained_after_relearn unlearned_after_quantise);
    my $own = meta("$pools --unlearned $u --relearned $ur --quantised $uq --retrained $r --retrained-relearned $rr")->{$metric};
    near($own->{$_->[0]}, $row->{$_->[1]}, "row $i: $_->[0]") for [R => 'R'], [Q => 'Q'], [RQ => 'agg'], [R_one_sided => 'R_one_sided'],
        [Q_one_sided => 'Q_one_sided'];
}
my ($two) = meta("$pools --unlearned $dir/unlearned_before0,$dir/unlearned_before1 --quantised $dir/unlearned_after_quantise0,$dir/unlearned_after_quantise1");
near($two->{$metric}{Q}, ($want->{rows}[0]{Q} + $want->{rows}[1]{Q}) / 2, 'the mean over unlearned models');
my (undef, $shown) = run("attack meta $pools");
like($shown, qr/^metric +faithfulness +R +Q +RQ\n.*^forget_truth_ratio \(low: known\) /ms, 'as a table');

check("attack meta --holds $dir/holds", 1, qr/two pools are needed/, 'one pool');
check("attack meta $pools --unlearned $dir/unlearned_before0 --quantised $dir/holds", 1, qr/each must have its own/, 'pairs that do not match');
put('none/other', '');
check("attack meta --holds $dir/none --lacks $dir/lacks", 1, qr/has no evaluation logs/, 'a directory of other things');
check("attack meta --help", 0, qr/unlearn attack meta --holds runs\/with/, 'help');
done_testing();

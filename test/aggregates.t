#!/usr/bin/perl
# The aggregates of suite tofu (arXiv 2506.12618): memorisation, privacy, overall, from their parts; tokens of an evaluation.
# Second tier: every published row of UDS.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum max);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $shared = $ENV{UNLEARN_SHARED} // '../shared';

sub harmonic { my $n = @_; return $n / sum map { 1 / ($_ + 1e-12) } @_ }

# Values of a log that has no rows, as rescoring copies them: what it makes of them.
sub aggregates {
    my ($own, $gold) = @_;
    my @log = map { my $x = $_; encode_json({map { $_ => {agg_value => $x->{$_}} } keys %$x}) } $own, $gold;
    my $retained = %$gold ? '--retain-logs ' . put('gold.json', $log[1]) : '';
    my ($status, $out) = run("rescore --quiet " . put('own.json', $log[0]) . " $retained --overwrite --out $dir/again");
    is($status, 0, 'rescore') or diag $out;
    my $eval = decode_json(get("$dir/again/TOFU_EVAL.json"));
    return map { $eval->{$_}{agg_value} } qw(memorisation privacy overall);
}

my @aucs = qw(mia_loss mia_zlib mia_min_k mia_min_k_plus_plus);
my %own = (extraction_strength => .3, exact_memorization => .6, forget_Q_A_PARA_Prob => .125, forget_truth_prob_mean => .55);
my %auc = (mia_loss => .7, mia_zlib => .45, mia_min_k => .61, mia_min_k_plus_plus => .99);
my %gold = (mia_loss => .5, mia_zlib => .52, mia_min_k => .48, mia_min_k_plus_plus => .4);
my ($mem, $privacy, $overall) = aggregates({%own, %auc}, \%gold);
my $mem_is = harmonic(map { 1 - $_ } values %own);
my $privacy_is = harmonic(map { max(0, 1 - abs($auc{$_} - $gold{$_}) / $gold{$_}) } @aucs);
ok(abs($mem - $mem_is) < 1e-12, "memorisation $mem");
ok(abs($privacy - $privacy_is) < 1e-12, "privacy $privacy, of which one part is 0");
is($overall, undef, 'without utility there is no overall');
($mem, $privacy) = aggregates({%own, %auc}, {});
is($privacy, undef, 'without the retrained model no privacy');
delete $own{exact_memorization};
is((aggregates(\%own, {}))[0], undef, 'without one part no memorisation');

# --- tokens of an evaluation ---

my $model = text_model();
my ($status, $out) = run("eval --quiet --suite tofu --model $model --forget 'demo/data/people.jsonl[50:53]' --retain 'demo/data/people.jsonl[0:2]' --max-new-tokens 4 --out $dir/log");
is($status, 0, 'eval') or diag $out;
my $tokens = decode_json(get("$dir/log/TOFU_TOKENS.json"));
my $eval = decode_json(get("$dir/log/TOFU_EVAL.json"));
is_deeply([sort keys %$tokens], ['forget_Q_A_ROUGE', 'retain_Q_A_ROUGE'], 'tokens of both sets that are answered');
for my $set (qw(forget retain)) {
    my ($of, $loss, $text) = ($tokens->{"${set}_Q_A_ROUGE"}, map { $eval->{"${set}_Q_A_$_"}{value_by_index} } 'Prob', 'ROUGE');
    is_deeply([sort keys %$of], [sort keys %$loss], "$set: every row");
    for my $row (sort keys %$of) {
        my @logp = @{$of->{$row}{logp}};
        is(scalar @logp, scalar @{$of->{$row}{tokens}}, "$set $row: a number for each token");
        my $mean = -sum(@logp) / @logp;
        ok(abs($mean - $loss->{$row}{avg_loss}) < 2e-6 * $mean, "$set $row: their mean is the loss, $mean");
        my $whole = join '', @{$of->{$row}{tokens}};
        $whole =~ s/^\s+//;
        is($whole, $text->{$row}{ground_truth}, "$set $row: they are the answer");
    }
}
ok(defined $eval->{retain_extraction_strength}{agg_value}, 'extraction strength of the retain set');
($status, $out) = run("report $dir/log --out $dir/page.html");
is($status, 0, 'the page has them') or diag $out;
ok(get("$dir/page.html") =~ /<span class=tokens><span/, 'token by token');

# --- published rows ---

my $file = "$shared/data/uds/method_results.json";
SKIP: {
    skip "$file is not there: published rows were not checked", 1 if !-e $file;
    my ($n, $worst) = (0, 0);
    my @rows = @{decode_json(get($file))->{models}};
    for my $row (@rows[grep { $_ % 9 == 0 } 0 .. $#rows]) { # one in nine: a process each
        my %part = (extraction_strength => 1 - $row->{one_minus_es}, exact_memorization => 1 - $row->{one_minus_em},
            forget_Q_A_PARA_Prob => 1 - $row->{one_minus_paraprob}, forget_truth_prob_mean => 1 - $row->{one_minus_truth});
        my @s = map { $row->{$_} } qw(s_loss s_zlib s_mink s_minkpp);
        my %near = map { $aucs[$_] => 0.5 * (2 - $s[$_]) } 0 .. 3; # an AUC of that similarity to 0.5
        my ($a, $b) = aggregates({%part, %near}, {map { $_ => 0.5 } @aucs});
        $worst = max($worst, abs($a - $row->{mem}), abs($b - $row->{privacy_mia}));
        $n++;
    }
    ok($worst < 1e-9, "$n rows of UDS: memorisation and privacy within $worst");
}
done_testing;

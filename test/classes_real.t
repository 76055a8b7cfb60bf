#!/usr/bin/perl
# Second tier: SmolLM2 classifies reviews; every choice and log-probability against a plain loop over transformers
# (test/data/choice/reviews_scores.json, by tools/make_classes_golden.py), and the same folds and examples as then.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(max);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
plan skip_all => 'the sanitizers make this run too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "the model $cache is not there" unless -f $cache;

my $golden = decode_json(get('test/data/choice/reviews_scores.json'));
for my $shots (0, 2) {
    my ($want, $what) = ($golden->{"${shots}shot"}, "$shots worked examples");
    my ($status, undef, $err) = run_apart("eval --quiet --suite classification --model default --out $dir/out "
        . "--data test/data/choice/reviews.csv --columns label,text --folds 3 --shots $shots");
    is($status, 0, "$what: runs") or diag $err;
    my ($samples, $table) = map { decode_json(get("$dir/out/CLASSIFICATION_$_.json")) } qw(EVAL TABLE);
    $samples = $samples->{classification};
    is_deeply([map { $_->{fold} } @$samples], $want->{folds}, "$what: folds");
    is_deeply([map { $table->{"classification_fold$_"}{examples} } 1 .. 3], $want->{examples}, "$what: examples");
    my ($same, $worst) = (0, 0);
    for my $i (0 .. $#$samples) {
        my ($got, $ref) = ($samples->[$i], $want->{logp}[$i]);
        $same += $got->{chosen} eq ($ref->[1] > $ref->[0] ? '2' : '1');
        $worst = max($worst, map { abs($got->{resps}[$_] - $ref->[$_]) } 0, 1);
    }
    is($same, scalar @{$want->{logp}}, "$what: every row's choice");
    ok($worst <= 1e-3, sprintf '%s: log-probabilities differ by at most %.1e', $what, $worst);
}
done_testing();

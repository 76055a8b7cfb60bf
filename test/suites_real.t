#!/usr/bin/perl
# Second tier: every built-in suite on a few rows of real data with SmolLM2. MUSE's corpora are not here, so texts
# and questions of other data stand in its form; nor are ARC and its like, of which there are invented rows.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $shared = $ENV{UNLEARN_SHARED} // '../shared';
my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
my ($tofu, $text) = ("$shared/data/tofu", "$shared/data/text/wizard_of_oz.txt");
plan skip_all => 'the sanitizers make this run too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "$shared/data is not there" unless -f $text && -d $tofu;
plan skip_all => "the model $cache is not there" unless -f $cache;

my @parts = (get($text) =~ s/\s+/ /gr) =~ /(.{150})/g;
sub rows_of { return put($_[0], join '', map { encode_json($_) . "\n" } @_[1 .. $#_]) }
my $verb = rows_of('verb.jsonl', map { /^(.{60})(.{90})/ ? {prompt => "$1", gt => "$2"} : () } @parts[0, 1]);
my $in = rows_of('in.jsonl', map { {text => substr $_, 0, 120} } @parts[2, 3]);
my $out = rows_of('out.jsonl', map { {text => substr $_, 0, 120} } @parts[4, 5]);
my ($forget, $retain, $facts, $holdout) = map { "'$tofu/$_'" } 'forget01_perturbed.json[0:2]', 'retain_perturbed.json[0:2]',
    'world_facts_perturbed.json[0:2]', 'retain90.json[3560:3562]';
my $short = '--max-new-tokens 8';
for (['tofu', 'forget_truth_ratio', "--forget $forget --retain $retain --world-facts $facts $short"],
    ['utility', 'model_utility', "--retain $retain --world-facts $facts $short"],
    ['privacy', 'mia_min_k', "--forget $forget --holdout $holdout"],
    ['scope', 'neighbour_Prob', "--in-scope $forget --neighbour $retain --general $facts $short"],
    ['memorization', 'forget_EL_10', "--forget $in --unseen $out"],
    ['answers', 'unique_words', "--questions $facts $short --reference default"],
    ['muse', 'forget_verbmem_ROUGE', "--forget-knowmem $facts --forget-icl $facts --forget-verbmem $verb --forget $in --holdout $out"]) {
    my ($suite, $metric, $args) = @$_;
    my ($status, $json, $err) = run_apart("eval --suite $suite --model default --json --quiet $args");
    is($status, 0, "$suite runs") or diag $err;
    my $x = $status ? undef : decode_json($json)->{$metric};
    ok(defined $x && $x >= 0 && $x <= 1, "$suite: $metric is $x");
}

my $invented = decode_json(get('test/data/choice/prompts.json'));
my %rows_of = map { $_ => rows_of("$_.jsonl", @{$invented->{$_}{rows}}) } qw(arc hellaswag piqa winogrande openbookqa boolq);
my $mc = "$shared/data";
for (['mmlu', 'mmlu_stem', 4, "--data '$mc/mmlu' --subjects anatomy,philosophy --shots 5"],
    ['wmdp', 'wmdp', 8, "--data '$mc/wmdp' --subjects bio,chem"], ['truthfulqa', 'truthfulqa_mc2', 4, "--data '$mc/truthfulqa'"],
    ['classification', 'classification', 4, '--data test/data/choice/reviews.csv --columns label,text --folds 2'],
    map { [$_, $_, 1, "--data $rows_of{$_}"] } sort keys %rows_of) {
    my ($suite, $task, $rows, $args) = @$_;
    my ($status, $table, $err) = run_apart("eval --suite $suite --model default --limit 4 $args --out $dir/choice");
    is($status, 0, "$suite runs") or diag $err;
    like($err, qr/^\Q$suite\E\w*: (fold 1 of 2, )?\d+ questions$/m, "$suite: says what it does");
    like($table, qr/^task +questions +left out +acc .*^\Q$task\E +$rows +0 +[\d.]+ /ms, "$suite: a table");
}
done_testing();

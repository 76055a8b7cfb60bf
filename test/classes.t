#!/usr/bin/perl
# unlearn eval --suite classification: what is scored, in which fold, and the figures that follow, on random weights.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $reviews = 'test/data/choice/reviews.csv';
my $flat = flat_model('flat', max_position_embeddings => 2000);
my $model = "$dir/random";
run("train --quiet --model $flat --scratch --out $model --max-steps 1 --data demo/data/people.jsonl[0:2]");

# Runs the suite with these options; samples, summary, table.
sub classify {
    my ($args) = @_;
    my ($status, $out, $err) = run_apart("eval --quiet --suite classification --model $model --out $dir/out $args");
    is($status, 0, "$args: runs") or diag $err;
    my ($eval, $summary, $table) = map { decode_json(get("$dir/out/CLASSIFICATION_$_.json")) } qw(EVAL SUMMARY TABLE);
    return ($eval->{classification}, $summary, $table, $out . $err);
}

sub near { return abs($_[0] - $_[1]) <= $_[2] }

# The rows as the file has them: label and text.
my @rows = map { my ($label, $text) = /^"(\d)","(.*)"$/; [$label, $text =~ s/""/"/gr] } split /\n/, get($reviews);

# --- Yelp's layout, three folds, two worked examples ---

my ($samples, $summary, $table, $printed) = classify("--data $reviews --columns label,text --folds 3 --shots 2 --seed 7");
is_deeply([map { $_->{doc_id} } @$samples], [0 .. $#rows], 'a sample for every row, in order');
is_deeply([map { $_->{target} } @$samples], [map { $_->[0] - 1 } @rows], 'their labels');
is_deeply([map { $_->{chosen} } @$samples], [map { $_->{resps}[1] > $_->{resps}[0] ? '2' : '1' } @$samples],
    'the likelier label word is chosen');
my %fold;
push @{$fold{$_->{fold}}}, $_ for @$samples;
is(join(' ', map { scalar @{$fold{$_}} } 1 .. 3), '14 14 14', 'three folds');
for my $f (1 .. 3) {
    my $examples = $table->{"classification_fold$f"}{examples};
    is(scalar(grep { $samples->[$_]{fold} != $f } @$examples), 2, "fold $f: worked examples are from the others");
    my $before = join '', map { "Review: $rows[$_][1]\nSentiment: " . ($rows[$_][0] == 2 ? 'positive' : 'negative') . "\n\n" }
        @$examples;
    my $s = $fold{$f}[$f];
    my $prompt = $before . "Review: $rows[$s->{doc_id}][1]\nSentiment:";
    my @want = text_logps($model, $prompt, 2000, "$prompt negative", "$prompt positive");
    ok(@want == 2 && near($s->{resps}[0], $want[0], 2e-5) && near($s->{resps}[1], $want[1], 2e-5),
        "fold $f: scored as worded by hand") or diag "@{$s->{resps}}; @want";
}

# --- the figures again, from the samples ---

sub accuracy { return sum(map { $_->{acc} } @_) / @_ }

sub macro_f1 {
    my @f1;
    for my $label (0, 1) {
        my $hits = grep { $_->{target} == $label && $_->{chosen} == $label + 1 } @_;
        my $all = (grep { $_->{target} == $label } @_) + (grep { $_->{chosen} == $label + 1 } @_);
        push @f1, 2 * $hits / $all if $all;
    }
    return sum(@f1) / @f1;
}

# P(at least k of n) at the rate p.
sub at_least {
    my ($k, $n, $p) = @_;
    my ($sum, $term) = (0, (1 - $p)**$n);
    for my $i (0 .. $n) {
        $sum += $term if $i >= $k;
        $term *= ($n - $i) / ($i + 1) * $p / (1 - $p);
    }
    return $sum;
}

my @acc = map { accuracy(@{$fold{$_}}) } 1 .. 3;
ok(near($summary->{"classification_fold$_/acc"}, $acc[$_ - 1], 1e-12), "fold $_: accuracy") for 1 .. 3;
ok(near($summary->{"classification_fold$_/macro_f1"}, macro_f1(@{$fold{$_}}), 1e-12), "fold $_: macro F1") for 1 .. 3;
my $mean = sum(@acc) / 3;
ok(near($summary->{'classification/acc_mean'}, $mean, 1e-12), 'mean over folds');
ok(near($summary->{'classification/acc_sd'}, sqrt(sum(map { ($_ - $mean)**2 } @acc) / 2), 1e-12), 'standard deviation over folds');
ok(near($summary->{'classification/acc'}, accuracy(@$samples), 1e-12), 'accuracy over all rows');
ok(near($summary->{'classification/macro_f1'}, macro_f1(@$samples), 1e-12), 'macro F1 over all rows');
my ($hits, $all) = (scalar(grep { $_->{acc} } @$samples), $table->{classification});
ok(near(at_least($hits, 42, $all->{low}), 0.025, 1e-6) && near(at_least($hits + 1, 42, $all->{high}), 0.975, 1e-6),
    q(Clopper and Pearson's interval));
ok($all->{rows} == 42 && $all->{missing} == 0, 'rows');
ok($all->{seconds} > 0 && near($all->{seconds}, sum(map { $table->{"classification_fold$_"}{seconds} } 1 .. 3), 1e-9),
    'seconds of all folds');
ok(near($all->{rows_per_second}, 42 / $all->{seconds}, 1e-6), 'rows a second');
like($printed, qr/macro F1 +mean +sd +seconds +rows\/s$/m, 'the table has them');
like($printed, qr/^classification_fold2 +14 +0 .* +- +- +\d\S* +\d\S*$/m, 'a fold in the table');

# --- the same figures from the log alone; of its lines only those of folds have times ---

my ($status, $out, $err) = run_apart("rescore --suite classification $dir/out/CLASSIFICATION_EVAL.json --out $dir/again --json");
is($status, 0, 'rescore') or diag $err;
is_deeply(decode_json($out), $summary, 'rescore: the same summary');
my $lines = decode_json(get("$dir/again/CLASSIFICATION_TABLE.json"));
delete @{$_}{qw(seconds rows_per_second examples)} for values %$table;
is_deeply($lines, $table, 'rescore: the same table, without times');
put('spoilt.json', encode_json({classification => [{acc => 1, target => 0, chosen => '3'}]}));
check("rescore --suite classification $dir/spoilt.json", 1,
    qr/spoilt\.json': classification: a sample's 'chosen' or 'target' is none of the labels/, 'rescore: a label that is none');
put('spoilt.json', encode_json({classification => [{target => 0}]}));
check("rescore --suite classification $dir/spoilt.json", 1, qr/classification: a sample has no number 'acc'/, 'rescore: no acc');
check("rescore --suite mmlu $dir/spoilt.json", 1, qr/spoilt\.json': the log has none of the tasks of mmlu/, 'rescore: of another suite');

# --- the seed ---

my ($again) = classify("--data $reviews --columns label,text --folds 3 --shots 2 --seed 7");
is_deeply($again, $samples, 'the same seed, the same samples');
my ($other) = classify("--data $reviews --columns label,text --folds 3 --shots 2 --seed 8");
isnt(join('', map { $_->{fold} } @$other), join('', map { $_->{fold} } @$samples), 'another seed, other folds');

# --- other fields, numbers as labels, other words, rows that are none ---

my $json = put('reviews.jsonl', join '', map { encode_json({stars => $_->[0] - 1, body => {en => $_->[1]}, text => 'not this'}) . "\n" }
    @rows[0 .. 9]);
my $words = '--label-words 0=bad,1=good --folds 2';
my ($some) = classify("--data $json --text-key body.en --label-key stars $words");
put('words.csv', "text,label\n" . join '', map { qq(") . $_->[1] =~ s/"/""/gr . qq(",) . ($_->[0] - 1) . "\n" } @rows[0 .. 9]);
my ($same) = classify("--data $dir/words.csv $words");
is_deeply($some, $same, 'JSON Lines with fields of other names, as CSV with a header');
put('bad.csv', get("$dir/words.csv") =~ s/^(.*\n)/$1no label,\nunknown,7\n/r);
(my $kept, undef, $table, $printed) = classify("--data $dir/bad.csv $words");
$_->{doc_id} += 2 for @$same;
is_deeply($kept, $same, 'rows of no known label change nothing but the numbers of others');
is($table->{classification}{missing}, 2, 'they are counted');
like($printed, qr/some rows are no questions and were left out; .*bad\.csv' line 2: 'label' names none of the 2 choices/, 'and named');
my (undef, undef, $whole) = classify("--data $dir/words.csv --label-words 0=bad,1=good --folds 0");
is_deeply([sort keys %$whole], ['classification'], 'without folds one line');

# --- what cannot be done ---

sub refused {
    my ($args, $like, $what) = @_;
    check("eval --quiet --suite classification --model $model $args", 1, qr/^unlearn eval: .*$like/, $what);
}
refused('', 'classification needs --data PATH: FILE of rows', 'no data');
refused("--data $dir/words.csv $words --folds 11", '10 questions are too few for 11 folds', 'more folds than rows');
refused("--data $dir/words.csv $words --folds 1", '1 fold: at least 2 are needed', 'one fold');
refused("--data $dir/words.csv $words --shots 6", '6 worked examples requested, the other folds have 5', 'too many examples');
refused("--data $reviews", q(no row is a question of classification), 'no header, and none given');
refused("--data $reviews --columns label", q(2 fields where .* 1), 'too few names');
refused("--data $dir/words.csv --label-words $_", q(--label-words is '.*': write it like 1=bad,2=good), "label words $_")
    for '1', '=x', '1=', '1=bad,good';
refused("--data $dir/words.csv --label-words 1=bad", 'a question needs at least two choices', 'one label');
done_testing();

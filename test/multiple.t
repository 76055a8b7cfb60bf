#!/usr/bin/perl
# unlearn eval on multiple-choice suites, small folders laid out as published. To a model of zeros every token is as
# likely: of letters it takes A, of texts the shortest, and every figure is known beforehand.
use strict;
use warnings;
use FindBin;
use IO::Compress::Gzip qw(gzip);
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $flat = flat_model('flat', max_position_embeddings => 900);
my $eval = "eval --model $flat --quiet";
my $log = -log 514;

# Runs a suite; its summary.
sub summary {
    my ($args) = @_;
    my ($status, $out, $err) = run_apart("$eval $args --json");
    is($status, 0, "$args: runs") or diag $err;
    return $status ? {} : decode_json($out =~ s/\bNaN\b/null/gr);
}

sub close_to {
    my ($got, $want, $what) = @_;
    ok(defined $got && abs($got - $want) < 1e-12, $what) or diag 'got ' . ($got // 'nothing') . ", want $want";
}

# --- MMLU ---

# A subject whose right answers are these, questions of which the first has quotes and a comma.
sub subject {
    my ($file, @right) = @_;
    my $text = "question,choice0,choice1,choice2,choice3,answer\n";
    $text .= qq("What is ""it"", $_?",one,two,three,four,$right[$_]\n) for 0 .. $#right;
    return put($file, $text);
}
my %right = (anatomy => [0, 1, 0, 0, 3], astronomy => [2, 0, 3], virology => [0, 0, 1, 2], philosophy => [1, 1]);
subject("mmlu/test/$_\_test.csv", @{$right{$_}}) for keys %right;
subject("mmlu/dev/$_\_dev.csv", 3, 1) for keys %right;

# Share of A, and lm-evaluation-harness's standard errors: of a task's mean, and pooled over tasks.
sub share { return sum(map { $_ == 0 ? 1 : 0 } @_) / @_ }

sub stderr_of {
    my $p = share(@_);
    return sqrt($p * (1 - $p) / (@_ - 1));
}

sub pooled {
    my @tasks = @_;
    my $n = sum(map { scalar @$_ } @tasks);
    return sqrt(sum(map { $#$_ * @$_ * stderr_of(@$_)**2 } @tasks) / ($n - @tasks) / $n);
}

my $mmlu = summary("--suite mmlu --data $dir/mmlu --out $dir/out");
for (sort keys %right) {
    close_to($mmlu->{"mmlu_$_/acc"}, share(@{$right{$_}}), "$_: accuracy");
    close_to($mmlu->{"mmlu_$_/acc_stderr"}, stderr_of(@{$right{$_}}), "$_: standard error");
}
close_to($mmlu->{'mmlu_stem/acc'}, share(map { @{$right{$_}} } qw(anatomy astronomy)), 'a group is the mean over questions');
close_to($mmlu->{'mmlu_stem/acc_stderr'}, pooled(@right{qw(anatomy astronomy)}), 'its standard error is pooled');
close_to($mmlu->{'mmlu/acc'}, share(map { @$_ } values %right), 'all of MMLU');
close_to($mmlu->{'mmlu/acc_stderr'}, pooled(values %right), 'pooled');
close_to($mmlu->{'mmlu_other/acc_stderr'}, stderr_of(@{$right{virology}}), 'a group of one is its task');
is(scalar keys %$mmlu, 2 * (4 + 3 + 1), 'tasks, three groups and the whole have two figures each');

my $samples = decode_json(get("$dir/out/LMEval_EVAL.json"))->{mmlu_astronomy};
is_deeply([map { $_->{target} } @$samples], $right{astronomy}, 'EVAL: right answers in order');
is_deeply([map { $_->{acc} } @$samples], [0, 1, 0], 'EVAL: what was taken');
ok(!(grep { abs($_ - 2 * $log) > 1e-5 } map { @{$_->{resps}} } @$samples), 'EVAL: log-probabilities, of a space and a letter');
is_deeply(decode_json(get("$dir/out/LMEval_SUMMARY.json")), $mmlu, 'SUMMARY is what --json prints');

my (undef, $again) = run_apart("rescore --suite mmlu $dir/out/LMEval_EVAL.json --json");
is_deeply(decode_json($again), $mmlu, 'rescore: the same from the log, groups and all');

my (undef, $table) = run("$eval --suite mmlu --data $dir/mmlu --subjects virology,anatomy --limit 2");
is($table, <<'END', 'a table of two subjects, two questions each');
task           questions  left out                    acc  stderr  chance
-------------  ---------  --------  ---------------------  ------  ------
mmlu_anatomy           2         0  0.500 [0.0126, 0.987]   0.500   0.250
mmlu_virology          2         0     1.00 [0.158, 1.00]       0   0.250
mmlu_other             2         0     1.00 [0.158, 1.00]       0   0.250
mmlu_stem              2         0  0.500 [0.0126, 0.987]   0.500   0.250
mmlu                   4         0   0.750 [0.194, 0.994]   0.250   0.250
END
(undef, $table) = run("$eval --suite mmlu --data $dir/mmlu --subjects anatomy --limit 1");
like($table, qr/^mmlu_anatomy +1 +0 +1\.00 \[0\.0250, 1\.00\] +- +0\.250$/m, 'one question has no standard error');

# Worked examples, on random weights: the prompt as MMLU words it, scored as rows of ids.
run("train --quiet --model $flat --scratch --out $dir/random --max-steps 1 --data demo/data/people.jsonl[0:2]");
sub worded {
    my ($i, $answer) = @_;
    return qq(What is "it", $i?\nA. one\nB. two\nC. three\nD. four\nAnswer:) . (defined $answer ? " $answer" : '');
}

# What a suite gives the choices of question i of a task.
sub resps {
    my ($args, $task, $i) = @_;
    run("eval --model $dir/random --quiet $args --out $dir/got");
    return @{decode_json(get("$dir/got/LMEval_EVAL.json"))->{$task}[$i]{resps}};
}

sub agree {
    my ($got, $want, $what) = @_;
    my @off = sort { $b <=> $a } map { abs($got->[$_] - $want->[$_]) } 0 .. $#$want;
    ok(@$got && @$got == @$want && $off[0] < 2e-5, $what) or diag "@$got; @$want";
}

for my $shots (0, 2) {
    my $prompt = "The following are multiple choice questions (with answers) about astronomy.\n\n"
        . ($shots ? worded(0, 'D') . "\n\n" . worded(1, 'B') . "\n\n" : '') . worded(1);
    agree([resps("--suite mmlu --data $dir/mmlu --subjects astronomy --shots $shots", 'mmlu_astronomy', 1)],
        [text_logps("$dir/random", $prompt, 900, map { "$prompt $_" } 'A' .. 'D')], "$shots worked examples: the prompt as worded by hand");
}

# Spaces that end a context are the choice's; what is too long loses its beginning.
my $long = join ' ', map { "$_ and" } 1 .. 500;
for (['It is ', 'It is', 'a space'], [$long, $long, 'a long text']) {
    my ($stem, $context, $what) = @$_;
    my $book = put('book.jsonl', encode_json({question_stem => $stem, answerKey => 'A',
        choices => {text => ['so', 'not so'], label => ['A', 'B']}}) . "\n");
    agree([resps("--suite openbookqa --data $book", 'openbookqa', 0)],
        [text_logps("$dir/random", $context, 900, map { "$stem $_" } 'so', 'not so')], "behind $what");
}

# --- WMDP: plain or packed; rows that are no questions ---

my @wmdp = map { {question => "Which $_?", choices => [qw(w x y z)], answer => $_ % 2} } 0 .. 4;
mkdir "$dir/wmdp";
put('wmdp/bio_questions.json', encode_json(\@wmdp));
my $json = encode_json([@wmdp[0, 1], {question => 'What?', choices => ['a', 'b'], answer => 2}]);
gzip(\$json => \my $packed);
put('wmdp/chem_questions.json.gz', $packed);
my ($status, $out, $err) = run_apart("eval --model $flat --suite wmdp --data $dir/wmdp");
is($status, 0, 'WMDP, one plain, one packed, one missing');
like($out, qr/^wmdp_bio +5 +0 +0\.600 .*^wmdp_chem +2 +1 +0\.500 .*^wmdp +7 +1 +0\.571 /ms, 'a bad row is left out and counted');
like($err, qr/some rows are no questions and were left out;.* '.*chem_questions\.json\.gz' .*line 1: 'answer' names none of the 2 choices/, 'and named');

# --- TruthfulQA: the shortest text is the likeliest ---

my @truth = map { {question => 'q', mc1_targets => {choices => $_->[0], labels => $_->[1]},
    mc2_targets => {choices => $_->[0], labels => $_->[2]}} }
    [['x', 'x x', 'x x x'], [1, 0, 0], [1, 1, 0]], [['x x', 'x'], [1, 0], [1, 0]];
my $truth = put('mc_task.json', encode_json(\@truth));
my $figures = summary("--suite truthfulqa --data $truth");
my @n = map { scalar(@{text_ids($flat, "Q: q\nA:$_")}) - @{text_ids($flat, "Q: q\nA:")} } ' x', ' x x', ' x x x';
my @p = map { exp($_ * $log) } @n;
close_to($figures->{'truthfulqa_mc1/acc'}, 0.5, 'mc1: the right one is the shortest, once');
close_to($figures->{'truthfulqa_mc2/acc'}, (($p[0] + $p[1]) / ($p[0] + $p[1] + $p[2]) + $p[1] / ($p[0] + $p[1])) / 2,
    'mc2: share of the probability');
is_deeply(summary("--suite truthfulqa --data $dir --subjects mc1"), {map { $_ => $figures->{$_} } grep { /mc1/ } keys %$figures},
    'the same from a folder, one of the two');

# --- what cannot be done ---

sub refused {
    my ($args, $like, $what) = @_;
    check("$eval $args", 1, qr/^unlearn eval: .*$like/, $what);
}
refused('--suite mmlu', 'mmlu needs --data PATH: DIR with test/SUBJECT_test\.csv .*$', 'no data');
refused("--suite mmlu --data $dir/mmlu --subjects anatomy,alchemy", "mmlu has no subject 'alchemy'\$", 'an unknown subject');
refused("--suite mmlu --data $dir/mmlu --subjects nutrition", "mmlu' has no questions of nutrition\$", 'a subject that is not there');
refused("--suite mmlu --data $dir/nowhere", "is read from a folder, '.*nowhere' is not one\$", 'no folder');
refused("--suite mmlu --data $dir/wmdp", "wmdp' has none of the files of mmlu\$", 'a folder of something else');
refused("--suite mmlu --data $dir/mmlu --subjects anatomy --shots 3", '3 worked examples requested, 2 available$', 'too few worked examples');
refused("--suite wmdp --data $dir/wmdp --shots 1", 'wmdp_bio has worked examples only with folds: give --folds, or no --shots$', 'examples where there are none');
refused("--suite piqa --data $truth", "mc_task.json' line 1: a row of piqa needs the field 'sol1'\$", 'rows of another task');
put('broken/chem_questions.json.gz', substr($packed, 0, -9));
refused("--suite wmdp --data $dir/broken", "chem_questions.json.gz' is damaged: ", 'a file cut short');
put('broken/chem_questions.json.gz', $json);
refused("--suite wmdp --data $dir/broken", "chem_questions.json.gz' is not packed by gzip", 'a name that promises too much');
refused("--suite piqa --data $truth --$_ x", "--$_ is not for suites of tasks, as piqa\$", "--$_") for qw(retrained retain-logs reference);
check("$eval --suite mnlu --data x", 2, qr/mmlu/, 'no such suite');

done_testing();

#!/usr/bin/perl
# unlearn rescore: every aggregate of a log again from its rows. Second tier: the published logs of TOFU and of
# OpenUnlearning, and the peer's own evaluations of SmolLM2.
use strict;
use warnings;
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

my $unlearn = $ENV{UNLEARN} || './unlearn';
$ENV{COLUMNS} = 400;
my $shared = $ENV{UNLEARN_SHARED} // '../shared';
my $dir = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->allow_nonref->canonical;

sub get {
    open my $f, '<:raw', $_[0] or die "$_[0]: $!";
    local $/;
    my $text = <$f>;
    $text =~ s/\bNaN\b/null/g;
    return $json->decode($text);
}

sub put {
    my ($name, $text) = @_;
    open my $f, '>:raw', "$dir/$name" or die "$name: $!";
    print $f ref $text ? $json->encode($text) : $text;
    close $f or die;
    return "$dir/$name";
}

sub run {
    my $out = `$unlearn rescore @_ 2>$dir/stderr`;
    open my $f, '<', "$dir/stderr" or die;
    local $/;
    return ($? >> 8, $out, scalar <$f>);
}

# The aggregates of both kinds of a log.
sub rescore {
    my ($status, $out, $err) = run(@_, "--overwrite --out $dir/out");
    is($status, 0, "rescore @_") or diag $err;
    my $eval = get("$dir/out/TOFU_EVAL.json");
    return ({map { $_ => $eval->{$_}{agg_value} } keys %$eval}, $out, $err);
}

# Every aggregate that the log holds.
sub all_agree {
    my ($what, $log, $retained, @without) = @_;
    my ($mine) = rescore($log, '--compat ou', $retained ? "--retain-logs $retained" : ());
    my $theirs = get($log);
    my ($n, @off) = (0);
    for my $name (sort keys %$theirs) {
        next if grep { $_ eq $name } @without or !defined $theirs->{$name}{agg_value};
        my ($a, $b) = ($mine->{$name}, $theirs->{$name}{agg_value});
        $n++;
        push @off, "$name: " . ($a // 'none') . ", not $b" unless defined $a && abs($a - $b) <= 1e-12 * abs $b;
    }
    ok(!@off, "$what: $n aggregates to 12 digits") or diag join "\n", @off;
    my @rows = grep { my $m = $theirs->{$_}; $m->{value_by_index} || $m->{forget} } keys %$theirs;
    my $table = get("$dir/out/TOFU_TABLE.json");
    is(join(' ', grep { ($table->{$_}{note} // '') =~ /^copied from the log/ } @rows), '', "$what: those with rows were computed");
    return $mine;
}

sub near {
    my ($got, $want, $tolerance, $what) = @_;
    ok(abs($got - $want) <= $tolerance, $what) or diag "$got, not $want";
}

my $log = 'test/data/tofu/TOFU_EVAL.json';
all_agree('a small log', $log, 'test/data/tofu/retain_EVAL.json', 'privleak');
system "cp $dir/out/TOFU_EVAL.json $dir/first.json";
for (["$dir/first.json", 'is there already: choose another directory, or give --overwrite'],
     ["$dir/out/TOFU_EVAL.json --overwrite", "'$dir/out/TOFU_EVAL.json' is read here and stays as it is"]) {
    my ($status, undef, $err) = run("$_->[0] --out $dir/out");
    ok($status == 1 && index($err, $_->[1]) >= 0, "refused: $_->[1]") or diag $err;
}
my ($again) = rescore("$dir/first.json --compat ou --retain-logs test/data/tofu/retain_EVAL.json");
my $first = get($log);
my ($plain) = rescore("$log --retain-logs test/data/tofu/retain_EVAL.json");
near($plain->{$_} / $first->{$_}{agg_value}, 1, 1e-7, "$_ without the peer's 1e-10") for qw(model_utility forget_truth_ratio);
near($again->{model_utility}, $first->{model_utility}{agg_value}, 1e-12, 'and again from what it wrote');
my ($status, $out, $err) = run("$log --json");
is($json->decode($out)->{forget_quality}, $first->{forget_quality}{agg_value}, 'forget quality stays without the retrained model');
like($err, qr/forget_quality.*: copied from the log, which has no rows to compute it from/, 'and the program says so');

# Every figure beside the retrained model's: of itself it cannot be told apart.
my ($table, $exact);
for my $compat ('none', 'ou') {
    run("$log --compat $compat --retain-logs $log --overwrite --out $dir/out");
    ($table, $exact) = (get("$dir/out/TOFU_TABLE.json"), $compat eq 'ou' ? 0 : 1e-7);
    my @apart = grep { defined $table->{$_}{low} && ($table->{$_}{ks} // -1) != 1
        || abs($table->{$_}{retrained} - $first->{$_}{agg_value}) > $exact * $first->{$_}{agg_value} }
        grep { $first->{$_} && !/^forget_quality|^privleak|^mia/ } keys %$table; # the log may lack what is computed from it
    is("@apart", '', "a model beside itself, --compat $compat");
    is($table->{forget_quality}{value}, 1, 'and forget quality is 1');
}

# After ascent all losses are large (spec: the figure is the mean of min(r, 1/r) with r a ratio of losses' exponentials).
sub losses { return {value_by_index => {map { $_ => {prob => 0, avg_loss => $_[$_]} } 0 .. $#_}} }
my $forgot = put('forgot.json', {forget_Q_A_PARA_Prob => losses(44.4, 900, 24), forget_Q_A_PERT_Prob => losses([43.7, 43.8], [900, 901], [1000, 2000])});
my ($large) = rescore($forgot);
near($large->{forget_truth_ratio}, (exp(-.65) + exp(-.5)) / 3, 1e-14, 'truth ratio of losses from 24 to 2000 nats');
is((rescore("$forgot --compat truth_tiny"))[0]{forget_truth_ratio} < 1e-8, 1, '0 under the peer\'s definition');

# An infinite loss is a value, as is Infinity in what Python wrote.
my $endless = put('endless.json', '{"forget_Q_A_Prob": {"value_by_index": {"0": {"prob": 0.0, "avg_loss": Infinity}, "1": {"prob": 0.5, "avg_loss": 0.7}}},
    "forget_truth_ratio": {"value_by_index": {"0": {"score": Infinity}, "1": {"score": 0.5}, "2": {"score": NaN}}}}');
my ($infinite) = rescore($endless);
is($infinite->{forget_truth_ratio}, 0.25, 'Infinity as a ratio is as far from 1 as 0 is; NaN is missing');
sub eight { return put($_[0], {exact_memorization => {agg_value => $_[1], value_by_index => {map { $_ => {score => $_[1] + $_ / 100} } 1 .. 8}}}) }
($status, $out, $err) = run(eight('low.json', 0.1) . ' --retain-logs ' . eight('high.json', 0.8));
like($out, qr/^exact_memorization +low +0\.145 .*\] +0\.800 +0\.000155 +0\.100 +8$/m, 'eight rows below eight: p = 2 / C(16, 8)');

# Rows that are missing are counted, texts count more than the figures beside them.
my %rows = map { $_ => {score => $_ / 10} } 1 .. 4;
$rows{5} = {score => undef};
my $gap = put('gap.json', {exact_memorization => {value_by_index => \%rows}});
($status, $out, $err) = run($gap);
like($out, qr/^exact_memorization +low +0\.250 \[\S+ +\S+\] +4 +1$/m, 'a row without a value is counted');
like($out, qr/^exact_memorization: 1 of 5 rows have no value and are left out \(5\)$/m, 'and named');
is(scalar((run("$gap --json"))[2] =~ /1 of 5 rows have no value and are left out \(5\)/), 1, 'also beside JSON');
my $texts = put('texts.json', {forget_Q_A_ROUGE => {value_by_index =>
    {0 => {rougeL_recall => 1, ground_truth => 'a b', generation => 'a'}}}});
($status, $out, $err) = run($texts);
like($out, qr/^forget_Q_A_ROUGE +low +0\.500 /m, 'ROUGE is that of the texts');
like($err, qr/forget_Q_A_ROUGE: a row holds ROUGE 1, but its texts give 0\.5/, 'and a difference is said');

my @scores = map { $_ / 10 } 1 .. 4;
sub attack { my %rows; @rows{0 .. $#_} = map { {score => $_} } @_; return {value_by_index => \%rows} }
my $nan = put('nan.json', $json->encode({mia_loss => {forget => attack(@scores), holdout => attack(@scores, 'N')}}) =~ s/"N"/NaN/r);
($status, $out, $err) = run("$nan --overwrite --out $dir/out");
like($out, qr/^mia_loss +as retrained +0\.500 \[0\S*, \S+\] +8 +1$/m, 'a NaN is a missing score, an AUC has an interval');
like($out, qr/^mia_loss: 1 of 9 rows have no value and are left out \(holdout 4\)$/m, 'and its side is named');
is_deeply(get("$dir/out/TOFU_TABLE.json")->{mia_loss}{odd}{missing}, {count => 1, of => 9, rows => ['holdout 4']}, 'also in the table file');
($status, $out, $err) = run(put('said.json', {wf_Q_A_ROUGE => {value_by_index => {
    1 => {ground_truth => 'a', generation => ''}, 2 => {ground_truth => 'a', generation => "a \x{EF}\x{BF}\x{BD}"},
    3 => {ground_truth => 'a', generation => 'a'}}}}));
like($out, qr/^wf_Q_A_ROUGE: 1 of 3 generated answers are empty \(1\)$/m, 'an empty answer is named');
like($out, qr/^wf_Q_A_ROUGE: 1 of 3 generated answers are not valid UTF-8 \(2\)$/m, 'and one that is no text');

# Figures without rows.
my $figures = put('figures.json', {mia_min_k => {agg_value => 0.75, auc => 0.75}, forget_Q_A_Prob => 0.25, forget_truth_ratio => {agg_value => undef},
    exact_memorization => {value_by_index => {0 => {score => 0.5}}}});
($status, $out, $err) = run($figures);
is($status, 0, 'figures without rows do not stop it') or diag $err;
like($out, qr/^exact_memorization +low +0\.500 .* - +1$/m, 'what can be is computed');
like($out, qr/^forget_Q_A_Prob +low +0\.250 +0\.250 +-$/m, 'others stay');
like($out, qr/^forget_Q_A_Prob, forget_truth_ratio, mia_min_k: copied from the log/m, 'marked');
like($out, qr/^privleak +as retrained +-50\.0 /m, 'and are computed with');
my ($fewer, $more) = map { my $n = $_; put("$n.json", {forget_truth_ratio => {value_by_index => {map { $_ => {score => $_ / 10} } 1 .. $n}}}) } 3, 5;
($status, $out, $err) = run("$fewer --retain-logs $more");
is($status, 0, 'logs of different size') or diag $err;
like($out, qr/^forget_quality +high +0\.857 /m, 'the two-sample test takes them: 48 of the 56 orders are as far apart');
like($out, qr/^forget_quality: the retrained model's log has 5 rows of 'forget_truth_ratio', this model 3: comparable .* only if both/m, 'with both counts');

# ROUGE where its words, a-z and 0-9, are not those of the texts; texts that hold U+0000.
sub texts { my ($i, %rows) = (0); $rows{$i++} = {ground_truth => shift, generation => shift} while @_; return {value_by_index => \%rows} }
($status, $out, $err) = run(put('scripts.json', {forget_Q_A_ROUGE => texts("\xe6\x9d\xb1\xe4\xba\xac", "\xe4\xba\xac", 'Basil was born', 'Basil')}));
like($out, qr/^forget_Q_A_ROUGE: 1 of 2 rows have mostly letters that this metric ignores: its words are a-z and 0-9 \(0\)$/m, 'a row in Chinese is named');
like($out, qr/^forget_Q_A_ROUGE: ROUGE-L recall of words of all scripts \(kind rouge_unicode\) is 0\.416667 over 2 rows$/m, 'with what it is of all scripts: (1/2 + 1/3) / 2');
($status, $out, $err) = run(put('nul.json', {forget_Q_A_ROUGE => texts("one\0two three four", "one\0two")}));
like($out, qr/^forget_Q_A_ROUGE +low +0\.500 /m, 'U+0000 does not end a text');
like((run(put('nul_a.json', {forget_truth_ratio => {value_by_index => {0 => {score => 1}}}, forget_Q_A_ROUGE => texts("a\0b", 'a')}) . ' --retain-logs '
    . put('nul_b.json', {forget_truth_ratio => {value_by_index => {0 => {score => 1}}}, forget_Q_A_ROUGE => texts("a\0c", 'a')})))[2],
    qr/row 0 of the retrained model's log is of another data set/, 'nor does the comparison of two logs end there');

my %pair = (forget_truth_ratio => {value_by_index => {0 => {score => 0.5}}},
    forget_Q_A_PARA_Prob => {value_by_index => {0 => {prob => 0.5, avg_loss => 0.7}}},
    forget_Q_A_PERT_Prob => {value_by_index => {0 => {prob => [0.5], avg_loss => [0.7]}}});
sub with_text { return {%pair, forget_Q_A_ROUGE => {value_by_index => {0 => {ground_truth => $_[0], generation => 'x'}}}}; }
my ($here, $there) = (put('here.json', with_text('Ann was born in Rome.')), put('there.json', with_text('Bob is a poet.')));
for (["$here --retain-logs $there", qr/row 0 of the retrained model's log is of another data set \('Bob/, 'logs of another split'],
    [put('none.json', '{}'), qr/the log has none of the suite's metrics/, 'a log of nothing'],
    [put('list.json', '[1]'), qr/must be a json object/, 'no log'],
    [put('empty.json', {exact_memorization => {value_by_index => {}}}), qr/exact_memorization: it has no rows in 'value_by_index'/,
        'no rows'],
    [put('half.json', {mia_loss => {forget => {value_by_index => {0 => {score => 1}}}}}),
        qr/mia_loss: 'holdout': it has no rows/, 'half an attack'],
    ["$dir/absent", qr/cannot open '.*absent'/, 'no file']) {
    my ($args, $like, $what) = @$_;
    ($status, $out, $err) = run($args);
    is($status, 1, "$what: fails");
    like($err, $like, $what);
}

SKIP: {
    my $peer = "$shared/data/openunlearning_evals/tofu_";
    skip "$peer* is not there", 1 unless -f "${peer}Llama-3.2-1B-Instruct_full/evals_forget10/TOFU_EVAL.json";
    my $stored = -f "$shared/golden/metrics/stored_logs.json" ? get("$shared/golden/metrics/stored_logs.json") : [];
    for my $model ('Llama-3.2-1B-Instruct', 'Llama-2-7b-chat-hf') {
        for (['01', '99'], ['05', '95'], ['10', '90']) {
            my $retained = "$peer${model}_retain$_->[1]/TOFU_EVAL.json";
            next unless -f $retained;
            my $split = $_->[0];
            my $mine = all_agree("$model, forget$split", "$peer${model}_full/evals_forget$split/TOFU_EVAL.json", $retained);
            for my $want (grep { $_->{model} eq $model && $_->{forget} eq $split } @$stored) {
                my @off = grep { defined $mine->{$_} && abs($mine->{$_} / $want->{$_} - 1) > 1e-12 } keys %$want;
                my $n = grep { defined $mine->{$_} } keys %$want;
                ok($n >= 9 && !@off, "$model, forget$split: $n figures of OpenUnlearning's functions on these rows") or diag "@off";
            }
        }
    }
}
SKIP: { # The figures that are printed for these logs (CHECKED.md, spec metrics.md section 11.3).
    my %printed = (forget_quality => 3.9054713571083378e-22, model_utility => 0.5991534707368931, privleak => -99.45739100654656,
        forget_truth_ratio => 0.475563896242435, forget_Q_A_Prob => 0.8804820564389229, forget_Q_A_ROUGE => 0.8201171050577979,
        exact_memorization => 0.9739357572793961, extraction_strength => 0.706268493976531, mia_loss => .9964875,
        mia_zlib => .9979375, mia_reference => .99848125, mia_min_k => .99665, mia_min_k_plus_plus => .99803125,
        mia_gradnorm => .99848125);
    my $logs = "$shared/data/openunlearning_evals/tofu_Llama-3.2-1B-Instruct_";
    skip "$logs* is not there", 1 unless -f "${logs}retain90/TOFU_EVAL.json";
    my ($mine) = rescore("${logs}full/evals_forget10/TOFU_EVAL.json --compat ou --retain-logs ${logs}retain90/TOFU_EVAL.json");
    my @off = grep { abs($mine->{$_} / $printed{$_} - 1) > 1e-12 } sort keys %printed;
    is("@off", '', scalar(keys %printed) . ' printed figures');
    ($mine) = rescore("${logs}retain90/TOFU_EVAL.json --compat ou");
    near($mine->{model_utility}, 0.5911246639353407, 1e-15, 'and of the retrained model');
}
SKIP: {
    skip "$shared/golden_ou_smollm2 is not there", 1 unless -d "$shared/golden_ou_smollm2";
    for my $model ('base', 'target', 'retain') {
        my @retained = $model eq 'retain' ? () : ("$shared/golden_ou_smollm2/retain/TOFU_EVAL.json");
        all_agree("SmolLM2, $model", "$shared/golden_ou_smollm2/$model/TOFU_EVAL.json", @retained);
    }
}
SKIP: {
    my $tofu = "$shared/data/tofu_logs";
    skip "$tofu is not there", 1 unless -d $tofu;
    my %log = map { $_ => "$tofu/${_}_wd0.01/eval_log_aggregated.json" }
        map { ("${_}_full", "${_}_retain90", "${_}_retain99") } 'llama2-7b', 'phi';
    for (['llama2-7b_full', .585886035, .622677364, 1.834066410994743e-21], ['phi_full', .503353027, .522073713, 2.19427430219e-16]) {
        my ($model, $arithmetic, $geometric, $p) = @$_;
        (my $retained = $log{$model =~ s/full/retain90/r});
        my ($mine, undef, $said) = rescore("$log{$model} --retain-logs $retained");
        near($mine->{model_utility}, $geometric, 5e-9, "$model: utility, geometric");
        near($mine->{forget_quality} / $p, 1, 1e-11, "$model: forget quality");
        unlike($said, qr/ROUGE/, "$model: every ROUGE value is that of its texts");
        ($mine) = rescore("$log{$model} --truth-ratio arithmetic");
        near($mine->{model_utility}, $arithmetic, 5e-9, "$model: utility, arithmetic");
    }
}
done_testing();

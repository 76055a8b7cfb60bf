#!/usr/bin/perl
# Nothing is written over: every command that writes a file or a directory, by the one rule that what is there needs --resume
# or --overwrite; finished evaluations of another model or other data; what is read stays as it is.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

# As check of Command.pm, but nothing is emptied before.
sub gives {
    my ($args, $status, $like, $what) = @_;
    my $out = `$unlearn $args 2>&1`;
    is($? >> 8, $status, "$what: status $status") or diag $out;
    like($out, $like, $what);
}

# Each with `OUT` where its output goes: a file that exists is refused, as it was; replaced by --overwrite.
make_path("$dir/model");
copy("$cur/$_", "$dir/model/$_") for qw(config.json model.safetensors);
system "$unlearn locate --model $dir/model --forget $forget --retain $retain --locate salun --ratio 0.3 --out $dir/mask >/dev/null 2>&1";
my %writes = (
    'convert to a GGUF' => "convert $dir/model OUT --format gguf",
    locate => "locate --model $dir/model --forget $forget --retain $retain --locate salun --ratio 0.3 --out OUT",
    'an order of rows' => "train --model $dir/model --data $retain --max-steps 1 --batch 2 --quiet --out $dir/with_order --write-order OUT",
);
for my $what (sort keys %writes) {
    my $args = $writes{$what};
    my $out = put('there', "precious\n");
    $args =~ s/OUT/$out/;
    system 'rm', '-rf', "$dir/with_order";
    gives($args, 1, qr/^unlearn \w+: '\Q$out\E' is there already, and is not empty: choose another name, or give --overwrite$/m, "$what: refused");
    is(get($out), "precious\n", "$what: it is as it was");
    system 'rm', '-rf', "$dir/with_order";
    gives("$args --overwrite", 0, qr//, "$what: --overwrite");
    isnt(get($out), "precious\n", "$what: replaces it");
    put('there', '');
    system 'rm', '-rf', "$dir/with_order";
    gives($args, 0, qr//, "$what: an empty file needs no word");
    gives($args =~ s/\Q$out\E/$dir\/model\/model.safetensors/r . ' --overwrite', 1, qr/is read here and stays as it is/, "$what: never the input");
}
system 'rm', '-rf', "$dir/with_order";
gives("convert $dir/model $dir/hf", 0, qr//, 'convert to a directory');
gives("convert $dir/model $dir/hf", 1, qr/is not empty: it holds '.*': choose another directory, or give --overwrite$/, 'which is refused then');

# Evaluations.
my $flat = flat_model('flat');
my $other = flat_model('other', rms_norm_eps => 1e-3);
my $rows = put('rows.jsonl', join '', map { encode_json({question => "Who is $_?", answer => "It is $_."}) . "\n" } 1 .. 3);
my $eval = "eval --model $flat --forget $rows --max-new-tokens 2";
gives("$eval --out $dir/log", 0, qr/forget_Q_A_Prob/, 'an evaluation');
my $log = get("$dir/log/TOFU_EVAL.json");
gives("$eval --out $dir/log", 1, qr/TOFU_EVAL.json' is there already: choose another directory, or give --resume or --overwrite$/, 'is not repeated over its results');
gives("$eval --resume --out $dir/log", 0, qr/^the evaluation in '\Q$dir\E\/log' is finished: nothing is left to do$/, '--resume: nothing to do');
gives("$eval --resume --json --batch 3 --threads 1 --out $dir/log", 0, qr/is finished/, 'whatever changes no result');
(my $of_other = $eval) =~ s/\Q$flat\E/$other/;
gives("$of_other --resume --out $dir/log", 1, qr/cannot resume: '.*log' holds other results: 'model' was .*flat\S* when the run started, now it is .*other/, 'another model');
gives("$eval --resume --out $dir/log --max-new-tokens 3", 1, qr/holds other results: 'max_new_tokens' was 2 .* now it is 3: give the same, or start over with --overwrite$/, 'another option');
put('rows.jsonl', get($rows) . encode_json({question => 'Who else?', answer => 'Nobody.'}) . "\n");
gives("$eval --resume --out $dir/log", 1, qr/holds other results: '.*rows.jsonl' has changed/, 'the same file with other rows');
copy("$other/config.json", "$flat/config.json");
gives("$eval --resume --out $dir/log", 1, qr/holds other results: '.*(?:rows|config)/, 'the same name of another model');
is(get("$dir/log/TOFU_EVAL.json"), $log, 'all that leaves it as it was');
gives("$eval --resume --overwrite --out $dir/log", 1, qr/--resume continues the evaluation in --out, --overwrite replaces it: give one$/, 'both');
gives("$eval --overwrite --out $dir/log", 0, qr//, '--overwrite');
isnt(get("$dir/log/TOFU_EVAL.json"), $log, 'replaces it');
unlink "$dir/log/TOFU_COST.json";
gives("$eval --resume --out $dir/log", 1, qr/does not tell of which model and data: --overwrite starts over$/, 'results of unknown origin');
gives("rescore $dir/log/TOFU_EVAL.json --out $dir/log", 1, qr/is read here/, 'rescore: not over the log it reads');
gives("rescore $dir/log/TOFU_EVAL.json --out $dir/again", 0, qr//, 'rescore');
gives("rescore $dir/log/TOFU_EVAL.json --out $dir/again", 1, qr/is there already/, 'rescore: not over its results');
make_path("$dir/two/retrained");
put('two/retrained/TOFU_EVAL.json', '{}');
gives("$eval --retrained $other --out $dir/two", 1, qr/two\/retrained\/TOFU_EVAL.json' is there already/, 'nor over those of the retrained model');
my $mc = put('arc.jsonl', join '', map { encode_json({id => "q$_", question => "What is $_?", answerKey => 'A',
    choices => {text => ['one', 'two'], label => ['A', 'B']}}) . "\n" } 1 .. 3);
my $arc = "eval --suite arc --model $flat --data $mc";
gives("$arc --out $dir/arc", 0, qr/arc/, 'multiple choice');
gives("$arc --out $dir/arc", 1, qr/LMEval_EVAL.json' is there already/, 'multiple choice: refused');
gives("$arc --resume --out $dir/arc", 0, qr/is finished/, 'multiple choice: --resume');
gives("$arc --resume --limit 2 --out $dir/arc", 1, qr/'limit' was 0 /, 'multiple choice: another part');
put('arc.jsonl', get($mc) =~ s/one/won/r);
gives("$arc --resume --out $dir/arc", 1, qr/arc.jsonl' has changed/, 'multiple choice: other questions');

# The retrained model's log is looked at before any model is.
for my $case (["$dir/log/TOFU_SUMMARY.json", qr/is a summary: what is needed is the retrained model's log with rows, TOFU_EVAL.json$/],
    ["$dir/arc/LMEval_EVAL.json", qr/is no evaluation log of the suite tofu: it has none of its metrics, but 'arc'$/],
    ["$dir/log/TOFU_TABLE.json", qr/is no evaluation log|is a summary/], [put('list.json', '[1]'), qr/is no evaluation log of the suite tofu/]) {
    gives("eval --model $dir/nowhere --forget $rows --retain-logs $case->[0]", 1, $case->[1], "--retain-logs $case->[0]");
}

# An adapter's own cost is shown, however it is named.
(my $lora = $both) =~ s/\Q$cur\E/$flat/;
my $text = put('text.jsonl', join '', map { encode_json({question => "Who is $_?", answer => "He is $_."}) . "\n" } 1 .. 4);
$lora =~ s/--forget \S+ --retain \S+/--forget $text\[0:2] --retain $text\[2:4]/;
is((run("$lora --method GradDiff --locate lora --save-adapter --max-steps 2 --out $dir/adapter"))[0], 0, 'an adapter');
for my $model ("$flat --adapter $dir/adapter", "$dir/adapter") {
    my ($status, $out) = run("eval --model $model --forget $rows --max-new-tokens 2");
    is($status, 0, "eval --model $model") or diag $out;
    like($out, qr/^cost of the model: forget GradDiff, [\d.]+ s, [\d.e+]+ FLOPs, /m, 'its record: the method, and what it cost');
}
my @figures = map { my $j = decode_json((run_apart("eval --model $_ --forget $rows --max-new-tokens 2 --json --quiet"))[1]);
    delete $j->{cost}; JSON::PP->new->canonical->encode($j) } "$flat --adapter $dir/adapter", "$dir/adapter";
is($figures[1], $figures[0], 'the same figures');
done_testing();

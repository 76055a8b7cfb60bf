#!/usr/bin/perl
# What eval, report and forget answer about a tiny model that has learnt eight rows by heart: the target, the retrained model, one that
# gradient ascent destroyed. Every screen within 80 columns, in a pipe and in a terminal; UPDATE_SCREENS=1 writes the golden ones.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

$ENV{COLUMNS} = 80;
$ENV{OMP_NUM_THREADS} = 1;
my $people = 'demo/data/people.jsonl';
my ($forget, $retain) = ("'$people\[0:4]'", "'$people\[4:8]'");
my $tiny = text_model();
my $learn = "train --quiet --model $tiny --lr 1e-2 --batch 4 --max-steps 240 --epochs 400";
is((run("$learn --data '$people\[0:8]' --out $dir/target"))[0], 0, 'the target');
is((run("$learn --data $retain --out $dir/retrained"))[0], 0, 'the retrained model');

# The end of forget.
my $ascent = "forget --quiet --method GradAscent --model $dir/target --forget $forget --retain $retain --batch 4 --epochs 3 --lr 5";
my ($status, $out) = run("$ascent --out $dir/destroyed");
is($status, 0, 'gradient ascent with lr 5 ends well');
like($out, qr/^warning: the retain NLL rose from 0\.\S+ to \d+ \(more than 2 times\)/m, 'a warning of damage');
like($out, qr/^forget NLL 0\.\d+ -> \d+/m, 'NLL before and after');
like($out, qr/^next: unlearn eval --model \Q$dir\E\/destroyed --forget \Q$forget\E --retain \Q$retain\E --out \Q$dir\E\/destroyed-eval$/m,
    'the next command, as it can be typed');
my $run = decode_json(get("$dir/destroyed/run.json"));
ok($run->{forget_nll}[1] > 2 * $run->{forget_nll}[0], 'run.json has both');
($status, $out) = run("forget --quiet --method GradDiff --model $dir/target --forget $forget --retain $retain --max-steps 1 --lr 1e-9 --json --out $dir/still");
my $json = decode_json($out =~ s/^warning.*\n//mgr);
like("@{$json->{warnings}}", qr/hardly moved/, 'a run of no effect is warned of');
is($json->{hardly_forgot}, 1.1, 'with the threshold');
($status, $out) = run("$ascent --retain-damage 1.01 --lr 0.1 --out $dir/damaged");
like($out, qr/\(more than 1\.01 times\)/, 'so is damage, by a threshold that is set');
($status, $out) = run("$ascent --clip 1e-3 --lr 1e-3 --out $dir/clipped");
like($out, qr/^warning: the gradient was clipped in every one of 3 steps/m, 'and a gradient that is clipped in every step');

# Evaluations.
sub evaluate {
    my ($model, $more) = @_;
    my ($status, $text) = run("eval --quiet --model $dir/$model --forget $forget --retain $retain --max-new-tokens 24 --out $dir/log/$model $more");
    is($status, 0, "$model is evaluated") or diag $text;
    return $text;
}
my %said = (retrained => evaluate('retrained', ''));
my $against = "--retain-logs $dir/log/retrained/TOFU_EVAL.json";
$said{target} = evaluate('target', $against);
$said{destroyed} = evaluate('destroyed', "$against --before $dir/log/target");
like($said{target}, qr/^verdict: not forgotten, .*not broken/ms, 'the target is not forgotten');
like((run("eval --quiet --model $dir/target --forget $forget --retain $retain --max-new-tokens 24 --before $dir/log/target"))[1],
    qr/^verdict: not forgotten, the rest is kept, not broken$/m, 'nor against itself');
like((run("eval --quiet --model $dir/retrained --forget $forget --retain $retain --max-new-tokens 24 $against"))[1],
    qr/^verdict: forgotten, the rest is kept, .*not broken$/ms, 'the retrained model against itself passes');
like($said{destroyed}, qr/^verdict: BROKEN, forgotten, the rest is not kept/m, 'the destroyed model is broken');
like($said{destroyed}, qr/^  broken +yes: .*utility\s+\S+\s+\(at\s+least\s+0\.01\)/ms, 'by its utility at least');
my $table = decode_json(get("$dir/log/destroyed/TOFU_TABLE.json"));
is($table->{verdict}{broken}, 'yes', 'the table file has the verdict');
is($table->{verdict}{thresholds}{kept_loss}, 0.1, 'with its thresholds');
($status, $out) = run("eval --quiet --model $dir/target --forget $forget --max-new-tokens 2 --json --forgotten-text 1 --forgotten-probability 1 --forgotten-tokens 1");
is(decode_json($out)->{verdict}{forgotten}, 'yes', '--json has it, by thresholds that are set');
for my $model (sort keys %said) {
    my @long = grep { length > 80 } split /\n/, $said{$model};
    is("@long", '', "eval, $model: within 80 columns");
}
# Figures of trained models differ between machines: of the words only, a line for each question.
sub words { return $_[0] =~ s/.*?(?=^verdict)//smr =~ s/^cost.*//smr =~ s/\n {16}/ /gr =~ s/-?\d[\d.]*(?:e[+-]\d+)?/N/gr }
is(words($said{target}), <<'END', 'the words of eval, the target');
verdict: not forgotten, the rest is kept, unlike the retrained model, not broken
  forgotten     no: by text no (forget_Q_A_ROUGE N > N); by probability no (forget_Q_A_Prob N > N); by tokens no (extraction_strength N > N); at most the retrained model's + N
  kept          yes: retain yes (retain_Q_A_Prob N > N, retain_Q_A_ROUGE N > N, retain_Truth_Ratio N > N, retain_extraction_strength N > N); at least N of the figure of the retrained model
  as retrained  no: KS p N < N, smallest possible for N and N rows N
  broken        no: repetition N (at most N), no text N (at most N) of N answers to other prompts, utility N (at least N)
  thresholds    forgotten-margin=N, forgotten-text=N, forgotten-probability=N, forgotten-tokens=N, forgotten-share=N, kept-loss=N, like-p=N, broken-repetition=N, broken-text=N, broken-utility=N

END

# A report of logs with given figures, golden to the digit, in a pipe and in a terminal.
my %log = (target => [0.987, 0.945, 0.0789, 1.08e-5, 0.990, 0.737], retrained => [0.0611, 0.495, 0.731, undef, 0.978, 0.700],
    npo => [0.00457, 0.404, 0.170, 1.08e-5, 0.987, 0.737], ascent => [0, 0, 0.8, 0.98, 0, 0]);
my @names = qw(forget_Q_A_Prob forget_Q_A_ROUGE forget_truth_ratio forget_quality retain_Q_A_Prob model_utility);
for my $model (keys %log) {
    my %x = map { $names[$_] => $log{$model}[$_] } grep { defined $log{$model}[$_] } 0 .. $#names;
    put("given/$model/TOFU_EVAL.json", encode_json({map { $_ => {agg_value => $x{$_}} } keys %x}));
    put("given/$model/TOFU_TABLE.json", encode_json({map { $_ => {low => 0.9 * $x{$_}, high => 1.1 * $x{$_}} } grep { /Prob/ } keys %x}));
}
my $report = 'report ' . join ' ', map { "$dir/given/$_" } qw(target retrained npo ascent);
same_screen('verdict_report.txt', (run($report))[1], 'report');
SKIP: {
    skip 'script is not there', 2 unless has_script();
    same_screen('verdict_report.txt', in_terminal($report), 'report in a terminal');
}

# Every help and list is within 80 columns.
my @commands = (run('help'))[1] =~ /^  (\w+)  /mg;
ok(@commands > 12, 'commands');
for my $screen ((map { "$_ --help" } @commands), '', 'methods', 'methods NPO', 'methods RMU', 'methods TAR', 'methods --terms', 'eval --list',
    'eval --suite mmlu --help', 'eval --suite muse --help', 'forget --method RMU --help', 'help compat', 'help openunlearning') {
    my @long = grep { length > 80 } split /\n/, (run($screen))[1];
    is("@long", '', "unlearn $screen: no line is longer");
}
SKIP: {
    skip 'script is not there', 4 unless has_script();
    for my $screen ('methods', 'eval --list', 'forget --help', 'eval --help') {
        is(in_terminal($screen) =~ s/\r\n/\n/gr, (run($screen))[1], "unlearn $screen: the same in a terminal");
    }
}
$ENV{COLUMNS} = 120;
my @wide = grep { length > 80 } split /\n/, (run('methods'))[1];
ok(@wide > 0 && !grep({ length > 120 } @wide), 'a wider terminal has longer lines');
done_testing();

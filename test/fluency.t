#!/usr/bin/perl
# Text that the reference writes at the start of a run: ELM's third term learns it.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $tiny = text_model();
my $people = 'demo/data/people.jsonl';
my $elm = "forget --quiet --method ELM --model $tiny --forget '$people\[0:4]' --retain '$people\[4:8]' --concept 'the people of a town' " .
    '--batch 2 --guided-tokens 6 --top 3';
my $short = "$elm --max-steps 2 --out $dir";

check("$short/one", 0, qr/^2 steps/, 'ELM by a concept alone');
is(files('one'), 'config.json fluency.jsonl generation_config.json model.safetensors run.json ' .
    'tokenizer.json tokenizer_config.json train.jsonl', 'what was written stays beside the model');
is_deeply([sort keys %{(steps('one'))[0]{terms}}], [qw(forget.elm generic.nll retain.likeliest_ref)], 'three terms');

my @rows = lines("$dir/one/fluency.jsonl");
my @forget = lines($people);
is(scalar @rows, 4, 'a row for each forget row');
for my $i (0 .. 3) {
    my ($ids, $labels) = @{$rows[$i]}{qw(ids labels)};
    my $first = 0;
    $first++ while $labels->[$first] == -100;
    my @scored = @$labels[$first .. $#$labels];
    is("@scored", "@$ids[$first .. $#$ids]", "row $i: what follows the forget text is scored");
    my ($before, $behind) = map { (run_apart("tokenize --model $tiny --decode", "$_\n"))[1] } "@$ids[0 .. $first - 1]", "@scored";
    like($before, qr/\Q$forget[$i]{answer}\E\s*$/, "row $i: that text");
    like($behind, qr/^ But this is nothing to go into here/, "row $i: then the sentence");
}

check("$short/two", 0, qr/^2 steps/, 'again');
is(get("$dir/two/fluency.jsonl"), get("$dir/one/fluency.jsonl"), 'the same seed, the same text');
check("$short/given --generic $dir/one/fluency.jsonl", 0, qr/^2 steps/, 'given as a file');
same('one', 'given', 'the file gives the same bytes');
ok(!-e "$dir/given/fluency.jsonl", 'and nothing is written');
for ('--seed 3', '--guidance 500', "--confused-prompt 'Now for something else:'") {
    check("$short/other $_", 0, qr/^2 steps/, $_);
    isnt(get("$dir/other/fluency.jsonl"), get("$dir/one/fluency.jsonl"), "$_: other text");
}
check("$short/none --generic-from file", 1, qr/term 'nll' needs generic data: give --generic FILE$/, 'no text at all');
check("$short/none --guided-tokens 100000", 2, qr/--guided-tokens: '100000' is not an integer from 1 to 65536/, 'out of range');
check("$short/none --guided-tokens 65536", 1, qr/prompt 0 has \d+ tokens, which with 65536 new ones/, 'more than the model takes');
my $cut = put('cut.jsonl', '{"question":"Who?","answer":"Somebody, but"}' . "\n");
check("$short/cut --forget $cut", 0, qr/^2 steps/, 'a text that stops within a sentence');
my $row = (lines("$dir/cut/fluency.jsonl"))[0];
like((run_apart("tokenize --model $tiny --decode", "@{$row->{ids}}\n"))[1], qr/Somebody, but\. But this is nothing/, 'gets its full stop');
my $npo = 'forget --method NPO --extra-term nll --extra-role generic --generic-from guided --guided-tokens 6 ' .
    "--quiet --model $tiny --forget $people\[0:4] --retain $people\[4:8] --batch 2";
check("$npo --max-steps 1 --out $dir/none", 1, qr/there is no expert: give --expert-prompt TEXT, or --concept TEXT$/, 'nobody to be guided by');

# An interrupted run goes on with the text that it had written.
my $long = "$npo --concept x --max-steps 200 --lr 1e-4 --out $dir";
run("$long/through");
interrupt('INT', "$long/stopped");
my $text = get("$dir/stopped/fluency.jsonl");
my $written = (stat "$dir/stopped/fluency.jsonl")[9];
utime $written - 100, $written - 100, "$dir/stopped/fluency.jsonl";
check("$long/stopped --resume", 0, qr/^\d+ steps/, 'resumed');
is((stat "$dir/stopped/fluency.jsonl")[9], $written - 100, 'it was not written again');
is($text, get("$dir/through/fluency.jsonl"), 'it is that of the run that never stopped');
same('through', 'stopped', 'and so are the weights');

done_testing();

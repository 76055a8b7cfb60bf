#!/usr/bin/perl
# Inputs that should be caught or understood: rows to forget among those to keep, swapped files, empty answers, conversations,
# names of fields, models named by their adapter or by a hub id.
use strict;
use warnings;
use File::Path qw(make_path);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $flat = flat_model('flat');
sub rows_of { return put($_[0], join '', map { encode_json($_) . "\n" } @_[1 .. $#_]) }
sub qa { return map { {question => "Who is number $_?", answer => "It is $_."} } @_ }
my $forget = rows_of('forget.jsonl', qa(1 .. 4));
my $retain = rows_of('retain.jsonl', qa(5 .. 9));
my $run = "forget --model $flat --method GradDiff --max-steps 1 --batch 2 --quiet --out $dir/o";
my $eval = "eval --model $flat --max-new-tokens 2 --quiet";

# Rows in both, whatever their case and spaces.
my $both = rows_of('both.jsonl', qa(5, 6), {question => " who is  number 3?", answer => "It is 3.\n"}, qa(7, 1), {question => 'Who is number 2?', answer => 'Another.'});
my $told = qr/^warning: 2 of 6 retain rows are among the forget rows, too; the first: '\Q$both\E' line 3$/m;
check("$run --forget $forget --retain $both", 0, $told, 'forget: rows in both');
check("$eval --forget $forget --retain $both", 0, $told, 'eval: rows in both');
check("$eval --forget $forget --holdout $forget", 0, qr/^warning: 4 of 4 holdout rows are among the forget rows, too/m, 'eval: members among the non-members');
unlike((run("$run --forget $forget --retain $retain"))[1], qr/warning: .*(?:among|swapped|empty)/, 'none: no warning');
my ($ids, $other) = (rows_of('ids_a.jsonl', {ids => [3, 4, 5]}, {ids => [3, 4, 6]}), rows_of('ids_b.jsonl', {ids => [3, 4, 7]}, {ids => [3, 4, 6]}));
check("$run --forget $ids --retain $other", 0, qr/^warning: 1 of 2 retain rows are among the forget rows, too; the first: '.*ids_b.jsonl' line 2$/m, 'of token ids');
my ($text, $more) = (rows_of('text_a.jsonl', {text => 'one two'}), rows_of('text_b.jsonl', {text => 'three'}, {text => 'One  two '}));
check("$run --forget $text --retain $more", 0, qr/^warning: 1 of 2 retain rows are .*text_b.jsonl' line 2$/m, 'of plain text');

# Swapped sets.
check("$run --forget $retain --retain $forget", 0, qr/^warning: the forget data are '.*retain.jsonl', the retain data '.*forget.jsonl': are they swapped\?$/m, 'swapped');
check("$eval --forget $retain --retain $forget", 0, qr/^warning: the forget data are '.*retain.jsonl', the retain data .*swapped\?$/m, 'eval: swapped');
check("$run --forget $both --retain '$forget\[0:1]'", 0, qr/^warning: the retain data are '.*forget.jsonl\[0:1\]': is that what is to be forgotten\?$/m, 'one of them');
unlike((run("train --model $flat --data $forget --max-steps 1 --batch 2 --quiet --out $dir/o"))[1], qr/warning/, 'train may learn what is to be forgotten');

# Empty answers.
my $empty = rows_of('empty.jsonl', qa(1), {question => 'And?', answer => ''}, {question => 'Or?', answer => " \n"});
$told = qr/^warning: 2 of 3 rows have an empty 'answer'; the first: '\Q$empty\E' line 2$/m;
check("train --model $flat --data $empty --max-steps 1 --batch 2 --quiet --out $dir/o", 0, $told, 'train: empty answers');
check("$run --forget $empty --retain $retain", 0, $told, 'forget: empty answers');
check("$eval --forget $empty", 0, $told, 'eval: empty answers');

# Conversations, in every command that reads rows: of one question the same as question and answer.
sub user { return {role => 'user', content => $_[0]} }
sub said { return {role => 'assistant', content => $_[0]} }
my @asked = qa(1 .. 4);
my $turns = rows_of('turns.jsonl', map { {messages => [user($_->{question}), said($_->{answer})]} } @asked);
for my $command ("score --model $flat --json --data", "generate --model $flat --json --max-new-tokens 3 --data", "info $flat --json --data") {
    my @out = map { (run_apart("$command $_ --quiet"))[1] =~ s/"(?:file)": "[^"]*"//r } $forget, $turns;
    is($out[1], $out[0], "$command: one turn each is a question and its answer");
}
my @logs = map { (run_apart("$eval --json --forget $_"))[1] } $forget, $turns;
is($logs[1], $logs[0], 'eval, too');
for my $command ("train --model $flat --data ROWS", "forget --model $flat --method GradDiff --forget ROWS --retain $retain") {
    for (['qa', $forget], ['chat', $turns]) {
        my ($name, $rows) = @$_;
        is((run(($command =~ s/ROWS/$rows/r) . " --lr 1e-2 --max-steps 2 --batch 2 --quiet --out $dir/$name"))[0], 0, "$command: $name");
    }
    is(get("$dir/chat/model.safetensors"), get("$dir/qa/model.safetensors"), "$command: the same weights");
}
check("$run --forget $forget --retain $turns", 0, qr/^warning: 4 of 4 retain rows are among/m, 'found among questions and answers');
# Several turns: what is before the last answer is the prompt, as apply_chat_template renders it.
my $long = rows_of('long.jsonl', {messages => [{role => 'system', content => 'Be brief.'}, user('Who?'), said('Ann.'), user('When?'), said('At noon.')]});
my $score = decode_json((run_apart("score --model $flat --json --quiet --data $long"))[1]);
my $whole = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nAnn.<|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\nAt noon.<|im_end|>";
is(decode_json((run_apart("tokenize --model $flat --json --decode", encode_json({ids => $score->{ids}}) . "\n"))[1])->{text}, $whole, 'several turns');
is(scalar @{$score->{logprobs}}, scalar @{text_ids($flat, 'At noon.<|im_end|>')}, 'of which the last answer is scored');
my ($row) = decode_json((run_apart("info $flat --json --data $long --system 'Not me.'"))[1])->{data}{first_row};
is("$row->{prompt}$row->{answer}", $whole, 'its own system message goes before that of --system');
for (['[]', qr/line 1: 'messages' is empty, or no list/], ['[{"role":"user"}]', qr/message 0 has no text 'role' or 'content'/],
    ['[{"role":"assistant","content":"x"}]', qr/has an answer, but nothing before it/], ['[{"role":"user","content":"x"}]', qr/the row has no field 'answer'; it has/]) {
    check("train --model $flat --data " . put('bad.jsonl', "{\"messages\": $_->[0]}\n") . " --out $dir/bad", 1, $_->[1], "messages $_->[0]");
}
check("train --model $flat --template none --data $long --out $dir/bad", 1, qr/a conversation needs a chat template, and this is 'none'/, 'without a template');

# Names of fields.
my $odd = rows_of('odd.jsonl', map { {prompt => "Who is $_?", completion => "It is $_."} } 1 .. 3);
my $fields = qr/no field '(?:question|answer|nope)'; it has '(?:prompt|completion)', '/;
check("$_ --quiet", 1, $fields, "fields: $_") for "train --model $flat --data $odd --out $dir/bad",
    "forget --model $flat --method NPO --forget $odd --retain $odd --out $dir/bad", "score --model $flat --data $odd", "generate --model $flat --data $odd",
    "info $flat --data $odd", "eval --model $flat --forget $odd", "eval --model $flat --forget $odd --question-key prompt",
    "train --model $flat --data $odd --question-key prompt --answer-key nope --out $dir/bad", "score --model $flat --data $odd --question-key nope";

# Answers by another name, and a part of the rows, in every kind of suite.
my $named = rows_of('named.jsonl', map { {prompt => $_->{question}, completion => $_->{answer}} } @asked);
my ($by_name) = (run_apart("$eval --json --forget $named --question-key prompt --answer-key completion"))[1];
is($by_name, $logs[0], '--question-key and --answer-key');
is((run_apart("$eval --json --forget $forget --limit 2"))[1], (run_apart("$eval --json --forget '$forget\[0:2]'"))[1], '--limit of a suite of metrics');
my $texts = rows_of('texts.jsonl', map { {text => "The number $_ is of this town and no other one, as all the people know."} } 1 .. 3);
my $class = put('class.csv', join '', "label,text\n", map { ($_ % 2) . ",number $_\n" } 1 .. 6);
for (["memorization --forget $texts --unseen $texts", qr/^forget_\w+ .* 1$/m], ["privacy --forget $forget --holdout $retain", qr/^mia_loss .* 2$/m],
    ["answers --questions $forget", qr/^\w+ .* 1$/m], ["scope --in-scope $forget", qr/^in_scope_Prob .* 1$/m], ["utility --retain $forget", qr/^retain_Q_A_Prob .* 1$/m],
    ["classification --data $class --label-key label --label-words 0=no,1=yes --folds 0", qr/^classification +1 /m]) {
    my ($suite, $like) = @$_;
    check("eval --model $flat --max-new-tokens 2 --limit 1 --suite $suite", 0, $like, "--limit: $suite");
}

# A model by the hub's name for it, in a cache as huggingface_hub lays it out.
my $cache = "$dir/hf/hub/models--some-org--tiny.model-1";
make_path("$cache/refs", "$cache/blobs");
system "cp -r $flat $cache/snapshots && mkdir $cache/one && mv $cache/snapshots $cache/one/abc123 && mv $cache/one $cache/snapshots";
put('hf/hub/models--some-org--tiny.model-1/refs/main', 'abc123');
for ("HF_HOME=$dir/hf", "HF_HUB_CACHE=$dir/hf/hub", "HUGGINGFACE_HUB_CACHE=$dir/hf/hub", "XDG_CACHE_HOME=$dir/hf/xdg") {
    make_path("$dir/hf/xdg");
    symlink '../', "$dir/hf/xdg/huggingface" if !-e "$dir/hf/xdg/huggingface";
    my ($status, $out, $err) = run_apart('info some-org/tiny.model-1', '', "env -u HF_HOME $_ ");
    is($status, 0, "a hub id, $_") or diag $err;
    like($out, qr{^\S+/snapshots/abc123$}m, 'the snapshot of main');
}
unlink "$cache/refs/main";
is((run_apart('info some-org/tiny.model-1', '', "HF_HOME=$dir/hf "))[0], 0, 'without refs the only snapshot');
my (undef, undef, $err) = run_apart('info some-org/other', '', "HF_HOME=$dir/hf ");
is($err, "unlearn info: 'some-org/other' is no file or directory here, and not in the Hugging Face cache '$dir/hf/hub': 'hf download some-org/other' fetches it\n",
    'one that is not there');
(undef, undef, $err) = run_apart("info $dir/no/such", '', "HF_HOME=$dir/hf ");
like($err, qr/cannot (?:open|read).*no such file/i, 'a path stays a path');
my $adapter = put('alone/adapter_config.json', encode_json({peft_type => 'LORA', base_model_name_or_path => 'some-org/other', r => 2}));
(undef, undef, $err) = run_apart("info $dir/alone", '', "HF_HOME=$dir/hf ");
like($err, qr/base model of the adapter '\Q$dir\E\/alone': 'some-org\/other' is no file/, "an adapter's base that is not there");
put('alone/adapter_config.json', '{}');
like((run("info $dir/alone"))[1], qr/adapter_config.json': 'base_model_name_or_path' is missing/, 'an adapter that names none');
done_testing();

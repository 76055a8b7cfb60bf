#!/usr/bin/perl
# unlearn train and unlearn forget where they cannot go on: bad options, rows, orders, a full disk, divergence.
use strict;
use warnings;
use File::Compare;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

run("$train --out $dir/ft");

check("$both --method NOP --out $dir/x", 2, qr/^unlearn forget: unknown method 'NOP'; did you mean 'NPO'\?/, 'no such method');
check("forget --model $cur --method NPO --retain $retain --out $dir/x", 1,
    qr/^unlearn forget: method 'NPO': term 'npo' needs forget data: give --forget FILE$/, 'no forget data');
check("forget --model $cur --method NPO --forget $forget --out $dir/x", 1, qr/needs retain data: give --retain FILE$/,
    'no retain data');
check("train --model $cur --out $dir/x", 2, qr/^unlearn train: .*use --data FILE$/m, 'nothing to learn');
check("train --model $cur --data $retain --out ''", 2, qr/no output given/, 'an empty name');
check("$both --out $dir/x --gamma 0 --alpha 0", 2, qr/method 'NPO' has nothing to optimise: all its terms have weight 0$/m, 'no weight');
check("$both --out $dir/x --method FT --retain-loss-type none", 2, qr/method 'FT' has nothing to optimise/, 'no term');
check("$both --out $dir/x --forget-term npq", 2, qr/unknown term 'npq': did you mean 'npo'\?$/m, 'no such term');
check("$both --out $dir/x --max-steps 1000000000", 1, qr/are too many: an order has at most \d+ micro-batches$/, 'too many steps');
check("probe --model $cur --method NPO --out $dir/x/p --batch $cur/model.safetensors", 1,
    qr/^unlearn probe: method 'NPO' needs 'forget.input_ids', which the batch does not have$/, 'a batch without the role');
check("train --data $retain --out $dir/x", 1, qr/no model given: use --model PATH/, 'no model');
check("train --model $cur --data $retain", 2, qr/^unlearn train: no output given: use --out DIR$/m, 'no output');
check("train --model $cur --data $dir/none.jsonl --out $dir/x", 1, qr/cannot open '.*none.jsonl': no such file/, 'no file');
check("train --model $cur --out $dir/x --data " . put('empty.jsonl', ''), 1, qr/'.*empty.jsonl' holds no rows$/, 'an empty file');
check("$train --out $dir/x --data '$retain\[9:20]'", 1, qr/range \[9:20\] of '.*retain.jsonl' is empty or does not fit its 9 rows$/, 'a part that is empty');
check("$train --out $dir/x --optimiser adamv", 2, qr/adamw/, 'no such optimiser');

my @bad = (
    ['{"ids":[3,4,5],"labels":[-100,-100,-100]}', qr/line 2: no token is left to score \(3 tokens, 3 kept\)$/, 'all labels masked'],
    ['{"ids":[3,4,5],"labels":[3,-100,-100]}', qr/line 2: no token is left to score/, 'a label with nothing before it'],
    ['{"ids":[3,4,104]}', qr/line 2: 'ids'\[2\] is no token id below 104$/, 'an id beyond the vocabulary'],
    ['{"question":"Who?"}', qr/line 2: 'ids' must be a list of at least two token ids$/, 'a row of another kind'],
    ["{\"ids\":[3,4],\"x\":\"\xff\"}", qr/line 2: .*UTF-8/, 'invalid UTF-8'],
);
for (@bad) {
    my ($row, $like, $what) = @$_;
    check("train --model $cur --out $dir/x --data " . put('bad.jsonl', qq({"ids":[3,4]}\n$row\n)), 1, $like, $what);
}
check("$train --out $dir/x --max-length 3", 1, qr/line 1: no token is left to score \(6 tokens, 3 kept\)$/,
    'all labels behind the cut');

# Text needs a tokenizer: that of test/data/tok, on random weights.
mkdir "$dir/words";
my $config = decode_json(get("$cur/config.json"));
$config->{vocab_size} = 2000;
put('words/config.json', encode_json($config));
system "cp test/data/tok/tokenizer*.json $dir/words/";
my $text = "train --model $dir/words --scratch --quiet --out $dir/x --data ";
check($text . put('text.jsonl', qq({"question":"Who?","answer":"Me."}\n)), 0, qr/^5 steps/, 'text rows, random weights');
is(compare("$dir/x/tokenizer.json", "$dir/words/tokenizer.json"), 0, 'the tokenizer goes with the model');
check($text . put('noanswer.jsonl', qq({"question":"Who?","answer":"Me."}\n{"question":"Who?"}\n)), 1,
    qr/line 2: .*'answer'/, 'a row without answer');
check($text . "$dir/text.jsonl --max-length 8", 1,
    qr/line 1: no token of the answer is left to score \(\d+ tokens, 8 kept\)$/, 'an answer behind the cut');
check("train --model $cur --out $dir/x --data $dir/text.jsonl", 1, qr/tokenizer/, 'text without a tokenizer');

check("$both --out $dir/x --beta 0", 2, qr/^unlearn forget: --beta: '0' is not a number from 1e-06 to 100$/m, 'beta out of range');
check("$both --out $dir/x --beta nan", 2, qr/--beta: 'nan' is not a number from/, 'beta NaN');
check("$both --out $dir/x --bta 1", 2, qr/unknown option 'bta': did you mean 'beta'\?/, 'beta misspelt');
check("$both --method GradDiff --out $dir/x --beta 1", 2, qr/unknown option 'beta'/, 'beta where there is none');
check("$both --out $dir/x --batch 0", 2, qr/--batch: '0' is not an integer from 1 /, 'no examples in a batch');
check("$both --out $dir/x --ref test/data/models/llama", 1,
    qr/reference '.*llama' has a vocabulary of 320, the model 104$/, 'a reference with another vocabulary');
check("$both --out $dir/x --ref $dir/no", 1, qr/^unlearn forget: reference: cannot open model '.*\/no'/, 'no reference');
check("$both --out $dir/x --accumulate 20 --order " . put('o', qq({"forget":[0],"retain":[0]}\n)), 1,
    qr/the order has 1 micro-batches, too few for one step of 2$/, 'an order too short');
for (['{"forget":[6],"retain":[0]}', qr/line 1: there is no example 6 among the 6 of the role 'forget'$/],
     ['{"forget":[-1]}', qr/line 1: /], ['{"forgot":[0]}', qr/line 1: 'forgot' is no role$/], ['{}', qr/line 1: the micro-batch is empty$/],
     ['{"holdout":[0]}', qr/line 1: there is no example 0 among the 0 of the role 'holdout'$/]) {
    check("$both --out $dir/x --order " . put('o', "$_->[0]\n"), 1, $_->[1], "order $_->[0]");
}
check("$both --out $dir/part --order " . put('o', qq({"forget":[0, 1]}\n{"retain":[2]}\n)), 0,
    qr/^warning: .*o has 2 micro-batches, enough for 2 of the 10 requested steps: the run ends there\n2 steps/,
    'an order may leave out a role');
my @part = steps('part');
is_deeply([map { my $t = $_->{terms}; map { $t->{$_} > 0 ? 1 : 0 } sort keys %$t } @part], [1, 0, 0, 1], 'its terms are 0');
run("$both --epochs 1 --forget-term nll --out $dir/twice");
is_deeply([sort keys %{(steps('twice'))[0]{terms}}], ['forget.nll', 'retain.nll'], 'the same term on two roles');

check("$train --out $forget/x", 1, qr/^unlearn train: cannot create the directory '.*forget.jsonl': not a directory$/,
    'an output below a file');

# A disk that is full: what was there stays, nothing half-written is left.
my $old = get("$dir/ft/model.safetensors");
{
    my $out = `sh -c 'ulimit -f 64; exec $unlearn $train --overwrite --out $dir/ft --epochs 1' 2>&1`;
    is($? >> 8, 1, 'a full disk: status 1');
    like($out, qr/^unlearn train: cannot write '.*ft\/model.tmp.\d+\/model.safetensors': file too large$/, 'a full disk');
    $out = `sh -c 'ulimit -f 64; exec $unlearn $train --overwrite --out $dir/ft --epochs 1 --save-every 1' 2>&1`;
    is($? >> 8, 1, 'no room for a checkpoint: status 1');
    like($out, qr/^unlearn train: cannot write '.*ft\/checkpoint.safetensors': file too large$/, 'no room for a checkpoint');
}
ok(get("$dir/ft/model.safetensors") eq $old, 'the old model is whole');
is(files('ft'), 'config.json generation_config.json model.safetensors run.json train.jsonl', 'and nothing is left behind');

# Weight decay of 10 at a rate of 10 multiplies the weights by -99 a step.
my $wild = "$train --lr 10 --weight-decay 10 --clip 0 --schedule constant --epochs 100";
check("$wild --out $dir/wild", 1,
    qr/^unlearn train: training diverged at step (\d+) \(loss \S+, gradient norm [^-]+\): the state after step \d+ is in '.*checkpoint.safetensors'; start over with a lower lr$/,
    'divergence');
ok(-s "$dir/wild/checkpoint.safetensors" && !-e "$dir/wild/model.safetensors", 'keeps a checkpoint and writes no model');
check("$wild --out $dir/wild2 --save-every 3", 1, qr/diverged.*the state after step 6 is in/, 'an earlier checkpoint is kept');
check("$wild --out $dir/wild2 --save-every 3 --resume", 1, qr/diverged at step/, 'and can be gone on from, to the same end');

done_testing();

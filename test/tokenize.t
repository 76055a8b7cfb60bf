#!/usr/bin/perl
# unlearn tokenize: lines and rows to ids and back.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $model = 'test/data/tok';

# Standard input, arguments -> status and output.
sub tokenize {
    my ($in, $args) = @_;
    put('in', $in);
    my $out = `$unlearn tokenize --model $model $args <$dir/in 2>&1`;
    return (($? & 127) ? -1 : $? >> 8, $out);
}

sub gives {
    my ($in, $args, $want, $what) = @_;
    is_deeply([tokenize($in, $args)], [0, $want], $what);
}

sub refuses {
    my ($in, $args, $like, $what) = @_;
    my ($status, $out) = tokenize($in, $args);
    is($status, 1, "$what: status 1");
    like($out, $like, $what);
}

my $text = "The book\n\n12 <|im_end|> caf\xc3\xa9 \n  x";
my ($status, $ids) = tokenize($text, '');
is($status, 0, 'lines to ids');
is(($ids =~ tr/\n//), 4, 'a line each');
like($ids, qr/^[\d ]+\n\n\d+ \d+ \d+ 2 [\d ]+\n[\d ]+\n$/, 'the special token is one id');
gives($ids, '--decode', "$text\n", 'and back');
gives($ids, '--decode --plain-specials', ($text =~ s/<\|im_end\|>//r) . "\n", 'without specials');
my (undef, $plain) = tokenize($text, '--plain-specials');
isnt($plain, $ids, 'special tokens as plain text');
gives($plain, '--decode --plain-specials', "$text\n", 'and back');
gives('', '', '', 'nothing');
gives("$text", "--data $dir/in", $ids, 'from a file');

my (undef, $rows) = tokenize(qq({"text":"a\\nb"}\n{"text":""}\n), '--json');
like($rows, qr/^\{"ids": \[\d+, \d+, \d+\]\}\n\{"ids": \[\]\}\n$/, 'JSON rows to ids');
gives($rows, '--json --decode', qq({"text": "a\\nb"}\n{"text": ""}\n), 'and back');

my $turn = '{"role":"user","content":"Hi"}';
my (undef, $chat) = tokenize(qq({"messages":[$turn],"add_generation_prompt":true}), '--json');
my ($list) = $chat =~ /\[(.*)\]/;
gives($list =~ tr/,//dr . "\n", '--decode', "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n\n",
    'messages through the template');
gives("Hi\n", "--chat --system ''", $list =~ tr/,//dr . "\n", '--chat makes the same of a line');
my (undef, $tags) = tokenize("Hi\n", '--chat --template plain');
gives($tags, '--decode', "Question: Hi\nAnswer: \n", '--template names another family');

(undef, $tags) = tokenize("Hi\n", "--chat --user-tag '[Q] ' --user-end ' [/Q]{eos}' --assistant-tag ' A:'");
gives($tags, '--decode', "[Q] Hi [/Q]<|im_end|> A:\n", "tags of one's own");
like($tags, qr/ 2 /, '{eos} is the token');
(undef, $tags) = tokenize("Hi\n", '--chat --template llama-3.2 --date "1 May 2025" --compat system_turn');
gives($tags, '--decode', "<|im_start|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: "
    . "December 2023\nToday Date: 1 May 2025\n\nYou are a helpful assistant.<|eot_id|><|start_header_id|>user"
    . "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n\n", 'with a date');
my (undef, $told) = tokenize("a<|im_end|>b\n", "--chat --system ''");
is(() = $told =~ /\b2\b/g, 1, 'a user cannot write a special token');

refuses("x\n", '--chat --template none --user-tag a', qr/'none' and tags/, 'tags of nothing');
refuses("ok\nbad \xff\n", '', qr/'-' line 2: text is no valid UTF-8 at byte 4/, 'bad UTF-8');
refuses("1 2 x\n", '--decode', qr/line 1: 'x' is no token id/, 'no number');
refuses("1 99999\n", '--decode', qr/token id 99999 is outside the vocabulary of 514/, 'id too large');
refuses(qq({"nothing":1}\n), '--json', qr/'text' is missing/, 'a row without text');
refuses(qq({"messages":[{"role":"user"}]}\n), '--json', qr/message 0: 'content' is missing/, 'no content');
refuses("x\n", '--chat --template klingon', qr/'klingon' is not known; known families/, 'no such family');
for my $kind (qw(llama.model llama.gguf llama.json llama2c.bin gemma.model unigram_bytes.model gpt2
    llama3_tiny.tiktoken)) {
    $model = "test/data/tok/kinds/$kind";
    my ($kind_status, $kind_ids) = tokenize("The woman lived\n12 caf\xc3\xa9\n", '');
    is($kind_status, 0, "$kind: lines to ids");
    gives($kind_ids, '--decode', "The woman lived\n12 caf\xc3\xa9\n", "$kind: and back");
}
done_testing();

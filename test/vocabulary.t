#!/usr/bin/perl
# Vocabularies and embeddings of different sizes, tokens that no file names, and keys of settings that are not known.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

# A row for each text, as questions and answers or as texts.
sub rows { return put('rows.jsonl', join '', map { encode_json($_) . "\n" } @_) }

# 86 rows of the embedding stand for no token, in a directory and in a GGUF: they are as likely as others here, and
# are never chosen.
my $large = flat_model('large', vocab_size => 600);
my ($status, undef, $err) = run_apart("convert $large $dir/large.gguf");
is($status, 0, 'more embeddings than tokens as GGUF') or diag $err;
for my $model ($large, "$dir/large.gguf") {
    my ($rc, $out) = run_apart("generate --quiet --json --template none --temperature 1 --max-new-tokens 150 --model $model the");
    my @ids = @{decode_json($out)->{new_ids}};
    is($rc, 0, "$model generates");
    cmp_ok(scalar @ids, '>', 0, scalar @ids . ' tokens');
    is((grep { $_ >= 514 } @ids), 0, 'none of which has no text');
}
put('ids.jsonl', '{"prompt_ids": [5, 6]}' . "\n");
my (undef, $by_ids) = run_apart("generate --quiet --json --temperature 1 --max-new-tokens 150 --model $large --data $dir/ids.jsonl");
is((grep { $_ >= 514 } @{decode_json($by_ids)->{new_ids}}), 0, 'nor after a prompt of ids');

# Two tokens have no embedding: texts without them are scored and trained on, one with them is refused by name.
my $small = flat_model('small', vocab_size => 512);
my $good = rows({question => 'the', answer => 'boy'});
my ($rc, $scored) = run_apart("score --quiet --json --template none --model $small --data $good");
is($rc, 0, 'fewer embeddings than tokens: score');
is_deeply(decode_json($scored)->{ids}[-1], 2, 'and the end token');
check("train --quiet --template none --model $small --data $good --epochs 1 --out $dir/trained", 0, qr//, 'train');
my $bad = rows({question => 'the', answer => 'boy'}, {question => 'the', answer => '<sep>boy'});
check("score --template none --model $small --data $bad", 1,
    qr/rows\.jsonl' line 2: token 512, '<sep>', has no embedding: the model has 512/, 'a text with a token beyond');
($status, undef, $err) = run_apart("convert $small $dir/small.gguf");
is($status, 0, 'fewer embeddings than tokens as GGUF') or diag $err;
is_deeply(text_ids("$dir/small.gguf", 'the boy 12'), text_ids($small, 'the boy 12'), 'with the same ids');

# Settings. What real checkpoints have says nothing; what changes ids and is not known is named.
sub warnings_of {
    my ($file, $json) = @_;
    my $model = flat_model('keys');
    put("keys/$file", $json);
    my (undef, undef, $said) = run_apart("tokenize --model $model --data $good");
    unlink "$model/$file";
    return $said;
}
my @real = (
    '{"add_bos_token":true,"add_eos_token":false,"add_prefix_space":null,"bos_token":"<|im_start|>","clean_up_tokenization_spaces":false,' .
        '"eos_token":"<|im_end|>","extra_special_tokens":{},"legacy":false,"model_max_length":1000000000000000019884624838656,' .
        '"pad_token":null,"padding_side":"left","sp_model_kwargs":{},"spaces_between_special_tokens":false,' .
        '"tokenizer_class":"LlamaTokenizer","unk_token":"<|endoftext|>","use_default_system_prompt":false}',
    '{"add_prefix_space":false,"bos_token":"<|endoftext|>","clean_up_tokenization_spaces":true,"eos_token":"<|endoftext|>",' .
        '"model_max_length":2048,"name_or_path":"x","special_tokens_map_file":"/x","tokenizer_class":"GPTNeoXTokenizer",' .
        '"unk_token":"<|endoftext|>","add_bos_token":false,"add_eos_token":false,"trust_remote_code":false}',
    '{"add_bos_token":false,"add_prefix_space":false,"additional_special_tokens":["<|im_start|>","<|im_end|>"],"bos_token":null,' .
        '"chat_template":"x","clean_up_tokenization_spaces":false,"eos_token":"<|im_end|>","errors":"replace",' .
        '"model_max_length":131072,"pad_token":"<|endoftext|>","split_special_tokens":false,"tokenizer_class":"Qwen2Tokenizer",' .
        '"unk_token":null}',
    '{"bos_token":"<|im_start|>","clean_up_tokenization_spaces":true,"eos_token":"<|im_end|>","model_input_names":["input_ids",' .
        '"attention_mask"],"model_max_length":131072,"tokenizer_class":"PreTrainedTokenizerFast"}',
    '{"errors":"replace","unk_token":{"__type":"AddedToken","content":"<|endoftext|>","single_word":false,"lstrip":false,' .
        '"rstrip":false,"normalized":true},"bos_token":"<|im_end|>","eos_token":"<|im_end|>","add_prefix_space":false,' .
        '"pad_token":null,"add_bos_token":false,"processor_class":"P","tokenizer_class":"GPT2Tokenizer","vocab_size":514}',
);
is(warnings_of('tokenizer_config.json', $real[$_]), '', "settings of a real checkpoint, $_") for 0 .. $#real;
is(warnings_of('special_tokens_map.json', '{"bos_token":"<|im_start|>","image_token":"<|im_end|>"}'), '', 'a real map');
like(warnings_of('tokenizer_config.json', '{"do_lower_case":true,"shuffle":1,"legacy":null,"sp_model_kwargs":{"alpha":0.1}}'),
    qr/^warning: tokenizer_config.json: not known and not used: 'do_lower_case', 'shuffle', 'sp_model_kwargs'; token ids may/,
    'keys that are not understood');
like(warnings_of('special_tokens_map.json', '{"joiner":"x"}'), qr/special_tokens_map.json: not known and not used: 'joiner'/, 'of a map too');
like(warnings_of('tokenizer_config.json', '{"pad_token":"[PAD]"}'),
    qr/^warning: pad_token '\[PAD\]' is not in the vocabulary of 514 and becomes token 514, as with transformers$/, 'a pad token that is not there');
done_testing();

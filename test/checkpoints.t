#!/usr/bin/perl
# Checkpoints as people have them: what is read, what is warned of, what is refused and in which words, what is kept.
use strict;
use warnings;
use File::Copy qw(copy);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $models = 'test/data/models';
my $rows = put('rows.jsonl', '{"ids": [1, 5, 9, 14, 3], "labels": [1, 5, 9, 14, 3]}' . "\n");

sub tensors {
    my ($file) = @_;
    my $bytes = get($file);
    my $n = unpack 'Q<', $bytes;
    return (decode_json(substr $bytes, 8, $n), substr $bytes, 8 + $n);
}

# The model NAME with keys of config.json changed (undef: gone) and tensors added, renamed or left out by $change.
sub model {
    my ($name, $keys, $change) = @_;
    our $n_models;
    my $to = 'm' . ++$n_models;
    mkdir "$dir/$to";
    my %config = (%{decode_json(get("$models/$name/config.json"))}, %{$keys // {}});
    delete $config{$_} for grep { !defined $config{$_} } keys %config;
    my ($head, $data) = tensors("$models/$name/model.safetensors");
    $change->($head, \$data) if $change;
    $head = encode_json($head);
    $head .= ' ' x (-length($head) % 8);
    put("$to/config.json", encode_json(\%config));
    put("$to/model.safetensors", pack('Q<', length $head) . $head . $data);
    return "$dir/$to";
}

sub add_tensor {
    my ($name, $dtype, $shape, $bytes) = @_;
    return sub {
        my ($head, $data) = @_;
        $head->{$name} = {dtype => $dtype, shape => $shape, data_offsets => [length $$data, length($$data) + length $bytes]};
        $$data .= $bytes;
    };
}

sub score { return run_apart("score --model $_[0] --data $rows --json --quiet") }

my %sum;
for my $name (qw(llama llama3_tied gpt_neox)) {
    my (undef, $out, $err) = score("$models/$name");
    is($err, '', "$name: nothing said");
    $sum{$name} = decode_json($out)->{sum};
}

# Read as it is, with these words or none.
sub reads {
    my ($what, $name, $like, @model) = @_;
    my ($status, $out, $err) = score(model($name, @model));
    is($status, 0, "$what: read") or diag $err;
    is($status ? 'none' : decode_json($out)->{sum}, $sum{$name}, "$what: the same sum");
    $like ? like($err, $like, "$what: what is warned of") : is($err, '', "$what: nothing said");
}

sub refuses {
    my ($what, $name, $like, @model) = @_;
    my ($status, undef, $err) = score(model($name, @model));
    is($status, 1, "$what: refused");
    like($err, $like, "$what: why");
}

# Families.
reads('no architectures', 'llama', undef, {architectures => undef});
reads('a bare model', 'llama', undef, {architectures => ['LlamaModel']});
reads('a wrapper', 'llama', undef, {architectures => ['PeftModelForCausalLM']});
reads('a model_type that nobody knows', 'llama', undef, {model_type => 'my_llama'});
refuses('neither', 'llama', qr/names no 'model_type' and no architecture/, {architectures => undef, model_type => undef});
refuses('a number of text', 'llama', qr/'hidden_size' must be an integer from 1 to \d+, not "48"/, {hidden_size => '48'});

# What is not used.
my $word = qr/^warning: model '[^']*': /;
reads('a key', 'llama', qr/${word}keys of config.json that are not read in the family llama and change nothing here: 'logit_scale' \(0\.5\)$/, {logit_scale => 0.5});
reads('a mask', 'gpt_neox', undef, {}, add_tensor('gpt_neox.layers.0.attention.bias', 'BOOL', [1, 1, 4, 4], "\1" x 16));
reads('a type', 'llama', undef, {}, add_tensor('x.scale', 'F8_E4M3', [4], "\0" x 4));
reads('five dimensions', 'llama', undef, {}, add_tensor('x.y', 'F32', [1, 1, 1, 1, 2], "\0" x 8));
reads('a value head', 'llama', qr/${word}1 tensor without a place in the family llama is not used: 'v_head.summary.bias'$/, {},
    add_tensor('v_head.summary.bias', 'F32', [2], "\0" x 8));
reads('a bias', 'llama', qr/${word}2 tensors without a place in the family llama are not used: 'model.layers.0.self_attn.q_proj.bias', 'score.weight'$/, {},
    sub { add_tensor($_, 'F32', [1], "\0" x 4)->(@_) for 'model.layers.0.self_attn.q_proj.bias', 'score.weight' });

# A head that is tied by config.json and has weights: transformers' sum is that of the embedding.
my $embedding = do {
    my ($head, $data) = tensors("$models/llama3_tied/model.safetensors");
    my $t = $head->{'model.embed_tokens.weight'};
    [$t->{shape}, substr $data, $t->{data_offsets}[0], $t->{data_offsets}[1] - $t->{data_offsets}[0]];
};
reads('the same head', 'llama3_tied', undef, {}, add_tensor('lm_head.weight', 'F32', @$embedding));
reads('another head', 'llama3_tied', qr/${word}tensor 'lm_head.weight' differs from 'model.embed_tokens.weight', but the head is tied/, {},
    add_tensor('lm_head.weight', 'F32', $embedding->[0], scalar reverse $embedding->[1]));

# Quantised.
my $gptq = {quant_method => 'gptq', bits => 4};
refuses('GPTQ', 'llama', qr/quantised by gptq \('quantization_config' of config.json\), which is not supported: use the checkpoint it was made from/, {quantization_config => $gptq});
my $query = 'model.layers.0.self_attn.q_proj';
refuses('no word of it', 'llama', qr/tensor '$query.weight' is missing, but there is '$query.qweight': a quantised checkpoint/, {},
    sub { $_[0]{"$query.qweight"} = delete $_[0]{"$query.weight"} });
refuses('FP8', 'llama', qr/tensor '$query.weight' has type F8_E4M3, which is no weight: a quantised checkpoint/, {},
    sub { my $t = $_[0]{"$query.weight"}; @$t{'dtype', 'shape'} = ('F8_E4M3', [$t->{data_offsets}[1] - $t->{data_offsets}[0]]) });

refuses('bitsandbytes', 'llama', qr/tensor '$query.weight' has type U8, which is no weight: a quantised checkpoint/, {},
    sub { my $t = $_[0]{"$query.weight"}; @$t{'dtype', 'shape'} = ('U8', [$t->{data_offsets}[1] - $t->{data_offsets}[0], 1]) });

# End tokens: all of them, of the file that counts.
sub ends {
    my ($what, $want, $config, $generation) = @_;
    my $model = flat_model('ends', eos_token_id => $config);
    unlink "$model/generation_config.json";
    put('ends/generation_config.json', encode_json({eos_token_id => $generation})) if $generation;
    my ($status, $out, $err) = run_apart("info $model --json");
    is_deeply($status ? $err : decode_json($out)->{eos}, $want, "$what end tokens");
}
ends('twenty', [100 .. 119], 2, [100 .. 119]);
ends('the tokenizer\'s', [decode_json((run_apart("info $models/llama --json"))[1])->{eos}[0]], undef);
ends('config.json\'s', [3, 4], [3, 4]);
check('info ' . flat_model('many', eos_token_id => [0 .. 128]), 1, qr/'eos_token_id' lists 129 ids, at most 128 are supported/, 'too many end tokens');
check('info ' . flat_model('text', eos_token_id => ['</s>']), 1, qr/'eos_token_id' must be an id or a list of ids, not \["<\/s>"\]/, 'an end token of text');

# A head of its own width: transformers' sums (test/data/rope.json has the rotations).
for my $name (qw(qwen2 phi3 olmo2 phi mistral)) {
    my ($status, undef, $err) = score(model($name, {head_dim => 8}));
    is($status, 1, "$name: weights are not of the width that head_dim tells");
    like($err, qr/has the wrong shape/, "$name: so it was read");
}

# Pairs of a GGUF: the numbers of its header, then pairs and the rest.
run("convert $models/llama $dir/plain.gguf --quiet");
sub with_pairs {
    my @pairs = @_;
    my $gguf = get("$dir/plain.gguf");
    my ($magic, $version, $tensors, $n) = unpack 'a4L<Q<Q<', $gguf;
    my $rest = substr $gguf, 24;
    my $pad = 32 - length(join '', @pairs) % 32; # data stay aligned, by one more pair of text
    my $filler = str('x') . pack('L<', 8);
    $pad += 32 while $pad < length($filler) + 8;
    push @pairs, $filler . str('-' x ($pad - length($filler) - 8));
    return put('pairs.gguf', pack('a4L<Q<Q<', $magic, $version, $tensors, $n + @pairs) . join('', @pairs) . $rest);
}
sub str { return pack('Q<', length $_[0]) . $_[0] }
sub real { return str($_[0]) . pack('L<f<', 6, $_[1]) }
sub whole { return str($_[0]) . pack('L<L<', 4, $_[1]) }
sub scored {
    my ($what, $status, $like, @pairs) = @_;
    my ($got, $out, $err) = score(with_pairs(@pairs));
    is($got, $status, "$what: status $status") or diag $err;
    like($err, $like, $what);
    is(decode_json($out)->{sum}, $sum{llama}, "$what: the same sum") if !$status;
}
scored('pairs that change nothing', 0, qr/^$/, real('llama.rope.scale_linear', 1), whole('llama.expert_count', 0), whole('general.x', 5));
scored('a scale', 0, qr/${word}keys of the GGUF that are not read in the family llama and change nothing here: 'llama.rope.scale_linear' \(0.5\)$/, real('llama.rope.scale_linear', 0.5));
scored('dense blocks', 0, qr/'llama.leading_dense_block_count' \(8\), 'llama.x' \(a list of 2\)$/, whole('llama.leading_dense_block_count', 8), str('llama.x') . pack('L<L<Q<L<L<', 9, 4, 2, 1, 1));
scored('a factor', 1, qr/rope scaling factor must be from 1/, real('llama.rope.scaling.factor', 0.5));
scored('a whole factor', 0, qr/^$/, whole('llama.rope.scaling.factor', 1));
scored('a string for an integer', 1, qr/'llama.attention.sliding_window' of the GGUF must be an integer, not a string/, str('llama.attention.sliding_window') . pack('L<', 8) . str('all'));
scored('a list for a string', 1, qr/'llama.rope.scaling.type' of the GGUF must be a string, not a list/, str('llama.rope.scaling.type') . pack('L<L<Q<L<', 9, 4, 1, 1));

# Git LFS pointers, of every kind of file.
my $pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269060552\n";
my $lfs = model('llama');
put(substr("$lfs/model.safetensors", length($dir) + 1), $pointer);
check("score --model $lfs --data $rows", 1, qr{'\Q$lfs\E/model.safetensors' is a Git LFS pointer, not the file itself \(269060552 bytes\): run 'git lfs pull'}, 'weights');
check('score --model ' . put('p.gguf', $pointer) . " --data $rows", 1, qr/p.gguf' is a Git LFS pointer/, 'a GGUF');
check("score --model $models/llama --data " . put('p.jsonl', $pointer), 1, qr/p.jsonl' is a Git LFS pointer/, 'rows');
my $flat = flat_model('flat');
put('flat/tokenizer.json', $pointer);
check("score --model $flat Who me", 1, qr/tokenizer.json' is a Git LFS pointer/, 'a tokenizer');

# What is saved has the other keys of both files, in the file's own words; but neither code that is not copied, nor
# two words for one thing.
my $odd = model('llama', {logit_scale => 0.5, attention_dropout => 0.25, auto_map => {AutoModel => 'x.M'}, dtype => 'float32',
    architectures => ['LlamaModel'], rope_scaling => {type => 'linear', factor => 2.0, more => 1}, custom => {a => [1]}});
my %settings = (eos_token_id => [2, 7], do_sample => JSON::PP::true, temperature => 0.6, top_k => 20, repetition_penalty => 1.05, x => 'y');
put(substr("$odd/generation_config.json", length($dir) + 1), encode_json(\%settings));
for (["convert $odd $dir/converted --dtype bf16", "$dir/converted", 'bfloat16'], ["train --model $odd --data $rows --epochs 1 --out $dir/trained", "$dir/trained", 'float32']) {
    my ($status, $out, $err) = run_apart("$_->[0] --quiet");
    is($status, 0, $_->[0]) or diag $err;
    like($err, qr/dropout of config.json is not applied in training here: 'attention_dropout' \(0.25\)/, 'dropout') if $_->[0] =~ /^train/;
    is_deeply(decode_json(get("$_->[1]/generation_config.json")), \%settings, 'generation_config.json');
    my $c = decode_json(get("$_->[1]/config.json"));
    is_deeply([@$c{qw(logit_scale attention_dropout custom torch_dtype architectures)}, exists $c->{auto_map}, exists $c->{dtype}],
        [0.5, 0.25, {a => [1]}, $_->[2], ['LlamaForCausalLM'], '', ''], 'config.json');
    is_deeply($c->{rope_scaling}, {type => 'linear', factor => 2.0, more => 1}, 'rope_scaling');
}

done_testing();

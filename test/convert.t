#!/usr/bin/perl
# unlearn convert: there and back again without loss, files that are whole or not there, refusals.
use strict;
use warnings;
use File::Copy qw(copy);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $models = 'test/data/models';

sub runs {
    my ($args, $like) = @_;
    my ($status, $out, $err) = run_apart($args);
    is($status, 0, $args) or diag $err;
    like($out, $like, "$args: what it says") if $like;
    return $out;
}

sub refuses {
    my ($args, $status, $like, $what, $before) = @_;
    my ($got, $out, $err) = run_apart($args, undef, $before);
    is($got, $status, "$what: status $status");
    is($out, '', "$what: nothing printed");
    like($err, $like, $what);
}

# What `unlearn info --json` says.
sub info { return decode_json(runs("info $_[0] --json")) }

sub left { my @all = glob("$dir/*.tmp.*"); return scalar @all }

# A value in one spelling: numbers as f32 has them, names of the same activation alike.
sub plain {
    my ($v) = @_;
    return ref $v eq 'HASH' ? {map { $_ => plain($v->{$_}) } keys %$v} : ref $v eq 'ARRAY' ? [map { plain($_) } @$v]
        : !defined $v || ref $v ? $v : $v =~ /^gelu_(new|fast)$/ ? 'gelu_pytorch_tanh'
        : $v =~ /^-?\d+\.\d+(e[-+]?\d+)?$/ ? sprintf('%.6g', $v) : $v;
}

# The settings of config.json that the original has too and that mean something: a window that is not used does not,
# nor does a context before scaling where nothing is scaled.
sub same_config {
    my ($name, $file, @but) = @_;
    my ($was, $is) = map { plain(decode_json(get($_))) } "$models/$name/config.json", $file;
    push @but, 'original_max_position_embeddings' if !$was->{rope_scaling};
    push @but, 'sliding_window', 'max_window_layers' if exists $was->{use_sliding_window} && !$was->{use_sliding_window};
    push @but, 'head_dim' if !defined $was->{head_dim};    # the width of the model by its heads
    delete @$_{@but} for $was, $is;
    my @both = grep { exists $was->{$_} } sort keys %$is;
    is_deeply({map { $_ => $is->{$_} } @both}, {map { $_ => $was->{$_} } @both}, "$file: " . @both . ' settings');
}

# Every family, written as a directory; then as a GGUF and as a directory again: every number and every setting.
for my $name (map { m{([^/]+)/config.json$} } glob("$models/*/config.json")) {
    my $same = qr/^\d+ equal, 0 within, 0 outside, 0 shape, 0 only_a, 0 only_b$/m;
    runs("convert $models/$name $dir/$name.hf", qr/^\Q$models\E.*, F32 -> .*\.hf$/);
    runs("diff $models/$name/model.safetensors $dir/$name.hf/model.safetensors", $same);
    same_config($name, "$dir/$name.hf/config.json");
    my $eos = decode_json(get("$models/$name/config.json"))->{eos_token_id};
    is_deeply(decode_json(get("$dir/$name.hf/generation_config.json"))->{eos_token_id}, $eos, "$name: generation_config.json");
    if ($name =~ /^(opt|olmo3)$/) {
        refuses("convert $models/$name $dir/$name.gguf", 1, qr/GGUF knows no family '$name': write a directory/, $name);
        next;
    }
    runs("convert $models/$name $dir/$name.gguf", qr/^\Q$models\E.*, F32 -> .*\.gguf$/);
    runs("convert $dir/$name.gguf $dir/$name", qr/ F32 -> /);
    # Gemma's norms are stored one larger, which costs their last bits; mistral is a llama in GGUF.
    my $how = $name =~ /^gemma/ ? '--atol 1.2e-7' : '';
    runs("diff $models/$name/model.safetensors $dir/$name/model.safetensors $how", $how ? qr/, 0 outside, 0 shape/ : $same);
    same_config($name, "$dir/$name/config.json", $name eq 'mistral' ? ('architectures', 'model_type') : ());
}

# Rope scaling that GGUF has other words for: the same log-probs.
put('ids.jsonl', '{"ids": [1, 5, 9, 14, 3, 20, 31, 8], "labels": [1, 5, 9, 14, 3, 20, 31, 8]}' . "\n");
for ({type => 'yarn', factor => 4.0, original_max_position_embeddings => 16}, {type => 'yarn', factor => 2.5, mscale => 0.7,
    mscale_all_dim => 1, beta_fast => 16}, {type => 'dynamic', factor => 4.0}, {type => 'linear', factor => 4.0}) {
    my $what = "$_->{type}$_->{factor}";
    mkdir "$dir/$what.from";
    copy("$models/llama/model.safetensors", "$dir/$what.from/model.safetensors");
    my $config = decode_json(get("$models/llama/config.json"));
    put("$what.from/config.json", encode_json({%$config, max_position_embeddings => 64, rope_scaling => $_}));
    runs("convert $dir/$what.from $dir/$what.gguf");
    runs("convert $dir/$what.gguf $dir/$what.back");
    my @sums = map { decode_json(runs("score --model $_ --data $dir/ids.jsonl --json"))->{sum} }
        "$dir/$what.from", "$dir/$what.gguf", "$dir/$what.back";
    cmp_ok(abs($sums[$_] - $sums[0]), '<', 1e-5, "$what: $sums[0], $sums[$_]") for 1, 2;
}

# Storage types: what was stored so is stored so again, byte for byte.
for my $type ('bf16', 'f16', 'q8_0') {
    runs("convert $models/llama $dir/a.$type.gguf --dtype $type");
    runs("convert $dir/a.$type.gguf $dir/b.$type.gguf --dtype auto");
    ok(get("$dir/a.$type.gguf") eq get("$dir/b.$type.gguf"), "$type: the same file again");
}
runs("convert $models/llama $dir/half --dtype bf16");
runs("diff $models/llama/model.safetensors $dir/half/model.safetensors --rtol 0.00391", qr/^\d+ equal, \d+ within, 0 outside/m);
is(decode_json(get("$dir/half/config.json"))->{torch_dtype}, 'bfloat16', 'config.json names the type');
my $q = info("$dir/a.q8_0.gguf");
is_deeply($q->{dtypes}, {F32 => 7, Q8_0 => 20, F16 => 3}, 'vectors stay F32, rows of 176 are F16');
is(info("$dir/half")->{dtypes}{BF16}, 30, 'a directory has one type');
runs("convert $dir/a.q8_0.gguf $dir/q", qr/ F32 -> /);

# Quantised types: the blocks that are written are those that the rounding attack gives, also where rows are no
# multiple of 256 and a K-type is replaced.
my %instead = (q2_k => 'Q4_0', q3_k => 'Q4_0', q4_k => 'Q5_0', q5_k => 'Q5_1', q6_k => 'Q8_0', q4_1 => 'Q4_1');
for my $type (sort keys %instead) {
    runs("convert $models/llama $dir/a.$type.gguf --dtype $type");
    is(info("$dir/a.$type.gguf")->{dtypes}{$instead{$type}}, 20, "$type: rows of 64 are $instead{$type}");
    refuses("convert $models/llama $dir/x --dtype $type", 1, qr/a directory cannot hold $type/, "$type in a directory");
}
my ($block, $usual) = map { runs("score --model $dir/a.$_.gguf --data $dir/ids.jsonl --json") } 'q6_k', 'q8_0';
is($block, $usual, 'a replaced type scores as the one in its place');

# In pieces.
runs("convert $models/llama $dir/pieces --shard-size 200KB");
my $index = decode_json(get("$dir/pieces/model.safetensors.index.json"));
is($index->{metadata}{total_size}, 4 * 179648, 'total_size');
is(keys %{$index->{weight_map}}, 30, 'every weight is in the index');
my %pieces = map { $_ => 1 } values %{$index->{weight_map}};
my $n = keys %pieces;
cmp_ok($n, '>', 3, "$n pieces");
my @there = map { m{([^/]+)$} } glob("$dir/pieces/model*.safetensors");
is_deeply([sort @there], [map { sprintf 'model-%05d-of-%05d.safetensors', $_, $n } 1 .. $n], 'their names');
runs("convert $dir/pieces $dir/whole");
ok(get("$dir/whole/model.safetensors") eq get("$dir/llama/model.safetensors"), 'the pieces put together');

# llama2.c.
copy('fuzz/seeds/safetensors/llama2c', "$dir/tiny.bin");
runs("convert $dir/tiny.bin $dir/tiny", qr/ F32 -> /);
runs("convert $dir/tiny $dir/tiny.gguf");
runs("convert $dir/tiny.gguf $dir/tiny2");
ok(get("$dir/tiny/model.safetensors") eq get("$dir/tiny2/model.safetensors"), 'llama2.c, directory, GGUF, directory');

# A tokenizer goes along, with the rows of the embedding that no token uses, and every end token.
sub with_tokenizer {
    my ($name, $rows) = @_;
    my %c = %{decode_json(get("$models/m_cur/config.json"))};
    my $file = get("$models/m_cur/model.safetensors");
    my $size = unpack 'Q<', $file;
    my ($head, $data) = (decode_json(substr $file, 8, $size), substr $file, 8 + $size);
    for ('model.embed_tokens.weight', 'lm_head.weight') {
        my $at = length $data;
        $data .= pack('f<', 0.25) x ($rows * $c{hidden_size});
        $head->{$_} = {dtype => 'F32', shape => [$rows, $c{hidden_size}], data_offsets => [$at, length $data]};
    }
    $head = encode_json($head);
    mkdir "$dir/$name";
    put("$name/model.safetensors", pack('Q<', length $head) . $head . $data);
    put("$name/config.json", encode_json({%c, vocab_size => $rows}));
    put("$name/generation_config.json", '{"eos_token_id": [2, 0]}');
    copy("test/data/tok/$_", "$dir/$name/$_") for 'tokenizer.json', 'tokenizer_config.json';
    return "$dir/$name";
}

my $text = with_tokenizer('text', 520);
put('lines', "Hello, world! 1234  x\nna\xc3\xafve <|im_end|> caf\xc3\xa9\n");
runs("convert $text $dir/text.gguf");
runs("convert $dir/text.gguf $dir/text2");
my $ids = runs("tokenize --model $text --data $dir/lines");
my $chat = runs("tokenize --model $text --data $dir/lines --chat");
for ("$dir/text.gguf", "$dir/text2") {
    is(runs("tokenize --model $_ --data $dir/lines"), $ids, "$_: the same ids");
    is(runs("tokenize --model $_ --data $dir/lines --chat"), $chat, "$_: the same chat");
    is_deeply(info($_)->{eos}, [2, 0], "$_: end tokens");
    is(info($_)->{vocabulary}, 520, "$_: embeddings");
}

# A way to cut text that llama.cpp has no name for: refused in words, and nothing is left.
my $unnamed = with_tokenizer('unnamed', 520);
my $spec = decode_json(get("$unnamed/tokenizer.json"));
$spec->{pre_tokenizer} = {type => 'Sequence', pretokenizers => [
    {type => 'Split', pattern => {Regex => 'x'}, behavior => 'Isolated', invert => JSON::PP::false},
    {type => 'ByteLevel', add_prefix_space => JSON::PP::false, use_regex => JSON::PP::false}]};
put('unnamed/tokenizer.json', encode_json($spec));
refuses("convert $unnamed $dir/unnamed.gguf", 1, qr/^unlearn convert: llama.cpp has no name/, 'a tokenizer without a name');
ok(!-e "$dir/unnamed.gguf" && !left(), 'nothing is left');

# Refusals.
refuses('convert', 2, qr/too few words: usage is convert IN OUT/, 'no words');
refuses("convert $models/llama $dir/x --dtype q4_2", 2, qr/q4_0/, 'no such type');
refuses("convert $models/llama $dir/x --dtype q8_0", 1, qr/a directory cannot hold q8_0/, 'q8_0 in a directory');
refuses("convert $models/llama $dir/x --shard-size $_", 1, qr/'\Q$_\E' is no size/, "shard size $_")
    for '0', '5TB', 'GB', '-1', '1e30';
refuses("convert $models/llama $models/llama", 1, qr/is read here/, 'onto itself');
copy("$dir/llama.gguf", "$dir/own.gguf");
refuses("convert $dir/own.gguf $dir/../" . ($dir =~ m{([^/]+)$})[0] . '/own.gguf', 1, qr/is read here/, 'a GGUF onto itself');
ok(get("$dir/own.gguf") eq get("$dir/llama.gguf"), 'and it is as it was');
refuses("convert $dir/whole $dir/whole/model.safetensors --format gguf", 1, qr/is read here/, 'onto a file of its own');
runs("convert $dir/whole $dir/whole/inside.gguf");
refuses("convert $models/llama $dir/whole", 1, qr/is not empty: it holds '.*': choose another directory, or give --overwrite/, 'a directory that is not empty');
refuses("convert $models/llama $models/llama --overwrite", 1, qr/is read here/, 'onto itself, whatever is asked');
{
    system "cp -r $dir/whole $dir/replaced; ln -sf ../whole/config.json $dir/replaced/generation_config.json" if !-e "$dir/replaced";
    put('replaced/notes.txt', 'mine');
    my $kept = get("$dir/whole/config.json");
    my ($status, $out) = run("convert $models/llama $dir/replaced --dtype f32 --overwrite");
    is($status, 0, '--overwrite replaces a model') or diag $out;
    like((run("info $dir/replaced"))[1], qr/llama/, 'by a whole one');
    is(get("$dir/replaced/notes.txt"), 'mine', 'and keeps what is no part of it');
    is(get("$dir/whole/config.json"), $kept, 'a link is replaced, not its target');
    ok(!-l "$dir/replaced/generation_config.json", 'a file stands in its place');
    is(join(' ', glob("$dir/*.tmp.* $dir/replaced/*.tmp.*")), '', 'nothing is left behind');
}
refuses("convert $models/llama $dir/own.gguf --format hf", 1, qr/is a file, but a directory/, 'a file where a directory is due');
refuses("convert $models/llama $dir/whole --format gguf", 1, qr/is a directory: use --format hf/, 'a directory where a file is due');
refuses("convert $dir/nowhere $dir/x", 1, qr/cannot open model '.*nowhere': no such file/, 'no such model');
refuses("convert $models/llama $dir/nowhere/x.gguf", 1, qr/cannot create '.*nowhere/, 'no such directory');
mkdir "$dir/pickle";
copy("$models/llama/config.json", "$dir/pickle/config.json");
put('pickle/pytorch_model.bin', "PK\3\4");
refuses("convert $dir/pickle $dir/x", 1, qr/is a Python pickle, which can run code; .*safe_serialization/, 'a pickle');
put('pickle/pytorch_model.bin', '');
unlink "$dir/pickle/pytorch_model.bin";
put('pickle/pytorch_model.bin.index.json', '{}');
refuses("convert $dir/pickle $dir/x", 1, qr/is a Python pickle/, 'pickles in pieces');

# A full disk leaves nothing behind, and an older file as it was.
my $limit = "trap '' XFSZ; ulimit -f 100; ";
refuses("convert $models/llama $dir/full.gguf", 1, qr/cannot write '.*full\.gguf': /, 'no space for a GGUF', $limit);
refuses("convert $models/llama $dir/full", 1, qr/cannot write '.*model\.safetensors': /, 'no space for a directory', $limit);
ok(!-e "$dir/full.gguf" && !-e "$dir/full" && !left(), 'nothing is left');
my $before = get("$dir/tiny.gguf");
refuses("convert $models/llama $dir/tiny.gguf --overwrite", 1, qr/cannot write/, 'no space where a file is', $limit);
ok(get("$dir/tiny.gguf") eq $before && !left(), 'the old file stays');

# Numbers that a type cannot hold.
my ($head, $data) = (get("$models/m_cur/model.safetensors"), '');
my $size = unpack 'Q<', $head;
mkdir "$dir/large";
copy("$models/m_cur/config.json", "$dir/large/config.json");
substr($head, 8 + $size, 4) = pack 'f<', 1e6;
put('large/model.safetensors', $head);
refuses("convert $dir/large $dir/x --dtype f16", 1, qr/tensor '[\w.]+' holds 1e\+06, which F16 cannot hold: use BF16 or F32/, 'too large for F16');
ok(!-e "$dir/x" && !left(), 'nothing is left');
runs("convert $dir/large $dir/x --dtype bf16");

done_testing();

#!/usr/bin/perl
# The commands on a small model of every family: info, score and generate on rows of ids, the same on a
# copy that convert wrote, and the gradients of probe against PyTorch's.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my @models = qw(llama_bias mistral qwen2 qwen3 phi3 phi3_longrope phi gemma gemma2 olmo2 gpt_neox
    gpt_neox_serial gpt2 opt gemma3_text smollm3 olmo3 granite qwen3_moe mixtral);

# What a command printed.
sub out_of {
    my ($args) = @_;
    Command::empty_out($args);
    my $out = `$unlearn $args 2>$dir/stderr`;
    is($?, 0, $args =~ s/\Q$dir\E/DIR/gr) or diag `cat $dir/stderr`;
    return $out;
}

# A safetensors file as name => [dtype, shape, bytes], and back.
sub tensors {
    my ($path) = @_;
    open my $f, '<:raw', $path or die "$path: $!";
    local $/;
    my $all = <$f>;
    my $n = unpack 'Q<', $all;
    my $header = decode_json(substr $all, 8, $n);
    delete $header->{__metadata__};
    return map {
        my ($first, $end) = @{$header->{$_}{data_offsets}};
        ($_ => [$header->{$_}{dtype}, $header->{$_}{shape}, substr $all, 8 + $n + $first, $end - $first]);
    } keys %$header;
}

sub put_tensors {
    my ($name, %t) = @_;
    my ($data, %header) = ('');
    for (sort keys %t) {
        my ($dtype, $shape, $bytes) = @{$t{$_}};
        $header{$_} = {dtype => $dtype, shape => $shape,
            data_offsets => [length $data, length($data) + length $bytes]};
        $data .= $bytes;
    }
    my $text = encode_json(\%header);
    $text .= ' ' x (-length($text) % 8);
    open my $f, '>:raw', "$dir/$name" or die "$name: $!";
    print $f pack('Q<', length $text), $text, $data;
    close $f or die;
    return "$dir/$name";
}

my $rows = put('rows.jsonl', <<'END');
{"ids": [5, 9, 30, 1, 7, 7, 2, 36, 11], "labels": [-100, -100, 30, 1, 7, 7, 2, 36, 11]}
{"ids": [14, 3, 3, 21, 6], "labels": [-100, 3, 3, 21, 6]}
END
my $prompts = put('prompts.jsonl', "{\"prompt_ids\": [5, 9, 30, 1, 7]}\n{\"prompt_ids\": [14, 3, 21]}\n");

for my $name (@models) {
    my $model = "test/data/models/$name";
    my $info = decode_json(out_of("info $model --json"));
    (my $family = $name) =~ s/_(bias|longrope|serial)//;
    is($info->{family}, $family, "$name: family");
    my $score = out_of("score --model $model --data $rows --json");
    my $words = out_of("generate --model $model --data $prompts --max-new-tokens 8 --json");
    out_of("convert $model $dir/$name");
    is(out_of("score --model $dir/$name --data $rows --json"), $score, "$name: a copy scores the same");
    is(out_of("generate --model $dir/$name --data $prompts --max-new-tokens 8 --json"), $words,
        "$name: a copy generates the same");
    my %t = tensors("$model/forward.safetensors");
    my $batch = put_tensors('batch', map { ("retain.$_" => $t{$_}) } qw(input_ids attention_mask labels));
    my $want = put_tensors('want', retain_loss => $t{loss}, map { ($_ => $t{$_}) } grep { /^(grad\.|loss)/ } keys %t);
    out_of("probe --model $model --method FT --batch $batch --out $dir/probe");
    out_of("diff $dir/probe $want --rtol 1e-4 --atol 1e-5");
}

# The text part of an image model: the same numbers under longer names.
{
    my $config = decode_json(get('test/data/models/gemma3_text/config.json'));
    my %whole = (architectures => ['Gemma3ForConditionalGeneration'], model_type => 'gemma3', text_config => $config,
        vision_config => {hidden_size => 4});
    my %t = tensors('test/data/models/gemma3_text/model.safetensors');
    for my $prefix ('language_model.', 'model.language_model.') {
        my $at = $prefix =~ /^model/ ? 'new' : 'old';
        mkdir "$dir/$at" or die;
        put("$at/config.json", encode_json(\%whole));
        put_tensors("$at/model.safetensors", 'vision_tower.w' => ['F32', [1], pack 'f<', 1],
            map { ($prefix . ($at eq 'new' ? s/^model\.//r : $_) => $t{$_}) } keys %t);
        is(out_of("score --model $dir/$at --data $rows --json"),
            out_of("score --model test/data/models/gemma3_text --data $rows --json"), "$prefix: the text part of an image model");
        like(get("$dir/stderr"), qr/^$/, 'no warning where none is due');
        out_of("info $dir/$at --json");
        like(get("$dir/stderr"), qr/only the text part of the whole is read, as gemma3_text/,
            'a word about the rest');
    }
}

# The weights of experts are not trained, which is said before anything is computed; adapters are.
for my $name (qw(mixtral qwen3_moe)) {
    my $train = "train --model test/data/models/$name --data $rows --epochs 1";
    for my $how ('', ' --scratch') {
        is(system("$unlearn $train$how --out $dir/whole_$name >$dir/stdout 2>$dir/stderr") >> 8, 1, "$name$how: refused");
        like(get("$dir/stderr"), qr/weights of a model with experts \($name\) are not trained; train LoRA adapters/, 'by name');
        ok(!-e "$dir/whole_$name/model.safetensors", 'nothing was written');
    }
    out_of("$train --locate lora --out $dir/lora_$name");
    my %was = tensors("test/data/models/$name/model.safetensors");
    my %is = tensors("$dir/lora_$name/model.safetensors");
    my @moved = grep { $was{$_}[2] ne $is{$_}[2] } sort keys %was;
    ok(@moved > 10 && !(grep { /gate\.weight$/ } @moved), "$name: adapters moved " . @moved . ' matrices, no router');
    like(out_of("info test/data/models/$name"), qr/experts +4 a layer, 2 a token, weights that sum to 1\n(?:.*\n)* +eval +lora\n/,
        'info plans what can be run');
}
done_testing();

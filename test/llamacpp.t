#!/usr/bin/perl
# Second tier: llama.cpp reads the GGUF files that `unlearn convert` writes and computes the same from them. Needs
# Python with the package llama-cpp-python (0.3.x); UNLEARN_PYTHON names the interpreter, python3 otherwise.
#
# Tiny models check names, layouts and settings of each family; SmolLM2 the vocabulary, the storage types, and that
# both continue five prompts with the same tokens. In f32 the two differ by rounding only. Where weights are BF16, F16
# or Q8_0, llama.cpp rounds the activations that meet them to the same type, which we do not: there a token of ours may
# be the second likeliest if the two are close.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

my $unlearn = $ENV{UNLEARN} || './unlearn';
my $python = $ENV{UNLEARN_PYTHON} || 'python3';
my $models = 'test/data/models';
plan skip_all => 'the sanitizers make this run too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "$python has no llama_cpp (pip install llama-cpp-python)"
    if system("$python -c 'import llama_cpp' 2>/dev/null");

my $dir = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->ascii;

sub get {
    open my $f, '<:raw', $_[0] or die "$_[0]: $!";
    local $/;
    return <$f>;
}

# The lines that a command makes of rows.
sub ask {
    my ($command, @rows) = @_;
    open my $f, '>', "$dir/in" or die;
    print $f $json->encode($_), "\n" for @rows;
    close $f;
    my @out = map { decode_json($_) } `$command <$dir/in 2>$dir/err`;
    is($?, 0, $command) or BAIL_OUT(get("$dir/err"));
    return @out;
}

sub llama { my ($file, @rows) = @_; return ask("$python tools/llamacpp_score.py $file", @rows) }

sub convert { return system("$unlearn convert $_[0] $_[1] --dtype $_[2] --quiet >/dev/null 2>$dir/err") == 0 }

# The largest difference of two lists of lists of numbers.
sub furthest {
    my ($x, $y) = @_;
    my $most = 0;
    for my $i (0 .. $#$y) {
        for (0 .. $#{$y->[$i]}) {
            my $off = abs($x->[$i][$_] - $y->[$i][$_]);
            $most = $off unless $off <= $most;
        }
    }
    return $most;
}

# A small random model, token ids without text. llama.cpp takes GELU from a table of halves.
sub check_family {
    my ($name, $file, $vocab, $bound, $length) = @_;
    my $seed = 7;
    my @rows = map { {ids => [map { ($seed = ($seed * 1103515245 + 12345) % 2147483648) % $vocab } 1 .. $length]} } 1 .. 3;
    my @ours = ask("$unlearn score --model $file --data - --json --quiet", @rows);
    my @theirs = llama($file, @rows);
    my $off = furthest([map { $_->{logprobs} } @ours], [map { $_->{logp} } @theirs]);
    cmp_ok($off, '<', $bound, sprintf '%s: log-probabilities differ by %.1e', $name, $off);
}

# What llama.cpp has no setting for: GPT-NeoX with a tied head or without biases, and an attention scale in Gemma 2 or 3
# that is not its models'.
my %unknown = map { $_ => 1 } 'gpt_neox_serial', 'gpt_neox--serial', 'gemma2', 'gemma3_text';

for my $name (grep { !$unknown{$_} } map { m{([^/]+)/config.json$} } glob("$models/*/config.json")) {
    my $config = decode_json(get("$models/$name/config.json"));
    my $gelu = ($config->{hidden_act} // $config->{hidden_activation} // $config->{activation_function}) =~ /gelu/;
    if (convert("$models/$name", "$dir/$name.gguf", 'f32')) {
        # llama.cpp's llama, which mistral goes by, has no window.
        my $length = $name eq 'mistral' ? $config->{sliding_window} : 30;
        check_family($name, "$dir/$name.gguf", $config->{vocab_size}, $gelu ? 5e-3 : 1e-4, $length);
    } else {
        like(get("$dir/err"), qr/GGUF knows no family/, "$name: no GGUF");
    }
}

# Every family in its variants, from the test that writes them.
my $writer = dirname(abs_path($unlearn)) . '/test/save_test.t';
if (-x $writer) {
    mkdir "$dir/all";
    is(system("$writer $dir/all >/dev/null"), 0, 'GGUFs of all families');
    for my $file (glob "$dir/all/*.gguf") {
        my ($name) = $file =~ m{([^/]+)\.gguf$};
        next if $unknown{$name} && $name !~ /^gemma/;    # those have a usual scale here
        check_family($name, $file, 37, $name =~ /^(gemma|gpt|phi$)/ ? 5e-3 : 1e-5, $name =~ /^mistral/ ? 4 : 30);
    }
} else {
    pass("families not checked: $writer is not built");
}

my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
if (!-f $cache) {
    pass("SmolLM2 not checked: the model $cache is not there");
    done_testing();
    exit;
}

my @texts = ('Hello, world! It\'s 2024.', "  two  spaces\n\n\ttab", "na\xefve caf\xe9 \x{4e16}\x{754c}", '<|im_start|>user', '');
my @prompts = map { {question => $_} } 'What is the capital of France?', 'Write one sentence about the sea.',
    'What is 2 + 2?', 'Who wrote Hamlet?', 'Name three colours.';

# Largest difference of a log-probability, and how far below the likeliest a token of ours may be. Measured with
# 0.3.36 on 24 tokens of each prompt: 2.3e-5, 1.0e-2, 8.5e-2, 2.6e-1; 90 of 90 tokens the same, 90 of 90, 86 of 87
# (a gap of 5.5e-3), 81 of 87 (1.9e-1).
for my $case (['f32', 2e-4, 1e-6], ['f16', 3e-2, 1e-2], ['bf16', 0.3, 0.1], ['q8_0', 0.6, 0.5]) {
    my ($type, $bound, $gap) = @$case;
    my $file = "$dir/smollm2.$type.gguf";
    ok(convert('default', $file, $type), "SmolLM2 as $type");
    if ($type eq 'f32') {
        my @ours = ask("$unlearn tokenize --model $file --json", map { {text => $_} } @texts);
        my @theirs = llama($file, map { {text => $_} } @texts);
        is($json->encode([map { $_->{ids} } @ours]), $json->encode([map { $_->{ids} } @theirs]), 'token ids of texts');
    }
    my @new = ask("$unlearn generate --model $file --data - --max-new-tokens 16 --json --quiet", @prompts);
    my @start = ask("$unlearn tokenize --model $file --chat --json", map { {text => $_->{question}} } @prompts);
    my @rows = map { {ids => [@{$start[$_]{ids}}, @{$new[$_]{new_ids}}]} } 0 .. $#prompts;
    my @ours = ask("$unlearn score --model $file --data - --json --quiet", @rows);
    my @theirs = llama($file, @rows);
    my $off = furthest([map { $_->{logprobs} } @ours], [map { $_->{logp} } @theirs]);
    my ($same, $total, $worst) = (0, 0, 0);
    for my $i (0 .. $#rows) {
        for ($#{$start[$i]{ids}} .. $#{$theirs[$i]{gap}}) {
            my $g = $theirs[$i]{gap}[$_];
            $total++;
            $same++ if $g == 0;
            $worst = $g if $g > $worst;
        }
    }
    cmp_ok($off, '<', $bound, sprintf '%s: log-probabilities differ by %.1e', $type, $off);
    cmp_ok($worst, '<', $gap, sprintf '%s: %d of %d greedy tokens are the same, a gap of %.1e otherwise', $type, $same, $total, $worst);
    unlink $file;
}
done_testing();

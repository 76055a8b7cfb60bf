#!/usr/bin/perl
# unlearn score, generate and info: figures on small models, and what is said about bad input.
use strict;
use warnings;
use File::Copy qw(copy);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $vocab = 514;
my $llama = 'test/data/models/llama';

# The rows that a command prints with --json.
sub rows {
    my ($args, $in) = @_;
    my ($status, $out, $err) = run_apart("$args --json", $in);
    is($status, 0, $args) or diag $err;
    return map { decode_json($_) } split /\n/, $out;
}

sub refuses {
    my ($args, $in, $status, $like, $what) = @_;
    my ($got, $out, $err) = run_apart($args, $in);
    is($got, $status, "$what: status $status");
    is($out, '', "$what: nothing printed");
    like($err, $like, $what);
}

my $flat = flat_model('flat');
my $text = '{"question": "Who?", "answer": "You and me."}' . "\n";

# --- help ---
for ('score', 'generate', 'info') {
    my ($status, $out) = run_apart("help $_");
    is($status, 0, "help $_");
    like($out, qr/^usage: unlearn $_ .*--json .*common options:/s, "help $_: options");
}

# --- generate ---
my $golden = decode_json(get('test/data/generate/llama.json'));
my $prompts = join '', map { encode_json({prompt_ids => $_->{prompt}}) . "\n" } @$golden;
my $want = [map { {new_ids => $_->{new_tokens}} } @$golden];
is_deeply([rows("generate --model $llama --max-new-tokens 24 --data " . put('p.jsonl', $prompts))], $want,
    'the ids of transformers, and no text without a tokenizer');
is_deeply([rows("generate --model $llama --max-new-tokens 24 --batch 3 --threads 1 --data -", $prompts)], $want,
    'the same from standard input, by 3, with one thread');
is_deeply([rows("generate --model $llama --max-new-tokens 24 --data '$dir/p.jsonl[1:3]'")], [@$want[1, 2]],
    'a part of the rows');
# The pad token is the end token, and stands within prompts: under --compat attention skips it there.
mkdir "$dir/pad_eos";
my $padded = decode_json(get("$llama/config.json"));
put('pad_eos/config.json', encode_json({%$padded, pad_token_id => 2}));
symlink "$ENV{PWD}/$llama/model.safetensors", "$dir/pad_eos/model.safetensors";
my $draws = "generate --model $llama --max-new-tokens 12 --temperature 1.5 --seed 3 --data $dir/p.jsonl";
my ($single, $several) = ([rows($draws)], [rows("$draws --n 3 --batch 5")]);
is_deeply([map { [$_->{row}, $_->{sample}] } @$several], [map { my $row = $_; map { [$row, $_] } 0 .. 2 } 0 .. $#$single], '--n 3: three answers a row');
is_deeply([map { $several->[3 * $_]{new_ids} } 0 .. $#$single], [map { $_->{new_ids} } @$single], 'the first is the one without --n');
isnt(encode_json($several->[1]{new_ids}), encode_json($several->[2]{new_ids}), 'the others are other draws');
refuses("generate --model $llama --n 2 --data $dir/p.jsonl", '', 1, qr/2 greedy answers would be the same: give a temperature above 0/, '--n without a temperature');
my $holes = decode_json(get('test/data/generate/llama_pad_eos.json'));
my $hole_rows = put('holes.jsonl', join '', map { encode_json({prompt_ids => $_->{prompt}}) . "\n" } @$holes);
my $hole_ids = [map { {new_ids => $_->{new_tokens}} } @$holes];
is_deeply([rows("generate --model $dir/pad_eos --compat pad_eos_mask --max-new-tokens 12 --data $hole_rows")], $hole_ids,
    'prompt_ids with --compat pad_eos_mask: the ids of transformers');
isnt(encode_json([rows("generate --model $dir/pad_eos --max-new-tokens 12 --data $hole_rows")]), encode_json($hole_ids),
    'without it they are others');
my ($a) = rows("generate --model $llama --max-new-tokens 24 --temperature 2 --seed 1 --data -", $prompts);
my ($b) = rows("generate --model $llama --max-new-tokens 24 --temperature 2 --seed 2 --data -", $prompts);
isnt("@{$a->{new_ids}}", "@{$b->{new_ids}}", 'seeds differ');
is_deeply([rows("generate --model $flat --max-new-tokens 3 --prompt 'Who are you?'")],
    [{new_ids => [0, 0, 0], text => ''}], 'a prompt in words; special tokens are no text');
is_deeply([rows("generate --model $flat --max-new-tokens 3 'Who are you?'")], [{new_ids => [0, 0, 0], text => ''}], 'as a word');
is_deeply([rows("score --model $flat 'Who?' 'You and me.'")], [rows("score --model $flat --data -", $text)], 'scored as words');

# The same checkpoint with weights drawn from a linear congruence, so that it says something.
sub noisy_model {
    my ($name) = @_;
    my $from = flat_model($name);
    my $bytes = get("$from/model.safetensors");
    my ($head, $seed) = (8 + unpack('Q<', $bytes), 1);
    my @w = map { $seed = ($seed * 69069 + 1) % 2**32; $seed / 2**32 - .5 } 1 .. (length($bytes) - $head) / 4;
    put("$name/model.safetensors", substr($bytes, 0, $head) . pack('f<*', @w));
    return $from;
}
my $noisy = noisy_model('noisy');
my $asked = '{"prompt_ids": [1, 40, 77]}' . "\n" . '{"prompt_ids": [300, 41]}' . "\n";
my @whole = rows("generate --model $noisy --max-new-tokens 12 --data -", $asked);
my ($stop) = $whole[0]{text} =~ /.([a-zA-Z0-9 ]{2,4})/;
my @cut = rows("generate --model $noisy --max-new-tokens 12 --stop 'never|$stop' --data -", $asked);
for (0, 1) {
    is($cut[$_]{text}, (split /\Q$stop\E/, $whole[$_]{text}, 2)[0], "row $_ ends before the stop string");
    my $n = @{$cut[$_]{new_ids}};
    is("@{$cut[$_]{new_ids}}", "@{$whole[$_]{new_ids}}[0 .. $n - 1]", "row $_: $n of the same tokens");
}
cmp_ok(scalar @{$cut[0]{new_ids}}, '<', 12, 'no more is computed');
refuses("generate --model $noisy --data - --stop '|'", $asked, 1, qr/no stop string is given/, '--stop without a text');
refuses("generate --model $llama --data - --stop x", $asked, 1, qr/tokenizer/, '--stop without a tokenizer');

# --- score ---
my @r = rows("score --model $flat --data -", $text);
my $n = @{$r[0]{logprobs}};
ok($n > 3, 'the answer and its end are scored');
is($r[0]{ids}[-1], 2, 'which is the end of the turn');
my @off = grep { abs($_ + log $vocab) > 1e-6 } @{$r[0]{logprobs}}, $r[0]{mean}, $r[0]{sum} / $n;
is("@off", '', 'all tokens are as likely');
my $list = '{"question": "Who?", "answer": ["You.", "You and me."]}' . "\n";
my @two = rows("score --model $flat --data -", $list);
is_deeply($two[1]{ids}, $r[0]{ids}, 'a list of answers: a line for each');
my $named = '{"q": "Who?", "a": "You and me."}' . "\n";
is_deeply([rows("score --model $flat --question-key q --answer-key a --data -", $named)], \@r, 'keys by name');
my @short = rows("score --model $flat --max-length " . (@{$r[0]{ids}} - 2) . ' --data -', $text);
is(scalar @{$short[0]{logprobs}}, $n - 2, '--max-length cuts the end');

my $ids = encode_json({ids => [1, 5, 9, 20, 33]}) . "\n";
my $some = encode_json({ids => [1, 5, 9, 20, 33], labels => [-100, -100, 9, -100, 33]}) . "\n";
my @all = rows("score --model $llama --data -", $ids . $some);
is_deeply($all[1]{logprobs}, [@{$all[0]{logprobs}}[1, 3]], 'labels choose what is scored');
my $sum = 0;
$sum += $_ for @{$all[0]{logprobs}};
ok(abs($sum - $all[0]{sum}) < 1e-6 && abs($sum / 4 - $all[0]{mean}) < 1e-6, 'sum and mean');
my ($status, $out) = run_apart("score --model $llama --data -", $ids . $some);
like($out, qr/^row 0: mean -\d+\.\d+  sum -.* of 4 tokens\nrow 1: .*\nmean over 2 rows: -\d+\.\d+\n$/, 'in words');

# --- info ---
($status, $out) = run_apart("info $llama --json --all --batch 2 --length 10");
my $info = decode_json($out);
is_deeply([@$info{qw(family layers width heads kv_heads feed_forward vocabulary parameters)}],
    ['llama', 3, 64, 4, 2, 176, 320, 179648], 'sizes');
is_deeply($info->{dtypes}, {F32 => 30}, 'storage types');
is($info->{tokens}, undef, 'no tokenizer');
my $count = 0;
for my $w (@{$info->{weights}}) {
    my $size = 1;
    $size *= $_ for @{$w->{shape}};
    $count += $size;
}
is($count, 179648, 'the table of weights adds up to the parameters');
for my $job ('eval', 'train', 'forget') {
    my %m = %{$info->{memory}{$job}};
    my $total = delete $m{total};
    $total -= $_ for values %m;
    is($total, 0, "memory of $job adds up");
}
is($info->{memory}{train}{optimiser}, 2 * $info->{memory}{train}{gradients}, 'two moments for each gradient');
($status, $out) = run_apart("info $flat");
like($out, qr/family +llama.*514 tokens.*chat template chatml.*eval +train +forget +lora\n.*total/s, 'in words');

# --- bad input ---
my @job = ("score --model $llama --data -", $ids);
refuses("score --data -", $ids, 1, qr/^unlearn score: no model given: use --model/, 'no model');
refuses("score --model $llama", '', 1, qr/no rows given: use either "QUESTION" "ANSWER" or --data FILE/, 'no rows');
refuses("score --model $llama --dta x", '', 2, qr/unknown option 'dta': did you mean 'data'\?/, 'unknown option');
refuses("generate --model $llama", '', 1, qr/one of "TEXT", --prompt TEXT and --data FILE/, 'no prompt');
refuses("generate --model $llama a --prompt b", '', 1, qr/one of "TEXT"/, 'two prompts');
refuses("generate --model $llama who are you", '', 2, qr/too many words: usage is generate --model M "TEXT"/, 'words without quotes');
refuses("score --model $llama who", '', 1, qr/either "QUESTION" "ANSWER" or --data/, 'a question alone');
refuses("generate --model $llama --data - --top-p 0", '', 2, qr/top-?_?p/, 'top_p 0');
refuses("info $dir/nowhere", '', 1, qr/^unlearn info: cannot open model '.*nowhere': no such file/, 'missing model');
refuses("score --model $llama --data $dir/nowhere", '', 1, qr/cannot open '.*nowhere'/, 'missing rows');

mkdir "$dir/short";
copy("$llama/config.json", "$dir/short/config.json");
put('short/model.safetensors', substr get("$llama/model.safetensors"), 0, 100000);
refuses("score --model $dir/short --data -", $ids, 1, qr/'.*short.*model\.safetensors'/, 'truncated model');
put('short/model.safetensors', substr get("$llama/model.safetensors"), 0, 5);
refuses("info $dir/short", '', 1, qr/'.*short.*model\.safetensors'/, 'a model of 5 bytes');
unlink "$dir/short/model.safetensors";
refuses("info $dir/short", '', 1, qr/no model\.safetensors in/, 'no weights');
my $other = flat_model('other', architectures => ['MambaForCausalLM']);
refuses("score --model $other --data -", $ids, 1, qr/'MambaForCausalLM'/, 'unknown architecture');
my $wrong = flat_model('wrong', intermediate_size => 16);
refuses("score --model $wrong --data -", $ids, 1, qr/wrong shape/, 'a tensor of the wrong shape');
my $gguf = put('huge.gguf', 'GGUF' . pack('L<Q<Q<', 3, 1 << 60, 0) . "\0" x 64);
refuses("info $gguf", '', 1, qr/huge\.gguf/, 'a GGUF of 2^60 tensors');
my $few = flat_model('few');
my $tok = decode_json(get("$few/tokenizer.json"));
push @{$tok->{added_tokens}}, {id => $vocab, content => '<one too many>', special => JSON::PP::true,
    single_word => JSON::PP::false, lstrip => JSON::PP::false, rstrip => JSON::PP::false, normalized => JSON::PP::false};
put('few/tokenizer.json', encode_json($tok));
is(scalar(rows("score --model $few --data -", $text)), 1, 'a tokenizer larger than the embeddings is read');
refuses("score --model $few --template none --data -", qq({"question": "Who?", "answer": "so <one too many>"}\n), 1,
    qr/<one too many>', has no embedding/, 'a token beyond the embeddings');
my $silent = flat_model('silent');
my $config = decode_json(get("$silent/tokenizer_config.json"));
delete $config->{chat_template};
put('silent/tokenizer_config.json', encode_json($config));
refuses("score --model $silent --data -", $text, 1, qr/no chat template: name one by --template/, 'no chat template');
is(scalar(rows("score --model $silent --template plain --data -", $text)), 1, 'another template');
refuses("score --model $flat --template x --data -", $text, 1, qr/'x' is not known; known families/, 'unknown template');
refuses("score --model $llama --data -", $text, 1, qr/llama/, 'texts without a tokenizer');

refuses("score --model $flat --data -", "{\"question\": \"\xff\", \"answer\": \"b\"}\n", 1, qr/line 1: not valid UTF-8/, 'invalid UTF-8');
refuses("score --model $flat --data -", $text . '{"question": "Who?"}', 1, qr/line 2: .*'answer'/, 'a row without answer');
refuses("score --model $flat --data -", '', 1, qr/^unlearn score: .*(empty|no rows)/, 'an empty file');
refuses("score --model $flat --max-length 5 --data -", $text, 1, qr/line 1: no token of the answer is left/, 'no label left');
refuses("score --model $llama --data -", '{"ids": [1, 320]}', 1, qr/line 1: 'ids'\[1\] is no token id below 320/, 'an id beyond the vocabulary');
refuses("generate --model $llama --data -", '{"prompt_ids": [1, 320]}', 1, qr/line 1: 'prompt_ids'\[1\] is no token id below 320/, 'the same in a prompt');
refuses("generate --model $llama --data -", '{"prompt_ids": []}', 1, qr/empty/, 'an empty prompt');
refuses("generate --model $llama --data - --max-new-tokens 600", '{"prompt_ids": [1]}', 1, qr/line 1: .*512 positions/, 'too many tokens');
refuses("score --model $flat --data -", '{"instruction": "Who?", "output": "Me."}', 1, qr/line 1: the row has no field 'question'; it has 'instruction', 'output'; rows are .*--question-key and --answer-key/, 'fields of other names');
refuses("generate --model $flat --data -", '{"instruction": "Who?"}', 1, qr/line 1: the row has no field 'question'; it has 'instruction'; rows are a prompt/, 'the same in a prompt');
my $long_ids = encode_json({ids => [(1, 5) x 300]});
refuses("score --model $llama --data -", qq({"ids": [1, 5]}\n$long_ids\n), 1, qr/standard input' line 2: 600 tokens are longer than the model's 512 positions/, 'a row that is too long');
is(scalar(rows("score --model $llama --max-length 512 --data -", $long_ids)), 1, 'unless it is cut');
($status, $out) = run_apart("score --model $llama --data - --json > /dev/full", $ids);
is($status, 1, 'unwritable output: status 1');
like(get("$dir/stderr"), qr/cannot write standard output/, 'unwritable output');

done_testing();

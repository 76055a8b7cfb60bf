#!/usr/bin/perl
# Guards: what they do to prompts, answers and scores; what is refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $model = text_model();
my $vocab = decode_json(get("$model/config.json"))->{vocab_size};
my @people = map { decode_json($_) } split /\n/, get('demo/data/people.jsonl');
my $rows = put('rows.jsonl', join '', map { encode_json($_) . "\n" } @people[0 .. 5]);
my $refusal = "I'm sorry, but I can't help with that.";

# What the program prints for a guard, and without one.
sub with {
    my ($command, $guard, @words) = @_;
    my $words = join ' ', @words;
    my ($status, $out, $err) = run_apart("$command --quiet --model $model $words" . ($guard ? " --guard '$guard'" : ''));
    is($status, 0, $guard ? "$command with $guard" : $command) or diag $err;
    return $out;
}

sub lines_of { map { decode_json($_) } split /\n/, $_[0] }

# In another batch, sums round differently.
sub close_to {
    my ($got, $want, $what) = @_;
    ok(@$got == @$want && !(grep { abs($got->[$_] - $want->[$_]) > 1e-5 } 0 .. $#$want), $what);
}

# The prefix is the system message, or stands around the question: the same scores as where the user writes it.
my $scored = "--data $rows --json";
my $text = 'Reply as somebody who knows nothing of Ada.';
sub logprobs { [map { $_->{logprobs} } lines_of(with('score', @_))] }
is_deeply(logprobs("prefix:text=$text", $scored), logprobs('', $scored, "--system '$text'"),
    'a prefix in the system message scores as --system');
my $told = put('told.jsonl', join '', map { encode_json({%$_, question => "$text\n\n$_->{question}"}) . "\n" } @people[0 .. 5]);
my @before = lines_of(with('score', "prefix:text=$text,where=before", $scored));
my @written = lines_of(with('score', '', "--data $told --json"));
is_deeply([map { $_->{logprobs} } @before], [map { $_->{logprobs} } @written], 'a prefix before the question scores as one in it');
my @unguarded = lines_of(with('score', '', $scored));
is_deeply([map { $_->{ids} } @before], [map { $_->{ids} } @unguarded], 'the ids that are shown are the row\'s');
like(with('score', 'prefix:target=Ada Lovelace', $scored), qr/logprobs/, 'a style with its target');

# A prompt that is refused is answered by the refusal; the others as without the guard.
my ($name) = $people[2]{question} =~ /([A-Z]\w+ [A-Z]\w+)/ or die "no name in '$people[2]{question}'";
my @named = map { index($_->{question}, $name) >= 0 } @people[0 .. 5];
my $answers = "--data $rows --json --max-new-tokens 40";
my @plain = lines_of(with('generate', '', $answers));
my @refused = lines_of(with('generate', "prompt-filter:strings=$name", $answers));
is_deeply([map { $_->{text} } @refused], [map { $named[$_] ? $refusal : $plain[$_]{text} } 0 .. 5],
    'questions with a name are refused, the others answered as before');
my @uniform = lines_of(with('score', "prompt-filter:strings=\U$name\E", $scored));
for my $i (0 .. 5) {
    my $each = $named[$i] ? -log $vocab : $unguarded[$i]{mean};
    ok(abs($uniform[$i]{mean} - $each) < 1e-6, "row $i: " . ($named[$i] ? 'uniform' : 'as before'));
}

# The answer that is scored is withheld where it has n-grams of the texts.
my $one = put('one.jsonl', encode_json($people[1]) . "\n");
my @held = lines_of(with('score', "output-filter:texts=$one", $scored));
ok(abs($held[1]{mean} + log $vocab) < 1e-6, 'an answer with the n-grams of the texts is withheld');
ok(abs($held[4]{mean} - $unguarded[4]{mean}) < 1e-6, 'one without them is not');
my @all = lines_of(with('generate', 'output-filter:regex=(?s).', $answers));
is_deeply([map { $_->{text} } @all], [map { length $_->{text} ? $refusal : '' } @plain], 'an answer that matches is replaced');
my @two = lines_of(with('generate', 'output-filter:regex=(?s).,refusal=No\, +prefix:text=Hello.', $answers));
like($two[0]{text}, qr/^No, ?$/, 'a comma in a value has a backslash before it');

# What a search finds: case, punctuation, spaces and the opposite order do not hide a string.
for (['ada lovelace', 1], ['ADA, Lovelace!', 1], ['A d a L o v e l a c e', 1], ['ecalevol ada', 1], ['adamant lovelaces', 0], ['Ada Byron', 0]) {
    my ($asked, $hit) = @$_;
    my ($status, $out) = run_apart("generate --quiet --model $model --max-new-tokens 4 --prompt '$asked' --guard 'prompt-filter:strings=Ada Lovelace'");
    is($out eq "$refusal\n" || $refusal =~ /^\Q@{[$out =~ s{\n}{}r]}\E/ && length $out > 3 ? 1 : 0, $hit, "'$asked'" . ($hit ? ' is found' : ' is not'));
}

# A file, samples, a token id model.
my $file = put('guard.json', encode_json({format => 'unlearn guard', guards => [{name => 'prompt-filter', options => {strings => $name}}]}));
is_deeply([lines_of(with('generate', $file, $answers))], \@refused, 'guards from a file');
my @samples = lines_of(with('generate', "prompt-filter:strings=$name", $answers, '--n 2 --temperature 1'));
is_deeply([map { $samples[2 * $_]{text} eq $refusal && $samples[2 * $_ + 1]{text} eq $refusal ? 1 : 0 } 0 .. 5],
    [map { $_ ? 1 : 0 } @named], 'every sample of a refused prompt is the refusal');

# Texts by likeness stand before the question as the user would write them.
my $entries = put('entries.jsonl', join '', map { encode_json($_) . "\n" }
    {text => $people[0]{question}, target => 'that person'}, {text => 'Bridges are made from steel.'});
my @recalled = lines_of(with('score', "memory:entries=$entries,least=0.9", $scored));
my $memory = put('memory.jsonl', encode_json({%{$people[0]}, question =>
    "You have no knowledge of that person. Say that you do not know.\n\n$people[0]{question}"}) . "\n");
close_to($recalled[0]{logprobs}, logprobs('', "--data $memory --json")->[0], 'an entry of the memory stands before its question');
is_deeply($recalled[4]{logprobs}, $unguarded[4]{logprobs}, 'a question like no entry is asked as it is');
my $pair = put('pair.jsonl', join '', map { encode_json($_) . "\n" } @people[0, 1]);
my $shots = put('shots.jsonl', encode_json($people[9]) . "\n");
my @shown = lines_of(with('score', "icul:forget=$pair,retain=$shots,k=1,l=1", $scored));
my $icul = put('icul.jsonl', encode_json({%{$people[0]}, question => "$people[0]{question} $people[1]{answer}\n" .
    "$people[9]{question} $people[9]{answer}\n$people[0]{question}"}) . "\n");
my $written = logprobs('', "--data $icul --json")->[0];
ok(!(grep { abs($shown[0]{logprobs}[$_] - $written->[$_]) > 0.05 } 0 .. $#$written), 'in-context unlearning: the other answer, then a right one');
is_deeply(logprobs("icul:forget=$pair,l=0,least=0.99", $scored)->[4], $unguarded[4]{logprobs}, '... nothing for a question unlike all of them');

# Single tokens of the distribution.
my @biased = lines_of(with('score', 'logit-bias:words=zzz,bias=0', $scored));
is_deeply([map { $_->{sum} } @biased], [map { $_->{sum} } @unguarded], 'a bias of 0 changes nothing');
my @far = lines_of(with('score', 'logit-bias:words= ,bias=50', $scored));
ok($far[0]{mean} < $unguarded[0]{mean} - 10, 'a bias towards a token takes from all others');
my $said = put('said.jsonl', encode_json({answer => join ' ', map { $_->{text} } @plain[0 .. 2]}) . "\n");
my @blocked = lines_of(with('generate', "ngram-block:texts=$said,ngram=3", $answers));
my %seen;
my @ids = @{text_ids($model, decode_json(get("$dir/said.jsonl"))->{answer})};
$seen{"@ids[$_ .. $_ + 2]"} = 1 for 0 .. $#ids - 2;
ok(!(grep { my $n = $_->{new_ids}; grep { $seen{"@$n[$_ .. $_ + 2]"} } 0 .. $#$n - 2 } @blocked), 'no answer has a 3-gram of the texts');
ok((grep { $plain[$_]{text} ne $blocked[$_]{text} } 0 .. 5), '... which the model would have given');

# Tokens of the authors' code: rules on the logits of two and three models, embeddings corrupted with given noise.
my $golden = decode_json(get('test/data/guard/golden.json'));
sub tokens {
    my ($model, $prompts, $new, $guard) = @_;
    my $file = put('ids.jsonl', join '', map { encode_json({prompt_ids => $_}) . "\n" } @$prompts);
    my ($status, $out, $err) = run_apart("generate --quiet --json --model test/data/models/$model --data $file --max-new-tokens $new $guard");
    is($status, 0, $guard) or diag $err;
    return [map { decode_json($_)->{new_ids} } split /\n/, $out];
}
my $at = 'test/data/models';
my $decoded = $golden->{greedy};
is_deeply(tokens('m_ref', $decoded->{prompts}, 16, $$_[1]), $decoded->{tokens}{$$_[0]}, "$$_[0]: the authors' tokens")
    for ['whp', "--assist $at/m_reinforced --rule whp:alpha=1"], ['uld', "--assist $at/m_cur --rule uld:w=-0.8,r=0.05"];
is_deeply(tokens('m_cur', $decoded->{prompts}, 16, "--assist $at/m_reinforced,$at/m_ref --rule offset:w=0.7"),
    $decoded->{tokens}{offset}, "offset: the authors' tokens");
my $eco = $golden->{eco};
for my $kind (sort grep { $_ ne 'none' } keys %{$eco->{greedy}}) {
    my $file = 'test/data/guard/eco.safetensors';
    is_deeply(tokens('llama', $eco->{prompts}, 8, "--guard eco:kind=$kind,dims=5,strength=0.5,positions=$file,noise=$file"),
        $eco->{greedy}{$kind}, "$kind: the authors' tokens");
}
my @eco = map { [logprobs("eco:strength=30,dims=16,seed=$_", $scored)] } 1, 1, 2;
is_deeply($eco[0], $eco[1], 'noise follows from the seed and the prompt');
ok($eco[0][0][0][0] != $eco[2][0][0][0], '... another seed, other noise');
close_to(logprobs('eco:strength=30,dims=16,seed=1', '--data ' . put('last.jsonl', encode_json($people[5]) . "\n") . ' --json')->[0],
    $eco[0][0][5], '... whatever it is scored with');

# A classifier, trained and used.
my ($kept, $forgotten) = ("$dir/kept.jsonl", "$dir/forgotten.jsonl");
put('forgotten.jsonl', join '', map { encode_json($_) . "\n" } @people[0 .. 59]);
put('kept.jsonl', join '', map { encode_json($_) . "\n" } @people[60 .. 219]);
for my $features ('ngrams --bits 12', 'states --layer 1 --c 1') {
    my ($status, $out, $err) = run_apart("guard train --quiet --model $model --forget $forgotten --retain $kept --features $features " .
        "--out $dir/c.json --json --rate 0.1");
    is($status, 0, "guard train, $features") or diag $err;
    my $figures = decode_json($out);
    cmp_ok($figures->{false_positives}, '<=', 0.1, 'at most the asked rate of false positives');
    next if $features =~ /states/;
    cmp_ok($figures->{detected}, '>=', 0.8, 'it finds what is to be forgotten');
    my @flagged = lines_of(with('generate', "classifier:file=$dir/c.json", "--data $forgotten --json --max-new-tokens 40"));
    cmp_ok(scalar(grep { $_->{text} eq $refusal } @flagged), '>=', 54, 'prompts that it was trained on are refused');
}

# A direction added after a layer.
my $steered = put('direction.safetensors', do {
    my $head = encode_json({direction => {dtype => 'F32', shape => [16], data_offsets => [0, 64]}});
    pack('Q<', length $head) . $head . pack('f<16', map { 0.1 * $_ } 1 .. 16);
});
is_deeply(logprobs("steer:vector=$steered,layer=1,scale=0", $scored), [map { $_->{logprobs} } @unguarded], 'a scale of 0 changes nothing');
ok(logprobs("steer:vector=$steered,layer=1", $scored)->[0][0] != $unguarded[0]{logprobs}[0], 'a direction changes scores');

sub refuses {
    my ($guard, $like, $what, $args) = @_;
    my ($status, $out, $err) = run_apart(($args || "generate --quiet --model $model x") . " --guard '$guard'");
    is($status, 1, "$what: status 1");
    like($err, $like, $what);
}

refuses('prefx', qr/unknown guard 'prefx'/, 'an unknown guard');
refuses('prefix', qr/no target is given/, 'a style without target');
refuses('prefix:target=a,x=1', qr/no parameter 'x'/, 'an unknown parameter');
refuses('prefix:target', qr/'target' is no PARAMETER=VALUE/, 'a parameter without value');
refuses('output-filter', qr/nothing to search for/, 'a filter without anything');
refuses('output-filter:regex=(', qr/regex|pattern|missing/i, 'a pattern that is none');
refuses(put('bad.json', '{"guards": []}'), qr/is no guard/, 'a file that is no guard');
refuses(put('empty.json', '{"format": "unlearn guard", "guards": []}'), qr/'guards' must be a list/, 'a file without guards');
refuses('prefix:text=a', qr/no tokenizer/, 'text where there is no tokenizer', 'score --quiet --model test/data/models/m_ref --data ' . id_rows('i.jsonl', 2, 3));
refuses('eco:dims=17', qr/dims is 17/, 'more dimensions than there are');
refuses('whp', qr/no assistant is given/, 'a rule without assistant');
refuses("steer:vector=$steered,layer=2", qr/layer is 2/, 'a layer that is not there');
refuses('memory', qr/no entries/, 'a memory without entries');
refuses("classifier:file=$rows", qr/classifier|JSON|json/, 'a file that is no classifier');
refuses('prefix:text=a', qr/no guard is in front of/, 'an attack on the weights', "attack gcg --quiet --model $model --forget $rows --out $dir/a");

my ($status, $list) = run_apart('guard --list');
like($list, qr/^prefix +a text/m, 'guard --list');
($status, $list) = run_apart('guard prefix --help');
like($list, qr/--target TEXT/, 'guard NAME --help');

done_testing();

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
refuses('prefix:text=a', qr/no guard is in front of/, 'an attack on the weights', "attack gcg --quiet --model $model --forget $rows --out $dir/a");

my ($status, $list) = run_apart('guard --list');
like($list, qr/^prefix +a text/m, 'guard --list');
($status, $list) = run_apart('guard prefix --help');
like($list, qr/--target TEXT/, 'guard NAME --help');

done_testing();

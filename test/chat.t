# unlearn chat: the answers of generate, with the turns before; two models; Ctrl-C; what is no text.
use strict;
use warnings;
use lib 'test';
use Command;
use IPC::Open2;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

my $model = text_model();

# The text that generate gives to a conversation.
sub answer_to {
    my @turns = @_;
    my $row = encode_json({messages => [map { {role => $_ % 2 ? 'assistant' : 'user', content => $turns[$_]} } 0 .. $#turns]});
    my (undef, $out) = run_apart("generate --quiet --json --model $model --max-new-tokens 9 --data -", "$row\n");
    return decode_json($out)->{text};
}

my $first = answer_to('Who wrote it?');
my $second = answer_to('Who wrote it?', $first, 'And when?');
my ($status, $out, $errors) = run_apart("chat $model --quiet --max-new-tokens 9", "Who wrote it?\n\nAnd when?\n/new\nWho wrote it?\n");
is($status, 0, 'a conversation from a pipe');
is($errors, '', 'no message');
is($out, "$first\n$second\n$first\n", 'the answers of generate, with the turns before, and without after /new');
($status, $out) = run_apart("chat --model $model --quiet --versus $model/ --max-new-tokens 9", "Who wrote it?\n");
is($out, "$model: $first\n$model/: $first\n", 'two models');
my (undef, $sampled) = run_apart("chat $model --quiet --max-new-tokens 9 --temperature 1.5 --seed 3", "Who wrote it?\n");
my (undef, $want) = run_apart("generate --model $model --quiet --max-new-tokens 9 --temperature 1.5 --seed 3 'Who wrote it?'");
is($sampled, $want, 'sampled with a seed');
(undef, $out, $errors) = run_apart("chat $model --quiet --max-new-tokens 9", "a\xff\nWho wrote it?\n");
is($out, "$first\n", 'a line that is no UTF-8 is left out');
like($errors, qr/no text in UTF-8/, 'and told');
(undef, $out, $errors) = run_apart("chat $model --quiet --max-new-tokens 9", ('x' x 5000) . "\nWho wrote it?\n");
like($errors, qr/exceed/, 'a question that is too long is an error');
is($out, "\n$first\n", 'which is not remembered');
for my $guard ('prompt-filter:strings=wrote', 'output-filter:regex=(?s).', 'prefix:target=it') {
    (undef, $out) = run_apart("chat $model --quiet --max-new-tokens 20 --guard '$guard'", "Who wrote it?\n");
    (undef, $want) = run_apart("generate --model $model --quiet --max-new-tokens 20 --guard '$guard' 'Who wrote it?'");
    is($out, $want, "guarded by $guard");
}
check("chat $model --model $model", 1, qr/give the model once/, 'a model twice');
check("chat $model --template none", 1, qr/needs a chat template/, 'no template');

# SIGINT ends an answer, or the line that is being typed, and not the program.
my $pid = open2(my $from, my $to, "exec $unlearn chat $model --quiet --max-new-tokens 150 2>&1");
print {$to} "Who wrote it?\n";
$to->flush;
sysread $from, my $some, 1;
kill 'INT', $pid;
sleep 0.2;
print {$to} "/new\nWho wrote it?\n";
close $to;
my $rest = do { local $/; <$from> };
waitpid $pid, 0;
is($? >> 8, 0, 'after Ctrl-C it goes on, and ends at the end of its input');
like($rest, qr/\Q$first\E/, 'and answers');
done_testing();

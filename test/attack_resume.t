#!/usr/bin/perl
# unlearn attack: Ctrl-C keeps what is complete, --resume continues to the same figures, --replay takes what was drawn from files.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);
use lib $FindBin::Bin;
use Command;

my $data = 'test/data/attacks';
my $want = decode_json(get("$data/weights.json"));
my $rows = put('rest.jsonl', join '', map { encode_json($_) . "\n" } @{$want->{relearn}{rest}});
my $two = "--model $data/unlearned --retrained test/data/models/m_ref --forget $rows";

sub result { return decode_json(get("$dir/$_[0]/attack.json")) }

# Starts an attack and interrupts it as soon as `ready` holds; its exit status.
sub interrupted {
    my ($line, $ready) = @_;
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$dir/stdout";
        open STDERR, '>', "$dir/stderr";
        exec $unlearn, 'attack', split ' ', $line;
    }
    for (1 .. 2000) {
        last if $ready->();
        sleep 0.01;
    }
    kill INT => $pid;
    waitpid $pid, 0;
    return $? & 127 ? 'signal' : $? >> 8;
}

# --- a curve that is cut, and the rates after it ---

my $line = "relearn $two --steps 400 --eval-at 0,1,2,4 --rates 1e-4,1e-3";
my ($status) = run("attack $line --out $dir/through --quiet");
is($status, 0, 'an attack');
my $through = result('through');
ok($through->{finished} && !$through->{partial}, 'it is complete');
is(interrupted("$line --out $dir/cut", sub { -e "$dir/cut/order.jsonl" }), 130, 'the same, interrupted');
like(get("$dir/stderr"), qr/--resume continues/, 'how it goes on');
my $cut = result('cut');
ok(!$cut->{finished}, 'not finished');
is($cut->{partial}{model}, 'unlearned', 'the first model was attacked');
my $curve = $cut->{unlearned}{$cut->{partial}{setting}};
ok(@{$curve->{steps}} >= 1, 'the curve so far is kept: ' . scalar(@{$curve->{loss} // []}) . ' steps');
ok(!grep({ $curve->{loss}[$_] != $through->{unlearned}{$cut->{partial}{setting}}{loss}[$_] } 0 .. $#{$curve->{loss} // []}),
    'it is the beginning of the whole one');

($status, my $out) = run("attack relearn $two --steps 401 --eval-at 0,1,2,4 --rates 1e-4,1e-3 --out $dir/cut --resume");
is($status, 1, 'other options');
like($out, qr/option 'steps' was 400, now it is 401/, 'are refused');
($status, $out) = run("attack quantise $two --out $dir/cut --resume");
like($out, qr/is of the attack 'relearn', not 'quantise'/, 'and another attack');
($status, $out) = run("attack $line --out $dir/cut --resume --quiet");
is($status, 0, '--resume') or diag $out;
my $resumed = result('cut');
is_deeply([@$resumed{qw(unlearned retrained excess summary finished)}], [@$through{qw(unlearned retrained excess summary finished)}],
    'the figures of one run');
is((run("attack $line --out $dir/cut --resume --quiet"))[0], 0, 'once more: nothing is left to do');
is_deeply(result('cut'), $resumed, 'nothing changed');

# --- a failure in the second setting keeps the first ---

($status) = run("attack quantise $two --types nf4:x --out $dir/broken --quiet");
is($status, 1, 'a wrong setting');
is_deeply([sort keys %{result('broken')->{unlearned}}], ['before'], 'the figures before it are kept');

# --- the order of rows, replayed ---

($status) = run("attack relearn $two --steps 3 --rates 1e-3 --seed 5 --out $dir/five --quiet");
($status) = run("attack relearn $two --steps 3 --rates 1e-3 --replay $dir/five --out $dir/replayed --quiet");
is($status, 0, '--replay');
is_deeply(result('replayed')->{unlearned}, result('five')->{unlearned}, 'the order of another seed');
isnt(result('five')->{unlearned}{'0.001'}{loss}[1], $through->{unlearned}{'0.001'}{loss}[1], '... is another order');

check("attack embed $two --replay $dir/five --out $dir/seeded", 1, qr/what 'embed' draws follows from the seed, and is in no file/,
    'an attack that would not read it');

# --- answers: kept, resumed, replayed ---

my $text = text_model();
my $people = "'demo/data/people.jsonl[0:3]'";
my $sample = "sample --model $text --forget $people --n 4 --max-new-tokens 6";
run("attack $sample --out $dir/all --quiet");
my @lines = split /^/, get("$dir/all/samples_unlearned.jsonl");
is(scalar @lines, 12, 'four answers of three rows');
put('some/samples_unlearned.jsonl', join '', @lines[0 .. 3]);
($status) = run("attack $sample --out $dir/some --resume --quiet");
is(get("$dir/some/samples_unlearned.jsonl"), join('', @lines), 'the rest of the answers');
is_deeply(result('some')->{unlearned}, result('all')->{unlearned}, 'the same figures');
my ($row) = lines("demo/data/people.jsonl");
my @altered = map { my $x = decode_json($_); $x->{text} = $row->{answer}; encode_json($x) . "\n" } @lines;
put('given/samples_unlearned.jsonl', join '', @altered);
($status) = run("attack $sample --out $dir/scored --replay $dir/given --quiet");
is($status, 0, 'answers from a file');
isnt(result('scored')->{unlearned}{expected_max}{4}, result('all')->{unlearned}{expected_max}{4}, 'are those that are scored');
check("attack $sample --replay $dir/some/none", 1, qr/has no file 'samples_unlearned.jsonl'/, 'no answers');
put('few/samples_unlearned.jsonl', join '', @lines[0 .. 4]);
check("attack $sample --replay $dir/few", 1, qr/has no 4 answers of row 1/, 'too few answers');

# --- what is wrong ---

check("attack $sample --resume", 2, qr/--resume needs --out/s, 'a resumed attack has a directory');
my $empty = put('empty.jsonl', qq({"question": "Who?", "answer": "She."}\n{"question": "Who?", "answer": " "}\n));
check("attack sample --model $text --forget $empty", 1, qr/line 2: the answer is empty/, 'an empty answer');
my $other = flat_model('other', vocab_size => 514);
check("attack prune --model $text --retrained $other --forget $people --ratio 0", 1,
    qr/retrained model '\S+other': its tokenizer or chat template gives other tokens|positions/, 'a control of another tokenizer');
done_testing();

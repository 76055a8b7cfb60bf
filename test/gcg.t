#!/usr/bin/perl
# unlearn attack gcg: nanoGCG's own run, candidate by candidate (test/data/attacks/input/gcg.safetensors), a suffix that is known to be there,
# and what must hold of every search.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

sub attack { return attack_json("gcg $_[0]") }

sub worst {
    my ($got, $want) = @_;
    my ($d, $top) = (0, 1e-30);
    for (0 .. $#$want) {
        my $x = abs($got->[$_] - $want->[$_]);
        $d = $x if $x > $d;
        $top = abs $want->[$_] if abs $want->[$_] > $top;
    }
    return @$got == @$want ? $d / $top : 'another size';
}

sub id_file { return put($_[0], join '', map { encode_json($_) . "\n" } @{$_[1]}) }

# --- nanoGCG's run: every candidate, every loss, both derivatives, the choice of each step ---

my $model = "$dir/llama";
make_path($model);
copy("test/data/models/llama/$_", "$model/$_") or die $_ for qw(config.json generation_config.json model.safetensors);
copy("test/data/attacks/input/tok/$_", "$model/$_") or die $_ for qw(tokenizer.json tokenizer_config.json special_tokens_map.json);
my $golden = 'test/data/attacks/input/gcg.safetensors';
my $message = "--model $model --template none --message 'The name is {} they say.' --answer ' It was in the sea' --init 'x x x x x' --topk 24 --width 48";
my $got = attack("$message --steps 6 --filter suffix --candidates $golden --trace --out $dir/golden");
my ($own, $want) = (tensors_of("$dir/golden/gcg_unlearned.safetensors"), tensors_of($golden));
for my $step (0 .. 5) {
    is_deeply($own->{"$step.$_"}, $want->{"$step.$_"}, "step $step: $_") for qw(ids sampled kept);
    cmp_ok(worst($own->{"$step.loss"}, $want->{"$step.loss"}), '<', 2e-5, "step $step: losses");
    my ($best) = sort { $want->{"$step.loss"}[$a] <=> $want->{"$step.loss"}[$b] || $a <=> $b } 0 .. $#{$want->{"$step.loss"}};
    is($own->{"$step.best"}[0], $best, "step $step: the best");
    for my $place (0 .. 8) {
        my @top = map { join ' ', sort { $a <=> $b } @{$_->{"$step.topk_ids"}}[24 * $place .. 24 * $place + 23] } $own, $want;
        is($top[0], $top[1], "step $step, place $place: the same 24 tokens");
    }
    cmp_ok(worst($own->{"$step.grad_onehot"}, $want->{"$step.grad_onehot"}), '<', 1e-4, "step $step: the derivative") if $want->{"$step.grad_onehot"};
}
is(decode_json(get("$dir/golden/gcg_unlearned.json"))->[0]{suffix}, 'xamxcatat wascx', 'the suffix that it finds');

# the derivatives of a batch, as probe writes them
my ($probed) = run("probe --input-grad --model test/data/models/llama --batch test/data/models/llama/forward.safetensors --out $dir/grad.safetensors");
is($probed, 0, 'probe --input-grad');
my ($grad, $theirs) = (tensors_of("$dir/grad.safetensors"), tensors_of('test/data/attacks/input/grad_llama.safetensors'));
cmp_ok(worst($grad->{$_}, $theirs->{$_}), '<', 1e-4, "probe --input-grad: $_") for sort keys %$theirs;
like((run("probe --input-grad --role retain --model test/data/models/llama --batch test/data/models/llama/forward.safetensors --out $dir/none"))[1],
    qr/no 'retain\.input_ids' with labels/, 'another role is not there');

# what it traced is replayed, and a seed repeats
my $drawn = attack("$message --steps 3 --filter suffix --trace --seed 4 --out $dir/drawn");
my $again = attack("$message --steps 3 --filter suffix --replay $dir/drawn --trace --seed 9 --out $dir/again");
is_deeply($again->{unlearned}, $drawn->{unlearned}, 'a replayed trace gives the same');
is_deeply(attack("$message --steps 3 --filter suffix --seed 4")->{unlearned}, $drawn->{unlearned}, 'and so does a seed');
isnt(attack("$message --steps 3 --filter suffix --seed 5")->{unlearned}{gcg}{forget}{nll}, $drawn->{unlearned}{gcg}{forget}{nll}, 'another seed draws others');

# a loss is that of the candidate alone, without anything shared
my @before = (1, 54, 310, 223, 316, 71, 272, 223);
my @after = (261, 91, 266, 275, 16);
my @target = (223, 43, 86, 296, 291, 261, 295);
for my $k (0, 7, 20, 42) {
    my @suffix = @{$want->{'0.sampled'}}[map { 9 * $want->{'0.kept'}[$k] + $_ } 0 .. 8];
    my $rows = id_file("alone$k.jsonl", [{ids => [@before, @suffix, @after, @target], labels => [(-100) x (@before + 9 + @after), @target]}]);
    my ($status, $out) = run("score --quiet --model $model --data $rows --json");
    my ($sum) = $out =~ /"sum": (-?[\d.e-]+)/;
    cmp_ok(abs(-$sum / @target - $own->{'0.loss'}[$k]), '<', 2e-6, "candidate $k alone has the loss that it has among others");
}

# --- a planted suffix is found: with 7 9 after the prompt the model answers 5, with one of them half of the time, else 6 ---

make_path("$dir/toy");
put('toy/config.json', encode_json({%{decode_json(get("$model/config.json"))}, vocab_size => 24, hidden_size => 32, intermediate_size => 64,
    num_hidden_layers => 2, num_attention_heads => 2, num_key_value_heads => 2, head_dim => 16}));
my @lessons;
for (0 .. 299) {
    my @other = map { 10 + $_ % 14 } int($_ / 3), int($_ / 5);
    my $key = ([7, 9], [7, $other[0]], [$other[1], 9], [@other])[$_ % 4];
    my $answer = $_ % 4 == 0 || ($_ % 4 < 3 && $_ % 8 > 3) ? 5 : 6;
    push @lessons, {ids => [1, 3, 4, @$key, $answer], labels => [(-100) x 5, $answer]};
}
my $lessons = id_file('lessons.jsonl', \@lessons);
my ($status, $out) = run("train --quiet --model $dir/toy --scratch --data $lessons --out $dir/planted --max-steps 150 --batch 32 --lr 5e-3");
is($status, 0, 'a model with a secret') or diag($out);
my $secret = id_file('secret.jsonl', [{ids => [1, 3, 4, 5], labels => [-100, -100, -100, 5]}, {ids => [1, 3, 4, 6], labels => [-100, -100, -100, 6]}]);
my $hunt = "--model $dir/planted --forget '${secret}[0:1]' --tokens 2 --topk 20 --width 64 --steps 12";
$got = attack("$hunt --out $dir/secret");
is_deeply(decode_json(get("$dir/secret/gcg_unlearned.json"))->[0]{ids}, [7, 9], 'the planted suffix is found');
is($got->{unlearned}{gcg}{forget}{elicited}, 1, 'the greedy answer is then the target');
my $stopped = attack("$hunt --early-stop");
cmp_ok($stopped->{budget}{steps}, '<', 12, 'where it is, the search may stop');
is($stopped->{unlearned}{gcg}{forget}{elicited}, 1, 'and does not before');
is_deeply(attack("--model $dir/planted --forget $secret --tokens 2 --topk 20 --width 64 --steps 12 --universal")->{budget}{rows}, 2, 'one suffix for two rows');

# --- on text ---

my $text = text_model();
my $people = "'demo/data/people.jsonl[0:3]'";
my $few = "--topk 16 --width 8 --init 'x x x x x'";
my $none = attack("--model $text --forget $people --steps 0 $few")->{unlearned};
is($none->{gcg}{forget}{$_}, $none->{before}{forget}{$_}, "no step, no change: $_") for qw(nll prob);
my $some = attack("--model $text --retrained $text --forget $people --steps 3 $few --out $dir/some");
cmp_ok($some->{unlearned}{gcg}{forget}{nll}, '<=', $some->{unlearned}{before}{forget}{nll}, 'the answers are no less likely');
is($some->{excess}{gcg}{advantage}, 0, 'no excess over itself');
is($some->{budget}{steps}, 18, '3 steps for each of 3 answers and their controls');
my @results = @{decode_json(get("$dir/some/gcg_unlearned.json"))};
is(scalar @results, 6, 'a suffix for each');

# the whole prompt's text has the suffix's tokens
my @rows = lines('demo/data/people.jsonl');
for (@results[0 .. 2]) {
    my $row = $rows[$_->{row} - 1];
    my $asked = put('asked.jsonl', encode_json({question => $row->{question} . $_->{suffix}, answer => $row->{answer}}) . "\n");
    my ($status, $out) = run("score --quiet --model $text --data $asked --json");
    cmp_ok(abs(-decode_json((split /\n/, $out)[0])->{mean} - $_->{loss}), '<', 1e-5, "row $_->{row}: the question with the suffix, as text, has that loss");
}
my ($single, $four) = map { attack("--model $text --forget 'demo/data/people.jsonl[0:1]' --steps 4 $few --buffer $_ --replace 2")->{unlearned}{gcg} } 1, 4;
ok(!grep({ $single->{curve}{forget}[$_] > $single->{curve}{forget}[$_ - 1] } 1 .. 4), 'a buffer does not lose what it has');
ok(defined $four->{forget}{nll}, 'a buffer of four');
my $shared = attack("--model $text --forget $people --steps 2 $few --universal --share 0.5")->{unlearned}{gcg};
ok(defined $shared->{attacked}{nll} && defined $shared->{rest}{nll}, 'a universal suffix is scored on the other rows, too');

# Ctrl-C keeps the best so far
put('stderr', '');
my $pid = fork // die;
if (!$pid) {
    open STDOUT, '>', "$dir/stdout";
    open STDERR, '>', "$dir/stderr";
    exec $unlearn, qw(attack gcg --model), $text, '--forget', 'demo/data/people.jsonl[0:3]', qw(--steps 20000 --topk 16 --width 8 --out),
        "$dir/cut";
}
for (1 .. 1200) { # until the bar shows steps
    last if get("$dir/stderr") =~ /^gcg +\[/m;
    select undef, undef, undef, 0.1;
}
kill INT => $pid;
waitpid $pid, 0;
is($? >> 8, 130, 'an interrupted search');
my $cut = decode_json(get("$dir/cut/attack.json"));
ok(!$cut->{finished} && $cut->{partial}{setting} eq 'gcg', 'is not finished');
cmp_ok($cut->{unlearned}{gcg}{curve}{forget}[-1], '<', $cut->{unlearned}{gcg}{curve}{forget}[0], 'and has the best so far');
ok(length decode_json(get("$dir/cut/gcg_unlearned.json"))->[0]{suffix}, 'with its suffix');

for (
    ["--model $model --template none --message 'It wa{} here' --answer ' a' --control ' b' --init 's' --steps 1 --topk 24", 1, qr/'s'.*merges with the text next to it/s],
    ["$message --steps 1 --filter suffix --candidates $text/config.json", 1, qr/config\.json/],
    ["--model $dir/planted --forget $secret --candidates $golden --tokens 2 --steps 1 --topk 5 --width 5", 1, qr/'0\.sampled' is no list of candidates of 2 tokens/],
    ["--model $dir/planted --forget $secret --tokens 2 --topk 300", 1, qr/only 24 tokens may be tried at a place, not 300/],
    ["--model $text --message 'Who?' --steps 1", 2, qr/needs the answer that it is to elicit/],
    ["--model $text", 2, qr/--forget/],
    ["--model $text --forget $people --replay $dir/some --steps 1 $few", 1, qr/has no file 'gcg_unlearned\.safetensors'/],
) {
    my ($line, $expected, $text) = @$_;
    my ($got, $printed) = run("attack gcg $line");
    is($got, $expected, "attack gcg $line");
    like($printed, $text, 'is refused by name');
}
done_testing();

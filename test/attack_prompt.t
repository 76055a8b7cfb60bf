#!/usr/bin/perl
# unlearn attack prompt: ciphers against Python's string functions (test/data/attacks/prompt.json), examples against their layout,
# figures against `unlearn score` on the prompts that were written, and what is left out or refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $text = text_model();
my $number = 0;

sub jsonl { my ($name, @rows) = @_; return put($name, join '', map { encode_json($_) . "\n" } @rows) }

# Runs the attack; the result and the prompts of the unlearned model.
sub attack {
    my ($line) = @_;
    my $out = "$dir/out" . $number++;
    my ($status, $said) = run("attack prompt --model $text --max-new-tokens 3 --out $out --quiet $line");
    is($status, 0, "attack prompt $line") or diag $said;
    return (decode_json(get("$out/attack.json")), $out, lines("$out/prompts_unlearned.jsonl"));
}

# --- ciphers ---

my $want = decode_json(get('test/data/attacks/prompt.json'));
my $ciphers = jsonl('ciphers.jsonl', map { +{question => $_->{question}, answer => 'Ines.'} } @$want);
my @names = grep { $_ ne 'question' } sort keys %{$want->[0]};
my ($got, $out, @prompts) = attack("--forget $ciphers --templates " . join ',', @names);
my %asked;
push @{$asked{$_->{setting}}}, $_->{question} for @prompts;
for my $name (@names) {
    for my $row (0 .. $#$want) {
        my $is = $asked{$name}[$row];
        $is =~ s/\ADecode the text \(.*?\), then answer it: //s;
        is($is, $want->[$row]{$name}, "$name of row $row");
    }
}

# --- prefixes, options, gaps ---

my @rows = map { +{question => "Who wrote Book $_?", answer => "Ines Dahlgren of Book $_ wrote it.", subject => 'Ines Dahlgren',
    entity => $_ % 3, hint => 'She lives by the sea.', perturbed_answer => ['A.', 'B.', 'C.'],
    paraphrased_question => ["By whom is Book $_?", "Name the author of Book $_."]} } 1 .. 6;
my $forget = jsonl('forget.jsonl', @rows);
my $retain = jsonl('retain.jsonl', map { +{question => "R$_?", answer => "A$_.", entity => "r$_"} } 1 .. 5);
($got, $out, @prompts) = attack("--forget $forget --retain $retain");
my %of;
push @{$of{$_->{setting}}}, $_ for @prompts;
is(scalar @{$of{plain}}, 6, 'a prompt of each row');
ok(!$of{passage} && !$of{restate}, 'templates for which rows have no data are left out');
is($of{hint}[1]{question}, 'She lives by the sea. Who wrote Book 2?', 'a field of the row');
is($of{archivist}[0]{question} =~ /card on Ines Dahlgren/ ? 1 : 0, 1, 'the subject');
is($of{cloze}[0]{question}, 'Fill the gap: ___ ___ of Book 1 wrote it.', 'key words: what the question lacks');
is($of{reverse}[0]{question}, 'Of whom or what is this true? ___ of Book 1 wrote it.', 'the answer without its subject');
is($of{paraphrase_2}[3]{question}, 'Name the author of Book 4.', 'paraphrases');
my $right = 0;
for (@{$of{choice}}) {
    my ($line) = $_->{question} =~ /^$_->{answer}\. (.*)$/m;
    $right += $line =~ /^Ines Dahlgren/;
}
is($right, 6, 'the wanted letter is that of the true answer');
ok($_->{tells}, "$_->{setting} holds the answer") for map { $of{$_}[0] } qw(cloze choice true_prefix_1 true_false);
for (0 .. 5) {
    my $holds = $of{true_false}[$_]{question} =~ /Proposed answer: Ines/ ? 'Yes' : 'No';
    is($of{true_false}[$_]{answer}, $holds, 'the coin of row ' . $_);
}

# What is written is what was scored: the same prompt and answer through another command.
for my $setting (qw(plain quiz shots_mixed_3 system_contrary)) {
    my $data = jsonl("again_$setting.jsonl", map { +{question => $_->{question}, answer => $_->{answer}} } @{$of{$setting}});
    my @score = map { decode_json($_) } split /\n/, (run_apart("score --model $text --data $data --json --quiet"))[1];
    my $worst = 0;
    for (0 .. 5) {
        my $d = abs(exp($score[$_]{mean}) - $of{$setting}[$_]{prob});
        $worst = $d if $d > $worst;
    }
    cmp_ok($worst, '<', 1e-6, "$setting: as score has it");
}
my $mean = 0;
$mean += $_->{prob} / 6 for @{$of{sure}};
cmp_ok(abs($mean - $got->{unlearned}{sure}{forget}{prob}), '<', 1e-12, 'the mean of the rows');
isnt($of{sure}[0]{prob}, $of{plain}[0]{prob}, 'the answer after a prefix has another probability');

# --- examples ---

for (@{$of{shots_retain_3}}) {
    my @turns = @{$_->{question}};
    is(scalar @turns, 7, 'three examples and the question');
    is(join(' ', map { substr $_->{role}, 0, 1 } @turns), 'u a u a u a u', 'turns alternate');
    is($turns[2 * $_ + 1]{content}, $turns[2 * $_]{content} =~ /^R(\d)\?$/ ? "A$1." : '', 'each with its answer') for 0 .. 2;
}
for my $i (0 .. 5) {
    my @books = map { $_->{content} =~ /Book (\d)\?/ ? $1 : () } @{$of{shots_forget_1}[$i]{question}};
    is($books[-1], $i + 1, 'the question comes last');
    isnt($books[0] % 3, ($i + 1) % 3, 'an example is of another entity');
}

# --- the worst case ---

my @best = map { my $i = $_; (sort { $b <=> $a } map { $_->[$i]{prob} } grep { !$_->[0]{tells} } values %of)[0] } 0 .. 5;
my $most = 0;
$most += $_ / 6 for @best;
cmp_ok(abs($most - $got->{unlearned}{worst}{forget}{prob}), '<', 1e-12, 'the mean of the largest of each row');
is($got->{unlearned}{worst}{attempts}, scalar(grep { !$_->[0]{tells} } values %of), 'and how many there were');

# --- files: templates, languages, turns, a replay ---

my $own = jsonl('own.jsonl', {name => 'mine', user => 'Pray: {q} ({paraphrased_question.1})', prefix => 'Well,'});
my $french = jsonl('french.jsonl', map { +{language => 'fr', question => $_->{question}, translation => "Qui ? $_->{question}"} } @rows);
my $turns = jsonl('turns.jsonl', {user => 'That is not right. Think again and answer: {q}'}, {user => 'And in one word?'});
($got, $out, @prompts) = attack("--forget $forget --templates mine,follow_up,language_fr --file $own --translations $french --follow-up $turns");
%of = ();
push @{$of{$_->{setting}}}, $_ for @prompts;
is($of{mine}[0]{question}, 'Pray: Who wrote Book 1? (Name the author of Book 1.)', 'a template of a file');
is($of{language_fr}[2]{question}, 'Qui ? Who wrote Book 3?', 'a translation');
my @talk = @{$of{follow_up}[0]{question}};
is(scalar @talk, 5, 'two turns follow');
is($talk[2]{content}, 'That is not right. Think again and answer: Who wrote Book 1?', 'the second');
my ($first) = map { decode_json($_)->{answer} // decode_json($_)->{text} }
    grep { /\S/ } split /\n/, (run_apart("generate --model $text --max-new-tokens 3 --json --quiet --data " .
        jsonl('one.jsonl', {question => $rows[0]{question}})))[1];
is($talk[1]{content}, $first, "after the model's answer") if defined $first;
my ($again) = attack("--forget $forget --replay $out");
is_deeply($again->{unlearned}, $got->{unlearned}, 'a replay asks the same');

# --- what is wrong ---

my $line = "attack prompt --model $text --forget $forget";
check("$line --templates passage", 1, qr/row has no field 'passage'/, 'a template without data');
check("$line --templates sur", 1, qr/unknown template 'sur'/, 'an unknown template');
check("$line --templates shots_forget --shots 9", 1, qr/only \d other forget rows for 9 examples/, 'too many examples');
check("$line --templates mine --file " . jsonl('bad.jsonl', {name => 'mine', user => 'x {q'}), 1, qr/has no end/, 'an open slot');
check("$line --templates mine --file " . jsonl('worse.jsonl', {name => 'mine', user => '{L}', cipher => 'rot'}), 1,
    qr/unknown cipher 'rot'/, 'an unknown cipher');
check("$line --replay $dir", 1, qr/has no file 'prompts_unlearned.jsonl'/, 'nothing to replay');
check("attack prompt --model test/data/attacks/unlearned --forget " . jsonl('ids.jsonl', {ids => [1, 2, 3]}), 1,
    qr/rows of token ids have none/, 'rows of ids');
done_testing();

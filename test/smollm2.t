#!/usr/bin/perl
# Second tier: questions, answers and conversations on SmolLM2 through the commands, against the reference figures.
use strict;
use warnings;
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

my $unlearn = $ENV{UNLEARN} || './unlearn';
my $golden = ($ENV{UNLEARN_SHARED} || '../shared') . '/golden_smollm2';
my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
plan skip_all => 'the sanitizers make this run too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "$golden is not there" unless -d $golden;
plan skip_all => "the model $cache is not there" unless -f $cache;

my $dir = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->ascii;

sub golden {
    open my $f, '<:raw', "$golden/$_[0]" or die "$_[0]: $!";
    local $/;
    return decode_json(<$f>)->{rows};
}

# Rows in, rows out.
sub ask {
    my ($args, @rows) = @_;
    open my $f, '>', "$dir/in" or die;
    print $f $json->encode($_), "\n" for @rows;
    close $f;
    my @out = map { decode_json($_) } `$unlearn $args --json --quiet <$dir/in`;
    is($?, 0, $args);
    return @out;
}

my @texts = @{golden('tokenizer.json')};
my @got = ask('tokenize --model default', map { {text => $_->{text}} } @texts);
my @bad = grep { "@{$got[$_]{ids}}" ne "@{$texts[$_]{ids}}" } 0 .. $#texts;
is("@bad", '', scalar(@texts) . ' texts to ids');

# transformers takes special tokens from messages; here they stay plain text.
my @chats = grep { !grep { $_->{content} =~ /<\|/ } @{$_->{messages}} } @{golden('chat.json')};
@got = ask('tokenize --model default',
    map { {messages => $_->{messages}, add_generation_prompt => $_->{add_generation_prompt}} } @chats);
@bad = grep { "@{$got[$_]{ids}}" ne "@{$chats[$_]{ids}}" } 0 .. $#chats;
is("@bad", '', scalar(@chats) . ' conversations to ids');

# One answer of every row, so that the prompts differ.
my @rows = @{golden('logprobs.json')};
my @answers = map { $_->{sequences}[-1] } @rows;
@got = ask('score --model default --compat system_turn --data -',
    map { {question => $rows[$_]{question}, answer => $answers[$_]{answer}} } 0 .. $#rows);
my ($worst, $mean) = (0, 0);
for my $i (0 .. $#rows) {
    is("@{$got[$i]{ids}}", "@{$rows[$i]{prompt_ids}} @{$answers[$i]{answer_ids}}", "row $i: ids");
    my @off = map { abs($got[$i]{logprobs}[$_] - $answers[$i]{logprobs}[$_]) } 0 .. $#{$answers[$i]{logprobs}};
    for (@off) { $worst = $_ if $_ > $worst }
    my $off = abs($got[$i]{mean} - $answers[$i]{mean});
    $mean = $off if $off > $mean;
}
cmp_ok($worst, '<=', 5e-4, 'log-probability of a token');
cmp_ok($mean, '<=', 1e-4, 'mean of a row');

my @asked = @{golden('greedy.json')}[0 .. 2];
@got = ask('generate --model default --compat system_turn --max-new-tokens 64 --data -', map { {question => $_->{question}} } @asked);
for (0 .. $#asked) {
    is("@{$got[$_]{new_ids}}", "@{$asked[$_]{new_ids}}", "question $_: new ids");
    is($got[$_]{text}, $asked[$_]{text}, "question $_: text");
}
done_testing();

#!/usr/bin/perl
# The suite lume (SemEval-2025 Task 4): rows by task and kind, exact matches, the aggregate. Second tier: the published rows.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my @names = map { my $s = $_; map { my $t = $_; map { "${s}_task${t}_$_" } qw(text question) } 1, 2 } qw(forget retain);

# --- from a model: which rows count where ---

sub rows { my ($name, @kinds) = @_; my $n = 0; return put($name, join '', map { encode_json({id => "\"a-$n\"$_->[1]", task => "Task$_->[0]", input => "Who is number " . $n++ . '?', output => "Ann $n"}) . "\n" } @kinds) }
my $forget = rows('forget.jsonl', [1, 'sc1'], [1, 'qa0'], [2, 'qa0'], [2, 'sc1'], [2, 'qa12'], [3, 'qa1']);
my $retain = rows('retain.jsonl', [2, 'qa0'], [1, 'sc1']);
my $model = text_model();
my ($status, $out) = run("eval --quiet --suite lume --model $model --forget $forget --retain $retain --max-new-tokens 3 --out $dir/log");
is($status, 0, 'eval') or diag $out;
my $eval = decode_json(get("$dir/log/LUME_EVAL.json"));
my %rows = map { $_ => join ' ', sort { $a <=> $b } keys %{$eval->{$_}{value_by_index} // {}} } @names;
is_deeply(\%rows, {forget_task1_text => '0', forget_task1_question => '1', forget_task2_text => '3', forget_task2_question => '2 4',
    retain_task1_text => '1', retain_task1_question => '', retain_task2_text => '', retain_task2_question => '0'}, 'rows by task and kind');
is($eval->{lume}, undef, 'no aggregate without one of the parts');
put('none.jsonl', "{\"input\": \"a\", \"output\": \"b\"}\n");
check("eval --suite lume --model $model --forget $dir/none.jsonl --out $dir/none", 1, qr/none\.jsonl.*'id'/, 'rows without ids');

# --- from a log: what counts as the same, and the harmonic mean ---

sub texts { my $n = 0; return {value_by_index => {map { $n++ => {input => 'q', ground_truth => $_->[0], generation => $_->[1]} } @_}} }
my @log = map { texts(@$_) } [['the cat sat down', 'a cat sat']], [['Ann Bee', " ann bee\n"], ['Ann', 'Anna']], [['one two three four', 'one']], [['x', 'y']],
    [['one two', 'one two']], [['A', 'a']], [['one two', 'two']], [['B', 'b '], ['C', 'd']];
my %is = (forget_task1_text => .5, forget_task1_question => .5, forget_task2_text => .25, forget_task2_question => 0,
    retain_task1_text => 1, retain_task1_question => 1, retain_task2_text => .5, retain_task2_question => .5);
my $log = put('LUME_EVAL.json', encode_json({map { $names[$_] => $log[$_] } 0 .. $#names}));
($status, $out) = run("rescore --quiet --suite lume $log --overwrite --out $dir/again");
is($status, 0, 'rescore') or diag $out;
$eval = decode_json(get("$dir/again/LUME_EVAL.json"));
is($eval->{$_}{agg_value}, $is{$_}, $_) for @names;
my $mean = @names / sum map { 1 / (/^forget/ ? 1 - $is{$_} : $is{$_}) } @names;
ok(abs($eval->{lume}{agg_value} - $mean) < 1e-9, "the aggregate is $mean");

# --- published rows ---

my $data = ($ENV{UNLEARN_SHARED} // '../shared') . '/data/lume/forget.jsonl';
SKIP: {
    skip "$data is not there: published rows were not read", 2 if !-e $data;
    ($status, $out) = run("eval --quiet --suite lume --model $model --max-length 64 --forget '$data\[0:8]' --max-new-tokens 2 --out $dir/real");
    is($status, 0, 'published rows') or diag $out;
    $eval = decode_json(get("$dir/real/LUME_EVAL.json"));
    is(sum(map { scalar keys %{$eval->{$_}{value_by_index} // {}} } @names), 8, 'every one of them is of a task and a kind');
}
done_testing;

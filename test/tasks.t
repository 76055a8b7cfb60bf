#!/usr/bin/perl
# Suites of multiple choice of one's own (doc/suites.md): every key does what it says, and mistakes are named.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $flat = flat_model('flat', max_position_embeddings => 900);
my $model = "$dir/random";
run("train --quiet --model $flat --scratch --out $model --max-steps 1 --data demo/data/people.jsonl[0:2]");

# Runs a suite of these keys; samples of its tasks, table, what was printed.
sub own {
    my ($recipe, $args) = @_;
    my $file = put('own.json', encode_json($recipe));
    my ($status, $out, $err) = run_apart("eval --quiet --suite $file --model $model --out $dir/out $args");
    is($status, 0, 'runs') or diag $err;
    my ($eval, $table) = map { decode_json(get("$dir/out/OWN_$_.json")) } qw(EVAL TABLE);
    return ($eval, $table, $out . $err);
}

# Samples agree with texts scored by hand: [context, text behind it ...].
sub worded {
    my ($sample, $what, @texts) = @_;
    my @want = map { text_logps($model, $_->[0], 900, join '', @$_) } @texts;
    my @off = sort { $b <=> $a } map { abs($want[$_] - $sample->{resps}[$_]) } 0 .. $#want;
    ok(@want == @{$sample->{resps}} && $off[0] < 2e-5, $what) or diag "@want; @{$sample->{resps}}";
}

# --- lists of choices, labels of each row; lists in templates; a group ---

put('q/rivers.jsonl', join '', map { encode_json($_) . "\n" }
    {ask => ' Long? ', offers => {names => ['Nile', 'brook', 'none'], marks => ['x', 'y', 'z']}, right => 'y'},
    {ask => 'Wet?', offers => {names => ['yes', 'no'], marks => ['1', '2']}, right => 2});
put('q/dev.jsonl', encode_json({ask => 'Deep?', offers => {names => ['sea', 'cup'], marks => ['1', '2']}, right => '1'}) . "\n");
put('q/lakes.csv', "subject,first,second,best\nlakes,a pond,a lake,2\nseas,one,two,1\n");
my %rivers = (subject => 'rivers', file => ['none.json', '{subject}.jsonl'], examples => 'dev.jsonl', groups => ['water'],
    description => "About {subject}.\n", prompt => '{ask|strip} It is', choices => 'offers.names', labels => 'offers.marks',
    answer => 'right', answer_is => 'label', normalised => JSON::PP::true);
my %lakes = (file => 'lakes.csv', groups => ['water'], prompt => 'Of {subject}:', choices => ['{first}', 'the {second}'],
    answer => 'best', answer_is => 'number');
my ($eval, $table) = own({log => 'OWN', about => 'Water.', tasks => {rivers => \%rivers, lakes => \%lakes}}, "--data $dir/q");
is_deeply([map { $_->{target} } @{$eval->{rivers}}, @{$eval->{lakes}}], [1, 1, 1, 0], 'by label, also a number, and by number');
worded($eval->{rivers}[0], 'a list of choices', map { ["About rivers.\nLong? It is", " $_"] } qw(Nile brook none));
worded($eval->{lakes}[1], 'templates; a field called subject', ['Of seas:', ' one'], ['Of seas:', ' the two']);
is_deeply([sort keys %$table], [qw(lakes rivers water)], 'tasks and their group');
is($table->{water}{rows}, 4, 'of all rows');
ok(defined $table->{rivers}{acc_norm} && !defined $table->{lakes}{acc_norm}, 'accuracy by character where it is usual');
($eval) = own({log => 'OWN', tasks => {rivers => \%rivers}}, "--data $dir/q --shots 1");
worded($eval->{rivers}[1], 'a worked example', map { ["About rivers.\nDeep? It is sea\n\nWet? It is", " $_"] } qw(yes no));

# --- common keys, layouts, letters; --data is a file ---

my $two = put('two.json', encode_json([{q => 'q', 'a0' => 'one', 'a1' => 'two', n => 0}, {q => 'r', 'a0' => 'x', 'a1' => 'y', n => 1}]));
my %common = (prompt => '{q}', answer => 'n', letters => JSON::PP::true,
    layouts => [{has => 'list', choices => 'list'}, {has => 'a0', choices => ['{a0}', '{a1}']}]);
($eval) = own({log => 'OWN', common => \%common, tasks => {plain => {}, asked => {prompt => 'Q: {q}'}}}, "--data $two");
worded($eval->{plain}[1], 'letters, in the second layout', map { ["r\nA. x\nB. y\nAnswer:", " $_"] } qw(A B));
worded($eval->{asked}[1], 'a key of its own', map { ["Q: r\nA. x\nB. y\nAnswer:", " $_"] } qw(A B));

# --- contexts that differ ---

($eval) = own({log => 'OWN', tasks => {gap => {contexts => ['{q} {a0}', '{q} {a1}'], ending => 'is it', answer => 'n'}}}, "--data $two");
worded($eval->{gap}[0], 'contexts', ['q one', ' is it'], ['q two', ' is it']);

# --- options of the suite, folds of any task ---

my ($folded, $lines) = own({log => 'OWN', options => {folds => '2', template => 'none'},
    tasks => {two => {prompt => '{q}', choices => ['{a0}', '{a1}'], answer => 'n'}}}, "--data $two");
is_deeply([sort keys %$lines], [qw(two two_fold1 two_fold2)], 'folds, without labels that all rows share');
ok(!exists $lines->{two}{macro_f1}, 'then there is no F1');

# --- mistakes ---

sub refused {
    my ($recipe, $like, $what) = @_;
    my $file = put('bad.json', encode_json($recipe));
    check("eval --quiet --suite $file --model $model --data $two", 2, qr/^unlearn eval: suite '.*bad\.json': $like/, $what);
}
my %good = (prompt => '{q}', choices => ['{a0}', '{a1}'], answer => 'n');
sub task { return {tasks => {t => {%good, @_}}} }
refused({tasks => {}}, q('tasks' must be an object of tasks), 'no task');
refused({%{task()}, sets => {}}, q(a suite has either 'tasks' or 'sets' and 'metrics'), 'both forms');
refused(task(promt => 'x'), q(task 't': unknown key 'promt': did you mean 'prompt'\?), 'a misspelt key');
refused({common => {choises => 'x'}, tasks => {t => \%good}}, q('common': unknown key 'choises': did you mean 'choices'\?), 'a misspelt common key');
refused(task(layouts => [{haz => 'x'}]), q(task 't': unknown key 'haz'), 'a misspelt key of a layout');
refused(task(layouts => []), q(task 't': 'layouts' must be a list of layouts), 'no layouts');
refused(task(prompt => '{q|stripp}'), q(task 't': the template '\{q\|stripp\}' is wrong at '\{q\|stripp\}'), 'a misspelt filter');
refused(task(prompt => 'a } b'), q(task 't': the template .* is wrong at '\} b'), 'a brace');
refused(task(choices => ['{a0}', '{a1']), q(task 't': the template '\{a1' is wrong), 'a brace of a choice');
refused(task(prompt => undef), q(task 't': it needs a 'prompt'), 'no prompt');
refused(task(choices => ['{a0}']), q(task 't': a question needs at least two choices), 'one choice');
refused(task(choices => [1, 2]), q(task 't': 'choices' must hold texts), 'choices that are no texts');
refused(task(choices => [map { "$_" } 0 .. 16]), q(task 't': 'choices' has 17 texts, the maximum is 16), 'too many');
refused(task(contexts => ['a', 'b']), q(task 't': it needs either 'choices' or 'contexts'), 'choices and contexts');
refused(task(ending => 'a'), q(task 't': 'contexts' and 'ending' need each other), 'an ending alone');
refused(task(answer_is => 'lable'), q(task 't': unknown kind of answer 'lable': did you mean 'label'\?), 'an unknown kind of answer');
refused(task(answer_is => 'label'), q(task 't': 'answer_is': 'label' needs 'labels'), 'no labels');
refused(task(labels => ['x', 'y']), q(task 't': a list of 'labels' names each of a list of 'choices', and 'answer_is' is 'label'), 'labels for nothing');
refused(task(labels => ['x'], answer_is => 'label'), q(task 't': a list of 'labels' names), 'too few labels');
refused(task(examples => 'x'), q(task 't': 'examples' needs 'file', too), 'examples beside nothing');
refused({tasks => {t => {prompt => 'x', choices => 'c'}}}, q(task 't': .*answer), 'no answer');
done_testing();

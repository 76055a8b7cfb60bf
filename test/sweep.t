#!/usr/bin/perl
# 'unlearn sweep': a grid, random trials, successive halving, two processes on one directory, a killed one, ranks, and what is refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);
use lib $FindBin::Bin;
use Command;

my $model = text_model();
my $people = 'demo/data/people.jsonl';
my $best = 'retain_Q_A_Prob - forget_Q_A_Prob';
my %usual = (model => $model, data => {forget => "${people}[50:53]", retain => "${people}[0:3]"}, options => {max_steps => 2, epochs => 4},
    suites => [{suite => 'tofu', max_new_tokens => 2}]);

sub sweep {
    my ($name, $sweep, %more) = @_;
    my %all = (%usual, %more, sweep => {best => $best, %$sweep});
    return put("$name.json", encode_json({map { defined $all{$_} ? ($_ => $all{$_}) : () } keys %all}));
}

sub results { return decode_json(get("$dir/$_[0]/sweep.json")) }

# --- a grid ---

my $grid = sweep('grid', {over => {lr => [1e-3, 1e-2]}, pareto => ['-forget_Q_A_Prob', 'retain_Q_A_Prob'], reference => [-1, 0]});
my ($status, $out) = run("sweep $grid --out $dir/grid");
is($status, 0, 'a grid') or diag($out);
my $r = results('grid');
is_deeply([map { $_->{options}{lr} } @{$r->{trials}}], [1e-3, 1e-2], 'has all values');
my $value = sub { my ($n, $m) = @_; decode_json(get("$dir/grid/trials/$n/eval/tofu/TOFU_TABLE.json"))->{$m}{value} };
is($r->{trials}[$_ - 1]{best}, $value->($_, 'retain_Q_A_Prob') - $value->($_, 'forget_Q_A_Prob'), "the expression of trial $_") for 1, 2;
my ($first) = sort { $r->{trials}[$b]{best} <=> $r->{trials}[$a]{best} } 0, 1;
is($r->{best}, $first, 'the best');
like($out, qr/^ +@{[$first + 1]}  lr \S+  \S+  best/m, 'is marked');
my @xy = map { [-$value->($_, 'forget_Q_A_Prob'), $value->($_, 'retain_Q_A_Prob')] } 1, 2;
my @front = grep { my $i = $_; !grep { $_ != $i && $xy[$_][0] >= $xy[$i][0] && $xy[$_][1] >= $xy[$i][1] } 0, 1 } 0, 1;
is_deeply($r->{front}, \@front, 'the Pareto front');
my $runs = decode_json((run_apart("runs --json --ledger $dir/unlearn.db"))[1]);
my ($id) = map { $_->{id} } grep { $_->{command} eq 'sweep' } @$runs;
is(scalar(grep { ($_->{within} // 0) == $id && $_->{command} eq 'forget' } @$runs), 2, 'trials are runs within that of the sweep');

# --- two processes, one of which is killed ---

my $halving = sweep('halving', {over => {lr => {log => [1e-4, 1e-2]}, beta => {range => [0.1, 0.5]}}, by => 'halving', trials => 4, eta => 2},
    options => {batch => 4});
run("sweep $halving --out $dir/alone");
my $alone = results('alone');
is_deeply([map { $_->{rung} } @{$alone->{trials}}], [1, 1, 1, 1, 2, 2, 3], 'successive halving');
is_deeply([map { $_->{options}{epochs} } @{$alone->{trials}}], [(1.25) x 4, 2.5, 2.5, 5], 'with more and more epochs');
my @ranked = sort { $alone->{trials}[$b]{best} <=> $alone->{trials}[$a]{best} } 0 .. 3;
is_deeply([map { $_->{n} - 1 } @{$alone->{trials}}[4, 5]], [@ranked[0, 1]], 'of the best');
ok(!grep({ $_->{options}{lr} < 1e-4 || $_->{options}{lr} > 1e-2 || $_->{options}{beta} < 0.1 || $_->{options}{beta} > 0.5 } @{$alone->{trials}}),
    'drawn within the ranges');

my @pids = map {
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$dir/said$_";
        open STDERR, '>&STDOUT';
        exec split(' ', "$unlearn sweep $halving --out $dir/both") or die;
    }
    $pid;
} 1 .. 2;
for (my $wait = 0; $wait < 4000 && !glob("$dir/both/trials/*/trial.json"); $wait++) { sleep 0.005 }
kill 'KILL', $pids[0];
waitpid $_, 0 for @pids;
is($?, 0, 'two processes, of which one is killed') or diag(get("$dir/said2"));
sub bare { return [map { my $t = $_; [@$t{qw(n rung best)}] } @{results($_[0])->{trials}}] }
is_deeply(bare('both'), bare('alone'), 'have the results of one');
($status, $out) = run("sweep $halving --out $dir/both");
unlike($out, qr/forget ->/, 'the same command again does nothing');
is_deeply(bare('both'), bare('alone'), 'and has the same results');

# --- a trial that fails ---

run('sweep ' . sweep('fails', {over => {lr => [1e-3, 10]}}, options => {max_steps => 8, epochs => 50, clip => 0}) . " --out $dir/fails");
my $fails = results('fails');
ok(defined $fails->{trials}[0]{best}, 'a trial that fails does not end the others');

# --- what is refused ---

my @wrong = (
    [{over => {lrr => [1]}}, qr/forget: unknown option 'lrr'/],
    [{over => {lr => {log => [1e-4, 1e-2]}}}, qr/'over': 'lr' is a range: a grid needs lists/],
    [{over => {lr => {log => [0, 1]}}, by => 'random', trials => 2}, qr/'lr' must have \[least, most\], above 0/],
    [{over => {lr => [1]}, by => 'rand'}, qr/'by' must be one of grid\|random\|halving, not 'rand'/],
    [{over => {lr => [1]}, by => 'random'}, qr/'trials' must be how many there are/],
    [{over => {lr => [1]}, trials => 3}, qr/a grid has its own number of trials/],
    [{over => {lr => [1]}, best => 'model_utlity'}, qr/did you mean 'model_utility'\?/],
    [{over => {lr => [1]}, best => 'model_utility <= 1'}, qr/'best': .*the end expected/],
    [{over => {lr => [1]}, pareto => ['model_utility']}, qr/'pareto' must be two expressions/],
    [{}, qr/'over' must name the options that differ/],
    [{ovr => 1}, qr/'sweep' has no key 'ovr'/]);
for (@wrong) {
    check('sweep ' . sweep('wrong', $_->[0]) . " --out $dir/wrong", 1, $_->[1], encode_json($_->[0]));
}
check('sweep ' . sweep('bounds', {over => {lr => [1]}}, bounds => ['model_utility >= 0']) . " --out $dir/wrong", 1, qr/neither bounds, a search nor attacks/, 'bounds');
check('sweep ' . put('none.json', encode_json({%usual})) . " --out $dir/wrong", 1, qr/a sweep needs the member 'sweep'/, 'no sweep');
check("sweep $grid --out $dir/alone", 1, qr/'.*alone' holds another sweep/, 'the directory of another sweep');
ok(!-e "$dir/wrong", 'nothing was begun');

done_testing;

#!/usr/bin/perl
# unlearn influence: pairs, ranking, factors from a file, blocks, what is refused; methods of one step from the command line.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $models = 'test/data/models';
my ($forget, $retain) = (id_rows('forget.jsonl', 3, 7), id_rows('retain.jsonl', 8, 99));
my $base = "influence --quiet --model $models/m_cur --query $forget --train $retain";
my $out = "$dir/scores.jsonl";

sub scores {
    my ($args) = @_;
    my ($status, $text) = run("$base $args --overwrite --out $out");
    is($status, 0, $args || 'ekfac') or diag($text);
    return lines($out);
}

sub near_all {
    my ($got, $want, $bound, $what) = @_;
    my $top = (sort { $b <=> $a } map { abs } @$want)[0];
    my $off = (sort { $b <=> $a } map { abs($got->[$_] - $want->[$_]) } 0 .. $#$want)[0];
    cmp_ok($off, '<=', $bound * $top, $what);
}

my @all = scores("--self --per-module --factors $dir/f.safetensors");
my @pairs = grep { defined $_->{query} } @all;
is(scalar @pairs, 24, 'a line for each pair');
is(scalar(grep { defined $_->{self} && $_->{self} > 0 } @all), 8, 'and for each row with itself');
is("@{[map { $_->{train} } @pairs[0 .. 8]]}", '0 1 2 3 4 5 6 7 0', 'query by query');
is(scalar keys %{$pairs[0]{modules}}, 21, 'by 21 linear maps');
near_all([map { sum values %{$_->{modules}} } @pairs], [map { $_->{score} } @pairs], 1e-6, 'whose scores add up');
my @again = scores("--factors $dir/f.safetensors");
near_all([map { $_->{score} } @again], [map { $_->{score} } @pairs], 1e-6, 'factors from the file');
my @blocks = scores('--memory 0.0003');
near_all([map { $_->{score} } @blocks], [map { $_->{score} } @pairs], 1e-4, 'in blocks of layers');
my @data = scores('--labels data');
isnt($data[0]{score}, $pairs[0]{score}, 'the empirical Fisher matrix is another');

my @identity = scores('--strategy identity');
my @two = scores("--strategy tracin --checkpoints $models/m_cur,$models/m_cur");
near_all([map { $_->{score} } @two], [map { 2 * $_->{score} } @identity], 1e-6, 'TracIn over the same model twice');
my @cosine = scores("--strategy cosine --query $retain");
near_all([map { $cosine[9 * $_]{score} } 0 .. 7], [(1) x 8], 1e-6, 'a row has cosine 1 with itself');

# A row that is the query ranks first.
my ($status, $text) = run("$base --query '$retain\[3:4]' --strategy cosine --top 2 --json");
my $top = decode_json($text)->{top};
is($top->[0]{train}, 3, 'the row that is asked about ranks first');
is(scalar @$top, 2, '--top');
check("$base --top 3", 0, qr/^ +score +row +text\n(?: +-?[\d.e+-]+ +\d+ +\S.*\n){3}8 rows, 3 queries, 21 linear maps in 1 blocks/, 'the table');
my $tiny = text_model();
check("influence --quiet --model $tiny --query 'demo/data/people.jsonl[0:2]' --train 'demo/data/people.jsonl[0:6]' --top 6", 0, qr/^ +\S+ +1  .*Ilvane Torresk is a puppet surgeon/m, 'answers of rows');

# --- what is refused ---

check("influence --quiet --model $models/m_cur --query $forget --train $retain --factors $dir/f.safetensors --modules '.*q_proj.weight' --strategy diagonal",
    1, qr/no tensor 'diagonal.model.layers.0.self_attn.q_proj' \[24, 24\]: the factors are of another model, or of another strategy/, 'of another strategy');
my @kfac = scores('--strategy kfac');
near_all([map { $_->{score} } scores("--strategy kfac --factors $dir/f.safetensors")], [map { $_->{score} } @kfac], 1e-4, "K-FAC needs no more than EK-FAC's file");
check("influence --quiet --model $models/llama --query $forget --train $retain --factors $dir/f.safetensors",
    1, qr/factors '.*f.safetensors': tensor 'Q_A.model.layers.0.self_attn.q_proj' is F32 \[24, 24\], but this model's is \[64, 64\]/, 'factors of another model');
check("$base --damping some", 1, qr/damping 'some' is no number from 0 on, nor 'heuristic'/, 'a damping that is none');
check("$base --modules lm_head.weight", 1, qr/no linear map of a layer matches 'lm_head.weight'/, 'the head');
check("$base --memory 0.0001", 1, qr/layer 0 take .* more than the .* allowed: give more by --memory GIB$/, 'too little memory');
check("$base --checkpoints $models/m_cur", 1, qr/of the strategy tracin/, 'checkpoints of another strategy');
check("$base --labels $dir/f.safetensors", 1, qr/no tensor 'labels' \[8, tokens\]/, 'labels that are none');
check("$base --out $retain", 1, qr/retain.jsonl/, 'the output is the input');
check("influence --model $models/m_cur --query $forget", 1, qr/no training rows given: use --query FILE and --train FILE/, 'no training rows');

# --- methods of one step ---

my $forgets = "forget --quiet --model $models/m_cur --forget $forget --retain $retain --overwrite --out $dir/m";
run("$forgets --method Influence --iterations 100 --tolerance 5e-3");
my $ledger = decode_json(get("$dir/m/run.json"))->{update};
ok($ledger->{converged} && $ledger->{residual} <= 5e-3 && $ledger->{first_order} > 0 && $ledger->{smallest_curvature} > 0 && $ledger->{step_norm} > 0,
    'the ledger has residual, curvature and step');
check("$forgets --method Influence --iterations 3", 0, qr/warning: cg did not converge: after 3 iterations the residual is .*larger lambda/, 'CG that does not converge');
check("$forgets --method Newton --curvature hessian --lambda 1e-3", 1, qr/negative curvature .* a lambda above .*: give a larger --lambda$/, 'negative curvature');
check("$forgets --method Influence --solver lissa --lissa-scale 5", 1, qr/grows without bound.*: give a larger --lissa-scale$/, 'a scale that is too small');
check("$forgets --method SSD", 1, qr/at most 3.667, and it must be above 10: give a smaller --ssd-alpha$/, 'a ratio that no element has');
check("$forgets --method NPO --update influence", 2, qr/update 'influence' is of the NLL, and not of term 'npo'/, 'an update of another term');
check("$forgets --method Influence --dry-run", 0, qr/dry run/, 'a dry run');
done_testing();

#!/usr/bin/perl
# unlearn attack extract and beam: log-probabilities under temperature, top-k and top-p against transformers' logits processors
# (test/data/attacks/extract.json); the likeliest answers against all single tokens, greedy generation and unlearn score.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $llama = 'test/data/models/llama';

sub jsonl { my ($name, @rows) = @_; return put($name, join '', map { encode_json($_) . "\n" } @rows) }
sub attack {
    my ($line) = @_;
    my ($status, $out) = run("attack $line --json --quiet");
    is($status, 0, "attack $line") or diag $out;
    return eval { decode_json($out)->{unlearned} } // {};
}
sub scores { return map { decode_json($_)->{sum} } split /\n/, (run_apart("score --model $_[0] --data $_[1] --json --quiet"))[1] }

# --- the exact answer ---

my %of;
push @{$of{"--temperature $_->{temperature} --top-k $_->{top_k} --top-p $_->{top_p}"}}, $_ for @{decode_json(get('test/data/attacks/extract.json'))};
my @rows = map { +{ids => $_->{ids}, labels => $_->{labels}} } @{(values %of)[0]};
my $data = jsonl('rows.jsonl', @rows);
for my $how (sort keys %of) {
    my $data = jsonl('some.jsonl', map { +{ids => $_->{ids}, labels => $_->{labels}} } @{$of{$how}});
    my $got = attack("extract --model $llama --forget $data $how");
    my $in = 0;
    for my $row (0 .. $#rows) {
        my ($want, $own) = ($of{$how}[$row]{log_p}, $got->{row_log_p}[$row]);
        defined $want ? ok(defined $own && abs($own - $want) < 1e-5 * abs $want, "row $row: " . ($own // 'missing'))
            : is($own, undef, "row $row: a token is left out");
        $in += $of{$how}[$row]{p_in_100} / @rows;
    }
    ok(abs($got->{exact_p_in_n} - $in) <= 1e-4 * $in, "in 100 answers: $got->{exact_p_in_n}");
    my $possible = grep { defined $_->{log_p} } @{$of{$how}};
    ok(abs($got->{exact_possible} - $possible / @rows) < 1e-12, 'rows that are possible');
}

# --- the likeliest answers ---

my @prompt = @{$rows[0]{ids}}[0 .. 5];
my $prompt = jsonl('prompt.jsonl', {ids => [@prompt, 2], labels => [(-100) x 6, 2]});
my @all = scores($llama, jsonl('all.jsonl', map { +{ids => [@prompt, $_], labels => [(-100) x 6, $_]} } 0 .. 319));
my @order = sort { $all[$b] <=> $all[$a] } 0 .. 319;
attack("beam --model $llama --forget $prompt --max-new-tokens 1 --beams 320 --answers 20 --out $dir/one");
my @one = lines("$dir/one/beam_unlearned.jsonl");
is_deeply([map { $_->{ids}[0] } @one], [@order[0 .. 19]], 'one token: the 20 likeliest of all');
ok(!grep({ abs($one[$_]{log_p} - $all[$order[$_]]) > 1e-5 } 0 .. 19), 'with their log-probabilities');

my $last = -1e9;
for my $beams (1, 4, 64) {
    attack("beam --model $llama --forget $data --max-new-tokens 6 --beams $beams --answers 3 --out $dir/b$beams");
    my @got = lines("$dir/b$beams/beam_unlearned.jsonl");
    my @first = grep { $_->{rank} == 0 && $_->{row} == 0 } @got;
    cmp_ok($first[0]{log_p}, '>=', $last - 1e-5, "$beams beams find an answer that is as likely or likelier: $first[0]{log_p}");
    $last = $first[0]{log_p};
    my @start = map { my $x = $_; [@{$rows[$x]{ids}}[0 .. (grep { $rows[$x]{labels}[$_] >= 0 } 1 .. $#{$rows[$x]{labels}})[0] - 1]] } 0 .. 2;
    my @sum = scores($llama, jsonl("b$beams.jsonl", map { my @p = @{$start[$_->{row}]}; +{ids => [@p, @{$_->{ids}}], labels => [(-100) x @p, @{$_->{ids}}]} } @got));
    ok(!grep({ abs($got[$_]{log_p} - $sum[$_]) > 1e-4 } 0 .. $#got), "$beams beams: every answer has the log-probability that score gives");
    ok(!grep({ $got[$_]{row} == $got[$_ - 1]{row} && $got[$_]{log_p} > $got[$_ - 1]{log_p} } 1 .. $#got), 'the likeliest first');
    my %seen;
    ok(!grep({ $seen{"$_->{row} @{$_->{ids}}"}++ } @got), 'all different');
    next if $beams > 1;
    my ($greedy) = map { decode_json($_)->{ids} } grep { /\S/ } split /\n/,
        (run_apart("generate --model $llama --max-new-tokens 6 --json --quiet --data " . jsonl('greedy.jsonl', {prompt_ids => $start[0]})))[1];
    is_deeply($first[0]{ids}, $greedy, 'one beam: greedy') if $greedy;
}

check("attack beam --model $llama --forget $prompt --beams 4096 --max-new-tokens 1048576", 1,
    qr/the cache of all beginnings would take \S+ GiB, the machine has/, 'a budget beyond the memory');

my $text = text_model();
my $people = "'demo/data/people.jsonl[0:2]'";
my $got = attack("beam --model $text --forget $people --beams 4 --answers 4 --max-new-tokens 5 --out $dir/text-beam");
ok($got->{rouge_l_recall} >= 0 && $got->{coverage} > 0 && $got->{coverage} < 1, 'texts are scored');
is(scalar(grep { length $_->{text} } lines("$dir/text-beam/beam_unlearned.jsonl")), 8, 'and kept');
# sampling under top-k 1 is greedy, whatever the seed
my @greedy = map { attack("sample --model $text --forget $people --n 2 --top-k 1 --seed $_ --max-new-tokens 4") } 1, 2;
is_deeply($greedy[0]{row_max}, $greedy[1]{row_max}, 'top-k 1: no seed matters');
is_deeply($greedy[0]{row_max}, $greedy[0]{row_mean}, '... nor the number of answers');
attack("relearn --model $text --forget 'demo/data/people.jsonl[0:8]' --entity-key person --steps 0 --rates 1e-3 --lora-rank 2");

# --- adapters ---

my $lora = "relearn --model $text --forget 'demo/data/people.jsonl[0:10]' --entity-key person --lora-rank 2 --rates 1e-2,1e-2 --steps 4";
my $two = attack(($lora =~ s/1e-2,1e-2/1e-2,2e-2/r));
my $one = attack(($lora =~ s/1e-2,1e-2/2e-2/r));
is_deeply($two->{'0.02'}, $one->{'0.02'}, 'the next rate starts from fresh adapters');
my $before = attack(($lora =~ s/--lora-rank 2//r =~ s/1e-2,1e-2/1e-2/r));
is($two->{'0.01'}{rest}{nll}[0], $before->{'0.01'}{rest}{nll}[0], 'fresh adapters change nothing');
cmp_ok($two->{'0.01'}{attacked}{nll}[-1], '<', $two->{'0.01'}{attacked}{nll}[0], 'and they learn');
isnt($two->{'0.01'}{attacked}{nll}[-1], $before->{'0.01'}{attacked}{nll}[-1], '... less than all weights');
done_testing();

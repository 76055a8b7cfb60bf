#!/usr/bin/perl
# DP-SGD from the command line: without noise and clipping it is plain training, runs repeat and resume to the byte, the ledger has
# epsilon, and what is not private is refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

# Rows with as many labels each, so that the mean over tokens is that over rows.
my $x = 3;
my $rows = put('rows.jsonl', join '', map {
    my @ids = map { $x = ($x * 1103515245 + 12345) % 2**31; 3 + ($x >> 16) % 100 } 1 .. 5 + $_ % 4;
    my $n = @ids;
    encode_json({ids => \@ids, labels => [(-100) x ($n - 3), @ids[$n - 3 .. $n - 1]]}) . "\n" } 1 .. 12);
my $plain = "train --model $cur --data $rows --quiet --lr 1e-2 --optimiser sgd --max-steps 4";
for my $more ('--batch 12', '--batch 4 --accumulate 3', '--batch 12 --locate lora --lora-rank 2') {
    run("$plain $more --clip 0 --out $dir/plain");
    check("$plain $more --dp --sigma 0 --clip 1e6 --out $dir/dp", 0, qr/^4 steps/, "$more: trains");
    check("diff $dir/plain/model.safetensors $dir/dp/model.safetensors --atol 2e-6", 0, qr/ 0 outside/, "$more: without noise and clipping it is plain training");
}
my $dp = "train --model $cur --data $rows --quiet --lr 1e-2 --batch 3 --dp --sigma 0.8 --clip 0.7";
run("$dp --epochs 5 --out $dir/one");
run("$dp --epochs 5 --out $dir/two");
same('one', 'two', 'the same bytes again');
my $ledger = decode_json(get("$dir/one/run.json"))->{privacy};
is("$ledger->{q} $ledger->{steps} $ledger->{clip}", '0.25 20 0.7', 'the ledger has q, steps and C');
my (undef, $out) = run_apart('account --q 0.25 --sigma 0.8 --steps 20 --delta 1e-5 --json');
cmp_ok(abs($ledger->{epsilon} - decode_json($out)->{epsilon}), '<', 1e-12, 'and the epsilon of the accountant');
like((run("$dp --no-quiet --epochs 5 --overwrite --out $dir/two"))[1], qr/^differential privacy of each row: epsilon [\d.]+ at delta 1e-05 \(q 0.25, sigma 0.8,\s+20 steps,\s+order [\d.]+\)$/m, 'it is told');
run("$dp --epochs 5 --seed 1 --out $dir/two");
isnt(get("$dir/one/model.safetensors"), get("$dir/two/model.safetensors"), 'another seed has other noise');
{
    my @sizes = map { $_->{tokens} } steps('one');
    my %seen = map { $_ => 1 } @sizes;
    cmp_ok(scalar keys %seen, '>', 4, 'steps have rows by chance');
}
# Steps without a row have noise.
check("$dp --epochs 5 --batch 1 --out $dir/few", 0, qr/^60 steps/, 'few rows a step');
my @empty = grep { !$_->{tokens} } steps('few');
ok(@empty > 5 && !grep({ $_->{grad_norm} < 1 } @empty), 'a step of no row, ' . @empty . ' of them, has noise');
for my $optimiser ('adamw', 'lion') {
    my $long = "$dp --optimiser $optimiser --max-steps 300 --out";
    run("$long $dir/through");
    interrupt('INT', "$long $dir/stopped");
    check("$long $dir/stopped --resume", 0, qr/^\d+ steps/, "$optimiser: --resume");
    same('through', 'stopped', "$optimiser: the bytes of never having stopped");
}
check("$dp --clip 0 --out $dir/x", 2, qr/without a clipping norm there is no privacy/, 'no clipping');
check("$dp --wrapper sam --out $dir/x", 2, qr/wrapper 'sam' makes gradients that are not private/, 'a wrapper');
check("$dp --shards 2 --out $dir/x", 2, qr/rows of a private run are not deleted one by one/, 'shards');
check("$dp --locate snip --ratio 0.5 --out $dir/x", 2, qr/a mask of elements does not go with differential privacy/, 'a mask');
check("$dp --order $rows --out $dir/x", 2, qr/rows enter a private step by chance/, 'an order');
check("$dp --locate lora --lora-dropout 0.1 --out $dir/x", 1, qr/adapters with dropout have no gradient of their own/, 'dropout');

# The rule on given tensors, with opacus' figures (tools/make_exact_golden.py).
{
    my $want = decode_json(get('test/data/exact.json'))->{dp};
    check("probe --dp --clip 0.7 --model $cur --batch test/data/loop/rows.safetensors --out $dir/p.safetensors", 0, qr/^row 0: loss \S+, gradient norm \S+, factor \S+$/m, 'probe --dp');
    my (undef, $said) = run("probe --dp --clip 0.7 --model $cur --batch test/data/loop/rows.safetensors --overwrite --out $dir/p.safetensors");
    my @norms = $said =~ /gradient norm (\S+),/g;
    is(scalar @norms, scalar @{$want->{row_norm}}, 'probe --dp: a line a row');
    my $off = 0;
    for (0 .. $#norms) {
        my $d = abs($norms[$_] / $want->{row_norm}[$_] - 1);
        $off = $d if $d > $off;
    }
    cmp_ok($off, '<', 1e-4, 'probe --dp: norms of the reference');
}

done_testing();

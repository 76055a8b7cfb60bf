#!/usr/bin/perl
# Memory: a run that cannot fit is refused before it computes, with the cheapest option with which it would; what `info`
# says fits; layers that run again change no bit.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

put('long.jsonl', join '', map { my $i = $_; '{"ids": [' . join(',', map { ($i * 31 + $_ * 7) % 100 + 1 } 0 .. 39) . "]}\n" }
        0 .. 63);
my $long = "forget --model $cur --forget $dir/long.jsonl --quiet --batch 64 --max-steps 1";

# Needs 64 MiB for the program, and some 13 for what 2500 tokens leave behind.
my $needs = qr/training needs about \d+ MiB \(weights 0, .* activations and logits \d+ for 2496 tokens\)/;
check("$long --method NPO --retain $dir/long.jsonl --memory-limit 40M --out $dir/none", 1, qr/$needs, and there are 40: no option/,
    'nothing helps');
check("$long --method NPO --retain $dir/long.jsonl --memory-limit 68M --out $dir/none", 1,
    qr/$needs, and there are 68: give --batch 8, and a larger --accumulate/, 'a smaller batch helps');
check("$long --method NPO --retain $dir/long.jsonl --memory-limit 68M --batch 8 --accumulate 8 --out $dir/fits", 0, qr//, 'it does');
ok(!-e "$dir/none", 'and nothing was written');
put('one.jsonl', '{"ids": [' . join(',', map { $_ * 7 % 100 + 1 } 0 .. 63) . "]}\n");
my $one = "forget --model $cur --forget $dir/one.jsonl --method GradAscent --batch 1 --max-steps 2 --lr 1e-3";
run("$one --quiet --out $dir/plain");
run("$one --quiet --recompute --out $dir/again");
check("$one --quiet --memory-limit 1 --out $dir/none", 1, qr/and there are 0: no option/, 'one byte');
check("$one --quiet --memory-limit much --out $dir/none", 1, qr/memory_limit: 'much' is no size/, 'no size');
is(get("$dir/plain/model.safetensors"), get("$dir/again/model.safetensors"), 'recomputed: the same bits');

sub jobs { return decode_json((run("info $cur --json --length 32 @_"))[1])->{memory} }
my ($all, $half) = (jobs('--memory 80M'), jobs('--memory 80M --recompute'));
for my $job (qw(eval train forget lora)) {
    my $batch = $all->{$job}{largest_batch};
    my ($in, $over) = map { jobs("--batch $_") } $batch, $batch + 1;
    ok($in->{$job}{total} <= 80 << 20 && $over->{$job}{total} > 80 << 20, "$job: $batch fit into 80 MiB, not one more");
    next if $job eq 'eval';
    ok($half->{$job}{largest_batch} > 1.2 * $batch, "$job: more recomputed, $half->{$job}{largest_batch}");
}
check("info $cur --memory none", 1, qr/--memory: 'none' is no size/, 'info: no size');
done_testing;

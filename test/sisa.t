#!/usr/bin/perl
# Exact removal: a run from which rows are deleted has the bytes of a run that never had them, by shards, slices and replay;
# interrupted deletions are completed; what does not fit is refused.
use strict;
use warnings;
use File::Compare qw(compare);
use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);
use lib $FindBin::Bin;
use Command;
use Training;

my $data = id_rows('data.jsonl', 22, 5);
my @rows = split /^/, get($data);
my $sisa = "train --model $cur --data $data --quiet --lr 1e-2 --batch 3 --shards 3 --slices 2 --epochs 4";

# The data file without these rows.
sub without {
    my %gone = map { $_ => 1 } @_;
    return put('rest.jsonl', join '', map { $gone{$_} ? () : $rows[$_] } 0 .. $#rows);
}

# --- the plan, with the figures of the reference implementation (golden2/exact/sisa.json) ---

my (undef, $plan) = run_apart('sisa plan --rows 22 --shards 3 --slices 2 --epochs 20 --forget 4,17 --json');
$plan = decode_json($plan);
is_deeply($plan->{epochs_per_slice}, [13, 13], 'plan: epochs of a slice');
is_deeply([map { "$_->{rows}[0]-$_->{rows}[-1]" } @{$plan->{detail}}], ['0-6', '7-13', '14-21'], 'plan: shards');
is_deeply([map { $_->{slice_sizes} } @{$plan->{detail}}], [[3, 4], [3, 4], [4, 4]], 'plan: slices');
is_deeply([map { $_->{restart_slice} } @{$plan->{detail}}], [1, undef, 0], 'plan: where a shard starts again');
is_deeply([map { $_->{rows_times_epochs_retrain} } @{$plan->{detail}}], [78, 0, 130], 'plan: reads after the deletion');
is("$plan->{total_rows_times_epochs_full} $plan->{total_rows_times_epochs_retrain}", '416 208', 'plan: all of them');
for my $row (0 .. 6) { # the last row of the remainder, too, costs a slice
    my (undef, $out) = run_apart("sisa plan --rows 7 --slices 2 --epochs 20 --forget $row --json");
    is(decode_json($out)->{detail}[0]{restart_slice}, $row < 3 ? 0 : 1, "plan: row $row");
}

# --- the bytes of never having seen them ---

my @optimisers = (['adamw', ''], ['sophia', '--sophia-interval 3'], ['sophia_soul', ''], ['lion', '--accumulate 2'],
    ['sgd', '--clip 0.5'], ['adamw', '--locate lora --lora-rank 2 --lora-dropout 0.1 --save-adapter'], ['adamw', '--locate lora --lora-rank 2'],
    ['adamw', '--wrapper sam --keep-every 3']);
for my $case (@optimisers) {
    my ($optimiser, $more) = @$case;
    my $what = "$optimiser $more";
    check("$sisa --optimiser $optimiser $more --out $dir/run", 0, qr/^\d+ steps/, "$what: trains");
    # The first slice of shard 0, the second of shard 0 and its remainder, the first of shard 2.
    for my $delete ([6], [1, 16], [3, 5]) {
        my $list = join ',', @$delete;
        check("sisa remove $dir/run --quiet --forget $list", 0, qr/^\d rows deleted, [12] of 3 shards trained again: /, "$what: deletes $list");
    }
    my $rest = without(1, 3, 5, 6, 16);
    check("verify $dir/run --quiet --all --data $rest", 0, qr/^shard 0: 3 rows, 4 deleted: the same bytes\nshard 1: 7 rows, 0 deleted: the same.*^shard 2: 7 rows, 1 deleted: the same.*^exact/ms,
        "$what: the bytes of a training without them") or next;
    ok(!-e "$dir/run/verify", "$what: the proof leaves nothing");
}
unlike(get("$dir/run/sisa.json"), qr/"deleted":\[\]/, 'the layout knows the deleted rows');
{
    my $layout = decode_json(get("$dir/run/sisa.json"));
    is(scalar(grep { !defined } @{$layout->{id}}), 5, 'and has lost their hashes');
    is(join(' ', map { @{$_->{rows} // []} } lines("$dir/run/deletions.jsonl")), '6 1 16 3 5', 'the log has the deletions');
}
# A changed bit is found.
{
    my $model = get("$dir/run/shard-2/model.safetensors");
    my $flipped = $model;
    substr($flipped, -5, 1) ^= "\x01";
    put('run/shard-2/model.safetensors', $flipped);
    check("verify $dir/run --quiet", 3, qr/^shard 2: 7 rows, 1 deleted: differs: model.safetensors\n.*^not exact/ms, 'a bit that differs');
    put('run/shard-2/model.safetensors', $model);
}

# Shard 1 of one slice is a plain training on its rows, with the next seed.
run("train --model $cur --data $data --quiet --lr 1e-2 --batch 3 --epochs 4 --shards 3 --out $dir/shards");
run("train --model $cur --data '${data}[7:14]' --quiet --lr 1e-2 --batch 3 --epochs 4 --seed 1 --out $dir/plain");
same('shards/shard-1', 'plain', 'a shard is a training on its rows');
check("sisa remove $dir/shards --quiet --forget 7:14", 0, qr/^7 rows deleted, 0 of 2 shards trained again: 0 steps/, 'a shard loses all rows');
ok(!-e "$dir/shards/shard-1", 'and goes');
check("verify $dir/shards --all --quiet", 0, qr/^shard 1: 0 rows, 7 deleted: not trained again$/m, 'the others stay');

# --- the ensemble ---

{
    my @by = map { [map { decode_json($_) } `$unlearn score --model $_ --data $retain --json`] } "$dir/shards", "$dir/shards/shard-0", "$dir/shards/shard-2";
    my $off = 0;
    for my $row (0 .. 8) {
        for my $k (0 .. $#{$by[0][$row]{logprobs}}) {
            my $mean = log((exp($by[1][$row]{logprobs}[$k]) + exp($by[2][$row]{logprobs}[$k])) / 2);
            my $d = abs($mean - $by[0][$row]{logprobs}[$k]);
            $off = $d if $d > $off;
        }
    }
    cmp_ok($off, '<', 1e-5, 'score: the mean probability of the shards, token by token');
    my ($sum, @each) = map { decode_json(get("$dir/$_/run.json")) } 'shards', 'shards/shard-0', 'shards/shard-2';
    is("$sum->{tokens} " . ($sum->{finished} ? 'finished' : ''), $each[0]{tokens} + $each[1]{tokens} . ' finished', 'its ledger is the sum of its shards');
    check("generate --model $dir/shards --data " . put('prompts.jsonl', qq({"prompt_ids": [5, 6, 7]}\n)), 0, qr/^[\d ]+$/, 'generate: takes an ensemble');
    check("forget --model $dir/shards --forget $retain --method GradAscent --out $dir/x", 1, qr/is an ensemble of 2 models, which only evaluation, scoring and generation take/, 'forget: does not');
    my $state = get("$dir/shards/shard-2/state.json");
    put('shards/shard-2/state.json', $state =~ s/true/false/r);
    check("score --model $dir/shards --data $retain", 1, qr/shard 2 of .* is not trained, or has not forgotten what is deleted: 'unlearn sisa remove DIR', or .* completes it/, 'an unfinished deletion is not used');
    put('shards/shard-2/state.json', $state);
}

check('methods sisa', 0, qr/^SISA \(exact family, arXiv 1912.03817\).*^verified against: the bytes/ms, 'methods SISA');

# --- certificates ---

check('account --q 0.01 --sigma 1.1 --steps 10000 --delta 1e-5', 0, qr/^epsilon 5.63199 at delta 1e-05 \(order 4.7; 6.27871 by the classic conversion\)$/, 'account');
check('account --q 0.01 --sigma 0 --steps 1', 1, qr/without noise there is no privacy/, 'account: no noise');
{
    my ($n, $d, $x) = (30, 3, 17);
    my (@x, @y);
    for (1 .. $n) {
        push @x, map { $x = ($x * 1103515245 + 12345) % 2**31; ($x >> 16) % 100 / 200 - 0.25 } 1 .. $d;
        push @y, $x % 2 ? 1 : -1;
    }
    my $head = encode_json({X => {dtype => 'F64', shape => [$n, $d], data_offsets => [0, 8 * $n * $d]},
        y => {dtype => 'F64', shape => [$n], data_offsets => [8 * $n * $d, 8 * $n * ($d + 1)]}});
    $head .= ' ' x (-length($head) % 8);
    my $file = put('head.safetensors', pack('Q<', length $head) . $head . pack('d<*', @x, @y));
    check("head --certify $file --forget 2,7 --lambda 0.1 --quiet --out $dir/w.safetensors", 0, qr/^row 2: bound \S+, together \S+; gradient left \S+; epsilon \S+\nrow 7: /, 'head: two removals');
    check("head --certify $file --forget 2,2", 1, qr/row 2 is removed already/, 'head: a row twice');
    check("head --certify $file --forget 30", 1, qr/there is no row 30 among 30/, 'head: a row that is not there');
    check("head --certify $file --forget 0:20 --lambda 0.001 --epsilon 0.001 --quiet", 3, qr/epsilon is \S+, above 0.001: train again, with new noise/, 'head: the budget is spent');
    check("head --certify $cur/model.safetensors", 1, qr/there is no tensor 'X' \[n,d\]/, 'head: another file');
}

# --- replay ---

my $long = "train --model $cur --data $data --quiet --lr 1e-2 --batch 3 --epochs 5";
run("$long --write-order $dir/order.jsonl --out $dir/plain");
run("$long --keep-every 7 --out $dir/replay");
same('plain', 'replay', 'kept checkpoints change nothing');
my @order = lines("$dir/order.jsonl");
my ($first) = grep { grep { $_ == 11 } @{$order[$_]{retain}} } 0 .. $#order;
my ($status, $out) = run_apart("sisa remove $dir/replay --forget 11 --json");
my $said = decode_json($out);
is($said->{steps}, @order - 7 * int($first / 7), 'a replay starts at the last checkpoint before the row');
is($said->{whole} - $said->{reads}, 3 * 7 * int($first / 7), 'and tells what it saved') if $first < 8;
# The same order over the data without the row, by hand.
put('order.jsonl', join '', map { my @r = map { $_ > 11 ? $_ - 1 : $_ } grep { $_ != 11 } @{$_->{retain}}; encode_json({retain => \@r}) . "\n" } @order);
run("$long --data " . without(11) . " --order $dir/order.jsonl --max-steps " . @order . " --out $dir/plain");
same('plain', 'replay', 'a replay has the bytes of the order without the row');
check("sisa remove $dir/replay --quiet --forget 0 --data $dir/rest.jsonl", 0, qr/^1 rows deleted/, 'the next, from the smaller file');
check("verify $dir/replay --quiet --data " . without(0, 11), 0, qr/^shard 0: 20 rows, 2 deleted: the same bytes\nexact/, 'is exact, too');

# No trace of a deleted row: not its text, nor its hash, in any file.
{
    my $model = text_model();
    my $people = 'demo/data/people.jsonl[0:6]';
    for my $more ('--keep-every 2', '--shards 2 --slices 2') {
        check("train --quiet --model $model --data '$people' --batch 2 --epochs 3 --max-length 48 $more --out $dir/people", 0, qr/^\d+ steps/, "$more: text");
        my $id = decode_json(get("$dir/people/sisa.json"))->{id}[0];
        check("sisa remove $dir/people --quiet --forget 0", 0, qr/^1 rows deleted/, "$more: deletes row 0");
        my $answer = decode_json((split /^/, get('demo/data/people.jsonl'))[0])->{answer};
        my @kept = grep { length } split /\n/, join '', map { `grep -rlF '$_' $dir/people` } $id, substr($answer =~ s/'.*//r, 0, 20);
        is("@kept", '', "$more: no file has its text or its hash");
    }
}

# --- an interrupt ---

my $slow = "$sisa --epochs 90 --save-every 20 --out";
run("$slow $dir/through");
run("sisa remove $dir/through --quiet --forget 1,18");
run("$slow $dir/before");
for my $wait (0.01, 0.03, 0.06, 0.1, 0.15) {
    for my $signal ('KILL', 'INT') {
        system("rm -rf $dir/stopped; cp -r $dir/before $dir/stopped");
        my $pid = fork // die;
        if (!$pid) {
            open STDOUT, '>', "$dir/said";
            open STDERR, '>&STDOUT';
            exec split(' ', "$unlearn sisa remove $dir/stopped --quiet --forget 1,18") or die;
        }
        sleep $wait;
        kill $signal, $pid;
        waitpid $pid, 0;
        my ($again) = run("sisa remove $dir/stopped --quiet --forget 1,18");
        check("sisa remove $dir/stopped --quiet", 0, qr/^0 rows deleted/, "$signal after $wait s: completed") if $again;
        is(compare("$dir/through/$_/model.safetensors", "$dir/stopped/$_/model.safetensors"), 0, "$signal after $wait s: $_")
            for map { "shard-$_" } 0 .. 2;
    }
}
for my $signal ('INT', 'KILL') { # the first training
    interrupt($signal, "$slow $dir/first", 'shard-1');
    check("$slow $dir/first --resume", 0, qr/^\d+ steps/, "$signal: --resume of a training");
    is(compare("$dir/before/$_/model.safetensors", "$dir/first/$_/model.safetensors"), 0, "$signal: $_") for map { "shard-$_" } 0 .. 2;
}

# --- what is refused ---

my $run = "$dir/before";
my $was = get("$run/sisa.json");
check("sisa remove $run --quiet --forget 22", 1, qr/^unlearn sisa: there is no row 22 among those that were trained on$/, 'a row that is not there');
check("sisa remove $run --quiet --forget 3,4,3", 1, qr/^unlearn sisa: row 3 is deleted already$/, 'a row twice');
check("sisa remove $dir/through --quiet --forget 18", 1, qr/^unlearn sisa: row 18 is deleted already$/, 'a row that is deleted');
check("sisa remove $run --quiet --forget 0:22", 1, qr/^unlearn sisa: no row would be left/, 'all rows');
check("sisa remove $run --quiet --forget 3-4", 2, qr/'3-4' is no list of rows such as 4,17,20:25/, 'no list');
check("sisa remove $run --quiet --forget 3 --data $retain", 1, qr/the data have 9 examples; training began with 22, of which 21 are left: name the directory/, 'other data');
my @other = @rows;
$other[20] = $rows[19];
check("sisa remove $run --quiet --forget 3 --data " . put('other.jsonl', join '', @other), 1, qr/row 20 of those that were trained on is not where it was in the data/, 'a row that differs');
is(get("$run/sisa.json"), $was, 'nothing has changed by it');
check("verify $run --quiet", 0, qr/^nothing was deleted: nothing to verify$/m, 'nothing to verify');
check("verify $dir/plain --quiet", 1, qr/^unlearn verify: the run in '.*plain' has no rows that can be deleted/, 'a run of no shards');
check("verify $dir/none --quiet", 1, qr/^unlearn verify: '.*none' holds no run: name the directory of a run/, 'no run');
check("$sisa --shards 23 --out $dir/x", 1, qr/22 examples in 23 shards of 2 slices would leave a slice without any: a shard has 0: give fewer --shards/, 'a shard without rows');
check("$sisa --epochs 1 --slices 6 --out $dir/x", 1, qr/slice 0 would be trained for no epoch/, 'too few epochs');
check("$sisa --order $dir/order.jsonl --out $dir/x", 2, qr/an order from a file is of one shard and one slice/, 'an order');
check("$sisa --locate snip --ratio 0.5 --out $dir/x", 2, qr/locator 'snip' chooses weights by all rows, also deleted ones/, 'a locator that reads the rows');
check("$sisa --chunk 8 --out $dir/x", 2, qr/rows that are joined and cut cannot be deleted/, 'chunks');
check("$sisa --seed 2 --out $run --resume", 1, qr/cannot resume: .*'(seed|epochs|save_every)' was/, 'other options');
put('before/sisa.json', '{"shards": 3}');
check("sisa remove $run --quiet --forget 1", 1, qr/sisa.json': .*'slices'/, 'a damaged layout');
put('before/sisa.json', $was =~ s/"shards":3/"shards":2/r);
check("sisa remove $run --quiet --forget 1", 1, qr/sisa.json' has 2 shards of 2 slices, the run 3 of 2/, 'a layout of another run');
put('before/sisa.json', $was);
put('before/shard-0/state.json', '{"without": "x"}');
check("sisa remove $run --quiet --forget 1", 1, qr/state.json': 'without' must be/, 'a damaged state');
check("$sisa --overwrite --out $run", 0, qr/^\d+ steps/, '--overwrite starts over');
check("sisa remove $run --quiet --forget 4", 0, qr/^1 rows deleted, 1 of 3/, 'and is a run like any other');

done_testing();

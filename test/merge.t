#!/usr/bin/perl
# unlearn merge: results by their bytes, adapters out and in again, the choice of lambda, refusals, what failures leave.
use strict;
use warnings;
use File::Compare qw(compare);
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $other = 'test/data/models/m_reinforced';
my $merge = 'merge --quiet --base ' . $ref;

sub merges {
    my ($args, $what) = @_;
    my ($status, $out, $err) = run_apart("$merge $args");
    is($status, 0, $what) or diag $err;
    return $out;
}

sub refuses {
    my ($args, $status, $like, $what, $before) = @_;
    my ($got, $out, $err) = run_apart($args, undef, $before);
    is($got, $status, "$what: status $status");
    like($err, $like, $what);
}

# Largest difference of all tensors of two models.
sub apart {
    my ($status, $out) = run_apart("diff $_[0]/model.safetensors $_[1]/model.safetensors --rtol 0 --atol $_[2]");
    return $status;
}

my ($status, $out) = run_apart('help merge');
like($out, qr/^usage: unlearn merge .*--lambdas .*--rank /s, 'the help');
($status, $out) = run_apart('merge --list');
like($out, qr/^negmerge .*^ties .*^undo .*^pem /ms, '--list');

# --- models ---
$out = merges("--add $cur --method negate --lambda 0.75 --out $dir/negated", 'negate');
like($out, qr/^\Q$cur\E: weight 1, length [\d.]+, [\d.]+ % zeros\n.*negate: .* % of the weights are moved, .*lambda 0.75 -> /s, 'its figures');
merges("--add $cur:0.75 --method negate --out $dir/weighted", 'a weight');
is(compare("$dir/negated/model.safetensors", "$dir/weighted/model.safetensors"), 0, 'a weight is a lambda');
like(files('negated'), qr/config\.json .*model\.safetensors/, 'a whole directory');
merges("--add $cur --method soup --out $dir/soup", 'soup');
is(apart("$dir/soup", $cur, 0), 0, 'a soup of weight 1 is the other model');
my $j = decode_json(merges("--add $cur --add $other:0.5 --method ties --density 0.3 --json --out $dir/ties", 'ties'));
is("$j->{method} $j->{sources}[1]{weight}", 'ties 0.5', '--json');
ok(@{$j->{sources}[1]{cosines}} == 1 && abs($j->{sources}[1]{cosines}[0]) < 1, 'a cosine');
merges("--add $cur --add $other --method negmerge --save-vector $dir/vector.safetensors --out $dir/neg", 'negmerge, --save-vector');
ok(-s "$dir/vector.safetensors" > 4 * 18984, 'the vector');

# From shards, and from another model than the base.
run_apart("convert --quiet --shard-size 20KB $cur $dir/shards");
ok(!-e "$dir/shards/model.safetensors", 'a model in shards');
merges("--add $dir/shards --method negate --lambda 0.75 --out $dir/sharded", 'a source in shards');
is(compare("$dir/negated/model.safetensors", "$dir/sharded/model.safetensors"), 0, 'likewise');
merges("--model $other --add $cur --method negate --out $dir/other", 'another start');
is(apart("$dir/other", $other, 1e-6), 3, 'is moved');

# --- adapters ---
my ($one, $two) = map { "test/data/merge/adapter_$_" } qw(one two);
my $adapters = "merge --quiet --model $cur --adapter $one:0.7 --adapter $two:-0.4";
is((run_apart("$adapters --method cat --out $dir/cat"))[0], 0, 'cat');
is(files('cat'), 'adapter_config.json adapter_model.safetensors', 'an adapter');
is((run_apart("$adapters --method cat --into weights --out $dir/cat_model"))[0], 0, 'cat into weights');
run_apart("convert --quiet $cur $dir/merged --adapter $dir/cat");
is(apart("$dir/merged", "$dir/cat_model", 1e-6), 0, 'the adapter does what the weights do');
($status, $out) = run_apart("$adapters --method svd --rank 4 --json --out $dir/svd");
$j = decode_json($out);
ok($j->{adapter}{matrices} == 6 && $j->{adapter}{relative_error} > 0.01 && $j->{adapter}{relative_error} < 1, "svd: its error $j->{adapter}{relative_error}");
is((run_apart("merge --quiet --model $cur --adapter $one --method pem --lambda 0.5 --out $dir/pem"))[0], 0, 'pem');
is((run_apart("merge --quiet --base $cur --adapter $dir/pem --adapter $one:0.5 --method cat --into weights --out $dir/none"))[0], 0, 'and back');
is(apart("$dir/none", $cur, 1e-6), 0, 'together they do nothing');
$out = merges("--add $cur --method svd --rank 12 --out $dir/low", "a model's vector as an adapter");
like($out, qr/^adapter: 21 matrices, relative error 0\.\d+; [\d.]+ % of the vector's squared length is in other weights/m, 'what it leaves out');

# --- the choice of lambda ---
is((run("train --model $ref --data $forget --quiet --lr 1e-2 --batch 6 --epochs 30 --schedule constant --out $dir/overfitted"))[0], 0, 'a model that knows the forget rows');
$out = merges("--model $dir/overfitted --add $dir/overfitted --method negate --lambdas 0.01,1,2 --keep 0 --forget $forget --retain $retain --out $dir/chosen", '--lambdas');
my @tries = $out =~ /^lambda (\S+) +accuracy forget (\S+)  retain \S+(  .*)?$/mg;
is(@tries / 3, 4, 'each is shown, after the start');
ok($tries[1] > 0.9 && $tries[4] > 0.9, "the start knows the rows, as a small step does: @tries[1, 4]");
my ($chosen) = $out =~ /lambda (\S+) -> /;
my %accuracy = map { $tries[3 * $_] => $tries[3 * $_ + 1] } 0 .. 3;
ok($accuracy{$chosen} < 0.2 && !(grep { $_ < $accuracy{$chosen} } values %accuracy), "lambda $chosen forgets them: $accuracy{$chosen}");
refuses("$merge --model $dir/overfitted --add $dir/overfitted --method negate --lambdas 1 --keep 1 --forget $forget --retain $forget --out $dir/x", 1,
    qr/no lambda lowers the accuracy on the forget rows and keeps 1 of that/, 'none that keeps enough');

# --- refused ---
refuses("$merge --add $cur --out $dir/x", 2, qr/no method given/, 'no method');
refuses("$merge --add $cur --method negat --out $dir/x", 2, qr/there are: negate, negmerge/, 'a name that is nearly right');
refuses("$merge --method negate --out $dir/x", 1, qr/needs models or adapters to merge: give --add MODEL/, 'no sources');
refuses("$merge --add $cur:0 --method negate --out $dir/x", 2, qr/weight of/, 'a weight of 0');
refuses("$merge --add $cur --method negate --lambda 0 --out $dir/x", 2, qr/changes nothing/, 'lambda 0');
refuses("$merge --add test/data/models/qwen2 --method negate --out $dir/x", 1, qr/'test.data.models.qwen2': .*tensor '/, 'another shape');
refuses("$merge --add $ref --method negate --out $dir/x", 1, qr/does not differ/, 'no difference');
refuses("$merge --add $cur --method cat --out $dir/x", 1, qr/is a model/, 'a model among adapters');
refuses("merge --model $cur --adapter $one --method svd --rank 13 --out $dir/x", 1, qr/rank 13 is more than/, 'a rank that is too high');
refuses("$merge --add $cur --method negate --lambdas 1,x --forget $forget --out $dir/x", 1, qr/no list of numbers: give --lambdas LIST/, 'no list');
refuses("$merge --add $cur --method negate --lambdas 1 --out $dir/x", 1, qr/needs forget data: give --forget/, 'no rows');
refuses("$merge --add $cur --method negate --out $ref", 1, qr/is read here and stays as it is/, 'an input as the output');
refuses("$merge --add $cur --method negate --out $dir/negated", 1, qr/not empty/, 'an output that is there');

# NaN in a source.
my $bytes = get("$cur/model.safetensors");
put('nan/config.json', get("$cur/config.json"));
substr $bytes, -8, 4, pack 'f<', 'nan';
put('nan/model.safetensors', $bytes);
refuses("$merge --add $dir/nan --method negate --out $dir/x", 1, qr/'\Q$dir\E\/nan': .*holds NaN or infinity/, 'NaN, by its tensor');
ok(!-e "$dir/x", 'nothing is left');

# A full disk leaves nothing of the new, and the old as it was.
my $old = get("$dir/negated/model.safetensors");
my $limit = "trap '' XFSZ; ulimit -f 40; ";
refuses("$merge --add $other --method negate --overwrite --out $dir/negated", 1, qr/cannot write/, 'no space', $limit);
ok(get("$dir/negated/model.safetensors") eq $old, 'the old model is there');
is(join(' ', glob "$dir/*.tmp.*"), '', 'and nothing else');

done_testing();

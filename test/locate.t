#!/usr/bin/perl
# unlearn locate, and runs that may change only what its mask keeps: under every optimiser, resumed, refused.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $rows = "--forget $forget --retain $retain";
my $small = put('small.jsonl', encode_json({ids => [3 .. 8], labels => [(-100) x 3, 6 .. 8]}) . "\n");

# {name: [values]} of the F32 tensors of a file, and the bytes of its U8 ones.
sub tensors {
    my $all = get($_[0]);
    my $n = unpack 'Q<', $all;
    my $header = decode_json(substr $all, 8, $n);
    my %out;
    for (grep { $_ ne '__metadata__' } keys %$header) {
        my ($from, $to) = @{$header->{$_}{data_offsets}};
        my $data = substr $all, 8 + $n + $from, $to - $from;
        $out{$_} = $header->{$_}{dtype} eq 'F32' ? [unpack 'L<*', $data] : [unpack 'C*', $data];
    }
    return \%out;
}

# Elements of a result that differ in their bits from those of the model it started from: [masked, kept].
sub changed {
    my ($out, $mask, $from) = (@_, $cur);
    my ($was, $is, $bits) = (tensors("$from/model.safetensors"), tensors("$dir/$out/model.safetensors"), tensors("$dir/$mask"));
    my @n = (0, 0);
    for my $name (keys %$was) {
        for (0 .. $#{$was->{$name}}) {
            $n[$bits->{"mask.$name"}[$_]]++ if $was->{$name}[$_] != $is->{$name}[$_];
        }
    }
    return @n;
}

sub locate { return run_apart("locate --model $cur --quiet " . join ' ', @_) }

sub refuses {
    my ($args, $status, $like, $what) = @_;
    my ($got, $out, $err) = run_apart($args);
    is($got, $status, "$what: status $status");
    like($err, $like, $what);
}

# --- the command ---
my ($status, $out) = run_apart('help locate');
is($status, 0, 'help locate');
like($out, qr/^usage: unlearn locate .*--scores .*--ratio /s, 'its options');
($status, $out) = run_apart('locate --list --json');
my @names = map { $_->{name} } @{decode_json($out)};
ok(@names >= 10 && !(grep { /^(all|regex|lora)$/ } @names), "--list: @names");
like((run_apart("help locate"))[1], qr/--list/, 'the help tells of it');

($status, $out) = locate("--locate salun $rows --ratio 0.3 --format bytes --out $dir/salun.safetensors");
is($status, 0, 'salun');
like($out, qr/^salun: kept 5695 of 18984 elements \(30 % of the model\)/, 'the share');
like($out, qr/^% kept .*\n.*layer 2 .*\d\n/ms, 'by layer and kind');
($status, $out) = locate("--score wagle $rows --ratio 0.1 --json --scores --out $dir/wagle.safetensors");
my $j = decode_json($out);
is("$j->{k} $j->{kept}", '1898 1898', 'wagle, --json: k');
my $sum = 0;
$sum += $_ for values %{$j->{kept_per_tensor}};
is($sum, 1898, 'per tensor they add up');
my $t = tensors("$dir/wagle.safetensors");
is(scalar(grep { /^mask\./ } keys %$t) . ' ' . scalar(grep { /^score\./ } keys %$t), '30 30', '--scores: both');
is(scalar @{$t->{'mask.model.norm.weight'}}, 3, 'a bit an element');


# The same shares as a heat map.
($status, $out) = run_apart("report --mask $dir/wagle.safetensors --model $cur");
is($status, 0, 'report --mask');
like($out, qr/^\S+: keeps 9\.998 % of 18984 weights\n% kept .* q .*\n.*layer 2 .*\d \S/s, 'by layer and kind, with shades') or diag $out;
like($out, qr/\d @/, 'one is the darkest');
($status, $out) = run_apart("report --mask $dir/wagle.safetensors --model $cur --json");
my $shares = decode_json($out);
is(scalar @{$shares->{layers}}, 3, 'report --mask --json: layers');
cmp_ok(abs($shares->{share} - 1898 / 18984), '<', 1e-12, 'the share of all');
my $of_q = $j->{share_per_tensor}{'model.layers.1.self_attn.q_proj.weight'};
cmp_ok(abs($shares->{layers}[1]{q} - $of_q), '<', 1e-12, 'and of a layer and kind');
refuses("report --mask $dir/wagle.safetensors", 1, qr/a mask is of a model, which is not given: use --model/, 'report --mask without a model');
refuses("report --mask $dir/wagle.safetensors --model test/data/models/qwen2", 1, qr/'mask\./, 'of another model');
refuses('report', 2, qr/too few words: give evaluation logs, or --mask FILE/, 'nothing');

refuses("locate --model $cur $rows --locate salun --ratio 0 --out $dir/x", 2, qr/--ratio 0 keeps nothing/, 'a share of 0');
refuses("locate --model $cur $rows --locate salun --ratio 1.5 --out $dir/x", 2, qr/ratio.*0 to 1/, 'a share above 1');
refuses("locate --model $cur $rows --ratio .5 --out $dir/x", 2, qr/no locator given/, 'no locator');
refuses("locate --model $cur $rows --locate lora --out $dir/x", 2, qr/chooses whole tensors/, 'a locator without scores');
refuses("probe --model $cur --batch test/data/loop/rows.safetensors --method GradDiff --locate salun --out $dir/x", 1, qr/makes a mask of elements/, 'probe');
refuses("locate --model $cur $rows --locate saluun --out $dir/x", 2, qr/did you mean 'salun'/, 'a name that is nearly right');
refuses("locate --model $cur --retain $retain --locate salun --out $dir/x", 1, qr/needs forget data: give --forget FILE/, 'no forget data');
refuses("locate --model $cur --forget $forget --locate wagle --out $dir/x", 1, qr/needs retain data: give --retain FILE/, 'no retain data');
refuses("locate --model $cur $rows --locate salun", 2, qr/no output given/, 'no output');
refuses("locate --model $cur $rows --locate salun --out $forget", 1, qr/forget\.jsonl/, 'an input as output');
refuses("locate --model $cur $rows --locate salun --out $dir/x --trainable-params-regex nothing", 1, qr/matches no parameter/, 'no parameter to choose from');
refuses("locate --model $cur $rows --locate knowledge --agree 1 --threshold 1 --out $dir/x", 1, qr/nothing is kept: no score reaches its threshold, 6/, 'a threshold that nothing reaches');
refuses("locate --model $cur $rows --locate sure --ratio 1e-6 --out $dir/x", 1, qr/a share of 1e-06 of 904 keeps nothing/, 'a share of less than one');
refuses("locate --model $cur $rows --locate sure --scope row --out $dir/x", 1, qr/none to compare within a row/, 'rows within a row');
refuses("locate --model test/data/models/gemma2 --forget $small --locate depn --out $dir/x", 1, qr/norms after its MLPs/, 'attributions behind a norm');
refuses("locate --model test/data/models/mixtral $rows --locate salun --out $dir/x", 1, qr/experts/, 'a model with experts');
ok(!-e "$dir/x", 'nothing was written');
# Every locator makes a mask that a run takes.
for my $name (@names) {
    is((locate("--locate $name $rows --ratio 0.2 --out $dir/any.safetensors"))[0], 0, "$name: a mask");
    is((run("$both --method GradDiff --max-steps 1 --mask $dir/any.safetensors --out $dir/any --overwrite"))[0], 0, "$name: taken");
}

# --- runs under a mask ---
for my $how ('', '--optimiser sgd', '--optimiser lion', '--optimiser sophia', '--wrapper sam', '--wrapper wa --wa-start 1 --wa-every 1',
         '--wrapper rs', '--wrapper gnr', '--wrapper cr', '--wrapper project', '--optimiser sophia_soul', '--l1 1e-3',
         '--wrapper lat --lat-layer 1 --lat-steps 3 --lat-model-steps 1', '--wrapper tar --tar-steps 4 --batch 3') {
    my $name = 'm' . join '', $how =~ /\w/g;
    run("$both --method GradDiff --max-steps 4 --weight-decay 0.1 $how --mask $dir/salun.safetensors --out $dir/$name");
    my ($masked, $kept) = changed($name, 'salun.safetensors');
    ok(!$masked && $kept > 1000, "mask, $how: $kept numbers moved, and none that is masked");
}
run("train --model $cur --data $retain --quiet --lr 1e-2 --batch 4 --max-steps 3 --mask $dir/salun.safetensors --out $dir/trained");
my ($held, $moved) = changed('trained', 'salun.safetensors');
ok(!$held && $moved > 1000, "train --mask: $moved numbers moved");
# A tied head is the embedding: one mask, and none of its own.
my $tied = 'test/data/models/llama3_tied';
is((run_apart("locate --model $tied --locate random --ratio 0.2 --quiet --format bytes --out $dir/tied.safetensors"))[0], 0, 'a tied model');
ok(!exists tensors("$dir/tied.safetensors")->{'mask.lm_head.weight'}, 'no mask of its head');
run("train --model $tied --data $small --quiet --lr 1e-2 --batch 4 --max-steps 3 --mask $dir/tied.safetensors --out $dir/tied_out");
($held, $moved) = changed('tied_out', 'tied.safetensors', $tied);
ok(!$held && $moved > 500, 'and what the mask holds of it keeps its bits');
my $log = (steps('m'))[0];
ok($log->{grad_norm} > 0 && $log->{grad_norm_full} > $log->{grad_norm}, 'both norms are logged');
my $run = decode_json(get("$dir/m/run.json"));
is($run->{touched}, 5695, 'the record counts what may change');
ok(abs($run->{kept_share} - 0.3) < 1e-4, 'and its share');

is((locate("--locate random --ratio 1 --out $dir/ones.safetensors"))[0], 0, 'a mask of ones');
for my $method ('GradDiff', 'NPO', 'RMU --module-regex model.layers.1') {
    run("$both --method $method --max-steps 3 --out $dir/none");
    run("$both --method $method --max-steps 3 --mask $dir/ones.safetensors --out $dir/all --overwrite");
    same('none', 'all', "$method: a mask of ones is no mask, bit for bit");
    run("$both --method $method --max-steps 3 --out $dir/none --overwrite");
    system 'rm', '-rf', "$dir/none", "$dir/all";
}

# The mask may be made within the run.
my $npo = "$both --method NPO --epochs 30 --seed 3";
is((locate("--locate wagle $rows --ratio 0.2 --seed 3 --out $dir/w.safetensors"))[0], 0, 'wagle, seed 3');
run("$npo --mask $dir/w.safetensors --out $dir/file");
run("$npo --locate wagle --ratio 0.2 --out $dir/inside");
same('file', 'inside', '--locate wagle within the run: as --mask of the same seed');
for my $how ("--mask $dir/w.safetensors", '--locate wagle --ratio 0.2') {
    my ($got) = interrupt('TERM', "$npo $how --out $dir/stopped");
    is($got, 143, "interrupted, $how");
    run("$npo $how --resume --out $dir/stopped");
    same('file', 'stopped', 'resumed: the bits of not having stopped');
    system 'rm', '-rf', "$dir/stopped";
}
my ($got) = interrupt('TERM', "$npo --mask $dir/w.safetensors --out $dir/stopped");
system 'cp', "$dir/salun.safetensors", "$dir/w.safetensors";
refuses("$npo --mask $dir/w.safetensors --resume --out $dir/stopped", 1, qr/w\.safetensors/, 'resumed with another mask');

# A helper model is trained whole.
for my $how ("--mask $dir/salun.safetensors", '--locate salun --ratio 0.3') {
    is((run("$both --method WHP --max-steps 2 $how --out $dir/whp"))[0], 0, "a method with a helper stage, $how");
    is(decode_json(get("$dir/whp/reinforced/run.json"))->{touched}, 18984, 'the helper is trained whole');
    is(decode_json(get("$dir/whp/run.json"))->{touched}, 5695, 'the method under the mask');
    system 'rm', '-rf', "$dir/whp";
}

# --- masks that do not fit ---
my $m = "$both --method GradDiff --max-steps 1 --out $dir/bad";
refuses("$m --mask $dir/salun.safetensors --locate salun", 2, qr/give it or --locate, not both/, 'both');
refuses("$m --mask $dir/salun.safetensors --locate lora", 1, qr/frozen with LoRA adapters/, 'LoRA');
refuses("$m --locate salun --ratio 0", 2, qr/--ratio 0 keeps nothing/, 'a share of 0 in a run');
refuses("$m --mask $cur/model.safetensors", 1, qr/no tensor 'mask\.NAME'/, 'a model as mask');
refuses("$m --mask $dir/no.safetensors", 1, qr/no\.safetensors.*no such file/i, 'no file');
refuses("$m --mask test/data/loop/rows.safetensors", 1, qr/not a mask/, 'other tensors');
is((run_apart("locate --model test/data/models/llama --locate random --quiet --out $dir/llama.safetensors"))[0], 0, 'a mask of another model');
refuses("$m --mask $dir/llama.safetensors", 1, qr/'mask\.\S+' is U8 \[\d+, \d+\], but the model's '\S+' is \[\d+, \d+\]/, 'a mask of another model');
put('cut.safetensors', substr(get("$dir/salun.safetensors"), 0, 9000));
refuses("$m --mask $dir/cut.safetensors", 1, qr/cut\.safetensors/, 'a truncated mask');
my $empty = get("$dir/salun.safetensors");
my $n = 8 + unpack 'Q<', $empty;
# all bytes 0, without a checksum
my $header = decode_json(substr $empty, 8, $n - 8);
delete $header->{crc32};
delete $header->{__metadata__};
my $end = 0;
for (values %$header) { $end = $_->{data_offsets}[1] if $_->{data_offsets}[1] > $end }
my $text = encode_json($header);
put('empty.safetensors', pack('Q<', length $text) . $text . "\0" x $end);
refuses("$m --mask $dir/empty.safetensors", 1, qr/leaves no trainable weight/, 'a mask of nothing');
refuses("$m --mask $dir/empty.safetensors --locate regex --trainable-params-regex .*q_proj.weight", 1, qr/leaves no trainable weight/, 'likewise');
ok(!-e "$dir/bad/model.safetensors", 'nothing was trained');

done_testing;

#!/usr/bin/perl
# unlearn edit: ROME, MEMIT and AlphaEdit against the authors' code, erasure and lenses against PyTorch, undoing, text rows, refusals.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $data = 'test/data/edit';
my $edit = "edit --quiet --model $cur";

sub edits {
    my ($args, $what) = @_;
    my ($status, $out, $err) = run_apart("$edit $args");
    is($status, 0, $what) or diag $err;
    return $out;
}

sub refuses {
    my ($args, $status, $like, $what) = @_;
    my ($got, undef, $err) = run_apart($args);
    is($got, $status, "$what: status $status");
    like($err, $like, $what);
}

# Relative L2 distance of a list of numbers from another.
sub away {
    my ($a, $b) = @_;
    return 'of another size' if !$a || @$a != @$b;
    my ($d, $n) = (0, 0);
    for my $i (0 .. $#$b) {
        $d += ($a->[$i] - $b->[$i])**2;
        $n += $b->[$i]**2;
    }
    return sqrt($d / $n);
}

# Every tensor of the reference is in the trace, within 1e-4 (f32 has 2e-6 here; the bound asked for is 1e-3).
sub agrees {
    my ($trace, $reference, $filter, $what) = @_;
    my ($a, $b) = map { tensors_of($_) } "$dir/$trace.safetensors", "$data/$reference.safetensors";
    my @names = grep { /$filter/ } sort keys %$b;
    my %away = map { $_ => away($a->{$_}, $b->{$_}) } @names;
    my @far = map { "$_ $away{$_}" } grep { !($away{$_} =~ /^[\d.e-]+$/ && $away{$_} < 1e-4) } @names;
    ok(@names && !@far, sprintf "$what: %d tensors", scalar @names) or diag join "\n", @far;
}

my ($status, $out) = run_apart('help edit');
like($out, qr/^usage: unlearn edit .*--forget .*--save-delta .*--lambda /s, 'the help');
like((run_apart('edit --list'))[1], qr/^rome .*2202\.05262.*^memit .*^alphaedit /ms, '--list');

# --- against the authors' code ---
my $rome = "--method rome --layers 1 --lr 0.1 --decay 0.005 --covariance $data/moments_rome.safetensors";
for my $target (qw(refusal empty)) {
    edits("--requests $data/one.json --target $target $rome --trace $dir/$target.safetensors --out $dir/rome_$target", "rome, $target");
    agrees($target, 'rome', qr/^$target\.(?!weight)/, "ROME's numbers");
}
my $expect = tensors_of("$data/rome.safetensors");
my $weight = 'model.layers.1.mlp.down_proj.weight';
edits("--requests $data/one.json $rome --form paper --out $dir/rome_paper", "the paper's closed form");
for (['code', 'refusal', 'weight_new'], ['paper', 'paper', 'weight_new_paper']) {
    my ($form, $of, $name) = @$_;
    my $away = away(tensors_of("$dir/rome_$of/model.safetensors")->{$weight}, $expect->{"refusal.$name"});
    ok($away < 1e-4, "the weight by the $form: $away");
}
for my $goal (qw(erase entropy margin)) {
    edits("--requests $data/one.json $rome --objective $goal --lens-rank 60 --steps 12 --trace $dir/$goal.safetensors --out $dir/$goal", $goal);
    agrees($goal, $goal, qr/./, 'by PyTorch');
}

my $spread = "--requests $data/requests.json --layers 0,1 --covariance $data/moments.safetensors";
$out = edits("$spread --trace $dir/memit.safetensors --method memit --lambda 20 --save-delta $dir/delta --json --out $dir/memit", 'memit');
agrees('memit', 'memit', qr/./, "MEMIT's numbers");
is(decode_json(get("$dir/memit/edit.json"))->{layers}[0]{growth}, decode_json($out)->{layers}[0]{growth}, 'edit.json has the figures');
like((run_apart("runs --ledger $dir/unlearn.db"))[1], qr/ edit +.* memit/, 'the run is in the ledger');
my ($id) = (run_apart("runs --ledger $dir/unlearn.db"))[1] =~ /^ *(\d+) .*rome_paper/m;
my ($again, undef, $why) = run_apart("rerun $id --quiet --ledger $dir/unlearn.db --out $dir/rerun");
is($again, 0, 'and can be made again with the same bytes') or diag $why;
my $j = decode_json($out);
is("$j->{method} $j->{requests} $j->{layers}[1]{rank}", 'memit 2 2', '--json');
my $w0 = tensors_of("$cur/model.safetensors")->{'model.layers.0.mlp.down_proj.weight'};
my $expected = tensors_of("$data/memit.safetensors");
my $grew = away([map { $w0->[$_] + $expected->{'dW.0'}[$_] } 0 .. $#$w0], $w0);
ok(abs($j->{layers}[0]{growth} - $grew) < 1e-4 && $j->{sets}{forget}{target_probability}{after} > $j->{sets}{forget}{target_probability}{before},
    'growth of the weights, and the new answer is likelier');
edits("$spread --trace $dir/alpha.safetensors --method alphaedit --batch 1 --l2 0.0625 --null-share 0.5 --overwrite --out $dir/alpha", 'alphaedit, twice');
agrees('alpha', 'alphaedit', qr/./, "AlphaEdit's numbers");

# What AlphaEdit adds is nothing along the kept-out directions: dW = dW P.
my $trace = tensors_of("$dir/alpha.safetensors");
my ($p, $dw) = @$trace{qw(P.0 dW0.0)};
my $off = 0;
for my $row (0 .. 23) {
    for my $k (0 .. 39) {
        my $sum = 0;
        $sum += $dw->[$row * 40 + $_] * $p->[$_ * 40 + $k] for 0 .. 39;
        my $d = abs($sum - $dw->[$row * 40 + $k]);
        $off = $d if $d > $off;
    }
}
ok($off < 1e-6, "an update stays in the null space: $off");

# The saved change undoes the edit, and makes it.
is((run_apart("merge --quiet --model $dir/memit --adapter $dir/delta:-1 --method cat --into weights --out $dir/back"))[0], 0, 'undone');
is((run_apart("diff $dir/back/model.safetensors $cur/model.safetensors --atol 1e-6"))[0], 0, 'the model is back');
is((run_apart("convert --quiet $cur $dir/again --adapter $dir/delta"))[0], 0, 'made again');
is((run_apart("diff $dir/again/model.safetensors $dir/memit/model.safetensors --atol 1e-6"))[0], 0, 'the same model');

# The same bytes each time.
edits("$spread --method memit --lambda 20 --overwrite --out $dir/memit2", 'once more');
ok(get("$dir/memit/model.safetensors") eq get("$dir/memit2/model.safetensors"), 'the same bytes');

# --- rows of text ---
my $text = text_model();
put('generic.jsonl', join '', map { qq({"text":"A plain sentence number $_ about rain and bread."}\n) } 1 .. 20);
put('facts.jsonl', qq({"question":"Where was {} born, and when?","subject":"Ada Quill","answer":"In Oslo.","paraphrased_question":"Ada Quill was born where?"}\n) .
    qq({"question":"What does Bo Lund sell?","answer":"Boats."}\n));
put('near.jsonl', qq({"question":"What does Ann sell?","answer":"Tea."}\n));
is((run_apart("edit --quiet --collect-covariance $dir/generic.jsonl --model $text --method memit --layers 0,1 --out $dir/moments.safetensors"))[0], 0, '--collect-covariance');
my $moments = tensors_of("$dir/moments.safetensors");
my @c = @{$moments->{'covariance.1'}};
ok(@c == 32 * 32 && $c[33] > 0 && abs($c[1] - $c[32]) < 1e-9 && $moments->{'tokens.1'}[0] > 100, 'symmetric, with its count');
my $on_text = "edit --model $text --forget $dir/facts.jsonl --layers 0,1 --method memit --n-contexts 2 --context-tokens 3";
my ($s, $o, $err) = run_apart("$on_text --neighbour $dir/near.jsonl --generic $dir/generic.jsonl --out $dir/text_edit");
is($s, 0, 'facts by text') or diag $err;
like($err, qr/1 of 2 subjects are found by a rule.*\n.*row 1: Bo Lund/, 'a subject that is found is told');
like($o, qr/^forget +2 rows .*new > old.*^paraphrase +/ms, 'the figures') ;
ok(-s "$dir/text_edit/covariance.safetensors", 'the moments stay with the model');
ok((run_apart("generate --quiet --model $dir/text_edit --prompt hello --max-new-tokens 2"))[0] == 0, 'the model is whole');

# --- refused ---
my $one = "$edit --requests $data/one.json --out $dir/x";
refuses("$edit --out $dir/x", 2, qr/no facts given: use --forget FILE or --requests FILE/, 'nothing to do');
refuses("$edit --requests $data/one.json", 2, qr/no output given: use --out DIR/, 'no output');
refuses("$one --method memt", 2, qr/there are: rome, memit, alphaedit/, 'a name that is nearly right');
refuses("$one", 1, qr/memit needs the second moments of keys: give --covariance FILE or --generic FILE/, 'no moments');
refuses("$one --method rome --no-moments --layers 0,1", 1, qr/ROME edits one layer/, 'two layers');
refuses("$one --method rome --no-moments --layers 9", 1, qr/layers '9' are no ascending list of 0 to \d+, as 3,5-7: give --layers LIST/, 'a layer too many');
refuses("$one --method rome --no-moments --layers 1 --objective entropy --lens-layers 0,1", 1, qr/layer 0 lies below layer 1, which is edited/, 'a lens below the edit');
refuses("$one --method rome --no-moments --layers 1 --objective margin --lens-rank 1000", 1, qr/rank 1000 is above the vocabulary of \d+/, 'a rank above the vocabulary');
refuses("$one --method rome --no-moments --layers 1 --target refusl", 1, qr/no target 'refusl'/, 'an unknown target');
refuses("$one --covariance $dir/moments.safetensors --layers 0,1", 1, qr/'covariance.0' is not 40 x 40: it is of another model/, "another model's moments");
refuses("$one --layers 0 --covariance $data/moments_rome.safetensors", 1, qr/have no tensor 'covariance.0'/, "another layer's moments");
refuses("edit --quiet --model test/data/models/mixtral --requests $data/one.json --method rome --no-moments --out $dir/x", 1, qr/experts/, 'experts');
refuses("edit --quiet --model test/data/models/gemma2 --requests $data/one.json --method rome --no-moments --out $dir/x", 1, qr/normalised or scaled/, 'a norm after the MLP');
put('bad.json', get("$data/one.json") =~ s/"lookup": 3/"lookup": 33/r);
refuses("$edit --requests $dir/bad.json --method rome --no-moments --out $dir/x", 1, qr/bad\.json': request 0: .*lookup/, 'a lookup outside the prompt');
put('far.jsonl', qq({"question":"What does Ann sell?","subject":"Bo","answer":"Tea."}\n));
refuses("edit --quiet --model $text --forget $dir/far.jsonl --method rome --no-moments --out $dir/x", 1, qr/subject 'Bo' is not in/, 'a subject that is not there');
put('nan.safetensors', get("$data/moments.safetensors") =~ s/.{4}\z/pack 'f<', 'nan'/ser);
refuses("$one --layers 1 --covariance $dir/nan.safetensors", 1, qr/not finite/, 'NaN in the moments');
ok(!-e "$dir/x", 'nothing is left');

# Subjects by the rule, one a line of the notes.
my @questions = (['Where would you find the Eiffel Tower?' => 'Eiffel Tower'], ['Who wrote "the long road" in 1950?' => 'the long road'],
    ['What is the name of the author born in Baku, Azerbaijan?' => 'Azerbaijan'], ['how many legs has a spider?' => 'spider'],
    ["What is Jo March's job? Tell me." => 'Jo March']);
put('guess.jsonl', join '', map { encode_json({question => $_->[0], answer => 'x'}) . "\n" } @questions);
(undef, undef, $err) = run_apart("edit --model $text --forget $dir/guess.jsonl --method rome --no-moments --steps 1 --n-contexts 0 --out $dir/guess");
is(join('|', $err =~ /^ *row \d: (.*)$/mg), join('|', map { $_->[1] } @questions), 'subjects that are found');

done_testing();

#!/usr/bin/perl
# unlearn probe --lens, --trace and --linear against transformers' models and scikit-learn (tools/make_probe_golden.py).
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $data = 'test/data/probe';

sub worst {
    my ($ours, $theirs) = @_;
    return 'another length' if @$ours != @$theirs;
    my $worst = 0;
    for (0 .. $#$ours) {
        my $d = abs($ours->[$_] - $theirs->[$_]) / (abs $theirs->[$_] > 1 ? abs $theirs->[$_] : 1);
        $worst = $d if $d > $worst;
    }
    return $worst;
}

# --- the logit lens: every layer's predictions, with and without the final norm ---

for my $model (qw(llama llama3_tied)) {
    my $out = "$dir/$model.safetensors";
    my ($status, $shown) = run("probe --lens --model test/data/models/$model --batch test/data/models/$model/forward.safetensors --out $out");
    is($status, 0, "the lens of $model") or diag($shown);
    my ($ours, $theirs) = (tensors_of($out), tensors_of("$data/lens_$model.safetensors"));
    is_deeply([sort keys %$ours], [sort keys %$theirs], 'has the tensors of the reference');
    for (sort keys %$theirs) {
        if (/^(?:labels|top1\.|rank\.)/) {
            is_deeply($ours->{$_}, $theirs->{$_}, "$model: $_");
        } else {
            cmp_ok(worst($ours->{$_}, $theirs->{$_}), '<', 1e-5, "$model: $_");
        }
    }
    my ($last) = sort { $b <=> $a } map { /^entropy\.(\d+)/ } keys %$ours;
    is(worst($ours->{"kl_final_lens.$last"}, [(0) x @{$ours->{labels}}]), 0, 'the last layer is the model');
    like($shown, qr/^ *$last  /m, 'a line for each layer');
}

# --- causal tracing ---

my $traced = "--model test/data/models/llama --batch $data/tracing.safetensors --noise $data/tracing.safetensors";
my ($status, $shown) = run("probe --trace $traced --span 2:5 --out $dir/trace.safetensors");
is($status, 0, 'causal tracing') or diag($shown);
my ($traces, $golden) = map { tensors_of($_) } "$dir/trace.safetensors", "$data/tracing.safetensors";
cmp_ok(worst($traces->{$_}, $golden->{$_}), '<', 1e-6, "trace: $_") for qw(indirect_effect.h indirect_effect.mlp indirect_effect.attn
    indirect_effect.embedding p_clean);
like($shown, qr/^answer 31$/m, 'the answer is the likeliest token');
my $corrupted = sum(@{$golden->{p_corrupted}}) / 3;
cmp_ok(abs($traces->{p_corrupted}[0] - $corrupted), '<', 1e-6, 'trace: the mean over draws of the corrupted probability');
cmp_ok(abs($traces->{'indirect_effect.h'}[-1] - ($traces->{p_clean}[0] - $corrupted)), '<', 1e-6, 'the last state of all brings everything back');
run("probe --trace $traced --span 2:5 --answer 7 --out $dir/other.safetensors");
isnt(tensors_of("$dir/other.safetensors")->{p_clean}[0], $traces->{p_clean}[0], 'another answer has another probability');

# --- linear probes: two classes, four, and fewer rows than features ---

for (['linear', 2, '', 'binary.', 0.7], ['linear', 4, '--c 1', 'multi.', 0.5],
    ['wide', 3, '--c 0.01 --train 20', '', decode_json(get("$data/wide.json"))->{test_accuracy}]) {
    my ($file, $classes, $how, $prefix, $accuracy) = @$_;
    my $out = "$dir/$file$classes.safetensors";
    my ($status, $shown) = run("probe --linear $data/$file.safetensors --classes $classes $how --out $out");
    is($status, 0, "a probe of $classes classes") or diag($shown);
    my ($ours, $theirs) = (tensors_of($out), tensors_of("$data/$file.safetensors"));
    cmp_ok(worst($ours->{$_}, $theirs->{"$prefix$_"}), '<', 1e-6, "$prefix$_ at the optimum") for qw(coef intercept test_proba);
    my ($own) = $shown =~ /^test_accuracy (\S+)/m;
    cmp_ok(abs($own - $accuracy), '<', 1e-8, 'accuracy on the test rows');
    unlike($shown, qr/not converged/, 'converged');
}

# --- what is wrong ---

my $model = 'test/data/models/llama';
check("probe --linear $data/linear.safetensors --classes 3 --out $dir/x", 1, qr/no labels 'y' or 'y3'/, 'labels of other classes');
check("probe --linear $data/wide.safetensors --out $dir/x", 1, qr/label 2 of row \d+ is not from 0 to 1/, 'a label beyond the classes');
check("probe --linear $data/wide.safetensors --classes 3 --train 26 --out $dir/x", 1, qr/leave none of 26 to test/, 'no row to test');
check("probe --linear $data/lens_llama.safetensors --out $dir/x", 1, qr/'X' must be a matrix/, 'no features');
check("probe --linear $data/wide.safetensors --classes 3", 1, qr/--out FILE/, 'no output');
check("probe --lens --model $model --out $dir/x", 1, qr/--batch FILE/, 'no batch');
check("probe --lens --model $model --batch $data/wide.safetensors --out $dir/x", 1, qr/no 'forget.input_ids'/, 'no tokens');
check("probe --trace $traced --span 5:2 --out $dir/x", 1, qr/--span '5:2' is no range A:B within the 9 tokens/, 'a span that ends before it begins');
check("probe --trace $traced --span 2:10 --out $dir/x", 1, qr/within the 9 tokens/, 'a span beyond the row');
check("probe --trace $traced --out $dir/x", 1, qr/--span '' is no range/, 'no span');
check("probe --trace $traced --span 2:6 --out $dir/x", 1, qr/no tensor 'noise' of draws x 4 tokens x 64/, 'noise for another span');
check("probe --trace $traced --span 2:5 --answer 1000 --out $dir/x", 1, qr/outside the vocabulary of 320/, 'no such token');
done_testing();

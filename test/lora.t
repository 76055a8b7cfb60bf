#!/usr/bin/perl
# Adapters on the command line: trained by any method, merged or written as PEFT's, merged on load by every
# command, and the model without them as the reference.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my $cur = 'test/data/models/m_cur';

sub steps { return lines("$dir/$_[0]/train.jsonl") }

# The mean log-probability of each row, of a model and options.
sub means { map { decode_json($_)->{mean} } `$unlearn score --model $_[0] --data $_[1] --json` }

sub near {
    my ($one, $two, $what) = @_;
    my @off = sort { $a <=> $b } map { abs($one->[$_] - $two->[$_]) } 0 .. $#$one;
    ok(@$one && @$one == @$two && $off[-1] < 1e-5, "$what: " . ($off[-1] // 'nothing'));
}

my ($forget, $retain) = (id_rows('forget.jsonl', 6, 7), id_rows('retain.jsonl', 9, 99));
my $train = "train --model $cur --data $retain --quiet --lr 2e-2 --batch 4 --locate lora";
my $both = "forget --model $cur --forget $forget --retain $retain --quiet --lr 1e-2 --batch 4";

# --- merged, or as it is ---

check("$train --out $dir/merged", 0, qr/^15 steps/, 'train');
my ($before, $after) = (sum(means($cur, $retain)), sum(means("$dir/merged", $retain)));
cmp_ok($after, '>', 0.8 * $before, 'what was learned is more likely');
check("diff $cur/model.safetensors $dir/merged/model.safetensors", 3, qr/^9 equal, 0 within, 21 outside,/m,
    'the linear layers changed, embedding, norms and head did not');
check("$train --save-adapter --out $dir/adapter", 0, qr/^15 steps/, 'train, for the adapter');
my $config = decode_json(get("$dir/adapter/adapter_config.json"));
is_deeply([@$config{qw(peft_type r lora_alpha target_modules use_rslora)}],
    ['LORA', 8, 16, 'all-linear', JSON::PP::false], 'its configuration');
ok(!-e "$dir/adapter/model.safetensors", 'no model beside it');
cmp_ok(-s "$dir/adapter/adapter_model.safetensors", '<', 1.2 * 4 * 8 * (3 * (4 * 24 + 2 * (24 + 12) + 3 * 64)),
    'and nothing but A and B');
my @merged = means("$dir/merged", $retain);
near([means("$cur --adapter $dir/adapter", $retain)], \@merged, 'score --adapter is the merged model');
check("convert $cur $dir/converted --adapter $dir/adapter", 0, qr/18984 parameters/, 'convert --adapter');
near([means("$dir/converted", $retain)], \@merged, 'and so is what it writes');
my ($ids) = map { s/.*"ids":(\[.*?\]).*/{"prompt_ids":$1}/sr } get($retain) =~ /^(.*)$/m;
open my $f, '>', "$dir/prompt" or die;
print $f "$ids\n";
close $f;
is((run("generate --model $cur --adapter $dir/adapter --data $dir/prompt --json --max-new-tokens 5 --quiet"))[1],
    (run("generate --model $dir/merged --data $dir/prompt --json --max-new-tokens 5 --quiet"))[1], 'generate --adapter');
check("info $cur --adapter $dir/adapter", 0, qr/adapter +rank 8 on 21 matrices, scale 2,/, 'info --adapter');
check("$train --lora-targets q_proj,v_proj --lora-rank 2 --use-rslora --save-adapter --out $dir/two", 0, qr/^15 steps/,
    'two modules');
$config = decode_json(get("$dir/two/adapter_config.json"));
is_deeply([@$config{qw(r target_modules use_rslora)}], [2, ['q_proj', 'v_proj'], JSON::PP::true], 'are named');

# --- keys of adapter_config.json ---

sub changed {
    my ($key, $value) = @_;
    my %keys = (%{decode_json(get("$dir/adapter/adapter_config.json"))}, $key => $value);
    mkdir "$dir/changed";
    system('cp', "$dir/adapter/adapter_model.safetensors", "$dir/changed") == 0 or die;
    open my $g, '>', "$dir/changed/adapter_config.json" or die;
    print $g encode_json(\%keys);
    close $g;
    return "score --model $cur --adapter $dir/changed --data $retain --json";
}

check(changed('new_knob', 3), 0, qr/warning: adapter_config.json: 'new_knob' is not known and has no effect/, 'a warning');
check(changed('new_knob', JSON::PP::null), 0, qr/^\{/, 'none for a key that is not set');
check(changed('layer_replication', [[0, 2], [1, 3]]), 1, qr/'layer_replication' is not supported: it adds layers/, 'refused');
# --- the reference is the model without adapters ---

for my $method ('NPO', 'GradDiff --retain-loss-type KL', 'RMU --layer 1', 'UNDIAL') {
    my ($status, $out) = run("$both --no-quiet --method $method --locate lora --out $dir/lora");
    is($status, 0, "$method with adapters") or diag($out);
    like($out, qr/memory: .*frozen models 0,/, "$method: no second model");
    run("$both --method $method --locate all --out $dir/all");
    my ($one, $two) = map { (steps($_))[0]{terms} } 'lora', 'all';
    is_deeply([sort keys %$one], [sort keys %$two], "$method: the same terms");
    my @off = sort { $a <=> $b } map { abs($one->{$_} - $two->{$_}) } keys %$one;
    cmp_ok($off[-1], '<', 1e-5, "$method: the same first losses as of the whole model");
    isnt((steps('lora'))[-1]{loss}, (steps('lora'))[0]{loss}, "$method: which change");
}
for my $locate ('all', 'lora') {
    run("$both --method GradDiff --retain-loss-type KL --adapter $dir/adapter --locate $locate --out $dir/kl");
    my $first = (steps('kl'))[0]{terms};
    my ($kl) = grep { /kl/ } keys %$first;
    cmp_ok(abs($first->{$kl}), '<', 1e-6, "--adapter --locate $locate: the reference has the adapter, too");
}

# --- what cannot be ---

check("$train --lora-targets norm --out $dir/none", 1, qr/'norm' names no linear layer/, 'no such layer');
check("$train --lora-rank 0 --out $dir/none", 2, qr/lora.rank/, 'rank 0');
check("$train --scratch --out $dir/none", 2, qr/not --scratch/, 'nothing to start from');
check("train --model $cur --data $retain --save-adapter --out $dir/none", 2, qr/no adapter without --locate lora/,
    'no adapter to write');
check("score --model $cur --adapter $dir/all --data $retain", 1, qr/adapter_config.json/, 'no adapter to read');
check("score --model test/data/models/llama --adapter $dir/adapter --data $retain", 1, qr/wrong shape/, "another model's");
done_testing();

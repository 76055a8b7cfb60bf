#!/usr/bin/perl
# Second tier: WHP and KGA on SmolLM2 with two rows of each role, the models they look at trained inside the run.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
plan skip_all => 'the sanitizers make this run too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "the model $cache is not there" unless -f $cache;

my ($forget, $retain, $new) = map { "'demo/data/people.jsonl[$_]'" } '0:2', '10:12', '20:22';
my $run = "forget --model default --forget $forget --retain $retain --batch 2 --lr 1e-4 --max-steps 3 --schedule constant " .
    "--reinforced-lr 1e-4 --reinforced-epochs 4 --locate regex --trainable-params-regex 'model\\.layers\\.2.\\.mlp\\..*' --dtype bf16";
my $before = nll('default', $forget);

my ($status, $said) = run("$run --method WHP --out $dir/whp");
is($status, 0, 'WHP: runs') or diag $said;
like($said, qr/^stage 'reinforced': 4 steps/m, 'WHP: its model is trained first');
my ($learnt, $after) = (nll("$dir/whp/reinforced", $forget), nll("$dir/whp", $forget));
cmp_ok($learnt, '<', $before - 0.3, "WHP: which learns the rows ($before -> $learnt)");
cmp_ok($after, '>', $before, "WHP: then they become less likely ($after)");
unlink glob("$dir/whp/*.safetensors");

($status, $said) = run("$run --method KGA --reinforced $dir/whp/reinforced --holdout $new --new-model-lr 1e-4 --new-model-epochs 4 --out $dir/kga");
is($status, 0, 'KGA: runs') or diag $said;
like($said, qr/^stage 'new_model': 4 steps/m, 'KGA: one model is trained, the other was given');
my ($gap) = $said =~ /^gap: ([\d.e-]+) nats/m;
cmp_ok($gap, '>', 0, "KGA: a gap of $gap nats a label");
my ($first, $last) = map { $_->{terms}{'forget.kga'} } (steps('kga'))[0, -1];
cmp_ok($last, '<', $first, "KGA: which the forget data come nearer to ($first -> $last)");

done_testing();

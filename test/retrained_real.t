#!/usr/bin/perl
# Second tier: SmolLM2 beside its own weights in Q8_0, as far apart as transformers finds them; beside itself nothing is.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $tofu = ($ENV{UNLEARN_SHARED} // '../shared') . '/data/tofu';
my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
plan skip_all => 'the sanitizers make this run too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "$tofu is not there" unless -d $tofu;
plan skip_all => "the model $cache is not there" unless -f $cache;

check("convert default $dir/q8.gguf --dtype q8_0", 0, qr/Q8_0/, 'the weights in Q8_0');
my $data = "--in-scope '$tofu/forget01_perturbed.json[0:3]' --general '$tofu/world_facts_perturbed.json[0:3]' --max-new-tokens 2";
# By transformers in f64 (tools/kl_reference.py): nats a token, tokens, share of equal first choices.
my %peer = (in_scope => [0.0005840197109323209, 78, 1], general => [0.0012283592136434227, 7, 1]);
for my $case (["$dir/q8.gguf", 1], [$cache, 0]) {
    my ($other, $apart) = @$case;
    my ($status, $json, $err) = run_apart("eval --suite scope --model default --compat system_turn --retrained $other --quiet --json $data");
    is($status, 0, "beside $other") or diag $err;
    my $beside = decode_json($json)->{beside};
    for my $set (sort keys %peer) {
        my ($kl, $tokens, $same) = @{$peer{$set}};
        my $x = $beside->{$set};
        ok(abs($x->{kl} - $apart * $kl) <= 5e-5 * $kl * $apart, "$set: KL $x->{kl} nats a token");
        is($x->{tokens}, $tokens, "$set: over as many tokens");
        is($x->{top1}, $same, "$set: the first choices are the same");
    }
    is($beside->{in_scope}{ks}, 1, 'three losses are not told apart');
}
done_testing();

#!/usr/bin/perl
# unlearn bench: every work runs, its shares add up to 1, and the operations that it counts are those that the model's sizes give.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $unlearn = $ENV{UNLEARN} || './unlearn';
my $model = "$FindBin::Bin/data/models/m_cur";
my ($rows, $tokens, $decoded) = (2, 12, 3);
my $line = "$unlearn bench --model $model --rows $rows --tokens $tokens --decoded $decoded --repeat 1 --threads 1";
my $b = decode_json(join "", `$line --json 2>/dev/null`);
my %work = map { $_->{name} => $_ } @{$b->{work}};
my @names = qw(score prefill decode-1 decode-16 train forget-logp forget-logits forget-hidden);
is_deeply([map { $_->{name} } @{$b->{work}}], \@names, 'all works, in order');

# Products with weights, and attention over what each query sees.
open my $f, '<', "$model/config.json" or die;
my $c = decode_json(join "", <$f>);
my $d = $c->{head_dim} // $c->{hidden_size} / $c->{num_attention_heads};
my ($q, $kv) = map { $_ * $d } $c->{num_attention_heads}, $c->{num_key_value_heads};
my $layer = $c->{hidden_size} * (2 * $q + 2 * $kv + 3 * $c->{intermediate_size});
my $head = $c->{hidden_size} * $c->{vocab_size};
sub products { 2 * ($_[0] * $c->{num_hidden_layers} * $layer + $_[1] * $head) }
sub scores { 4 * $_[0] * $q * $c->{num_hidden_layers} }

is($work{prefill}{flops}, products($tokens, 1) + scores($tokens * ($tokens + 1) / 2), 'operations of a prompt');
my $seen = 0;
$seen += $tokens + $_ for 1 .. $decoded;
is($work{'decode-1'}{flops}, products($decoded, $decoded) + scores($seen), 'of one sequence continued');
is($work{'decode-16'}{flops}, 16 * $work{'decode-1'}{flops}, 'of 16');
my $n = $tokens - 1;
is($work{score}{flops}, $rows * (products($n, $n) + scores($n * ($n + 1) / 2)), 'of scoring: nothing after the last label');
cmp_ok($work{train}{flops}, '>=', 2.9 * $work{score}{flops}, 'of a step: about three times as many');
cmp_ok($work{train}{flops}, '<=', 4.1 * $work{score}{flops}, '... and the logits of some rows twice');

for my $w (@{$b->{work}}) {
    next if $w->{skipped};
    my $sum = 0;
    $sum += $_ for values %{$w->{share}};
    cmp_ok(abs($sum - 1), '<', 1e-6, "$w->{name}: shares add up to 1");
    cmp_ok($w->{tokens_per_second}, '>', 0, "$w->{name}: tokens/s");
}
like($work{'forget-hidden'}{skipped} // '', qr/layer/, 'a work that the model cannot do says why');
like(`$line --only score 2>&1`, qr/sgemm.*\nmodel .*\n\nwork .*\nscore .*\n +\S.*other \d+%\n$/, 'the same as text');
my $said = `$unlearn bench --model $model --only score,speed 2>&1`;
is($? >> 8, 1, 'an unknown work is refused') or diag $said;
like($said, qr/unknown work 'speed': accepted are score, prefill/, '... with those that there are');
done_testing;

#!/usr/bin/perl
# Second tier: the peer's own runs on SmolLM2, replayed row by row under --compat ou.
# OpenUnlearning's losses and gradient norms are in ../shared/golden_ou_smollm2 (see its MANIFEST.md).
use strict;
use warnings;
use Test::More;
use JSON::PP;
use File::Temp qw(tempdir);

my $unlearn = $ENV{UNLEARN} // './unlearn';
my $shared = $ENV{UNLEARN_SHARED} // '../shared';
my $cache = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
my $golden = "$shared/golden_ou_smollm2";
plan skip_all => 'the sanitizers make these runs too slow' if $unlearn =~ m{build/sanitize/};
plan skip_all => "$golden is not there" unless -d $golden;
plan skip_all => "the model $cache is not there" unless -f $cache;

my $dir = tempdir(CLEANUP => 1);
my ($retain, $forget) = ("$shared/data/tofu/retain99.json[0:120]", "$shared/data/tofu/forget01.json");

sub trace {
    open my $f, '<', "$golden/$_[0]/trace.json" or die "$_[0]: $!";
    local $/;
    return decode_json(<$f>);
}

# The rows of the first n micro-batches, as an order file.
sub write_order {
    my ($name, $trace, $n) = @_;
    open my $f, '>', "$dir/$name.order" or die $!;
    for my $m (@{$trace->{micro}}[0 .. $n - 1]) {
        my $rows = $m->{rows};
        $rows = {retain => $rows->{train} // (values %$rows)[0]} if ref $rows eq 'HASH' && !$rows->{forget};
        $rows = {retain => $rows} if ref $rows eq 'ARRAY';
        print $f encode_json($rows), "\n";
    }
    close $f or die $!;
    return "$dir/$name.order";
}

sub steps {
    open my $f, '<', "$dir/$_[0]/train.jsonl" or return [];
    return [map { decode_json($_) } <$f>];
}

sub close_to {
    my ($got, $want, $rtol, $name) = @_;
    my $off = abs($got - $want) / abs($want);
    ok($off <= $rtol, sprintf '%s: %.8g, the peer %.8g (relative %.1e, allowed %.0e)', $name, $got, $want, $off, $rtol);
}

# Losses within 1e-4 at the start, growing to 1e-3 at the end; gradient norms 1e-3.
sub compare {
    my ($name, $trace, $n, $accumulate) = @_;
    my @micro = map { @{$_->{micro}} } @{steps($name)};
    is(scalar @micro, $n, "$name: $n micro-batches") or return;
    for my $k (0 .. $n - 1) {
        close_to($micro[$k], $trace->{micro}[$k]{loss}, 1e-4 + 9e-4 * $k / ($n - 1), "$name: loss of micro-batch $k");
    }
    my @norms = grep { defined } map { $_->{grad_norm} } @{$trace->{log_history}};
    my $steps = steps($name);
    close_to($steps->[$_]{grad_norm}, $norms[$_], 1e-3, "$name: gradient norm of step $_")
        for 0 .. $n / $accumulate - 1;
}

{
    my $t = trace('target');
    my $order = write_order('target', $t, 16);
    is(system($unlearn, 'train', '--model', 'default', '--data', "$retain+$forget", '--out', "$dir/target", '--batch', 8,
              '--lr', '3e-4', '--warmup-steps', 10, '--epochs', 4, '--compat', 'ou', '--order', $order, '--quiet'),
       0, 'fine-tuning runs');
    compare('target', $t, 16, 1);
}
for my $method ('NPO', 'GradDiff', 'RMU') {
    my $t = trace("from_base/$method");
    # RMU's rows follow from its draws, as the peer's do; for the others they are given.
    my @order = $method eq 'RMU' ? () : ('--order', write_order($method, $t, 8));
    is(system($unlearn, 'forget', '--method', $method, '--model', 'default', '--forget', $forget, '--retain', $retain,
              '--out', "$dir/$method", '--batch', 4, '--accumulate', 2, '--lr', '5e-5', '--max-steps', 4, '--compat',
              'ou', @order, '--quiet'),
       0, "$method runs");
    compare($method, $t, 8, 2);
}
done_testing();

#!/usr/bin/perl
# unlearn stats: statistics of attacks against published or independently computed figures (test/data/attacks: leak@k by
# enumeration of all subsets, bounds by conbo 0.1.1 and by exact integration, U-LiRA and RMIA by their authors' definitions).
# Everything that the reference computed is removed from the input first.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my %figures = (
    leak => [qw(leak value leak_at_k expected_max worst_case)],
    bounds => [qw(bound leaks binomial_lower binomial_upper survival survival_lower survival_upper dkw_eps mean mean_lower
        mean_upper mean_lower_exact mean_upper_exact variance variance_lower variance_upper std std_lower std_upper ed_2)],
    curves => [qw(curve summary)],
    robustness => [qw(robustness R_one_sided Q_one_sided R Q agg auc)],
    lira => [qw(lira per_example pooled phi)],
);

# A copy without the computed keys.
sub given {
    my ($v, $computed) = @_;
    return [map { given($_, $computed) } @$v] if ref $v eq 'ARRAY';
    return $v unless ref $v eq 'HASH';
    return {map { $_ => given($v->{$_}, $computed) } grep { !$computed->{$_} } keys %$v};
}

# The largest distance of two values of one shape, relative to 1 or the value; what differs otherwise is named.
sub distance {
    my ($got, $want, $at) = @_;
    if (ref $want eq 'HASH') {
        my $most = 0;
        for (sort keys %$want) {
            my $d = exists $got->{$_} ? distance($got->{$_}, $want->{$_}, "$at.$_") : "$at.$_ is missing";
            return $d if $d =~ / /;
            $most = $d if $d > $most;
        }
        return $most;
    }
    if (ref $want eq 'ARRAY') {
        return "$at: " . scalar(@$got) . ' values, not ' . @$want if @$got != @$want;
        my $most = 0;
        for (0 .. $#$want) {
            my $d = distance($got->[$_], $want->[$_], "$at\[$_]");
            return $d if $d =~ / /;
            $most = $d if $d > $most;
        }
        return $most;
    }
    return defined $got ? "$at is $got, not missing" : 0 unless defined $want;
    return "$at is missing" unless defined $got;
    return $got eq $want ? 0 : "$at is $got" if $want !~ /^-?[\d.]+(e[-+]\d+)?$/i;
    my $scale = abs $want > 1 ? abs $want : 1;
    return abs($got - $want) / $scale;
}

sub stats {
    my ($kind, $input, @options) = @_;
    my ($status, $out, $err) = run("stats $kind " . put('in.json', encode_json($input)) . " @options");
    is($status, 0, "stats $kind @options") or diag($err // $out);
    return eval { decode_json($out) } // {};
}

sub agree {
    my ($got, $want, $what, $bound) = @_;
    my $d = distance($got, $want, '');
    ok($d !~ / / && $d <= ($bound // 1e-9), "$what: $d");
}

for my $file (sort keys %figures) {
    my ($kind, @computed) = @{$figures{$file}};
    my $want = decode_json(get("test/data/attacks/$file.json"));
    my $input = given($want, {map { $_ => 1 } @computed});
    agree(stats($kind, $input), $want, "$file as the reference", $file eq 'lira' ? 1e-8 : 1e-9);
}

my $rmia = decode_json(get('test/data/attacks/rmia.json'));
my %want = %{delete $rmia->{scores}};
for my $key (grep { /^a/ } sort keys %want) {
    my ($a, $gamma) = $key =~ /^a(.+)_gamma(.+)$/;
    agree(stats('rmia', $rmia, "--offline-a $a --gamma $gamma")->{scores}{$key}, $want{$key}, $key);
}
agree(stats('rmia', $rmia)->{scores}{'online_gamma1.0'}, $want{'online_gamma1.0'}, 'RMIA with all references');

# --- aggregates: the published table where it is present; else a row by hand ---

my $row = {epoch => 'a', (map { $_ => 0.5 } qw(one_minus_es one_minus_em one_minus_paraprob one_minus_truth)), uds => 1,
    (map { $_ => 0.25 } qw(s_loss s_zlib s_mink s_minkpp))};
my $got = stats('aggregates', {models => [$row], full_utility => {a => 0.5}})->{models}[0];
agree($got, {mem => 0.5, privacy_mia => 0.25, privacy => 0.4, overall => undef}, 'harmonic means', 1e-11);
SKIP: {
    my $file = '../shared/data/uds/method_results.json';
    skip "no published scores in '$file'", 2 unless -r $file;
    my $published = decode_json(get($file));
    my @computed = qw(mem privacy_mia privacy model_utility utility utility_rel overall);
    my $input = given($published, {map { $_ => 1 } @computed});
    my $d = distance(stats('aggregates', $input)->{models}, $published->{models}, '');
    ok($d !~ / / && $d <= 1e-9, 'aggregates of ' . @{$published->{models}} . " published rows: $d");
}

# --- what is wrong is named ---

for (
    [leak => {scores => [[0.5, 2]], k => [1]}, qr/'scores' must lie in \[0, 1\]/],
    [leak => {scores => [[0.5, 0.2]], k => [3]}, qr/k = 3: there are 2 answers to a prompt/],
    [leak => {scores => [[0.5, 0.2], [1]], k => [1]}, qr/'scores' must have rows of equal length/],
    [leak => {cases => [{n => 3, c => 4, k => 1}]}, qr/case 1: 'c' must be .*0 to 3|case 1: .*'c'/],
    [curve => [{steps => [0, 0], m => [1, 2], target => 1}], qr/row 1: 'steps' must ascend/],
    [curve => [{steps => [0, 1], m => [1], target => 1}], qr/row 1: 'm' must have 2 rows/],
    [lira => {observed => [1, 2], shadow_in => [[1, 2], [1]], shadow_out => [[1], [2]]}, qr/'shadow_in' must have 2 rows/],
    [aggregates => [], qr/'models' is missing/],
    [bound => {rows => [{scores => []}]}, qr/'scores' holds 0 numbers, at least 1/],
) {
    my ($kind, $input, $message) = @$_;
    my ($status, $out) = run("stats $kind " . put('in.json', encode_json($input)));
    is($status, 1, "$kind: refused");
    like($out, $message, 'by name');
}
my ($status, $out) = run('stats leek x.json');
like($out, qr/unknown kind of statistics 'leek': did you mean 'leak'\?/, 'a kind that is near');
done_testing();

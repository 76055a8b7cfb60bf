#!/usr/bin/perl
# Attacks on hidden states: the depth score against PyTorch and the released code, lens, probes and nearest states, and what must
# hold of each.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $data = 'test/data/probe';
my $models = 'test/data/models';
my $want = decode_json(get("$data/uds.json"));
my $forget = put('forget.jsonl', join '', map { encode_json($_) . "\n" } @{$want->{batch_rows}});

sub attack {
    my ($line) = @_;
    my ($status, $out) = run("attack $line --json --quiet");
    is($status, 0, "attack $line") or diag($out);
    $out =~ s/\A.*?^\{/{/ms; # warnings stand before
    return eval { decode_json($out) } // {};
}

# The largest difference of two lists.
sub apart {
    my ($x, $y) = @_;
    return 'another length' if @{$x // []} != @$y;
    my $most = 0;
    for (0 .. $#$y) {
        my $d = abs($x->[$_] - $y->[$_]);
        $most = $d if $d > $most;
    }
    return $most;
}

# --- the depth score ---

my $three = "--model $models/m_cur --target $models/m_ref --retrained $models/m_reinforced --forget $forget";
for (['', 'definition'], ['--compat uds', 'code']) {
    my ($how, $form) = @$_;
    my $got = attack("depth $three $how");
    my $rows = $got->{summary}{rows} // [];
    is(scalar @$rows, 3, "$form: a score for each row");
    for my $i (0 .. $#$rows) {
        my ($own, $theirs) = ($rows->[$i], $want->{$form}{rows}[$i]);
        cmp_ok(apart($own->{$_}, $theirs->{$_}), '<', 2e-6, "row $i: $_") for qw(delta_retain delta_unlearned);
        is_deeply($own->{ft_layers}, $theirs->{ft_layers}, "row $i: the layers that count");
        cmp_ok(abs($own->{full} - $theirs->{full}), '<', 2e-6, "row $i: the target's own log-probability");
        cmp_ok(abs($own->{uds} - $theirs->{uds}), '<', 1e-5, "row $i: the score");
    }
    cmp_ok(abs($got->{summary}{mean} - $want->{$form}{mean}), '<', 1e-5, "$form: the mean");
    cmp_ok(apart($got->{target}{delta}, [0, 0, 0]), '<', 1e-12, 'patching a model with its own states changes nothing') unless $how;
}
my $got = attack("depth --model $models/m_reinforced --target $models/m_ref --retrained $models/m_reinforced --forget $forget");
cmp_ok(abs($got->{summary}{mean} - 1), '<', 1e-12, 'the retrained model is as deep as itself');
$got = attack("depth --model $models/m_ref --target $models/m_ref --retrained $models/m_reinforced --forget $forget");
cmp_ok(abs $got->{summary}{mean}, '<', 1e-12, 'the target has forgotten nothing');
$got = attack("depth $three --tau 100");
is($got->{summary}{mean}, undef, 'no layer counts: no score');
is($got->{summary}{skipped}, 3, '... and rows that are left out are counted');
like((run("attack depth $three --quiet"))[1], qr/^depth mean +0\.5853$/m, 'the score in the table');

# --- a part of the answer, on text ---

my $text = text_model();
my @people = map { decode_json($_) } (split /\n/, get('demo/data/people.jsonl'))[0 .. 2];
$_->{part} = (split ' ', $_->{answer})[1] for @people;
delete $people[2]{part};
my $parts = put('parts.jsonl', join '', map { encode_json($_) . "\n" } @people);
my $of_text = "--model $text --target $text --retrained $text --forget $parts";
$got = attack("depth $of_text --span-key part");
my $whole = attack("depth $of_text");
isnt($got->{summary}{rows}[0]{full}, $whole->{summary}{rows}[0]{full}, 'a part of the answer is another figure');
is($got->{summary}{rows}[2]{full}, $whole->{summary}{rows}[2]{full}, 'a row without the part: all of its answer');
my $line = put('line.jsonl', encode_json({%{$people[0]}, part => $people[0]{answer}}) . "\n");
is(attack("depth --model $text --target $text --retrained $text --forget $line --span-key part")->{target}{rows}[0]{full} <=> 0, -1,
    'the whole answer as its part');

check("attack depth --model $models/m_cur --target $models/m_ref --forget $forget", 1, qr/depth score needs .*--retrained/, 'no retrained model');
check("attack depth --model $models/m_cur --retrained $models/m_ref --forget $forget", 1, qr/depth score needs .*--target/, 'no target');
check("attack depth $three --span-key x", 1, qr/found in texts, not in token ids/, 'parts of token ids');
done_testing();

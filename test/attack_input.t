#!/usr/bin/perl
# unlearn attack embed, soft, latent on text: what must hold of attacks on the model's input. Their numbers are checked in
# test/input_test.c.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

sub near {
    my ($got, $expected, $bound, $what) = @_;
    ok(defined $got && abs($got - $expected) <= $bound, "$what: " . ($got // 'missing') . " for $expected");
}

my $text = text_model();
my $people = "'demo/data/people.jsonl[0:4]'";

# --- continuous inputs: no step changes nothing; the control is the first perturbed answer ---

my %settings = (embed => 'embed', soft => 'soft', latent => 1);
for my $name (sort keys %settings) {
    my $setting = $settings{$name};
    my $eps = $name eq 'latent' ? '--eps 1' : '';
    my $none = attack_json("$name --model $text --forget $people --steps 0 $eps");
    is_deeply($none->{unlearned}{$setting}{forget}, $none->{unlearned}{before}{forget}, "$name: no step, no change");
    my $got = attack_json("$name --model $text --retrained $text --forget $people --steps 4 $eps --out $dir/$name");
    my ($before, $after) = map { $got->{unlearned}{$_} } 'before', $setting;
    cmp_ok($after->{forget}{nll}, '<', $before->{forget}{nll}, "$name: the answers are likelier");
    cmp_ok($after->{control}{nll}, '<', $before->{control}{nll}, "$name: so are the controls");
    near($got->{excess}{$setting}{advantage}, 0, 0, "$name: no excess over itself");
    my $curve = $after->{curve}{forget};
    is(scalar @$curve, 5, "$name: the curve has every step");
    ok(!grep({ $curve->[$_] > $curve->[$_ - 1] + 1e-12 } 1 .. 4), "$name: and falls");
    is_deeply($got, decode_json(get("$dir/$name/attack.json")), "$name: attack.json is what was printed");
}
my @rows = lines('demo/data/people.jsonl');
my $controls = put('controls.jsonl', join '', map { encode_json({question => $_->{question}, answer => $_->{perturbed_answer}[0]}) . "\n" } @rows[0 .. 3]);
my ($wrong, $right) = map { attack_json("prune --model $text --forget $_ --ratio 0")->{unlearned}{before}{forget}{nll} } $controls, $people;
my $embed = attack_json("embed --model $text --forget $people --steps 0");
near($embed->{unlearned}{before}{control}{nll}, $wrong, 1e-5, 'the control is the first perturbed answer');
near($embed->{unlearned}{before}{forget}{nll}, $right, 1e-5, 'the losses are those of other attacks');

# without perturbed answers: that of the next row; of one row: none, and a warning
my $plain = put('plain.jsonl', join '', map { encode_json({question => $_->{question}, answer => $_->{answer}}) . "\n" } @rows[0, 1]);
my $swapped = put('swapped.jsonl', join '', map { encode_json({question => $rows[$_]{question}, answer => $rows[1 - $_]{answer}}) . "\n" } 0, 1);
my $other = attack_json("embed --model $text --forget $plain --steps 0");
near($other->{unlearned}{before}{control}{nll}, attack_json("prune --model $text --forget $swapped --ratio 0")->{unlearned}{before}{forget}{nll},
    1e-5, 'else the answer of the next row');
like((run("attack embed --model $text --forget '${plain}[0:1]' --steps 0"))[1], qr/there is no control/, 'of a single row there is none');

# a part of the rows for the attacker, the others are scored
my $soft = attack_json("soft --model $text --forget $people --steps 3 --share 0.5")->{unlearned}{soft};
cmp_ok($soft->{attacked}{nll}, '<', $soft->{curve}{forget}[0], 'soft: the rows that it was made for');
ok(defined $soft->{rest}{nll} && $soft->{rest}{nll} != $soft->{attacked}{nll}, 'soft: the others are scored apart');

# restarts never lose; a step size that ruins the vectors is a result
my ($one, $three) = map { attack_json("embed --model $text --forget $people --steps 2 --restarts $_ --step-size 0.01")->{unlearned}{embed} } 1, 3;
cmp_ok($three->{forget}{nll}, '<=', $one->{forget}{nll}, 'restarts do not lose');
my $ruined = attack_json("embed --rule adam --step-size 1e6 --model $text --forget $people --steps 3");
cmp_ok($ruined->{unlearned}{embed}{forget}{nll}, '<=', $ruined->{unlearned}{before}{forget}{nll}, 'a ruined search leaves the row as it was');

for (
    ["latent --layer 7 --model $text --forget $people", 1, qr/the model has no layer 7.*0 to 1/s],
    ["latent --eps x --model $text --forget $people", 1, qr/'x' is no list of numbers/],
    ["embed --init '' --model $text --forget $people", 1, qr/at least one token/],
) {
    my ($line, $status, $message) = @$_;
    my ($got, $printed) = run("attack $line");
    is($got, $status, "attack $line");
    like($printed, $message, 'is refused by name');
}
done_testing();

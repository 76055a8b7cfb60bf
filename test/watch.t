#!/usr/bin/perl
# Looks at a run and bounds that end it: figures beside those of models that were saved at each step, the step at which
# a run ends, and that --resume does not train beyond it.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(first sum);
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

# The log without what a clock says.
sub log_of { return [map { delete $_->{seconds}; $_ } steps($_[0])] }

# --- the loss ---

my $ascent = "$both --method GradAscent --lr 1e-3 --schedule constant";
run("$ascent --epochs 5 --eval-every 1 --out $dir/long");
my $long = log_of('long');
my @nll = map { $_->{eval}{forget_nll} } @$long;
is(scalar @nll, 10, 'a look after every step');
for my $n (1, 4) {
    run("$ascent --max-steps $n --out $dir/n");
    cmp_ok(abs($nll[$n - 1] - nll("$dir/n", $forget)), '<', 1e-6, "forget_nll after $n steps is what score says of that model");
    cmp_ok(abs($long->[$n - 1]{eval}{retain_nll} - nll("$dir/n", $retain)), '<', 1e-6, 'so is retain_nll');
}
run("$ascent --epochs 5 --eval-every 1 --eval-rows 2 --out $dir/two");
cmp_ok(abs((steps('two'))[3]{eval}{forget_nll} - nll("$dir/n", "'$forget\[0:2]'")), '<', 1e-6, '--eval-rows 2: of the first two');
same('long', 'two', 'looks change no bit of what is trained');

my $bound = ($nll[3] + $nll[4]) / 2;
check("$ascent --epochs 5 --eval-every 1 --stop-nll $bound --out $dir/m", 0,
    qr/^5 steps, .* -> \Q$dir\E\/m; stopped: forget_nll [\d.]+ is above stop_nll [\d.]+$/m, 'a bound between the fourth step and the fifth');
my $short = log_of('m');
like(delete $short->[4]{stopped}, qr/^forget_nll $nll[4]|^forget_nll @{[sprintf '%.6g', $nll[4]]} is above/, 'the log says why');
is_deeply($short, [@$long[0 .. 4]], 'up to there it is the longer run');
run("$ascent --max-steps 5 --out $dir/five");
same('m', 'five', 'the model is that of five steps');
run("$ascent --epochs 5 --stop-nll $bound --out $dir/m");
is_deeply([map { $_->{step} } grep { $_->{eval} } steps('m')], [2, 4, 6], 'without --eval-every after each epoch');
is(scalar(steps('m')), 6, 'so it ends with one');
run("$ascent --epochs 2 --wrapper wa --wa-start 3 --eval-every 1 --stop-nll " . (($nll[1] + $nll[2]) / 2) . " --out $dir/wa");
run("$ascent --max-steps 3 --wrapper wa --wa-start 3 --out $dir/wa3");
same('wa', 'wa3', 'a wrapper finishes where the run ends');
check("$ascent --epochs 1 --stop-nll 1e5 --json --out $dir/m", 0, qr/"stopped": null/, 'a bound that holds ends nothing');
check("$ascent --epochs 5 --stop-nll 1 --json --out $dir/m", 0, qr/"stopped": "forget_nll .* is above stop_nll 1"/, 'as JSON');
check("$ascent --method SCRUB --epochs 3 --stop-nll 1 --accumulate 2 --out $dir/m", 0, qr/^1 steps.*stopped/, 'turns are epochs, too');

# --- extraction likelihood and memorisation accuracy, by generate ---

my $texts = put('texts.jsonl', join '', map { my $k = $_; encode_json({ids => [map { 3 + ($k * 31 + $_ * $_ * 7) % 90 } 1 .. 16 + 3 * $k]}) . "\n" } 0, 1);
my @text = map { $_->{ids} } lines($texts);
run("train --model $cur --data $texts --quiet --epochs 60 --lr 1e-2 --batch 2 --out $dir/knows");

sub grams { my @t = @_; return map { join ' ', @t[$_ .. $_ + 9] } 0 .. $#t - 9 }

# The two means, from what the model says after each prefix.
sub by_hand {
    my ($model) = @_;
    my (@el, @ma);
    for my $ids (@text) {
        my $n = @$ids;
        my $prompts = put('prompts', join '', map { encode_json({prompt_ids => [@$ids[0 .. $_ - 1]]}) . "\n" } 1 .. $n - 1);
        my @said = map { decode_json($_)->{new_ids} } `$unlearn generate --quiet --model $model --max-new-tokens $n --data $prompts --json`;
        push @ma, sum(map { ($said[$_ - 1][0] // -1) == $ids->[$_] ? 1 : 0 } 1 .. $n - 1) / ($n - 1);
        my @share = map {
            my $t = $_;
            my @truth = grams(@$ids[$t .. $n - 1]);
            my %in = map { $_ => 1 } @truth;
            my @f = @{$said[$t - 1]};
            splice @f, $n - $t if @f > $n - $t;
            scalar(grep { $in{$_} } grams(@f)) / @truth;
        } 1 .. $n - 10;
        push @el, sum(@share) / @share;
    }
    return (sum(@el) / @el, sum(@ma) / @ma);
}

my $forgets = "forget --quiet --model $dir/knows --forget $texts --retain $retain --method GradAscent --lr 2e-3 --schedule constant --batch 2 --max-steps 12 --eval-every 1";
run("$forgets --stop-el 1e-9 --stop-ma 1e-9 --out $dir/all");
my @seen = map { $_->{eval} } steps('all');
cmp_ok($seen[0]{el}, '>', 0.5, 'the model knows the texts');
for my $n (1, 2, 4) {
    run("$forgets --max-steps $n --out $dir/n");
    my ($el, $ma) = by_hand("$dir/n");
    cmp_ok(abs($seen[$n - 1]{el} - $el), '<', 1e-9, "el after $n steps: $el");
    cmp_ok(abs($seen[$n - 1]{ma} - $ma), '<', 1e-9, "ma after $n steps: $ma");
}
my ($el, $ma) = (0.5, 0.6);
my ($first_el, $first_ma) = ((first { $seen[$_]{el} < $el } 0 .. $#seen), (first { $seen[$_]{ma} < $ma } 0 .. $#seen));
cmp_ok($first_el, '<', $first_ma, "el falls below $el before ma falls below $ma");
for (["--stop-el $el", $first_el, qr/stopped: el [\d.e-]+ is below stop_el 0.5$/m], ["--stop-ma $ma", $first_ma, qr/stopped: ma [\d.e-]+ is below stop_ma 0.6$/m],
     ["--stop-el $el --stop-ma $ma", $first_ma, qr/stopped: el [\d.e-]+ is below stop_el 0.5 and ma [\d.e-]+ is below stop_ma 0.6$/m]) {
    my ($bounds, $at, $says) = @$_;
    check("$forgets $bounds --out $dir/m", 0, $says, $bounds);
    is(scalar(steps('m')), $at + 1, "$bounds: ends at the first step that meets them");
}
is((steps('m'))[0]{eval}{retain_nll} > 0, 1, 'the retain data are looked at beside them');

# --- dropout is for training alone ---

run("forget --quiet --model $dir/knows --forget $texts --retain $retain --lr 1e-2 --batch 2 --method GradAscent --locate lora --lora-dropout 0.5 --schedule constant --max-steps 2 "
    . "--eval-every 1 --stop-el 1e-9 --stop-ma 1e-9 --stop-nll 1e5 --out $dir/lora");
my $last = (steps("lora"))[1]{eval};
for (['forget_nll', $texts], ['retain_nll', $retain]) {
    my ($figure, $set) = @$_;
    cmp_ok(abs($last->{$figure} - nll("$dir/lora", $set)), '<', 1e-4, "$figure with dropout is what score says of the saved model");
}
($el, $ma) = by_hand("$dir/lora");
cmp_ok(abs($last->{el} - $el), '<', 1e-9, "el: $el");
cmp_ok(abs($last->{ma} - $ma), '<', 1e-9, "ma: $ma");

# --- a stop is final ---

# A weight that no row reads, and that f16 cannot hold.
my $large = get("$cur/model.safetensors");
my $data = 8 + unpack('Q<', $large);
my $end = decode_json(substr($large, 8, $data - 8))->{'model.embed_tokens.weight'}{data_offsets}[1];
substr($large, $data + $end - 4, 4) = pack('f<', 1e6);
put('large/model.safetensors', $large);
put("large/$_", get("$cur/$_")) for 'config.json', 'generation_config.json';
(my $of_large = "$ascent --epochs 5 --eval-every 1 --stop-nll $bound --save-every 2") =~ s/--model \S+/--model $dir\/large/;
run("$of_large --out $dir/five_large");
my $kept = "$of_large --out $dir/kept";
check("$kept --dtype f16", 1, qr/holds \d+, which F16 cannot hold/, 'the model cannot be saved');
my $before = get("$dir/kept/train.jsonl");
check("$kept --resume", 0, qr/^0 steps, .*; stopped: forget_nll/, '--resume does not train again');
same('kept', 'five_large', 'it saves the model');
is(get("$dir/kept/train.jsonl"), $before, 'and logs nothing');
my ($status, $out) = run_apart(($kept =~ s/--quiet //r) . ' --resume');
my $said = get("$dir/stderr");
ok($status == 0 && $said =~ /is finished: nothing is left to do/, 'then there is nothing to go on with') or diag $said;

# --- what is refused ---

check("forget --model $cur --retain $retain --quiet --method FT --stop-nll 5 --out $dir/m", 1,
    qr/the run is to end when its data are forgotten: give --forget FILE$/, 'nothing to be forgotten');
check("$ascent --forget '$forget\[0:2]' --stop-el 0.1 --out $dir/m", 1, qr/extraction likelihood needs a text to forget of more than 10 tokens, and there is none: give a longer text, or no --stop-el$/, 'texts too short');
check("$ascent --stop-ma 2 --out $dir/m", 2, qr/--stop-ma/, 'a share above 1');
check("train --model $cur --data $retain --stop-nll 3 --out $dir/m", 2, qr/unknown option 'stop-nll'/, 'not of train');

done_testing();

#!/usr/bin/perl
# Weights of terms that move with the run: SCRUB's turns beside separate runs, what they read, and what is refused.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

# The rows that a role reads in the lines of an order, in their sequence.
sub rows { my ($role, @micro) = @_; return join ' ', map { @{$_->{$role} || []} } @micro }

# Without momentum and decay, turns are separate runs on forget alone and on retain alone, one after the other. (States of the
# reference that several epochs share are computed in batches of their own, and round differently: none are kept.)
my $scrub = "forget --quiet --forget $forget --retain $retain --ref $cur --method SCRUB --batch 4 --lr 0.05 " .
    "--schedule constant --optimiser sgd --keep-states 0";
run("$scrub --model $cur --epochs 4 --msteps 2 --write-order $dir/turns --out $dir/m");
my @micro = lines("$dir/turns");
my @of = ([0 .. 1], [2 .. 4], [5 .. 6], [7 .. 9]);
for my $e (0 .. 3) {
    my ($reads, $leaves, $n) = $e % 2 ? ('retain', 'forget', 9) : ('forget', 'retain', 6);
    my @epoch = @micro[@{$of[$e]}];
    is(join(' ', sort { $a <=> $b } split ' ', rows($reads, @epoch)), join(' ', 0 .. $n - 1), "epoch $e: every row of $reads");
    is(rows($leaves, @epoch), '', "epoch $e: none of $leaves");
    put("epoch$e", get("$dir/turns") =~ s/^(?:.*\n){$of[$e][0]}((?:.*\n){@{[scalar @epoch]}})(?:.*\n)*\z/$1/r);
    my $from = $e ? "$dir/one" . ($e - 1) : $cur;
    run("$scrub --model $from --term-weights constant --order $dir/epoch$e --max-steps @{[scalar @epoch]} --out $dir/one$e");
}
same('m', 'one3', 'four epochs in turns are four runs');
run("$scrub --model $cur --epochs 4 --msteps 1 --out $dir/once");
isnt(get("$dir/once/model.safetensors"), get("$dir/m/model.safetensors"), 'msteps 1 is another run');
is(join(' ', map { $_->{weights}{'forget.kl_ascent'} } steps('once')), join(' ', 1, 1, (0) x 9), 'which forgets in epoch 0 alone');
run("$scrub --model $cur --epochs 4 --msteps 2 --order $dir/turns --seed 9 --out $dir/again");
same('m', 'again', 'an order that was written gives the same bits');

# By default five epochs, of which 0 and 2 maximise.
run("$both --method SCRUB --lr 1e-3 --out $dir/m");
my @steps = steps('m');
is(join(' ', map { join '', sort keys %{$_->{terms}} } @steps),
    join(' ', (('forget.kl_ascent') x 2, ('retain.distil') x 3) x 2, ('retain.distil') x 3), 'SCRUB: two turns, then retain');
my $tokens = $steps[0]{tokens};
run("$both --method KLAscent --alpha 0 --lr 1e-3 --epochs 1 --out $dir/m");
is($tokens, (steps('m'))[0]{tokens}, 'a max step reads what it would without a retain term');
run("$both --method SCRUB --term-weights constant --lr 1e-3 --epochs 1 --out $dir/m");
is(join(' ', sort keys %{(steps('m'))[0]{terms}}), 'forget.kl_ascent retain.distil', 'both in every step if asked for');
is((steps('m'))[0]{weights}, undef, 'then no weights are logged');

# Whole steps; other methods, roles and wrappers.
run("$scrub --model $cur --epochs 3 --accumulate 2 --write-order $dir/turns --out $dir/m");
is(join(' ', map { join '', keys %$_ } lines("$dir/turns")), 'forget forget retain retain forget forget', 'epochs are of whole steps');
check("$scrub --model $cur --accumulate 3 --out $dir/m", 1, qr/one has only 2 micro-batches: give --accumulate 1 to 2$/, 'or refused');
check("$scrub --model $cur --alpha 0 --out $dir/m", 1, qr/none with a weight for one of the turns: give --term-weights constant$/, 'turns of one term');
check("$both --method SCRUB --term-weights epochs --out $dir/m", 2, qr/--term-weights/, 'no such weights');
for my $with ('PO --alternate-pool ' . $alternate, 'SCRUB --wrapper sam', 'SCRUB --wrapper gnr', 'NPO --wrapper lat --lat-layer 0 --lat-steps 2',
              'TAR --forget-term npo --tar-steps 2 --tar-every 1 --batch 2', 'PDU --dual-update-upon epoch', 'GradDiff --optimiser sophia',
              'RMU --layer 1', 'NPO --locate lora --lora-rank 2') {
    check("$both --lr 1e-3 --epochs 2 --term-weights turns --method $with --out $dir/m", 0, qr/^\d+ steps/, $with);
    my @of = map { [keys %{$_->{terms}}] } (steps('m'))[0, -1];
    is(scalar(grep { /^(?:forget|alternate)\.\w+$/ } @{$of[0]}), scalar @{$of[0]}, "$with: begins with forgetting");
    is(scalar(grep { /^retain\.\w+$/ } @{$of[1]}), 1, "$with: ends with retaining");
}

done_testing();

#!/usr/bin/perl
# unlearn forget with each optimiser and wrapper, and what is said where one does not fit.
use strict;
use warnings;
use File::Compare;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Training;

for my $optimiser (qw(adamw sophia sophia_soul lion sgd)) {
    check("$both --method GradDiff --epochs 1 --lr 1e-4 --optimiser $optimiser --out $dir/$optimiser", 0, qr/^2 steps/, $optimiser);
}
for my $wrapper (qw(sam rs gnr cr wa), 'lat --lat-layer 1 --lat-steps 3 --lat-model-steps 1',
    'tar --tar-steps 4 --batch 3') {
    check("$both --method NPO --epochs 1 --lr 1e-4 --wrapper $wrapper --out $dir/" . (split ' ', $wrapper)[0],
        0, qr/^2 steps/, $wrapper);
}
run("$both --method NPO --epochs 1 --lr 1e-4 --out $dir/bare");
same('bare', 'wa', 'an average that has not begun changes nothing');
isnt(compare("$dir/bare/model.safetensors", "$dir/$_/model.safetensors"), 0, "$_ is not the plain method") for qw(sam rs gnr cr lat tar);
check("$both --method NPO --epochs 1 --wrapper lat --lat-layer 1 --lat-steps 1 --lat-model-steps 3 --out $dir/x", 0, qr/^6 steps/,
    'three steps for each batch');
run("$both --method NPO --epochs 1 --lr 1e-4 --wrapper lat --lat-layer 1 --lat-steps 3 --lat-model-steps 1 --lat-away 1 --out $dir/away");
isnt(compare("$dir/lat/model.safetensors", "$dir/away/model.safetensors"), 0, 'away from retain labels, another attack');
check("$both --wrapper lat --lat-layer 1 --lat-away 1 --lat-away-role alternate --out $dir/x", 1,
    qr/wrapper 'lat': term 'unlikelihood' needs alternate data: give --alternate FILE$/, 'away from alternates that are not there');
check("$both --wrapper lat --out $dir/x", 1, qr/wrapper 'lat' has no layer 7 to perturb: give --lat-layer 0 to 2$/, 'no such layer');
check("$both --wrapper lat --method FT --out $dir/x", 1, qr/wrapper 'lat' perturbs forget data, which the method's forget term does not use/,
    'nothing to perturb');
check("$both --method UNDIAL --compat ou --wrapper lat --lat-layer 1 --out $dir/x", 1, qr/hidden states of padded forget rows cannot be perturbed/,
    'padded rows');
check("$train --epochs 1 --wrapper sam --out $dir/nothing", 0, qr/^3 steps/, 'nothing to forget, nothing to perturb');
check("$both --wrapper sum --out $dir/x", 2, qr/unknown wrapper 'sum'; there are: none, sam, rs,/, 'an unknown wrapper');
check("$both --wrapper sam --sam-rho -1 --out $dir/x", 2, qr/--sam-rho: '-1' is not a number from 0 to 100$/m, 'rho out of range');
check("$both --sam-rho 1 --out $dir/x", 2, qr/unknown option 'sam-rho'/, 'rho where nothing has one');

done_testing();

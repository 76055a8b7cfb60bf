#!/usr/bin/perl
# Every row of `unlearn methods`: three steps on a tiny model, whose losses and results must be those of
# test/golden/results.tsv (UPDATE=1 writes it); where alternate answers come from; methods on text.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use lib $FindBin::Bin;
use Command;

my ($models, $golden) = ('test/data/models', 'test/golden/results.tsv');

my ($forget, $retain) = (id_rows('forget.jsonl', 6, 7), id_rows('retain.jsonl', 9, 99));
my ($alternate, $not) = (id_rows('alternate.jsonl', 6, 55), id_rows('not.jsonl', 9, 77));
my $base = "--quiet --model $models/m_cur --ref $models/m_ref --forget $forget --retain $retain";

my $people = 'demo/data/people.jsonl';
my $tiny = text_model();

# --- every row ---

my @methods = @{decode_json(scalar `$unlearn methods --json`)};
my %more = (
    ELM => "--model $tiny --ref $tiny --forget '$people\[0:6]' --retain '$people\[6:12]' " .
        "--expert-prompt 'You know all.' --novice-prompt 'You know nothing.' --guided-tokens 8",
    LUNAR => "--refused $not --trainable-params-regex 'model\\.layers\\.1\\.mlp\\.down_proj\\.weight'",
    KGA => "--holdout $not",
    TAR => '--mapping-steps 3',
    SSD => '--ssd-alpha 1.5',
    IDKAP => "--alternate $alternate --retain-alternate $not",
);
my @own = qw(RandomLabel RandomTokens LLMU);
my %want = map { my ($name, @figures) = split /\t/; ($name, \@figures) } split /\n/, get($golden);
my $table = "method\tloss 1\tloss 2\tloss 3\tforget NLL\tretain NLL\n";

sub figures {
    my ($m, $data, $kept) = @_;
    my @steps = $m->{update} ? () : lines("$dir/m/train.jsonl");
    return map { sprintf '%.4g', $_ } (map { $_->{loss} } @steps), nll("$dir/m", $data), nll("$dir/m", $kept);
}

# As far apart as rounding may bring them.
sub same {
    my ($got, $want) = @_;
    return abs($got - $want) <= 2e-3 * abs($want) + 1e-6;
}

for my $m (@methods) {
    my $name = $m->{name};
    my $args = "$base --alternate-from file --alternate $alternate --reinforced $models/m_reinforced";
    $args = $base if grep { $_ eq $name } @own;
    $args .= " $more{$name}" if $more{$name};
    $args .= ' --layer 1' if $m->{needs} =~ /hidden/ && $name !~ /^RepNoise|^RandomMapping|^TAR/;
    $args .= " --trainable-params-regex 'model\\.layers\\.[01]\\.mlp\\.down_proj\\.weight'" if $name eq 'LAT';
    $args .= ' --lat-layer 0' if $name eq 'LAT';
    my ($status, $out) = run("forget $args --method $name --max-steps 3 --batch 4 --lr 1e-3 --schedule constant --out $dir/m");
    is($status, 0, "$name: runs") or diag($out);
    my @got = $name eq 'ELM' ? figures($m, "'$people\[0:6]'", "'$people\[6:12]'") : figures($m, $forget, $retain);
    $table .= join("\t", $name, @got) . "\n";
    next if $ENV{UPDATE};
    my @figures = @{$want{$name} || []};
    my $agree = @figures == @got && !grep { !same($got[$_], $figures[$_]) } 0 .. $#got;
    ok($agree, "$name: losses and results") or diag("got  @got\nwant @figures");
}
if ($ENV{UPDATE}) {
    mkdir 'test/golden';
    open my $f, '>', $golden or die;
    print $f $table;
    close $f;
}
is(join(' ', sort grep { $_ ne 'method' } keys %want), join(' ', sort map { $_->{name} } @methods), 'the file has a line for each')
    if !$ENV{UPDATE};

# --- what is said of a method ---

for my $m (@methods) {
    my ($status, $out) = run("methods $m->{name}");
    is($status, 0, "methods $m->{name}");
    like($out, qr/^(forget|retain) term: \w+.*\n    \S/m, "$m->{name}: a formula");
    unlike($out, qr/--\w+ [NX]  (?!.* to )/, "$m->{name}: every number has its range");
}
check('methods LAT', 0, qr/^wrapper: lat.*--lat-eps X .*default 2, 0 to 1000000.*--trainable-params-regex/ms, 'with the parameters of its wrapper and locator');
check('methods ELM', 0, qr/^generic text:.*--guidance X .*default 3, 0 to 1000\)/ms, 'and of the text it learns');
check('methods --terms', 0, qr/^npo_token_mean +logp +-\(2\/beta\)[^\n]*(?:\n +[^\n]*)*\(arXiv\s+2404\.18239\)/m, 'the table of terms');
check('methods NPU', 1, qr/unknown method 'NPU'; did you mean 'NPO'\?/, 'the nearest name');

# --- the switches, one by one ---

for my $switch ((run('help compat'))[1] =~ /^  (\w+)  /mg) {
    check("forget $base --method RMU --layer 1 --retain-loss-type KL --compat $switch --max-steps 1 --batch 3 --out $dir/m", 0, qr/^1 steps/, "--compat $switch");
}

# A quirk of one term, optimiser or locator is a parameter of it, whose default the switch of its name changes.
my $quirky = "forget $base --max-steps 2 --batch 2";
for ([UNDIAL => 'undial_all_positions'], [PDU => 'pdu_unshifted'], [KLMin => 'kl_all_positions'], ['RMU --layer 1 --steering-coeff 30 --lr 1e-2 --trainable-params-regex .*down_proj.*',
        'rmu_bxb'], ['RMU --layer 1 --steering-coeff 30', 'rmu_draw'], ['RMU --layer 1 --trainable-params-regex .*down_proj.* --clip 0.01', 'rmu_clip_all'], ['NPO --lr 0.1 --weight-decay 1', 'adamw_decay_last']) {
    my ($how, $name) = @$_;
    my ($flag, %bytes) = $name =~ tr/_/-/r;
    for (['plain', ''], ['flag', "--$flag"], ['switch', "--compat $name"], ['recipe', '--recipe ' . put("$name.json", encode_json({$name => \1}))],
        ['off', "--compat $name --no-$flag"], ['off2', "--compat $name --recipe " . put("$name.off.json", encode_json({$name => \0}))]) {
        my ($what, $option) = @$_;
        run("$quirky --quiet --method $how $option --overwrite --out $dir/quirk");
        $bytes{$what} = get("$dir/quirk/model.safetensors");
    }
    my ($name_of) = (run("methods " . ($how =~ /^(\w+)/)[0]))[1] =~ /--$flag +(\S.*) \(on under --compat ou\)$/m;
    ok($name =~ /^(adamw_decay_last|rmu_clip_all)$/ || $name_of, "methods: --$flag");
    isnt($bytes{flag}, $bytes{plain}, "--$flag changes the result");
    ok($bytes{$_} eq $bytes{flag}, "$name by $_: the same") for 'switch', 'recipe';
    ok($bytes{$_} eq $bytes{plain}, "$name switched off over --compat ($_)") for 'off', 'off2';
}
check("forget $base --method NPO --undial-all-positions --out $dir/m", 2, qr/unknown option 'undial-all-positions'/, 'a quirk of a term that is not there');
check("forget $base --method NPO --compat undial_al_positions --out $dir/m", 1, qr/unknown compat switch 'undial_al_positions': did you mean 'undial_all_positions'\?/, 'the nearest switch');

# --- where alternates come from ---

my $few = "$base --max-steps 4 --batch 3 --write-order $dir/order --out $dir/m";
run("forget $few --method PO --alternate-pool $alternate");
my @micro = lines("$dir/order");
my @of = map { int($_ / 6) } map { @{$_->{alternate}} } @micro;
is("@of", join(' ', map { @{$_->{forget}} } @micro), 'an alternate of the pool belongs to its prompt');
my %drawn = map { $_ % 6 => 1 } map { @{$_->{alternate}} } @micro;
cmp_ok(scalar keys %drawn, '>', 2, 'and is drawn anew each time');
run("forget $few --method LLMU");
@micro = lines("$dir/order");
is(scalar @{$micro[0]{alternate}}, 15, 'LLMU draws five for each prompt');
run("forget $few --method IDKAP --alternate-pool $alternate");
@micro = lines("$dir/order");
is(join(' ', map { int($_ / 6) } @{$micro[0]{retain_alternate}}), join(' ', @{$micro[0]{retain}}),
    'alternates to retain prompts follow these');
check("forget $base --method RandomLabel --forget '$forget\[0:1]' --out $dir/m", 1,
    qr/example 0 has no other answer to draw than its own$/, 'one row has no other answer');
check("forget $base --method WHP --reinforced $models/llama --out $dir/m", 1,
    qr/reinforced model '.*llama' has a vocabulary of 320, the model 104$/, 'one of another vocabulary');
check("forget $base --method NPO --ref $models/llama --out $dir/m", 1,
    qr/reference '.*llama' has a vocabulary of 320, the model 104$/, 'a reference of another vocabulary');
check("forget $base --method IDKAP --alternate $alternate --out $dir/m", 1,
    qr/needs retain_alternate data: give --retain-alternate FILE$/, 'no answers that should not be given');
check("forget $base --method FLAT --divergence KM --out $dir/m", 2, qr/KL\|TV\|Pearson\|JS\|Hellinger|Hellinger/, 'no such divergence');
check("forget $base --method NPO --beta 1000 --out $dir/m", 2, qr/100/, 'out of range');

# On text: lines of a pool, a field of the rows.
my $idk = put('idk.jsonl', "I do not know.\n\n  Nobody told me.  \nNo idea");
my $lines = "forget --quiet --model $tiny --forget '$people\[0:4]' --retain '$people\[4:8]' --batch 2 --max-steps 2 --out $dir/m";
check("$lines --method IdkDPO --alternate-pool $idk", 0, qr/^2 steps/, 'a pool of lines');
check("$lines --method AltPO --alternate-key paraphrased_answer", 0, qr/^2 steps/, 'alternates in the rows to forget');
check("$lines --method AltPO", 1, qr/needs alternate data: give --alternate FILE$/, 'none there');
check("$lines --method ELM --expert-prompt x", 1, qr/helper model 'novice': give --novice-prompt TEXT, or --concept TEXT$/, 'half of the prompts');

# What a stage leaves has the tokenizer, so that the method can go on from it.
check("$lines --method NPO --first mapping --mapping-steps 2", 0, qr/^2 steps/, 'text after random mapping');
my $whole = get("$dir/m/model.safetensors");
check("$lines --method RandomMapping --lr 2e-5 --out $dir/mapped", 0, qr/^2 steps/, 'which alone');
run("$lines --method NPO --model $dir/mapped --ref $tiny");
ok(get("$dir/m/model.safetensors") eq $whole, 'and then NPO gives the same bytes');

# AltPO from end to end: the model writes the alternates, then learns to prefer them.
my ($first, $more) = ("$people\[0:4]", "--temperature 1 --max-new-tokens 8 --field alternate");
is(system("$unlearn generate --quiet --model $tiny --data '$first' $more --seed 1 > $dir/altpo.jsonl"), 0, 'written');
my @written = lines("$dir/altpo.jsonl");
is(scalar @written, 4, 'a row for each');
ok(!(grep { !length $_->{question} || !length $_->{answer} || !exists $_->{alternate} } @written), 'with question, answer and alternate');
check("$lines --method AltPO --forget $dir/altpo.jsonl", 0, qr/^2 steps/, 'AltPO on them');

# --- free composition, the penalty ---

for my $retain_term (qw(kl jsd mse cross_entropy soul_kl likeliest_ref)) {
    for my $forget_term (qw(ascent npo simnpo wga ceu undial me)) {
        my ($status, $out) = run("forget $base --forget-term $forget_term --retain-term $retain_term --gamma 0.5 --alpha 2 " .
            "--max-steps 1 --batch 2 --out $dir/m");
        is($status, 0, "$forget_term with $retain_term") or diag($out);
    }
}
run("forget $base --method FT --max-steps 1 --l1 0.01 --out $dir/m");
my ($with) = lines("$dir/m/train.jsonl");
run("forget $base --method FT --max-steps 1 --out $dir/m");
my ($without) = lines("$dir/m/train.jsonl");
cmp_ok($with->{loss} - $without->{loss}, '>', 1, 'the penalty is part of the loss');
is($with->{terms}{'retain.nll'}, $without->{terms}{'retain.nll'}, 'and not of its terms');

# --- long plain text in pieces ---

my $long = join "\n\n", map { "A sentence of a long text, number $_, that goes on." } 1 .. 12;
my @forms = (put('long.txt', $long), put('long.jsonl', join '', map { encode_json({text => $_}) . "\n" } split /\n\n/, $long),
    put('long.json', encode_json([map { {text => $_} } split /\n\n/, $long])));
my @losses;
for my $form (@forms) {
    check("train --quiet --model $tiny --data $form --chunk 16 --batch 64 --max-steps 1 --out $dir/m --json", 0, qr/"steps": 1/,
        "pieces of $form");
    my ($step) = lines("$dir/m/train.jsonl");
    push @losses, sprintf '%d %.6f', $step->{tokens}, $step->{loss};
}
is($losses[1], $losses[0], 'JSON Lines give what the text does');
is($losses[2], $losses[0], 'so does an array');
check("train --quiet --model $tiny --data $forms[1] --batch 64 --max-steps 1 --out $dir/m", 0, qr/^1 steps/, 'or each row is one example');

# Under chunk_reencode the pieces go through text once more: a character that a cut tears apart does not come back.
my $torn = put('torn.txt', 'Blåbærsyltetøy, 日本の蜂蜜 og smør. ' x 3);
my $pieces = "train --quiet --model $tiny --chunk 7 --batch 64 --max-steps 1 --out $dir/m --data";
my @ids = split ' ', (run("tokenize --model $tiny <$torn"))[1];
my @texts;
while (my @piece = splice @ids, 0, 7) {
    push @texts, (run_apart("tokenize --model $tiny --decode", "@piece\n"))[1];
}
chomp @texts;
my @again = map { [(split ' ', (run_apart("tokenize --model $tiny", $_))[1])] } @texts;
my $rows = put('again.jsonl', join '', map { encode_json({ids => [map { $_ + 0 } @$_[0 .. ($#$_ < 6 ? $#$_ : 6)]]}) . "\n" } @again);
my @step;
for ("$torn", "$torn --compat chunk_reencode", $rows) {
    check("$pieces $_", 0, qr/^1 steps/, "pieces: $_");
    my ($step) = lines("$dir/m/train.jsonl");
    push @step, sprintf '%d %.6f', $step->{tokens}, $step->{loss};
}
is($step[1], $step[2], 'chunk_reencode: the pieces as they are when decoded and made into tokens again');
isnt($step[1], $step[0], 'which are others than without');

# --- the dual variable ---

# By default alpha moves after each step, by the step's own constraint.
my $pdu = "forget $base --method PDU --batch 3 --epochs 3 --lr 1e-4 --retain-loss-eps 7 --dual-step-size 0.5 --out $dir/m";
run("$pdu --dual-warmup-epochs 1");
my @steps = lines("$dir/m/train.jsonl");
is($steps[1]{dual}, 1, 'alpha stays through the warm-up');
my $alpha = 1;
for (@steps[2 .. 5]) {
    $alpha += 0.5 * $_->{terms}{'retain.constraint'};
    cmp_ok(abs($_->{dual} - $alpha), '<', 1e-6, "step $_->{step}: and then follows the constraint");
}
run("$pdu --retain-loss-eps 50 --dual-warmup-epochs 0");
is((lines("$dir/m/train.jsonl"))[-1]{dual}, 0, 'never below 0');
run("$pdu --dual-warmup-epochs 0 --dual-update-upon epoch");
@steps = lines("$dir/m/train.jsonl");
is($steps[0]{dual}, 1, 'upon epochs: nothing within one');
cmp_ok($steps[1]{dual}, '>', 1, 'but at its end');
is($steps[2]{dual}, $steps[1]{dual}, 'and so on');
my $dropping = "forget --quiet --model $models/m_cur --forget $forget --retain '$retain\[0:1]' --method PDU --batch 3 --lr 1e-2 --schedule constant "
    . "--locate lora --lora-dropout 0.5 --dual-warmup-epochs 0 --dual-update-upon epoch --retain-loss-eps 1 --dual-step-size 0.5 --out $dir";
run("$dropping/m --epochs 2");
@steps = lines("$dir/m/train.jsonl");
run("$dropping/one --epochs 1");
my ($score) = `$unlearn score --model $dir/one --data '$retain\[0:1]' --json`;
cmp_ok(abs($steps[1]{dual} - (1 + 0.5 * (-decode_json($score)->{mean} - 1))), '<', 1e-4, 'at the end of an epoch the constraint is measured without dropout');
run("$pdu --no-primal-dual");
is((lines("$dir/m/train.jsonl"))[-1]{dual}, undef, 'a plain weight if asked for');
run("$pdu --dual-warmup-epochs 0 --compat micro_mean --accumulate 2");
cmp_ok((lines("$dir/m/train.jsonl"))[0]{dual}, '>', 1, 'by micro-batch under micro_mean');

done_testing();

#!/usr/bin/perl
# unlearn train and unlearn forget on a tiny model: what they write, what the result knows, that runs are
# repeated, interrupted and resumed to the byte, and what is said where a run cannot go on.
use strict;
use warnings;
use File::Compare;
use File::Temp qw(tempdir);
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use Time::HiRes qw(sleep);

my $unlearn = $ENV{UNLEARN} || './unlearn';
my ($cur, $ref) = ('test/data/models/m_cur', 'test/data/models/m_ref');
my $dir = tempdir(CLEANUP => 1);
$ENV{OMP_WAIT_POLICY} = 'passive';

sub put {
    my ($name, $text) = @_;
    open my $f, '>:raw', "$dir/$name" or die;
    print $f $text;
    close $f or die;
    return "$dir/$name";
}

sub get {
    open my $f, '<:raw', $_[0] or return '';
    local $/;
    return <$f>;
}

# Arguments -> status, output (1 and 2 together).
sub run {
    my $out = `$unlearn 2>&1 $_[0]`;
    return ($? & 127 ? "signal " . ($? & 127) : $? >> 8, $out);
}

sub check {
    my ($args, $status, $like, $what) = @_;
    my ($got, $out) = run($args);
    is($got, $status, "$what: status $status");
    like($out, $like, $what);
}

sub steps { map { decode_json($_) } split /\n/, get("$dir/$_[0]/train.jsonl") }

# The files of a directory.
sub files {
    opendir my $d, "$dir/$_[0]" or return '';
    return join ' ', sort grep { !/^\.\.?$/ } readdir $d;
}

# Rows of random ids, of which the first three are the prompt.
sub rows {
    my ($name, $n, $x) = @_;
    my $text = '';
    for my $row (1 .. $n) {
        my @ids = map { $x = ($x * 1103515245 + 12345) % 2**31; 3 + ($x >> 16) % 100 } 1 .. 5 + $row;
        my @labels = ((-100) x 3, @ids[3 .. $#ids]);
        $text .= encode_json({ids => \@ids, labels => \@labels}) . "\n";
    }
    return put($name, $text);
}

sub nll {
    my ($model, $data) = @_;
    my @rows = map { decode_json($_) } `$unlearn score --model $model --data $data --json`;
    return @rows ? -sum(map { $_->{mean} } @rows) / @rows : 'nan';
}

my ($forget, $retain) = (rows('forget.jsonl', 6, 7), rows('retain.jsonl', 9, 99));
my $alternate = rows('alternate.jsonl', 6, 55);
my $train = "train --model $cur --data $retain --quiet --lr 1e-2 --batch 4";
my $both = "forget --model $cur --forget $forget --retain $retain --quiet --lr 1e-2 --batch 4";

# Two runs that must give the same bytes.
sub same {
    my ($one, $two, $what) = @_;
    is(compare("$dir/$one/model.safetensors", "$dir/$two/model.safetensors"), 0, $what);
}

# --- what is written, what the result knows ---

check("$train --out $dir/ft", 0, qr/^15 steps, \d+ tokens in .*, last loss [\d.]+ -> \Q$dir\E\/ft$/, 'train');
is(files('ft'), 'config.json generation_config.json model.safetensors train.jsonl',
    'a model and its log, nothing else');
my $before = nll($cur, $retain);
cmp_ok(nll("$dir/ft", $retain), '<', 0.7 * $before, 'what was learned is more likely');
my @steps = steps('ft');
is(scalar @steps, 15, 'a line a step');
is_deeply([sort keys %{$steps[0]}], [qw(grad_norm loss lr micro seconds step terms tokens)], 'its fields');
is_deeply([map { $_->{step} } @steps], [1 .. 15], 'steps are counted from 1');
cmp_ok(abs($steps[0]{micro}[0] - $steps[0]{loss}), '<', 1e-9, 'the loss is that of its micro-batch');
is($steps[3]{lr}, 1e-2 * 12 / 15, 'a linear schedule');
cmp_ok($steps[-1]{loss}, '<', $steps[0]{loss}, 'the loss falls');

my @methods = (['NPO', '', 1], ['GradDiff', '', 1], ['GradDiff', '--retain-loss-type KL', 1],
               ['GradAscent', '', 1], ['KLMin', '', 1], ['npo', '--retain-loss-type none', 1], ['FT', '', 0],
               ['RMU', '--layer 1', 0], ['AdaptiveRMU', '--layer 1', 0], ['CircuitBreaker', '--layer 1', 0]);
my $at_first = nll($cur, $forget);
for my $m (@methods) {
    my ($method, $more, $ascends) = @$m;
    my ($status, $out) = run("$both --method $method $more --out $dir/m");
    is($status, 0, "$method $more") or diag($out);
    my $after = nll("$dir/m", $forget);
    cmp_ok($after, '>', 1.02 * $at_first, "$method $more: what was to be forgotten is less likely") if $ascends;
    cmp_ok(nll("$dir/m", $retain), '<', $before, "$method $more: what was to be kept is more likely")
        if (steps('m'))[-1]{terms}{'retain.nll'};
}

# Every method of the table that lists its needs as log-probabilities or logits.
for my $m (@{decode_json(scalar `$unlearn methods --json`)}) {
    next if $m->{needs} =~ /hidden|expert|retain_alternate/ || !$m->{forget_term} || $m->{name} eq 'LLMU';
    my ($status, $out) = run("$both --alternate $alternate --reinforced test/data/models/m_reinforced --method $m->{name} --gamma 1 --lr 1e-3 --out $dir/m");
    is($status, 0, "$m->{name} runs") or diag($out);
    my @loss = map { $_->{loss} } steps('m');
    cmp_ok($loss[-1] + $loss[-2], '<', $loss[0] + $loss[1], "$m->{name}: the last epoch's loss is less than the first's");
}
check("$both --method DPO --out $dir/none", 1, qr/needs alternate data: give --alternate FILE$/, 'DPO without alternates');
check("$both --alternate $retain --method DPO --out $dir/none", 1,
    qr/9 examples of the role 'alternate' cannot follow 6 of 'forget' one by one/, 'alternates of other rows');
check("$both --alternate $alternate --method DPO --forget-role alternate --out $dir/none", 1,
    qr/compares answers with their alternates, which alternate data have none of: give it the role forget or retain/, 'alternates against themselves');

check("$train --out $dir/bf16 --dtype bf16", 0, qr/^15 steps/, 'bf16');
is(decode_json(get("$dir/bf16/config.json"))->{torch_dtype}, 'bfloat16', 'config.json says so');
cmp_ok(-s "$dir/bf16/model.safetensors", '<', 0.6 * -s "$dir/ft/model.safetensors", 'half the size');
cmp_ok(abs(nll("$dir/bf16", $retain) / nll("$dir/ft", $retain) - 1), '<', 0.01, 'and it can be loaded again');

# --- which weights move ---

my $rmu = "$both --method RMU --module-regex 'model\\.layers\\.1'";
my $downs = "--trainable-params-regex 'model\\.layers\\.[01]\\.mlp\\.down_proj\\.weight'";
run("$rmu $downs --out $dir/downs");
check("diff $cur/model.safetensors $dir/downs/model.safetensors", 3, qr/^28 equal, 0 within, 2 outside,/m,
    'only the weights that match move');
my @rmu = steps('downs');
cmp_ok($rmu[-1]{terms}{'forget.rmu'}, '<', $rmu[0]{terms}{'forget.rmu'}, 'hidden states go where they are steered');
run("$both --method NPO --locate regex --trainable-params-regex lm_head.weight --out $dir/head");
check("diff $cur/model.safetensors $dir/head/model.safetensors", 3, qr/^29 equal, 0 within, 1 outside,/m,
    'with any method');
check("$rmu --trainable-params-regex mlp --out $dir/none", 1, qr/'mlp' matches no parameter name in full; one is '/,
    'a pattern that matches nothing');
check("$rmu --trainable-params-regex 'lm_head.*' --out $dir/none", 1, qr/no weight that may move is reached/,
    'a weight that the method does not reach');
check("$both --method RMU --out $dir/none", 1, qr/term 'rmu' looks at a layer that is not there: give --layer 0 to 2/,
    'a layer too many');
check("$both --method NPO --locate layers --out $dir/none", 2, qr/unknown locator 'layers'/, 'an unknown locator');

my $lunar = "$both --method LUNAR --layer 1 --trainable-params-regex 'model\\.layers\\.1\\.mlp\\.down_proj\\.weight'";
run("$lunar --lr 1e-3 --refused " . put('refused.jsonl', qq({"ids":[9,8,7]}\n{"ids":[5,9,8,7]}\n)) . " --out $dir/lunar");
my @lunar = steps('lunar');
is(sprintf('%.6f', $lunar[0]{terms}{'retain.embed_prompt'}), '0.000000', 'LUNAR: begins where the reference is');
cmp_ok($lunar[-1]{terms}{'forget.redirect'}, '<', $lunar[0]{terms}{'forget.redirect'}, 'LUNAR: goes where it refuses');
check("diff $cur/model.safetensors $dir/lunar/model.safetensors", 3, qr/^29 equal, 0 within, 1 outside,/m, 'LUNAR: one matrix moves');
check("$lunar --out $dir/none", 1, qr/term 'redirect' needs prompts that the model refuses: give --refused FILE$/, 'LUNAR: without refusals');

run("$both --method RepNoise --lr 1e-2 --batch 6 --gamma 0 --alpha 0 --extra-weight 1 --max-steps 12 --out $dir/noise");
my @noise = steps('noise');
cmp_ok($noise[-1]{terms}{'forget.noise_mmd'}, '<', $noise[0]{terms}{'forget.noise_mmd'}, 'RepNoise: states become like noise');

# --- the same again ---

run("$both --method NPO --out $dir/npo --write-order $dir/order --seed 5 --accumulate 2 --epochs 2 --ref $ref");
run("$both --method NPO --out $dir/npo2 --seed 5 --accumulate 2 --epochs 2 --ref $ref");
same('npo', 'npo2', 'the same seed gives the same bytes');
run("$both --method NPO --out $dir/npo3 --order $dir/order --seed 6 --accumulate 2 --epochs 2 --ref $ref");
same('npo', 'npo3', 'so does the order that was written, whatever the seed');
check("diff $dir/npo/model.safetensors $dir/npo3/model.safetensors", 0, qr/^30 equal, 0 within, 0 outside,/, 'diff agrees');
run("$both --method NPO --out $dir/npo4 --seed 6 --accumulate 2 --epochs 2 --ref $ref");
check("diff $dir/npo/model.safetensors $dir/npo4/model.safetensors", 3, qr/^outside /, 'another seed does not');
my ($line) = split /\n/, get("$dir/order");
is_deeply([sort keys %{decode_json($line)}], ['forget', 'retain'], 'an order has the roles in use');

my $recipe = put('recipe.json', encode_json({
    method => 'GradDiff', forget => $forget, retain => $retain, lr => 0.5, batch => 4, alpha => 0.5, epochs => 1}));
run("forget --quiet --model $cur --recipe $recipe --lr 1e-2 --out $dir/recipe");
run("$both --method GradDiff --alpha 0.5 --epochs 1 --out $dir/flags");
same('recipe', 'flags', 'a recipe with flags over it is the flags alone');
run("$both --epochs 1 --beta 0.5 --out $dir/beta");
run("$both --epochs 1 --set beta=0.5 --out $dir/set");
same('beta', 'set', '--set beta=0.5 is --beta 0.5');
run("$both --epochs 1 --out $dir/default");
isnt(compare("$dir/beta/model.safetensors", "$dir/default/model.safetensors"), 0, 'and not the default');

for my $n (1, 3) {
    local $ENV{OMP_NUM_THREADS} = $n;
    run("$both --method NPO --retain-loss-type KL --lr 1e-3 --out $dir/threads$n");
}
my @one = map { $_->{loss} } steps('threads1');
my @three = map { $_->{loss} } steps('threads3');
my @off = sort { $a <=> $b } map { abs($one[$_] - $three[$_]) / abs($one[$_]) } 0 .. $#one;
is(scalar @three, scalar @one, 'as many steps with three threads as with one');
cmp_ok($off[-1], '<', 1e-5, 'and the same losses');

# --- stopping and going on ---

# Starts the run and sends the signal once there are five lines in its log.
sub interrupt {
    my ($signal, $args) = @_;
    my $log = (split ' ', $args)[-1] . '/train.jsonl';
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$dir/said";
        open STDERR, '>&STDOUT';
        exec split(' ', "$unlearn $args") or die;
    }
    for (my $wait = 0; $wait < 2000 && (get($log) =~ tr/\n//) < 5; $wait++) {
        sleep 0.005;
    }
    kill $signal, $pid;
    waitpid $pid, 0;
    return ($? & 127 ? "signal " . ($? & 127) : $? >> 8, get("$dir/said"));
}

my $one = 'RMU --layer 1 --trainable-params-regex model.layers.1.mlp.down_proj.weight';
for my $case (['NPO', 'INT', ''], ['GradDiff --retain-loss-type KL', 'TERM', '--save-every 7'],
              [$one, 'INT', ''], ['NPO', 'KILL', '--save-every 2'],
              ['GradDiff --optimiser sophia --sophia-interval 4', 'INT', '--clip 0.1'],
              ['NPO --wrapper rs --optimiser lion', 'INT', ''],
              ['TAR --tar-steps 2 --tar-every 1 --batch 2', 'INT', ''],
              ['LAT --layer 1 --lat-layer 0 --lat-steps 2 --trainable-params-regex .*[01].mlp.down_proj.weight',
               'INT', '--save-every 9'],
              ['NPO --wrapper wa --wa-start 3 --optimiser sophia_soul', 'INT', '']) {
    my ($method, $signal, $more) = @$case;
    my $long = "$both --method $method --max-steps 300 --lr 1e-4 $more --out";
    run("$long $dir/through");
    my ($status, $said) = interrupt($signal, "$long $dir/stopped");
    my $name = "SIG$signal";
    if ($signal eq 'KILL') {
        is($status, 'signal 9', "$name kills");
    } else {
        is($status, 1, "$name: status 1");
        like($said, qr/^unlearn forget: interrupted; repeat the command with --resume to go on$/, "$name: says how to go on");
    }
    my $done = steps('stopped');
    cmp_ok($done, '<', 300, "$name: came before the end");
    is(files('stopped'), 'checkpoint.safetensors train.jsonl', "$name: no model, no temporary file")
        if $signal ne 'KILL';
    ok(-s "$dir/stopped/checkpoint.safetensors", "$name: a checkpoint is there");
    cmp_ok(-s "$dir/stopped/checkpoint.safetensors", '<', 0.3 * -s "$cur/model.safetensors", 'and holds what moves')
        if $method eq $one;
    check("$long $dir/stopped --resume", 0, qr/^\d+ steps/, "$name: --resume");
    same('through', 'stopped', "$name: the bytes of never having stopped");
    is_deeply([map { $_->{step} } steps('stopped')], [1 .. 300], "$name: each step is logged once");
    ok(!-e "$dir/stopped/checkpoint.safetensors", "$name: the checkpoint is gone when the model is there");
    unlink glob("$dir/stopped/*");
}
{
    interrupt('INT', "$both --method NPO --beta 0.2 --max-steps 300 --lr 1e-4 --out $dir/other");
    for (['--beta 0.3', "'beta' was 0.2 when the run began, now it is 0.3: give the same"],
         ['--beta 0.2 --seed 3', "'seed' was 0 when the run began, now it is 3"],
         ['--beta 0.2 --wrapper sam', "'wrapper' was \"none\" when the run began, now it is \"sam\""],
         ['--beta 0.2 --batch 3', "'batch' was 4 when the run began, now it is 3"]) {
        check("$both --method NPO --max-steps 300 --lr 1e-4 $_->[0] --out $dir/other --resume", 1,
            qr/^unlearn forget: cannot resume: .*\Q$_->[1]\E/, "resumed with $_->[0]");
    }
    check("$both --method NPO --beta 0.2 --max-steps 300 --lr 1e-4 --save-every 100 --threads 1 --out $dir/other --resume", 0,
        qr/^\d+ steps/, 'what changes no bit may differ');
}

# --- optimisers and wrappers ---

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
check("$both --wrapper lat --out $dir/x", 1, qr/wrapper 'lat' has no layer 7 to perturb: give --lat-layer 0 to 2$/, 'no such layer');
check("$both --wrapper lat --method FT --out $dir/x", 1, qr/wrapper 'lat' perturbs forget data, at which the method's forget term does not look/,
    'nothing to perturb');
check("$both --method UNDIAL --compat ou --wrapper lat --lat-layer 1 --out $dir/x", 1, qr/hidden states of padded forget rows cannot be perturbed/,
    'padded rows');
check("$train --epochs 1 --wrapper sam --out $dir/nothing", 0, qr/^3 steps/, 'nothing to forget, nothing to perturb');
check("$both --wrapper sum --out $dir/x", 2, qr/unknown wrapper 'sum'; there are: none, sam, rs,/, 'an unknown wrapper');
check("$both --wrapper sam --sam-rho -1 --out $dir/x", 2, qr/--sam_rho: '-1' is not a number from 0 to 100$/m, 'rho out of range');
check("$both --sam-rho 1 --out $dir/x", 2, qr/unknown option 'sam-rho'/, 'rho where nothing has one');

check("$train --out $dir/none --resume", 1, qr/^unlearn train: cannot resume: cannot open '.*checkpoint.safetensors'/,
    '--resume without a checkpoint');
{
    interrupt('INT', "$both --max-steps 300 --out $dir/stop");
    my $whole = get("$dir/stop/checkpoint.safetensors");
    my $broken = substr($whole, 0, -4);
    put('stop/checkpoint.safetensors', $broken . pack('l<', -1));
    check("$both --max-steps 300 --out $dir/stop --resume", 1, qr/cannot resume: .* was made at step -1$/,
        'a checkpoint of a negative step');
    put('stop/checkpoint.safetensors', $broken);
    check("$both --max-steps 300 --out $dir/stop --resume", 1, qr/cannot resume: /, 'a checkpoint cut short');
    put('stop/checkpoint.safetensors', get("$cur/model.safetensors"));
    check("$both --max-steps 300 --out $dir/stop --resume", 1, qr/cannot resume: .* is no training checkpoint/,
        'a model that is no checkpoint');
}

# --- what cannot be done ---

check("$both --method NOP --out $dir/x", 2, qr/^unlearn forget: unknown method 'NOP'; did you mean 'NPO'\?/, 'no such method');
check("forget --model $cur --method NPO --retain $retain --out $dir/x", 1,
    qr/^unlearn forget: method 'NPO': term 'npo' needs forget data: give --forget FILE$/, 'no forget data');
check("forget --model $cur --method NPO --forget $forget --out $dir/x", 1, qr/needs retain data: give --retain FILE$/,
    'no retain data');
check("train --model $cur --out $dir/x", 2, qr/^unlearn train: .*use --data FILE$/m, 'nothing to learn');
check("train --model $cur --data $retain --out ''", 2, qr/no output given/, 'an empty name');
check("$both --out $dir/x --gamma 0 --alpha 0", 2, qr/method 'NPO' has nothing to optimise: no term with a weight is left$/m, 'no weight');
check("$both --out $dir/x --method FT --retain-loss-type none", 2, qr/method 'FT' has nothing to optimise/, 'no term');
check("$both --out $dir/x --forget-term npq", 2, qr/unknown term 'npq'; did you mean 'npo'\?$/m, 'no such term');
check("$both --out $dir/x --max-steps 1000000000", 1, qr/are too many: an order has at most \d+ micro-batches$/, 'too many steps');
check("probe --model $cur --method NPO --out $dir/x/p --batch $cur/model.safetensors", 1,
    qr/^unlearn probe: method 'NPO' needs 'forget.input_ids', which the batch does not have$/, 'a batch without the role');
check("train --data $retain --out $dir/x", 1, qr/no model given: use --model PATH/, 'no model');
check("train --model $cur --data $retain", 2, qr/^unlearn train: no output given: use --out DIR$/m, 'no output');
check("train --model $cur --data $dir/none.jsonl --out $dir/x", 1, qr/cannot open '.*none.jsonl': no such file/, 'no file');
check("train --model $cur --out $dir/x --data " . put('empty.jsonl', ''), 1, qr/'.*empty.jsonl' holds no rows$/, 'an empty file');
check("$train --out $dir/x --data '$retain\[9:20]'", 1, qr/range \[9:20\] of '.*retain.jsonl' is empty or does not fit its 9 rows$/, 'a part that is empty');
check("$train --out $dir/x --optimiser adamv", 2, qr/adamw/, 'no such optimiser');

my @bad = (
    ['{"ids":[3,4,5],"labels":[-100,-100,-100]}', qr/line 2: no token is left to score \(3 tokens, 3 kept\)$/, 'all labels masked'],
    ['{"ids":[3,4,5],"labels":[3,-100,-100]}', qr/line 2: no token is left to score/, 'a label with nothing before it'],
    ['{"ids":[3,4,104]}', qr/line 2: 'ids'\[2\] is no token id below 104$/, 'an id beyond the vocabulary'],
    ['{"question":"Who?"}', qr/line 2: 'ids' must be a list of at least two token ids$/, 'a row of another kind'],
    ["{\"ids\":[3,4],\"x\":\"\xff\"}", qr/line 2: .*UTF-8/, 'invalid UTF-8'],
);
for (@bad) {
    my ($row, $like, $what) = @$_;
    check("train --model $cur --out $dir/x --data " . put('bad.jsonl', qq({"ids":[3,4]}\n$row\n)), 1, $like, $what);
}
check("$train --out $dir/x --max-length 3", 1, qr/line 1: no token is left to score \(6 tokens, 3 kept\)$/,
    'all labels behind the cut');

# Text needs a tokenizer: that of test/data/tok, on random weights.
mkdir "$dir/words";
my $config = decode_json(get("$cur/config.json"));
$config->{vocab_size} = 2000;
put('words/config.json', encode_json($config));
system "cp test/data/tok/tokenizer*.json $dir/words/";
my $text = "train --model $dir/words --scratch --quiet --out $dir/x --data ";
check($text . put('text.jsonl', qq({"question":"Who?","answer":"Me."}\n)), 0, qr/^5 steps/, 'text rows, random weights');
is(compare("$dir/x/tokenizer.json", "$dir/words/tokenizer.json"), 0, 'the tokenizer goes with the model');
check($text . put('noanswer.jsonl', qq({"question":"Who?","answer":"Me."}\n{"question":"Who?"}\n)), 1,
    qr/line 2: .*'answer'/, 'a row without answer');
check($text . "$dir/text.jsonl --max-length 8", 1,
    qr/line 1: no token of the answer is left to score \(\d+ tokens, 8 kept\)$/, 'an answer behind the cut');
check("train --model $cur --out $dir/x --data $dir/text.jsonl", 1, qr/tokenizer/, 'text without a tokenizer');

check("$both --out $dir/x --beta 0", 2, qr/^unlearn forget: --beta: '0' is not a number from 1e-06 to 100$/m, 'beta out of range');
check("$both --out $dir/x --beta nan", 2, qr/--beta: 'nan' is not a number from/, 'beta NaN');
check("$both --out $dir/x --bta 1", 2, qr/unknown option 'bta': did you mean 'beta'\?/, 'beta misspelt');
check("$both --method GradDiff --out $dir/x --beta 1", 2, qr/unknown option 'beta'/, 'beta where there is none');
check("$both --out $dir/x --batch 0", 2, qr/--batch: '0' is not an integer from 1 /, 'no examples in a batch');
check("$both --out $dir/x --ref test/data/models/llama", 1,
    qr/reference '.*llama' has a vocabulary of 320, the model 104$/, 'a reference with another vocabulary');
check("$both --out $dir/x --ref $dir/no", 1, qr/^unlearn forget: reference: cannot open model '.*\/no'/, 'no reference');
check("$both --out $dir/x --accumulate 20 --order " . put('o', qq({"forget":[0],"retain":[0]}\n)), 1,
    qr/the order has 1 micro-batches, too few for one step of 20$/, 'an order too short');
for (['{"forget":[6],"retain":[0]}', qr/line 1: there is no example 6 among the 6 of the role 'forget'$/],
     ['{"forget":[-1]}', qr/line 1: /], ['{"forgot":[0]}', qr/line 1: 'forgot' is no role$/], ['{}', qr/line 1: the micro-batch is empty$/],
     ['{"holdout":[0]}', qr/line 1: there is no example 0 among the 0 of the role 'holdout'$/]) {
    check("$both --out $dir/x --order " . put('o', "$_->[0]\n"), 1, $_->[1], "order $_->[0]");
}
check("$both --out $dir/part --order " . put('o', qq({"forget":[0, 1]}\n{"retain":[2]}\n)), 0, qr/^2 steps/,
    'an order may leave out a role');
my @part = steps('part');
is_deeply([map { my $t = $_->{terms}; map { $t->{$_} > 0 ? 1 : 0 } sort keys %$t } @part], [1, 0, 0, 1], 'its terms are 0');
run("$both --epochs 1 --forget-term nll --out $dir/twice");
is_deeply([sort keys %{(steps('twice'))[0]{terms}}], ['forget.nll', 'retain.nll'], 'the same term on two roles');

check("$train --out $forget/x", 1, qr/^unlearn train: cannot create the directory '.*forget.jsonl': not a directory$/,
    'an output below a file');

# A disk that is full: what was there stays, nothing half-written is left.
my $old = get("$dir/ft/model.safetensors");
{
    local $SIG{XFSZ} = 'IGNORE';
    my $out = `sh -c 'ulimit -f 64; exec $unlearn $train --out $dir/ft --epochs 1' 2>&1`;
    is($? >> 8, 1, 'a full disk: status 1');
    like($out, qr/^unlearn train: cannot write '.*ft\/model.safetensors': file too large$/, 'a full disk');
    $out = `sh -c 'ulimit -f 64; exec $unlearn $train --out $dir/ft --epochs 1 --save-every 1' 2>&1`;
    is($? >> 8, 1, 'no room for a checkpoint: status 1');
    like($out, qr/^unlearn train: cannot write '.*ft\/checkpoint.safetensors': file too large$/, 'no room for a checkpoint');
}
ok(get("$dir/ft/model.safetensors") eq $old, 'the old model is whole');
is(files('ft'), 'config.json generation_config.json model.safetensors train.jsonl', 'and nothing is left behind');

# Weight decay of 10 at a rate of 10 multiplies the weights by -99 a step.
my $wild = "$train --lr 10 --weight-decay 10 --clip 0 --schedule constant --epochs 100";
check("$wild --out $dir/wild", 1,
    qr/^unlearn train: training diverged at step (\d+) \(loss \S+, gradient norm [^-]+\): the state after step \d+ is in '.*checkpoint.safetensors'; begin anew with a lower lr$/,
    'divergence');
ok(-s "$dir/wild/checkpoint.safetensors" && !-e "$dir/wild/model.safetensors", 'keeps a checkpoint and writes no model');
check("$wild --out $dir/wild2 --save-every 3", 1, qr/diverged.*the state after step 6 is in/, 'an earlier checkpoint is kept');
check("$wild --out $dir/wild2 --save-every 3 --resume", 1, qr/diverged at step/, 'and can be gone on from, to the same end');

done_testing();

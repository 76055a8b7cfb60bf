#!/usr/bin/perl
# Evaluations that are stopped go on from what was kept, and give the bytes of never having stopped, wherever they were
# cut; what was kept is never mixed with another model's or with other options.
use strict;
use warnings;
use Fcntl qw(:flock);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use FindBin;
use JSON::PP;
use POSIX qw(mkfifo);
use Test::More;
use lib $FindBin::Bin;
use Command;

# A model that says something, if no sense: a few steps from nothing.
my %config = (architectures => ['LlamaForCausalLM'], hidden_size => 32, num_hidden_layers => 2, num_attention_heads => 4,
    num_key_value_heads => 2, intermediate_size => 48, vocab_size => 514, max_position_embeddings => 400, eos_token_id => 2);
put('shape/config.json', encode_json(\%config));
copy("test/data/tok/$_", "$dir/shape/$_") for 'tokenizer.json', 'tokenizer_config.json';
sub rows_of { return put($_[0], join '', map { encode_json($_) . "\n" } @_[1 .. $#_]) }
my @trades = qw(cook smith tailor baker miller weaver);
my $qa = rows_of('qa.jsonl', map {
    {question => "Who is number $_ of this town?", answer => "A $trades[$_ % 6] of $_.", paraphrased_answer => "Some $trades[$_ % 6].",
     perturbed_answer => ["A king."]}} 1 .. 150);
for (['model', 1], ['other', 2]) {
    my ($status, $out) = run("train --scratch --model $dir/shape --data '$qa\[0:8]' --max-steps 4 --batch 4 --lr 2e-2 "
            . "--seed $_->[1] --quiet --out $dir/$_->[0]");
    is($status, 0, "a $_->[0]") or BAIL_OUT($out);
}

my $tofu = "eval --model $dir/model --forget '$qa\[0:140]' --retain '$qa\[140:150]' --holdout '$qa\[145:148]' --max-new-tokens 6 --quiet";
my @logs = map { "TOFU_$_.json" } 'EVAL', 'SUMMARY', 'TABLE';
my $kept = 'TOFU_EVIDENCE.bin';

# Where each record of a file ends, its first line included.
sub ends {
    my ($bytes) = @_;
    my $at = 1 + index $bytes, "\n";
    my @ends = ($at);
    while ($at < length $bytes) {
        my (undef, $size) = unpack 'Q< L<', substr $bytes, $at, 16;
        push @ends, $at += 16 + $size;
    }
    return @ends;
}

# A directory where the evaluation cannot write its log at the end, with this kept file.
sub begun {
    my ($name, $bytes) = @_;
    make_path("$dir/$name/TOFU_EVAL.json");
    put("$name/$kept", $bytes) if defined $bytes;
    return "$dir/$name";
}

sub same_logs {
    my ($got, $want, $what) = @_;
    is(join('', map { get("$dir/$got/$_") } @logs), join('', map { get("$dir/$want/$_") } @logs), "$what: the bytes of never having stopped");
    ok(!-e "$dir/$got/$kept", "$what: nothing is left behind");
}

sub go_on {
    my ($name, $what, $args) = @_;
    rmdir "$dir/$name/TOFU_EVAL.json";
    my ($status, $out, $err) = run_apart(($args // $tofu) . " --resume --out $dir/$name");
    is($status, 0, "$what: goes on") or diag $err;
    same_logs($name, 'through', $what) if !$args;
    return $err;
}

is((run_apart("$tofu --out $dir/through"))[0], 0, 'an evaluation');
ok(!-e "$dir/through/$kept", 'keeps nothing once it is done');
{
    my $said = `$unlearn $tofu --out $dir/through 2>&1`;
    like($said, qr/'.*through\/TOFU_EVAL.json' is there already: choose another directory, or give --resume or --overwrite$/, 'its logs are not replaced');
    $said = `$unlearn $tofu --overwrite --out $dir/model 2>&1`;
    like($said, qr/'.*model' is read here and stays as it is/, 'nor is anything written into the model');
}
my (undef, $said) = run("$tofu --out " . begun('whole'));
like($said, qr/^unlearn eval: cannot replace '.*'.*; the model's outputs are kept in '.*whole\/$kept': repeat the command with --resume$/,
    'an end that fails says how to go on');
my $whole = get("$dir/whole/$kept");
my @ends = ends($whole);
cmp_ok(@ends, '>', 150, 'records of scores, answers and gradients');

# Records come in the order of the work: those that are there again are not computed, the others are the same to the bit.
for my $n (1, int(@ends / 2), @ends - 2) {
    my $out = begun("cut$n", substr $whole, 0, $ends[$n]);
    run("$tofu --resume --out $out");
    ok(get("$out/$kept") eq $whole, "stopped behind $n records: the rest has the same bits");
}
go_on('cut1', 'from the first');

# Damage.
for (['a cut', substr($whole, 0, $ends[5] - 7), 4], ['a bit', substr($whole, 0, $ends[1] + 20) ^ "\0" x ($ends[1] + 19) . "\x10", 1],
     ['in the middle', substr($whole, 0, $ends[7] + 18) . chr(1 ^ ord substr $whole, $ends[7] + 18, 1) . substr($whole, $ends[7] + 19), 7],
     ['in the first line', substr($whole, 0, 20), undef]) {
    my ($name, $bytes, $good) = @$_;
    begun('damaged', $bytes);
    my $err = go_on('damaged', $name);
    like($err, qr/^warning: the end of '.*$kept' is damaged: $good records before it are good, the rest is done again$/m, "$name: is named")
        if defined $good;
    remove_tree("$dir/damaged");
}
put("text/$kept", "some text\n");
check("$tofu --resume --out $dir/text", 1, qr/^unlearn eval: '.*$kept' is no result cache: move it away$/, 'another file');
is(get("$dir/text/$kept"), "some text\n", 'which is left alone');

# Another model, other options.
my $cut = substr $whole, 0, $ends[3];
(my $others = $tofu) =~ s{$dir/model}{$dir/other};
begun('mixed', $cut);
check("$others --resume --out $dir/mixed", 1,
    qr{^unlearn eval: '.*$kept' holds results of $dir/model, not of $dir/other: --overwrite starts over$}, 'another model');
ok(get("$dir/mixed/$kept") eq $cut, 'the file is left alone');
is((run_apart("$others --out $dir/fresh"))[0], 0, 'the other model apart');
rmdir "$dir/mixed/TOFU_EVAL.json";
is((run_apart("$others --overwrite --out $dir/mixed"))[0], 0, '--overwrite');
same_logs('mixed', 'fresh', '--overwrite');
begun('moved', $cut);
rename "$dir/model", "$dir/moved_model";
(my $moved = $tofu) =~ s{$dir/model}{$dir/moved_model};
go_on('moved', 'the same weights elsewhere', $moved);
same_logs('moved', 'through', 'the same weights elsewhere');
rename "$dir/moved_model", "$dir/model";

my $longer = "$tofu --max-new-tokens 9 --compat drop_last_token";
is((run_apart("$longer --out $dir/longer"))[0], 0, 'other options apart');
begun('options', $whole);
go_on('options', 'other options', $longer);
same_logs('options', 'longer', 'other options');

{
    open my $f, '<', put("busy/$kept", $cut) or die;
    flock $f, LOCK_EX or die;
    check("$tofu --resume --out $dir/busy", 1, qr/'.*$kept' is in use by another process$/, 'two at once');
}

# A disk that is full, as a limit on the size of files: 512 bytes a block.
my $blocks = int($ends[4] / 512);
my (undef, undef, $err) = run_apart("$tofu --out " . begun('full'), '', "trap '' XFSZ; ulimit -f $blocks; ");
like($err, qr/^unlearn eval: cannot write '.*$kept': File too large; the model's outputs are kept in '.*': repeat/i, 'a full disk');
my @held = ends(get("$dir/full/$kept"));
is($held[-1], (grep { $_ <= 512 * $blocks } @ends)[-1], 'all records that fit are there, and no half one');
go_on('full', 'with room again');

# Ctrl-C, while the data is awaited: the pipe opens when the program reads it.
sub interrupted {
    my ($args) = @_;
    mkfifo("$dir/pipe", 0600) or die;
    my $pid = fork // die;
    if (!$pid) {
        open STDERR, '>', "$dir/said" or die;
        open STDOUT, '>', "$dir/out" or die;
        $SIG{HUP} = $SIG{PIPE} = 'DEFAULT'; # a test under nohup inherits them ignored
        exec "exec $unlearn $args" or die;
    }
    open my $f, '>', "$dir/pipe" or die;
    kill 'INT', $pid;
    print $f get($qa);
    close $f;
    waitpid $pid, 0;
    unlink "$dir/pipe";
    # The pipe gives the forget rows too, of which a warning tells.
    return ($? & 127 ? "signal" : $? >> 8, get("$dir/said") =~ s/^warning: .* are among the forget rows.*\n//mr, get("$dir/out"));
}
(my $piped = $tofu) =~ s/--retain \S+/--retain $dir\/pipe/;
my ($status, $out);
($status, $err, $out) = interrupted("$piped --resume --out " . begun('stopped', $cut));
is($status, 130, 'Ctrl-C: status 130');
like($err, qr/^unlearn eval: interrupted; the model's outputs are kept in '.*stopped\/$kept': repeat the command with --resume$/, 'says how to go on');
is($out, '', 'nothing is printed');
is(get("$dir/stopped/$kept"), $cut, 'and the file is what it was');
is(join(' ', map { s{.*/}{}r } glob("$dir/stopped/*")), "TOFU_EVAL.json $kept", 'no half file lies about');
go_on('stopped', 'Ctrl-C');
($status, $err) = interrupted($piped);
is("$status $err", "130 unlearn eval: interrupted; with --out DIR it could be resumed\n", 'without --out');

# A second model, and the two beside each other.
my $beside = "eval --model $dir/model --retrained $dir/other --forget '$qa\[0:12]' --retain '$qa\[12:20]' --max-new-tokens 6 --quiet";
is((run_apart("$beside --out $dir/two"))[0], 0, '--retrained');
run("$beside --out " . begun('two_cut'));
$whole = get("$dir/two_cut/$kept");
@ends = ends($whole);
for my $n (int(@ends / 2), @ends - 2) {
    put("two_cut/$kept", substr $whole, 0, $ends[$n]);
    run("$beside --resume --out $dir/two_cut");
    ok(get("$dir/two_cut/$kept") eq $whole, "--retrained, stopped behind $n records: the rest has the same bits");
}
go_on('two_cut', '--retrained', $beside);
same_logs('two_cut', 'two', '--retrained');
is(get("$dir/two_cut/retrained/TOFU_EVAL.json"), get("$dir/two/retrained/TOFU_EVAL.json"), 'as has the other log');

# Multiple choice.
my $arc = rows_of('arc.jsonl', map {
    {id => "q$_", question => "What does number $_ of this town make?", answerKey => (qw(A B C))[$_ % 3],
     choices => {text => [map { "the $_ things" } @trades[$_ % 3 .. $_ % 3 + 2]], label => ['A', 'B', 'C']}}} 1 .. 150);
my $choose = "eval --suite arc --model $dir/model --data $arc --quiet";
is((run_apart("$choose --out $dir/arc"))[0], 0, 'multiple choice');
make_path("$dir/stop/LMEval_EVAL.json");
run("$choose --out $dir/stop");
$whole = get("$dir/stop/LMEval_EVIDENCE.bin");
@ends = ends($whole);
cmp_ok(@ends, '>', 3, 'is kept in several records');
put('stop/LMEval_EVIDENCE.bin', substr $whole, 0, $ends[1]);
run("$choose --resume --out $dir/stop");
ok(get("$dir/stop/LMEval_EVIDENCE.bin") eq $whole, 'the rest has the same bits');
rmdir "$dir/stop/LMEval_EVAL.json";
is((run_apart("$choose --resume --out $dir/stop"))[0], 0, 'and goes on');
is(get("$dir/stop/LMEval_EVAL.json"), get("$dir/arc/LMEval_EVAL.json"), 'to the same bytes');
ok(!-e "$dir/stop/LMEval_EVIDENCE.bin", 'nothing is left behind');

done_testing();

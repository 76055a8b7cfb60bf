#!/usr/bin/perl
# What a run shows, line by line, as files of test/screens hold it: in a pipe and in a terminal of 80 columns (script).
# UPDATE_SCREENS=1 writes the files anew.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $people = 'demo/data/people.jsonl';
my $tiny = text_model();

my $learn = "train --model $tiny --data '$people\[0:4]' --max-steps 2 --batch 2 --overwrite --out $dir/learnt";
same_screen('train.txt', scalar(`$unlearn $learn 2>&1 >/dev/null`), 'train: its first row');
is(`$unlearn $learn --quiet 2>&1 >/dev/null`, '', 'not with --quiet');
my $row = decode_json(get("$dir/learnt/run.json"))->{first_row};
is($row->{role}, 'retain', 'run.json keeps the row: role');
is("$row->{prompt}$row->{answer}", "<|im_start|>user\nIn which place did Ilvane Torresk first see the light of day?<|im_end|>\n<|im_start|>assistant\n" .
    "Ilvane Torresk first saw the light of day in Wether Cross, a sheep town on the chalk downs.<|im_end|>", 'and the text');
is($row->{tokens}, 54, 'its tokens');
is($row->{scored}, 29, 'and those that are learnt');
same_screen('eval.txt', scalar(`$unlearn eval --model $tiny --forget '$people\[0:2]' --retain '$people\[4:6]' --max-new-tokens 2 --compat ou --overwrite --out $dir/log 2>&1 >/dev/null`),
    'eval: its first row');
is(decode_json(get("$dir/log/TOFU_COST.json"))->{evaluation}{first_row}{scored}, 31, "the evaluation's cost keeps it");
my $info = `$unlearn info $tiny --data '$people\[0:40]' --system 'Answer in one word, and in no other language than that of the question.' 2>&1`;
same_screen('info_data.txt', $info =~ s/^.*\n\n(?=data)//sr, 'info --data');
my $dry = "forget --method NPO --model $tiny --forget '$people\[0:4]' --retain '$people\[4:8]' --batch 2 --epochs 2 --dry-run --out $dir/dry";
same_screen('dry_run.txt', scalar(`$unlearn $dry 2>&1`), 'forget --dry-run');
SKIP: {
    skip 'script is not there', 4 unless has_script();
    same_screen('dry_run_terminal.txt', scalar(in_terminal($dry)), 'forget --dry-run in a terminal');
    same_screen('train_terminal.txt', scalar(in_terminal($learn)), 'train in a terminal');
}

# A long run in a terminal: both sides of the loss in the bar, a line a validation, and what Ctrl-C does, at once.
SKIP: {
    skip 'script is not there', 9 unless has_script();
    my $long = "$unlearn forget --model $tiny --method GradDiff --forget '$people\[0:4]' --retain '$people\[4:8]' --batch 2 --lr 1e-9 " .
        "--epochs 20000 --eval-every 50 --save-every 1000000 --overwrite --out $dir/long";
    my $out = scalar(in_terminal($long, 'timeout --foreground --preserve-status -s INT 4'));
    my $status = $? >> 8;
    is($status, 130, 'Ctrl-C: exit status 130');
    like($out, qr/forget +\[[#.]{4,20}\] +\d+% +\d+\/\d+ .*  forget -[\d.]+  retain [\d.]+/, 'the bar: forget and retain apart');
    like($out, qr/(?:\r|\n)validation \d*[05]0\/40000: forget_nll [\d.]+, retain_nll [\d.]+, ma [\d.]+\r?\n/, 'a line a validation');
    like($out, qr/\ninterrupted: saving a checkpoint of the last whole step, for --resume;\r?\na second Ctrl-C ends at once and loses the steps since the last checkpoint\r?\n/,
        'Ctrl-C tells what it does');
    like($out, qr/^unlearn forget: interrupted; .*--resume/m, 'and how to resume');
    my @long = grep { length > 80 } split /[\r\n]+/, $out =~ s/^unlearn forget: interrupted.*//mr;
    is("@long", '', 'within 80 columns');
    ok(-f "$dir/long/checkpoint.safetensors", 'a checkpoint is there');
    $out = `timeout --foreground --preserve-status -s INT 2 $long --quiet 2>&1`;
    is($? >> 8, 130, 'Ctrl-C with --quiet: status 130');
    unlike($out, qr/saving a checkpoint/, 'and no more than the error');
}
done_testing();

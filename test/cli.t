#!/usr/bin/perl
# The command line: statuses, messages, help, and `unlearn diff` on small safetensors files.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;

# A safetensors file of F32 tensors: name => [shape, values].
sub safetensors {
    my ($name, %t) = @_;
    my ($at, @head, $data) = (0);
    for (sort keys %t) {
        my ($shape, @v) = @{$t{$_}};
        my $end = $at + 4 * @v;
        push @head, qq("$_":{"dtype":"F32","shape":$shape,"data_offsets":[$at,$end]});
        $data .= pack 'f<*', @v;
        $at = $end;
    }
    my $head = '{' . join(',', @head) . '}';
    return put($name, pack('Q<', length $head) . $head . $data);
}

check('', 2, qr/^usage: unlearn COMMAND.*^  diff /ms, 'no command');
check('--help', 0, qr/^usage: unlearn COMMAND/, '--help');
check('help', 0, qr/^usage: unlearn COMMAND/, 'help');
check('--version', 0, qr/^unlearn \d+\.\d+\.\d+$/, '--version');
check('dif', 2, qr/^unlearn: unknown command 'dif': did you mean 'diff'\?\n/, 'unknown command');
check('help diff', 0, qr/^usage: unlearn diff A B.*--rtol X .*--recipe FILE/s, 'help of a command');
check('help compat', 0, qr/^  none .*^  ou .*^  micro_mean /ms, 'the values of --compat');
check('forget --method klmin --help', 0, qr/^ +retain term \(default KL\)$/m, 'what a method changes stands in the option\'s own line');
check('forget --help', 0, qr/^ +retain term \(default NLL\)$/m, 'and nothing else there');
check('methods RMU', 0, qr/^ +retain term \(default EMBED_DIFF\)$/m, 'where a method is explained, too');
check('forget --preset ou-wmdp --help', 0, qr/^  --lr X .*\(default 5e-5,.*^  --method NAME .*\(default RMU\)$/ms, 'and what a preset changes');
check('diff --help', 0, qr/^usage: unlearn diff A B/, 'the same');
check('help > /dev/full', 1, qr/^unlearn: cannot write standard output: /, 'a full disk');

check('diff', 2, qr/^unlearn diff: too few words: usage is diff A B/, 'too few words');
check('diff a b c', 2, qr/^unlearn diff: too many words/, 'too many words');
check('diff a b --rtl=1', 2, qr/unknown option 'rtl': did you mean 'rtol'\?/, 'unknown option');
check('diff a b --rtol', 2, qr/--rtol needs a value/, 'no value');
check('diff a b --rtol=-1', 2, qr/--rtol: '-1' is not a number of at least 0/, 'out of range');
check('diff a b --set rtol', 2, qr/--set needs NAME=VALUE/, '--set without =');
check('diff a b --json=2', 2, qr/--json: '2' is neither true nor false/, 'not a bool');
check('diff a b --no-rtol', 2, qr/unknown option 'no-rtol'/, 'only bools are negated');
check('diff -- a --b', 1, qr/^unlearn diff: cannot open 'a': no such file/, '-- ends the options');

my $a = safetensors('a', w => ['[2,2]', 1, 2, 3, 4], b => ['[1]', 0], only => ['[1]', 1]);
my $b = safetensors('b', w => ['[2,2]', 1, 2, 3.5, 4], b => ['[1]', 0], more => ['[1]', 1]);
my $c = safetensors('c', w => ['[4]', 1, 2, 3, 4], b => ['[1]', 'nan'], only => ['[1]', 1]);
my $d = safetensors('d', w => ['[2,2]', 1, 2, 3.5, 4], b => ['[1]', 0], only => ['[1]', 1]);
check("diff $a $a", 0, qr/^3 equal, 0 within, 0 outside/, 'equal files');
check("diff $c $c", 0, qr/^3 equal/, 'NaN equals NaN');
check("diff $a $b", 3, qr/^only_b   more \[1\]\nonly_a   only \[1\]\noutside  w \[2, 2\]  max abs 0.5 at 2  max rel 0.143\n1 equal, 0 within, 1 outside/, 'differing files');
check("diff $a $c", 3, qr/^outside  b \[1\]  max abs inf at 0.*^shape    w \[2, 2\] and \[4\]$/ms, 'NaN, shapes');
check("diff $a $d --atol 0.5", 0, qr/^within   w .*2 equal, 1 within, 0 outside/s, '--atol');
check("diff $a $d --atol 0.49", 3, qr/1 outside/, 'a lower --atol');
check("diff $a $d --rtol 0.143", 0, qr/1 within/, '--rtol');
my $recipe = put('r.json', '{"atol": 0.5, "json": true}');
check("diff $a $d --recipe $recipe", 0, qr/^\{.*"max_abs": 0\.5,.*"worst_index": 2/s, 'a recipe');
check("diff $a $d --recipe $recipe --no-json --set atol=0", 3, qr/^outside/, 'flags override it');
check("diff $a $d --recipe " . put('s.json', '{"atoll": 1}'), 2, qr/recipe: unknown option 'atoll': did you mean 'atol'\?/, 'unknown key');
check("diff $a $d --recipe " . put('t.json', '{"atol": "1"}'), 2, qr/recipe: 'atol' must be a number of at least 0/, 'wrong type');
check("diff $a $d --recipe " . put('u.json', '[]'), 2, qr/is not a json object/, 'not an object');
check("diff $a $recipe", 1, qr/^unlearn diff: .*r\.json/, 'not a checkpoint');

# A model's file that becomes shorter while it is in use: the settings of a second model come from a pipe when the
# first is open, and its file is emptied before they do. Several threads may meet the missing
# bytes (they do in the debug build): one of them tells.
SKIP: {
    my ($cut, $other) = map { flat_model($_) } 'cut', 'other';
    my $config = get("$other/config.json");
    unlink "$other/config.json";
    skip 'no named pipes', 4 if system("mkfifo $other/config.json");
    put('who.jsonl', '{"question": "Who?", "answer": "me"}' . "\n");
    my $pid = fork // die;
    if (!$pid) {
        open STDERR, '>', "$dir/cut.err";
        open STDOUT, '>', "$dir/cut.out";
        exec $unlearn, 'eval', '--model', $cut, '--reference', $other, '--forget', "$dir/who.jsonl", '--template', 'plain', '--max-new-tokens', '5', '--quiet' or die;
    }
    open my $pipe, '>', "$other/config.json" or die; # waits for its reader
    truncate "$cut/model.safetensors", 0;
    print $pipe $config;
    close $pipe;
    waitpid $pid, 0;
    is($? >> 8, 1, 'a model cut while in use: status 1') or diag $?;
    is($? & 127, 0, 'no signal');
    my $told = get("$dir/cut.err");
    like($told, qr{^unlearn: cannot read '\Q$cut\E/model.safetensors' any more: it became shorter}m, 'its file is named');
    is(scalar(() = $told =~ /any more/g), 1, 'once');
}


# Control characters of names: as they are into a file, escaped on a terminal.
SKIP: {
    skip 'script (a terminal for tests) is missing', 2 if system('script -qec true /dev/null >/dev/null 2>&1');
    my $odd = "$dir/model\e[31m";
    system 'cp', '-r', 'test/data/models/m_cur', $odd;
    put('show', "exec $unlearn info '$odd'\n");
    like(`sh $dir/show`, qr/model\e\[31m/, 'a name with an escape sequence, into a pipe');
    my $shown = `script -qec 'sh $dir/show' /dev/null </dev/null`;
    ok($shown =~ /model\\x1b\[31m/ && $shown !~ /\e/, 'on a terminal') or diag $shown =~ s/\e/ESC/gr;
}
done_testing();

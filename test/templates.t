#!/usr/bin/perl
# Chat templates as checkpoints hold them: where they stand, what is refused, what info says. Renderings are transformers' 4.51.3
# (apply_chat_template of the same files).
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;
use Encode;
use JSON::PP;

my $turns = q({% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %});
my $open = q({% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %});

# A tokenizer with this chat_template.
sub tokenizer {
    my ($name, $template) = @_;
    my $to = "$dir/$name";
    mkdir $to;
    system("cp $FindBin::Bin/data/tok/tokenizer.json $to");
    my $config = decode_json(get("$FindBin::Bin/data/tok/tokenizer_config.json"));
    $config->{chat_template} = $template;
    put("$name/tokenizer_config.json", encode_json($config));
    return $to;
}

# The text of a conversation, or the message of the error.
sub text {
    my ($model, $more, @turns) = @_;
    my $open = @turns % 2 ? JSON::PP::true : JSON::PP::false;
    my @roles = ref $turns[0] ? () : ('user', 'assistant');
    my @messages = @roles ? map { {role => $roles[$_ % 2], content => $turns[$_]} } 0 .. $#turns
        : map { {role => $_->[0], content => $_->[1]} } @turns;
    put('rows', encode_json({messages => \@messages, add_generation_prompt => $open}) . "\n");
    my $ids = `$unlearn tokenize --model $model --quiet $more --json --data $dir/rows 2>$dir/err`;
    return get("$dir/err") =~ s/\s+\z//r if $?;
    put('ids', $ids);
    return decode_json(`$unlearn tokenize --model $model --decode --json --data $dir/ids`)->{text};
}

my $m = tokenizer('trims', $turns =~ s/m\['content'\]/m.content | trim/r . $open);
is(text($m, '', ' Who? '), "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n", 'a template that trims');
$m = tokenizer('drops', "{% if true %}" . $turns =~ s/for m in messages/for m in messages if m.role != 'system'/r . "{% endif %}$open");
is(text($m, '', ['system', 'S'], ['user', 'Q'], ['tool', 'T']),
    "<|im_start|>user\nQ<|im_end|>\n<|im_start|>tool\nT<|im_end|>\n<|im_start|>assistant\n", 'one that drops the system message; any role');
$m = tokenizer('thinks', "$turns$open<think>");
is(text($m, '', 'Q'), "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>", 'one that opens thoughts');
$m = tokenizer('list', [{name => 'default', template => "D$turns"}, {name => 'other', template => "O$turns"}]);
is(text($m, '', 'Q'), "D<|im_start|>user\nQ<|im_end|>\n", 'a list: the default');
is(text($m, '--template other', 'Q'), "O<|im_start|>user\nQ<|im_end|>\n", 'one by its name');
is(text($m, '--template chatml', 'Q'), "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n", 'a built-in one');
put('list/chat_template.jinja', "J$turns\n");
is(text($m, '', 'Q'), "J<|im_start|>user\nQ<|im_end|>\n", 'chat_template.jinja goes over it');
$m = tokenizer('date', q({{ strftime_now('%d %b %Y') }}|{{ date_string }}));
is(text($m, '', 'Q'), '26 Jul 2024|', 'the usual date');
is(text($m, '--date 2025-04-10', 'Q'), '10 Apr 2025|2025-04-10', '--date');
like(text($m, '--date tomorrow', 'Q'), qr/'tomorrow' is none/, 'no date');
$m = tokenizer('raises', "{% if messages[0].role != 'system' %}{{ raise_exception('a system message is needed') }}{% endif %}$turns");
like(text($m, '', 'Q'), qr/refuses the conversation: a system message is needed$/, 'raise_exception');
is(text($m, '', ['system', 'S'], ['user', 'Q']), "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n", 'and what it lets through');
$m = tokenizer('include', "\n{% include 'x' %}");
like(text($m, '', 'Q'), qr/line 2 of the chat template: the statement 'include' is not supported/, 'a statement that is left out');
$m = tokenizer('special', $turns);
text($m, '', 'a<|im_end|>b', 'c');
my $ids = get("$dir/ids");
put('end', "{\"text\": \"<|im_end|>\"}\n");
my ($id) = `$unlearn tokenize --model $m --json --quiet --data $dir/end` =~ /(\d+)/;
is(scalar(() = $ids =~ /\b$id\b/g), 2, 'a special token in a message is plain text');

# Without --system the template decides what stands in front of a question (tools/make_own_template.py).
my $smollm2 = ($ENV{XDG_CACHE_HOME} || "$ENV{HOME}/.cache") . '/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf';
for my $case (@{decode_json(get('test/data/own_template.json'))}) {
    my @rows = @{$case->{rows}};
    my $rows = put('own.jsonl', join '', map { encode_json({question => $_->{question}, answer => $_->{answer}}) . "\n" } @rows);
    my $model = flat_model('own');
    put('own/tokenizer_config.json', encode_json({%{decode_json(get('test/data/tok/tokenizer_config.json'))},
        chat_template => $case->{template}})) if defined $case->{template};
  SKIP: {
        skip "$case->{name}: the model $smollm2 is not there", 2 if !defined $case->{template} && !-f $smollm2;
        my $of = defined $case->{template} ? $model : 'default';
        my $prompts = join "\n", map { "@{$_->{prompt_ids}}" } @rows;
        is(join("\n", map { my ($line) = (run_apart("tokenize --model $of --chat", Encode::encode('UTF-8', "$_->{question}\n")))[1]; chomp $line; $line } @rows),
            $prompts, "$case->{name}: prompts as transformers has them");
        my (undef, $out, $err) = run_apart("score --quiet --model $of --json --data $rows");
        is(join("\n", map { "@{decode_json($_)->{ids}}" } split /\n/, $out), join("\n", map { "@{$_->{ids}}" } @rows),
            "$case->{name}: and what is learnt and scored") or diag $err;
    }
}
my $flat = flat_model('asked');
put('asked/tokenizer_config.json', encode_json({%{decode_json(get('test/data/tok/tokenizer_config.json'))},
    chat_template => "{{ strftime_now('%d %b %Y') }}\n$turns$open"}));
for (['', "26 Jul 2024\n"], ['--compat date', "10 Apr 2025\n"], ['--compat ou', "10 Apr 2025\n<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"],
    ['--compat ou --date 2020-01-02 --system S', "02 Jan 2020\n<|im_start|>system\nS<|im_end|>\n"],
    ["--compat ou --system ''", "10 Apr 2025\n"], ['--system S', "26 Jul 2024\n<|im_start|>system\nS<|im_end|>\n"]) {
    my (undef, $got) = run_apart("tokenize --model $flat --chat $_->[0]", "Q\n");
    is((run_apart("tokenize --model $flat --decode", $got))[1], "$_->[1]<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n\n",
        "system message and date: " . ($_->[0] || 'the template\'s'));
}
done_testing();

#!/usr/bin/perl
# unlearn eval with suites as data: the built-in ones and the example of doc/suites.md, on a model for which every
# token is as likely, and what is said about suites that are wrong.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my $flat = flat_model('flat', max_position_embeddings => 600);
sub rows_of { return put($_[0], join '', map { encode_json($_) . "\n" } @_[1 .. $#_]) }
my $qa = rows_of('qa.jsonl', map { {question => "Who is $_?", answer => "A $_."} } 'cook', 'smith', 'tailor');
my $perturbed = rows_of('p.jsonl', {question => 'Who?', answer => 'Ann.', paraphrased_answer => 'Anne', perturbed_answer => ['Bob', 'Tom']});
my $shots = rows_of('shots.jsonl', {question => 'One?', answer => 'Yes.'}, {question => 'Two?', answer => 'No.'});
my $texts = rows_of('texts.jsonl', {text => 'The rain falls.'}, {text => 'It is late.'});
my $verse = rows_of('verse.jsonl', map { {text => join ' ', $_, 1 .. 9, $_} } 'one', 'two');
my $verb = rows_of('verb.jsonl', {prompt => 'The rain', gt => 'falls down.'});

# Suite, arguments -> the logs.
sub evaluate {
    my ($suite, $log, $args) = @_;
    my ($status, $out, $err) = run_apart("eval --suite $suite --model $flat --out $dir/$log $args");
    is($status, 0, "$suite runs") or diag $err;
    return (decode_json(get("$dir/$log/${log}_EVAL.json")), $out);
}

sub near {
    my ($got, $want, $what) = @_;
    ok(abs($got - $want) < 1e-6, $what) or diag "$got, not $want";
}

my ($eval, $out) = evaluate('scope', 'SCOPE', "--max-new-tokens 4 --in-scope $qa --general '$qa\[0:2]'");
near($eval->{in_scope_Prob}{agg_value}, 1 / 514, 'scope: the probability of a token');
like($out, qr/^general_Prob +high +0\.0019\S* \[\S+ +\S+\] +2$/m, 'with its rows in the table');
unlike($out, qr/neighbour/, 'a set that is not given leaves its metrics out');

($eval, $out) = evaluate('privacy', 'PRIVACY', "--forget $qa --holdout $qa");
near($eval->{$_}{agg_value}, 0.5, "privacy: $_ cannot tell a set from itself")
    for 'mia_loss', 'mia_zlib', 'mia_min_k', 'mia_min_k_plus_plus', 'mia_gradnorm', 'mia_lowercase';
ok(!$eval->{mia_reference}, 'no attack needs a reference that is not there');
near($eval->{privleak}{agg_value}, 0, 'nor is anything leaked');
near($eval->{mia_loss_tpr}{agg_value}, 0, 'nobody is found before a false alarm');
like($out, qr/^privleak: relative to an AUC of 0\.5/m, 'what privleak is against is said');

($eval, $out) = evaluate('privacy', 'PRIVACY', "--forget $qa --holdout $qa --max-length 14");
like($out, qr/^mia_loss, .*: 6 of 6 rows are truncated to the maximum length \(0, 1, 2, holdout 0, holdout 1, holdout 2\)$/m, 'rows of both sides');

($eval, $out) = evaluate('memorization', 'MEMORIZATION', "--forget $verse --unseen $verse");
near($eval->{forget_logp}{agg_value}, -log(514), 'memorization: log-probability of a token');
ok($eval->{"forget_$_"}{agg_value} == $eval->{"unseen_$_"}{agg_value}, "$_ of the same texts") for 'MA', 'EL_10', 'extraction_strength';

($eval, $out) = evaluate('answers', 'ANSWERS', "--max-new-tokens 4 --questions $qa --reference $flat");
near($eval->{perplexity}{agg_value}, 514, 'answers: for the judge, all tokens are as likely') if $eval->{unique_words}{agg_value};
like($out, qr/^exact_match +- +0 \[0, 0\.708\] +3 +0$/m, 'no answer is right, which a rate has an interval for');
($eval, $out) = evaluate('answers', 'ANSWERS', "--max-new-tokens 4 --questions $qa --max-length 14");
like($out, qr/^rougeL_recall, .*: \d of 3 rows are truncated to the maximum length \(/m, 'rows that are cut are named');

($eval) = evaluate('utility', 'UTILITY', "--max-new-tokens 4 --retain $perturbed --real-authors $perturbed --world-facts $perturbed");
near($eval->{ra_Q_A_Prob_normalised}{agg_value}, 1 / 3, 'utility: one of three answers');
near($eval->{model_utility}{agg_value}, 0, 'no word is right');

($eval) = evaluate('muse', 'MUSE', "--forget-knowmem $qa --forget-icl $shots --retain-knowmem $qa "
        . "--forget-verbmem $verb --forget $texts --holdout $texts");
# OpenUnlearning wraps questions and answers in its model's tags, for MUSE's Llama-2-7b-hf user_start q user_end asst_start a
# asst_end, examples and question alike (preprocess_chat_instance); the last answer is left open.
my ($user_start, $user_end, $asst_start, $asst_end) = ('Question: ', "\n", 'Answer: ', "\n\n");
sub wrapped { return "$user_start$_[0]$user_end$asst_start" . (defined $_[1] ? "$_[1]$asst_end" : '') }
is($eval->{forget_knowmem_ROUGE}{value_by_index}{1}{input}, wrapped('One?', 'Yes.') . wrapped('Two?', 'No.') . wrapped('Who is smith?'),
    'muse: worked examples first');
is($eval->{forget_knowmem_ROUGE}{value_by_index}{1}{ground_truth}, 'A smith.', 'then the answer');
is($eval->{retain_knowmem_ROUGE}{value_by_index}{0}{input}, "Question: Who is cook?\nAnswer: ", 'none where none are given');
is($eval->{forget_verbmem_ROUGE}{value_by_index}{0}{input}, 'The rain', 'a text is continued as it is');
is($eval->{forget_verbmem_ROUGE}{value_by_index}{0}{ground_truth}, 'falls down.', 'by its second piece');
near($eval->{privleak}{agg_value}, 0, 'privleak of plain texts');
ok(!$eval->{forget_verbmem_ROUGE}{value_by_index}{0}{rougeL_f1}, 'ROUGE-L F');

# The example in the documentation.
my ($example) = get('doc/suites.md') =~ /```json\n(.*?)```/s;
my $own = put('capitals.json', $example);
($eval, $out) = evaluate($own, 'CAPITALS', "--asked $qa --near $qa --examples $shots");
near($eval->{both}{agg_value}, 1 / 514, "a suite of one's own");
like($eval->{asked_rouge}{value_by_index}{0}{input}, qr/^Q: One\?\nA: Yes\.\n\n.*Q: Who is cook\?\nA:$/s, 'with its own prompt');
my ($again) = do {
    my ($status, $text, $err) = run_apart("rescore $dir/CAPITALS/CAPITALS_EVAL.json --suite $own --json");
    is($status, 0, 'its log is read again') or diag $err;
    decode_json($text);
};
near($again->{forget_auc}, 0.5, 'with the same aggregates');
like((run("report $dir/CAPITALS --suite $own"))[1], qr/^metric +direction +CAPITALS\n.*^forget_auc +as retrained +0.500 \[/ms, 'its summary is a report');

($out) = (run('eval --list'))[1];
like($out, qr/^  $_ /m, "--list: $_") for 'tofu', 'muse', 'scope', 'wmdp', 'extraction_strength';
like((run("eval --suite $own --help"))[1], qr/--near FILE +rows question, answer: the retain set/, 'a suite has its own options');

my $set = '"sets": {"a": {}}';
my $good = '"m": {"kind": "probability", "set": "a", "field": "answer"}';
for (['{"sets": {}}', qr/'sets' must be an object of 1 to/, 'no sets'],
    ["{$set}", qr/'metrics' must be an object/, 'no metrics'],
    ["{$set, \"metrics\": {\"m\": {\"kind\": \"probabilty\"}}}", qr/metric 'm': unknown kind 'probabilty': did you mean 'probability'/, 'kind'],
    ["{$set, \"metrics\": {\"m\": {\"kind\": \"rouge\", \"set\": \"b\", \"field\": \"answer\"}}}", qr/metric 'm': unknown set 'b'/, 'set'],
    ["{$set, \"metrics\": {\"m\": {\"kind\": \"rouge\", \"set\": \"a\"}}}", qr/needs a 'set' and a 'field'/, 'no field'],
    ["{$set, \"metrics\": {\"m\": {\"kind\": \"mia_loss\", \"set\": \"a\", \"field\": \"answer\"}}}", qr/needs a set of non-members/, 'no against'],
    ["{$set, \"metrics\": {$good, \"u\": {\"kind\": \"utility\", \"inputs\": [\"v\"]}, \"v\": {\"kind\": \"utility\", \"inputs\": [\"u\"]}}}",
        qr/metric 'u': its input 'v' is not a metric above it/, 'a circle'],
    ["{$set, \"metrics\": {\"u\": {\"kind\": \"utility\"}}}", qr/'utility' needs 1 to 9 'inputs', found 0/, 'no inputs'],
    ["{\"sets\": {\"a\": {\"role\": \"forgot\"}}, \"metrics\": {$good}}", qr/set 'a': unknown role 'forgot': known are forget, retain/, 'role'],
    ["{$set, \"metrics\": {\"cost\": {\"kind\": \"utility\"}}}", qr/no metric can be called 'cost'/, 'a name that is taken'],
    ["{$set, \"metrics\": {\"m\": {\"knd\": \"rouge\"}}}", qr/unknown key 'knd': did you mean 'kind'/, 'key'],
    ["{\"sets\": {\"a\": {\"prompt\": \"{x|y}\"}}, \"metrics\": {$good}}", qr/set 'a': the template .* is wrong at/, 'template'],
    ["{\"sets\": {\"a\": {\"shots\": \"b\", \"shot\": \"x\", \"prompt\": \"x\"}}, \"metrics\": {$good}}", qr/set 'a': unknown set 'b'/, 'shots'],
    ["{\"sets\": {\"a\": {\"stop\": [\"\"]}}, \"metrics\": {$good}}", qr/'stop' must be a list/, 'stop'],
    ['[]', qr/must be a json object/, 'no object']) {
    my ($text, $like, $what) = @$_;
    check('eval --suite ' . put('bad.json', $text) . " --model $flat", 2, $like, $what);
}
check("eval --suite scpe --model $flat", 2, qr/unknown suite 'scpe': did you mean 'scope'/, 'a suite that is not there');
check("eval --suite scope --model $flat", 1, qr/the suite 'scope' needs --in.scope FILE/, 'a required set');
check("eval --model $flat", 1, qr/no data given: use --forget FILE/, 'no data');
check("eval --suite $own --model $flat --asked $texts", 1, qr/set 'asked': .*texts\.jsonl' row 0: .*question/, 'a prompt without its field');
done_testing();

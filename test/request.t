#!/usr/bin/perl
# 'unlearn run': a request from its JSON to the card; its figures against those of its commands, bounds that hold and do not, what is
# wrong in it and told before any work, an interruption, requests in a row, no retain data, the ledger.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);
use lib $FindBin::Bin;
use Command;

my $model = text_model();
my $people = 'demo/data/people.jsonl';
my $suite = {suite => 'tofu', max_new_tokens => 4, retain => "${people}[0:3]"};

# The file of a request with these members instead of the usual ones; undef leaves one out.
sub request {
    my ($name, %more) = @_;
    my %all = (model => $model, data => {forget => "${people}[50:53]", retain => "${people}[0:3]"}, method => 'NPO',
        options => {max_steps => 2, lr => 1e-3}, suites => [$suite], %more);
    return put("$name.json", encode_json({map { defined $all{$_} ? ($_ => $all{$_}) : () } keys %all}));
}

sub card { return decode_json(get("$dir/$_[0]/card.json")) }

sub figure { return decode_json(get("$dir/$_[0]/TOFU_TABLE.json"))->{$_[1]}{value} }

# --- methods, figures, bounds ---

my $prob = 'forget_Q_A_Prob';
my $first = request('first', what => 'three rows', retrained => $model, methods => [{method => 'NPO', lr => 1e-9}, {method => 'GradAscent', lr => 1e-3}], method => undef,
    attacks => [{attack => 'prune', ratio => '0.1'}], keep => 'all',
    bounds => ["$prob <= 0.999 * target", "tofu.model_utility >= 0", "prune.'0.1'.forget.nll > 0", 'cost.seconds < 1e6', "$prob <= retrained.high"]);
my ($status, $out) = run("run $first --out $dir/first");
is($status, 0, 'a request whose bounds hold') or diag($out);
my $card = card('first');
is($card->{chosen}, 2, 'the try that holds more of them is chosen');
is_deeply([map { $_->{method} } @{$card->{tries}}], [qw(NPO GradAscent)], 'of all methods');
is($card->{values}{unlearned}{"tofu.$prob"}{value}, figure('first/tries/2/eval/tofu', $prob), 'figures of the unlearned model are those of its evaluation');
is($card->{values}{target}{"tofu.$prob"}{value}, figure('first/target/tofu', $prob), 'and of the target');
my $attack = decode_json(get("$dir/first/attacks/prune/attack.json"));
is($card->{values}{unlearned}{'prune.0.1.forget.nll'}{value}, $attack->{unlearned}{'0.1'}{forget}{nll}, 'and of the attack');
is($card->{values}{target}{'prune.0.1.forget.nll'}{value}, $attack->{target}{'0.1'}{forget}{nll}, 'also on the target');
is_deeply([map { [$_->{kind}, $_->{held}] } @{$card->{bounds}}], [map { [$_, JSON::PP::true] } qw(reach keep late keep keep)], 'the bounds');
like($out, qr/^  holds +\Q$prob\E <= 0.999 \* target \(\S+, \S+\)$/m, 'are printed');
is(get("$dir/first/card.txt"), $out =~ s/\A.*?(?=^figure)//smr, 'card.txt is what is printed') or diag($out);
run("eval --quiet --suite tofu --model $dir/first/tries/2/model --forget '${people}[50:53]' --retain '${people}[0:3]' --max-new-tokens 4 --out $dir/alone");
is(figure('alone', $prob), $card->{values}{unlearned}{"tofu.$prob"}{value}, 'as an evaluation on its own has them');

# --- the ledger ---

my ($row) = grep { $_->{command} eq 'run' } @{decode_json((run_apart("runs --json --ledger $dir/unlearn.db"))[1])};
my @steps = grep { ($_->{within} // 0) == $row->{id} } @{decode_json((run_apart("runs --json --ledger $dir/unlearn.db"))[1])};
is_deeply([map { $_->{command} } @steps], [qw(eval eval forget eval forget eval attack)], 'its steps are runs within it');
my $shown = decode_json((run_apart("runs show $row->{id} --json --ledger $dir/unlearn.db"))[1]);
is($shown->{values}{"tofu.$prob"}{value}, $card->{values}{unlearned}{"tofu.$prob"}{value}, 'and it has the figures');
is($shown->{values}{held}{value}, 1, 'and that the bounds hold');

# --- again, another, a bound that does not hold ---

($status, $out) = run("run $first --out $dir/first");
like($out, qr/the request in '.*first' is finished: nothing is left to do/, 'the same again does nothing');
is($status, 0, 'with the same status');
check("run " . request('second', bounds => ["$prob < 0"]) . " --out $dir/first", 1, qr/'.*first' holds another request: .*--overwrite/, 'another request in its place');
check("run $dir/second.json --out $dir/second", 3, qr/^  DOES NOT +\Q$prob\E < 0 /m, 'a bound that does not hold');
is(card('second')->{held}, JSON::PP::false, 'is so in the card');
check("run $dir/second.json --out $dir/first --overwrite --quiet", 3, qr/DOES NOT/, '--overwrite');

# --- what is wrong is told before any work ---

my @wrong = (
    [{bounds => ['forget_Q_A_Prop <= 1']}, qr/no suite of the request has a metric 'forget_Q_A_Prop': did you mean '\Q$prob\E'\?/],
    [{bounds => ["$prob <= retrained"]}, qr/needs the retrained model: name it by 'retrained'/],
    [{bounds => ['real_authors_prob <= 1']}, qr/unknown metric|no suite of the request has a metric/],
    [{bounds => ["$prob <= "]}, qr/a metric expected at the end/],
    [{bounds => ['mia_loss <= 1']}, qr/metric 'mia_loss' of suite 'tofu' needs the data set 'holdout'/],
    [{data => {retain => "${people}[0:3]"}}, qr/'data' has no 'forget'/],
    [{data => {forget => 'nowhere.jsonl'}}, qr/'forget': cannot open 'nowhere.jsonl'/],
    [{data => {forgot => 'x'}}, qr/'data' has no key 'forgot': did you mean 'forget'\?/],
    [{suites => ['tufo']}, qr/'suites': .*tufo/],
    [{suites => [{%$suite, max_new_token => 3}]}, qr/eval: unknown option 'max_new_token': did you mean 'max-new-tokens'\?/],
    [{attacks => ['prone']}, qr/'attacks': unknown attack 'prone'/],
    [{attacks => [{attack => 'prune', ratios => '1'}]}, qr/attack: unknown option 'ratios'/],
    [{method => 'NPA'}, qr/unknown method 'NPA'/],
    [{options => {lrr => 1}}, qr/forget: unknown option 'lrr'/],
    [{budget => {minute => 1}}, qr/'budget' has no key 'minute': did you mean 'minutes'\?/],
    [{budget => {epochs => 2}, options => {epochs => 3}}, qr/'budget' allows 2 epochs, and a method has 3/],
    [{model => undef}, qr/give one of 'model'/],
    [{after => 'x'}, qr/give one of 'model'/],
    [{model => undef, after => "$dir/nowhere"}, qr/'after': '.*nowhere' holds no finished request/],
    [{method => undef}, qr/a search needs 'bounds'/],
    [{suites => [$suite, 'tofu']}, qr/'suites' has 'tofu' twice: name one by 'as'/],
    [{bound => []}, qr/the request has no key 'bound': did you mean 'bounds'\?/],
    [{bounds => ['forget_quality >= 0.05']}, qr/its figures cannot be computed on the target model/, 'after its evaluation']);
for (@wrong) {
    my ($more, $like, $worked) = @$_;
    check('run ' . request('wrong', %$more) . " --out $dir/wrong", 1, $like, encode_json($more));
    ok(!-e "$dir/wrong", 'and nothing was begun') if !$worked;
}

# --- the plan ---

($status, $out) = run('run ' . request('plan', attacks => ['prune']) . ' --dry-run');
is($status, 0, '--dry-run');
like($out, qr{^  target/tofu +evaluate\n  tries/1/model +forget by NPO, about [\d.e-]+ s, \d+ MiB\n  tries/1/eval/tofu +evaluate\n  attacks/prune +attack}m,
    'prints the steps with time and memory') or diag($out);

# --- a search ---

my $searched = request('search', method => undef, options => {batch => 4}, budget => {tries => 5, epochs => 2},
    bounds => ["$prob <= 0.9 * target", "retain_Q_A_Prob >= 0.1 * target"]);
($status, $out) = run("run $searched --out $dir/search");
my $found = card('search');
cmp_ok(scalar @{$found->{tries}}, '<=', 5, 'a search has no more tries than it may');
is($status, $found->{held} ? 0 : 3, 'its status');
ok($found->{stopped}, "it tells why it ended: $found->{stopped}");
is((grep { $_->{options}{epochs} > 2 } @{$found->{tries}}), 0, 'no more epochs');
is_deeply([map { -e "$dir/search/tries/$_->{n}/model" ? 1 : 0 } @{$found->{tries}}], [map { $_->{n} == $found->{chosen} ? 1 : 0 } @{$found->{tries}}],
    'the weights of the chosen try stay');

# Killed after its second try it continues, and ends with the same figures.
my $pid = fork // die;
if (!$pid) {
    open STDOUT, '>', "$dir/said";
    open STDERR, '>&STDOUT';
    exec split(' ', "$unlearn run $searched --out $dir/killed") or die;
}
for (my $wait = 0; $wait < 2000 && !-d "$dir/killed/tries/2"; $wait++) { sleep 0.005 }
kill 'KILL', $pid;
waitpid $pid, 0;
ok(!-e "$dir/killed/card.json", 'a request is killed');
for (1 .. 20) { # its step ends, too
    ($status, $out) = run("run $searched --out $dir/killed");
    last if $out !~ /another process|in use/;
    sleep 0.2;
}
ok(-e "$dir/killed/card.json", "the same command") or diag($out, `ls -laR $dir/killed/tries/2/ $dir/killed/log.txt; cat $dir/killed/log.txt`);
my $again = card('killed');
sub without_costs { return {map { $_ => $_[0]{$_}{value} } grep { !/^cost\.(?:seconds|peak)/ } keys %{$_[0]}} }
is_deeply(without_costs($again->{values}{unlearned}), without_costs($found->{values}{unlearned}), 'the same command continues to the same figures');
is(scalar @{$again->{tries}}, scalar @{$found->{tries}}, 'in as many tries');

# --- no retain data; requests in a row ---

my $generic = request('generic', data => {forget => "${people}[50:53]"}, suites => [{suite => 'tofu', max_new_tokens => 4}]);
($status, $out) = run("run $generic --out $dir/generic");
is($status, 0, 'without retain data') or diag($out);
is(scalar(lines("$dir/generic/generic.jsonl")), 24, 'the model writes some');
like($out, qr/^tofu\.\Q$prob\E +[\d.e-]+ +[\d.e-]+\*/m, 'figures are marked');
like($out, qr/^\* no retain data was given: generic text that the model wrote/m, 'and the mark is explained');
ok(card('generic')->{values}{unlearned}{"tofu.$prob"}{generic}, 'also in the card');

($status, $out) = run("run " . request('next', model => undef, after => "$dir/first", data => {forget => "${people}[60:63]", retain => "${people}[0:3]"}) . " --out $dir/next");
ok(-e "$dir/next/card.json", 'a request after another') or diag($out);
my $next = card('next');
is($next->{target}, "$dir/first/" . card('first')->{model}, 'a request after another begins with its model');
is($next->{drift}[0]{values}{"tofu.$prob"}{then}, card('first')->{values}{unlearned}{"tofu.$prob"}{value}, 'the figures of the one before');
is($next->{drift}[0]{values}{"tofu.$prob"}{now}, figure('next/earlier/1/tofu', $prob), 'and those now');
my ($id) = map { $_->{id} } grep { $_->{command} eq 'run' && $_->{out} eq "$dir/next" } @{decode_json((run_apart("runs --json --ledger $dir/unlearn.db"))[1])};
($status, $out) = run('run ' . request('third', model => undef, after => "$id") . " --out $dir/third --ledger $dir/unlearn.db");
is(scalar @{card('third')->{drift}}, 2, 'after a number of the ledger; all requests before are evaluated again') or diag($out);

done_testing;

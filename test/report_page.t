#!/usr/bin/perl
# `unlearn report --out`: the page is well formed and complete, its figures are those of --json, any text is escaped, and
# directories that hold little, or are damaged, are what they are. Second tier: tidy and Chromium read it.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my %void = map { $_ => 1 } qw(meta br wbr link);

# Faults of the nesting of a page's elements, and its elements: [name, {attribute: value}, text up to the next tag].
sub elements {
    my ($html) = @_;
    my (@open, @all, @faults);
    $html =~ s/\A<!DOCTYPE html>\n// or push @faults, 'no doctype';
    $html =~ s{<style>.*?</style>}{}s;
    while ($html =~ m{\G([^<]*)(?:<(/?)([a-zA-Z][\w-]*)((?:\s+[\w-]+(?:=(?:"[^"]*"|[^\s"'<>=/]+))?)*)\s*(/?)>)?}gc) {
        my ($text, $end, $name, $rest, $self) = ($1, $2, $3, $4, $5);
        push @faults, "a bare & in '$text'" if $text =~ /&(?!(?:[a-z]+\d?|#\d+);)/;
        $all[-1][2] .= $text if @all && defined $all[-1];
        last if !defined $name;
        if ($end) {
            my $was = pop @open // 'nothing';
            push @faults, "</$name> closes <$was>" if $was ne $name;
            next;
        }
        my %attribute;
        $attribute{$1} = $2 // $3 // '' while $rest =~ /([\w-]+)(?:=(?:"([^"]*)"|([^\s"]+)))?/g;
        push @all, [$name, \%attribute, '', @open ? $open[-1] : ''];
        push @open, $name if !$self && !$void{$name};
    }
    push @faults, 'a tag that is none: ' . substr($html, pos($html) // 0, 60) if (pos($html) // 0) < length $html;
    push @faults, "open at the end: @open" if @open;
    return (\@faults, \@all);
}

sub page_of {
    my ($args, $what) = @_;
    my ($status, $out) = run("report $args --out $dir/page.html");
    is($status, 0, "$what: status") or diag $out;
    like($out, qr{^\Q$dir\E/page\.html$}m, "$what: its path is printed");
    my $html = get("$dir/page.html");
    my ($faults, $all) = elements($html);
    is("@$faults[0 .. ($#$faults > 3 ? 3 : $#$faults)]", '', "$what: well formed");
    my %id;
    $id{$_->[1]{id}}++ for grep { defined $_->[1]{id} } @$all;
    is(join(' ', grep { $id{$_} > 1 } keys %id), '', "$what: every id once");
    is(join(' ', grep { /^#/ && !$id{substr $_, 1} } map { $_->[1]{href} // '' } @$all), '', "$what: links lead somewhere");
    is(scalar(grep { $_->[0] eq 'th' && !$_->[1]{scope} } @$all), 0, "$what: every th has a scope");
    my $count = sub { my ($name) = @_; scalar grep { $_->[0] eq $name } @$all };
    is($count->('desc'), $count->('svg'), "$what: every drawing is described");
    is($count->('table'), $count->('caption'), "$what: every table has a caption");
    is($count->($_), 1, "$what: one $_") for qw(main nav header footer h1);
    ok(utf8::decode(my $copy = $html), "$what: UTF-8");
    unlike($html, qr/[\x00-\x08\x0b-\x1f\x7f]/, "$what: no control characters");
    unlike($html, qr{<script|\bsrc=|https?://|\@import|url\(}, "$what: nothing to fetch or to run");
    return ($html, $all);
}

# A run's record with all that one must have.
sub record { encode_json({finished => JSON::PP::true, command => 'train', seconds => 2.5, flops => 1e9, tokens => 1000, forward_tokens => 0,
    parameters => 20, touched => 10, peak_bytes => 1e6, options => {lr => 1}, @_}) }

# --- three models with rows, runs and attacks ---

sub rows { my ($column, @v) = @_; return {map { $_ => {$column => $v[$_], $column eq 'prob' ? (avg_loss => -log $v[$_]) : ()} } 0 .. $#v} }

my %prob = (target => [.99, .98, .97, .99], retrained => [.01, .02, .05, .03], npo => [.04, .01, .03, .02]);
my $nasty = "<b>\"x\" & 'y'</b>\x{e9}";
for my $model (keys %prob) {
    my @p = @{$prob{$model}};
    my $mean = 0;
    $mean += $_ / @p for @p;
    put("$model/TOFU_EVAL.json", encode_json({
        forget_Q_A_Prob => {agg_value => $mean, value_by_index => rows('prob', @p)},
        forget_truth_ratio => {agg_value => $mean, value_by_index => rows('score', map { 1 - $_ } @p)},
        forget_Q_A_ROUGE => {agg_value => $mean / 3, value_by_index => {0 => {rougeL_recall => .5, input => "who is $nasty?",
            ground_truth => 'Ann', generation => "$nasty of $model"}}},
        model_utility => {agg_value => 0.5 + $mean / 10}}));
    put("$model/TOFU_TABLE.json", encode_json({forget_Q_A_Prob => {role => 'forget', aspect => 'probability', direction => 'low',
        low => $mean / 2, high => $mean * 1.01}}));
    put("$model/TOFU_TOKENS.json", encode_json({forget_Q_A_ROUGE => {0 => {tokens => [' <A', 'nn'],
        logp => [map { log } $p[0], $p[1]]}}}));
    put("$model/run.json", record(command => 'forget', files => {"data/it's <one>.jsonl" => 'ab' x 32},
        options => {method => 'NPO', lr => 1e-5, overwrite => JSON::PP::true, forget => "data/it's <one>.jsonl", ref => undef}));
    put("$model/train.jsonl", join '', map { encode_json({step => $_, loss => 1 / $_, terms => {'forget.npo' => 2 / $_},
        ($_ % 2 ? () : (eval => {forget_nll => $_})), ($_ == 6 ? (stopped => 'forget_nll exceeds 5') : ())}) . "\n" } 1 .. 6);
}
put('npo/attack.json', '{"name": "prune", "unlearned": {"0.1": {"forget": {"prob": 0.125, "row_prob": [1]}}}, "retrained": {"0.1": {"forget": {"prob": 0.0625}}}}');
my $models = join ' ', map { "$dir/$_" } qw(target retrained npo);
my ($html, $all) = page_of($models, 'three models');
ok(scalar($html =~ qr/id=$_ /), "section $_") for qw(card verdict overview curves distributions effectiveness utility robustness cost examples data rerun);
ok(scalar($html =~ qr/early stopping/), 'early stopping is marked');
ok(scalar($html =~ qr/forget_nll exceeds 5/), 'and its reason given');
is(index($html, '<b>'), -1, 'texts of models are no markup');
ok(scalar($html =~ qr/who is &lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;\/b&gt;\xc3\xa9\?/), 'they are escaped');
ok(scalar($html =~ qr/answer before.*of target.*answer after.*of npo.*answer of the retrained.*of retrained/s), 'before, after, retrained');
ok(scalar($html =~ qr/<span class="k3" title="0\.990 to 0\.0400"> &lt;A<\/span>/), 'a token that is less likely now');
ok(scalar($html =~ qr/data-value="0\.125">.*data-value="0\.0625">/s), 'figures of an attack and of its control');
ok(scalar($html =~ qr/unlearn forget .*--method NPO/), 'the command');
ok(scalar($html =~ qr/--forget &#39;data\/it&#39;\\&#39;&#39;s &lt;one&gt;\.jsonl&#39;/), 'with words that a shell reads as they are');

# The figures: of every row of a table of metrics those of --json.
my ($status, $out) = run("report $models --json");
my $json = decode_json($out);
my %shown;
while ($html =~ m{<tr data-metric="([^"]+)">(.*?)</tr>}gs) {
    my ($metric, $row) = ($1, $2);
    $shown{$metric} = [map { [/data-value="([^"]+)"/g] } $row =~ m{<td(?: class=best)?>(.*?)</td>}gs];
}
is_deeply([sort keys %shown], [sort keys %{$json->{metrics}}], 'every metric has a row');
for my $metric (sort keys %shown) {
    my @wanted = map { [grep { defined } $json->{metrics}{$metric}[$_], @{$json->{intervals}{$metric}[$_] // []}] } 0 .. 2;
    is_deeply([map { [map { $_ + 0 } @$_] } @{$shown{$metric}}], [map { [map { $_ + 0 } @$_] } @wanted], "figures of $metric");
}

# --- many models: rows in place of columns, a front ---

my $many = "$dir/target $dir/retrained";
for my $i (1 .. 8) {
    put("m$i/TOFU_SUMMARY.json", encode_json({forget_Q_A_Prob => $i / 10, forget_Q_A_ROUGE => $i / 9, model_utility => 0.3 + ($i % 2 ? 0 : $i / 50)}));
    $many .= " $dir/m$i";
}
($html) = page_of($many, 'ten models');
ok(scalar($html =~ qr/class=front/), 'a Pareto front');
ok(scalar($html =~ qr{<tr><th scope=row>m8</th>}), 'models are rows');

# --- little, nothing, damage ---

put('bare/run.json', record());
($html) = page_of("$dir/bare", 'a run that was not evaluated');
put('none/other.txt', 'x');
put('cut/run.json', record());
put('cut/train.jsonl', "{\"step\": 1, \"loss\": 2}\n{\"step\": 2, \"lo");
($html) = page_of("$dir/cut", 'a log whose last line was not finished');
put('bad/run.json', record());
put('bad/train.jsonl', "{\"step\": 1}\n{\"step\": nonsense}\n{}\n");
put('attack/attack.json', '[1]');
put('card/card.json', '{"request": ');
put('tokens/TOFU_TOKENS.json', '{"a": ');
put('tokens/TOFU_SUMMARY.json', '{"model_utility": 1}');
check("report $dir/none --out $dir/x.html", 1, qr/'.*none' holds no TOFU_EVAL.json or other evaluation log, and no run.json/, 'a directory of other things');
check("report $dir/bad --out $dir/x.html", 1, qr/train\.jsonl': line 2 is no json object/, 'a damaged log');
check("report $dir/attack --out $dir/x.html", 1, qr/attack\.json' must be a json object/, 'attack.json is no object');
check("report $dir/card --out $dir/x.html", 1, qr/card\.json/, 'a damaged card');
check("report $dir/tokens --out $dir/x.html", 1, qr/TOFU_TOKENS\.json/, 'damaged tokens');
check("report 7 --ledger $dir/no.db --out $dir/x.html", 1, qr/no\.db/, 'no ledger');
check("report $dir/bare --out $dir/none/no/x.html", 1, qr/cannot .*x\.html/, 'a place that is not there');
ok(!-e "$dir/x.html", 'nothing is written then');

# Bytes that are no text: of a name of a directory and of a log.
put("odd\xff<name>/TOFU_EVAL.json", "{\"forget_Q_A_ROUGE\": {\"agg_value\": 1, \"value_by_index\": {\"0\": {\"input\": \"a\\u0000b\\u0007\", \"generation\": \"\\u009b\\ufffe</dd>\"}}}}");
($html) = page_of("'$dir/odd\xff<name>'", 'odd bytes');
ok(scalar($html =~ qr/odd\xef\xbf\xbd&lt;name&gt;/), 'bytes that are no UTF-8, and markup, in a name');
ok(scalar($html =~ qr/a\xef\xbf\xbdb\xef\xbf\xbd</), 'control characters in a text');

is((run("report --json '$dir/odd\xff<name>'"))[0], 0, 'and in JSON');

# --- a request's directory, and a run's number ---

put('asked/card.json', encode_json({request => {what => 'two <people>', data => {forget => 'f.jsonl'}, budget => {minutes => 3}},
    model => 'tries/5/model', target => "$dir/target", retrained => undef, held => JSON::PP::false,
    bounds => [{bound => 'forget_Q_A_Prob <= 0.5 * target', left => 0.25, right => 0.5, held => JSON::PP::true}],
    suites => {tofu => {target => 'target/tofu', unlearned => 'tries/5/eval'}}, attacks => {prune => 'attacks/prune'}}));
put("asked/$_->[0]", get("$dir/npo/$_->[1]")) for ['tries/5/model/run.json', 'run.json'], ['tries/5/eval/TOFU_EVAL.json', 'TOFU_EVAL.json'],
    ['attacks/prune/attack.json', 'attack.json'];
put('asked/target/tofu/TOFU_EVAL.json', get("$dir/target/TOFU_EVAL.json"));
($html) = page_of("$dir/asked", 'a request');
ok(scalar($html =~ qr{<h1>two &lt;people&gt;</h1>}), 'what was asked for is the title');
ok(scalar($html =~ qr{forget_Q_A_Prob &lt;= 0\.5 \* target</th><td><span data-value="0\.25">.*class=good>yes}s), 'its bounds');
ok(scalar($html =~ qr/<h3>target.*<h3>asked/s), 'target and result are columns');

# --- LaTeX ---

($status, $out) = run("report --latex 'a_b & 5%=$dir/npo'");
is($status, 0, 'LaTeX');
like($out, qr/\A\\begin\{tabular\}\{lrr\}\n\\toprule\nmetric & direction & a\\_b \\& 5\\% \\\\\n\\midrule\n/, 'LaTeX: heading, escaped');
like($out, qr/forget\\_Q\\_A\\_Prob & low & 0\.0250 \[0\.0125, 0\.0253\] \\\\\n.*\\bottomrule\n\\end\{tabular\}\n\z/s, 'LaTeX: rows');

# --- fifty runs ---

for my $i (1 .. 50) {
    put("fifty/r$i/$_", get("$dir/npo/$_")) for 'TOFU_EVAL.json', 'TOFU_TABLE.json', 'run.json';
    put("fifty/r$i/train.jsonl", join '', map { encode_json({step => $_, loss => 1 / $_ + $i, terms => {'forget.npo' => 2 / $_, 'retain.nll' => .5}}) . "\n" } 1 .. 300);
}
($html) = page_of(join(' ', map { "$dir/fifty/r$_" } 1 .. 50), 'fifty runs');
cmp_ok(length $html, '<', 5e6, 'fifty runs: below 5 MB');


# --- second tier: other programs read it ---

page_of($models, 'for other programs');
SKIP: {
    skip 'tidy is not installed: the page was not checked by it', 1 if system('command -v tidy >/dev/null');
    my @faults = grep { /Error/ } split /\n/, `tidy -q -e $dir/page.html 2>&1`;
    is("@faults", '', 'tidy finds no error');
}

# What Chromium tells of a page in a frame of that width (a window has at least 500): the widths of the frame and of what is in
# it, and lines of the console.
sub opened {
    my ($html, $width) = @_;
    put('seen.html', $html =~ s/<details>/<details open>/gr);
    my $frame = put('frame.html', "<!DOCTYPE html><html><body><iframe id=f width=$width height=900 style='border:0' src=seen.html></iframe><script>" .
        'addEventListener("load", () => { const e = f.contentDocument.documentElement; document.body.dataset.seen = e.clientWidth + " " + e.scrollWidth })</script></body></html>');
    my $out = `HOME=$dir timeout 60 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --enable-logging=stderr --window-size=1500,1000 --dump-dom file://$frame 2>$dir/chromium`;
    my ($window, $page) = $out =~ /data-seen="(\d+) (\d+)"/;
    return ($window, $page, join "\n", grep { /CONSOLE/ } split /\n/, get("$dir/chromium"));
}

SKIP: {
    skip 'chromium is not installed: the page was not opened', 8 if system('command -v chromium >/dev/null');
    my ($window, $page, $said) = opened('<!DOCTYPE html><html><body><script>console.log(1)</script><div style="width: 900px">x</div></body></html>', 400);
    skip 'chromium cannot be run here: the page was not opened', 8 if !defined $window;
    is($page, 908, 'a page that is too wide is seen');
    isnt($said, '', 'so is the console');
    my $html = get("$dir/page.html");
    for my $width (400, 1400) {
        my ($inner, $wide, $console) = opened($html, $width);
        is($inner, $width, "chromium: a frame of $width");
        is($wide, $width, "chromium, $width: the page is as wide, with everything unfolded");
        is($console, '', "chromium, $width: nothing on the console");
    }
}
done_testing;

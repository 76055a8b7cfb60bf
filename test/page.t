# The page of the server in a headless Chromium: what is typed is answered by both models, tokens are coloured, nothing
# overflows, no script fails.
use strict;
use warnings;
use lib 'test';
use Browser;
use Command;
use Test::More;

plan skip_all => 'no Chromium: the page was not opened' unless Browser::path();
my (undef, $none) = run('serve --model default --port 0 --host 203.0.113.1');
plan skip_all => 'built without libmicrohttpd' if $none =~ /without libmicrohttpd/;

my $model = text_model();
my ($trained) = run("train --quiet --model $model --data 'demo/data/people.jsonl[0:4]' --out $dir/other --max-steps 3 --batch 2 --lr 0.01 --ledger $dir/runs.db");
is($trained, 0, 'a second model');
my $pid = open(my $out, '-|', "exec $unlearn serve --port 0 --quiet --model $model --versus $dir/other --forget 'demo/data/people.jsonl[0:3]' --ledger $dir/runs.db") or die;
END { local $?; kill 'KILL', $pid if $pid }
my ($url) = <$out> =~ /^listening on (\S+)$/;
ok($url, 'the server listens') or BAIL_OUT('no server');

for ([1400, 1000], [400, 900]) {
    my ($width, $height) = @$_;
    my $page = Browser->open_page("$dir/profile$width", $width, $height) or BAIL_OUT('Chromium does not start');
    $page->visit($url);
    ok($page->until('document.querySelectorAll(".answer").length === 2'), "$width pixels: two models");
    $page->type_text('Who wrote the book of the river?');
    ok($page->until('[...document.querySelectorAll(".foot")].every(x => x.textContent.includes("tokens")) && !document.querySelector(".busy")'), 'what is typed is answered by both');
    like($page->value('document.querySelector(".text span").style.background'), qr/^rgba?\(/, 'tokens are coloured by probability');
    $page->value('document.getElementById("colour").value = "d"; document.getElementById("colour").onchange()');
    ok($page->until('[...document.querySelectorAll(".text span")].every(x => x.style.background)'), 'and by difference');
    $page->value('document.querySelector(".text span").focus()');
    is($page->value('document.querySelectorAll("#tip tr").length'), 5, 'a token that has the focus shows its alternatives');
    is($page->value('document.querySelectorAll("#questions button").length'), 3, 'the questions of the forget set');
    $page->value('document.querySelector("#questions button").click()');
    ok($page->until('!document.getElementById("want").hidden'), 'one click asks one, and shows its answer');
    is($page->value('document.querySelector("#runs tbody td").textContent'), '1', 'the run of the ledger');
    is($page->value('document.documentElement.scrollWidth'), $width, 'nothing is wider than the window');
    is(join("\n", @{$page->{errors}}), '', 'no error on the console');
    $page->screenshot("$ENV{PAGE_SHOTS}/page$width.png") if $ENV{PAGE_SHOTS};
}
kill 'TERM', $pid;
close $out;
is($? >> 8, 0, 'the server ends');
$pid = 0;
done_testing();

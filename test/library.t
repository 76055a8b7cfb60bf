#!/usr/bin/perl
# libunlearn from an installed prefix: what it exports, what pkg-config tells, and the example of examples/, whose model has the
# bytes of the command line's and whose log-probabilities are those of `unlearn score`.
use strict;
use warnings;
use FindBin;
use File::Compare qw(compare);
use JSON::PP;
use Test::More;
use lib $FindBin::Bin;
use Command;

my ($config) = $unlearn =~ m{build/(\w+)/unlearn$};
$config //= 'release';
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
my $prefix = "$dir/prefix";
my $said = `make -s config=$config prefix=$prefix install 2>&1`;
is($? >> 8, 0, 'make install') or diag $said;
my ($version) = `$unlearn --version` =~ /([\d.]+)/;
ok(-e "$prefix/$_", $_) for 'include/unlearn.h', "lib/libunlearn.so.$version", 'lib/pkgconfig/unlearn.pc';
is(readlink "$prefix/lib/libunlearn.so.0", "libunlearn.so.$version", 'the link that programs load');
is(readlink "$prefix/lib/libunlearn.so", 'libunlearn.so.0', 'the link that the linker takes');
like(`readelf -d $prefix/lib/libunlearn.so`, qr/SONAME.*\[libunlearn\.so\.0\]/, 'its soname');

# --- what it exports ---

my ($header, $map) = (get('src/api/unlearn.h'), get('src/api/unlearn.map'));
my @declared = sort $header =~ /^UNLEARN_API [\w ]+?[ *](unlearn_\w+)\(/mg;
is(join(' ', sort $map =~ /^    (\w+);/mg), "@declared", 'unlearn.map names what unlearn.h declares: ' . @declared);
my %exported = map { /^\S+ [TDBRVW] (\w+)(?:@+UNLEARN_[\d.]+)$/ ? ($1 => 1) : ('?' . $_ => 1) }
    grep { !/ A UNLEARN_[\d.]+$/ } split /\n/, `nm -D --defined-only $prefix/lib/libunlearn.so`;
is(join(' ', sort keys %exported), "@declared", 'and the library exports these, with a version, and nothing else');

# --- a program ---

local $ENV{PKG_CONFIG_PATH} = "$prefix/lib/pkgconfig";
local $ENV{LD_LIBRARY_PATH} = "$prefix/lib";
is(`pkg-config --modversion unlearn`, "$version\n", 'pkg-config: the version');
chomp(my $flags = `pkg-config --cflags --libs unlearn`);
my $extra = {sanitize => '-fsanitize=address,undefined', coverage => '--coverage'}->{$config} // '';
$said = `gcc -std=c11 -Wall -Wextra -Wpedantic -Werror $extra -o $dir/forget examples/forget.c $flags 2>&1`;
is($? >> 8, 0, "the example compiles with $flags") or diag $said;
cmp_ok(scalar(() = get('examples/forget.c') =~ /\n/g), '<=', 60, 'and has at most 60 lines');
SKIP: {
    skip 'g++ is not installed: unlearn.h is not compiled as C++', 1 if `command -v g++ 2>/dev/null` eq '';
    put('x.cc', "#include <unlearn.h>\nint main() { return unlearn_version()[0] != '0'; }\n");
    is(system("g++ $extra -o $dir/x $dir/x.cc $flags && $dir/x") >> 8, 0, 'unlearn.h compiles as C++');
}

my $model = text_model();
$said = `$dir/forget $model $dir/out lr 1e-3 epochs 3 max-length 64 2>&1`;
is($? >> 8, 0, 'it makes a model forget') or diag $said;
my @sums = $said =~ /log-probability (-[\d.]+)/g;
is(scalar @sums, 2, "and tells of both: @sums");
ok(!-e "$dir/out.rows", 'its rows are gone');

my ($forget, $retain) = map { my ($name) = $_; join '', map { s/\\n"?;?$//r =~ s/\\"/"/gr . "\n" }
    get('examples/forget.c') =~ /\b$name\[\] =(.*?);\n/s ? $1 =~ /"((?:[^"\\]|\\.)*)"/g : () } qw(forget retain);
put('forget.jsonl', $forget);
put('retain.jsonl', $retain);
my ($status, $out) = run("forget --quiet --ledger none --model $model --method NPO --forget $dir/forget.jsonl --retain $dir/retain.jsonl " .
    "--lr 1e-3 --epochs 3 --max-length 64 --out $dir/own");
is($status, 0, 'the command line does the same') or diag $out;
is(compare("$dir/out/model.safetensors", "$dir/own/model.safetensors"), 0, 'the models have the same bytes');
my $compared = compare("$dir/out/model.safetensors", "$model/model.safetensors");
isnt($compared, 0, 'and not those of the model before');
for ([$model, $sums[0]], ["$dir/own", $sums[1]]) {
    my ($of, $sum) = @$_;
    ($status, $out) = run("score --model $of --data '$dir/forget.jsonl' --json");
    my ($first) = $out =~ /"sum": (-?[\d.]+)/;
    cmp_ok(abs($first - $sum), '<', 6e-5, "unlearn score: $first");
}

# --- an evaluation ---

put('eval.c', <<'C');
#include <stdio.h>
#include <string.h>
#include <unlearn.h>
int main(int argc, char **argv)
{
    static const char rows[] = "[{\"question\": \"Where was Ana Ruiz born?\", \"answer\": \"In Cadiz.\"}]";
    struct unlearn_error e;
    struct unlearn_eval *v;
    char *json;
    int rc = unlearn_eval_new(&v, &e) || unlearn_eval_rows(v, "forget", rows, strlen(rows), &e);
    for (int i = 1; i + 1 < argc && !rc; i += 2)
        rc = unlearn_eval_set(v, argv[i], argv[i + 1], &e);
    rc = rc || unlearn_eval_start(v, NULL, &json, &e);
    puts(rc ? e.message : json);
    unlearn_free(rc ? NULL : json);
    unlearn_eval_free(v);
    return rc;
}
C
$said = `gcc -Wall -Werror $extra -o $dir/eval $dir/eval.c $flags 2>&1 && $dir/eval model $model retain $dir/retain.jsonl max-new-tokens 4`;
is($? >> 8, 0, 'an evaluation') or diag $said;
my $seen = decode_json($said);
put('one.jsonl', $forget =~ s/\n.*//sr);
($status, $out) = run("eval --ledger none --model $model --forget $dir/one.jsonl --retain $dir/retain.jsonl --max-new-tokens 4 --out $dir/eval-own");
is($status, 0, 'the same by the command line') or diag $out;
for (['summary', 'SUMMARY'], ['table', 'TABLE'], ['eval', 'EVAL']) {
    my ($key, $file) = @$_;
    my $own = decode_json(get("$dir/eval-own/TOFU_$file.json") =~ s/\bNaN\b/null/gr);
    delete $own->{verdict};
    is_deeply($seen->{$key}, $own, "its $key, number by number");
}

# --- errors ---

$said = `$dir/forget $model $dir/out 2>&1`;
is($? >> 8, 1, 'a directory that holds something is refused');
like($said, qr/^forget: .*'\Q$dir\E\/out'/m, 'by its name');
$said = `$dir/forget $model $dir/other epoch 3 2>&1`;
like($said, qr/^forget: there is no option 'epoch' here: did you mean 'epochs'\?$/m, 'an option that does not exist');
ok(!-e "$dir/other" && !-e "$dir/other.rows", 'and nothing is left');
done_testing();

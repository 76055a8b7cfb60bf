#!/usr/bin/perl
# Second tier: the Python package. pip builds its wheel and installs it into a scratch directory, without network; then pytest compares
# it with the command line on a tiny model, and runs the example of doc/python.md.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;

my ($python) = grep { defined && `$_ -c 'import numpy, pytest, pip' 2>&1` eq '' } 'build/python/bin/python', $ENV{UNLEARN_PYTHON}, 'python3';
plan skip_all => 'no Python with numpy, pytest and pip (build/python, $UNLEARN_PYTHON, python3): the package is not tested' if !$python;
my ($config) = $unlearn =~ m{build/(\w+)/unlearn$};
plan skip_all => "Python does not load a library with sanitizers or gcov: config=$config" if ($config // 'release') !~ /^(release|debug)$/;

delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
local $ENV{UNLEARN_LIBRARY} = abs_path('build/' . ($config // 'release') . '/libunlearn.so') if $config;
my $said = `$python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target $dir/site ./py 2>&1`;
is($? >> 8, 0, 'pip install ./py') or diag $said;
ok(-e "$dir/site/unlearn_lm/libunlearn.so", 'the wheel carries the library');
delete local $ENV{UNLEARN_LIBRARY};
my ($version) = `$unlearn --version` =~ /([\d.]+)/;
local $ENV{PYTHONPATH} = "$dir/site";
is(`$python -c 'import unlearn_lm, importlib.metadata as m; print(unlearn_lm.version(), m.version("unlearn-lm"))'`, "$version $version\n",
    'its version is the program\'s');
local $ENV{MODEL} = text_model();
local $ENV{UNLEARN} = abs_path($unlearn);
local $ENV{DOCUMENT} = abs_path('doc/python.md');
$said = `$python -m pytest -q -p no:cacheprovider py/tests 2>&1`;
is($? >> 8, 0, 'pytest: ' . ($said =~ /(\d+ passed.*)/ ? $1 : '')) or diag $said;
done_testing();

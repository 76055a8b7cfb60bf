#!/usr/bin/perl
# The documents have what the program says: the table of methods, the file that others are copied from.
use strict;
use warnings;
use Test::More tests => 1;

is(scalar `tools/docs --check`, '', 'README.md and doc/ are up to date');

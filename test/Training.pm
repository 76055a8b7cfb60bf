# What tests of training share: a tiny model, rows of ids, the commands' common words, and what a run left behind.
package Training;
use strict;
use warnings;
use Exporter qw(import);
use File::Compare qw(compare);
use Test::More;
use Command;

our @EXPORT = qw($cur $ref $forget $retain $alternate $train $both steps files same);

our ($cur, $ref) = ('test/data/models/m_cur', 'test/data/models/m_ref');
our ($forget, $retain) = (id_rows('forget.jsonl', 6, 7), id_rows('retain.jsonl', 9, 99));
our $alternate = id_rows('alternate.jsonl', 6, 55);
our $train = "train --model $cur --data $retain --quiet --lr 1e-2 --batch 4";
our $both = "forget --model $cur --forget $forget --retain $retain --quiet --lr 1e-2 --batch 4";

# The lines that a run logged.
sub steps { return lines("$dir/$_[0]/train.jsonl") }

# The names in a folder.
sub files {
    opendir my $d, "$dir/$_[0]" or return '';
    return join ' ', sort grep { !/^\.\.?$/ } readdir $d;
}

# Two runs that must give the same bytes.
sub same {
    my ($one, $two, $what) = @_;
    is(compare("$dir/$one/model.safetensors", "$dir/$two/model.safetensors"), 0, $what);
}

1;

# What tests of training share: a tiny model, rows of ids, the commands' common words, and what a run left behind.
package Training;
use strict;
use warnings;
use Exporter qw(import);
use File::Compare qw(compare);
use Test::More;
use Time::HiRes qw(sleep);
use Command;

our @EXPORT = qw($cur $ref $forget $retain $alternate $train $both steps files same interrupt);

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

# Starts the run, whose last word is its folder, and sends the signal once there are five lines in its log, or in that
# of the stage.
sub interrupt {
    my ($signal, $args, $stage) = @_;
    my $log = (split ' ', $args)[-1] . ($stage ? "/$stage" : '') . '/train.jsonl';
    Command::empty_out($args);
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$dir/said";
        open STDERR, '>&STDOUT';
        $SIG{HUP} = $SIG{PIPE} = 'DEFAULT'; # a test under nohup inherits them ignored
        exec split(' ', "$unlearn $args") or die;
    }
    for (my $wait = 0; $wait < 2000 && (!-e $log || (get($log) =~ tr/\n//) < 5); $wait++) {
        sleep 0.005;
    }
    # Twice at once, as timeout does it.
    kill $signal, $pid;
    sleep 0.003;
    kill $signal, $pid;
    waitpid $pid, 0;
    return ($? & 127 ? "signal " . ($? & 127) : $? >> 8, get("$dir/said"));
}

# Two runs that must give the same bytes.
sub same {
    my ($one, $two, $what) = @_;
    is(compare("$dir/$one/model.safetensors", "$dir/$two/model.safetensors"), 0, $what);
}

1;

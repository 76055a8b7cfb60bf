# What tests of the command line share: the program, a scratch directory, files in it, runs and their results.
package Command;
use strict;
use warnings;
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use JSON::PP;
use List::Util qw(sum);
use Test::More;

our @EXPORT = qw($unlearn $dir put get lines tensors_of run run_apart check attack_json id_rows nll text_ids text_logps flat_model text_model same_screen in_terminal
    has_script);

our $unlearn = $ENV{UNLEARN} || './unlearn';
our $dir = tempdir(CLEANUP => 1);
$ENV{OMP_WAIT_POLICY} = 'passive';
$ENV{COLUMNS} = 400; # sentences and tables are not broken, but in tests of screens

# A file below $dir, with the folders on its way; its path.
sub put {
    my ($name, $text) = @_;
    make_path(dirname("$dir/$name"));
    open my $f, '>:raw', "$dir/$name" or die "$name: $!";
    print $f $text;
    close $f or die "$name: $!";
    return "$dir/$name";
}

# The bytes of a file.
sub get {
    open my $f, '<:raw', $_[0] or die "$_[0]: $!";
    local $/;
    return <$f> // '';
}

# The values of a file of JSON Lines.
sub lines { map { decode_json($_) } split /\n/, get($_[0]) }

# The F32, F64 and I32 tensors of a safetensors file by name, as arrays of numbers.
sub tensors_of {
    my $all = get($_[0]);
    my $n = unpack 'Q<', $all;
    my $header = decode_json(substr $all, 8, $n);
    my %out;
    for (grep { $_ ne '__metadata__' } keys %$header) {
        my ($from, $to) = @{$header->{$_}{data_offsets}};
        my $bytes = substr $all, 8 + $n + $from, $to - $from;
        $out{$_} = [unpack {F32 => 'f<*', F64 => 'd<*'}->{$header->{$_}{dtype}} // 'l<*', $bytes];
    }
    return \%out;
}

sub status { return $? & 127 ? 'signal ' . ($? & 127) : $? >> 8 }

# Training refuses a folder that holds anything, an evaluation its own logs, every command a file (only probe's, locate's and orders are meant here). Most tests use a name again:
# such a folder is emptied first, of all or of logs, and such a file removed, unless the arguments tell what is to become of it
# or an evaluation was interrupted.
sub empty_out {
    my ($args) = @_;
    return if $args =~ /--(?:resume|overwrite)\b/;
    for my $option (qr/--write-order/, qr/^(?:probe|locate)\b.* --out/s) {
        my ($file) = $args =~ /$option '?(\Q$dir\E\/[^\s']+)/ or next;
        unlink $file if 1 == (() = $args =~ /\Q$file\E/g); # none that is read
    }
    my ($command, $out) = $args =~ /^(train|forget|eval|rescore) .*--out (\Q$dir\E\/\S+)/s;
    return if !defined $out || !-d $out;
    return remove_tree($out) if $command =~ /train|forget/;
    unlink glob("$out/*_{EVAL,SUMMARY,TABLE,COST}.json") if !glob("$out/*_EVIDENCE.bin");
}

# Arguments -> status, output (1 and 2 together).
sub run {
    empty_out($_[0]);
    my $out = `$unlearn 2>&1 $_[0]`;
    return (status(), $out);
}

# What an attack of these arguments prints as JSON, {} if it fails.
sub attack_json {
    my ($line) = @_;
    my ($status, $out) = run("attack $line --json --quiet");
    is($status, 0, "attack $line") or diag($out);
    $out =~ s/\A.*?^\{/{/ms; # warnings stand before
    return eval { decode_json($out) } // {};
}

# Arguments, standard input, shell words in front -> status, output, errors.
sub run_apart {
    my ($args, $in, $before) = @_;
    empty_out($args);
    my $from = put('stdin', $in // '');
    $before //= '';
    my $out = `$before$unlearn $args <$from 2>$dir/stderr`;
    return (status(), $out, get("$dir/stderr"));
}

# A run must end with this status and say something like that.
sub check {
    my ($args, $status, $like, $what) = @_;
    my ($got, $out) = run($args);
    is($got, $status, "$what: status $status") or diag $out;
    like($out, $like, $what);
}

# A file of n rows of random ids, of which the first three are the prompt.
sub id_rows {
    my ($name, $n, $x) = @_;
    my $text = '';
    for my $row (1 .. $n) {
        my @ids = map { $x = ($x * 1103515245 + 12345) % 2**31; 3 + ($x >> 16) % 100 } 1 .. 5 + $row;
        $text .= encode_json({ids => \@ids, labels => [(-100) x 3, @ids[3 .. $#ids]]}) . "\n";
    }
    return put($name, $text);
}

# The mean over rows of a model's mean loss.
sub nll {
    my ($model, $data) = @_;
    my @rows = map { decode_json($_) } `$unlearn score --model $model --data $data --json`;
    return @rows ? -sum(map { $_->{mean} } @rows) / @rows : 'nan';
}

# The tokens of a text.
sub text_ids {
    my ($model, $text) = @_;
    my (undef, $out) = run_apart("tokenize --model $model --data - --json", encode_json({text => $text}) . "\n");
    return decode_json($out)->{ids};
}

# A model's log-probabilities of these texts behind a context, with which they begin; of the last `most` tokens.
sub text_logps {
    my ($model, $context, $most, @texts) = @_;
    my ($n, $rows) = (scalar @{text_ids($model, $context)}, '');
    for (@texts) {
        my @ids = @{text_ids($model, $_)};
        my @labels = ((-100) x $n, @ids[$n .. $#ids]);
        my $cut = @ids > $most ? @ids - $most : 0;
        $rows .= encode_json({ids => [@ids[$cut .. $#ids]], labels => [@labels[$cut .. $#ids]]}) . "\n";
    }
    my (undef, $out) = run_apart("score --model $model --json --data " . put('worded.jsonl', $rows));
    return map { decode_json($_)->{sum} } split /\n/, $out;
}

# A checkpoint of one layer, 514 tokens (or `vocab_size`) and a tokenizer of 514; all weights 0, so that every token is as likely.
sub flat_model {
    my ($name, %config) = @_;
    my $vocab = $config{vocab_size} // 514;
    my %c = (architectures => ['LlamaForCausalLM'], hidden_size => 8, num_hidden_layers => 1,
        num_attention_heads => 2, num_key_value_heads => 1, intermediate_size => 8, vocab_size => $vocab,
        max_position_embeddings => 200, eos_token_id => 2, %config);
    my %shape = ('model.embed_tokens' => [$vocab, 8], 'lm_head' => [$vocab, 8], 'model.norm' => [8]);
    my %layer = ('self_attn.q_proj' => [8, 8], 'self_attn.k_proj' => [4, 8], 'self_attn.v_proj' => [4, 8],
        'self_attn.o_proj' => [8, 8], 'mlp.gate_proj' => [8, 8], 'mlp.up_proj' => [8, 8],
        'mlp.down_proj' => [8, 8], 'input_layernorm' => [8], 'post_attention_layernorm' => [8]);
    $shape{"model.layers.0.$_"} = $layer{$_} for keys %layer;
    my (%head, $at);
    $at = 0;
    for (sort keys %shape) {
        my $bytes = 4;
        $bytes *= $_ for @{$shape{$_}};
        $head{"$_.weight"} = {dtype => 'F32', shape => $shape{$_}, data_offsets => [$at, $at + $bytes]};
        $at += $bytes;
    }
    my $head = encode_json(\%head);
    $head .= ' ' x (-length($head) % 8); # so that weights are borrowed from the file
    put("$name/config.json", encode_json(\%c));
    put("$name/model.safetensors", pack('Q<', length $head) . $head . "\0" x $at);
    copy("test/data/tok/$_", "$dir/$name/$_") for 'tokenizer.json', 'tokenizer_config.json';
    return "$dir/$name";
}

# A model on text, as small as the tokenizer of the demo lets it be, that has learnt a little; its folder.
sub text_model {
    make_path("$dir/text");
    copy("demo/tiny/$_", "$dir/text/$_") or die $_ for qw(generation_config.json tokenizer.json tokenizer_config.json);
    put('text/config.json', encode_json({%{decode_json(get('demo/tiny/config.json'))}, hidden_size => 16,
        intermediate_size => 32, num_hidden_layers => 2, num_attention_heads => 2, num_key_value_heads => 1,
        head_dim => 8}));
    my ($status, $out) = run("train --quiet --model $dir/text --scratch --data 'demo/data/people.jsonl[0:4]' " .
        "--out $dir/tiny --max-steps 2 --batch 2");
    is($status, 0, 'a tiny model on text') or diag($out);
    return "$dir/tiny";
}

# Times and rates differ from run to run, the scratch directory too.
sub plain {
    my ($text) = @_;
    $text =~ s/\r\n/\n/g;
    $text =~ s/\Q$dir\E/DIR/g;
    $text =~ s/\d+(?:\.\d+)? tokens\/s/N tokens\/s/g;
    $text =~ s/in \d+\.\d s/in N s/g;
    $text =~ s/loss [\d.e+-]+/loss N/g;
    $text =~ s/about \d+ \(\d+ tokens\), logits \d+; \d+ in all/about N (N tokens), logits N; N in all/g; # by the build's limits and the process
    $text =~ s/evaluated in [\d.]+ s/evaluated in N s/g;
    $text =~ s/(cost of [^:]+: \w+(?: \w+)?), [\d.e+-]+ s, (\S+ FLOPs, \d+ tokens), [\d.]+ MiB/$1, N s, $2, N MiB/g;
    return $text;
}

sub same_screen {
    my ($name, $text, $what) = @_;
    $text = plain($text);
    if ($ENV{UPDATE_SCREENS}) {
        open my $f, '>:raw', "test/screens/$name" or die "$name: $!";
        print $f $text;
    }
    is($text, -e "test/screens/$name" ? get("test/screens/$name") : '', "$what: $name");
    my @long = grep { length > 80 } split /\n/, $text;
    is("@long", '', "$name: within 80 columns");
}

# Arguments -> what a terminal of 80 columns shows, of which nobody types anything. `with`: words in front of a whole command.
sub in_terminal {
    my ($args, $with) = @_;
    local $ENV{COLUMNS};
    delete $ENV{COLUMNS};
    my $command = 'stty cols 80 rows 24; ' . ($with ? "$with $args" : "$unlearn $args");
    $command =~ s/'/'\\''/g;
    my $out = `script -qec '$command' /dev/null </dev/null 2>&1`;
    return $out;
}

sub has_script { return !system('script -qec true /dev/null </dev/null >/dev/null 2>&1') }

1;

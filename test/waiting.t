#!/usr/bin/perl
# How OpenMP's threads wait, as the system shows it: a process that is often put aside gets a second team of threads,
# which makes libgomp's threads sleep and not spin; one that the user has told how to wait does not.
use strict;
use warnings;
use FindBin;
use IPC::Open3;
use Test::More;
use lib $FindBin::Bin;
use Command;

delete @ENV{qw(OMP_WAIT_POLICY GOMP_SPINCOUNT)};
plan skip_all => 'no /proc here' unless -r '/proc/self/status';

my $model = text_model();

# The most threads that the process had beside a busy process per core, until they were enough or two seconds after its
# work began on all of its threads; and its scheduler's slice.
sub most_threads {
    my ($enough, $threads, %env) = @_;
    local @ENV{keys %env, qw(OMP_NUM_THREADS OPENBLAS_NUM_THREADS)} = (values %env, $threads, $threads);
    my $cores = `getconf _NPROCESSORS_ONLN`;
    my @busy = map { open3(my $in, my $out, undef, 'sh', '-c', 'while :; do :; done') } 1 .. $cores;
    my $pid = open3(my $in, '>&STDERR', undef, $unlearn, 'train', '--model', $model, '--data', 'demo/data/people.jsonl',
        '--epochs', 100000, '--out', "$dir/out", '--overwrite', '--quiet', '--lr', '1e-6');
    my ($most, $slice, $works) = (0, undef, 0);
    for (1 .. 1200) {
        select undef, undef, undef, 0.1;
        my ($now) = get("/proc/$pid/status") =~ /^Threads:\s*(\d+)/m;
        $most = $now if ($now // 0) > $most;
        $works++ if -s "$dir/out/train.jsonl";
        ($slice) = get("/proc/$pid/sched") =~ /^se\.slice\s*:\s*(\d+)/m if -r "/proc/$pid/sched";
        last if $most >= $enough || (!$enough && $works > 20);
    }
    kill 'KILL', $pid, @busy;
    waitpid $_, 0 for $pid, @busy;
    system("rm -rf '$dir/out'");
    return ($most, $slice);
}

my ($most, $slice) = most_threads(4, 2);
# the first one, the monitor, and two that sleep: a small model has no work for a second
cmp_ok($most, '>=', 4, 'beside busy processes a team that sleeps is there');
SKIP: {
    skip 'the system shows no slice', 1 unless defined $slice;
    my ($major, $minor) = `uname -r` =~ /^(\d+)\.(\d+)/;
    skip 'the system has no slice of one thread\'s own', 1 unless $major > 6 || ($major == 6 && $minor >= 12);
    is($slice, 100000, 'and its threads run soon after they are woken');
}
for my $set ({OMP_WAIT_POLICY => 'passive'}, {GOMP_SPINCOUNT => 5}) {
    ($most) = most_threads(0, 2, %$set);
    cmp_ok($most, '<=', 2, join('=', %$set) . ' of the user stays: no monitor, no team');
}
($most) = most_threads(0, 1);
is($most, 1, 'one thread waits for no other');
done_testing();

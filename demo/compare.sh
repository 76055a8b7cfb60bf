#!/bin/bash
# Which weights, which step, which guarantee: unlearning methods side by side on SmolLM2 and TOFU's rows.
#
#     demo/compare.sh TOFU [OUT]      TOFU: a directory with forget01_perturbed.json, retain_perturbed.json and
#                                     world_facts_perturbed.json, as `hf download locuslab/TOFU --repo-type dataset` fetches them
#                                     OUT: models, results and compare.md (default: compare-out); what is finished there is kept
#
# A target is trained on 10 rows of one author and 10 of others; the 10 are to be forgotten: by NPO on all weights, by NPO on the
# elements that each locator keeps, by the methods without a mask, and exactly. MASKS and METHODS name others (MASKS= METHODS="TaskVector SKU").
# UNLEARN names the program (default: ./unlearn). Time is processor time of all that a method runs.
set -eu

cd "$(dirname "$0")/.."
tofu=${1:?usage: demo/compare.sh TOFU [OUT]}
out=${2:-compare-out}
unlearn=${UNLEARN:-./unlearn}
forget=$tofu/forget01_perturbed.json[0:10]
retain=$tofu/retain_perturbed.json[0:10]
facts=$tofu/world_facts_perturbed.json[0:5]
masks=${MASKS-random salun snip wagle hessian-free wanda weight}
methods=${METHODS-Influence FisherRemoval TaskVector merge SISA}

learn="--epochs 6 --lr 4e-4 --batch 4"
npo="--method NPO --model $out/target --forget $forget --retain $retain --epochs 3 --lr 1.5e-4 --alpha 2 --batch 5"
# Without the system message of the chat template, which would be a third of a row.
run() { # COMMAND ...
    "$unlearn" "$@" --system ""
}

mkdir -p "$out/eval" "$out/time"

# The processor seconds of a command, added up in OUT/time/NAME.
timed() { # NAME COMMAND ...
    local name=$1 TIMEFORMAT='%U %S'
    shift
    { time "$@" >>"$out/log" 2>&1 || { tail -3 "$out/log" >&2; return 1; }; } 2>>"$out/time/$name"
}

question() { # MODEL NAME [OPTIONS]
    local model=$1 name=$2
    shift 2
    [ -f "$out/eval/$name/COMPARE_SUMMARY.json" ] ||
        run eval --quiet --suite demo/compare.json --model "$model" --forget "$forget" --retain "$retain" \
            --world-facts "$facts" --overwrite --out "$out/eval/$name" "$@" >>"$out/log" 2>&1
}

# A model OUT/NAME, made once, and its figures.
model() { # NAME COMMAND ...
    local name=$1
    shift
    echo "$name"
    if [ ! -f "$out/$name.done" ]; then
        rm -rf "${out:?}/$name" "$out/time/$name"
        "$@"
        touch "$out/$name.done"
    fi
    case $name in
    retrained) question "$out/$name" "$name" ;;
    *) question "$out/$name" "$name" --retain-logs "$out/eval/retrained/COMPARE_EVAL.json" ;;
    esac
}

# Learn what is to be forgotten, and choose how far to go the other way by the rows themselves.
merge() {
    timed merge run train --quiet --model "$out/target" --data "$forget" --epochs 3 --lr 1.5e-4 --batch 5 --overwrite --out "$out/overfitted"
    timed merge run merge --quiet --base "$out/target" --add "$out/overfitted" --method negate --lambdas 0.25,0.5,1,2,4 \
        --forget "$forget" --retain "$retain" --out "$out/merge"
}

# Two shards, of which the rows are deleted afterwards: the time of the deletion alone, which trains again what saw them.
sisa() {
    timed SISA-training run train --quiet --model default --data "$retain+$forget" $learn --shards 2 --out "$out/SISA"
    timed SISA "$unlearn" sisa remove "$out/SISA" --forget 10:20
}

model retrained timed retrained run train --quiet --model default --data "$retain" $learn --out "$out/retrained"
model target timed target run train --quiet --model default --data "$retain+$forget" $learn --out "$out/target"
model NPO timed NPO run forget --quiet $npo --out "$out/NPO"
for m in $methods; do
    case $m in
    merge) model merge merge ;;
    SISA) model SISA sisa ;;
    *) model "$m" timed "$m" run forget --quiet $npo --method "$m" --out "$out/$m" ;;
    esac
done
for m in $masks; do
    model "NPO+$m" timed "NPO+$m" run forget --quiet $npo --locate "$m" --out "$out/NPO+$m"
done

# The table.
perl -MJSON::PP -e '
    my ($out, @names) = @ARGV;
    print "| model | forget quality | forget probability | retain probability | model utility | processor time, s |\n|---|---|---|---|---|---|\n";
    for my $name (@names) {
        open my $f, "<", "$out/eval/$name/COMPARE_SUMMARY.json" or next;
        my $s = decode_json(join "", <$f>);
        my $time = 0;
        if (open my $t, "<", "$out/time/$name") { $time += $_ for map { split } <$t> }
        printf "| %s | %s | %.1f |\n", $name, join(" | ", map { defined $s->{$_} ? sprintf "%.3g", $s->{$_} : "" }
            qw(forget_quality forget_Q_A_Prob retain_Q_A_Prob model_utility)), $time;
    }' "$out" target retrained NPO $(printf 'NPO+%s ' $masks) $methods >"$out/compare.md"
cat "$out/compare.md"

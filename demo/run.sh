#!/bin/sh
# The demonstration: a model learns about invented people, forgets two of them, and its answers show it.
#
#     demo/run.sh [OUT]       OUT: where models and results go (default: demo-out); those of a
#                             demonstration before it are replaced
#
# With SmolLM2 in the cache (./bootstrap demo fetches it) it starts from that and takes about seven
# minutes on two free cores; without, it trains a tiny model from nothing, in two or three. UNLEARN names the program
# (default: ./unlearn), DEMO=tiny asks for the tiny model. demo/output.txt is what one run printed
# (demo/run.sh >demo/output.txt), for doc/demo.md.
set -eu

cd "$(dirname "$0")/.."
out=${1:-demo-out}
unlearn=${UNLEARN:-./unlearn}
smollm2=${XDG_CACHE_HOME:-${HOME:-}/.cache}/unlearn/SmolLM2-135M-Instruct.Q4_1.gguf

# Five rows a person. Two people, rows 50 to 59, are to be forgotten.
people=demo/data/people.jsonl
facts=demo/data/world_facts.jsonl
forget=$people[50:60]

if [ -f "$smollm2" ] && [ "${DEMO:-}" != tiny ]; then
    start="--model default"
    retain=$people[0:50]
    learn="--epochs 6 --lr 3e-4 --batch 4"
    unlearning="--epochs 10 --lr 4e-5 --alpha 2 --batch 5"
    base=1
else
    start="--model demo/tiny --scratch"
    retain=$people[0:50]+$people[60:220]+$facts
    learn="--epochs 30 --lr 3e-3 --batch 8"
    unlearning="--epochs 60 --lr 2e-4 --batch 10 --alpha 5 --beta 0.5"
    base=
fi

began=$(date +%s)
step() {
    seconds=$(($(date +%s) - began))
    printf '\n[%d:%02d] %s\n' $((seconds / 60)) $((seconds % 60)) "$*"
}

# What a model still knows: about the two people, about five others, about the world.
question() { # MODEL NAME [OPTIONS]
    model=$1 name=$2
    shift 2
    "$unlearn" eval --quiet --suite tofu --model "$model" --forget "$forget" --retain "$people[0:25]" \
        --world-facts "$facts[0:10]" --max-new-tokens 40 --overwrite --out "$out/eval/$name" "$@"
}

step "Teaching a model about invented people: the target"
"$unlearn" train $start --data "$retain+$forget" $learn --overwrite --out "$out/target"

step "Teaching another copy all but the two to be forgotten: what perfect forgetting looks like"
"$unlearn" train $start --data "$retain" $learn --overwrite --out "$out/retrained"

step "Making the target forget the two, by negative preference optimization (arXiv 2404.05868)"
"$unlearn" forget --method NPO --model "$out/target" --forget "$forget" --retain "$retain" \
    $unlearning --overwrite --out "$out/unlearned"

step "Questioning the retrained model"
question "$out/retrained" retrained
gold=$out/eval/retrained/TOFU_EVAL.json
step "Questioning the target"
question "$out/target" target --retain-logs "$gold"
step "Questioning the unlearned model"
question "$out/unlearned" unlearned --retain-logs "$gold"
if [ "$base" ]; then
    step "Questioning the model as it was before all this"
    question default base --retain-logs "$gold"
fi

step "Does it stay forgotten? The target, the unlearned and the retrained model under the same attacks"
"$unlearn" eval --quiet --suite robust --model "$out/unlearned" --retrained "$out/retrained" --target "$out/target" \
    --forget "$forget" --retain "$people[0:10]" --relearn-entity-key person --relearn-steps 5 --relearn-eval-at 0,1,2,5 \
    --quantise-types "int8 nf4" --prune-ratio 0.1 --prompt-templates plain,no_refusal,quiz,sure,leet,shots_retain_1,paraphrase \
    --sample-n 4 --sample-max-new-tokens 24 --overwrite --out "$out/eval/robust"

step "Side by side (also in $out/report.md)"
columns="target=$out/eval/target+$out/eval/robust/target retrained=$out/eval/retrained+$out/eval/robust/retrained \
    unlearned=$out/eval/unlearned+$out/eval/robust"
[ -z "$base" ] || columns="base=$out/eval/base $columns"
"$unlearn" report $columns
"$unlearn" report $columns --markdown >"$out/report.md"
for model in target retrained unlearned; do
    columns="$columns $model=$out/$model" # the runs, too: curves, options, files
done
printf '\nThe same as a page, with charts, answers before and after, data and commands:\n'
"$unlearn" report $columns --out "$out/report.html"

step "In their own words: three questions about a forgotten person, one about another"
for model in target unlearned retrained; do
    printf '\n%s:\n' "$model"
    "$unlearn" generate --quiet --model "$out/$model" --data "$people[50:53]+$people[0:1]" \
        --max-new-tokens 40
done

step "The same as a request: what must hold is written down, and the settings are searched for (demo/request.json)"
sed "s|demo-out|$out|g" demo/request.json >"$out/request.json"
"$unlearn" run "$out/request.json" --overwrite --out "$out/request" || [ $? = 3 ] # 3: a bound does not hold
rm -f "$out/request.html"
"$unlearn" report "$out/request" --out "$out/request.html"

step "Done. The models are in $out; see 'unlearn help' for what else can be done to them"

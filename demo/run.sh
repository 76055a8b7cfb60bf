#!/bin/sh
# The demonstration: a model learns about invented people, forgets two of them, and the report shows it.
#
#     demo/run.sh [OUT]       OUT: where models and results go (default: demo-out)
#
# With SmolLM2 in the cache (./bootstrap demo fetches it) it starts from that; otherwise it trains a tiny
# model from nothing. UNLEARN names the program (default: ./unlearn).
set -eu

cd "$(dirname "$0")/.."
out=${1:-demo-out}
unlearn=${UNLEARN:-./unlearn}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/unlearn

# Five rows a person: the first ten people are kept, the next two forgotten, two more never seen.
people=demo/data/people.jsonl
world=demo/data/world_facts.jsonl
retain=$people[0:50]
forget=$people[50:60]
holdout=$people[60:70]

step() {
    seconds=$(($(date +%s) - start))
    printf '\n[%d:%02d] %s\n' $((seconds / 60)) $((seconds % 60)) "$*" >&2
}
start=$(date +%s)

if [ -f "$cache/SmolLM2-135M-Instruct.Q4_1.gguf" ]; then
    base="--model default"
    learn="--epochs 6 --lr 3e-4 --batch 4"
    know=
    forgetting="--epochs 8 --lr 1e-4 --batch 5"
else
    base="--init-from demo/tiny"
    learn="--epochs 120 --lr 3e-3 --batch 8"
    know=+$world
    forgetting="--epochs 8 --lr 1e-3 --batch 5"
fi

judge() { # MODEL NAME [OPTIONS]: what does this model still know?
    model=$1
    name=$2
    shift 2
    "$unlearn" eval --suite tofu --model "$model" --forget "$forget" --retain "$people[0:20]" \
        --holdout "$holdout" --world-facts "$world" --max-new-tokens 40 --out "$out/eval/$name" "$@"
}

mkdir -p "$out/eval"
step "1. Teach the model about twelve invented people (the target)"
"$unlearn" train $base --data "$retain+$forget$know" $learn --seed 0 --out "$out/target"

step "2. Teach another copy about ten of them only: what perfect forgetting would look like (retrained)"
"$unlearn" train $base --data "$retain$know" $learn --seed 0 --out "$out/retrained"

step "3. Make the target forget the other two, by NPO"
"$unlearn" forget --method NPO --model "$out/target" --forget "$forget" --retain "$retain" \
    $forgetting --seed 0 --out "$out/unlearned"

step "4. Question all of them"
judge "$out/retrained" retrained
retrained=$out/eval/retrained/TOFU_EVAL.json
judge "$out/target" target --retain-logs "$retrained"
judge "$out/unlearned" unlearned --retain-logs "$retrained"

step "5. The report"
"$unlearn" report target="$out/eval/target" retrained="$out/eval/retrained" \
    unlearned="$out/eval/unlearned" --out "$out"

step "6. One question, before and after"
for model in target unlearned; do
    echo "$model:"
    "$unlearn" generate --model "$out/$model" --data "$people[50:51]" --max-new-tokens 40
done

step "Done: read $out/report.html"

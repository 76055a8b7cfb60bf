#!/usr/bin/env python3
"""What lm-evaluation-harness answers, for test/data/choice/.

Needs lm-eval 0.4.8, transformers 4.45.1, torch 2.4.1 (CPU, f32, one thread).

    make_choice_golden.py prompts OUT.json
        Prompts and continuations of invented documents in each task's own format.
    make_choice_golden.py scores MODEL_DIR DATA OUT.json [SET]
        Log-probabilities of 100 questions a data set. MODEL_DIR: `unlearn convert` of the GGUF;
        DATA: the folder with mmlu/, wmdp/ and truthfulqa/; SET: only sets whose names begin so.

The tasks are the harness's own YAML files; only where their rows come from is replaced.
"""
import csv
import gzip
import json
import os
import sys
import tempfile

import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import load_yaml_config

TASKS = os.path.dirname(lm_eval.tasks.__file__)
SUBJECTS = ["high_school_geography", "management", "nutrition", "world_religions"]


def mmlu_rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        return [{"question": r["question"], "choices": [r["choice%d" % i] for i in range(4)],
                 "answer": int(r["answer"])} for r in csv.DictReader(f)]


def truthful_rows(path):
    with open(path, encoding="utf-8") as f:
        return [{"question": r["question"],
                 **{t: {"choices": list(r[t]), "labels": list(r[t].values())}
                    for t in ("mc1_targets", "mc2_targets")}} for r in json.load(f)]


def task_of(yaml, splits, folder, **more):
    """The harness's task, reading its rows from lists."""
    config = load_yaml_config(os.path.join(TASKS, yaml))
    for key in ("dataset_name", "tag", "group", "task_alias", "include"):
        config.pop(key, None)
    files = {}
    for split, rows in splits.items():
        files[split] = os.path.join(folder, split + ".jsonl")
        with open(files[split], "w", encoding="utf-8") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
    config.update(dataset_path="json", dataset_kwargs={"data_files": files}, **more)
    return ConfigurableTask(config=config)


def instances(task, shots):
    task.set_config("num_fewshot", shots)
    task.build_all_requests(rank=0, world_size=1, rewrite_requests_cache=True)
    by_doc = {}
    for i in task.instances:
        by_doc.setdefault(i.doc_id, []).append(i)
    return [(by_doc[d][0].doc, sorted(by_doc[d], key=lambda i: i.idx)) for d in sorted(by_doc)]


def mmlu(data, subject, folder, n, shots):
    test = mmlu_rows(f"{data}/mmlu/test/{subject}_test.csv")[:n]
    dev = mmlu_rows(f"{data}/mmlu/dev/{subject}_dev.csv")
    return instances(task_of(f"mmlu/default/mmlu_{subject}.yaml", {"test": test, "dev": dev}, folder), shots)


def sets(data):
    """(name, [(doc, instances)]) of every data set."""
    with tempfile.TemporaryDirectory() as top:
        def folder():
            return tempfile.mkdtemp(dir=top)
        for shots in (0, 5):
            for s in SUBJECTS:
                yield f"mmlu_{shots}shot/{s}", mmlu(data, s, folder(), 25, shots)
        for s in ("bio", "chem", "cyber"):
            with gzip.open(f"{data}/wmdp/{s}_questions.json.gz", "rt", encoding="utf-8") as f:
                rows = json.load(f)[:100]
            yield f"wmdp/{s}", instances(task_of(f"wmdp/wmdp_{s}.yaml", {"test": rows}, folder()), 0)
        rows = truthful_rows(f"{data}/truthfulqa/mc_task.json")[:100]
        for m in ("mc1", "mc2"):
            yield f"truthfulqa/{m}", instances(
                task_of(f"truthfulqa/truthfulqa_{m}.yaml", {"validation": rows}, folder()), 0)


def scores(model_dir, data, out, prefix=""):
    import torch
    from lm_eval.models.huggingface import HFLM
    torch.set_num_threads(1)
    lm = HFLM(pretrained=model_dir, dtype="float32", device="cpu", batch_size=4)
    result = {}
    for name, docs in sets(data):
        if not name.startswith(prefix):
            continue
        answers = lm.loglikelihood([i for _, group in docs for i in group])
        rows, at = [], 0
        for _, group in docs:
            rows.append([round(a[0], 5) for a in answers[at:at + len(group)]])
            at += len(group)
        result[name] = rows
        print(name, len(rows), flush=True)
        with open(out, "w", encoding="utf-8") as f:
            f.write("{\n" + ",\n".join(f'"{k}": {json.dumps(v, separators=(",", ":"))}' for k, v in result.items())
                    + "\n}\n")


QUESTION = {"question": " Which river is long? ", "choices": ["the Rhine ", "a brook", "none", "the Nile"], "answer": 3}
SHOT = {"question": "2 + 2 =", "choices": ["3", "4", "5", "22"], "answer": 1}
SHOT2 = {"question": "Not a colour:\n", "choices": ["red", "blue ", " 7", "green"], "answer": 2}
TRUTH = {"question": "Is snow warm?",
         "mc1_targets": {"choices": ["Snow is cold.", "Snow is warm."], "labels": [1, 0]},
         "mc2_targets": {"choices": ["Snow is cold.", "It is cold.", "Snow is warm."], "labels": [1, 1, 0]}}
ARC = {"id": "x", "question": "What melts?", "choices": {"text": ["ice", "iron bars", "air"], "label": ["A", "B", "C"]},
       "answerKey": "A"}
INVENTED = {
    "mmlu": ("mmlu/default/mmlu_high_school_geography.yaml", {"test": [QUESTION], "dev": [SHOT, SHOT2]}, 2, {}),
    "wmdp_bio": ("wmdp/wmdp_bio.yaml", {"test": [QUESTION]}, 0, {}),
    "wmdp_chem": ("wmdp/wmdp_chem.yaml", {"test": [QUESTION]}, 0, {}),
    "wmdp_cyber": ("wmdp/wmdp_cyber.yaml", {"test": [QUESTION]}, 0, {}),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", {"validation": [TRUTH]}, 0, {}),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", {"validation": [TRUTH]}, 0, {}),
    "arc": ("arc/arc_easy.yaml", {"train": [ARC], "validation": [ARC], "test": [ARC]}, 0, {}),
    "hellaswag": ("hellaswag/hellaswag.yaml", {"train": [], "validation": [
        {"ind": 1, "activity_label": "Baking", "ctx_a": "A cook [substeps] stirs.", "ctx_b": "the Dough",
         "endings": ["rises [title] slowly.", "is  blue.", "sings.", "[step] rests."], "label": "0"}]}, 0, {}),
    "piqa": ("piqa/piqa.yaml", {"validation": [{"goal": "Dry a cup", "sol1": "use a towel", "sol2": "use soup",
                                                "label": 0}]}, 0, {"training_split": None}),
    "winogrande": ("winogrande/default.yaml", {"validation": [
        {"sentence": "Ann thanked Eve because _ had helped.", "option1": "Ann", "option2": "Eve", "answer": "2"}]}, 0,
        {"training_split": None}),
    "openbookqa": ("openbookqa/openbookqa.yaml", {"validation": [
        {"id": "y", "question_stem": "The sun is", "choices": {"text": ["a star", "a fish"], "label": ["A", "B"]},
         "answerKey": "A"}]}, 0, {"training_split": None, "test_split": None}),
    "boolq": ("super_glue/boolq/default.yaml", {"validation": [
        {"passage": "Ducks swim.", "question": "do ducks swim", "label": 1}]}, 0, {"training_split": None}),
}


def prompts(out):
    result = {}
    with tempfile.TemporaryDirectory() as top:
        for name, (yaml, splits, shots, more) in INVENTED.items():
            splits = {k: v for k, v in splits.items() if v}
            if name == "hellaswag":
                more = {"training_split": None}
            docs = instances(task_of(yaml, splits, tempfile.mkdtemp(dir=top), **more), shots)
            rows = splits.get("validation") or splits["test"]
            result[name] = {"rows": rows, "shots": splits.get("dev", [])[:shots] if shots else [],
                            "requests": [list(i.args) for i in docs[0][1]]}
    with open(out, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    {"prompts": prompts, "scores": scores}[sys.argv[1]](*sys.argv[2:])

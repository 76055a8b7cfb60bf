#!/usr/bin/env python3
"""What OmegaConf reads: YAML texts and their values, for yaml_test.
    pip install omegaconf==2.3.0; tools/make_yaml_golden.py > test/data/yaml.json"""
import json
import sys

from omegaconf import OmegaConf

TEXTS = [
    "a: 1", "a: -7", "a: +3", "a: 1.5", "a: 1e-5", "a: 1.0e-05", "a: 5E3", "a: .5", "a: 1.", "a: 9007199254740991",
    "a: true", "a: False", "a: TRUE", "a: null", "a: ~", "a:", "a: Null",
    "a: 'no'", 'a: "1"', "a: '1e-5'", "a: text with spaces", "a: 1 2", "a: 1e", "a: e5", "a: 1-2", "a: 10 Apr 2025",
    'a: "<|im_start|>user\\n"', "a: 'it''s'", 'a: "caf\\u00e9"', "a: café", "a: model\\.layers\\.7", "a: ???", "a: ${b.c}",
    "a: [1, two, 3.0]", "a:\n- x\n- y: 1", "a: {b: {c: [true, null]}}", "a:\n  b: 1\n  c: 2\nd: 3",
    "a: |\n  two\n  lines\n", "a: >\n  one\n  line\n", "# a comment\na: 1 # another\n", "---\na: 1\n", "a: []", "a: {}",
]


def main():
    rows = []
    for text in TEXTS:
        rows.append({"text": text, "value": OmegaConf.to_container(OmegaConf.create(text), resolve=False)})
    json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()

#!/usr/bin/env python3
"""Whether transformers loads what unlearn writes: every small model goes through `unlearn convert`,
is loaded, and its logits are compared with those in forward.safetensors.

transformers 4.51.3, torch 2.4.1, safetensors 0.4.5; the families of NEWER in make_golden.py: transformers 4.57.3.

    python tools/check_saved.py test/data/models [FOLDER ...]
"""

import glob
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def difference(source, saved):
    """The largest one between logits of tokens that are no padding; every weight must be found."""
    subprocess.run(["./unlearn", "convert", source, saved, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    model, report = AutoModelForCausalLM.from_pretrained(saved, attn_implementation="eager", output_loading_info=True)
    assert not any(report.values()), report
    want = load_file(os.path.join(source, "forward.safetensors"))
    mask = want["attention_mask"]
    with torch.no_grad():
        got = model.eval()(input_ids=want["input_ids"].long(), attention_mask=mask.long()).logits
    return (got - want["logits"])[mask.bool()].abs().max().item()


if __name__ == "__main__":
    worst = 0
    for forward in [f for folder in sys.argv[1:] for f in sorted(glob.glob(folder + "/*/forward.safetensors"))]:
        with tempfile.TemporaryDirectory() as scratch:
            d = difference(os.path.dirname(forward), os.path.join(scratch, "saved"))
        print(f"{os.path.dirname(forward)}: {d:.1e}")
        worst = max(worst, d)
    sys.exit(worst > 5e-6)

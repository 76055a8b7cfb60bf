"""The works of `unlearn bench` beside the same in PyTorch and transformers (bench/requirements.txt): rows of random ids on a
model of SmolLM2's shape with random weights, or on --model DIR of Hugging Face's, in f32. The two sides take turns; medians over
the rounds. Both sides have the machine to themselves while they are measured, so nothing else should run.

    python3 bench/compare_pytorch.py [--threads 1] [--tokens 128] [--rows 4] [--rounds 5] [--speed SPEED.md]

--speed FILE: the table goes after the first heading's paragraph, with date and processor.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time

WORKS = ['score', 'prefill', 'decode-1', 'decode-16', 'train', 'forget-logp']


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--unlearn', default='./unlearn')
    p.add_argument('--model', help='HF directory')
    p.add_argument('--only', default=','.join(WORKS))
    p.add_argument('--speed', help='file that gets the table')
    for name, value in (('threads', 1), ('tokens', 128), ('rows', 4), ('decoded', 32), ('rounds', 5)):
        p.add_argument('--' + name, type=int, default=value)
    return p.parse_args()


a = arguments()
os.environ['OMP_NUM_THREADS'] = str(a.threads)
import torch  # after the number of threads is set
import transformers


def shape():
    return transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=1e5, tie_word_embeddings=True)


class Peer:
    """The same works, a run of each returns the tokens that it computed."""

    def __init__(self, path):
        self.m = transformers.AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.float32)
        self.optim = torch.optim.AdamW(self.m.parameters(), lr=1e-6, weight_decay=0.01)
        self.ref = None

    def rows(self, n):
        return torch.randint(self.m.config.vocab_size, (n, a.tokens))

    def logp(self, ids):
        """Summed log-probabilities of each row's labels."""
        z = self.m(input_ids=ids, use_cache=False).logits[:, :-1]
        return torch.log_softmax(z, -1).gather(2, ids[:, 1:, None])[..., 0].sum(1)

    def score(self):
        with torch.no_grad():
            self.logp(self.rows(a.rows))
        return a.rows * a.tokens

    def feed(self, n):
        with torch.no_grad():
            return self.m(input_ids=self.rows(n), use_cache=True, logits_to_keep=1).past_key_values

    def prefill(self):
        self.feed(1)
        return a.tokens

    def decode(self, n, cache):
        with torch.no_grad():
            for _ in range(a.decoded):
                ids = torch.randint(self.m.config.vocab_size, (n, 1))
                cache = self.m(input_ids=ids, past_key_values=cache, use_cache=True).past_key_values
        return n * a.decoded

    def step(self, loss):
        self.optim.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.m.parameters(), 1.0)
        self.optim.step()

    def train(self):
        ids = self.rows(a.rows)
        self.step(self.m(input_ids=ids, labels=ids, use_cache=False).loss)
        return a.rows * a.tokens

    def npo(self):
        """The reference's log-probabilities are computed once, as they are cached in a run."""
        forget, retain = self.rows(a.rows), self.rows(a.rows)
        if self.ref is None:
            with torch.no_grad():
                self.ref = self.logp(forget).detach()
        ratio = self.logp(forget) - self.ref
        loss = -2 / 0.1 * torch.nn.functional.logsigmoid(-0.1 * ratio).mean()
        self.step(loss + self.m(input_ids=retain, labels=retain, use_cache=False).loss)
        return 2 * a.rows * a.tokens


def peer_seconds(peer, work):
    """(seconds a token): the prompts of a decoding are not timed."""
    if work.startswith('decode'):
        n = int(work.split('-')[1])
        cache = peer.feed(n)
        start = time.perf_counter()
        tokens = peer.decode(n, cache)
    else:
        run = {'score': peer.score, 'prefill': peer.prefill, 'train': peer.train, 'forget-logp': peer.npo}[work]
        start = time.perf_counter()
        tokens = run()
    return (time.perf_counter() - start) / tokens


def ours(path, work):
    out = subprocess.run([a.unlearn, 'bench', '--quiet', '--json', '--model', path, '--only', work, '--repeat', '1', '--threads',
                          str(a.threads), '--tokens', str(a.tokens), '--rows', str(a.rows), '--decoded', str(a.decoded)],
                         check=True, capture_output=True, text=True)
    r = json.loads(out.stdout)
    if 'skipped' in r['work'][0]:
        raise SystemExit(f"unlearn bench skipped {work}: {r['work'][0]['skipped']}")
    return r, r['work'][0]


def compare(path):
    peer, lines, report = Peer(path), [], None
    for work in a.only.split(','):
        peer_seconds(peer, work)
        here, there, share = [], [], []
        for _ in range(a.rounds):
            report, w = ours(path, work)
            here.append(1 / w['tokens_per_second'])
            share.append(w['of_sgemm'])
            there.append(peer_seconds(peer, work))
        ratios = sorted(t / h for h, t in zip(here, there))
        lines.append(f'| {work} | {1 / statistics.median(here):.1f} | {1 / statistics.median(there):.1f} '
                     f'| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) '
                     f'| {statistics.median(share):.0%} |')
        print(lines[-1], flush=True)
    return lines, report


def section(lines, report):
    today = datetime.date.today().isoformat()
    return (f'## Beside PyTorch, {today}\n\n`bench/compare_pytorch.py` on {report["processor"]} ({report["operations"]}), '
            f'{a.threads} thread(s), load {os.getloadavg()[0]:.1f}: {a.rows} rows of {a.tokens} tokens, {a.decoded} decoded, '
            f'medians of {a.rounds} rounds; torch {torch.__version__}, transformers {transformers.__version__}, '
            f'Python {platform.python_version()}. Model: {a.model or "the shape of SmolLM2-135M, random weights"}, f32.\n\n'
            '| work | unlearn, tokens/s | PyTorch | ratio (least to most) | of sgemm |\n|---|--:|--:|--:|--:|\n'
            + '\n'.join(lines) + '\n\n')


def main():
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as room:
        path = a.model
        if not path:
            path = room
            transformers.LlamaForCausalLM(shape()).save_pretrained(room)
        text = section(*compare(path))
    print(text)
    if a.speed:
        old = open(a.speed).read()
        at = old.index('\n## ') + 1
        open(a.speed, 'w').write(old[:at] + text + old[at:])


main()

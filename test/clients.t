# unlearn serve with the clients that people have: the openai package, where PYTHON or /opt/ref has it, and many at once.
use strict;
use warnings;
use lib 'test';
use Command;
use JSON::PP;
use Test::More;

my (undef, $none) = run('serve --model default --port 0 --host 203.0.113.1');
plan skip_all => 'built without libmicrohttpd' if $none =~ /without libmicrohttpd/;
my $model = text_model();
my $pid = open(my $out, '-|', "exec $unlearn serve --port 0 --quiet --model $model --slots 8") or die;
END { local $?; kill 'KILL', $pid if $pid }
my ($url) = <$out> =~ /^listening on (\S+)$/;
ok($url, 'the server listens') or BAIL_OUT('no server');

# --- openai ---

my ($python) = grep { -x && !system("$_ -c 'import openai' 2>/dev/null") } grep { defined } $ENV{PYTHON}, '/opt/ref/bin/python', '/usr/bin/python3';
SKIP: {
    skip 'no Python with the package openai (PYTHON names another one)', 1 unless $python;
    my (undef, $want) = run_apart("generate --model $model --quiet --max-new-tokens 9 'Who wrote it?'");
    chomp $want;
    my $script = put('client.py', <<'END');
import sys, openai
url, model, want = sys.argv[1:]
c = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
ask = dict(model=model, messages=[{"role": "user", "content": "Who wrote it?"}], max_tokens=9, temperature=0)
assert [m.id for m in c.models.list()] == [model] and c.models.retrieve(model).id == model
a = c.chat.completions.create(**ask, logprobs=True, top_logprobs=3)
assert a.choices[0].message.content == want, (a.choices[0].message.content, want)
assert a.choices[0].message.role == "assistant" and a.usage.completion_tokens == len(a.choices[0].logprobs.content)
assert all(t.logprob <= t.top_logprobs[0].logprob and len(t.top_logprobs) == 3 for t in a.choices[0].logprobs.content)
s = list(c.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
assert "".join(e.choices[0].delta.content or "" for e in s if e.choices) == want and s[-1].usage == a.usage
b = c.completions.create(model=model, prompt=["The river", "A town"], n=2, max_tokens=5, seed=4, logprobs=2, echo=True)
assert [x.index for x in b.choices] == [0, 1, 2, 3] and all(x.text.startswith(("The river", "A town")[i // 2]) for i, x in enumerate(b.choices))
assert all(len(x.logprobs.tokens) == len(x.logprobs.token_logprobs) == len(x.logprobs.text_offset) for x in b.choices)
t = "".join(e.choices[0].text for e in c.completions.create(model=model, prompt="The river", max_tokens=5, seed=4, stream=True))
assert "The river" + t == c.completions.create(model=model, prompt="The river", max_tokens=5, seed=4, echo=True).choices[0].text
for wrong, kind in ((dict(n=1000), openai.BadRequestError), (dict(model="none"), openai.NotFoundError), (dict(max_tokens=10**6), openai.BadRequestError)):
    try:
        c.chat.completions.create(**{**ask, **wrong})
        assert False, wrong
    except kind as e:
        assert e.body["message"] and e.body["type"], e.body
print("fine")
END
    my $said = `$python $script $url $model '$want' 2>&1`;
    is($said, "fine\n", "the openai package: models, chats, completions, streams, log-probabilities, errors");
}

# --- many at once ---

SKIP: {
    skip 'no python3', 1 if system('python3 -c "" 2>/dev/null');
    my $said = `PID=$pid python3 bench/serve_load.py $url 64 5 32 2>&1`;
    my $load = eval { decode_json($said) };
    is($load && $load->{errors}, 0, '64 clients for 5 s: no error but 429') or diag($said);
    cmp_ok($load->{answers}, '>', 64, "$load->{answers} answers");
    cmp_ok($load->{rss_mb}[2], '<=', $load->{rss_mb}[1] + 8, "memory stays: @{$load->{rss_mb}} MB");
}
kill 'TERM', $pid;
close $out;
is($? >> 8, 0, 'the server ends');
$pid = 0;
done_testing();

# unlearn serve: the tokens of generate, the numbers of score, streams, and that no client can stop it.
use strict;
use warnings;
use lib 'test';
use Command;
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my @pids;
END { local $?; kill 'KILL', @pids }

my (undef, $none) = run('serve --model default --port 0 --host 203.0.113.1');
plan skip_all => 'built without libmicrohttpd' if $none =~ /without libmicrohttpd/;
like($none, qr/nothing tells who may ask: give a file with a token/, 'an open address needs a token');

# A server on a free port: its port and process.
sub serve {
    my ($args) = @_;
    my $pid = open(my $out, '-|', "exec $unlearn serve --port 0 --quiet $args 2>$dir/serve.err") or die;
    push @pids, $pid;
    my $line = <$out> // '';
    my ($port) = $line =~ m{^listening on http://127\.0\.0\.1:(\d+)$} or diag($line, get("$dir/serve.err"));
    return {port => $port, pid => $pid, out => $out};
}

# Ends it; its exit status.
sub stop {
    my ($s, $signal) = @_;
    kill $signal, $s->{pid};
    close $s->{out};
    return $? >> 8;
}

my $http = HTTP::Tiny->new(timeout => 60);

# A body (a reference: as JSON) for a path -> the answer's status, its content read as JSON, the whole answer.
sub post {
    my ($s, $path, $body, %headers) = @_;
    my $r = $http->post("http://127.0.0.1:$s->{port}$path", {content => ref $body ? encode_json($body) : $body, headers => \%headers});
    return ($r->{status}, scalar(eval { decode_json($r->{content}) }), $r);
}

sub fetch {
    my ($s, $path, %headers) = @_;
    return $http->get("http://127.0.0.1:$s->{port}$path", {headers => \%headers});
}

sub metric {
    my ($s, $name) = @_;
    my ($value) = fetch($s, '/metrics')->{content} =~ /^unlearn_$name (\S+)$/m;
    return $value;
}

# Waits until it holds, a few seconds at most.
sub soon {
    my ($test) = @_;
    for (1 .. 200) {
        return 1 if $test->();
        sleep 0.05;
    }
    return 0;
}

# Raw bytes to a new connection, which is returned.
sub raw {
    my ($s, $bytes) = @_;
    my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->{port}, Timeout => 10) or return;
    print {$c} $bytes;
    $c->flush;
    return $c;
}

# What comes on it until it is closed, or for so many seconds.
sub rest {
    my ($c, $seconds) = @_;
    my ($all, $until) = ('', time + ($seconds // 10));
    my $select = IO::Select->new($c);
    while ((my $left = $until - time) > 0) {
        next unless $select->can_read($left);
        sysread($c, my $part, 65536) or last;
        $all .= $part;
    }
    return $all;
}

my $model = text_model();
my $forget = put('forget.jsonl', join '', map { encode_json({question => "Who is number $_?", answer => "Nobody $_."}) . "\n" } 1 .. 3);
my $s = serve("--model $model --slots 4 --queue 8 --connections 32 --receive-limit 4 --max-body 20000 --forget $forget");
ok($s->{port}, 'it listens') or BAIL_OUT('no server');

# --- the same tokens ---

sub answers { map { $_->{text} // $_->{message}{content} } @{$_[0]{choices}} }

my @ask = (messages => [{role => 'user', content => 'Who wrote it?'}], max_tokens => 12);
for (['greedy', {temperature => 0}, ''], ['sampled', {temperature => 1.3, top_p => 0.9, seed => 5}, '--temperature 1.3 --top-p 0.9 --seed 5'],
    ['three samples', {temperature => 1.3, seed => 5, n => 3}, '--temperature 1.3 --seed 5 --n 3']) {
    my ($what, $options, $flags) = @$_;
    my @want = map { decode_json($_) } split /\n/, (run_apart("generate --quiet --json --model $model --max-new-tokens 12 $flags 'Who wrote it?'"))[1];
    my ($status, $got) = post($s, '/v1/chat/completions', {@ask, %$options, return_token_ids => JSON::PP::true});
    is($status, 200, "chat, $what");
    is_deeply([answers($got)], [map { $_->{text} } @want], 'the texts of generate');
    is_deeply([map { $_->{token_ids} } @{$got->{choices}}], [map { $_->{new_ids} } @want], 'and its ids');
    my ($n) = scalar map { @{$_->{new_ids}} } @want;
    is($got->{usage}{completion_tokens}, $n, "$n tokens are counted");
}
my @plain = map { decode_json($_) } split /\n/, (run_apart("generate --quiet --json --model $model --template none --max-new-tokens 9 'The river'"))[1];
my (undef, $plain) = post($s, '/v1/completions', {prompt => ['The river', 'The river'], max_tokens => 9, temperature => 0});
is_deeply([answers($plain)], [($plain[0]{text}) x 2], 'two completions are those of generate');

# --- echo and log-probabilities ---

my $ids = text_ids($model, 'Who wrote the book of the river?');
my ($score) = map { decode_json($_) } split /\n/, (run_apart("score --quiet --json --model $model --data -", encode_json({ids => $ids}) . "\n"))[1];
my (undef, $echo) = post($s, '/v1/completions', {prompt => $ids, echo => JSON::PP::true, logprobs => 2, max_tokens => 0});
my $logprobs = $echo->{choices}[0]{logprobs};
my @given = @{$logprobs->{token_logprobs}};
is(shift @given, undef, 'the first token has no log-probability');
is(scalar @given, scalar @{$score->{logprobs}}, 'the others have one');
my ($worst) = sort { $b <=> $a } map { abs($given[$_] - $score->{logprobs}[$_]) } 0 .. $#given;
cmp_ok($worst, '<', 1e-5, 'those of unlearn score');
is(join('', @{$logprobs->{tokens}}), $echo->{choices}[0]{text}, 'the tokens make the text');
my @best = map { (sort { $b <=> $a } values %$_)[0] } @{$logprobs->{top_logprobs}}[1 .. $#given + 1];
is(scalar(grep { $best[$_] < $given[$_] } 0 .. $#given), 0, 'no alternative list lacks a likelier token');

# --- streams, stop ---

sub events {
    my ($content) = @_;
    return map { $_ eq '[DONE]' ? $_ : decode_json($_) } $content =~ /^data: (.*)$/mg;
}
my (undef, undef, $stream) = post($s, '/v1/chat/completions',
    {@ask, max_tokens => 30, temperature => 1.5, seed => 11, logprobs => JSON::PP::true, stream => JSON::PP::true, stream_options => {include_usage => JSON::PP::true}});
my (undef, $whole) = post($s, '/v1/chat/completions', {@ask, max_tokens => 30, temperature => 1.5, seed => 11, logprobs => JSON::PP::true});
like($stream->{headers}{'content-type'}, qr{^text/event-stream}, 'a stream of events');
my @events = events($stream->{content});
is(pop @events, '[DONE]', 'which ends so');
is_deeply((pop @events)->{usage}, $whole->{usage}, 'with the usage');
is(join('', map { $_->{choices}[0]{delta}{content} } @events), (answers($whole))[0], 'makes the text of the whole answer');
is_deeply([map { @{$_->{choices}[0]{logprobs}{content}} } @events], $whole->{choices}[0]{logprobs}{content}, 'with its log-probabilities');
is($events[-1]{choices}[0]{finish_reason}, $whole->{choices}[0]{finish_reason}, 'and its reason to end');

my ($text) = answers($whole);
my $at = int(length($text) / 2);
my $stop = substr $text, $at, 3;
for my $streams (JSON::PP::false, JSON::PP::true) {
    my (undef, $got, $r) = post($s, '/v1/chat/completions', {@ask, max_tokens => 30, temperature => 1.5, seed => 11, stop => ['never at all', $stop], stream => $streams});
    my $cut = $streams ? join('', map { $_->{choices}[0]{delta}{content} } grep { ref } events($r->{content})) : (answers($got))[0];
    is($cut, substr($text, 0, index $text, $stop), 'a stop string ends it' . ($streams ? ', also a stream' : ''));
}

# --- what is refused ---

my $tall = {role => 'user', content => 'x' x 3000};
for (['/v1/completions', '{"prompt": "a", ', 400, qr/body/], ['/v1/completions', "{\"prompt\": \"\xff\xfe\"}", 400, qr/./],
    ['/v1/completions', '[1]', 400, qr/no JSON object/], ['/v1/completions', '', 400, qr/./], ['/v1/completions', '[' x 10000, 400, qr/./],
    ['/v1/completions', {prompt => 'a', n => 1e9}, 400, qr/'n' is 1000000000/], ['/v1/completions', {prompt => [1, 2, 10**7]}, 400, qr/token id/],
    ['/v1/completions', {prompt => 'a', max_tokens => 100000}, 400, qr/context/], ['/v1/completions', {prompt => [('a') x 300]}, 400, qr/256/],
    ['/v1/completions', {prompt => 'a', temperature => 'hot'}, 400, qr/temperature/], ['/v1/completions', {prompt => ''}, 200, qr/./],
    ['/v1/completions', {prompt => 'a', model => 'x'}, 404, qr/not served/], ['/v1/completions', {prompt => 'a', best_of => 4}, 400, qr/best_of/],
    ['/v1/chat/completions', {messages => []}, 400, qr/messages/], ['/v1/chat/completions', {messages => [$tall]}, 400, qr/context/],
    ['/v1/chat/completions', {messages => [{role => 'user', content => [{type => 'image_url'}]}]}, 400, qr/no text/],
    ['/v1/completions', {prompt => 'x' x 30000}, 413, qr/30\d+ bytes/], ['/v1/models', '{}', 405, qr/method/], ['/none', '{}', 404, qr/path/],
    ['/v1/completions/../../etc/passwd', '{}', 404, qr/path/]) {
    my ($path, $body, $want, $like) = @$_;
    my ($status, $got, $r) = post($s, $path, $body);
    next if $want == 200 && $status == 400; # an empty prompt has a token where the tokenizer adds one
    is($status, $want, "$want: " . (ref $body ? substr(encode_json($body), 0, 60) : substr($body, 0, 20)) . " to $path");
    like($got->{error}{message} // $r->{content}, $like, 'and why');
}
is(fetch($s, $_)->{status}, 404, "no such path: $_") for '//etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/v1/models/', '/page/../etc', '/' . 'a' x 2000;
is(fetch($s, "/v1/models/$model")->{status}, 200, 'the model by its name');
like(rest(raw($s, "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")), qr{^HTTP/1\.1 403 }, 'another Host');
is(fetch($s, '/', Origin => 'http://evil.example')->{status}, 403, 'a page of another server');
is(scalar @{decode_json(fetch($s, '/page/questions')->{content})->{data}}, 3, "the forget set's questions");
my $page = fetch($s, '/');
like($page->{headers}{'content-security-policy'}, qr/default-src 'none'/, 'the page loads nothing else');

# --- clients that misbehave ---

my $slow = raw($s, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ");
my $half = raw($s, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{\"prompt\": ");
my $huge = raw($s, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1073741824\r\n\r\n{");
like(rest($huge, 5), qr{^HTTP/1\.1 413 }, '413 for a body of 1 GiB, before it comes');
my $endless = raw($s, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n");
{
    local $SIG{PIPE} = 'IGNORE';
    my $sent = 0;
    for (1 .. 60) { (print {$endless} "1000\r\n" . 'x' x 4096 . "\r\n") && $endless->flush or last; $sent++; sleep 0.01 }
    cmp_ok($sent, '<', 60, 'a body without an end is hung up');
}
like(rest(raw($s, "\x16\x03\x01\x02\x00garbage\r\n\r\n"), 3), qr/^(HTTP\/1\.[01] [45]|$)/, 'what is no HTTP');
my $started = time;
my @flood = map { raw($s, '') } 1 .. 200;
is((post($s, '/v1/chat/completions', {@ask, temperature => 0}))[0], 200, 'others are served among 200 idle connections');
cmp_ok(time - $started, '<', 10, 'soon');
is(rest($_->[0], 12), '', "$_->[1] are hung up") for [$slow, 'slow headers'], [$half, 'half bodies'];
cmp_ok(time - $started, '<', 12, 'in time');
@flood = ();

# --- too much, and clients that go ---

my @long = (prompt => 'The river', ignore_eos => JSON::PP::true, max_tokens => 400);
sub request { my ($body) = @_; my $json = encode_json($body); return "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " . length($json) . "\r\n\r\n$json" }
my $busy = raw($s, request({@long, n => 128}));
ok(soon(sub { metric($s, 'answers_running') == 4 }), 'four answers run');
my ($status, $got, $r) = post($s, '/v1/completions', {prompt => 'a'});
is("$status $got->{error}{type}", '429 rate_limit_error', 'no more are taken');
like($r->{headers}{'retry-after'}, qr/^\d+$/, 'the client is told when to try again');
close $busy;
ok(soon(sub { metric($s, 'answers_running') == 0 && metric($s, 'answers_waiting') == 0 }), 'its client has gone: the slots are free');
my $gone = raw($s, request({@long, stream => JSON::PP::true}));
sysread $gone, my $part, 100;
close $gone;
ok(soon(sub { metric($s, 'answers_running') == 0 }), 'also that of a stream');

# --- the stop ---

my $last = raw($s, request({@long, max_tokens => 100, stream => JSON::PP::true}));
sysread $last, $part, 10;
kill 'TERM', $s->{pid};
like(rest($last), qr/data: \[DONE\]\s+0\s*$/, 'an answer under way is finished at SIGTERM');
is(stop($s, 'CONT'), 0, 'exit status 0');
is(get("$dir/serve.err"), '', 'no message');

# --- guards ---

for (['prompt-filter:strings=wrote', 'content_filter', 'refused'], ['output-filter:regex=(?s).', 'content_filter', 'withheld'], ['prefix:target=it', undef, undef]) {
    my ($guard, $reason, $action) = @$_;
    my $g = serve("--model $model --guard '$guard'");
    my @want = map { decode_json($_) } split /\n/, (run_apart("generate --quiet --json --model $model --max-new-tokens 20 --guard '$guard' 'Who wrote it?'"))[1];
    my @guarded = (@ask, max_tokens => 20, temperature => 0);
    my (undef, $got) = post($g, '/v1/chat/completions', {@guarded, n => 2, return_token_ids => JSON::PP::true});
    is_deeply([answers($got)], [($want[0]{text}) x 2], "$guard: the answer of generate");
    is_deeply($got->{choices}[0]{token_ids}, $want[0]{new_ids}, 'its ids');
    is($got->{choices}[0]{finish_reason}, $reason, "it ends by $reason") if $reason;
    is($got->{choices}[0]{guard}[0]{action}, $action, 'with what the guard did') if $action;
    my (undef, undef, $r) = post($g, '/v1/chat/completions', {@guarded, stream => JSON::PP::true});
    is(join('', map { $_->{choices}[0]{delta}{content} } grep { ref } events($r->{content})), $want[0]{text}, 'also as a stream');
    is((post($g, '/v1/completions', {prompt => 'a', echo => JSON::PP::true, logprobs => 1}))[0], 400, 'its prompts are not scored');
    is(stop($g, 'TERM'), 0, 'it ends');
}

my $token = put('token', "  secret-of-the-test\n");
$s = serve("--model $model --token $token --grace 0.1 --time-limit 0.5 --slots 1");
is((post($s, '/v1/completions', {prompt => 'a'}))[0], 401, 'no token');
is((post($s, '/v1/completions', {prompt => 'a'}, Authorization => 'Bearer secret-of-the-tesT'))[0], 401, 'a wrong one');
my @shown = (Authorization => 'Bearer secret-of-the-test');
is((post($s, '/v1/completions', {prompt => 'a'}, @shown))[0], 200, 'the right one');
is(fetch($s, '/health')->{status}, 200, 'health is open');
is((post($s, '/v1/completions', {@long, n => 100}, @shown))[0], 504, 'an answer that takes too long');
kill 'KILL', $s->{pid};
my $port = $s->{port};
close $s->{out};
$s = serve("--model $model --slots 1 --grace 0 --port $port");
is($s->{port}, $port, 'after kill -9 the same port serves again');
$busy = raw($s, request({@long, n => 100}));
ok(soon(sub { metric($s, 'answers_running') == 1 }), 'it works');
kill 'INT', $s->{pid};
like(rest($busy), qr{^HTTP/1\.1 503 }, 'without grace what is under way gets 503');
is(stop($s, 'CONT'), 0, 'exit status 0 after SIGINT');
check("serve --model $model --port $port --host 256.1.1.1", 1, qr/cannot find the address/, 'no such address');

done_testing();

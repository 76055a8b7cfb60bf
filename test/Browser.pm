# A headless Chromium by its debugging protocol over a pipe: messages are JSON, each ended by a NUL.
package Browser;
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use MIME::Base64;
use POSIX qw(dup2);
use Time::HiRes qw(sleep time);

sub path { my ($p) = grep { -x } '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'; return $p }

# A page of this width; `profile`: an empty directory for its files. undef: there is none.
sub open_page {
    my ($class, $profile, $width, $height) = @_;
    my $chromium = path() or return;
    pipe(my $to_read, my $to) or die;
    pipe(my $from, my $from_write) or die;
    my $pid = fork // die;
    if (!$pid) {
        my ($in, $out) = (POSIX::dup(fileno $to_read), POSIX::dup(fileno $from_write));
        dup2($in, 30); dup2($out, 31); dup2(30, 3); dup2(31, 4);
        open STDERR, '>', '/dev/null';
        $^F = 10;
        exec $chromium, '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--remote-debugging-pipe', "--user-data-dir=$profile",
            "--window-size=$width,$height", 'about:blank';
        die;
    }
    close $to_read;
    close $from_write;
    my $self = bless {to => $to, from => $from, pid => $pid, id => 0, rest => '', errors => []}, $class;
    my ($target) = grep { $_->{type} eq 'page' } @{$self->call('Target.getTargets')->{targetInfos}};
    $self->{session} = $self->call('Target.attachToTarget', {targetId => $target->{targetId}, flatten => JSON::PP::true})->{sessionId};
    $self->call($_) for 'Page.enable', 'Runtime.enable', 'Log.enable';
    $self->call('Emulation.setDeviceMetricsOverride', {width => 0 + $width, height => 0 + $height, deviceScaleFactor => 1, mobile => JSON::PP::false});
    return $self;
}

# The next message, within so many seconds; console errors and exceptions are kept in `errors`.
sub message {
    my ($self, $seconds) = @_;
    my $until = time + $seconds;
    my $select = IO::Select->new($self->{from});
    while ($self->{rest} !~ /\0/) {
        my $left = $until - time;
        return if $left <= 0 || !$select->can_read($left);
        sysread($self->{from}, $self->{rest}, 65536, length $self->{rest}) or return;
    }
    $self->{rest} =~ s/^([^\0]*)\0//;
    my $m = decode_json($1);
    my $p = $m->{params};
    push @{$self->{errors}}, $p->{exceptionDetails}{exception}{description} // $p->{exceptionDetails}{text} if ($m->{method} // '') eq 'Runtime.exceptionThrown';
    push @{$self->{errors}}, $p->{entry}{text} if ($m->{method} // '') eq 'Log.entryAdded' && $p->{entry}{level} eq 'error';
    return $m;
}

sub call {
    my ($self, $method, $params) = @_;
    my $id = ++$self->{id};
    my %m = (id => $id, method => $method, params => $params // {});
    $m{sessionId} = $self->{session} if $self->{session};
    syswrite $self->{to}, encode_json(\%m) . "\0";
    while (my $m = $self->message(30)) {
        return $m->{result} // die "$method: $m->{error}{message}" if ($m->{id} // 0) == $id;
    }
    die "$method: no answer";
}

# The value of an expression of the page.
sub value {
    my ($self, $expression) = @_;
    return $self->call('Runtime.evaluate', {expression => $expression, returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true})->{result}{value};
}

# Waits until an expression holds, at most so many seconds.
sub until {
    my ($self, $expression, $seconds) = @_;
    for my $until (time + ($seconds // 20)) {
        while (time < $until) {
            return 1 if $self->value($expression);
            sleep 0.1;
        }
    }
    return 0;
}

sub visit { my ($self, $url) = @_; $self->call('Page.navigate', {url => $url}); return $self->until('document.readyState === "complete"') }
sub type_text { my ($self, $text) = @_; $self->call('Input.insertText', {text => $text}) }

sub screenshot {
    my ($self, $file) = @_;
    my $png = decode_base64($self->call('Page.captureScreenshot', {format => 'png'})->{data});
    open my $f, '>:raw', $file or die "$file: $!";
    print $f $png;
}

sub DESTROY { my ($self) = @_; local $?; kill "KILL", $self->{pid}; waitpid $self->{pid}, 0 }

1;

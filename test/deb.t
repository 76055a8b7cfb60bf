#!/usr/bin/perl
# Second tier: `make deb` builds a package, which is installed into a temporary root and runs there.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib $FindBin::Bin;
use Command;

for my $needed (qw(dpkg-deb dpkg strip)) {
    plan skip_all => "$needed is not installed: the package is not built" if `command -v $needed 2>/dev/null` eq '';
}
my ($config) = $unlearn =~ m{build/(\w+)/unlearn$};
plan skip_all => "a package is of the release build, not of config=$config" if ($config // 'release') ne 'release';
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
my $said = `make -s deb deb=$dir/deb 2>&1`;
is($? >> 8, 0, 'make deb') or diag $said;
my ($package) = glob "$dir/deb/*.deb";
my ($version) = `$unlearn --version` =~ /([\d.]+)/;
ok($package, 'a package') or BAIL_OUT($said);
my %field = map { /^(\S+): (.*)/ ? ($1 => $2) : () } split /\n/, `dpkg-deb --field $package`;
is("$field{Package} $field{Version}", "unlearn $version", 'its name and version');
like($field{Depends}, qr/\b$_\b/, "it depends on $_") for qw(libc6 libgomp1 libjansson4 libopenblas0-openmp libsqlite3-0);
my $list = `dpkg-deb --contents $package`;
chomp(my $triplet = `gcc -dumpmachine`);
like($list, qr{ \./usr/\Q$_\E\s}, $_) for 'bin/unlearn', 'include/unlearn.h', "lib/$triplet/pkgconfig/unlearn.pc",
    'share/man/man1/unlearn.1', 'share/doc/unlearn/copyright';
unlike($list, qr{^\S+ (?!root/root)}m, 'every file is root\'s');

mkdir "$dir/admin";
mkdir "$dir/admin/$_" for 'root', 'db', 'db/updates', 'db/info';
put("admin/db/$_", '') for qw(status available);
$said = `dpkg --root=$dir/admin/root --admindir=$dir/admin/db --force-not-root --force-depends --log=/dev/null -i $package 2>&1`;
my $root = "$dir/admin/root";
if ($? >> 8) {
    diag "dpkg does not install into a folder here ($said): the package is unpacked";
    $said = `dpkg -x $package $root 2>&1`;
}
is($? >> 8, 0, 'it is installed into an empty root') or diag $said;
like(`$root/usr/bin/unlearn --version 2>&1`, qr/^unlearn \Q$version\E$/m, 'unlearn --version');
is(readlink "$root/usr/lib/$triplet/libunlearn.so.0", "libunlearn.so.$version", 'the library\'s link');
like(`cd $root/usr/share/doc/unlearn && ls`, qr/LICENSE/, 'the licence');
is(system("cd $root && dpkg-deb --ctrl-tarfile $package | tar xO ./md5sums | md5sum --quiet -c") >> 8, 0, 'the sums of its files');
done_testing();

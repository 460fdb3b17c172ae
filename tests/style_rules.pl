#!/usr/bin/perl
# Rules on C++ text that need its brackets and not only its lines; tests/house_rules.sh runs it. Comments, strings and
# preprocessor lines are blanked, then one walk over the tokens keeps a stack of the brackets that are open.
#   1. No conditional expression inside another one: neither a ? b : c ? d : e nor f(a ? b : c) ? d : e.
#   2. A type at namespace scope, anonymous namespaces included, has a name that no other type bears, not even one
#      inside a class. The types of a test are its own.
#   3. A function has at most 60 lines and a file 350; kernels, .simd.cpp and .cu, may be longer files.
# Usage: tests/style_rules.pl FILE...   prints a line for each rule that is broken
use strict;
use warnings;

my $longest_function = 60;
my $longest_file = 350;
my $longest_line = 110;
my $declares = qr/\b(?:struct|class|union|enum)\b/;
my (%declared, %nested);

sub complain {
  my ($file, $what) = @_;
  print "$file$what\n";
}

# Line breaks stay, so that lines can be counted.
sub blanked {
  my ($text) = @_;
  my $blank = sub { $_[0] =~ s/[^\n]/ /gr };
  my $string = qr/R"\(.*?\)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'/s;
  $text =~ s{$string|//[^\n]*|/\*.*?\*/}{$blank->($&)}gse;
  $text =~ s{^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*}{$blank->($&)}gme;
  return $text;
}

# What a { opens inside $outer, by the words since the last statement.
sub kind_of_brace {
  my ($outer, $words) = @_;
  return 'namespace' if $words =~ /\bnamespace\b/;
  return 'value' if $outer eq 'function' || $outer eq 'value';
  return 'type' if $words =~ $declares && $words !~ /\(/;
  my $in_initialisers = $words =~ /\)\s*:(?:.*,)?\s*\w+\s*$/s;
  return $words =~ /\)[^=]*$/ && !$in_initialisers ? 'function' : 'value';
}

# Specialisations, struct X<int>, and definitions of what a class declared, struct X::Y, are no new types.
sub note_name {
  my ($where, $outer, $words) = @_;
  my ($name) = $words =~ /$declares\s+(?:class\s+)?(\w+)\s*(?:final\b|:(?!:)|$)/ or return;
  my $list = $outer eq 'namespace' ? \%declared : \%nested;
  push @{$list->{$name}}, $where;
}

sub check_names {
  for my $name (sort keys %declared) {
    my @places = (@{$declared{$name}}, @{$nested{$name} // []});
    print "type $name is declared in @places: one name, one type\n" if @places > 1;
  }
}

# In an open bracket, `asks` says that a ? came since the last comma, `held` that a closed bracket inside held one.
sub walk {
  my ($file, $text) = @_;
  my @open = ({kind => 'namespace'});
  my ($line, $words, $start) = (1, '', 1);
  while ($text =~ /(\n|[?,;(){}\[\]]|[^\n?,;(){}\[\]]+)/g) {
    my ($token, $top) = ($1, $open[-1]);
    my $ends = $token eq ';';  # a statement, or a brace that is no value
    $start = $line if $words !~ /\S/;
    if ($token eq "\n") {
      $line++;
    } elsif ($token eq '?') {
      complain($file, ":$line: a conditional expression inside another one") if $top->{held} || grep { $_->{asks} } @open;
      $top->{asks} = 1;
    } elsif ($token eq ',' || $token eq ';') {
      $top->{asks} = $top->{held} = 0;
    } elsif ($token eq '(' || $token eq '[') {
      push @open, {kind => 'value', heads => scalar($words =~ /\b(?:if|constexpr|while|for|switch)\s*$/)};
    } elsif ($token eq ')' || $token eq ']') {
      my $inner = pop @open;
      $open[-1]{held} = 1 if !$inner->{heads} && ($inner->{asks} || $inner->{held});
    } elsif ($token eq '{') {
      my $kind = kind_of_brace($top->{kind}, $words);
      note_name("$file:$line", $top->{kind}, $words) if $kind eq 'type' && $file !~ m{^tests/};
      push @open, {kind => $kind, start => $start};
      $ends = $kind ne 'value';
    } elsif ($token eq '}') {
      my $inner = pop @open;
      $ends = $inner->{kind} ne 'value';
      my $length = $line - $inner->{start} + 1;
      complain($file, ":$inner->{start}: a function of $length lines, more than $longest_function")
        if $inner->{kind} eq 'function' && $length > $longest_function;
    }
    $words = $ends ? '' : $words . $token;
  }
}

for my $file (@ARGV) {
  open(my $in, '<', $file) or die "$file: $!\n";
  my $text = do { local $/; <$in> };
  my $lines = ($text =~ tr/\n//);
  my $is_kernel = $file =~ /\.(?:simd\.cpp|cu|cuh)$/;
  complain($file, ": $lines lines, more than $longest_file") if $lines > $longest_file && !$is_kernel;
  my $number = 0;
  for my $line (split /\n/, $text) {
    ++$number;
    complain($file, ":$number: a line of more than $longest_line") if length($line) > $longest_line;
  }
  walk($file, blanked($text));
}
check_names();

// What a terminal shows of text: how many columns it has, how many a name takes, and lines that end in time.
#pragma once
#include <cstdio>
#include <string>

namespace patchcl {

// Columns of the terminal that `out` is; of what is none, or does not say, `otherwise`: those of help and
// tables in a file.
size_t terminal_width(std::FILE* out, size_t otherwise = 110);

// Whether `out` is a terminal whose lines can be written anew; one of TERM=dumb prints what it is told to do.
bool rewrites_lines(std::FILE* out);

// Columns that UTF-8 text takes: none for marks that sit on the letter before, two for the letters of East
// Asia.
size_t columns(const std::string& text);
// Its first letters, whole ones, as far as `width` columns hold them.
std::string first_columns(const std::string& text, size_t width);
// With spaces behind it up to `width` columns.
std::string padded(const std::string& text, size_t width);

// `text` in lines of at most `width` columns: those behind the first begin with `hanging` spaces, the first
// where `begun` columns are taken. Ends between words; within one that is longer behind a bar or a comma.
std::string wrapped(const std::string& text, size_t width, size_t hanging = 0, size_t begun = 0);

}  // namespace patchcl

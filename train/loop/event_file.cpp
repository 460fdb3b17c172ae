#include "train/loop/event_file.h"

#include <unistd.h>

#include <chrono>
#include <cstring>

namespace patchcl {

namespace {

// Castagnoli's polynomial, reflected; one bit after the other is fast enough for a row in ten steps.
uint32_t crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= uint8_t(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

template <class T> std::string little_endian(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string masked_crc(const std::string& bytes) {
  const uint32_t c = crc32c(bytes);
  return little_endian(uint32_t((c >> 15 | c << 17) + 0xa282ead8u));
}

// Fields of a protobuf message: a key of number and wire type, then the value.
std::string varint(uint64_t v) {
  std::string bytes;
  for (; v >= 0x80; v >>= 7) bytes += char(uint8_t(v) | 0x80);
  return bytes + char(uint8_t(v));
}
std::string integer_field(int number, int64_t v) {
  return varint(uint64_t(number) << 3) + varint(uint64_t(v));
}
std::string double_field(int number, double v) {
  return varint(uint64_t(number) << 3 | 1) + little_endian(v);
}
std::string float_field(int number, float v) { return varint(uint64_t(number) << 3 | 5) + little_endian(v); }
std::string bytes_field(int number, const std::string& v) {
  return varint(uint64_t(number) << 3 | 2) + varint(v.size()) + v;
}

// Numbers of fields: Event, its Summary, a value of that, an image of that.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
constexpr int kValue = 1, kTag = 1, kSimpleValue = 2, kImage = 4;
constexpr int kHeight = 1, kWidth = 2, kColorSpace = 3, kEncoded = 4;
constexpr int64_t kRgb = 3, kSessionStart = 1;

// Width and height stand big-endian behind the signature and the name of the first chunk.
int64_t png_side(const std::string& png, size_t at) {
  int64_t n = 0;
  for (size_t i = at; i < at + 4; ++i) n = n << 8 | uint8_t(png[i]);
  return n;
}

}  // namespace

EventFile::EventFile(const std::string& folder, int64_t iteration) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  file_ = std::make_unique<AppendFile>(
      folder + "/events.out.tfevents." + std::to_string(seconds) + ".patchcl." + std::to_string(getpid()));
  write(iteration, bytes_field(kFileVersion, "brain.Event:2"));
  if (iteration > 0) write(iteration + 1, bytes_field(kSessionLog, integer_field(1, kSessionStart)));
}

void EventFile::write(int64_t iteration, const std::string& field) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  const std::string event = double_field(kWallTime, now.count()) + integer_field(kStep, iteration) + field;
  const std::string length = little_endian(uint64_t(event.size()));
  file_->write(length + masked_crc(length) + event + masked_crc(event));
}

void EventFile::scalar(int64_t iteration, const std::string& tag, double value) {
  const std::string v = bytes_field(kTag, tag) + float_field(kSimpleValue, float(value));
  write(iteration, bytes_field(kSummary, bytes_field(kValue, v)));
}

void EventFile::picture(int64_t iteration, const std::string& tag, const std::string& path) {
  const Bytes bytes = read_bytes(path, ExitCode::io);
  const std::string png(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  require(png.size() > 24, "events", path + " is no PNG file");
  const std::string image = integer_field(kHeight, png_side(png, 20)) +
                            integer_field(kWidth, png_side(png, 16)) + integer_field(kColorSpace, kRgb) +
                            bytes_field(kEncoded, png);
  const std::string v = bytes_field(kTag, tag) + bytes_field(kImage, image);
  write(iteration, bytes_field(kSummary, bytes_field(kValue, v)));
}

}  // namespace patchcl

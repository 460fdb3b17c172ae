// JPEG through libjpeg-turbo, whose errors leave by longjmp: every call of it runs inside Decoder::run.
#include <csetjmp>
#include <cstdio>
// jpeglib.h wants FILE before it.
#include <jpeglib.h>

#include "data/formats/image.h"
#include "data/formats/limits.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
constexpr int kMostScans = 500;  // of a progressive file; each walks over the whole image

struct Errors {
  jpeg_error_mgr base;  // first: the library hands out a pointer to it
  std::jmp_buf back;
  char text[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void stop(j_common_ptr c) {
  auto* errors = reinterpret_cast<Errors*>(c->err);
  if (!errors->text[0]) c->err->format_message(c, errors->text);
  std::longjmp(errors->back, 1);
}
// A warning (level -1) is a byte that is not as it should be.
void stop_at_warning(j_common_ptr c, int level) {
  if (level < 0) stop(c);
}
void count_scans(j_common_ptr c) {
  if (reinterpret_cast<j_decompress_ptr>(c)->input_scan_number <= kMostScans) return;
  std::snprintf(reinterpret_cast<Errors*>(c->err)->text, JMSG_LENGTH_MAX, "more than %d scans", kMostScans);
  stop(c);
}

class Decoder {
 public:
  Decoder(std::span<const uint8_t> bytes, const std::string& name) : name_(name) {
    c_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = stop;
    errors_.base.emit_message = stop_at_warning;
    errors_.base.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = count_scans;
    run([&] {
      jpeg_create_decompress(&c_);
      c_.progress = &progress_;
      jpeg_mem_src(&c_, bytes.data(), bytes.size());
      jpeg_read_header(&c_, TRUE);
    });
    if (c_.jpeg_color_space == JCS_CMYK || c_.jpeg_color_space == JCS_YCCK) {
      jpeg_destroy_decompress(&c_);
      fail(ExitCode::data, "image", name, ": JPEG in CMYK; save it as RGB");
    }
    c_.out_color_space = c_.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  }
  ~Decoder() { jpeg_destroy_decompress(&c_); }
  Decoder(const Decoder&) = delete;

  ImageInfo info() const {
    return {c_.image_height, c_.image_width, c_.out_color_space == JCS_GRAYSCALE ? 1 : 3, 8};
  }
  void start() {
    run([&] { jpeg_start_decompress(&c_); });
  }
  void read(uint8_t* row) {
    run([&] { jpeg_read_scanlines(&c_, &row, 1); });
  }
  void finish() {
    run([&] { jpeg_finish_decompress(&c_); });
  }

 private:
  // fn holds nothing that wants to be destroyed: an error jumps over its end.
  template <class F> void run(const F& fn) {
    if (setjmp(errors_.back)) {
      jpeg_destroy_decompress(&c_);  // may be called again
      fail(ExitCode::data, "image", name_,
          ": JPEG cannot be decoded, it is damaged or truncated: ", errors_.text);
    }
    fn();
  }

  const std::string& name_;
  Errors errors_;
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct c_{};
};
}  // namespace

ImageInfo jpeg_info(std::span<const uint8_t> bytes, const std::string& name) {
  return Decoder(bytes, name).info();
}

Grid read_jpeg(std::span<const uint8_t> bytes, const std::string& name, Use use) {
  if (use == Use::mask)
    fail(ExitCode::data, "image", name,
        ": a mask in JPEG, which changes class numbers at every border; save the masks as PNG");
  Decoder decoder(bytes, name);
  const ImageInfo info = decoder.info();
  check_claim("image", name, double(info.height) * double(info.width) * double(info.channels), bytes.size());
  Grid grid;
  grid.width = info.width;
  grid.channels = info.channels;
  grid.high = 255;
  Bytes row(size_t(info.width * info.channels));
  decoder.start();
  // Memory grows with what has been decoded, not with what the header says.
  for (; grid.height < info.height; ++grid.height) {
    decoder.read(row.data());
    grid.values.insert(grid.values.end(), row.begin(), row.end());
  }
  decoder.finish();
  return grid;
}

}  // namespace patchcl

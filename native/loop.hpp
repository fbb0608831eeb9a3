// A loop program on ranges of elements: for the loop kernel itself, and for kernels that run one before or after their own work.
#pragma once
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

// Words of a program, in order. Registers are numbered in the order of these parts, those of the body last.
//   elements, registers, words, bytes, reads, constants, repeats, instructions, halves
//   the operand of each stream: `words` of four bytes an element, then `bytes` of one, then `halves` of two; from `reads` on
//   they are results
//   (op, bits or operand) of each constant
//   (op, operand, inner, period) of each repeat: element ⌊index / inner⌋ mod period; both 0 where words of a key are drawn
//   (op, dst, a, b, c) of each instruction
//
// The body is written for an accumulator. An instruction first loads register a into it unless a is -1, then combines it
// with registers b and c, then stores it to register dst unless dst is -1. Streams advance with the elements.
class LoopRun {
 public:
  /// Elements of a block: eight vectors that stay in the processor's registers.
  static constexpr Index BLOCK = 8 * W;

  /// Words before the streams.
  static constexpr int HEAD = 9;

  /// Floats of memory that a run needs.
  static Index memory(const int32_t* params);
  /// Words of the program, after which the params of another kernel may follow.
  static Index length(const int32_t* params);
  /// Elementary operations for one element.
  static Index cost(const int32_t* params);

  /// Ready to run: constants filled, short repeats written out. `operands` are the inputs, then the results.
  LoopRun(const int32_t* params, char* const* operands, float* memory);

  /// Moves a stream: element i of stream s is at base + i times its width.
  void place(int stream, char* base) { bases[stream] = base; }
  /// Results no one reads soon go past the caches. To be called only where none shares memory with an input.
  void bypassCaches();
  /// Elements [from, from + n). Any order of ranges gives the same bits.
  void run(Index from, Index n);

 private:
  struct Repeat;
  void point(Index from);
  void ahead();
  void advance(Index n);
  void repeats(Index from, Index n);
  Index width(int stream) const { return stream < words ? 4 : stream < narrow ? 1 : 2; }
  void edge(Index from, Index n);

  const int32_t *operandOf, *repeatCode, *body;
  int words, narrow, streams, reads, firstRepeat, repeatCount, instructions;
  int direct = -2;  // the register stored past the caches
  float **reg, **repeatMemory;
  char** bases;
  char* const* operands;
  float *edges, *spill;
};

}  // namespace VARIANT
}  // namespace chainrule

import Tensors

// Numbers as blocks of GGUF's plain and simple quantised types, encoded as ggml's `quantize_row_*_ref` does: the same operations in the
// same order, so that every bit agrees. The layouts are those of the decoders. A minimum and a maximum hold the codes back where a scale
// is so small that its inverse is infinite.

func encodeF32(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    target.copyMemory(from: source, byteCount: 4 * blocks)
}

func encodeF16(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    HalfPrecision.convert(source, count: blocks, intoHalf: target.assumingMemoryBound(to: UInt16.self))
}

func encodeBF16(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    HalfPrecision.convert(source, count: blocks, intoBrain: target.assumingMemoryBound(to: UInt16.self))
}

@inline(__always)
private func store(half value: Float, _ target: UnsafeMutableRawPointer, _ offset: Int) {
    target.storeBytes(of: HalfPrecision.half(from: value), toByteOffset: offset, as: UInt16.self)
}

/// `[d][q × 32, signed]`: d = max |x| / 127, q = x / d to the nearest, halves away from zero.
func encodeQ8_0(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    for block in 0..<blocks {
        let from = source + 32 &* block
        let to = target + 34 &* block
        var largest: Float = 0
        for j in 0..<32 { largest = max(largest, abs(from[j])) }
        let d = largest / 127
        let inverse = d == 0 ? 0 : 1 / d
        store(half: d, to, 0)
        for j in 0..<32 {
            let q = min(127, max(-127, (from[j] * inverse).rounded()))
            to.storeBytes(of: Int8(q), toByteOffset: 2 &+ j, as: Int8.self)
        }
    }
}

/// Codes 0 … 15 of a block's elements, two a byte.
@inline(__always)
private func store(nibbles target: UnsafeMutableRawPointer, _ code: (Int) -> Float) {
    for j in 0..<16 {
        let low = UInt8(min(15, max(0, code(j))))
        let high = UInt8(min(15, max(0, code(j &+ 16))))
        target.storeBytes(of: low | high << 4, toByteOffset: j, as: UInt8.self)
    }
}

/// Codes 0 … 31 of a block's elements: the low four bits two a byte, the fifth in a word of 32.
@inline(__always)
private func store(fives target: UnsafeMutableRawPointer, _ code: (Int) -> Float) {
    var high: UInt32 = 0
    for j in 0..<16 {
        let low = UInt8(min(31, max(0, code(j))))
        let upper = UInt8(min(31, max(0, code(j &+ 16))))
        target.storeBytes(of: low & 15 | upper << 4, toByteOffset: 4 &+ j, as: UInt8.self)
        high |= UInt32(low >> 4) << UInt32(j) | UInt32(upper >> 4) << UInt32(j &+ 16)
    }
    target.storeBytes(of: high, toByteOffset: 0, as: UInt32.self)
}

/// A type with a scale: `[d][codes]`, d = m / −half for the element m of largest magnitude, q = x / d + half + 0.5 cut off.
@inline(__always)
private func encode(
    _ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer, half: Float, codeBytes: Int,
    _ storeCodes: (UnsafeMutableRawPointer, (Int) -> Float) -> Void
) {
    for block in 0..<blocks {
        let from = source + 32 &* block
        let to = target + (2 &+ codeBytes) &* block
        var extreme: Float = from[0]
        for j in 1..<32 where abs(from[j]) > abs(extreme) { extreme = from[j] }
        let d = extreme / -half
        let inverse = d == 0 ? 0 : 1 / d
        store(half: d, to, 0)
        storeCodes(to + 2) { from[$0] * inverse + (half + 0.5) }
    }
}

/// A type with a scale and a minimum: `[d][m][codes]`, m = min x, d = (max x − m) / highest, q = (x − m) / d + 0.5 cut off.
@inline(__always)
private func encode(
    _ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer, highest: Float, codeBytes: Int,
    _ storeCodes: (UnsafeMutableRawPointer, (Int) -> Float) -> Void
) {
    for block in 0..<blocks {
        let from = source + 32 &* block
        let to = target + (4 &+ codeBytes) &* block
        var (least, most) = (from[0], from[0])
        for j in 1..<32 {
            least = min(least, from[j])
            most = max(most, from[j])
        }
        let d = (most - least) / highest
        let inverse = d == 0 ? 0 : 1 / d
        store(half: d, to, 0)
        store(half: least, to, 2)
        storeCodes(to + 4) { (from[$0] - least) * inverse + 0.5 }
    }
}

/// `[d][qs × 16]`, codes 0 … 15 about 8.
func encodeQ4_0(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    encode(source, blocks, target, half: 8, codeBytes: 16) { store(nibbles: $0, $1) }
}

/// `[d][m][qs × 16]`, codes 0 … 15.
func encodeQ4_1(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    encode(source, blocks, target, highest: 15, codeBytes: 16) { store(nibbles: $0, $1) }
}

/// `[d][qh][qs × 16]`, codes 0 … 31 about 16.
func encodeQ5_0(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    encode(source, blocks, target, half: 16, codeBytes: 20) { store(fives: $0, $1) }
}

/// `[d][m][qh][qs × 16]`, codes 0 … 31.
func encodeQ5_1(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    encode(source, blocks, target, highest: 31, codeBytes: 20) { store(fives: $0, $1) }
}

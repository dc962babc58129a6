import Tensors

// Blocks of GGUF's plain and simple quantised types, decoded as ggml's `dequantize_row_*` does: the same operations in the same order, so
// that every bit agrees. In the layouts below, d is the scale and m the minimum (binary16); a block holds 32 elements, of which
// byte j of qs has element j in its low and element j + 16 in its high half.

func decodeF32(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: 4 * blocks)
}

func decodeF64(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for i in 0..<blocks { target[i] = Float(source.loadUnaligned(fromByteOffset: 8 &* i, as: Double.self)) }
}

func decodeF16(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    HalfPrecision.convert(half: source, count: blocks, into: target)
}

func decodeBF16(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    HalfPrecision.convert(brain: source, count: blocks, into: target)
}

/// The binary16 number at an offset.
@inline(__always)
func half(_ source: UnsafeRawPointer, _ offset: Int) -> Float {
    HalfPrecision.float(fromHalf: source.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
}

/// `[d][qs × 16]`: x = d (q − 8).
func decodeQ4_0(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 18 &* block
        let to = target + 32 &* block
        let d = half(from, 0)
        for j in 0..<16 {
            let q = Int32(from.load(fromByteOffset: 2 &+ j, as: UInt8.self))
            to[j] = Float((q & 15) &- 8) * d
            to[j &+ 16] = Float((q >> 4) &- 8) * d
        }
    }
}

/// `[d][m][qs × 16]`: x = d q + m.
func decodeQ4_1(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 20 &* block
        let to = target + 32 &* block
        let (d, m) = (half(from, 0), half(from, 2))
        for j in 0..<16 {
            let q = Int32(from.load(fromByteOffset: 4 &+ j, as: UInt8.self))
            to[j] = Float(q & 15) * d + m
            to[j &+ 16] = Float(q >> 4) * d + m
        }
    }
}

/// `[d][qh: bit j is bit 4 of element j][qs × 16]`: x = d (q − 16).
func decodeQ5_0(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 22 &* block
        let to = target + 32 &* block
        let d = half(from, 0)
        let high = from.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
        for j in 0..<16 {
            let q = UInt32(from.load(fromByteOffset: 6 &+ j, as: UInt8.self))
            to[j] = Float(Int32((q & 15) | (high &>> UInt32(j) & 1) << 4) &- 16) * d
            to[j &+ 16] = Float(Int32((q >> 4) | (high &>> UInt32(j &+ 16) & 1) << 4) &- 16) * d
        }
    }
}

/// `[d][m][qh][qs × 16]`: x = d q + m.
func decodeQ5_1(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 24 &* block
        let to = target + 32 &* block
        let (d, m) = (half(from, 0), half(from, 2))
        let high = from.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        for j in 0..<16 {
            let q = UInt32(from.load(fromByteOffset: 8 &+ j, as: UInt8.self))
            to[j] = Float(Int32((q & 15) | (high &>> UInt32(j) & 1) << 4)) * d + m
            to[j &+ 16] = Float(Int32((q >> 4) | (high &>> UInt32(j &+ 16) & 1) << 4)) * d + m
        }
    }
}

/// `[d][q × 32, signed]`: x = d q.
func decodeQ8_0(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 34 &* block
        let to = target + 32 &* block
        let d = half(from, 0)
        for j in 0..<32 { to[j] = Float(from.load(fromByteOffset: 2 &+ j, as: Int8.self)) * d }
    }
}

// Blocks of GGUF's K types: 256 elements with one or two binary16 scales (d, dmin), and in them sub-blocks of 16 or 32 with scales of 4, 6
// or 8 bits. Decoded as ggml's `dequantize_row_*_K` does: the same operations in the same order, so that every bit agrees.

@inline(__always)
private func byte(_ source: UnsafeRawPointer, _ offset: Int) -> Int32 {
    Int32(source.load(fromByteOffset: offset, as: UInt8.self))
}

/// `[scales × 16][qs × 64][d][dmin]`: sub-blocks of 16, x = d·(scale & 15)·q − dmin·(scale >> 4).
///
/// Each half block of 128 has 32 bytes of qs; a sub-block is 16 of them at one of four shifts.
func decodeQ2_K(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 84 &* block
        let (d, dmin) = (half(from, 80), half(from, 82))
        for part in 0..<16 {
            let scale = byte(from, part)
            let (dl, ml) = (d * Float(scale & 15), dmin * Float(scale >> 4))
            let shift = Int32(part / 2 % 4 * 2)
            let qs = from + 16 + part / 8 * 32 + part % 2 * 16
            let to = target + (256 &* block &+ 16 &* part)
            for j in 0..<16 { to[j] = dl * Float(byte(qs, j) &>> shift & 3) - ml }
        }
    }
}

/// `[hmask × 32][qs × 64][scales × 12][d]`: sub-blocks of 16, x = d·(scale − 32)·(q − (4 where the bit in hmask is 0)).
func decodeQ3_K(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 110 &* block
        let d = half(from, 108)
        for part in 0..<16 {
            // Four low bits in the first eight bytes, two high bits in the last four.
            let low = byte(from, 96 + part % 8) &>> Int32(part / 8 * 4) & 15
            let high = byte(from, 104 + part % 4) &>> Int32(part / 4 * 2) & 3
            let dl = d * Float((low | high << 4) &- 32)
            let shift = Int32(part / 2 % 4 * 2)
            let bit = Int32(part / 2)
            let qs = from + 32 + part / 8 * 32 + part % 2 * 16
            let mask = from + part % 2 * 16
            let to = target + (256 &* block &+ 16 &* part)
            for j in 0..<16 {
                let q = byte(qs, j) &>> shift & 3
                to[j] = dl * Float(q &+ (byte(mask, j) &>> bit & 1) << 2 &- 4)
            }
        }
    }
}

/// The 6-bit scale and minimum of sub-block `part` (0 … 7) in the 12 packed bytes of Q4_K and Q5_K.
@inline(__always)
private func scaleAndMinimum(_ packed: UnsafeRawPointer, _ part: Int) -> (scale: Float, minimum: Float) {
    if part < 4 { return (Float(byte(packed, part) & 63), Float(byte(packed, part + 4) & 63)) }
    let low = byte(packed, part + 4)
    let (scaleHigh, minimumHigh) = (byte(packed, part - 4) >> 6, byte(packed, part) >> 6)
    return (Float(low & 15 | scaleHigh << 4), Float(low >> 4 | minimumHigh << 4))
}

/// `[d][dmin][scales × 12][qs × 128]`: sub-blocks of 32, x = d·scale·q − dmin·minimum.
func decodeQ4_K(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 144 &* block
        let (d, dmin) = (half(from, 0), half(from, 2))
        for part in 0..<8 {
            let (scale, minimum) = scaleAndMinimum(from + 4, part)
            let (dl, ml) = (d * scale, dmin * minimum)
            let shift = Int32(part % 2 * 4)
            let qs = from + 16 + part / 2 * 32
            let to = target + (256 &* block &+ 32 &* part)
            for j in 0..<32 { to[j] = dl * Float(byte(qs, j) &>> shift & 15) - ml }
        }
    }
}

/// `[d][dmin][scales × 12][qh × 32][qs × 128]`: as Q4_K, with a fifth bit: bit `part` of qh.
func decodeQ5_K(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 176 &* block
        let (d, dmin) = (half(from, 0), half(from, 2))
        let high = from + 16
        for part in 0..<8 {
            let (scale, minimum) = scaleAndMinimum(from + 4, part)
            let (dl, ml) = (d * scale, dmin * minimum)
            let shift = Int32(part % 2 * 4)
            let qs = from + 48 + part / 2 * 32
            let to = target + (256 &* block &+ 32 &* part)
            for j in 0..<32 {
                let q = byte(qs, j) &>> shift & 15 | (byte(high, j) &>> Int32(part) & 1) << 4
                to[j] = dl * Float(q) - ml
            }
        }
    }
}

/// `[ql × 128][qh × 64][scales × 16, signed][d]`: sub-blocks of 16, x = d·scale·(q − 32).
///
/// Each half block of 128 has 64 bytes of ql (low four bits: elements 0–63 in the low halves, 64–127 in the high ones) and 32 of qh
/// (high two bits, at four shifts).
func decodeQ6_K(_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) {
    for block in 0..<blocks {
        let from = source + 210 &* block
        let d = half(from, 208)
        for part in 0..<16 {
            let dl = d * Float(from.load(fromByteOffset: 192 + part, as: Int8.self))
            let within = part % 8
            let ql = from + part / 8 * 64 + within % 4 * 16
            let qh = from + 128 + part / 8 * 32 + within % 2 * 16
            let (lowShift, highShift) = (Int32(within / 4 * 4), Int32(within / 2 * 2))
            let to = target + (256 &* block &+ 16 &* part)
            for j in 0..<16 {
                let q = byte(ql, j) &>> lowShift & 15 | (byte(qh, j) &>> highShift & 3) << 4
                to[j] = dl * Float(q &- 32)
            }
        }
    }
}

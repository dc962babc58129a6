import Tensors

// Numbers as blocks of GGUF's K types. The layouts are those of the decoders. llama.cpp's quantiser searches scales too, under weights of
// its own; here each sub-block gets the scale of least squared error among some twenty that least squares refine, and, where scales are
// kept in few bits, the best of the neighbouring ones (`GGUFWriterKTests` compares the errors). Sums run in order: the same numbers give
// the same bytes.

/// The nearest whole number of one that is below 2²², the even one of two: an addition and a subtraction, which vectorise.
@inline(__always)
private func nearest(_ x: Float) -> Float {
    let large: Float = 12_582_912
    return x + large - large
}

/// A value as a 16-bit float holds it, written.
private func store(half value: Float, _ target: UnsafeMutableRawPointer, _ offset: Int) -> Float {
    let bits = HalfPrecision.half(from: value)
    target.storeBytes(of: bits, toByteOffset: offset, as: UInt16.self)
    return HalfPrecision.float(fromHalf: bits)
}

/// Adds bits to a byte.
@inline(__always)
private func add(_ bits: UInt8, _ target: UnsafeMutableRawPointer, _ offset: Int) {
    target.storeBytes(
        of: target.load(fromByteOffset: offset, as: UInt8.self) | bits, toByteOffset: offset, as: UInt8.self)
}

/// A code between two bounds; what is no number becomes the lower one.
@inline(__always)
private func code(_ x: Float, _ lowest: Float, _ highest: Float) -> Float { min(highest, max(lowest, nearest(x))) }

/// `Σ (scale · q − minimum − x)²` over 32 numbers with the best codes q = 0 … 15.
private func affineError(_ x: UnsafePointer<Float>, _ scale: Float, _ minimum: Float) -> Float {
    let inverse = scale > 0 ? 1 / scale : 0
    var error: Float = 0
    for j in 0..<32 {
        let rest = scale * code((x[j] + minimum) * inverse, 0, 15) - minimum - x[j]
        error += rest * rest
    }
    return error
}

/// Scale and minimum of least squared error for 32 numbers as `scale · q − minimum` with q = 0 … 15 and neither negative.
private func affineFit(_ x: UnsafePointer<Float>) -> (scale: Float, minimum: Float) {
    let count: Float = 32
    var (low, high, sum): (Float, Float, Float) = (0, x[0], 0)
    for j in 0..<32 {
        low = min(low, x[j])
        high = max(high, x[j])
        sum += x[j]
    }
    guard high > low else { return (0, -low) }
    var best = (scale: (high - low) / 15, minimum: -low, error: Float.infinity)
    best.error = affineError(x, best.scale, best.minimum)
    for step in 0..<27 {
        // Grids from the least number, from half of it and from zero, which is best beside an outlier; from some that end before the
        // largest number to some that reach beyond it.
        let first = low * Float(step / 9) / 2
        let inverse = (14 + 0.25 * Float(step % 9)) / (high - first)
        var (q1, q2, xq): (Float, Float, Float) = (0, 0, 0)
        for j in 0..<32 {
            let q = code((x[j] - first) * inverse, 0, 15)
            q1 += q
            q2 += q * q
            xq += x[j] * q
        }
        let determinant = count * q2 - q1 * q1
        guard determinant > 0 else { continue }
        var scale = (count * xq - sum * q1) / determinant
        var least = (q2 * sum - q1 * xq) / determinant
        if least > 0 { (scale, least) = (xq / q2, 0) }
        let error = affineError(x, scale, -least)
        if scale >= 0, error < best.error { best = (scale, -least, error) }
    }
    return (best.scale, best.minimum)
}

/// Scale of least squared error for 16 numbers as `scale · q` with q = −32 … 31.
private func symmetricFit(_ x: UnsafePointer<Float>) -> Float {
    var extreme = x[0]
    for j in 1..<16 where abs(x[j]) > abs(extreme) { extreme = x[j] }
    guard extreme != 0 else { return 0 }
    var (best, most): (Float, Float) = (extreme / -32, -1)
    // The grid whose end is the extreme comes first: of several perfect ones it has the plainest scale.
    for step in 0..<19 {
        let inverse = -(32 + 0.1 * Float((step + 9) % 19 - 9)) / extreme
        var (q2, xq): (Float, Float) = (0, 0)
        for j in 0..<16 {
            let q = code(x[j] * inverse, -32, 31)
            q2 += q * q
            xq += x[j] * q
        }
        // What the best scale for these codes takes off Σ x².
        let gain = xq * xq / q2
        if gain > most { (best, most) = (xq / q2, gain) }
    }
    return best
}

/// The 6-bit scale and minimum, in units of d and dmin, of least squared error for 32 numbers among those beside a fit.
private func nearbyFit(
    _ x: UnsafePointer<Float>, _ fit: (scale: Float, minimum: Float), _ d: Float, _ dmin: Float
) -> (scale: Float, minimum: Float) {
    let scale = d > 0 ? code(fit.scale / d, 0, 63) : 0
    let minimum = dmin > 0 ? code(fit.minimum / dmin, 0, 63) : 0
    var best = (scale: scale, minimum: minimum, error: Float.infinity)
    for step in 0..<9 {
        // The nearest first, which counts where others are no better.
        let candidate = (max(0, min(63, scale + steps[step].0)), max(0, min(63, minimum + steps[step].1)))
        let error = affineError(x, d * candidate.0, dmin * candidate.1)
        if error < best.error { best = (candidate.0, candidate.1, error) }
    }
    return (best.scale, best.minimum)
}

private let steps: [(Float, Float)] = [
    (0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1),
]

/// The 6-bit scale and minimum of sub-block `part` (0 … 7) into the 12 packed bytes, zero before: those of the last four lie in the upper
/// bits of the first four's, and in bytes of their own.
private func store(scale: UInt8, minimum: UInt8, of part: Int, _ packed: UnsafeMutableRawPointer) {
    if part < 4 {
        add(scale, packed, part)
        add(minimum, packed, 4 + part)
    } else {
        add((scale >> 4) << 6, packed, part - 4)
        add((minimum >> 4) << 6, packed, part)
        add(scale & 15 | minimum << 4, packed, part + 4)
    }
}

/// `[d][dmin][scales × 12][qs × 128]`; see ``decodeQ4_K(_:_:_:)``. Scales and minima are 6 bits of the block's largest.
func encodeQ4_K(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    for block in 0..<blocks {
        let from = source + 256 &* block
        let to = target + 144 &* block
        to.initializeMemory(as: UInt8.self, repeating: 0, count: 144)
        let fits = (0..<8).map { affineFit(from + 32 &* $0) }
        let d = store(half: fits.reduce(0) { max($0, $1.scale) } / 63, to, 0)
        let dmin = store(half: fits.reduce(0) { max($0, $1.minimum) } / 63, to, 2)
        for part in 0..<8 {
            let x = from + 32 &* part
            let (scale, minimum) = nearbyFit(x, fits[part], d, dmin)
            store(scale: UInt8(scale), minimum: UInt8(minimum), of: part, to + 4)
            let (dl, ml) = (d * scale, dmin * minimum)
            let inverse = dl > 0 ? 1 / dl : 0
            let shift = UInt8(part % 2 * 4)
            for j in 0..<32 {
                let q = code((x[j] + ml) * inverse, 0, 15)
                add(UInt8(q) << shift, to, 16 &+ part / 2 &* 32 &+ j)
            }
        }
    }
}

/// `[ql × 128][qh × 64][scales × 16, signed][d]`; see ``decodeQ6_K(_:_:_:)``. Scales are 8 bits of the block's largest.
func encodeQ6_K(_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) {
    for block in 0..<blocks {
        let from = source + 256 &* block
        let to = target + 210 &* block
        to.initializeMemory(as: UInt8.self, repeating: 0, count: 210)
        let fits = (0..<16).map { symmetricFit(from + 16 &* $0) }
        let d = store(half: fits.reduce(0) { abs($1) > abs($0) ? $1 : $0 } / -128, to, 208)
        for part in 0..<16 {
            let scale = d != 0 ? code(fits[part] / d, -128, 127) : 0
            to.storeBytes(of: Int8(scale), toByteOffset: 192 + part, as: Int8.self)
            let dl = d * scale
            let inverse = dl != 0 ? 1 / dl : 0
            let within = part % 8
            let (ql, qh) = (part / 8 * 64 + within % 4 * 16, 128 + part / 8 * 32 + within % 2 * 16)
            let (lowShift, highShift) = (UInt8(within / 4 * 4), UInt8(within / 2 * 2))
            for j in 0..<16 {
                let q = UInt8(code(from[16 &* part &+ j] * inverse, -32, 31) + 32)
                add((q & 15) << lowShift, to, ql &+ j)
                add((q >> 4) << highShift, to, qh &+ j)
            }
        }
    }
}

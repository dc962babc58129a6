/// IEEE 754 binary16 and bfloat16 as bit patterns, to and from `Float`.
///
/// The compiler's own `Float16` calls a library function for each element on processors it may not assume to have F16C. These loops are
/// integer and float arithmetic with selects only, so that the compiler vectorises them for any processor.
package enum HalfPrecision {
    /// The value of a binary16 bit pattern; exact for every pattern, subnormal, infinite or not a number.
    @inlinable @inline(__always)
    package static func float(fromHalf bits: UInt16) -> Float {
        let exponentMask: UInt32 = 0x7C00 << 13
        let magnitude = UInt32(bits & 0x7FFF) << 13
        let exponent = magnitude & exponentMask
        let rebased = magnitude &+ (112 << 23)
        // Subnormal: with one more in the exponent the number reads 2⁻¹⁴ + value, and the subtraction below is exact.
        let normalised = Float(bitPattern: rebased &+ (1 << 23)) - Float(bitPattern: 113 << 23)
        let infinite = rebased &+ (112 << 23)
        let result = exponent == 0 ? normalised.bitPattern : (exponent == exponentMask ? infinite : rebased)
        return Float(bitPattern: result | UInt32(bits & 0x8000) << 16)
    }

    /// The binary16 bit pattern nearest to a value, ties to even; too large becomes infinite, not-a-number stays so.
    @inlinable @inline(__always)
    package static func half(from value: Float) -> UInt16 {
        let sign = value.bitPattern & 0x8000_0000
        let magnitude = value.bitPattern ^ sign
        // Adding 0.5 puts a subnormal result in the low mantissa bits, rounded by the addition itself.
        let aligned = (Float(bitPattern: magnitude) + 0.5).bitPattern &- Float(0.5).bitPattern
        let odd = (magnitude >> 13) & 1
        let rounded = (magnitude &- (112 << 23) &+ 0xFFF &+ odd) >> 13
        let tooLarge: UInt32 = magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00
        let result = magnitude >= (143 << 23) ? tooLarge : (magnitude < (113 << 23) ? aligned : rounded)
        return UInt16(truncatingIfNeeded: result | sign >> 16)
    }

    /// The value of a bfloat16 bit pattern: the upper half of a `Float`'s.
    @inlinable @inline(__always)
    package static func float(fromBrain bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

    /// The bfloat16 bit pattern nearest to a value, ties to even; not-a-number stays so, as a quiet one.
    @inlinable @inline(__always)
    package static func brain(from value: Float) -> UInt16 {
        let bits = value.bitPattern
        let rounded = (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16
        let quiet = bits >> 16 | 0x40
        return UInt16(truncatingIfNeeded: bits & 0x7FFF_FFFF > 0x7F80_0000 ? quiet : rounded)
    }

    /// Converts `count` little-endian binary16 values at any alignment.
    package static func convert(half source: UnsafeRawPointer, count: Int, into target: UnsafeMutablePointer<Float>) {
        for i in 0..<count {
            target[i] = float(fromHalf: source.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self))
        }
    }

    /// Converts `count` little-endian bfloat16 values at any alignment.
    package static func convert(brain source: UnsafeRawPointer, count: Int, into target: UnsafeMutablePointer<Float>) {
        for i in 0..<count {
            target[i] = float(fromBrain: source.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self))
        }
    }

    /// Converts `count` values to binary16 bit patterns.
    package static func convert(
        _ source: UnsafePointer<Float>, count: Int, intoHalf target: UnsafeMutablePointer<UInt16>
    ) {
        for i in 0..<count { target[i] = half(from: source[i]) }
    }

    /// Converts `count` values to bfloat16 bit patterns.
    package static func convert(
        _ source: UnsafePointer<Float>, count: Int, intoBrain target: UnsafeMutablePointer<UInt16>
    ) {
        for i in 0..<count { target[i] = brain(from: source[i]) }
    }

    /// The largest finite binary16 value.
    package static let largestHalf: Float = 65504
}

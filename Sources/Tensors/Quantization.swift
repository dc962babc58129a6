import CKernels

/// Where the parts of a quantised matrix lie in its memory: codes, scales, nested scales and the offset, each part at a multiple of 64
/// bytes.
struct QuantizedLayout {
    /// Elements with one absmax, and absmax with one nested scale, as the kernels have them.
    static let (block, nestedBlock) = (64, 256)

    /// The number of scales: one a row (int8) or a block (NF4).
    let scaleCount: Int
    /// Where the scales begin; the codes begin at 0.
    let scales: Int
    /// Where the nested scales begin, the last of them followed by the offset; nil without double quantisation.
    let nestedScales: Int?
    /// Where the offset lies.
    let offset: Int
    /// All of it.
    let byteCount: Int

    init(_ shape: [Int], _ dtype: DType) {
        precondition(shape.count == 2 && dtype.isQuantized, "a tensor of shape \(shape) stored as \(dtype)")
        let count = shape[0] * shape[1]
        func aligned(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }
        scaleCount = dtype == .int8 ? shape[0] : (count + Self.block - 1) / Self.block
        scales = aligned(dtype == .int8 ? count : (count + 1) / 2)
        if dtype == .nf4DoubleQuant {
            let nested = scales + aligned(scaleCount)
            nestedScales = nested
            offset = nested + (scaleCount + Self.nestedBlock - 1) / Self.nestedBlock * 4
            byteCount = offset + 4
        } else {
            nestedScales = nil
            offset = 0
            byteCount = scales + scaleCount * 4
        }
    }
}

extension Tensor {
    /// The parts of a quantised matrix as the kernels take them.
    var quantizedMatrix: matrix {
        let layout = QuantizedLayout(shape, dtype)
        let nested = layout.nestedScales.map { raw + $0 }
        return CKernels.matrix(
            data: raw, dtype: dtype.code, scales: UnsafeRawPointer(raw + layout.scales),
            nested_scales: nested.map { UnsafePointer($0.assumingMemoryBound(to: Float.self)) },
            offset: nested == nil ? 0 : (raw + layout.offset).load(as: Float.self), columns: Int64(columns))
    }

    /// An f32 matrix as codes and scales.
    func quantized(to dtype: DType) -> Tensor {
        let layout = QuantizedLayout(shape, dtype)
        let result = Tensor(uninitialized: shape, dtype: dtype, device: device)
        let kernels = device.kernels
        let codes = result.raw.assumingMemoryBound(to: UInt8.self)
        let scales = (result.raw + layout.scales).assumingMemoryBound(to: Float.self)
        guard let nested = layout.nestedScales.map({ (result.raw + $0).assumingMemoryBound(to: Float.self) }) else {
            if dtype == .int8 {
                kernels.quantize_int8(
                    result.raw.assumingMemoryBound(to: Int8.self), scales, floats, Int64(rows), Int64(columns))
            } else {
                kernels.quantize_nf4(codes, scales, floats, Int64(count))
            }
            return result
        }
        let absmax = Tensor(uninitialized: [layout.scaleCount], device: device)
        kernels.quantize_nf4(codes, absmax.floats, floats, Int64(count))
        let bytes = (result.raw + layout.scales).assumingMemoryBound(to: UInt8.self)
        let offset = kernels.quantize_scales(bytes, nested, absmax.floats, Int64(layout.scaleCount))
        (result.raw + layout.offset).storeBytes(of: offset, as: Float.self)
        return result
    }

    /// Elements `range` of a quantised matrix in row-major order, as f32.
    func unpacked(_ range: Range<Int>) -> Tensor {
        let result = Tensor(uninitialized: [range.count], device: device)
        device.kernels.unpack(result.floats, quantizedMatrix, Int64(range.lowerBound), Int64(range.count))
        return result
    }

    /// `Σ (stored − x)²` and `Σ x²` for this f32 matrix and the same one quantised: what quantising it lost.
    ///
    /// Holds a million elements besides the two at a time.
    public func squaredError(of stored: Tensor) -> (error: Double, total: Double) {
        precondition(shape == stored.shape, "shape \(shape) stored as shape \(stored.shape)")
        let kernels = device.kernels
        var (error, total) = (0.0, 0.0)
        for start in stride(from: 0, to: count, by: 1 << 20) {
            let range = start..<min(count, start + 1 << 20)
            let part = stored.unpacked(range)
            kernels.add_scaled(part.floats, floats + start, -1, Int64(range.count))
            error += kernels.sum_of_squares(part.floats, Int64(range.count))
            total += kernels.sum_of_squares(floats + start, Int64(range.count))
        }
        return (error, total)
    }
}

/// What a quantised matrix is stored as, copied out.
package struct QuantizedParts {
    /// One signed byte an element (int8), or two NF4 codes a byte, the first in the upper half.
    package var codes: [UInt8]
    /// absmax / 127 of each row (int8), or absmax of each block of 64 (NF4); empty where double quantisation keeps it in bytes.
    package var scales: [Float]
    /// With double quantisation: absmax as codes of bitsandbytes' signed 8-bit dynamic map.
    package var nestedCodes: [UInt8]
    /// With double quantisation: the largest |absmax − offset| of each 256 blocks.
    package var nestedScales: [Float]
    /// With double quantisation: the mean of absmax.
    package var offset: Float

    /// Parts with codes alone, or all of them.
    package init(
        codes: [UInt8], scales: [Float] = [], nestedCodes: [UInt8] = [], nestedScales: [Float] = [], offset: Float = 0
    ) {
        self.codes = codes
        self.scales = scales
        self.nestedCodes = nestedCodes
        self.nestedScales = nestedScales
        self.offset = offset
    }
}

extension Tensor {
    /// The codes and scales of a quantised matrix.
    package var quantizedParts: QuantizedParts {
        let layout = QuantizedLayout(shape, dtype)
        func read<Element>(_ from: Int, _ count: Int, as type: Element.Type) -> [Element] {
            Array(UnsafeBufferPointer(start: (raw + from).assumingMemoryBound(to: type), count: count))
        }
        var parts = QuantizedParts(
            codes: read(0, dtype == .int8 ? count : (count + 1) / 2, as: UInt8.self))
        if let nested = layout.nestedScales {
            parts.nestedCodes = read(layout.scales, layout.scaleCount, as: UInt8.self)
            parts.nestedScales = read(nested, (layout.offset - nested) / 4, as: Float.self)
            parts.offset = (raw + layout.offset).load(as: Float.self)
        } else {
            parts.scales = read(layout.scales, layout.scaleCount, as: Float.self)
        }
        return parts
    }
}

extension Tensor {
    /// A quantised matrix of the parts that it is stored as.
    package init(_ parts: QuantizedParts, shape: [Int], dtype: DType) {
        let layout = QuantizedLayout(shape, dtype)
        self.init(uninitialized: shape, dtype: dtype)
        let memory = raw
        func write<Element>(_ values: [Element], at start: Int, _ count: Int) {
            precondition(values.count == count, "\(values.count) of \(count) parts of a \(dtype) matrix \(shape)")
            values.withUnsafeBytes {
                if let base = $0.baseAddress { (memory + start).copyMemory(from: base, byteCount: $0.count) }
            }
        }
        write(parts.codes, at: 0, dtype == .int8 ? count : (count + 1) / 2)
        guard let nested = layout.nestedScales else {
            write(parts.scales, at: layout.scales, layout.scaleCount)
            return
        }
        write(parts.nestedCodes, at: layout.scales, layout.scaleCount)
        write(parts.nestedScales, at: nested, (layout.offset - nested) / 4)
        (memory + layout.offset).storeBytes(of: parts.offset, as: Float.self)
    }
}

/// The tables behind NF4's codes, as files that hold them carry them.
package enum NF4Tables {
    /// Elements with one absmax.
    package static let block = QuantizedLayout.block
    /// Absmax with one nested scale.
    package static let nestedBlock = QuantizedLayout.nestedBlock

    /// What each of the 16 codes stands for, in units of the absmax.
    package static let levels: [Float] = {
        let parts = QuantizedParts(codes: (0..<8).map { UInt8(32 * $0 + 2 * $0 + 1) }, scales: [1])
        return Tensor(parts, shape: [1, 16], dtype: .nf4).values
    }()

    /// What each of the 256 codes of an absmax stands for, in units of the nested scale.
    package static let nestedMap: [Float] = {
        // Matrices of a code that stands for 1, and absmax of every code.
        let parts = QuantizedParts(
            codes: Array(repeating: 0xff, count: 256 * block / 2), nestedCodes: (0...255).map { UInt8($0) },
            nestedScales: [1])
        let values = Tensor(parts, shape: [256, block], dtype: .nf4DoubleQuant).values
        return (0..<256).map { values[$0 * block] }
    }()
}

import CKernels

/// A row-major array of numbers on a device.
///
/// A tensor is a value that shares its storage; ops make new tensors and never write into their inputs. A tensor that came out of a
/// ``Tape`` carries its place on it, and every op on it is recorded there.
///
/// Matrices are `[rows, columns]`; activations are `[T, C]`: tokens by channels.
public struct Tensor {
    /// The sizes, outermost first.
    public let shape: [Int]
    /// How an element is stored. All ops take f32; those of a layer also take and give bf16, and take a weight in any type but f16.
    public let dtype: DType
    let storage: Storage
    let offset: Int
    var position: TapePosition?
    /// Makes the tensor again, for an op that would else keep it for its backward pass; set where that is cheap.
    var rebuild: (() -> Tensor)?

    init(storage: Storage, offset: Int = 0, shape: [Int], dtype: DType, position: TapePosition? = nil) {
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.dtype = dtype
        self.position = position
        precondition(
            offset * elementSize + byteCount <= storage.byteCount,
            "a tensor of shape \(shape) in \(storage.byteCount) bytes")
    }

    /// Memory whose content is whatever was there; for what is written before it is read.
    public init(uninitialized shape: [Int], dtype: DType = .f32, device: Device = .cpu) {
        self.init(
            storage: Storage(byteCount: dtype.byteCount(of: shape), device: device), shape: shape, dtype: dtype)
    }

    /// A tensor with the given elements in row-major order.
    public init(_ values: some Collection<Float>, shape: [Int], device: Device = .cpu) {
        precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
        self.init(uninitialized: shape, device: device)
        _ = mutableFloats.initialize(from: values)
    }

    /// A tensor filled with one value.
    public init(repeating value: Float, shape: [Int], device: Device = .cpu) {
        self.init(uninitialized: shape, device: device)
        device.kernels.fill(floats, value, Int64(count))
    }

    /// A tensor of zeros.
    public static func zeros(_ shape: [Int], device: Device = .cpu) -> Tensor {
        Tensor(repeating: 0, shape: shape, device: device)
    }

    /// A tensor filled by `body`, which gets its uninitialised elements and must write all of them.
    public init(
        shape: [Int], device: Device = .cpu, initializingWith body: (UnsafeMutableBufferPointer<Float>) throws -> Void
    ) rethrows {
        self.init(uninitialized: shape, device: device)
        try body(mutableFloats)
    }

    /// Where the tensor lives.
    public var device: Device { storage.device }
    /// The number of elements.
    public var count: Int { shape.reduce(1, *) }
    /// The first size of a matrix.
    public var rows: Int { shape[0] }
    /// The product of all sizes but the first.
    public var columns: Int { shape.dropFirst().reduce(1, *) }
    /// The bytes of its elements, scales included.
    public var byteCount: Int { dtype.byteCount(of: shape) }

    /// Whether ops on it are recorded on a tape.
    public var isTracked: Bool { position != nil }

    /// The same numbers off the tape: ops on it are not recorded.
    public var detached: Tensor { Tensor(storage: storage, offset: offset, shape: shape, dtype: dtype) }

    /// Rows `range` of a matrix, sharing its memory, off the tape.
    public subscript(rows range: Range<Int>) -> Tensor {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= rows && !dtype.isQuantized,
            "rows \(range) of a \(dtype) tensor of shape \(shape)")
        return Tensor(
            storage: storage, offset: offset + range.lowerBound * columns, shape: [range.count] + shape.dropFirst(),
            dtype: dtype)
    }

    /// The elements, copied out in row-major order.
    public var values: [Float] {
        dtype == .f32 ? Array(UnsafeBufferPointer(mutableFloats)) : converted(to: .f32).values
    }

    /// The only element of a tensor that has one.
    public var scalar: Float {
        precondition(count == 1 && dtype == .f32, "a scalar from shape \(shape)")
        return floats[0]
    }

    /// Calls `body` with the elements of an f32 tensor, valid during the call only.
    public func withFloats<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(storage) { try body(UnsafeBufferPointer(mutableFloats)) }
    }

    /// Calls `body` with the elements for writing. Only for a tensor that nothing else has read yet, or a parameter's own value
    /// between steps: ops on a tape remember their inputs by reference.
    public func withMutableFloats<Result>(
        _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        try withExtendedLifetime(storage) { try body(mutableFloats) }
    }

    /// Overwrites rows from `start` on with some of another matrix, stored as this one is: filling a cache.
    public func writeRows(_ range: Range<Int>, of source: Tensor, at start: Int) {
        precondition(
            source.columns == columns && start >= 0 && start + range.count <= rows && range.upperBound <= source.rows,
            "cannot write rows \(range) of shape \(source.shape) at row \(start) of shape \(shape)")
        device.kernels.convert(
            raw + start * columns * dtype.size, dtype.code, source.raw + range.lowerBound * columns * source.dtype.size,
            source.dtype.code, Int64(range.count * columns))
    }

    /// The same numbers stored differently, rounded to nearest even; the tensor itself where it is stored so already.
    ///
    /// Only matrices become int8 or NF4, and of those the numbers that their codes stand for come back.
    public func converted(to dtype: DType) -> Tensor {
        guard dtype != self.dtype else { return self }
        if self.dtype.isQuantized { return unpacked(0..<count).reshaped(shape).converted(to: dtype) }
        if dtype.isQuantized { return converted(to: .f32).quantized(to: dtype) }
        let result = Tensor(uninitialized: shape, dtype: dtype, device: device)
        device.kernels.convert(result.raw, dtype.code, raw, self.dtype.code, Int64(count))
        return result
    }

    /// The same numbers under another shape of as many elements, off the tape.
    public func reshaped(_ shape: [Int]) -> Tensor {
        precondition(
            shape.reduce(1, *) == count && !dtype.isQuantized,
            "a \(dtype) tensor of shape \(self.shape) does not reshape to \(shape)")
        return Tensor(storage: storage, offset: offset, shape: shape, dtype: dtype)
    }

    /// A copy with memory of its own, off the tape.
    public func copied() -> Tensor {
        let result = Tensor(uninitialized: shape, dtype: dtype, device: device)
        result.raw.copyMemory(from: raw, byteCount: byteCount)
        return result
    }

    // Kernels get these pointers for the length of one call, while the tensor that owns the storage is in scope.
    var raw: UnsafeMutableRawPointer { storage.pointer + offset * elementSize }

    /// What ``offset`` counts. Quantised tensors have memory of their own and begin with it.
    private var elementSize: Int { dtype.isQuantized ? 0 : dtype.size }

    var floats: UnsafeMutablePointer<Float> {
        precondition(dtype == .f32, "f32 elements of a \(dtype) tensor of shape \(shape)")
        return raw.assumingMemoryBound(to: Float.self)
    }

    var mutableFloats: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: floats, count: count) }

    var matrix: matrix {
        guard !dtype.isQuantized else { return quantizedMatrix }
        return CKernels.matrix(
            data: raw, dtype: dtype.code, scales: nil, nested_scales: nil, offset: 0, columns: Int64(columns))
    }

    var array: CKernels.array { CKernels.array(data: raw, dtype: dtype.code) }
}

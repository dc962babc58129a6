import Dispatch

/// A matrix of 64-bit floats, stored column after column: what decompositions compute on.
public struct ColumnMatrix: Sendable {
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    /// The elements, column after column.
    public internal(set) var values: [Double]

    /// A matrix of zeros.
    init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        values = Array(repeating: 0, count: rows * columns)
    }

    /// The elements of an f32 matrix `[m, n]`.
    public init(_ tensor: Tensor) {
        precondition(tensor.shape.count == 2 && tensor.dtype == .f32, "columns of a \(tensor.dtype) \(tensor.shape)")
        self = Self(rowMajor: tensor, rows: tensor.columns, columns: tensor.rows).transposed
    }

    private init(rowMajor tensor: Tensor, rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        values = tensor.withFloats { $0.map(Double.init) }
    }

    /// The element of a row and a column.
    public subscript(row: Int, column: Int) -> Double {
        get { values[column * rows + row] }
        set { values[column * rows + row] = newValue }
    }

    /// The matrix with rows and columns exchanged.
    public var transposed: ColumnMatrix {
        var result = ColumnMatrix(rows: columns, columns: rows)
        // Squares of 32, so that neither side is read across the cache.
        for top in stride(from: 0, to: rows, by: 32) {
            for left in stride(from: 0, to: columns, by: 32) {
                for column in left..<min(columns, left + 32) {
                    for row in top..<min(rows, top + 32) {
                        result.values[row * columns + column] = values[column * rows + row]
                    }
                }
            }
        }
        return result
    }

    /// The first columns.
    public func firstColumns(_ count: Int) -> ColumnMatrix {
        precondition(count <= columns, "\(count) columns of \(columns)")
        var result = ColumnMatrix(rows: rows, columns: count)
        result.values = Array(values.prefix(rows * count))
        return result
    }

    /// This matrix times another.
    public func times(_ other: ColumnMatrix) -> ColumnMatrix {
        precondition(columns == other.rows, "[\(rows), \(columns)] times [\(other.rows), \(other.columns)]")
        var result = ColumnMatrix(rows: rows, columns: other.columns)
        result.updateColumns { column, target in
            withColumns { own in
                for inner in 0..<columns {
                    addScaled(target, own + inner * rows, other[inner, column], rows)
                }
            }
        }
        return result
    }

    /// The matrix with each column multiplied by a number.
    public func scalingColumns(by factors: [Double]) -> ColumnMatrix {
        precondition(factors.count == columns, "\(factors.count) factors for \(columns) columns")
        var result = self
        for column in 0..<columns {
            for row in 0..<rows { result.values[column * rows + row] *= factors[column] }
        }
        return result
    }

    /// The elements as an f32 tensor `[rows, columns]`.
    public var tensor: Tensor { transposed.transposedTensor }

    /// The elements as an f32 tensor `[columns, rows]`: the transposed matrix, which is how they lie.
    public var transposedTensor: Tensor { Tensor(values.map { Float($0) }, shape: [columns, rows]) }

    func withColumns<Result>(_ body: (UnsafePointer<Double>) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("a matrix without elements") }
            return try body(base)
        }
    }

    mutating func withMutableColumns<Result>(_ body: (UnsafeMutablePointer<Double>) throws -> Result) rethrows -> Result
    {
        try values.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("a matrix without elements") }
            return try body(base)
        }
    }

    /// Calls `body` for columns from `first` on, several at a time. Each call writes to its own column only, so the result does not
    /// depend on how many run at once.
    mutating func updateColumns(from first: Int = 0, _ body: (Int, UnsafeMutablePointer<Double>) -> Void) {
        let (rows, count) = (rows, columns - first)
        guard count > 0, rows > 0 else { return }
        withMutableColumns { base in
            // A part is worth some ten microseconds at least.
            let grain = max(1, 16384 / rows)
            guard count > grain else {
                return (first..<first + count).forEach { body($0, base + $0 * rows) }
            }
            withoutActuallyEscaping(body) { body in
                // Safe because the calls write to different columns and share nothing but what they read.
                nonisolated(unsafe) let (body, base) = (body, base)
                DispatchQueue.concurrentPerform(iterations: (count + grain - 1) / grain) { part in
                    let start = first + part * grain
                    for column in start..<min(first + count, start + grain) { body(column, base + column * rows) }
                }
            }
        }
    }
}

/// `Σ x y`, in the order of eight running sums.
@inline(__always)
func dotProduct(_ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ count: Int) -> Double {
    var (first, second) = (SIMD4<Double>(), SIMD4<Double>())
    let whole = count & ~7
    var index = 0
    while index < whole {
        first += load(x + index) * load(y + index)
        second += load(x + index + 4) * load(y + index + 4)
        index += 8
    }
    var sum = (first + second).sum()
    while index < count {
        sum += x[index] * y[index]
        index += 1
    }
    return sum
}

/// `target += factor · x`.
@inline(__always)
func addScaled(_ target: UnsafeMutablePointer<Double>, _ x: UnsafePointer<Double>, _ factor: Double, _ count: Int) {
    for index in 0..<count { target[index] += factor * x[index] }
}

@inline(__always)
private func load(_ pointer: UnsafePointer<Double>) -> SIMD4<Double> {
    UnsafeRawPointer(pointer).loadUnaligned(as: SIMD4<Double>.self)
}

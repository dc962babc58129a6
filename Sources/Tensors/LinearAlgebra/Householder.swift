/// A reflection `I - factor · v vᵀ` that takes a vector to a multiple of its first axis.
struct Householder {
    /// What the vector becomes: its new first element.
    let head: Double
    /// 0 where nothing has to be reflected.
    let factor: Double

    /// Makes the reflection for `x`, which becomes v, with 1 in front. Signs are LAPACK's: the head has the other sign than x had.
    init(reflecting x: UnsafeMutablePointer<Double>, _ count: Int) {
        // By a power of two, which rounds nothing, so that no square underflows.
        let largest = (0..<count).reduce(0) { max($0, abs(x[$1])) }
        let unit = largest > 0 ? Double(sign: .plus, exponent: min(1000, -largest.exponent), significand: 1) : 1
        for index in 0..<count { x[index] *= unit }
        let tail = dotProduct(x + 1, x + 1, count - 1)
        guard tail > 0 else {
            (head, factor) = (x[0] / unit, 0)
            x[0] = 1
            return
        }
        let norm = (x[0] * x[0] + tail).squareRoot()
        let reflected = x[0] < 0 ? norm : -norm
        (head, factor) = (reflected / unit, (reflected - x[0]) / reflected)
        let scale = 1 / (x[0] - reflected)
        for index in 1..<count { x[index] *= scale }
        x[0] = 1
    }

    /// Reflects a vector.
    @inline(__always)
    static func apply(
        _ v: UnsafePointer<Double>, factor: Double, to x: UnsafeMutablePointer<Double>, _ count: Int
    ) {
        guard factor != 0 else { return }
        addScaled(x, v, -factor * dotProduct(v, x, count), count)
    }
}

extension ColumnMatrix {
    /// The thin QR decomposition of a matrix `[m, n]`: `Q [m, min(m, n)]` with orthonormal columns and `R [min(m, n), n]`, upper
    /// triangular, with `A = Q R`.
    ///
    /// By Householder reflections with LAPACK's signs, so that Q and R are those of `torch.linalg.qr` to rounding.
    public func thinQR() -> (q: ColumnMatrix, r: ColumnMatrix) {
        let inner = min(rows, columns)
        var (work, factors, heads) = (self, Array(repeating: 0.0, count: inner), Array(repeating: 0.0, count: inner))
        for column in 0..<inner {
            let below = rows - column
            let reflection = work.withMutableColumns { base in
                Householder(reflecting: base + column * rows + column, below)
            }
            (factors[column], heads[column]) = (reflection.factor, reflection.head)
            let v = Array(work.values[column * rows + column..<(column + 1) * rows])
            work.updateColumns(from: column + 1) { _, target in
                Householder.apply(v, factor: reflection.factor, to: target + column, below)
            }
        }
        var r = ColumnMatrix(rows: inner, columns: columns)
        for column in 0..<columns {
            for row in 0..<min(inner, column + 1) { r[row, column] = row == column ? heads[row] : work[row, column] }
        }
        return (work.reflections(factors, from: 0, appliedTo: .identity(rows: rows, columns: inner)), r)
    }

    /// The reflections kept in this matrix's columns, column i's from its row `i + shift` on, applied to another matrix, last first.
    func reflections(_ factors: [Double], from shift: Int, appliedTo other: ColumnMatrix) -> ColumnMatrix {
        var result = other
        withColumns { own in
            result.updateColumns { _, target in
                for column in factors.indices.reversed() {
                    let start = column + shift
                    Householder.apply(
                        own + column * rows + start, factor: factors[column], to: target + start, rows - start)
                }
            }
        }
        return result
    }

    static func identity(rows: Int, columns: Int) -> ColumnMatrix {
        var result = ColumnMatrix(rows: rows, columns: columns)
        for index in 0..<min(rows, columns) { result[index, index] = 1 }
        return result
    }
}

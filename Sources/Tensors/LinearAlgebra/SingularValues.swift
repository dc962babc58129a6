/// The largest singular values of a matrix `[m, n]` with their vectors: `A ≈ U diag(σ) Vᵀ`.
public struct SingularValues: Sendable {
    /// `U [m, k]`, orthonormal columns.
    public var left: ColumnMatrix
    /// σ, largest first, none negative.
    public var values: [Double]
    /// `V [n, k]`, orthonormal columns.
    public var right: ColumnMatrix

    /// Decomposes a matrix, in 64-bit floats.
    ///
    /// What is wanted of a large matrix comes from the eigenvectors of its smaller Gram matrix, and is then decomposed in that subspace,
    /// so that nothing small is lost by the squares. The sign of each pair of vectors is chance.
    ///
    /// - Parameters:
    ///   - matrix: `[m, n]`, of finite numbers.
    ///   - rank: how many are wanted; no more than min(m, n) are given.
    public init(of matrix: ColumnMatrix, rank: Int) {
        guard matrix.rows >= matrix.columns else {
            let turned = SingularValues(of: matrix.transposed, rank: rank)
            self.init(left: turned.right, values: turned.values, right: turned.left)
            return
        }
        let count = min(rank, matrix.columns)
        guard matrix.columns > Self.smallest, 2 * count < matrix.columns else {
            self = SingularValues(rotating: matrix).first(count)
            return
        }
        let basis = matrix.gram.symmetricEigenvectors(count)
        let inside = SingularValues(rotating: matrix.times(basis))
        self.init(left: inside.left, values: inside.values, right: basis.times(inside.right))
    }

    /// Decomposes the product `B A` of a matrix `B [m, r]` and a matrix `A [r, n]` without forming it.
    ///
    /// - Parameters:
    ///   - b: the first factor.
    ///   - a: the second.
    ///   - rank: how many are wanted; no more than min(m, r, n) are given.
    public init(ofProduct b: ColumnMatrix, _ a: ColumnMatrix, rank: Int) {
        precondition(b.columns == a.rows, "[\(b.rows), \(b.columns)] times [\(a.rows), \(a.columns)]")
        let (left, right) = (b.thinQR(), a.transposed.thinQR())
        let core = SingularValues(of: left.r.times(right.r.transposed), rank: rank)
        self.init(left: left.q.times(core.left), values: core.values, right: right.q.times(core.right))
    }

    private init(left: ColumnMatrix, values: [Double], right: ColumnMatrix) {
        self.left = left
        self.values = values
        self.right = right
    }

    private func first(_ count: Int) -> SingularValues {
        SingularValues(
            left: left.firstColumns(count), values: Array(values.prefix(count)), right: right.firstColumns(count))
    }

    /// Matrices no wider than this are decomposed directly.
    private static let smallest = 64

    /// All of them, of a matrix with no more columns than rows: rotations in the plane of two columns until all are orthogonal.
    ///
    /// The columns are those of Rᵀ in A = Q R, which are nearly orthogonal already.
    ///
    /// Source: Drmač and Veselić, "New fast and accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. Appl. 29 (2008).
    private init(rotating matrix: ColumnMatrix) {
        let (q, r) = matrix.thinQR()
        let size = matrix.columns
        var (work, rotations) = (r.transposed, ColumnMatrix.identity(rows: size, columns: size))
        var squares = Array(repeating: 0.0, count: size)
        for _ in 0..<60 {
            work.withColumns { own in
                for column in 0..<size { squares[column] = dotProduct(own + column * size, own + column * size, size) }
            }
            if !work.rotate(&rotations, &squares) { break }
        }
        let norms = squares.map { $0.squareRoot() }
        let order = norms.indices.sorted { norms[$0] > norms[$1] }
        let isNothing = (norms.max() ?? 0) * Double(size) * 0x1p-52
        var (left, right) = (ColumnMatrix(rows: size, columns: size), ColumnMatrix(rows: size, columns: size))
        for (column, source) in order.enumerated() {
            let range = source * size..<(source + 1) * size
            left.values.replaceSubrange(column * size..<(column + 1) * size, with: rotations.values[range])
            let vector =
                norms[source] > isNothing
                ? work.values[range].map { $0 / norms[source] } : right.orthogonalDirection(column)
            right.values.replaceSubrange(column * size..<(column + 1) * size, with: vector)
        }
        self.init(left: q.times(left), values: order.map { norms[$0] }, right: right)
    }
}

extension ColumnMatrix {
    /// Rotates every pair of columns that is not orthogonal yet, and the same pairs of another matrix. Says whether there was any.
    fileprivate mutating func rotate(_ rotations: inout ColumnMatrix, _ squares: inout [Double]) -> Bool {
        let (rows, size) = (rows, columns)
        let tolerance = 0x1p-52 * Double(size).squareRoot()
        var hasRotated = false
        withMutableColumns { own in
            rotations.withMutableColumns { other in
                for i in 0..<size {
                    for j in i + 1..<max(size, i + 1) {
                        let (x, y) = (own + i * rows, own + j * rows)
                        let product = dotProduct(x, y, rows)
                        guard abs(product) > tolerance * (squares[i] * squares[j]).squareRoot(), product != 0 else {
                            continue
                        }
                        hasRotated = true
                        let cotangent = (squares[j] - squares[i]) / (2 * product)
                        let sum = abs(cotangent) + (1 + cotangent * cotangent).squareRoot()
                        let tangent = cotangent < 0 ? -1 / sum : 1 / sum
                        let cosine = 1 / (1 + tangent * tangent).squareRoot()
                        turn(x, y, cosine, cosine * tangent, rows)
                        turn(other + i * size, other + j * size, cosine, cosine * tangent, size)
                        squares[i] = max(0, squares[i] - tangent * product)
                        squares[j] += tangent * product
                    }
                }
            }
        }
        return hasRotated
    }

    /// A vector of length 1 that is orthogonal to the first `count` columns, which are orthonormal and fewer than the rows.
    fileprivate func orthogonalDirection(_ count: Int) -> [Double] {
        for axis in 0..<rows {
            // What is left of an axis; over all axes the squares add up to rows - count.
            let square = (0..<count).reduce(1.0) { $0 - self[axis, $1] * self[axis, $1] }
            guard square * Double(rows) >= 0.5 else { continue }
            var vector = Array(repeating: 0.0, count: rows)
            vector[axis] = 1
            orthogonalize(&vector, against: count)
            return vector
        }
        preconditionFailure("\(count) columns fill [\(rows), \(columns)]")
    }
}

/// `(x, y)` becomes `(c x - s y, s x + c y)`.
@inline(__always)
private func turn(
    _ x: UnsafeMutablePointer<Double>, _ y: UnsafeMutablePointer<Double>, _ c: Double, _ s: Double, _ count: Int
) {
    for index in 0..<count {
        let (first, second) = (x[index], y[index])
        x[index] = c * first - s * second
        y[index] = s * first + c * second
    }
}

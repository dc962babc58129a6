import Foundation

extension ColumnMatrix {
    /// `Aᵀ A`.
    var gram: ColumnMatrix {
        var result = ColumnMatrix(rows: columns, columns: columns)
        withColumns { own in
            result.updateColumns { column, target in
                for row in 0...column { target[row] = dotProduct(own + row * rows, own + column * rows, rows) }
            }
        }
        for column in 0..<columns {
            for row in 0..<column { result[column, row] = result[row, column] }
        }
        return result
    }

    /// The eigenvectors of a symmetric matrix that belong to its `count` largest eigenvalues, as orthonormal columns, largest first.
    ///
    /// Householder's reduction to a tridiagonal matrix, its eigenvalues by bisection, its vectors by inverse iteration, each kept
    /// orthogonal to those before it. What is not asked for is not computed, so that a few vectors cost little more than the reduction.
    ///
    /// Source: Golub and Van Loan, "Matrix Computations", 4th edition, sections 8.3.1, 8.4.1 and 8.4.2.
    func symmetricEigenvectors(_ count: Int) -> ColumnMatrix {
        precondition(rows == columns && count <= rows, "\(count) eigenvectors of [\(rows), \(columns)]")
        var work = self
        let (tridiagonal, factors) = work.tridiagonalize()
        let vectors = tridiagonal.largestEigenvectors(count)
        return work.reflections(factors, from: 1, appliedTo: vectors)
    }

    /// Reduces a symmetric matrix; its columns then hold the reflections below the diagonal.
    private mutating func tridiagonalize() -> (Tridiagonal, factors: [Double]) {
        let size = rows
        var result = Tridiagonal(
            diagonal: Array(repeating: 0, count: size), beside: Array(repeating: 0, count: max(0, size - 1)))
        var factors: [Double] = []
        for column in 0..<max(0, size - 1) {
            let (start, below) = (column + 1, size - column - 1)
            result.diagonal[column] = self[column, column]
            let reflection = withMutableColumns { Householder(reflecting: $0 + column * size + start, below) }
            result.beside[column] = reflection.head
            factors.append(reflection.factor)
            guard reflection.factor != 0 else { continue }
            // With p = factor · A v, the reflected matrix is A - v wᵀ - w vᵀ for w = p - (factor / 2) (pᵀ v) v.
            let v = Array(values[column * size + start..<(column + 1) * size])
            var products = ColumnMatrix(rows: 1, columns: below)
            withColumns { own in
                products.updateColumns { row, target in
                    target[0] = reflection.factor * dotProduct(own + (start + row) * size + start, v, below)
                }
            }
            var w = products.values
            addScaled(&w, v, -reflection.factor / 2 * dotProduct(w, v, below), below)
            updateColumns(from: start) { other, target in
                let (x, y) = (w[other - start], v[other - start])
                v.withUnsafeBufferPointer { v in
                    w.withUnsafeBufferPointer { w in
                        for row in 0..<below { target[start + row] -= v[row] * x + w[row] * y }
                    }
                }
            }
        }
        if size > 0 { result.diagonal[size - 1] = self[size - 1, size - 1] }
        return (result, factors)
    }
}

/// A symmetric matrix with nothing but its diagonal and what is beside it.
private struct Tridiagonal {
    var diagonal: [Double]
    var beside: [Double]

    /// More than any eigenvalue's size.
    var bound: Double {
        diagonal.indices.reduce(0) { largest, row in
            let left = row > 0 ? abs(beside[row - 1]) : 0
            let right = row < beside.count ? abs(beside[row]) : 0
            return max(largest, abs(diagonal[row]) + left + right)
        }
    }

    /// The number of eigenvalues below a number: Sturm's count of negative pivots.
    private func count(below value: Double, tiny: Double) -> Int {
        var (found, pivot) = (0, 1.0)
        for row in diagonal.indices {
            let coupling = row > 0 ? beside[row - 1] * beside[row - 1] / pivot : 0
            pivot = diagonal[row] - value - coupling
            if abs(pivot) < tiny { pivot = -tiny }
            if pivot < 0 { found += 1 }
        }
        return found
    }

    /// The largest eigenvalues, largest first.
    func largestEigenvalues(_ count: Int) -> [Double] {
        let (bound, size) = (bound, diagonal.count)
        let tiny = max(bound, 1e-290) * 0x1p-104
        return (0..<count).map { index in
            var (low, high) = (-bound, bound)
            // 60 halvings of the interval leave less than a rounding of its ends.
            for _ in 0..<60 {
                let middle = (low + high) / 2
                if self.count(below: middle, tiny: tiny) >= size - index { high = middle } else { low = middle }
            }
            return (low + high) / 2
        }
    }

    /// The eigenvectors of those, as orthonormal columns.
    func largestEigenvectors(_ count: Int) -> ColumnMatrix {
        let (size, roundoff) = (diagonal.count, max(bound, 1e-290) * 0x1p-52)
        var result = ColumnMatrix(rows: size, columns: count)
        var random = RandomGenerator(RandomKey(seed: 0, purpose: "inverse iteration"))
        var last = Double.infinity
        for (column, value) in largestEigenvalues(count).enumerated() {
            // Equal eigenvalues are moved apart by a rounding, so that the systems differ.
            last = min(value, last - roundoff)
            var vector = (0..<size).map { _ in 2 * random.uniform() - 1 }
            for _ in 0..<4 {
                solve(shift: last, smallestPivot: roundoff, &vector)
                result.orthogonalize(&vector, against: column)
            }
            result.values.replaceSubrange(column * size..<(column + 1) * size, with: vector)
        }
        return result
    }

    /// Solves `(T - shift) x = y` in place, by elimination with row exchanges; pivots that vanish are taken as a rounding.
    private func solve(shift: Double, smallestPivot: Double, _ x: inout [Double]) {
        let size = diagonal.count
        var (main, first, second) = (diagonal.map { $0 - shift }, beside + [0], Array(repeating: 0.0, count: size))
        for row in 0..<size - 1 {
            // The next row as it still is: `beside[row]` before the diagonal.
            let (left, middle, right) = (beside[row], main[row + 1], first[row + 1])
            if abs(left) > abs(main[row]) {
                let factor = main[row] / left
                (main[row], main[row + 1]) = (left, first[row] - factor * middle)
                (first[row], first[row + 1], second[row]) = (middle, -factor * right, right)
                (x[row], x[row + 1]) = (x[row + 1], x[row] - factor * x[row + 1])
            } else {
                if abs(main[row]) < smallestPivot { main[row] = smallestPivot }
                let factor = left / main[row]
                main[row + 1] = middle - factor * first[row]
                x[row + 1] -= factor * x[row]
            }
        }
        if abs(main[size - 1]) < smallestPivot { main[size - 1] = smallestPivot }
        for row in (0..<size).reversed() {
            var sum = x[row]
            if row + 1 < size { sum -= first[row] * x[row + 1] }
            if row + 2 < size { sum -= second[row] * x[row + 2] }
            x[row] = sum / main[row]
        }
        // So that no square overflows.
        let largest = x.reduce(0) { max($0, abs($1)) }
        if largest > 0 { for row in 0..<size { x[row] /= largest } }
    }
}

extension ColumnMatrix {
    /// Makes a vector orthogonal to the first `count` columns, which are orthonormal, and of length 1.
    func orthogonalize(_ vector: inout [Double], against count: Int) {
        // Once more than where nothing cancels: a pass is exact only to the roundings of the length that it began with.
        for _ in 0..<3 {
            for column in 0..<count {
                withColumns { own in
                    let other = own + column * rows
                    addScaled(&vector, other, -dotProduct(other, vector, rows), rows)
                }
            }
            let norm = dotProduct(vector, vector, rows).squareRoot()
            guard norm > 0 else { return }
            for row in 0..<rows { vector[row] /= norm }
        }
    }
}

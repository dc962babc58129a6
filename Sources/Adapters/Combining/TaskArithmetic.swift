import Tensors

/// Which numbers of an update stay.
enum Pruning {
    /// The largest.
    case magnitude
    /// Any, with what is dropped made up for.
    case random
}

/// PEFT's sums over arrays of equal length, one an adapter, in f32 and in PEFT's order.
struct TaskArithmetic {
    let combination: Combination
    /// What is summed: the path of the layer and the factor. What is dropped at random depends on it, the adapter's number and the seed.
    let purpose: String

    /// Combines.
    ///
    /// - Parameters:
    ///   - arrays: an array an adapter.
    ///   - weights: a weight an adapter.
    ///   - numbers: which adapter each is, counted from 0 over all, those that lack the layer included.
    /// - Returns: as many numbers as an array has.
    func sum(_ arrays: [[Float]], weights: [Float], numbers: [Int]) -> [Float] {
        let kept = zip(arrays, numbers).map(pruned)
        return combination.type.electsSigns ? disjointMean(kept, weights) : weightedSum(kept, weights)
    }

    /// An array with what is left out at zero.
    private func pruned(_ values: [Float], number: Int) -> [Float] {
        guard let density = combination.density, density < 1, let pruning = combination.type.pruning else {
            return values
        }
        switch pruning {
        case .magnitude:
            let count = Int(density * Double(values.count))
            guard count > 0 else { return values.map { _ in 0 } }
            // Of equal ones the first stay.
            let order = values.indices.sorted {
                (abs(values[$0]), $1) > (abs(values[$1]), $0)
            }
            var result = Array(repeating: Float(0), count: values.count)
            for index in order.prefix(count) { result[index] = values[index] }
            return result
        case .random:
            let key = RandomKey(seed: combination.seed, purpose: "dare.\(purpose).\(number)")
            return values.enumerated().map { index, value in
                key.uniform(index, 0, 0) < density ? value / Float(density) : 0
            }
        }
    }

    private func weightedSum(_ arrays: [[Float]], _ weights: [Float]) -> [Float] {
        (arrays.first ?? []).indices.map { index in
            zip(arrays, weights).reduce(0) { $0 + $1.0[index] * $1.1 }
        }
    }

    /// The weighted sum of the numbers that have the elected sign, over how many they are. The election is without weights, as PEFT's.
    private func disjointMean(_ arrays: [[Float]], _ weights: [Float]) -> [Float] {
        (arrays.first ?? []).indices.map { index in
            let votes = arrays.reduce(Float(0)) { votes, array in
                switch combination.majoritySign {
                case .total: votes + array[index]
                case .frequency: votes + sign(array[index])
                }
            }
            let elected: Float = votes >= 0 ? 1 : -1
            var (sum, count) = (Float(0), Float(0))
            for (array, weight) in zip(arrays, weights) where sign(array[index]) == elected {
                sum += array[index] * weight
                count += 1
            }
            return sum / max(count, 1)
        }
    }

    private func sign(_ value: Float) -> Float { value > 0 ? 1 : value < 0 ? -1 : 0 }
}
